//! Weights packed into the panels that [`super::tile`] reads.

use super::form::Form;
use super::tile::MOST_VECTORS;
#[cfg(target_arch = "x86_64")]
use crate::amx::{DEPTH, Lines};
use crate::team::share;
use crate::view::View;

/// How a matrix of `k` rows is cut into panels over the units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// rows, the length of the sums, padded as the form asks
    pub k: usize,
    pub form: Form,
    pub units: usize,
    /// columns per vector
    pub lanes: usize,
    /// vectors of a panel are this many gates of the same units; 0: they are consecutive units of one gate
    pub gates: usize,
}

/// One panel of a [`Layout`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel {
    /// first vector of units
    pub vector: usize,
    /// first unit
    pub unit: usize,
    /// vectors in the panel
    pub vectors: usize,
    /// where the panel begins in the packed matrix
    pub offset: usize,
}

impl Layout {
    /// Vectors that hold the units once.
    pub fn unit_vectors(&self) -> usize {
        self.units.div_ceil(self.lanes)
    }

    pub fn panels(&self) -> usize {
        if self.gates > 0 { self.unit_vectors() } else { self.unit_vectors().div_ceil(MOST_VECTORS) }
    }

    #[inline]
    pub fn panel(&self, index: usize) -> Panel {
        let (vector, vectors, per_unit_vector) = if self.gates > 0 {
            (index, self.gates, self.gates)
        } else {
            let range = share(self.unit_vectors(), index, self.panels());
            (range.start, range.len(), 1)
        };
        let offset = self.form.room(vector * per_unit_vector * self.k * self.lanes);
        Panel { vector, unit: vector * self.lanes, vectors, offset }
    }

    /// Units in the vector that begins at `unit`.
    #[inline(always)]
    pub fn valid(&self, unit: usize) -> usize {
        self.lanes.min(self.units - unit)
    }

    /// Length of the packed matrix.
    pub fn len(&self) -> usize {
        self.form.room(self.unit_vectors() * self.gates.max(1) * self.k * self.lanes)
    }

    /// Length of a packed panel.
    pub fn panel_len(&self, panel: Panel) -> usize {
        self.form.room(panel.vectors * self.k * self.lanes)
    }

    /// Packs rows `first..first + matrix rows` of a panel from a row-major matrix whose rows are `width` long. Vector
    /// `v` of a panel of gates is gate `order[v]` of the matrix; a panel of units is of gate `order[0]`.
    pub fn pack(
        &self,
        panel: Panel,
        first: usize,
        matrix: &[f32],
        width: usize,
        order: &[usize],
        out: View<'_>,
    ) {
        let (v_len, lanes) = (panel.vectors, self.lanes);
        let place = |v: usize| {
            if self.gates > 0 { (panel.unit, order[v]) } else { (panel.unit + v * lanes, order[0]) }
        };
        #[cfg(target_arch = "x86_64")]
        if self.form == Form::Tiles {
            // SAFETY: as below.
            let out = unsafe { out.get_mut(panel.offset, self.panel_len(panel)) };
            for v in 0..v_len {
                let (unit, gate) = place(v);
                let values = &matrix[gate * self.units + unit..];
                let columns = Lines { values, line: 1, step: width };
                columns.pack(0..self.valid(unit), 0..matrix.len() / width, first / DEPTH, (v, v_len), out);
            }
            return;
        }
        for (p, row) in matrix.chunks_exact(width).enumerate() {
            let at = panel.offset + (first + p) * v_len * lanes;
            // SAFETY: a panel is packed by one member of the team, before the barrier that lets others read it.
            let out = unsafe { out.get_mut(at, v_len * lanes) };
            for (v, out) in out.chunks_exact_mut(lanes).enumerate() {
                let (unit, gate) = place(v);
                let n = self.valid(unit);
                out[..n].copy_from_slice(&row[gate * self.units + unit..][..n]);
                out[n..].fill(0.0);
            }
        }
    }

    /// Packs a panel of consecutive units from the transpose: the matrix has a row per unit, of which `k` columns
    /// from `column` on are used.
    pub fn pack_transposed(&self, panel: Panel, matrix: &[f32], width: usize, column: usize, out: View<'_>) {
        const CHUNK: usize = 64;
        let (v_len, lanes) = (panel.vectors, self.lanes);
        // SAFETY: as in `pack`.
        let out = unsafe { out.get_mut(panel.offset, self.panel_len(panel)) };
        #[cfg(target_arch = "x86_64")]
        if self.form == Form::Tiles {
            for v in 0..v_len {
                let unit = panel.unit + v * lanes;
                let rows = Lines { values: &matrix[unit * width + column..], line: width, step: 1 };
                rows.pack(0..self.valid(unit), 0..self.k.min(width - column), 0, (v, v_len), out);
            }
            return;
        }
        for v in 0..v_len {
            let unit = panel.unit + v * lanes;
            let n = self.valid(unit);
            for first in (0..self.k).step_by(CHUNK) {
                let ks = CHUNK.min(self.k - first);
                for lane in 0..lanes {
                    let to =
                        out[first * v_len * lanes + v * lanes + lane..].iter_mut().step_by(v_len * lanes);
                    if lane < n {
                        let row = &matrix[(unit + lane) * width + column + first..][..ks];
                        to.zip(row).for_each(|(to, &w)| *to = w);
                    } else {
                        to.take(ks).for_each(|to| *to = 0.0);
                    }
                }
            }
        }
    }
}
