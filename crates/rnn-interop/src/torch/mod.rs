//! PyTorch: state dicts of `nn.LSTM`, `nn.GRU`, `nn.RNN`, `nn.Embedding`, `nn.Linear` and `nn.LayerNorm` in `.safetensors`
//! files.
//!
//! A state dict has names, shapes and numbers. It does not say which module feeds which, so it is read into a model built
//! here ([`read_into`]), or, where the modules make a plain chain, into one made of their names and sizes ([`read`]).
//! Files of `torch.save` are pickles, which are programs, and are not read.
//!
//! | PyTorch | here |
//! |---|---|
//! | `weight_ih_l*`, `weight_hh_l*` `[gates * units, n]` | `kernel`, `recurrent_kernel` `[n, gates * units]` |
//! | gates i, f, g, o; r, z, n | i, f, c, o; z, r, h |
//! | `bias_ih_l*`, `bias_hh_l*` of an LSTM or RNN | `bias`, their sum |
//! | the same of a GRU | `bias` `[2, 3 * units]`, `reset_after` |
//! | `weight_hr_l*` (`proj_size`) | `projection_kernel`, transposed |
//! | `weight` `[out, in]` of `nn.Linear` | `kernel` `[in, out]` of `Dense` |
//!
//! On the way back the second bias of an LSTM or RNN is 0. Predictions are the same; a training that goes on is not: PyTorch
//! gives each of the two biases the gradient that the one here has, and so moves their sum twice as far.

mod convert;
mod infer;
mod load;
mod matching;
mod module;
mod options;
mod part;
mod write;

pub use options::{Nonlinearity, Steps, TorchOptions};
pub use write::{TorchModule, modules, write};

use crate::{Error, Limits, PortableModel, Result, safetensors};
use module::Module;
use rnn_model::Graph;

/// A state dict, with the architecture inferred from the names and sizes of its tensors.
///
/// # Errors
/// When the file is damaged, when its modules make no chain, or when something that a state dict does not say decides the
/// numbers: the error then names the option of [`TorchOptions`] that says it.
pub fn read(bytes: &[u8], limits: &Limits, options: &TorchOptions) -> Result<PortableModel> {
    let modules = modules_of(bytes, limits)?;
    let inferred = infer::infer(&modules, options)?;
    let mut model = load::load(&modules, &inferred.graph, &inferred.map, limits)?;
    // What is odd about a layer that was made for the module is said by the inference.
    model.notes = inferred.notes;
    Ok(model)
}

/// A state dict's weights in a graph built here.
///
/// Modules and layers are brought together as [`TorchOptions::map`] says, then where names are equal, then by kind and
/// sizes: a layer that one module alone fits takes that one, and modules whose names differ in their numbers alone (`fc1`,
/// `fc2`) are taken in the order of the numbers. A module of several layers fills as many layers that follow each other.
///
/// # Errors
/// When the file is damaged, when several modules fit a layer, or when something is left over on either side, all of which
/// is then listed.
pub fn read_into(
    bytes: &[u8],
    graph: &Graph,
    limits: &Limits,
    options: &TorchOptions,
) -> Result<PortableModel> {
    load::load(&modules_of(bytes, limits)?, graph, &options.map, limits)
}

/// What is in a state dict, in lines for a person: modules as PyTorch declares them, and tensors that are part of none.
///
/// # Errors
/// When the file is damaged.
pub fn describe(bytes: &[u8], limits: &Limits) -> Result<Vec<String>> {
    Ok(modules_of(bytes, limits)?.iter().map(Module::describe).collect())
}

fn modules_of<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Vec<Module<'a>>> {
    let file = safetensors::read(bytes, limits)?;
    if file.metadata.contains_key(safetensors::OUR_KEY) {
        let problem = "this is a model file of tidegate, with its architecture; it is no state dict";
        return Err(Error::unsupported("safetensors header", problem));
    }
    module::modules(file)
}
