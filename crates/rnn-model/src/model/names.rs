//! Keras's automatic names: the class in snake case, with `_1`, `_2` behind repeated ones.

use std::collections::{HashMap, HashSet};

/// Names from (given name, name to number), in order; given ones are kept, the others avoid them.
pub(super) fn unique(wanted: impl Iterator<Item = (Option<String>, String)> + Clone) -> Vec<String> {
    let given: HashSet<String> = wanted.clone().filter_map(|(given, _)| given).collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    let name = |(own, base): (Option<String>, String)| {
        own.unwrap_or_else(|| {
            let count = counts.entry(base.clone()).or_default();
            loop {
                let name = if *count == 0 { base.clone() } else { format!("{base}_{count}") };
                *count += 1;
                if !given.contains(&name) {
                    return name;
                }
            }
        })
    };
    wanted.map(name).collect()
}

/// `simple_rnn` of `SimpleRNN`.
pub(super) fn of_class(class: &str) -> String {
    match class {
        "LSTM" | "GRU" | "RNN" => class.to_lowercase(),
        "SimpleRNN" => "simple_rnn".to_owned(),
        "LSTMCell" => "lstm_cell".to_owned(),
        "GRUCell" => "gru_cell".to_owned(),
        "SimpleRNNCell" => "simple_rnn_cell".to_owned(),
        _ => snake_case(class),
    }
}

/// An underscore before each capital that a small letter or a digit with letters behind it precedes.
fn snake_case(class: &str) -> String {
    let mut out = String::new();
    for (i, c) in class.chars().enumerate() {
        if c.is_uppercase() && i > 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    // Keras's names of layers that end in 1D: global_max_pooling1d
    out.replace("1_d", "1d")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_are_numbered_around_given_ones() {
        let dense = || (None, "dense".to_owned());
        let given = |name: &str| (Some(name.to_owned()), "dense".to_owned());
        let names = unique(vec![dense(), given("dense_1"), dense(), given("mine"), dense()].into_iter());
        assert_eq!(names, ["dense", "dense_1", "dense_2", "mine", "dense_3"]);
    }

    #[test]
    fn classes_become_kerass_names() {
        assert_eq!(of_class("SimpleRNN"), "simple_rnn");
        assert_eq!(of_class("RepeatVector"), "repeat_vector");
        assert_eq!(of_class("LSTMCell"), "lstm_cell");
        assert_eq!(of_class("GlobalMaxPooling1D"), "global_max_pooling1d");
        assert_eq!(of_class("SpatialDropout1D"), "spatial_dropout1d");
    }
}
