//! What a state dict does not say, and a caller may.

use crate::{Error, Result};
use rnn_model::Activation;
use rnn_model::layer::Activate;

/// What a state dict does not say: it has names, shapes and numbers, but not which module feeds which.
///
/// Most files need one or two of these; the error says which. `TorchOptions::default()` says nothing.
///
/// ```
/// use rnn_interop::torch::{Steps, TorchOptions};
/// let options = TorchOptions::default().set("output=last")?.set("nonlinearity=relu")?;
/// assert_eq!(options.output, Some(Steps::Last));
/// # Ok::<(), rnn_interop::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TorchOptions {
    /// which module belongs to which layers of a model: prefix, and the names of its layers. Without an entry they are
    /// brought together by names, then by kinds and sizes.
    pub map: Vec<(String, Vec<String>)>,
    /// prefixes of the modules in the order in which the data goes through them
    pub order: Vec<String>,
    /// what the layers behind the last recurrent one see
    pub output: Option<Steps>,
    /// of `nn.RNN`
    pub nonlinearity: Option<Nonlinearity>,
    /// between `nn.Linear` modules that follow each other
    pub activation: Option<Activate>,
    /// prefixes of matrices without a bias that are `nn.Embedding`
    pub embeddings: Vec<String>,
}

/// What the layers behind the last recurrent one see of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// The last state, `h_n`; of a module in both directions the last state of each.
    Last,
    /// The outputs of all steps.
    All,
}

/// The activation of `nn.RNN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonlinearity {
    /// PyTorch's default.
    Tanh,
    /// `nonlinearity="relu"`
    Relu,
}

impl From<Nonlinearity> for Activation {
    fn from(nonlinearity: Nonlinearity) -> Activation {
        match nonlinearity {
            Nonlinearity::Tanh => Activation::Tanh,
            Nonlinearity::Relu => Activation::Relu,
        }
    }
}

impl TorchOptions {
    /// Sets one of the options by a word, as a command line has it: `output=last`, `nonlinearity=relu`, `activation=relu`,
    /// `order=embed,lstm,fc`, `embedding=table`, `map=encoder:lstm+lstm_1`.
    ///
    /// # Errors
    /// When there is no such option or value.
    pub fn set(mut self, word: &str) -> Result<Self> {
        let unknown = || {
            let problem = "write output=last or output=all, nonlinearity=tanh or nonlinearity=relu, activation=NAME, \
                           order=PREFIX,PREFIX, embedding=PREFIX, or map=PREFIX:LAYER+LAYER";
            Error::unsupported(format!("torch option {word:?}"), problem)
        };
        let (name, value) = word.split_once('=').ok_or_else(unknown)?;
        match (name.trim(), value.trim()) {
            ("output", "last") => self.output = Some(Steps::Last),
            ("output", "all") => self.output = Some(Steps::All),
            ("nonlinearity", "tanh") => self.nonlinearity = Some(Nonlinearity::Tanh),
            ("nonlinearity", "relu") => self.nonlinearity = Some(Nonlinearity::Relu),
            ("activation", value) => {
                let activate = Activate::from_name(value);
                self.activation =
                    Some(activate.map_err(|e| Error::unsupported(format!("torch option {word:?}"), e))?);
            }
            ("order", value) => {
                self.order = value.split(',').map(|prefix| prefix.trim().to_owned()).collect()
            }
            ("embedding", value) => self.embeddings.push(value.to_owned()),
            ("map", value) => {
                let (prefix, layers) = value.rsplit_once(':').ok_or_else(unknown)?;
                self.map.push((prefix.to_owned(), layers.split('+').map(str::to_owned).collect()));
            }
            _ => return Err(unknown()),
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_set_options() {
        let options =
            ["output=all", "activation=relu", "order=a, b", "embedding=t", "map=e.l:lstm+lstm_1", "map=:gru"];
        let options =
            options.iter().try_fold(TorchOptions::default(), |options, word| options.set(word)).unwrap();
        assert_eq!(options.order, ["a", "b"]);
        assert_eq!(options.map[0], ("e.l".to_owned(), vec!["lstm".to_owned(), "lstm_1".to_owned()]));
        assert_eq!(options.map[1].0, "");
        for word in
            ["", "output", "output=first", "nonlinearity=selu", "activation=nothing", "map=x", "layers=3"]
        {
            assert!(TorchOptions::default().set(word).is_err(), "{word}");
        }
    }
}
