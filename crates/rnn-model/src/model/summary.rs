//! The table of layers.

use super::Model;
use crate::error::AsShape;
use crate::layer::Layer;
use std::collections::HashMap;

/// Keras's automatic names: the class in snake case, with `_1`, `_2` behind repeated ones.
pub(super) fn layer_names(layers: &[Layer]) -> Vec<String> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let name = |layer: &Layer| {
        let class = layer.class();
        let base = match class {
            "LSTM" | "GRU" => class.to_lowercase(),
            "SimpleRNN" => "simple_rnn".to_owned(),
            _ => snake_case(class),
        };
        let count = seen.entry(class).or_default();
        *count += 1;
        if *count == 1 { base } else { format!("{base}_{}", *count - 1) }
    };
    layers.iter().map(name).collect()
}

fn snake_case(class: &str) -> String {
    let mut out = String::new();
    for (i, c) in class.chars().enumerate() {
        if c.is_uppercase() && i > 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

impl Model {
    /// A table of the layers with output shapes and numbers of weights.
    pub fn summary(&self) -> String {
        let batch = self.architecture.input.batch;
        let with_batch = |sample: &[Option<usize>]| {
            let mut shape = vec![batch];
            shape.extend_from_slice(sample);
            shape.as_slice().text()
        };
        let mut rows = vec![[String::from("Layer (type)"), "Output shape".into(), "Param #".into()]];
        rows.push(["input".into(), with_batch(self.input_shape()), "0".into()]);
        for node in &self.nodes {
            let params: usize = self.variables.iter().filter(|v| v.layer == node.index).map(|v| v.len).sum();
            let title = format!("{} ({})", node.name, node.layer.class());
            rows.push([title, with_batch(&node.output), thousands(params)]);
        }
        let width = |column: usize| rows.iter().map(|r| r[column].len()).max().unwrap_or(0);
        let (a, b, c) = (width(0), width(1), width(2));
        let line = "-".repeat(a + b + c + 4);
        let mut text = String::new();
        for (i, [name, shape, params]) in rows.iter().enumerate() {
            text.push_str(&format!("{name:<a$}  {shape:<b$}  {params:>c$}\n"));
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
