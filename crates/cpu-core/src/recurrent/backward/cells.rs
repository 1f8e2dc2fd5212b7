//! The cells' derivatives, on one vector of units of one row.

use super::super::pointwise::activate;
use super::super::{RecurrentShape, gradient_blocks, saved_blocks};
use super::{Pass, Place};
use crate::math::{Lanes, Level};
use crate::view::{load, store};
use crate::{Activation, Cell, CellActivations, activation_backward};

/// Smallest and largest output of the candidate's activation and of the gates' within the limits of what goes into them.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    candidate: [f32; 2],
    gate: [f32; 2],
}

/// By the functions that the forward pass applies, so that a limit that held is met exactly.
pub(super) fn limits(level: Level, cell: Cell, clip: f32) -> Limits {
    let outputs = |kind| {
        let [a, b] = [-clip, clip].map(|x| {
            let mut x = [x; 16];
            activate(level, kind, &mut x);
            x[0]
        });
        // An activation may fall.
        [a.min(b), a.max(b)]
    };
    let CellActivations { candidate, gate, .. } = cell.activations();
    Limits { candidate: outputs(candidate), gate: outputs(gate) }
}

/// `slope`, or 0 where the output is at or beyond a limit.
#[inline(always)]
fn within<S: Lanes<T = f32>>(s: S, [low, high]: [f32; 2], y: S::V, slope: S::V) -> S::V {
    let zero = s.splat(0.0);
    s.select_gt(y, s.splat(low), s.select_gt(s.splat(high), y, slope, zero), zero)
}

/// `kind'` in terms of the output.
#[inline(always)]
fn slope<S: Lanes<T = f32>>(s: S, kind: Activation, y: S::V) -> S::V {
    match kind {
        Activation::Tanh => s.sub(s.c(1.0), s.mul(y, y)),
        Activation::Sigmoid => s.mul(y, s.sub(s.c(1.0), y)),
        Activation::Relu => s.select_gt(y, s.splat(0.0), s.splat(1.0), s.splat(0.0)),
        Activation::Linear => s.splat(1.0),
        _ => {
            // Through memory, so that the rare formulas are not part of this code.
            let (mut slopes, ones, mut ys) = ([0.0; 16], [1.0; 16], [0.0; 16]);
            s.store(&mut ys, y);
            activation_slopes(kind, &ys[..S::N], &ones[..S::N], &mut slopes[..S::N]);
            s.load(&slopes)
        }
    }
}

#[cold]
fn activation_slopes(kind: Activation, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    activation_backward(kind, y, dy, dx).expect("the lengths are equal");
}

/// The cells' derivatives on one vector of units of one row.
///
/// # Safety
/// Of all: the place lies inside; its gate gradients, direct gradient and cell state gradient are this member's.
impl Pass<'_> {
    /// The gradient of a row's output and new state.
    ///
    /// # Safety
    /// The place's direct gradient is this member's.
    #[inline(always)]
    pub(super) unsafe fn incoming<S: Lanes<T = f32>>(
        &self,
        s: S,
        t: usize,
        place: Place,
        mut dh: S::V,
    ) -> S::V {
        let RecurrentShape { time, units, .. } = self.shape;
        let Place { row, b, unit, n, .. } = place;
        // SAFETY: the slices are as long as the shape says; else the caller's.
        unsafe {
            if let Some(dy) = self.dy {
                dh = s.add(dh, load(s, dy[row * units + unit..][..n].as_ptr(), n));
            }
            if t + 1 == time {
                if let Some(dh_last) = self.dh_last {
                    dh = s.add(dh, load(s, dh_last[b * units + unit..][..n].as_ptr(), n));
                }
            } else if self.uses_direct {
                dh = s.add(dh, load(s, self.direct.at(b * units + unit, n), n));
            }
        }
        dh
    }

    /// A product's gradient as it reaches the state that the mask was put on.
    ///
    /// # Safety
    /// The place lies inside.
    #[inline(always)]
    pub(super) unsafe fn unmasked<S: Lanes<T = f32>>(&self, s: S, place: Place, product: S::V) -> S::V {
        let Some(mask) = self.h_mask else { return product };
        let mask = &mask[place.b * self.shape.units + place.unit..][..place.n];
        // SAFETY: the slice is long enough.
        s.mul(product, unsafe { load(s, mask.as_ptr(), place.n) })
    }

    /// The slope of the activation of LSTM's output in terms of its own output; nothing limits what goes into it.
    #[inline(always)]
    fn output_slope<S: Lanes<T = f32>, const USUAL: bool>(&self, s: S, y: S::V) -> S::V {
        slope(s, if USUAL { Activation::Tanh } else { self.cell.activations().output }, y)
    }

    /// The candidate's slope in terms of its output.
    #[inline(always)]
    fn candidate_slope<S: Lanes<T = f32>, const USUAL: bool>(&self, s: S, y: S::V) -> S::V {
        let slope = slope(s, if USUAL { Activation::Tanh } else { self.cell.activations().candidate }, y);
        match self.limits {
            Some(limits) if !USUAL => within(s, limits.candidate, y, slope),
            _ => slope,
        }
    }

    /// A gate's slope in terms of its output.
    #[inline(always)]
    fn gate_slope<S: Lanes<T = f32>, const USUAL: bool>(&self, s: S, y: S::V) -> S::V {
        let slope = slope(s, if USUAL { Activation::Sigmoid } else { self.cell.activations().gate }, y);
        match self.limits {
            Some(limits) if !USUAL => within(s, limits.gate, y, slope),
            _ => slope,
        }
    }

    /// `sum` plus a gate's gradient times its peephole, if it has one.
    #[inline(always)]
    unsafe fn peep<S: Lanes<T = f32>, const USUAL: bool>(
        &self,
        s: S,
        place: Place,
        gate: usize,
        da: S::V,
        sum: S::V,
    ) -> S::V {
        let Some(weights) = self.peepholes.filter(|_| !USUAL) else { return sum };
        let weights = &weights[gate * self.shape.units + place.unit..][..place.n];
        // SAFETY: the slice is long enough.
        s.fma(unsafe { load(s, weights.as_ptr(), place.n) }, da, sum)
    }

    /// Saved value of a place.
    #[inline(always)]
    unsafe fn saved<S: Lanes<T = f32>>(&self, s: S, place: Place, block: usize) -> S::V {
        let at = (place.row * saved_blocks(self.cell) + block) * self.shape.units + place.unit;
        // SAFETY: the slice is long enough.
        unsafe { load(s, self.saved[at..][..place.n].as_ptr(), place.n) }
    }

    /// A state before the step, zero where it is reset.
    #[inline(always)]
    unsafe fn before<S: Lanes<T = f32>>(&self, s: S, states: &[f32], place: Place) -> S::V {
        let at = place.row * self.shape.units + place.unit;
        let from = if place.reset {
            self.zeros.at(place.unit, place.n).cast_const()
        } else {
            states[at..][..place.n].as_ptr()
        };
        // SAFETY: the slice is long enough.
        unsafe { load(s, from, place.n) }
    }

    /// A state after the step.
    #[inline(always)]
    pub(super) unsafe fn after<S: Lanes<T = f32>>(&self, s: S, states: &[f32], place: Place) -> S::V {
        let at = (place.row + self.shape.batch) * self.shape.units + place.unit;
        // SAFETY: the slice is long enough.
        unsafe { load(s, states[at..][..place.n].as_ptr(), place.n) }
    }

    #[inline(always)]
    unsafe fn put<S: Lanes<T = f32>>(&self, s: S, place: Place, block: usize, v: S::V) {
        let at = (place.row * gradient_blocks(self.cell) + block) * self.shape.units + place.unit;
        // SAFETY: the impl's.
        unsafe { store(s, self.gate_grads.at(at, place.n), place.n, v) }
    }

    #[inline(always)]
    unsafe fn put_direct<S: Lanes<T = f32>>(&self, s: S, place: Place, v: S::V) {
        if self.uses_direct {
            let v = if place.reset { s.splat(0.0) } else { v };
            // SAFETY: the impl's.
            unsafe { store(s, self.direct.at(place.b * self.shape.units + place.unit, place.n), place.n, v) }
        }
    }

    /// A step without the sample: the gradient passes straight through.
    #[inline(always)]
    pub(super) unsafe fn carried<S: Lanes<T = f32>>(&self, s: S, place: Place, dh: S::V) {
        // SAFETY: the impl's.
        unsafe {
            for block in 0..gradient_blocks(self.cell) {
                self.put(s, place, block, s.splat(0.0));
            }
            self.put_direct(s, place, dh);
            if place.reset && matches!(self.cell, Cell::Lstm { .. }) {
                let dc = self.dc.at(place.b * self.shape.units + place.unit, place.n);
                store(s, dc, place.n, s.splat(0.0));
            }
        }
    }

    /// `output` is `act(c)` of LSTM.
    #[inline(always)]
    pub(super) unsafe fn cell_step<S: Lanes<T = f32>, const USUAL: bool>(
        &self,
        s: S,
        place: Place,
        dh: S::V,
        output: S::V,
    ) {
        // SAFETY: the impl's.
        unsafe {
            match self.cell {
                Cell::Lstm { .. } => self.lstm::<S, USUAL>(s, place, dh, output),
                Cell::Gru { reset_after, .. } => self.gru::<S, USUAL>(s, place, dh, reset_after),
                Cell::SimpleRnn { .. } => {
                    let y = self.after(s, self.h, place);
                    let slope = self.candidate_slope::<S, USUAL>(s, y);
                    self.put(s, place, 0, s.mul(dh, slope));
                    self.put_direct(s, place, s.splat(0.0));
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn lstm<S: Lanes<T = f32>, const USUAL: bool>(&self, s: S, place: Place, dh: S::V, tc: S::V) {
        // SAFETY: the impl's.
        unsafe {
            let i = self.saved(s, place, 0);
            let f = self.saved(s, place, 1);
            let g = self.saved(s, place, 2);
            let o = self.saved(s, place, 3);
            let dc_at = self.dc.at(place.b * self.shape.units + place.unit, place.n);
            let through_h = s.mul(s.mul(dh, o), self.output_slope::<S, USUAL>(s, tc));
            let d_o = s.mul(s.mul(dh, tc), self.gate_slope::<S, USUAL>(s, o));
            let dc = self.peep::<S, USUAL>(s, place, 1, d_o, s.add(load(s, dc_at, place.n), through_h));
            let cp = self.before(s, self.c, place);
            // A coupled forget gate is 1 - i.
            let (to_i, to_f) = if !USUAL && self.coupled { (s.sub(g, cp), s.splat(0.0)) } else { (g, cp) };
            let d_i = s.mul(s.mul(dc, to_i), self.gate_slope::<S, USUAL>(s, i));
            let d_f = s.mul(s.mul(dc, to_f), self.gate_slope::<S, USUAL>(s, f));
            self.put(s, place, 0, d_i);
            self.put(s, place, 1, d_f);
            self.put(s, place, 2, s.mul(s.mul(dc, i), self.candidate_slope::<S, USUAL>(s, g)));
            self.put(s, place, 3, d_o);
            let dcp = self.peep::<S, USUAL>(
                s,
                place,
                2,
                d_f,
                self.peep::<S, USUAL>(s, place, 0, d_i, s.mul(dc, f)),
            );
            store(s, dc_at, place.n, if place.reset { s.splat(0.0) } else { dcp });
            self.put_direct(s, place, s.splat(0.0));
        }
    }

    #[inline(always)]
    unsafe fn gru<S: Lanes<T = f32>, const USUAL: bool>(&self, s: S, place: Place, dh: S::V, after: bool) {
        // SAFETY: the impl's.
        unsafe {
            let z = self.saved(s, place, 0);
            let n = self.saved(s, place, 2);
            let hp = self.before(s, self.h, place);
            let dn = s.mul(s.mul(dh, s.sub(s.c(1.0), z)), self.candidate_slope::<S, USUAL>(s, n));
            let dz = s.mul(s.mul(dh, s.sub(hp, n)), self.gate_slope::<S, USUAL>(s, z));
            self.put(s, place, 0, dz);
            if after {
                let r = self.saved(s, place, 1);
                let q = self.saved(s, place, 3);
                self.put(s, place, 1, s.mul(s.mul(dn, q), self.gate_slope::<S, USUAL>(s, r)));
                self.put(s, place, 2, s.mul(dn, r));
                self.put(s, place, 3, dn);
            } else {
                self.put(s, place, 2, dn);
            }
            self.put_direct(s, place, s.mul(dh, z));
        }
    }

    /// The reset gate of GRU with the reset before the product, and the way through it.
    #[inline(always)]
    pub(super) unsafe fn gru_late<S: Lanes<T = f32>>(&self, s: S, place: Place, product: S::V) {
        // SAFETY: the impl's.
        unsafe {
            let r = self.saved(s, place, 1);
            let hp = self.before(s, self.h, place);
            let slope = self.gate_slope::<S, false>(s, r);
            self.put(s, place, 1, s.mul(s.mul(product, hp), slope));
            let direct = load(s, self.direct.at(place.b * self.shape.units + place.unit, place.n), place.n);
            self.put_direct(s, place, s.fma(product, r, direct));
        }
    }
}
