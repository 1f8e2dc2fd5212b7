//! Dates of a series: read from text, continued into the future, written back in the form they came in.
//!
//! Times are seconds since 1970 on the proleptic Gregorian calendar without a time zone. The conversions are Howard
//! Hinnant's `days_from_civil` and `civil_from_days`.

use std::fmt::Write as _;

const DAY: i64 = 86_400;

/// How far down a date was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    Year,
    Month,
    Day,
    Minute,
    Second,
}

/// How dates are written: `1949-01`, `1949/01/31`, `1949-01-31T12:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub precision: Precision,
    between_dates: char,
    before_time: char,
    utc: bool,
}

/// Year, month and day of a day number since 1970-01-01.
pub fn civil(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month as u32, (doy - (153 * mp + 2) / 5 + 1) as u32)
}

/// The day number of a date that exists.
pub fn days(year: i64, month: u32, day: u32) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=month_length(year, month)).contains(&day) || year.abs() > 99_999 {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = (i64::from(month) + 9) % 12;
    let doy = (153 * mp + 2) / 5 + i64::from(day) - 1;
    Some(era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468)
}

fn month_length(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Reads one date; `None` where the text is none.
pub fn parse(text: &str) -> Option<(i64, Form)> {
    let text = text.trim();
    let (date, time, before_time) = match text.find(['T', ' ']) {
        Some(at) => (&text[..at], Some(&text[at + 1..]), text[at..].chars().next()?),
        None => (text, None, ' '),
    };
    let between_dates = if date.contains('/') { '/' } else { '-' };
    let parts: Vec<&str> = date.split(between_dates).collect();
    let widths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let digits = parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if !digits || widths[0] != 4 || widths.len() > 3 || widths[1..].iter().any(|width| *width > 2) {
        return None;
    }
    let number = |index: usize| parts.get(index).map_or(Some(1), |part| part.parse::<u32>().ok());
    let day = days(i64::from(number(0)?), number(1)?, number(2)?)?;
    let mut precision = [Precision::Year, Precision::Month, Precision::Day][parts.len() - 1];
    let (mut seconds, mut utc) = (0, false);
    if let Some(time) = time {
        if precision != Precision::Day {
            return None;
        }
        let plain = time.strip_suffix('Z');
        utc = plain.is_some();
        let fields: Vec<&str> = plain.unwrap_or(time).split(':').collect();
        let field = |index: usize, limit: i64| {
            let text = fields.get(index)?;
            let whole = text.strip_suffix(".0").or_else(|| text.strip_suffix(".000")).unwrap_or(text);
            (whole.len() == 2).then(|| whole.parse::<i64>().ok())?.filter(|value| (0..limit).contains(value))
        };
        seconds = field(0, 24)? * 3600 + field(1, 60)? * 60;
        precision = Precision::Minute;
        if fields.len() == 3 {
            seconds += field(2, 60)?;
            precision = Precision::Second;
        } else if fields.len() != 2 {
            return None;
        }
    }
    Some((day * DAY + seconds, Form { precision, between_dates, before_time, utc }))
}

impl Form {
    /// The same without a time of day.
    pub fn date_only(self) -> Form {
        Form { precision: self.precision.min(Precision::Day), utc: false, ..self }
    }

    /// Hours and minutes alone.
    pub fn time_of_day(&self, time: i64) -> String {
        let second = time.rem_euclid(DAY);
        format!("{:02}:{:02}", second / 3600, second / 60 % 60)
    }

    /// Writes a time in this form.
    pub fn text(&self, time: i64) -> String {
        let (year, month, day) = civil(time.div_euclid(DAY));
        let second = time.rem_euclid(DAY);
        let dash = self.between_dates;
        let mut text = format!("{year:04}");
        // Writing to a String can not fail.
        if self.precision >= Precision::Month {
            let _ = write!(text, "{dash}{month:02}");
        }
        if self.precision >= Precision::Day {
            let _ = write!(text, "{dash}{day:02}");
        }
        if self.precision >= Precision::Minute {
            let _ = write!(text, "{}{:02}:{:02}", self.before_time, second / 3600, second / 60 % 60);
        }
        if self.precision >= Precision::Second {
            let _ = write!(text, ":{:02}", second % 60);
        }
        if self.utc { text + "Z" } else { text }
    }
}

/// The regular distance between rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    Months(i64),
    Seconds(i64),
}

impl Every {
    /// The distance that all neighbours have, if there is one.
    pub fn of(times: &[i64]) -> Option<Every> {
        let (first, second) = (*times.first()?, *times.get(1)?);
        if second <= first {
            return None;
        }
        let by_months = Every::Months(months_between(first, second)?);
        let by_seconds = Every::Seconds(second - first);
        // Months first: January and February of a common year are 31 days apart, the next pair is not.
        [by_months, by_seconds].into_iter().find(|every| {
            (every != &Every::Months(0))
                && times
                    .iter()
                    .enumerate()
                    .all(|(index, time)| every.after(first, index as i64) == Some(*time))
        })
    }

    /// The time `steps` distances after `start`.
    pub fn after(self, start: i64, steps: i64) -> Option<i64> {
        match self {
            Every::Seconds(seconds) => start.checked_add(seconds.checked_mul(steps)?),
            Every::Months(months) => {
                let (year, month, day) = civil(start.div_euclid(DAY));
                let total = year * 12 + i64::from(month) - 1 + months.checked_mul(steps)?;
                let (year, month) = (total.div_euclid(12), total.rem_euclid(12) as u32 + 1);
                // The 31st of a shorter month is its last day.
                let day = day.min(month_length(year, month));
                Some(days(year, month, day)? * DAY + start.rem_euclid(DAY))
            }
        }
    }

    /// Rows in a year or, for shorter distances, in the next longer cycle (a week of days, a day of hours).
    pub fn season(self) -> Option<usize> {
        match self {
            Every::Months(months) if months > 0 && 12 % months == 0 && months < 12 => {
                Some((12 / months) as usize)
            }
            Every::Seconds(seconds) if seconds == DAY => Some(7),
            Every::Seconds(seconds) if seconds > 0 && seconds < DAY && DAY % seconds == 0 => {
                Some((DAY / seconds) as usize)
            }
            _ => None,
        }
    }
}

fn months_between(first: i64, second: i64) -> Option<i64> {
    let ((y1, m1, _), (y2, m2, _)) = (civil(first.div_euclid(DAY)), civil(second.div_euclid(DAY)));
    Some((y2 - y1) * 12 + i64::from(m2) - i64::from(m1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_800_years_round_trips() {
        for day in -200_000..100_000 {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), Some(day));
        }
        assert_eq!(days(1970, 1, 1), Some(0));
        assert_eq!(days(2000, 2, 29), Some(11_016));
        assert_eq!(days(1900, 2, 29), None);
    }

    #[test]
    fn forms_come_back_as_they_came() {
        for text in [
            "1949",
            "1949-01",
            "1949/12",
            "2024-02-29",
            "1999/12/31",
            "2024-01-31T23:59",
            "2024-01-31 23:59:07",
            "2024-01-31T00:00:00Z",
        ] {
            let (time, form) = parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(form.text(time), text);
        }
        for text in [
            "",
            "abc",
            "12",
            "194901",
            "1949-13",
            "1949-02-29",
            "1.5",
            "-5",
            "2024-01T10:00",
            "2024-01-01T25:00",
            "2024-01-01T10",
            "19490-01",
            "1949-001",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn distances_are_found_and_continued() {
        let times = |texts: &[&str]| texts.iter().map(|text| parse(text).unwrap().0).collect::<Vec<_>>();
        let months = times(&["2023-11-30", "2023-12-30", "2024-01-30", "2024-02-29"]);
        assert_eq!(Every::of(&months), Some(Every::Months(1)));
        let form = parse("2023-11-30").unwrap().1;
        assert_eq!(form.text(Every::Months(1).after(months[0], 4).unwrap()), "2024-03-30");
        assert_eq!(Every::of(&times(&["2024-02-28", "2024-02-29", "2024-03-01"])), Some(Every::Seconds(DAY)));
        assert_eq!(Every::of(&times(&["2023", "2024", "2025"])), Some(Every::Months(12)));
        assert_eq!(
            Every::of(&times(&["2024-01-01T00:00", "2024-01-01T00:30", "2024-01-01T01:00"])),
            Some(Every::Seconds(1800))
        );
        assert_eq!(Every::of(&times(&["2024-01", "2024-02", "2024-04"])), None);
        assert_eq!(Every::of(&times(&["2024-01", "2024-01"])), None);
        assert_eq!(Every::of(&times(&["2024-02", "2024-01"])), None);
        assert_eq!(Every::Months(1).season(), Some(12));
        assert_eq!(Every::Seconds(3600).season(), Some(24));
        assert_eq!(Every::Months(12).season(), None);
    }
}
