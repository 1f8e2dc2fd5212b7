//! Embedding.

use super::{Constraint, Held, Initializer, LayerKind, Regularizer, SampleShape, VariableSpec, arity};
use crate::device::LayerOp;
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use rnn_shaders::shape::Steps;
use serde::{Deserialize, Serialize};

/// Whole numbers from 0 to `input_dim - 1` to rows of a table that is learned: `[batch, time]` to `[batch, time, output_dim]`,
/// and likewise for ids of any shape. Weights: embeddings `[input_dim, output_dim]`.
///
/// An id that the table does not have (negative, `input_dim` or above, a fraction, NaN) in an array that is given to the model
/// is an error that names its place, also where the ids come through layers that only move values (Reshape, Flatten, Permute,
/// Slice, Reverse, Concatenate). Of ids that are computed on the device, and of [`Tensor`](crate::Tensor)s, which are not read
/// back, fractions are cut off, and one that the table does not have gives a row of zeros.
///
/// The gradient of an id that occurs several times in a batch is the sum of theirs, which then goes to the optimizer.
///
/// ```
/// use rnn_model::{Device, Input, Sequential, layer::{Dense, Embedding, Lstm}};
/// let model = Sequential::new(Input::tokens(None))
///     .layer(Embedding::new(1000, 16).mask_zero(true))
///     .layer(Lstm::new(8))
///     .layer(Dense::new(1))
///     .build(&Device::cpu())?;
/// assert_eq!(model.get_weights()?[0].shape(), [1000, 16]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    input_dim: usize,
    output_dim: usize,
    embeddings_initializer: Initializer,
    #[serde(default, skip_serializing_if = "Held::is_free")]
    embeddings_held: Held,
    mask_zero: bool,
}

impl Embedding {
    /// A table of `input_dim` rows of `output_dim` values.
    pub fn new(input_dim: usize, output_dim: usize) -> Self {
        Embedding {
            input_dim,
            output_dim,
            embeddings_initializer: Initializer::RandomUniform { min: -0.05, max: 0.05 },
            embeddings_held: Held::default(),
            mask_zero: false,
        }
    }

    /// Start of the table; uniform between -0.05 and 0.05.
    pub fn embeddings_initializer(mut self, initializer: Initializer) -> Self {
        self.embeddings_initializer = initializer;
        self
    }

    /// A penalty on the table; none.
    pub fn embeddings_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.embeddings_held.regularizer = Some(regularizer);
        self
    }

    /// What the table is held to after each update; nothing.
    pub fn embeddings_constraint(mut self, constraint: Constraint) -> Self {
        self.embeddings_held.constraint = Some(constraint);
        self
    }

    /// Whether 0 means that there is no step here, which the layers behind then pass over; false. For ids `[batch, time]`.
    pub fn mask_zero(mut self, on: bool) -> Self {
        self.mask_zero = on;
        self
    }
}

impl LayerKind for Embedding {
    fn class(&self) -> &'static str {
        "Embedding"
    }

    fn output_shapes(&self, inputs: &[SampleShape]) -> Result<Vec<SampleShape>> {
        let [input] = inputs else { return Err(arity("Embedding", "one input", inputs.len())) };
        if self.input_dim == 0 || self.output_dim == 0 {
            return Err(Error::invalid("Embedding", "input_dim and output_dim must be at least 1"));
        }
        if self.mask_zero && input.len() != 1 {
            return Err(Error::shape("input of Embedding with mask_zero", "[batch, time]", input.as_slice()));
        }
        let mut shape = input.clone();
        shape.push(Some(self.output_dim));
        Ok(vec![shape])
    }

    fn variables(&self, _: &[SampleShape]) -> Vec<VariableSpec> {
        let shape = vec![self.input_dim, self.output_dim];
        let table = VariableSpec::new("embeddings", shape, self.embeddings_initializer);
        vec![table.held(self.embeddings_held)]
    }

    fn table_rows(&self) -> Option<usize> {
        Some(self.input_dim)
    }

    fn goes_in_parts(&self) -> bool {
        true
    }

    fn kernels(&self) -> &'static str {
        "one pass that gathers rows; backward each row sums its places in a fixed order"
    }

    fn lower(&self, l: &mut Lowering<'_>, node: &Node, inputs: &[Value]) -> Result<Vec<Value>> {
        let ids = inputs[0].clone();
        let (vocab, width) = (self.input_dim, self.output_dim);
        // Ids of a sequence stand by sample; ids of more axes by step already.
        let steps = match *ids.shape.as_slice() {
            [time] => Steps::by_sample(time, l.batch()),
            _ => Steps::by_step(1, ids.data.len),
        };
        let out = l.buffer(ids.data.len * width)?;
        l.emit(LayerOp::Embedding { steps, vocab, width, table: node.weights[0], ids: ids.data, out });
        let mut shape = ids.shape.clone();
        shape.push(width);
        let mut y = l.value(out, shape);
        if self.mask_zero {
            let flags = l.index_buffer(ids.data.len)?;
            l.emit(LayerOp::FlagsFromValues { steps, cols: 1, value: 0.0, x: ids.data, flags });
            y.mask = Some(flags);
        }
        if let Some(&dtable) = node.gradients.first() {
            let output = y.clone();
            l.backward(move |l| {
                let Some(dy) = l.gradient(&output) else { return Ok(()) };
                l.emit(LayerOp::EmbeddingBackward { steps, vocab, width, ids: ids.data, dy, dtable });
                Ok(())
            });
        }
        Ok(vec![y])
    }
}
