//! Charts of series as PNG: drawn at twice the size and averaged down, so that lines are smooth.

use std::ops::Range;
use std::path::Path;
use std::sync::Once;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use crate::failure::{Failure, Outcome};
use crate::files;

/// One line of a chart; its points are (row, value).
#[derive(Clone, Debug)]
pub struct Line {
    pub name: String,
    pub points: Vec<(usize, f64)>,
    pub look: Look,
}

/// What a line shows, and so how it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The series itself.
    Actual,
    /// The model on rows it was trained on.
    Fit,
    /// The model on rows it never saw.
    HeldBack,
    /// What to beat.
    Baseline,
    /// Rows that nobody has seen.
    Forecast,
}

impl Look {
    fn colour(self) -> RGBColor {
        match self {
            Look::Actual => RGBColor(31, 41, 55),
            Look::Fit => RGBColor(96, 165, 250),
            Look::HeldBack => RGBColor(29, 78, 216),
            Look::Baseline => RGBColor(148, 150, 158),
            Look::Forecast => RGBColor(220, 38, 38),
        }
    }

    fn width(self) -> u32 {
        match self {
            Look::Baseline => 1,
            _ => 2,
        }
    }
}

/// A range around a line: its points are (row, low, high).
#[derive(Clone, Debug)]
pub struct Band {
    pub name: String,
    pub points: Vec<(usize, f64, f64)>,
}

/// A chart over the rows of a series.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    pub title: String,
    pub subtitle: String,
    pub x_label: String,
    pub y_label: String,
    /// Rows on the axis, those of a forecast included; what lies outside is not drawn.
    pub rows: Range<usize>,
    /// (row, text) below the axis.
    pub ticks: Vec<(usize, String)>,
    /// Rows with a shaded background: first, end, what they are.
    pub held_back: Option<(usize, usize, String)>,
    /// Around the forecast.
    pub band: Option<Band>,
    pub lines: Vec<Line>,
}

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 640;
/// Drawn at this multiple of the size.
const SCALE: u32 = 2;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(55, 65, 81);

impl Chart {
    /// Draws the chart and writes it as a PNG file.
    pub fn save(&self, path: &Path) -> Outcome {
        let failed = |error: String| {
            Failure::other(format!("{}: the chart could not be drawn: {error}", path.display()))
        };
        let mut pixels = vec![255_u8; (WIDTH * SCALE * HEIGHT * SCALE * 3) as usize];
        self.draw(&mut pixels).map_err(failed)?;
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, WIDTH, HEIGHT);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(|error| failed(error.to_string()))?;
        writer.write_image_data(&shrink(&pixels)).map_err(|error| failed(error.to_string()))?;
        writer.finish().map_err(|error| failed(error.to_string()))?;
        files::write(path, &bytes)
    }

    fn draw(&self, pixels: &mut [u8]) -> Result<(), String> {
        static FONTS: Once = Once::new();
        // Refused only for bytes that are no font; drawing text says so then.
        FONTS.call_once(|| drop(register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)));
        let size = |points: u32| (points * SCALE) as i32;
        let font = |points: u32| (FONT, size(points)).into_font().color(&INK);
        let text = |error: DrawingAreaErrorKind<_>| -> String { format!("{error:?}") };
        let root = BitMapBackend::with_buffer(pixels, (WIDTH * SCALE, HEIGHT * SCALE)).into_drawing_area();
        root.fill(&WHITE).map_err(text)?;
        root.draw(&Text::new(self.title.clone(), (size(24), size(16)), font(22))).map_err(text)?;
        let grey = (FONT, size(14)).into_font().color(&RGBColor(107, 114, 128));
        root.draw(&Text::new(self.subtitle.clone(), (size(24), size(44)), grey)).map_err(text)?;

        let (low, high) = self.range();
        let end = self.rows.end.max(self.rows.start + 2);
        let rows = RowAxis { rows: self.rows.start..end, ticks: self.ticks.clone() };
        let mut chart = ChartBuilder::on(&root.margin(size(72), size(14), size(16), size(28)))
            .x_label_area_size(size(46))
            .y_label_area_size(size(64))
            .build_cartesian_2d(rows, low..high)
            .map_err(text)?;
        if let Some((first, end, _)) = &self.held_back {
            let (first, end) = (*first.max(&self.rows.start), *end.min(&self.rows.end));
            let corners = [(first as f64 - 0.5, low), (end as f64 - 0.5, high)];
            let shade = Rectangle::new(corners, RGBColor(254, 249, 231).filled());
            chart.draw_series([shade]).map_err(text)?;
        }
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE.mix(0.0))
            .bold_line_style(RGBColor(226, 228, 233).stroke_width(SCALE / 2))
            .axis_style(RGBColor(156, 163, 175).stroke_width(SCALE / 2))
            .y_labels(8)
            .y_label_formatter(&|y| number(*y, high - low))
            .label_style(font(13))
            .axis_desc_style(font(14))
            .x_desc(self.x_label.clone())
            .y_desc(self.y_label.clone())
            .draw()
            .map_err(text)?;
        if let Some((first, _, words)) = &self.held_back {
            let style = (FONT, size(13)).into_font().color(&RGBColor(161, 98, 7));
            let at = (*first.max(&self.rows.start) as f64 - 0.5, high);
            let label = EmptyElement::at(at) + Text::new(words.clone(), (size(6), size(6)), style);
            chart.draw_series([label]).map_err(text)?;
        }
        if let Some(Band { points, name }) = &self.band {
            let up = points.iter().map(|(row, _, high)| (*row as f64, *high));
            let down = points.iter().rev().map(|(row, low, _)| (*row as f64, *low));
            let fill = Look::Forecast.colour().mix(0.15);
            let area = Polygon::new(up.chain(down).collect::<Vec<_>>(), fill);
            chart.draw_series([area]).map_err(text)?.label(name.clone()).legend(move |(x, y)| {
                Rectangle::new([(x, y - size(5)), (x + size(22), y + size(5))], fill.filled())
            });
        }
        for line in &self.lines {
            let style = line.look.colour().stroke_width(line.look.width() * SCALE);
            let points = self.shown(line).map(|(row, value)| (row as f64, value)).collect::<Vec<_>>();
            let dot = (style.stroke_width as i32 / 2, style.color.filled());
            let drawn = match line.look {
                Look::Baseline => chart
                    .draw_series(DashedLineSeries::new(points, size(5) as u32, size(3) as u32, style))
                    .map_err(text)?,
                // Segments with a dot on each joint: joined lines have spikes where they turn sharply.
                _ => {
                    let dots = points.iter().map(|point| Circle::new(*point, dot.0, dot.1));
                    chart.draw_series(dots).map_err(text)?;
                    let segments = points.windows(2).map(|pair| PathElement::new(pair.to_vec(), style));
                    chart.draw_series(segments).map_err(text)?
                }
            };
            let (dash, gap) = if line.look == Look::Baseline { (size(5), size(8)) } else { (size(22), 0) };
            drawn.label(line.name.clone()).legend(move |(x, y)| {
                let part = |from: i32| PathElement::new([(from, 0), ((from + dash).min(size(22)), 0)], style);
                EmptyElement::at((x, y)) + part(0) + part(gap) + part(2 * gap)
            });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::Coordinate(size(14), size(12)))
            .margin(size(12))
            .legend_area_size(size(30))
            .background_style(WHITE.mix(0.9))
            .border_style(RGBColor(209, 213, 219).stroke_width(SCALE / 2))
            .label_font(font(14))
            .draw()
            .map_err(text)?;
        root.present().map_err(text)
    }

    fn shown(&self, line: &Line) -> impl Iterator<Item = (usize, f64)> {
        line.points.iter().copied().filter(|(row, _)| self.rows.contains(row))
    }

    /// The values on the axis, with some air; a legend sits in the upper left.
    fn range(&self) -> (f64, f64) {
        let lines = self.lines.iter().flat_map(|line| self.shown(line).map(|(_, value)| value));
        let band =
            self.band.iter().flat_map(|band| band.points.iter().flat_map(|(_, low, high)| [*low, *high]));
        let (low, high) = lines
            .chain(band)
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return (0.0, 1.0);
        }
        let air = if high > low { 0.06 * (high - low) } else { 0.5 * high.abs().max(1.0) };
        let from_zero = low >= 0.0 && low < 0.35 * high;
        (if from_zero { 0.0 } else { low - air }, high + 2.0 * air)
    }
}

/// The rows of a series as an axis with its own ticks; half a row of air at both ends.
struct RowAxis {
    rows: Range<usize>,
    ticks: Vec<(usize, String)>,
}

impl Ranged for RowAxis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (f64::from(to - from) * (value - self.rows.start as f64 + 0.5) / self.rows.len() as f64)
            .round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match hint.weight().allow_light_points() {
            true => Vec::new(),
            false => self.ticks.iter().map(|(row, _)| *row as f64).collect(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.rows.start as f64 - 0.5..self.rows.end as f64 - 0.5
    }
}

impl ValueFormatter<f64> for RowAxis {
    fn format_ext(&self, value: &f64) -> String {
        let found = self.ticks.iter().find(|(row, _)| (*row as f64 - value).abs() < 1e-6);
        found.map_or_else(String::new, |(_, text)| text.clone())
    }
}

/// As many decimals as the range of the axis needs.
fn number(value: f64, range: f64) -> String {
    let decimals = (1.0 - range.abs().max(1e-12).log10()).ceil().clamp(0.0, 9.0) as usize;
    if value.abs() >= 1e7 { format!("{value:.2e}") } else { format!("{value:.decimals$}") }
}

/// The mean of each square of `SCALE` by `SCALE` pixels.
fn shrink(pixels: &[u8]) -> Vec<u8> {
    let (width, scale) = ((WIDTH * SCALE) as usize, SCALE as usize);
    let mut small = Vec::with_capacity((WIDTH * HEIGHT * 3) as usize);
    for y in 0..HEIGHT as usize {
        for x in 0..WIDTH as usize {
            for channel in 0..3 {
                let pixel = |dx: usize, dy: usize| {
                    u32::from(pixels[((y * scale + dy) * width + x * scale + dx) * 3 + channel])
                };
                let sum: u32 = (0..scale * scale).map(|i| pixel(i % scale, i / scale)).sum();
                small.push((sum / (SCALE * SCALE)) as u8);
            }
        }
    }
    small
}
