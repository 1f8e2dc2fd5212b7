//! A model drawn as SVG: a box for each input and each use of a layer, from top to bottom, with arrows for the values.

mod layout;

use super::Graph;
use super::graph::Edge;
use crate::Result;
use crate::error::AsShape;
use crate::files::write_atomically;
use crate::layer::SampleShape;
use layout::{Arrow, Layout, Node, layout};
use std::fmt::Write;
use std::path::Path;

/// Sizes in pixels: of a character of the text, of a box's height, of the gap between rows, and around everything.
const CHARACTER: f64 = 7.2;
const HEIGHT: f64 = 46.0;
const GAP: f64 = 44.0;
const MARGIN: f64 = 20.0;

/// What a box says, and its colour.
struct Label {
    title: String,
    shape: String,
    fill: &'static str,
}

impl Label {
    fn width(&self) -> f64 {
        self.title.chars().count().max(self.shape.chars().count()) as f64 * CHARACTER + 24.0
    }
}

/// The upper edge of a row.
fn top(row: usize) -> f64 {
    MARGIN + row as f64 * (HEIGHT + GAP)
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
        let (labels, nodes): (Vec<Label>, Vec<Node>) = self.boxes()?.into_iter().unzip();
        let sizes: Vec<(f64, usize)> = nodes.iter().map(|node| (node.width, node.row)).collect();
        let layout = layout(nodes);
        let right = layout.width + 2.0 * MARGIN;
        let bottom = top(sizes.iter().map(|size| size.1).max().unwrap_or(0)) + HEIGHT + MARGIN;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{right:.0}\" height=\"{bottom:.0}\" \
             viewBox=\"0 0 {right:.0} {bottom:.0}\" font-family=\"ui-monospace, Menlo, Consolas, monospace\" \
             font-size=\"12\">\n<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" \
             markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0 L8 4 L0 8 z\" fill=\"#475569\"/></marker></defs>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        for path in paths(&sizes, &layout) {
            let _ = writeln!(
                svg,
                "<path d=\"{path}\" fill=\"none\" stroke=\"#475569\" stroke-width=\"1.3\" marker-end=\"url(#arrow)\"/>"
            );
        }
        for ((label, &(width, row)), &middle) in labels.iter().zip(&sizes).zip(&layout.middle) {
            let middle = middle + MARGIN;
            let (x, y) = (middle - width / 2.0, top(row));
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" rx=\"6\" fill=\"{}\" \
                 stroke=\"#334155\"/>\n<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#0f172a\" \
                 font-weight=\"bold\">{}</text>\n<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\" \
                 fill=\"#334155\">{}</text>",
                label.fill,
                y + 19.0,
                escape(&label.title),
                y + 36.0,
                escape(&label.shape)
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

    /// A box for each input and call, in the row below the lowest that it comes from.
    fn boxes(&self) -> Result<Vec<(Label, Node)>> {
        let calls = self.shapes(&self.input_shapes())?;
        let shape = |sample: &SampleShape| {
            let mut all = vec![self.batch()];
            all.extend_from_slice(sample);
            all.as_slice().text()
        };
        let a_box = |label: Label, row, from| {
            let width = label.width();
            (label, Node { width, row, from })
        };
        let mut boxes = Vec::new();
        for input in &self.inputs {
            let (title, shape) = (input.name.clone(), shape(&input.input.sample));
            boxes.push(a_box(Label { title, shape, fill: "#e2e8f0" }, 0, Vec::new()));
        }
        let first = boxes.len();
        for (at, (call, shapes)) in self.calls.iter().zip(&calls).enumerate() {
            let source = |edge: &Edge| match *edge {
                Edge::Input(input) => input,
                Edge::Output { call, .. } => first + call,
            };
            let from: Vec<usize> = call.inputs.iter().map(source).collect();
            let row = from.iter().map(|&from| boxes[from].1.row + 1).max().unwrap_or(0);
            let layer = &self.layers[call.layer];
            let title = format!("{} ({})", layer.name, layer.layer.class());
            let shapes: Vec<String> = shapes.iter().map(shape).collect();
            let shown = self.outputs.iter().any(|e| matches!(e, Edge::Output { call, .. } if *call == at));
            let fill = if shown { "#bbf7d0" } else { "#dbeafe" };
            boxes.push(a_box(Label { title, shape: shapes.join(" "), fill }, row, from));
        }
        Ok(boxes)
    }
}

/// The ways of the arrows between boxes of these widths and rows.
fn paths(sizes: &[(f64, usize)], layout: &Layout) -> Vec<String> {
    let comes_from = |arrow: &Arrow<f64>| *arrow.through.last().unwrap_or(&layout.middle[arrow.from]);
    let mut paths = Vec::with_capacity(layout.arrows.len());
    for (to, &(width, row)) in sizes.iter().enumerate() {
        // Several arrows into one box arrive side by side, without crossing.
        let mut arriving: Vec<&Arrow<f64>> = layout.arrows.iter().filter(|arrow| arrow.to == to).collect();
        arriving.sort_by(|a, b| comes_from(a).total_cmp(&comes_from(b)));
        for (i, arrow) in arriving.iter().enumerate() {
            let share = (i + 1) as f64 / (arriving.len() + 1) as f64;
            let end = layout.middle[to] + width * (share - 0.5);
            let mut at = (layout.middle[arrow.from] + MARGIN, top(sizes[arrow.from].1) + HEIGHT);
            let mut path = format!("M{:.1} {:.1}", at.0, at.1);
            let first = sizes[arrow.from].1 + 1;
            for (passed, x) in arrow.through.iter().enumerate() {
                let (x, y) = (x + MARGIN, top(first + passed));
                bend(&mut path, at, (x, y));
                at = (x, y + HEIGHT);
                let _ = write!(path, " L{:.1} {:.1}", at.0, at.1);
            }
            bend(&mut path, at, (end + MARGIN, top(row) - 1.0));
            paths.push(path);
        }
    }
    paths
}

/// A curve that begins and ends downwards.
fn bend(path: &mut String, (x, y): (f64, f64), (to_x, to_y): (f64, f64)) {
    let half = (y + to_y) / 2.0;
    let _ = write!(path, " C{x:.1} {half:.1} {to_x:.1} {half:.1} {to_x:.1} {to_y:.1}");
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
