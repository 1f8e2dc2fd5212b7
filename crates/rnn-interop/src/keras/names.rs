//! Names that Keras derives from classes. Its weight files are addressed by them, never by the names of layers.

use std::collections::HashMap;

/// `simple_rnn` of `SimpleRNN`, `p_re_lu` of `PReLU`, `global_max_pooling1d` of `GlobalMaxPooling1D`: an underscore before
/// each capital that begins a word of small letters, and between a small letter and a capital.
pub(super) fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let small = |c: Option<&char>| c.is_some_and(char::is_ascii_lowercase);
    let mut name = String::new();
    // Where the pattern of a word that was found last ends: words do not overlap.
    let mut end = 0;
    for (i, &c) in letters.iter().enumerate() {
        let begins = c.is_ascii_uppercase() && small(letters.get(i + 1)) && i > end;
        if begins {
            let word = letters[i + 1..].iter().take_while(|c| c.is_ascii_lowercase()).count();
            end = i + 1 + word;
        }
        let rises = c.is_ascii_uppercase() && i > 0 && letters[i - 1].is_ascii_lowercase();
        if begins || rises {
            name.push('_');
        }
        name.extend(c.to_lowercase());
    }
    name
}

/// Names of the members of a list by their classes: `dense`, `lstm`, `dense_1`.
#[derive(Default)]
pub(super) struct Numbered {
    used: HashMap<String, usize>,
}

impl Numbered {
    /// The next one's name.
    pub fn next(&mut self, class: &str) -> String {
        let name = snake_case(class);
        let count = self.used.entry(name.clone()).and_modify(|n| *n += 1).or_insert(0);
        if *count == 0 { name } else { format!("{name}_{count}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_become_the_names_in_weight_files() {
        // From keras.src.utils.naming.to_snake_case of Keras 3.15.
        for (class, name) in [
            ("Dense", "dense"),
            ("LSTM", "lstm"),
            ("LSTMCell", "lstm_cell"),
            ("GRUCell", "gru_cell"),
            ("SimpleRNN", "simple_rnn"),
            ("SimpleRNNCell", "simple_rnn_cell"),
            ("StackedRNNCells", "stacked_rnn_cells"),
            ("RNN", "rnn"),
            ("ELU", "elu"),
            ("ReLU", "re_lu"),
            ("PReLU", "p_re_lu"),
            ("LeakyReLU", "leaky_re_lu"),
            ("TimeDistributed", "time_distributed"),
            ("GlobalMaxPooling1D", "global_max_pooling1d"),
            ("SpatialDropout1D", "spatial_dropout1d"),
            ("LayerNormalization", "layer_normalization"),
            ("Functional", "functional"),
        ] {
            assert_eq!(snake_case(class), name);
        }
        let mut names = Numbered::default();
        assert_eq!(
            ["Dense", "LSTM", "Dense", "Dense"].map(|c| names.next(c)),
            ["dense", "lstm", "dense_1", "dense_2"]
        );
    }
}
