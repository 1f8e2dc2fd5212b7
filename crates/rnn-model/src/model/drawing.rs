//! A model drawn as SVG: a box for each input and each use of a layer, from top to bottom, with arrows for the values.

use super::Graph;
use super::graph::Edge;
use crate::Result;
use crate::error::AsShape;
use crate::files::write_atomically;
use crate::layer::SampleShape;
use std::fmt::Write;
use std::path::Path;

/// Sizes in pixels: of a character of the text, of a box's height, and of the gaps between boxes.
const CHARACTER: f64 = 7.2;
const HEIGHT: f64 = 46.0;
const GAP: (f64, f64) = (36.0, 44.0);
const MARGIN: f64 = 20.0;

/// A box of the drawing.
struct Place {
    title: String,
    shape: String,
    fill: &'static str,
    /// places that arrows come from
    from: Vec<usize>,
    row: usize,
    x: f64,
    width: f64,
}

impl Place {
    fn new(title: String, shape: String, fill: &'static str, from: Vec<usize>, row: usize) -> Self {
        let longest = title.chars().count().max(shape.chars().count());
        Place { title, shape, fill, from, row, x: 0.0, width: longest as f64 * CHARACTER + 24.0 }
    }

    fn middle(&self) -> f64 {
        self.x + self.width / 2.0
    }

    fn top(&self) -> f64 {
        MARGIN + self.row as f64 * (HEIGHT + GAP.1)
    }
}

impl Graph {
    /// A drawing of the graph as an SVG document: layers with their classes and output shapes, and what each is applied to.
    ///
    /// ```
    /// use rnn_model::{Input, Sequential, layer::{Dense, Lstm}};
    /// let graph = Sequential::new(Input::sequence(3, 1)).layer(Lstm::new(4)).layer(Dense::new(1)).graph()?;
    /// assert!(graph.to_svg()?.starts_with("<svg"));
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the graph's shapes do not fit, which a graph made by this crate's functions rules out.
    pub fn to_svg(&self) -> Result<String> {
        let places = arrange(self.places()?);
        let right = places.iter().map(|p| p.x + p.width).fold(0.0, f64::max) + MARGIN;
        let bottom = places.iter().map(|p| p.top() + HEIGHT).fold(0.0, f64::max) + MARGIN;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{right:.0}\" height=\"{bottom:.0}\" \
             viewBox=\"0 0 {right:.0} {bottom:.0}\" font-family=\"ui-monospace, Menlo, Consolas, monospace\" \
             font-size=\"12\">\n<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" \
             markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0 L8 4 L0 8 z\" fill=\"#475569\"/></marker></defs>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        for place in &places {
            for (i, &from) in place.from.iter().enumerate() {
                let source = &places[from];
                // Several arrows into one box arrive side by side.
                let share = (i + 1) as f64 / (place.from.len() + 1) as f64;
                let (x, y) = (source.middle(), source.top() + HEIGHT);
                let (to, end) = (place.x + place.width * share, place.top() - 1.0);
                let bend = (end - y) / 2.0;
                let _ = writeln!(
                    svg,
                    "<path d=\"M{x:.1} {y:.1} C{x:.1} {:.1} {to:.1} {:.1} {to:.1} {end:.1}\" fill=\"none\" \
                     stroke=\"#475569\" stroke-width=\"1.3\" marker-end=\"url(#arrow)\"/>",
                    y + bend,
                    end - bend
                );
            }
        }
        for place in &places {
            let (x, y, width, middle) = (place.x, place.top(), place.width, place.middle());
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" rx=\"6\" fill=\"{}\" \
                 stroke=\"#334155\"/>\n<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#0f172a\" \
                 font-weight=\"bold\">{}</text>\n<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\" \
                 fill=\"#334155\">{}</text>",
                place.fill,
                y + 19.0,
                escape(&place.title),
                y + 36.0,
                escape(&place.shape)
            );
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }

    /// Writes [`to_svg`](Self::to_svg) to a file.
    ///
    /// # Errors
    /// When the file can not be written.
    pub fn save_svg(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path, self.to_svg()?.as_bytes())
    }

    /// A box for each input and call, with its row: one below the lowest that it needs.
    fn places(&self) -> Result<Vec<Place>> {
        let calls = self.shapes(&self.input_shapes())?;
        let shape = |sample: &SampleShape| {
            let mut all = vec![self.batch()];
            all.extend_from_slice(sample);
            all.as_slice().text()
        };
        let input = |i: &super::graph::GraphInput| {
            Place::new(i.name.clone(), shape(&i.input.sample), "#e2e8f0", Vec::new(), 0)
        };
        let mut places: Vec<Place> = self.inputs.iter().map(input).collect();
        let first = places.len();
        for (call, shapes) in self.calls.iter().zip(&calls) {
            let from: Vec<usize> = call
                .inputs
                .iter()
                .map(|edge| match *edge {
                    Edge::Input(i) => i,
                    Edge::Output { call, .. } => first + call,
                })
                .collect();
            let row = from.iter().map(|&p| places[p].row + 1).max().unwrap_or(0);
            let layer = &self.layers[call.layer];
            let title = format!("{} ({})", layer.name, layer.layer.class());
            let shapes: Vec<String> = shapes.iter().map(shape).collect();
            let at = places.len() - first;
            let shown = self.outputs.iter().any(|e| matches!(e, Edge::Output { call, .. } if *call == at));
            let fill = if shown { "#bbf7d0" } else { "#dbeafe" };
            places.push(Place::new(title, shapes.join(" "), fill, from, row));
        }
        Ok(places)
    }
}

/// Puts the boxes of each row side by side, each as near below what it comes from as there is room.
fn arrange(mut places: Vec<Place>) -> Vec<Place> {
    let rows = places.iter().map(|p| p.row + 1).max().unwrap_or(0);
    for row in 0..rows {
        let mut members: Vec<usize> = (0..places.len()).filter(|&i| places[i].row == row).collect();
        let wish = |places: &[Place], i: usize| {
            let from = &places[i].from;
            let sum: f64 = from.iter().map(|&p| places[p].middle()).sum();
            if from.is_empty() { 0.0 } else { sum / from.len() as f64 - places[i].width / 2.0 }
        };
        members.sort_by(|&a, &b| wish(&places, a).total_cmp(&wish(&places, b)).then(a.cmp(&b)));
        let mut free = MARGIN;
        for i in members {
            let x = wish(&places, i).max(free);
            places[i].x = x;
            free = x + places[i].width + GAP.0;
        }
    }
    let left = places.iter().map(|p| p.x).fold(f64::INFINITY, f64::min);
    places.iter_mut().for_each(|p| p.x += MARGIN - left);
    places
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use crate::layer::{Dense, Lstm, SharedLayer, add};
    use crate::{Graph, Input, Symbol};

    fn boxes(svg: &str) -> Vec<[f64; 4]> {
        let number = |line: &str, key: &str| -> f64 {
            let from = line.find(&format!(" {key}=\"")).expect(key) + key.len() + 3;
            line[from..].split('"').next().expect("a quote").parse().expect("a number")
        };
        let lines = svg.lines().filter(|l| l.starts_with("<rect x="));
        lines.map(|l| ["x", "y", "width", "height"].map(|key| number(l, key))).collect()
    }

    #[test]
    fn boxes_of_a_row_do_not_overlap() {
        let x = Input::sequence(None, 2).name("a < b").symbol();
        let branch = |units| x.layer(Lstm::new(units)).expect("a layer");
        let branches: Vec<Symbol> = (0..5).map(|_| branch(4)).collect();
        let all: Vec<&Symbol> = branches.iter().collect();
        let y = add(&all).expect("one shape");
        let z = y.layer(SharedLayer::new(Dense::new(1)).name("last")).expect("a layer");
        let svg = Graph::new(&[&x], &[&z]).expect("a graph").to_svg().expect("a drawing");
        assert!(svg.contains("a &lt; b") && !svg.contains("a < b"));
        let boxes = boxes(&svg);
        assert_eq!(boxes.len(), 8);
        for (i, a) in boxes.iter().enumerate() {
            for b in &boxes[..i] {
                let apart = a[1] != b[1] || a[0] >= b[0] + b[2] || b[0] >= a[0] + a[2];
                assert!(apart, "{a:?} and {b:?}");
            }
        }
        // five arrows into the sum, one into each layer and into the last
        assert_eq!(svg.matches("marker-end").count(), 11);
    }
}
