//! Values brought into the order of axes that a layer wants: moved only where they must be.

use super::builder::Builder;
use super::number::{Atom, text};
use super::value::{BATCH, Device, Group, Kind, Stack, Value};
use crate::{Error, Result};
use rnn_model::Symbol;
use rnn_model::layer::{Concatenate, Layer, Permute, Reshape, Slice, TimeDistributed};

impl Builder<'_> {
    /// The sample with ONNX's last axis as its own.
    pub fn last_axis(&mut self, x: &Device) -> Result<Device> {
        let Some(last) = x.axes.last().filter(|last| !last.contains(&BATCH)) else {
            return Err(self.unsupported("the last axis is that of the batch"));
        };
        // An axis of size 1 must be there to be worked on.
        if x.physical.last() == Some(last) {
            return Ok(x.clone());
        }
        let mut others: Vec<Group> = Vec::new();
        let gone: Vec<Atom> = last.clone();
        for group in &x.physical {
            let left: Group = group.iter().copied().filter(|atom| !gone.contains(atom)).collect();
            if !left.is_empty() {
                others.push(left);
            }
        }
        others.push(gone);
        self.arrange(x, &others)
    }

    /// The sample with its axes as `want`: the same elements, moved only where they must be.
    pub fn arrange(&mut self, x: &Device, want: &[Group]) -> Result<Device> {
        if x.physical == want {
            return Ok(x.clone());
        }
        let flat = |groups: &[Group]| groups.concat();
        let (now, then) = (flat(&x.physical), flat(want));
        if now == then {
            return self.regroup(x, want);
        }
        let order: Option<Vec<usize>> =
            then.iter().map(|atom| Some(now.iter().position(|a| a == atom)? + 1)).collect();
        let Some(order) = order.filter(|order| order.len() == now.len()) else {
            return Err(self.unsupported(format!(
                "a tensor of shape {} can not be brought into the order that is wanted here",
                text(&self.shape(x))
            )));
        };
        let single = |atoms: &[Atom]| atoms.iter().map(|&atom| vec![atom]).collect::<Vec<Group>>();
        let x = self.regroup(x, &single(&now))?;
        let symbol = self.layer(Permute::new(order), Vec::new(), &x.symbol)?;
        let turned = self.device(symbol, single(&then), x.axes);
        self.regroup(&turned, want)
    }

    /// The same elements in the same order, with other borders between axes.
    fn regroup(&mut self, x: &Device, want: &[Group]) -> Result<Device> {
        if x.physical == want {
            return Ok(x.clone());
        }
        let sizes = |groups: &[Group]| -> Option<Vec<i64>> {
            groups.iter().map(|group| Some(self.known_size(group)? as i64)).collect()
        };
        let (layer, mask): (Layer, _) = match (sizes(want), x.physical.as_slice(), want) {
            (Some(sizes), _, [_, ..]) => (Reshape::new(sizes).into(), None),
            // Of an open number of steps, each step by itself.
            (None, [first, from @ ..], [same, to @ ..])
                if first == same && !from.is_empty() && !to.is_empty() =>
            {
                match sizes(to) {
                    Some(sizes) => (TimeDistributed::new(Reshape::new(sizes)).into(), x.mask),
                    None => return Err(self.open_reshape(x)),
                }
            }
            _ => return Err(self.open_reshape(x)),
        };
        let symbol = self.layer(layer, Vec::new(), &x.symbol)?;
        let mut y = self.device(symbol, want.to_vec(), x.axes.clone());
        y.mask = mask;
        Ok(y)
    }

    fn open_reshape(&self, x: &Device) -> Error {
        self.unsupported(format!(
            "a tensor of shape {} must be brought into another order, which needs known sizes; \
             export the model with a fixed number of steps",
            text(&self.shape(x))
        ))
    }

    /// The sample with one axis for each of ONNX's, the batch aside.
    pub fn canonical(&mut self, x: &Device) -> Result<Device> {
        let Some(mut axes) = x.sample_axes() else { return Err(self.no_batch_axis(x)) };
        if axes.is_empty() {
            axes.push(Vec::new());
        }
        self.arrange(x, &axes)
    }

    pub fn no_batch_axis(&self, x: &Device) -> Error {
        self.unsupported(format!(
            "the batch is no axis of its own in a tensor of shape {} here",
            text(&self.shape(x))
        ))
    }

    /// The sample without its mask.
    pub fn unmasked(&mut self, x: &Device) -> Result<Device> {
        if x.mask.is_none() {
            return Ok(x.clone());
        }
        let symbol = self.layer(Slice::new(1, 0, None), Vec::new(), &x.symbol)?;
        let mut y = self.device(symbol, x.physical.clone(), x.axes.clone());
        y.mask = None;
        Ok(y)
    }

    /// One symbol for a stack: its parts one behind the other.
    pub fn joined(&mut self, stack: &Stack) -> Result<Device> {
        let Some(first) = stack.parts.first() else { return Err(self.damaged("a concatenation of nothing")) };
        let axis = self.axis(Some(stack.parts.len()));
        let mut symbols = Vec::with_capacity(stack.parts.len());
        let mut rows = Vec::new();
        for part in &stack.parts {
            // Parts of a stack have the first one's axes, but for the stacked one.
            let Some(mut axes) = part.sample_axes() else { return Err(self.no_batch_axis(part)) };
            let batch = part.batch_axis().unwrap_or_default();
            let at = stack.axis - usize::from(batch < stack.axis);
            if at >= axes.len() || batch == stack.axis {
                return Err(self.unsupported("a concatenation along the batch"));
            }
            axes.remove(at);
            axes.insert(0, Vec::new());
            symbols.push(self.arrange(part, &axes)?.symbol);
            rows = axes;
        }
        let inputs: Vec<&Symbol> = symbols.iter().collect();
        let symbol = match inputs.as_slice() {
            [one] => (*one).clone(),
            _ => self.apply(Concatenate::new().axis(1), Vec::new(), &inputs)?.swap_remove(0),
        };
        let last = stack.parts.last().unwrap_or(first);
        rows[0] = axis.clone();
        let mut axes = last.axes.clone();
        axes[stack.axis] = axis;
        Ok(self.device(symbol, rows, axes))
    }

    /// A computed value, put together if it has to be.
    pub fn computed(&mut self, value: &Value) -> Result<Device> {
        match value {
            Value::Device(x) if x.kind == Kind::Flag => {
                Err(self.unsupported("truth values that are computed, where numbers are expected"))
            }
            Value::Device(x) if x.kind == Kind::Part => Err(self.unsupported(
                "a part of a layer that is not recognised: made of a mean over the features, Sqrt, Reciprocal or Erf",
            )),
            Value::Device(x) if matches!(x.kind, Kind::Places { .. }) => {
                Err(self.unsupported("an order of samples, where numbers are expected"))
            }
            Value::Device(x) => Ok(x.clone()),
            Value::Stack(stack) => self.joined(stack),
            Value::Known(known) => Err(self.unsupported(format!(
                "a constant of shape {} where a computed tensor is expected",
                text(&known.shape)
            ))),
        }
    }

    /// Splits an atom of a value in two, the first of `size`.
    pub fn split(&mut self, x: &mut Device, atom: Atom, size: usize) -> Option<(Group, Group)> {
        let whole = self.atom_size(atom)?;
        if size == 0 || !whole.is_multiple_of(size) {
            return None;
        }
        let parts = (self.axis(Some(size)), self.axis(Some(whole / size)));
        let both = [parts.0.as_slice(), &parts.1].concat();
        for group in x.physical.iter_mut().chain(&mut x.axes) {
            if let Some(at) = group.iter().position(|&a| a == atom) {
                group.splice(at..=at, both.iter().copied());
            }
        }
        x.origin = None;
        Some(parts)
    }
}
