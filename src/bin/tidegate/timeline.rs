//! What the rows of a series are called: dates that go on into the future, labels, or just numbers.

use std::ops::Range;

use crate::calendar::{self, Every, Form};

/// The names of a series' rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Timeline {
    /// Rows have no names; they count from 0.
    Rows,
    /// Text as it stands in the file.
    Labels(Vec<String>),
    /// Dates in order, with the distance that all neighbours have if there is one.
    Dates { times: Vec<i64>, form: Form, every: Option<Every> },
}

impl Timeline {
    /// Dates if every text is one, all in one form; else labels.
    pub fn read(texts: Vec<String>) -> Timeline {
        let parsed: Option<Vec<(i64, Form)>> = texts.iter().map(|text| calendar::parse(text)).collect();
        match parsed.as_deref() {
            Some(dates @ [(_, form), ..]) if dates.iter().all(|(_, other)| other == form) => {
                let times: Vec<i64> = dates.iter().map(|(time, _)| *time).collect();
                let every = Every::of(&times);
                Timeline::Dates { times, form: *form, every }
            }
            _ => Timeline::Labels(texts),
        }
    }

    /// The first row that is not later than the one before it.
    pub fn out_of_order(&self) -> Option<usize> {
        let Timeline::Dates { times, .. } = self else { return None };
        times.windows(2).position(|pair| pair[1] <= pair[0]).map(|at| at + 1)
    }

    /// The name of a row; of rows after the end where dates go on regularly, else the number of the row.
    pub fn label(&self, row: usize) -> String {
        match self {
            Timeline::Labels(labels) if row < labels.len() => labels[row].clone(),
            Timeline::Dates { times, form, every } => match (times.get(row), every, times.first()) {
                (Some(time), _, _) => form.text(*time),
                (None, Some(every), Some(first)) => {
                    every.after(*first, row as i64).map_or_else(|| row.to_string(), |time| form.text(time))
                }
                _ => row.to_string(),
            },
            _ => row.to_string(),
        }
    }

    /// Rows in a season, where the dates suggest one: 12 for months.
    pub fn season(&self) -> Option<usize> {
        match self {
            Timeline::Dates { every, .. } => every.and_then(Every::season),
            _ => None,
        }
    }

    /// A handful of ticks for an axis of these rows: (row, text).
    pub fn ticks(&self, rows: Range<usize>) -> Vec<(usize, String)> {
        if let Timeline::Dates { times, form, every: Some(every) } = self {
            let dated = match every {
                Every::Months(_) => year_ticks(times[0], *every, &rows),
                Every::Seconds(_) => clock_ticks(times[0], *every, *form, &rows),
            };
            if let Some(ticks) = dated {
                return ticks;
            }
        }
        let step = round_step(rows.len());
        let label = |row| self.label(row).chars().take(16).collect();
        rows.filter(|row| row % step == 0).map(|row| (row, label(row))).collect()
    }
}

/// The Januaries, every so many years; `None` where there are fewer than three.
fn year_ticks(first: i64, every: Every, rows: &Range<usize>) -> Option<Vec<(usize, String)>> {
    let year_of = |row: usize| {
        let (year, month, _) = calendar::civil(every.after(first, row as i64)?.div_euclid(DAY));
        (month == 1).then_some(year)
    };
    let years: Vec<(usize, i64)> = rows.clone().filter_map(|row| Some((row, year_of(row)?))).collect();
    let steps = [1, 2, 5, 10, 20, 25, 50, 100, 200, 500];
    let step = steps.into_iter().find(|step| years.len() as i64 / step <= 14)?;
    let round = |(_, year): &(usize, i64)| year.rem_euclid(step) == 0;
    let ticks = years.into_iter().filter(round).map(|(row, year)| (row, year.to_string())).collect();
    Some(ticks).filter(|ticks: &Vec<_>| ticks.len() >= 3)
}

/// Round times of day, or midnights every so many days; `None` where fewer than three rows are at such times.
fn clock_ticks(first: i64, every: Every, form: Form, rows: &Range<usize>) -> Option<Vec<(usize, String)>> {
    const STEPS: [i64; 19] = [
        1,
        5,
        15,
        60,
        300,
        900,
        1800,
        3600,
        3 * 3600,
        6 * 3600,
        12 * 3600,
        DAY,
        2 * DAY,
        7 * DAY,
        14 * DAY,
        28 * DAY,
        91 * DAY,
        182 * DAY,
        364 * DAY,
    ];
    let times: Vec<(usize, i64)> =
        rows.clone().map_while(|row| Some((row, every.after(first, row as i64)?))).collect();
    let on = |step: i64| times.iter().filter(move |(_, time)| time.rem_euclid(step) == 0);
    let step = STEPS.into_iter().find(|step| (3..=9).contains(&on(*step).count()))?;
    let label = |time: i64| {
        let at_midnight = time.rem_euclid(DAY) == 0;
        if at_midnight { form.date_only().text(time) } else { form.time_of_day(time) }
    };
    Some(on(step).map(|(row, time)| (*row, label(*time))).collect())
}

const DAY: i64 = 86_400;

/// 1, 2 or 5 times a power of ten, so that at most ten steps fit in `rows`.
fn round_step(rows: usize) -> usize {
    let mut step = 1;
    for factor in [2, 5, 10].into_iter().cycle() {
        if rows / step <= 10 {
            return step;
        }
        let power = 10_usize.pow(step.ilog10());
        step = power * factor;
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    fn months(count: usize) -> Timeline {
        Timeline::read((0..count).map(|i| format!("{}-{:02}", 1949 + i / 12, i % 12 + 1)).collect())
    }

    #[test]
    fn dates_go_on() {
        let timeline = months(24);
        assert_eq!(timeline.label(0), "1949-01");
        assert_eq!(timeline.label(24), "1951-01");
        assert_eq!(timeline.season(), Some(12));
        assert_eq!(timeline.ticks(0..30), [(0, "1949".into()), (12, "1950".into()), (24, "1951".into())]);
        assert_eq!(timeline.ticks(6..30).len(), 4, "too few years: round rows");
        assert!(months(1200).ticks(0..1200).len() <= 14);
    }

    #[test]
    fn hours_have_round_ticks() {
        let hours = (0..48).map(|i| format!("2024-02-{:02} {:02}:00", 28 + i / 24, i % 24)).collect();
        let timeline = Timeline::read(hours);
        let ticks = timeline.ticks(3..60);
        let texts: Vec<&str> = ticks.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(
            texts,
            ["06:00", "12:00", "18:00", "2024-02-29", "06:00", "12:00", "18:00", "2024-03-01", "06:00"]
        );
        assert_eq!(ticks[3].0, 24);
    }

    #[test]
    fn what_is_no_date_is_a_label() {
        let timeline = Timeline::read(vec!["a".into(), "2020-01".into()]);
        assert_eq!((timeline.label(1), timeline.label(2)), ("2020-01".into(), "2".into()));
        let mixed = Timeline::read(vec!["2020".into(), "2020-01".into()]);
        assert!(matches!(mixed, Timeline::Labels(_)));
        assert_eq!(Timeline::Rows.label(7), "7");
    }

    #[test]
    fn disorder_is_found() {
        let timeline = Timeline::read(vec!["2020-02".into(), "2020-03".into(), "2020-01".into()]);
        assert_eq!(timeline.out_of_order(), Some(2));
        assert_eq!(months(5).out_of_order(), None);
    }

    #[test]
    fn ticks_are_few_and_round() {
        for rows in [1, 9, 11, 99, 100, 101, 5000, 123_456] {
            let ticks = Timeline::Rows.ticks(0..rows);
            assert!(!ticks.is_empty() && ticks.len() <= 11, "{rows}: {}", ticks.len());
        }
        assert_eq!(Timeline::Rows.ticks(0..101)[1].0, 10);
    }
}
