//! Recurrent operations: several outputs, and packed weights kept between runs.

use super::super::Slice;
use super::super::op;
use super::{CpuEngine, Step, maybe_mut};
use crate::Result;
use cpu_core::Real;
use cpu_core::recurrent::{
    InputGradient, OutputGradient, RecurrentGrads, RecurrentInputs, RecurrentStates, RecurrentTrace,
    RecurrentUpstream, RecurrentWorkspace, recurrent_backward, recurrent_forward,
};
use rnn_shaders::shape::RecurrentShape;
use rnn_shaders::vocabulary::Cell;
use std::mem::take;

impl<T: Real> CpuEngine<T> {
    fn recurrent_inputs(&self, io: &op::RecurrentInputs) -> RecurrentInputs<'_, T> {
        let f = &self.floats;
        RecurrentInputs {
            bias: f.maybe(io.bias),
            flags: io.flags.map(|s| self.index(s)),
            h_mask: f.maybe(io.h_mask),
            peepholes: f.maybe(io.peepholes),
            extras: io.extras,
            ..RecurrentInputs::new(f.get(io.x), f.get(io.kernel), f.get(io.recurrent))
        }
    }

    pub(super) fn forward(
        &mut self,
        step: &mut Step<T>,
        cell: Cell,
        shape: RecurrentShape,
        io: op::RecurrentInputs,
    ) -> Result<()> {
        let version = self.floats.versions[io.kernel.buffer];
        let mut h = self.floats.take(io.h);
        let mut c = self.floats.take_maybe(io.c);
        let mut h_state = self.floats.take_maybe(io.h_state);
        let mut saved = self.floats.take_maybe(io.saved);
        let workspace = step.workspace.get_or_insert_with(|| Box::new(RecurrentWorkspace::new()));
        let result = recurrent_forward(
            cell,
            shape,
            self.recurrent_inputs(&io),
            RecurrentStates {
                h: h.as_mut(),
                h_state: maybe_mut(&mut h_state),
                c: maybe_mut(&mut c),
                saved: maybe_mut(&mut saved),
            },
            workspace,
            version,
            self.threads,
        );
        self.floats.put(h);
        self.floats.put_maybe(h_state);
        self.floats.put_maybe(c);
        self.floats.put_maybe(saved);
        Ok(result?)
    }

    pub(super) fn backward(
        &mut self,
        step: &mut Step<T>,
        cell: Cell,
        shape: RecurrentShape,
        io: op::RecurrentInputs,
        up: op::RecurrentUpstream,
        out: op::RecurrentGradients,
    ) -> Result<()> {
        let version = self.floats.versions[io.kernel.buffer];
        // The weight gradients are disjoint parts of one buffer; bias and peepholes may be missing.
        let mut weights = take(&mut self.floats.buffers.items[out.kernel.buffer]);
        let mut dx = self.floats.take_maybe(out.x);
        let mut dh0 = self.floats.take_maybe(out.h0);
        let mut dc0 = self.floats.take_maybe(out.c0);
        let f = &self.floats;
        let workspace = step.workspace.get_or_insert_with(|| Box::new(RecurrentWorkspace::new()));
        let range = |s: Slice| s.offset..s.offset + s.len;
        let maybe_range = |s: Option<Slice>| s.map_or(0..0, range);
        let ranges =
            [range(out.kernel), range(out.recurrent), maybe_range(out.bias), maybe_range(out.peepholes)];
        let parts = weights.get_disjoint_mut(ranges);
        let [kernel, recurrent, bias, peepholes] = parts.expect("weight gradients do not overlap");
        // The gradients of the inputs may go where those of the outputs stand, or the states.
        let over_h = out.x.is_some_and(|x| x.buffer == io.h.buffer);
        let over_dy = matches!((up.dy, out.x), (Some(op::Gradient::Made(dy)), Some(x)) if dy == x);
        let x = dx.as_mut().map(|dx| match (over_h, over_dy) {
            (true, _) => InputGradient::OverH(dx.part_mut(io.h)),
            (false, true) => InputGradient::OverDy(dx.as_mut()),
            (false, false) => InputGradient::Apart(dx.as_mut()),
        });
        let dy = up.dy.filter(|_| !over_dy).map(|dy| match dy {
            op::Gradient::Made(dy) => OutputGradient::Made(f.get(dy)),
            op::Gradient::Product(of) => {
                OutputGradient::Product { left: f.get(of.left), right: f.get(of.right) }
            }
        });
        let result = recurrent_backward(
            cell,
            shape,
            self.recurrent_inputs(&io),
            RecurrentTrace {
                h: if over_h { &[] } else { f.get(io.h) },
                c: f.maybe(io.c),
                saved: f.get(io.saved.expect("a backward pass has what the forward pass saved")),
            },
            RecurrentUpstream { dy, dh_last: f.maybe(up.dh_last), dc_last: f.maybe(up.dc_last) },
            RecurrentGrads {
                kernel,
                recurrent,
                bias: out.bias.map(|_| bias),
                peepholes: out.peepholes.map(|_| peepholes),
                x,
                h0: maybe_mut(&mut dh0),
                c0: maybe_mut(&mut dc0),
            },
            workspace,
            version,
            self.threads,
        );
        self.floats.buffers.items[out.kernel.buffer] = weights;
        self.floats.put_maybe(dx);
        self.floats.put_maybe(dh0);
        self.floats.put_maybe(dc0);
        Ok(result?)
    }
}
