//! What the rows of a series are called: dates that go on into the future, labels, or just numbers.

use crate::calendar::{self, Every, Form, Precision};

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

    /// At most about ten ticks for an axis of `rows` rows: (row, text).
    pub fn ticks(&self, rows: usize) -> Vec<(usize, String)> {
        if let Timeline::Dates { times, every: Some(Every::Months(months)), .. } = self
            && let Some(years) = self.year_ticks(times[0], *months, rows)
        {
            return years;
        }
        let step = round_step(rows);
        (0..rows).step_by(step).map(|row| (row, self.short_label(row))).collect()
    }

    /// The Januaries, every so many years.
    fn year_ticks(&self, first: i64, months: i64, rows: usize) -> Option<Vec<(usize, String)>> {
        let year_of = |row: usize| {
            let time = Every::Months(months).after(first, row as i64)?;
            let (year, month, _) = calendar::civil(time.div_euclid(86_400));
            (month == 1).then_some(year)
        };
        let years: Vec<(usize, i64)> = (0..rows).filter_map(|row| Some((row, year_of(row)?))).collect();
        if years.len() < 3 {
            return None;
        }
        let step = [1, 2, 5, 10, 20, 25, 50, 100, 200, 500]
            .into_iter()
            .find(|step| years.len() as i64 / step <= 14)?;
        Some(
            years
                .into_iter()
                .filter(|(_, year)| year.rem_euclid(step) == 0)
                .map(|(row, year)| (row, year.to_string()))
                .collect(),
        )
    }

    /// A label that fits under an axis: dates without their time of day where that is midnight.
    fn short_label(&self, row: usize) -> String {
        let label = self.label(row);
        match self {
            Timeline::Dates { form, .. } if form.precision > Precision::Day => label
                .strip_suffix("00:00")
                .map_or(label.clone(), |day| day.trim_end_matches(['T', ' ']).to_owned()),
            _ => label.chars().take(16).collect(),
        }
    }
}

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
        assert_eq!(timeline.ticks(30), [(0, "1949".into()), (12, "1950".into()), (24, "1951".into())]);
        assert!(months(1200).ticks(1200).len() <= 14);
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
            let ticks = Timeline::Rows.ticks(rows);
            assert!(!ticks.is_empty() && ticks.len() <= 11, "{rows}: {}", ticks.len());
        }
        assert_eq!(Timeline::Rows.ticks(101)[1].0, 10);
    }
}
