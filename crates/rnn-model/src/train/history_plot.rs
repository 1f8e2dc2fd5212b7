//! A drawing of a [`History`]: one panel for the loss and one for each metric, over the epochs.

use super::History;
use crate::Result;
use crate::files::write_atomically;
use std::fmt::Write;
use std::path::Path;

const WIDTH: f64 = 720.0;
const PANEL: f64 = 260.0;
/// room around the plot for title, axes and their numbers
const LEFT: f64 = 78.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 42.0;
/// Okabe and Ito's blue and vermilion, told apart by colour-blind eyes too
const TRAINING: &str = "#0072b2";
const VALIDATION: &str = "#d55e00";
/// From this ratio of largest to smallest on, small values are lost on a linear axis.
const LOG_RATIO: f64 = 30.0;

impl History {
    /// The curves as an SVG picture: loss, then each metric, the validation's beside the training's. An axis is logarithmic
    /// where values are positive and span a factor of more than 30; values that are not finite leave a gap.
    ///
    /// ```
    /// # use ndarray::Array;
    /// # use rnn_model::{Adam, Device, FitOptions, Input, Loss, Sequential, layer::{Dense, Lstm}};
    /// # let mut model = Sequential::new(Input::sequence(5, 1)).layer(Lstm::new(4)).layer(Dense::new(1)).build(&Device::cpu())?;
    /// # model.compile(Adam::new(), Loss::MeanSquaredError, &[])?;
    /// # let (x, y) = (Array::<f32, _>::ones((20, 5, 1)), Array::<f32, _>::ones((20, 1)));
    /// let history = model.fit(&x, &y, FitOptions::new().epochs(3))?;
    /// assert!(history.to_svg().starts_with("<svg"));
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    pub fn to_svg(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in self.logs.iter().flat_map(|logs| logs.iter()) {
            let name = name.strip_prefix("val_").unwrap_or(name);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let height = PANEL * names.len().max(1) as f64;
        let mut svg = String::new();
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
        );
        if names.is_empty() {
            text(&mut svg, WIDTH / 2.0, PANEL / 2.0, "middle", "no epochs");
        }
        for (i, name) in names.iter().enumerate() {
            let curves = [self.curve(name), self.curve(&format!("val_{name}"))];
            panel(&mut svg, PANEL * i as f64, name, &curves);
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// Writes [`to_svg`](Self::to_svg) to a file.
    ///
    /// # Errors
    /// When the file can not be written.
    pub fn save_svg(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path, self.to_svg().as_bytes())
    }

    /// Epochs and values; those that are not finite too.
    fn curve(&self, name: &str) -> Vec<(f64, f64)> {
        let points = self.epochs.iter().zip(&self.logs);
        points.filter_map(|(&epoch, logs)| Some((epoch as f64, logs.get(name)?))).collect()
    }
}

/// From values to places on the picture.
struct Axis {
    from: f64,
    to: f64,
    log: bool,
    /// places of `from` and `to`
    start: f64,
    end: f64,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        let scaled = |x: f64| if self.log { x.log10() } else { x };
        let share = (scaled(value.clamp(self.from, self.to)) - scaled(self.from))
            / (scaled(self.to) - scaled(self.from));
        self.start + share * (self.end - self.start)
    }

    /// An axis that shows `values` with a little room, never without length.
    fn vertical(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        let bounds = |(a, b): (f64, f64), v: f64| (a.min(v), b.max(v));
        let (low, high) = values.filter(|v| v.is_finite()).fold((f64::INFINITY, f64::NEG_INFINITY), bounds);
        // So far from the largest and smallest f64 that differences, ratios and room stay finite.
        let (low, high) =
            if low > high { (0.0, 1.0) } else { (low.clamp(-1e150, 1e150), high.clamp(-1e150, 1e150)) };
        let low = if (0.0..1e-150).contains(&low) { 0.0 } else { low };
        let log = low > 0.0 && high / low > LOG_RATIO;
        let (from, to) = if log {
            let room = (high / low).powf(0.04);
            (low / room, high * room)
        } else {
            // Equal values get an axis around them.
            let room = (high - low) * 0.05;
            let room = if room > 0.0 { room } else { (low.abs() * 0.1).max(1e-6) };
            (low - room, high + room)
        };
        Axis { from, to, log, start, end }
    }

    /// Round values on the axis, about `count` of them.
    fn ticks(&self, count: f64, whole: bool) -> Vec<f64> {
        if self.log {
            let decades = self.from.log10().floor() as i32..=self.to.log10().ceil() as i32;
            let steps: &[f64] = match (self.to / self.from).log10() {
                d if d < 2.5 => &[1.0, 2.0, 5.0],
                _ => &[1.0],
            };
            // No more than about ten numbers on an axis of many decades.
            let every = ((self.to / self.from).log10() / 8.0).ceil().max(1.0) as i32;
            let powers = decades.filter(|d| d.rem_euclid(every) == 0);
            let ticks = powers.flat_map(|d| steps.iter().map(move |s| s * 10f64.powi(d)));
            return ticks.filter(|t| (self.from..=self.to).contains(t)).collect();
        }
        let rough = (self.to - self.from) / count;
        let power = 10f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|s| s * power).into_iter().find(|&s| s >= rough).unwrap_or(rough);
        let step = if whole { step.max(1.0).round() } else { step };
        let first = (self.from / step).ceil();
        (0..=(2.0 * count) as u32 + 2)
            .map(|i| (first + f64::from(i)) * step)
            .filter(|&t| t <= self.to)
            .collect()
    }
}

/// One number's curves, `top` pixels down.
fn panel(svg: &mut String, top: f64, name: &str, [training, validation]: &[Vec<(f64, f64)>; 2]) {
    let both = || training.iter().chain(validation);
    let (left, right, above, below) = (LEFT, WIDTH - RIGHT, top + TOP, top + PANEL - BOTTOM);
    let y = Axis::vertical(both().map(|p| p.1), below, above);
    let (first, last) = both().fold((f64::INFINITY, 0.0f64), |(a, b), p| (a.min(p.0), b.max(p.0)));
    // A single epoch stands in the middle.
    let alone = if first < last { 0.0 } else { 0.5 };
    let x = Axis { from: first - alone, to: last + alone, log: false, start: left, end: right };

    for value in y.ticks(5.0, false) {
        let at = y.at(value);
        line(svg, (left, at), (right, at), "#e4e4e4");
        text(svg, left - 8.0, at + 4.0, "end", &number(value));
    }
    for value in x.ticks(9.0, true) {
        let at = x.at(value);
        line(svg, (at, below), (at, below + 5.0), "#888");
        text(svg, at, below + 18.0, "middle", &number(value));
    }
    line(svg, (left, above), (left, below), "#888");
    line(svg, (left, below), (right, below), "#888");
    text(svg, (left + right) / 2.0, below + 34.0, "middle", "epoch");
    let scale = if y.log { " (logarithmic)" } else { "" };
    let _ = writeln!(
        svg,
        "<text x=\"{left}\" y=\"{}\" font-size=\"14\" font-weight=\"bold\">{}<tspan font-size=\"12\" font-weight=\"normal\" \
         fill=\"#777\">{scale}</tspan></text>",
        above - 14.0,
        escaped(name)
    );
    let mut legend = right;
    for (curve, colour, label) in [(validation, VALIDATION, "validation"), (training, TRAINING, "training")] {
        if curve.is_empty() {
            continue;
        }
        draw(svg, curve, &x, &y, colour);
        text(svg, legend, above - 14.0, "end", label);
        legend -= 7.0 * label.len() as f64;
        let _ = writeln!(
            svg,
            "<line x1=\"{}\" y1=\"{1}\" x2=\"{legend}\" y2=\"{1}\" stroke=\"{colour}\" stroke-width=\"3\"/>",
            legend - 22.0,
            above - 18.0
        );
        legend -= 38.0;
    }
}

/// A line through what is finite, and dots where there are few values.
fn draw(svg: &mut String, curve: &[(f64, f64)], x: &Axis, y: &Axis, colour: &str) {
    for run in curve.split(|p| !p.1.is_finite()).filter(|run| !run.is_empty()) {
        let points: Vec<String> = run.iter().map(|p| format!("{:.1},{:.1}", x.at(p.0), y.at(p.1))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" stroke-linejoin=\"round\"/>",
            points.join(" ")
        );
        if curve.len() <= 30 || run.len() == 1 {
            for p in run {
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.6\" fill=\"{colour}\"/>",
                    x.at(p.0),
                    y.at(p.1)
                );
            }
        }
    }
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(text));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A round number, without the digits that adding steps leaves behind.
fn number(value: f64) -> String {
    if value == 0.0 || value.abs() < 1e-300 {
        return "0".into();
    }
    let rounded = format!("{value:.4e}");
    let clean: f64 = rounded.parse().unwrap_or(value);
    if (1e-4..1e6).contains(&clean.abs()) { clean.to_string() } else { format!("{clean:e}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Logs;

    fn history(values: &[(&str, &[f64])]) -> History {
        let epochs = values.first().map_or(0, |v| v.1.len());
        let logs = |i: usize| Logs(values.iter().map(|(name, v)| ((*name).to_owned(), v[i])).collect());
        History {
            epochs: (1..=epochs as u64).collect(),
            logs: (0..epochs).map(logs).collect(),
            stopped: false,
        }
    }

    #[test]
    fn every_curve_is_drawn_within_its_panel() {
        let history = history(&[
            ("loss", &[1.0, 0.1, 0.01]),
            ("mae<", &[1.0, f64::NAN, 2.0]),
            ("val_loss", &[2.0, 0.2, 0.02]),
        ]);
        let svg = history.to_svg();
        // loss and val_loss are whole; the NaN cuts mae in two.
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert!(svg.contains("(logarithmic)") && svg.contains("mae&lt;") && !svg.contains("NaN"));
        for point in
            svg.split("<polyline points=\"").skip(1).flat_map(|p| p.split('"').next().unwrap().split(' '))
        {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!(
                (LEFT..=WIDTH - RIGHT).contains(&x) && (TOP..=2.0 * PANEL - BOTTOM).contains(&y),
                "{point}"
            );
        }
    }

    #[test]
    fn extreme_values_give_a_picture() {
        let cases: [&[f64]; 8] = [
            &[],
            &[0.0],
            &[5.0, 5.0],
            &[f64::NAN, f64::NAN],
            &[f64::MAX, f64::MIN],
            &[1e-300, 1e300],
            &[-1.0, f64::INFINITY],
            &[1e-30, 0.0],
        ];
        for values in cases {
            let svg = history(&[("loss", values)]).to_svg();
            assert!(
                svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf"),
                "{values:?}: {svg}"
            );
            assert!(svg.len() < 20_000, "{values:?}: {}", svg.len());
        }
    }

    #[test]
    fn ticks_are_round() {
        let axis = |from, to, log| Axis { from, to, log, start: 0.0, end: 1.0 };
        let names = |ticks: Vec<f64>| ticks.into_iter().map(number).collect::<Vec<_>>();
        assert_eq!(names(axis(0.03, 0.41, false).ticks(5.0, false)), ["0.1", "0.2", "0.3", "0.4"]);
        assert_eq!(names(axis(1.0, 4.0, false).ticks(9.0, true)), ["1", "2", "3", "4"]);
        assert_eq!(
            names(axis(0.9e-5, 2.0, true).ticks(5.0, false)),
            ["1e-5", "0.0001", "0.001", "0.01", "0.1", "1"]
        );
        assert_eq!(names(axis(0.9, 60.0, true).ticks(5.0, false)), ["1", "2", "5", "10", "20", "50"]);
    }
}
