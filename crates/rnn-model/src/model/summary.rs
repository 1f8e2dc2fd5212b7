//! The table of layers.

use super::Model;
use super::graph::Edge;
use crate::error::AsShape;
use crate::layer::SampleShape;

impl Model {
    /// A table of the layers with output shapes and numbers of weights; of a graph that is no chain, with what each layer is
    /// applied to.
    pub fn summary(&self) -> String {
        let graph = &self.graph;
        let with_batch = |sample: &SampleShape| {
            let mut shape = vec![graph.batch()];
            shape.extend_from_slice(sample);
            shape.as_slice().text()
        };
        let name = |edge: &Edge| match *edge {
            Edge::Input(i) => graph.inputs[i].name.clone(),
            Edge::Output { call, output } => {
                let layer = &graph.layers[graph.calls[call].layer].name;
                if output == 0 { layer.clone() } else { format!("{layer}[{output}]") }
            }
        };
        let chain = graph.inputs.len() == 1
            && graph.calls.iter().enumerate().all(|(i, call)| match call.inputs.as_slice() {
                [Edge::Input(0)] => i == 0,
                [Edge::Output { call, output: 0 }] => call + 1 == i,
                _ => false,
            });
        let mut rows = vec![["Layer (type)", "Output shape", "Param #", "Applied to"].map(String::from)];
        for input in &graph.inputs {
            rows.push([input.name.clone(), with_batch(&input.input.sample), "0".into(), String::new()]);
        }
        for (i, (call, shapes)) in graph.calls.iter().zip(&self.shapes).enumerate() {
            let layer = &graph.layers[call.layer];
            let again = graph.calls[..i].iter().any(|c| c.layer == call.layer);
            let params: usize = self.variables.iter().filter(|v| v.layer == call.layer).map(|v| v.len).sum();
            let frozen = if layer.trainable || params == 0 { "" } else { ", not trained" };
            let title = format!("{} ({}{frozen})", layer.name, layer.layer.class());
            let params = if again { "shared".into() } else { thousands(params) };
            let shapes: Vec<String> = shapes.iter().map(with_batch).collect();
            let from: Vec<String> = call.inputs.iter().map(name).collect();
            rows.push([title, shapes.join(" "), params, from.join(", ")]);
        }
        if chain {
            rows.iter_mut().for_each(|row| row[3].clear());
        }
        let width = |column: usize| rows.iter().map(|r| r[column].len()).max().unwrap_or(0);
        let (a, b, c) = (width(0), width(1), width(2));
        let line = "-".repeat(a + b + c + 4 + if chain { 0 } else { 2 + width(3) });
        let mut text = String::new();
        for (i, [name, shape, params, from]) in rows.iter().enumerate() {
            let row = format!("{name:<a$}  {shape:<b$}  {params:>c$}  {from}");
            text.push_str(&format!("{}\n", row.trim_end()));
            if i == 0 {
                text.push_str(&format!("{line}\n"));
            }
        }
        let total = self.count_params();
        let bytes = total as f64 * 4.0;
        let size = match bytes {
            b if b >= 1e6 => format!("{:.2} MB", b / 1e6),
            b if b >= 1e3 => format!("{:.2} kB", b / 1e3),
            b => format!("{b} bytes"),
        };
        text.push_str(&format!("{line}\nTotal params: {} ({size})\n", thousands(total)));
        text
    }
}

fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}
