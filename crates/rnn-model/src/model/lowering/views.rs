//! Values that are parts of another value: nothing is copied forward, and where it can be nothing is copied backward
//! either, because the gradient of a part is written right into its place in the gradient of the whole.

use super::{Lowering, Value};
use crate::Result;
use crate::device::{Op, Slice};

/// Where the gradient of a part belongs.
#[derive(Clone, Debug)]
pub(super) struct View {
    whole: Value,
    at: usize,
    /// its place has been given out: the next gradient that reaches the part is written elsewhere and added
    taken: bool,
}

impl Lowering<'_> {
    /// The values that `whole` consists of, one after the other: `lens` values each, of the shape of one sample given with
    /// them. They cover all of it.
    pub fn views(&mut self, whole: &Value, parts: &[(usize, Vec<usize>)]) -> Vec<Value> {
        assert_eq!(
            parts.iter().map(|(len, _)| len).sum::<usize>(),
            whole.data.len,
            "the parts cover the whole"
        );
        let mut at = 0;
        let mut views = Vec::with_capacity(parts.len());
        for (len, shape) in parts {
            let view = self.input(whole.data.part(at, *len), shape.clone(), whole.needs_gradient);
            if view.needs_gradient {
                self.views.insert(view.id, View { whole: whole.clone(), at, taken: false });
            }
            views.push(view);
            at += len;
        }
        if whole.needs_gradient {
            let (whole, parts) = (whole.clone(), views.clone());
            self.backward(move |l| l.gather_views(&whole, &parts));
        }
        views
    }

    /// Where the gradient of a part may be written at once: its place in the gradient of the whole, the first time.
    pub(super) fn place_of_view(&mut self, part: &Value) -> Result<Option<Slice>> {
        let Some(view) = self.views.get_mut(&part.id) else { return Ok(None) };
        if std::mem::replace(&mut view.taken, true) {
            return Ok(None);
        }
        let view = view.clone();
        let whole = self.gradient_of_whole(&view.whole)?;
        Ok(Some(whole.part(view.at, part.data.len)))
    }

    fn gradient_of_whole(&mut self, whole: &Value) -> Result<Slice> {
        if let Some(&slice) = self.wholes.get(&whole.id) {
            return Ok(slice);
        }
        let slice = self.wanted(whole)?.expect("a part needs a gradient only where the whole does");
        self.wholes.insert(whole.id, slice);
        Ok(slice)
    }

    /// The gradient of the whole from those of its parts.
    fn gather_views(&mut self, whole: &Value, parts: &[Value]) -> Result<()> {
        if parts.iter().all(|part| self.gradient(part).is_none()) {
            return Ok(());
        }
        let slice = self.gradient_of_whole(whole)?;
        let mut at = 0;
        for part in parts {
            let y = slice.part(at, part.data.len);
            match self.gradient(part) {
                Some(there) if there == y => {}
                Some(x) => self.emit(Op::Copy { x, y }),
                None => self.emit(Op::Fill { value: 0.0, y }),
            }
            at += part.data.len;
        }
        self.wholes.remove(&whole.id);
        self.arrived(whole, Some(slice));
        Ok(())
    }
}
