//! The backward pass: what layers leave on the tape, and where gradients come together.

use super::{Lowering, Value};
use crate::Result;
use crate::device::{Factors, Gradient, Op, Slice};

impl<'a> Lowering<'a> {
    /// Puts `f` on the tape.
    pub fn backward(&mut self, f: impl FnOnce(&mut Lowering<'a>) -> Result<()> + 'a) {
        if self.recording {
            self.tape.push(Box::new(f));
        }
    }

    /// The gradient that has reached `value`, if any has; one that came as a product is made now.
    pub fn gradient(&mut self, value: &Value) -> Option<Slice> {
        let factors = match self.gradient_as_it_came(value)? {
            Gradient::Made(slice) => return Some(slice),
            Gradient::Product(factors) => factors,
        };
        let made = self.buffers.add(value.data.len);
        self.emit(factors.product(made));
        self.gradients.insert(value.id, Gradient::Made(made));
        Some(made)
    }

    /// The gradient that has reached `value`, for who makes it himself where it is a product.
    pub fn gradient_as_it_came(&self, value: &Value) -> Option<Gradient> {
        self.gradients.get(&value.id).copied()
    }

    /// Where to write the gradient of `x`; `None` where it is not wanted. What is written there counts once
    /// [`arrived`](Self::arrived) is called.
    pub fn wanted(&mut self, x: &Value) -> Result<Option<Slice>> {
        if !x.needs_gradient {
            return Ok(None);
        }
        match self.place_of_view(x)? {
            Some(place) => Ok(Some(place)),
            None => Ok(Some(self.scratch(x.data.len)?)),
        }
    }

    /// The gradient of `x` stands at `at`: it is added to what has come before.
    pub fn arrived(&mut self, x: &Value, at: Option<Slice>) {
        let Some(at) = at else { return };
        match self.gradient(x) {
            Some(sum) => self.emit(Op::AddAssign { x: at, y: sum }),
            None => {
                self.gradients.insert(x.id, Gradient::Made(at));
            }
        }
    }

    /// The gradient of `x` is a product. It stays one until it is read, if the factors take less memory and nothing else has reached
    /// `x`: who reads it may need no more than a part at a time.
    pub fn arrived_as_product(&mut self, x: &Value, factors: Factors) -> Result<()> {
        let is_alone = !self.views.contains_key(&x.id) && !self.gradients.contains_key(&x.id);
        if x.needs_gradient && is_alone && factors.left.len < x.data.len {
            self.gradients.insert(x.id, Gradient::Product(factors));
            return Ok(());
        }
        self.propagate(x, |l, dx| dx.into_iter().for_each(|dx| l.emit(factors.product(dx))))
    }

    /// The gradient `dy` of a value, read for the last time, becomes that of `x`, or is added to it.
    pub fn hand_on(&mut self, x: &Value, dy: Slice) -> Result<()> {
        if !x.needs_gradient {
            return Ok(());
        }
        let mut at = dy;
        if self.gradient(x).is_some_and(|sum| sum.buffer == dy.buffer) {
            // Parts of one sequence's gradient: an operation reads no buffer that it writes.
            at = self.scratch(dy.len)?;
            self.emit(Op::Copy { x: dy, y: at });
        }
        self.arrived(x, Some(at));
        Ok(())
    }

    /// Lets `f` write the gradient of `x` into the slice it is given (`None` where it is not wanted), and adds it to
    /// what has come there before.
    pub fn propagate(&mut self, x: &Value, f: impl FnOnce(&mut Self, Option<Slice>)) -> Result<()> {
        let to = self.wanted(x)?;
        f(self, to);
        self.arrived(x, to);
        Ok(())
    }

    /// Emits the backward pass.
    pub fn unwind(&mut self) -> Result<()> {
        self.unwind_to(0)
    }

    /// What has been put on the tape so far.
    pub fn tape_len(&self) -> usize {
        self.tape.len()
    }

    /// Emits the backward pass of what was put on the tape after the first `len`.
    pub fn unwind_to(&mut self, len: usize) -> Result<()> {
        while self.tape.len() > len {
            let step = self.tape.pop().expect("the tape is longer");
            step(self)?;
        }
        Ok(())
    }
}
