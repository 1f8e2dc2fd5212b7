//! The cells' derivatives, on one vector of units of one row.

use super::super::view::{load, store};
use super::super::{RecurrentShape, activations, gradient_blocks, saved_blocks};
use super::{Pass, Place};
use crate::math::Lanes;
use crate::{Activation, Cell, activation_backward};

/// `kind'` in terms of the output.
#[inline(always)]
fn slope<S: Lanes<T = f32>>(s: S, kind: Activation, y: S::V) -> S::V {
    match kind {
        Activation::Tanh => s.sub(s.c(1.0), s.mul(y, y)),
        Activation::Sigmoid => s.mul(y, s.sub(s.c(1.0), y)),
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
    pub(super) unsafe fn cell_step<S: Lanes<T = f32>>(&self, s: S, place: Place, dh: S::V, output: S::V) {
        // SAFETY: the impl's.
        unsafe {
            match self.cell {
                Cell::Lstm { .. } => self.lstm(s, place, dh, output),
                Cell::Gru { reset_after, .. } => self.gru(s, place, dh, reset_after),
                Cell::SimpleRnn { activation } => {
                    let y = self.after(s, self.h, place);
                    let slope = slope(s, activation, y);
                    self.put(s, place, 0, s.mul(dh, slope));
                    self.put_direct(s, place, s.splat(0.0));
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn lstm<S: Lanes<T = f32>>(&self, s: S, place: Place, dh: S::V, tc: S::V) {
        let (kind, gate) = activations(self.cell);
        // SAFETY: the impl's.
        unsafe {
            let i = self.saved(s, place, 0);
            let f = self.saved(s, place, 1);
            let g = self.saved(s, place, 2);
            let o = self.saved(s, place, 3);
            let dc_at = self.dc.at(place.b * self.shape.units + place.unit, place.n);
            let through_h = s.mul(s.mul(dh, o), slope(s, kind, tc));
            let dc = s.add(load(s, dc_at, place.n), through_h);
            let cp = self.before(s, self.c, place);
            self.put(s, place, 0, s.mul(s.mul(dc, g), slope(s, gate, i)));
            self.put(s, place, 1, s.mul(s.mul(dc, cp), slope(s, gate, f)));
            self.put(s, place, 2, s.mul(s.mul(dc, i), slope(s, kind, g)));
            self.put(s, place, 3, s.mul(s.mul(dh, tc), slope(s, gate, o)));
            let dcp = if place.reset { s.splat(0.0) } else { s.mul(dc, f) };
            store(s, dc_at, place.n, dcp);
            self.put_direct(s, place, s.splat(0.0));
        }
    }

    #[inline(always)]
    unsafe fn gru<S: Lanes<T = f32>>(&self, s: S, place: Place, dh: S::V, after: bool) {
        let (kind, gate) = activations(self.cell);
        // SAFETY: the impl's.
        unsafe {
            let z = self.saved(s, place, 0);
            let n = self.saved(s, place, 2);
            let hp = self.before(s, self.h, place);
            let dn = s.mul(s.mul(dh, s.sub(s.c(1.0), z)), slope(s, kind, n));
            let dz = s.mul(s.mul(dh, s.sub(hp, n)), slope(s, gate, z));
            self.put(s, place, 0, dz);
            if after {
                let r = self.saved(s, place, 1);
                let q = self.saved(s, place, 3);
                self.put(s, place, 1, s.mul(s.mul(dn, q), slope(s, gate, r)));
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
        let (_, gate) = activations(self.cell);
        // SAFETY: the impl's.
        unsafe {
            let r = self.saved(s, place, 1);
            let hp = self.before(s, self.h, place);
            let slope = slope(s, gate, r);
            self.put(s, place, 1, s.mul(s.mul(product, hp), slope));
            let direct = load(s, self.direct.at(place.b * self.shape.units + place.unit, place.n), place.n);
            self.put_direct(s, place, s.fma(product, r, direct));
        }
    }
}
