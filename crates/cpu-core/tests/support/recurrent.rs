//! Random recurrent problems: a cell, a shape, weights, inputs, flags and incoming gradients, and a run of them.

use cpu_core::recurrent::{
    InputGradient, OutputGradient, RecurrentGrads, RecurrentInputs, RecurrentShape, RecurrentStates,
    RecurrentTrace, RecurrentUpstream, RecurrentWorkspace, recurrent_backward, recurrent_forward, saved_len,
};
use cpu_core::{Activation, Cell, CellExtras, RESET, Real, VALID};

/// splitmix64: tests draw the same problems everywhere.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    pub fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
    /// Uniform in `[-scale, scale)`, a whole number of 2^-20 of it, so that f32 and f64 hold the same value.
    pub fn values(&mut self, n: usize, scale: f64) -> Vec<f64> {
        (0..n).map(|_| ((self.next() >> 44) as f64 / f64::from(1 << 19) - 1.0) * scale).collect()
    }
}

#[derive(Clone, Debug)]
pub struct Problem {
    pub cell: Cell,
    pub shape: RecurrentShape,
    pub x: Vec<f64>,
    pub kernel: Vec<f64>,
    pub recurrent: Vec<f64>,
    pub bias: Option<Vec<f64>>,
    pub flags: Option<Vec<u32>>,
    pub h_mask: Option<Vec<f64>>,
    pub peepholes: Option<Vec<f64>>,
    pub extras: CellExtras,
    pub h0: Vec<f64>,
    pub c0: Vec<f64>,
    pub dy: Option<Vec<f64>>,
    pub dh_last: Option<Vec<f64>>,
    pub dc_last: Option<Vec<f64>>,
    /// of the weights; 0: none
    pub version: u64,
}

/// Everything that comes out of a run; what the cell does not have is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Results<T> {
    pub h: Vec<T>,
    pub c: Vec<T>,
    pub kernel: Vec<T>,
    pub recurrent: Vec<T>,
    pub bias: Vec<T>,
    pub peepholes: Vec<T>,
    pub x: Vec<T>,
    pub h0: Vec<T>,
    pub c0: Vec<T>,
}

/// A cell of each kind in turn with the given activations.
pub fn cell(kind: usize, activation: Activation, recurrent_activation: Activation) -> Cell {
    match kind % 4 {
        0 => Cell::Lstm { activation, recurrent_activation, output_activation: activation },
        1 => Cell::Gru { activation, recurrent_activation, reset_after: true },
        2 => Cell::Gru { activation, recurrent_activation, reset_after: false },
        _ => Cell::SimpleRnn { activation },
    }
}

/// An LSTM's cell with another activation of the cell state on its way out; another cell as it is.
pub fn with_output(cell: Cell, output_activation: Activation) -> Cell {
    match cell {
        Cell::Lstm { activation, recurrent_activation, .. } => {
            Cell::Lstm { activation, recurrent_activation, output_activation }
        }
        other => other,
    }
}

impl Problem {
    pub fn random(rng: &mut Rng, cell: Cell, shape: RecurrentShape) -> Self {
        let RecurrentShape { time, batch, input, units } = shape;
        let columns = cell.gates() * units;
        let states = batch * units;
        let scale = |n: usize| 1.0 / (n.max(1) as f64).sqrt().min(8.0);
        let flags = rng.coin().then(|| {
            (0..time * batch)
                .map(|_| {
                    let valid = if rng.below(4) > 0 { VALID } else { 0 };
                    valid | if rng.below(5) == 0 { RESET } else { 0 }
                })
                .collect()
        });
        let lstm = cell.states() == 2;
        let dy = (rng.below(4) > 0).then(|| rng.values(time * states, 1.0));
        let dh_last = (rng.coin() || dy.is_none()).then(|| rng.values(states, 1.0));
        Problem {
            x: rng.values(time * batch * input, 1.0),
            kernel: rng.values(input * columns, scale(input)),
            recurrent: rng.values(units * columns, scale(units)),
            bias: rng.coin().then(|| rng.values(cell.bias_blocks() * units, 0.5)),
            flags,
            // Dropout of a half: factors 0 and 2.
            h_mask: (rng.below(3) == 0).then(|| (0..states).map(|_| rng.pick(&[0.0, 2.0])).collect()),
            peepholes: (lstm && rng.below(3) == 0).then(|| rng.values(3 * units, 0.8)),
            extras: CellExtras {
                // A gradient jumps where a sum is at the limit: none of the seeds has one within a difference's step of it.
                clip: (rng.below(3) == 0).then_some(0.55),
                coupled: lstm && rng.below(3) == 0,
            },
            h0: rng.values(states, 0.5),
            c0: rng.values(if lstm { states } else { 0 }, 0.5),
            dy,
            dh_last,
            dc_last: (lstm && rng.coin()).then(|| rng.values(states, 1.0)),
            cell,
            shape,
            version: 0,
        }
    }

    /// Forward and backward in `T`.
    pub fn run<T: Real>(&self, workspace: &mut RecurrentWorkspace<T>, threads: usize) -> Results<T> {
        self.run_with(false, workspace, threads)
    }

    /// The same, `in_place` with the gradient of x where that of the outputs was.
    pub fn run_with<T: Real>(
        &self,
        in_place: bool,
        workspace: &mut RecurrentWorkspace<T>,
        threads: usize,
    ) -> Results<T> {
        let cast = |v: &[f64]| v.iter().map(|&v| T::from_f64(v)).collect::<Vec<T>>();
        let cast_option = |v: &Option<Vec<f64>>| v.as_deref().map(cast);
        let RecurrentShape { time, .. } = self.shape;
        let (x, kernel, recurrent) = (cast(&self.x), cast(&self.kernel), cast(&self.recurrent));
        let bias = cast_option(&self.bias);
        let lstm = self.cell.states() == 2;
        let states = |start: &[f64]| {
            let mut all = cast(start);
            all.resize(start.len() * (time + 1), T::from_f64(f64::NAN));
            all
        };
        let (mut h, mut c) = (states(&self.h0), states(&self.c0));
        let mut saved = vec![T::from_f64(f64::NAN); saved_len(self.cell, self.shape)];
        let (h_mask, peepholes) = (cast_option(&self.h_mask), cast_option(&self.peepholes));
        let inputs = RecurrentInputs {
            h_mask: h_mask.as_deref(),
            peepholes: peepholes.as_deref(),
            extras: self.extras,
            bias: bias.as_deref(),
            flags: self.flags.as_deref(),
            ..RecurrentInputs::new(&x, &kernel, &recurrent)
        };
        let c_given = lstm.then_some(&mut c[..]);
        recurrent_forward(
            self.cell,
            self.shape,
            inputs,
            RecurrentStates { saved: Some(&mut saved), ..RecurrentStates::new(&mut h, c_given) },
            workspace,
            self.version,
            threads,
        )
        .unwrap();
        let nan = T::from_f64(f64::NAN);
        let mut out = Results {
            kernel: vec![T::ZERO; kernel.len()],
            recurrent: vec![T::ZERO; recurrent.len()],
            bias: vec![T::ZERO; bias.as_ref().map_or(0, Vec::len)],
            peepholes: vec![T::ZERO; peepholes.as_ref().map_or(0, Vec::len)],
            x: vec![nan; x.len()],
            h0: vec![nan; self.h0.len()],
            c0: vec![nan; self.c0.len()],
            h,
            c,
        };
        let (dy, dh_last) = (cast_option(&self.dy), cast_option(&self.dh_last));
        let dc_last = cast_option(&self.dc_last);
        let mut dy = dy;
        if in_place {
            out.x = dy.take().expect("gradients of the outputs");
        }
        let dx = if in_place { InputGradient::OverDy } else { InputGradient::Apart };
        recurrent_backward(
            self.cell,
            self.shape,
            inputs,
            RecurrentTrace { h: &out.h, c: lstm.then_some(&out.c), saved: &saved },
            RecurrentUpstream {
                dy: dy.as_deref().map(OutputGradient::Made),
                dh_last: dh_last.as_deref(),
                dc_last: dc_last.as_deref(),
            },
            RecurrentGrads {
                kernel: &mut out.kernel,
                recurrent: &mut out.recurrent,
                bias: bias.is_some().then_some(&mut out.bias),
                peepholes: peepholes.is_some().then_some(&mut out.peepholes),
                x: Some(dx(&mut out.x)),
                h0: Some(&mut out.h0),
                c0: lstm.then_some(&mut out.c0),
            },
            workspace,
            self.version,
            threads,
        )
        .unwrap();
        out
    }
}
