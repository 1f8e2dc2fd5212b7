//! Recurrent layers against the f64 twins of cpu-core: every cell, both strategies, masks, resets, missing pieces.
use cpu_core::recurrent as cpu;
use gpu_core::kernels::{self, RecurrentGrads, RecurrentShape, StrategyKind};
use gpu_core::vocabulary::{Activation, Cell, CellExtras, RESET, VALID};
use gpu_core::{Buffer, Context, Faces, testing};
use proptest::prelude::*;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn numbers(&mut self, n: usize, scale: f64) -> Vec<f64> {
        // Rounded to f32, so that both sides start from the same numbers.
        (0..n).map(|_| f64::from(((self.next() as f64 / (1u64 << 30) as f64 - 1.0) * scale) as f32)).collect()
    }
}

#[derive(Clone, Debug)]
struct Problem {
    cell: Cell,
    shape: RecurrentShape,
    bias: bool,
    flags: bool,
    mask: bool,
    peepholes: bool,
    extras: CellExtras,
    dy: bool,
    last: bool,
    weight_scale: f64,
    strategy: Option<StrategyKind>,
    chunk_bytes: Option<u64>,
    /// where the gradient of x goes
    place: Place,
    /// the gradient of the outputs comes as a product
    product: bool,
}

/// Where the gradient of x goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Apart,
    OverDy,
    OverH,
}

const LSTM: Cell = Cell::Lstm {
    activation: Activation::Tanh,
    recurrent_activation: Activation::Sigmoid,
    output_activation: Activation::Tanh,
};
const GRU: Cell =
    Cell::Gru { activation: Activation::Tanh, recurrent_activation: Activation::Sigmoid, reset_after: true };
const GRU_BEFORE: Cell =
    Cell::Gru { activation: Activation::Tanh, recurrent_activation: Activation::Sigmoid, reset_after: false };
const RNN: Cell = Cell::SimpleRnn { activation: Activation::Tanh };
const CELLS: [Cell; 4] = [LSTM, GRU, GRU_BEFORE, RNN];

fn problem(cell: Cell, time: usize, batch: usize, input: usize, units: usize) -> Problem {
    let shape = RecurrentShape { time, batch, input, units };
    Problem {
        cell,
        shape,
        bias: true,
        flags: false,
        mask: false,
        peepholes: false,
        extras: CellExtras::default(),
        dy: true,
        last: true,
        weight_scale: 0.3,
        strategy: None,
        chunk_bytes: None,
        place: Place::Apart,
        product: false,
    }
}

fn f32s(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// Largest difference relative to the largest wanted number (at least 1); NaN is infinite.
fn error(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(1.0f64, |m, w| m.max(w.abs()));
    got.iter().zip(want).fold(0.0f64, |worst, (&g, &w)| {
        let d = (f64::from(g) - w).abs() / scale;
        if d.is_nan() { f64::INFINITY } else { worst.max(d) }
    })
}

impl Problem {
    /// Runs both devices; returns the largest error of the outputs and of the gradients.
    fn errors(&self, ctx: &Context) -> (f64, f64) {
        let Problem { cell, shape, .. } = *self;
        let RecurrentShape { time, batch, input, units } = shape;
        let columns = cell.gates() * units;
        let mut rng = Rng(7);
        let lstm = matches!(cell, Cell::Lstm { .. });
        let x = rng.numbers(time * batch * input, 1.0);
        let kernel = rng.numbers(input * columns, self.weight_scale);
        let recurrent = rng.numbers(units * columns, self.weight_scale);
        let bias = rng.numbers(cell.bias_blocks() * units, 0.5);
        let flags: Vec<u32> = (0..time * batch)
            .map(
                |_| if rng.next().is_multiple_of(4) { 0 } else { VALID } | if rng.next().is_multiple_of(5) { RESET } else { 0 },
            )
            .collect();
        // Dropout of a half: factors 0 and 2.
        let mask: Vec<f64> =
            (0..batch * units).map(|_| if rng.next() & 1 == 0 { 0.0 } else { 2.0 }).collect();
        let peepholes = rng.numbers(3 * units, 0.5);
        let mut h = rng.numbers((time + 1) * batch * units, 0.8);
        let mut c = rng.numbers((time + 1) * batch * units, 0.8);
        const INNER: usize = 3;
        let (left, right) = (rng.numbers(time * batch * INNER, 1.0), rng.numbers(units * INNER, 1.0));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let dy: Vec<f64> = if self.product {
            let rows = left.chunks_exact(INNER);
            rows.flat_map(|row| right.chunks_exact(INNER).map(move |column| dot(row, column))).collect()
        } else {
            rng.numbers(time * batch * units, 1.0)
        };
        let dh = rng.numbers(batch * units, 1.0);
        let dc = rng.numbers(batch * units, 1.0);
        let start = rng.numbers(input * columns + units * columns + bias.len(), 0.1);
        let gp = rng.numbers(3 * units, 0.1);
        let (gk, rest) = start.split_at(input * columns);
        let (gr, gb) = rest.split_at(units * columns);

        // Device first: h and c are overwritten by the twin.
        let up = |v: &[f64]| ctx.alloc_from(&f32s(v)).unwrap();
        let (bx, bk, br, bb, bh, bc) = (up(&x), up(&kernel), up(&recurrent), up(&bias), up(&h), up(&c));
        let (bm, bp) = (up(&mask), up(&peepholes));
        let bf = ctx.alloc(flags.len()).unwrap();
        ctx.write(&bf.all(), bytemuck_cast(&flags)).unwrap();
        let bgp = up(&gp);
        let (bdy, bdh, bdc, bgk, bgr, bgb) = (up(&dy), up(&dh), up(&dc), up(gk), up(gr), up(gb));
        let saved = ctx.alloc(kernels::saved_len(cell, shape)).unwrap();
        let (bgx, bgh, bgc) = (
            ctx.alloc(x.len()).unwrap(),
            ctx.alloc(batch * units).unwrap(),
            ctx.alloc(batch * units).unwrap(),
        );
        let s = |b: &Buffer| b.all();
        let (fs, bs, cs, ms, hs, ss) = (s(&bf), s(&bb), s(&bc), s(&bm), s(&bh), s(&saved));
        let (sx, sk, sr, sp) = (s(&bx), s(&bk), s(&br), s(&bp));
        let inputs = kernels::RecurrentInputs {
            bias: self.bias.then_some(&bs),
            flags: self.flags.then_some(&fs),
            h_mask: self.mask.then_some(&ms),
            peepholes: self.peepholes.then_some(&sp),
            extras: self.extras,
            ..kernels::RecurrentInputs::new(&sx, &sk, &sr)
        };
        let states = kernels::RecurrentStates {
            saved: Some(&ss),
            ..kernels::RecurrentStates::new(&hs, lstm.then_some(&cs))
        };
        let mut rec = ctx.recorder();
        rec.force_recurrent(self.strategy);
        if let Some(bytes) = self.chunk_bytes {
            rec.set_chunk_bytes(bytes);
        }
        kernels::recurrent_forward(&mut rec, cell, shape, inputs, states).unwrap();
        let (sdy, sdh, sdc) = (s(&bdy), s(&bdh), s(&bdc));
        let (bleft, bright) = (up(&left), up(&right));
        let (sleft, sright) = (s(&bleft), s(&bright));
        let (bgx, at) = match self.place {
            Place::Apart => (&bgx, 0),
            Place::OverDy => (&bdy, 0),
            Place::OverH => (&bh, h.len() - x.len()),
        };
        let (sgk, sgr, sgb, sgx, sgh, sgc) =
            (s(&bgk), s(&bgr), s(&bgb), bgx.slice(at, x.len()).unwrap(), s(&bgh), s(&bgc));
        let sgp = s(&bgp);
        let grads = RecurrentGrads {
            peepholes: self.peepholes.then_some(&sgp),
            kernel: &sgk,
            recurrent: &sgr,
            bias: self.bias.then_some(&sgb),
            x: Some(&sgx),
            h0: Some(&sgh),
            c0: lstm.then_some(&sgc),
        };
        let up = kernels::RecurrentUpstream {
            dy: self.dy.then_some(match self.product {
                true => kernels::OutputGradient::Product { left: &sleft, right: &sright },
                false => kernels::OutputGradient::Made(&sdy),
            }),
            dh_last: self.last.then_some(&sdh),
            dc_last: (self.last && lstm).then_some(&sdc),
        };
        kernels::recurrent_backward(&mut rec, cell, shape, inputs, states, up, &grads).unwrap();
        ctx.run(&rec.finish().unwrap(), &[Default::default()]).unwrap();

        let mut keep = vec![0.0; cpu::saved_len(cell, shape)];
        let mut workspace = cpu::RecurrentWorkspace::default();
        let inputs = cpu::RecurrentInputs {
            bias: self.bias.then_some(&bias[..]),
            flags: self.flags.then_some(&flags[..]),
            h_mask: self.mask.then_some(&mask[..]),
            peepholes: self.peepholes.then_some(&peepholes[..]),
            extras: self.extras,
            ..cpu::RecurrentInputs::new(&x, &kernel, &recurrent)
        };
        let states = cpu::RecurrentStates {
            saved: Some(&mut keep),
            ..cpu::RecurrentStates::new(&mut h, lstm.then_some(&mut c[..]))
        };
        cpu::recurrent_forward(cell, shape, inputs, states, &mut workspace, 0, 1).unwrap();
        let (mut gk, mut gr, mut gb, mut gp) = (gk.to_vec(), gr.to_vec(), gb.to_vec(), gp);
        let (mut gx, mut gh, mut gc) =
            (vec![0.0; x.len()], vec![0.0; batch * units], vec![0.0; batch * units]);
        let grads = cpu::RecurrentGrads {
            peepholes: self.peepholes.then_some(&mut gp[..]),
            kernel: &mut gk,
            recurrent: &mut gr,
            bias: self.bias.then_some(&mut gb[..]),
            x: Some(cpu::InputGradient::Apart(&mut gx)),
            h0: Some(&mut gh),
            c0: lstm.then_some(&mut gc[..]),
        };
        let trace = cpu::RecurrentTrace { h: &h, c: lstm.then_some(&c[..]), saved: &keep };
        let up = cpu::RecurrentUpstream {
            dy: self.dy.then_some(cpu::OutputGradient::Made(&dy)),
            dh_last: self.last.then_some(&dh[..]),
            dc_last: (self.last && lstm).then_some(&dc[..]),
        };
        cpu::recurrent_backward(cell, shape, inputs, trace, up, grads, &mut workspace, 0, 1).unwrap();

        let read = |b: &Buffer| ctx.read_f32(&b.all()).unwrap();
        // The slot that the sequence starts from stays, whatever stands in the others.
        let left = if self.place == Place::OverH { batch * units } else { h.len() };
        let mut forward = error(&read(&bh)[..left], &h[..left]);
        let mut backward = [(s(&bgk), &gk), (s(&bgr), &gr), (sgx, &gx), (s(&bgh), &gh)]
            .map(|(b, want)| error(&ctx.read_f32(&b).unwrap(), want))
            .into_iter()
            .fold(0.0, f64::max);
        if lstm {
            forward = forward.max(error(&read(&bc), &c));
            backward = backward.max(error(&read(&bgc), &gc));
        }
        if self.bias {
            backward = backward.max(error(&read(&bgb), &gb));
        }
        if self.peepholes {
            backward = backward.max(error(&read(&bgp), &gp));
        }
        (forward, backward)
    }

    /// Outputs within 1e-5, gradients within 1e-4 of the largest: f32 rounding (6e-8) through sums of at most a few hundred
    /// terms and steps, times the adapter's exp (about 4 units in the last place).
    fn check(&self) {
        let Some(ctx) = testing::context() else { return };
        self.check_on(&ctx.with_faces(Faces::Software));
    }

    fn check_on(&self, ctx: &Context) {
        let (forward, backward) = self.errors(ctx);
        let faces = ctx.faces();
        assert!(
            forward <= 1e-5 && backward <= 1e-4,
            "{faces:?}: forward {forward:e} backward {backward:e} for {self:?}"
        );
    }
}

fn bytemuck_cast(words: &[u32]) -> &[u8] {
    bytemuck::cast_slice(words)
}

#[test]
fn every_cell_at_sizes_one_odd_a_workgroup_and_more() {
    for cell in CELLS {
        for (t, b, i, u) in
            [(1, 1, 1, 1), (5, 3, 2, 5), (4, 8, 7, 32), (3, 17, 9, 132), (6, 2, 3, 150), (3, 30, 2, 100)]
        {
            for strategy in [StrategyKind::PerStep, StrategyKind::Sequence] {
                Problem { strategy: Some(strategy), ..problem(cell, t, b, i, u) }.check();
            }
        }
    }
}

#[test]
fn flags_mask_and_reset() {
    for cell in CELLS {
        for strategy in [StrategyKind::PerStep, StrategyKind::Sequence] {
            for mask in [false, true] {
                Problem { flags: true, mask, strategy: Some(strategy), ..problem(cell, 9, 11, 3, 20) }
                    .check();
            }
        }
    }
}

/// What ONNX's cells have beyond Keras's. At a kink of the limit both sides have to agree; these seeds have no number there.
#[test]
fn limits_peepholes_and_coupled_gates() {
    for cell in CELLS {
        let lstm = cell.states() == 2;
        for strategy in [StrategyKind::PerStep, StrategyKind::Sequence] {
            for (peepholes, clip, coupled) in [
                (true, None, false),
                (false, Some(0.4), false),
                (false, None, true),
                (true, Some(0.7), true),
                (true, Some(40.0), false),
            ] {
                let extras = CellExtras { clip, coupled: coupled && lstm };
                let peepholes = peepholes && lstm;
                for chunk_bytes in [None, Some(4 * 1680)] {
                    let p = problem(cell, 6, 3, 5, 21);
                    let strategy = Some(strategy);
                    Problem { flags: true, peepholes, extras, strategy, chunk_bytes, ..p }.check();
                }
            }
        }
    }
}

#[test]
fn a_sequence_in_chunks_is_the_same() {
    for cell in CELLS {
        for strategy in [StrategyKind::PerStep, StrategyKind::Sequence] {
            // Gates of a step have at most 3 * 20 * 4 * 4 bytes: chunks of 3 steps and more.
            let chunks = problem(cell, 11, 3, 4, 20);
            let chunk_bytes = Some(4 * 960);
            Problem { flags: true, mask: true, strategy: Some(strategy), chunk_bytes, ..chunks }.check();
        }
    }
}

/// The gradients of the inputs where those of the outputs were.
#[test]
fn the_gradient_of_the_input_takes_the_place_of_that_of_the_output() {
    for cell in CELLS {
        for strategy in [StrategyKind::PerStep, StrategyKind::Sequence] {
            for chunk_bytes in [None, Some(4 * 960)] {
                let p = problem(cell, 11, 3, 20, 20);
                Problem { flags: true, place: Place::OverDy, strategy: Some(strategy), chunk_bytes, ..p }
                    .check();
            }
        }
    }
}

/// The gradients of the inputs where the states were, those of the outputs a product; parts of 3 steps and more, all at once, one step.
#[test]
fn gradients_that_never_stand_in_memory_of_their_own() {
    for cell in CELLS {
        for strategy in [StrategyKind::PerStep, StrategyKind::Sequence] {
            for (time, input, chunk_bytes) in
                [(11, 20, None), (11, 20, Some(4 * 960)), (11, 7, Some(4 * 960)), (1, 20, None)]
            {
                for (place, mask) in [(Place::OverH, false), (Place::OverH, true), (Place::Apart, false)] {
                    let p = problem(cell, time, 3, input, 20);
                    let strategy = Some(strategy);
                    Problem { flags: true, mask, product: true, place, strategy, chunk_bytes, ..p }.check();
                }
            }
        }
    }
}

#[test]
fn inference_equals_training_and_repeats_bit_for_bit() {
    let Some(ctx) = testing::context() else { return };
    for cell in CELLS {
        let shape = RecurrentShape { time: 7, batch: 9, input: 3, units: 20 };
        let columns = cell.gates() * shape.units;
        let mut rng = Rng(3);
        let mut up = |n: usize| ctx.alloc_from(&f32s(&rng.numbers(n, 0.5))).unwrap().all();
        let (x, k, r, b) = (up(7 * 9 * 3), up(3 * columns), up(20 * columns), up(cell.bias_blocks() * 20));
        let (h, c) = (up(8 * 9 * 20), up(8 * 9 * 20));
        let c = matches!(cell, Cell::Lstm { .. }).then_some(&c);
        let saved = ctx.alloc(kernels::saved_len(cell, shape)).unwrap().all();
        let run = |saved: Option<&gpu_core::Slice>| {
            let mut rec = ctx.recorder();
            let inputs =
                kernels::RecurrentInputs { bias: Some(&b), ..kernels::RecurrentInputs::new(&x, &k, &r) };
            let states = kernels::RecurrentStates { saved, ..kernels::RecurrentStates::new(&h, c) };
            kernels::recurrent_forward(&mut rec, cell, shape, inputs, states).unwrap();
            ctx.run(&rec.finish().unwrap(), &[Default::default()]).unwrap();
            ctx.read_u32(&h).unwrap()
        };
        let training = run(Some(&saved));
        assert_eq!(run(None), training, "{cell:?}");
        assert_eq!(run(Some(&saved)), training, "{cell:?}");
    }
}

/// States that stay in their own buffers give the bits of states that are copied into the sequence's slots.
#[test]
fn states_that_live_on() {
    let Some(ctx) = testing::context() else { return };
    for (cell, time) in CELLS.into_iter().flat_map(|cell| [(cell, 1), (cell, 3)]) {
        for strategy in [StrategyKind::PerStep, StrategyKind::Sequence] {
            let shape = RecurrentShape { time, batch: 9, input: 3, units: 21 };
            let (columns, slot) = (cell.gates() * 21, 9 * 21);
            let lstm = cell.states() == 2;
            let mut rng = Rng(5);
            let mut up = |n: usize| ctx.alloc_from(&f32s(&rng.numbers(n, 0.5))).unwrap().all();
            let (x, k, r) = (up(time * 27), up(3 * columns), up(21 * columns));
            let (h, c) = (up((time + 1) * slot), up((time + 1) * slot));
            let flags = ctx.alloc(time * 9).unwrap().all();
            let words: Vec<u32> = (0..time * 9).map(|i| [1, 0, 3, 1, 2][i % 5]).collect();
            ctx.write(&flags, bytemuck_cast(&words)).unwrap();
            let inputs =
                kernels::RecurrentInputs { flags: Some(&flags), ..kernels::RecurrentInputs::new(&x, &k, &r) };
            let (h_state, c_state) = (up(slot), up(slot));
            let mut rec = ctx.recorder();
            rec.force_recurrent(Some(strategy));
            kernels::copy(&mut rec, &h_state, &h.slice(0, slot).unwrap()).unwrap();
            kernels::copy(&mut rec, &c_state, &c.slice(0, slot).unwrap()).unwrap();
            let copied = kernels::RecurrentStates::new(&h, lstm.then_some(&c));
            kernels::recurrent_forward(&mut rec, cell, shape, inputs, copied).unwrap();
            let other = up((time + 1) * slot);
            let resident = kernels::RecurrentStates {
                h_state: Some(&h_state),
                ..kernels::RecurrentStates::new(&other, lstm.then_some(&c_state))
            };
            kernels::recurrent_forward(&mut rec, cell, shape, inputs, resident).unwrap();
            ctx.run(&rec.finish().unwrap(), &[Default::default()]).unwrap();
            let read = |s: &gpu_core::Slice| ctx.read_u32(s).unwrap();
            let (copied, resident) = (read(&h), read(&other));
            assert_eq!(copied[slot..], resident[slot..], "{cell:?} {time} {strategy:?}");
            assert_eq!(copied[time * slot..], read(&h_state), "{cell:?} {time} {strategy:?}");
            if lstm {
                assert_eq!(read(&c)[time * slot..], read(&c_state), "{time} {strategy:?}");
            }
        }
    }
}

/// The tile with several invocations per product, which no software adapter takes by itself.
#[test]
fn hardware_faces_agree() {
    let Some(ctx) = testing::context() else { return };
    let ctx = ctx.with_faces(Faces::Hardware);
    for cell in CELLS {
        for strategy in [StrategyKind::PerStep, StrategyKind::Sequence] {
            for (batch, units) in [(5, 70), (1, 130), (2, 3)] {
                let p = problem(cell, 4, batch, 3, units);
                Problem { flags: true, mask: true, strategy: Some(strategy), ..p }.check_on(&ctx);
            }
        }
    }
}

/// All cells share the text of the activations, so one cell shows them, three at a time.
#[test]
fn every_activation_with_a_derivative_from_its_output() {
    let kinds: Vec<_> = Activation::ALL.into_iter().filter(|a| a.derivative_from_output()).collect();
    for (i, &activation) in kinds.iter().enumerate() {
        let [recurrent_activation, output_activation] = [1, 2].map(|next| kinds[(i + next) % kinds.len()]);
        let cell = Cell::Lstm { activation, recurrent_activation, output_activation };
        // Exponential and linear gates explode through time; two steps show their derivatives.
        Problem { weight_scale: 0.1, ..problem(cell, 2, 3, 2, 6) }.check();
    }
}

/// More steps than dispatches of a dimension and than iterations of a loop on software adapters.
#[test]
fn seventy_thousand_steps() {
    for strategy in [StrategyKind::Sequence, StrategyKind::PerStep] {
        let Some(ctx) = testing::context() else { return };
        let long = Problem { strategy: Some(strategy), weight_scale: 0.5, ..problem(LSTM, 70_000, 1, 1, 3) };
        let (forward, backward) = long.errors(&ctx.with_faces(Faces::Software));
        // Sums over 70,000 steps in f32, one after the other: a relative error of up to 70,000 * 6e-8 of the largest partial sum.
        assert!(
            forward <= 1e-5 && backward <= 5e-3,
            "{strategy:?} forward {forward:e} backward {backward:e}"
        );
    }
}

#[test]
fn saturated_gates_stay_finite() {
    for cell in CELLS {
        let Some(ctx) = testing::context() else { return };
        // Pre-activations of about +-100.
        let (forward, backward) = Problem { weight_scale: 60.0, ..problem(cell, 4, 5, 6, 12) }.errors(&ctx);
        // A pre-activation of 100 has a rounding error of 1e-5, which a gate at its steepest turns into as much.
        assert!(forward < 1e-3 && backward < 1e-2, "{cell:?} forward {forward:e} backward {backward:e}");
    }
}

#[test]
fn wrong_buffers_and_activations_are_errors() {
    let Some(ctx) = testing::context() else { return };
    let b = ctx.alloc_zeroed(64).unwrap();
    let s = |n| b.slice(0, n).unwrap();
    let shape = RecurrentShape { time: 2, batch: 1, input: 1, units: 2 };
    let mut rec = ctx.recorder();
    let mut run = |cell, h: usize, c: Option<usize>| {
        let (h, c) = (s(h), c.map(s));
        let (x, kernel, recurrent) = (s(2), s(8), s(16));
        let inputs = kernels::RecurrentInputs::new(&x, &kernel, &recurrent);
        kernels::recurrent_forward(
            &mut rec,
            cell,
            shape,
            inputs,
            kernels::RecurrentStates::new(&h, c.as_ref()),
        )
        .unwrap_err()
        .to_string()
    };
    assert!(run(LSTM, 5, Some(6)).contains("h needs 6 elements, got 5"));
    assert!(run(LSTM, 6, None).contains("cell state"));
    for at in 0..3 {
        let kind = |i: usize| if i == at { Activation::Silu } else { Activation::Sigmoid };
        let [activation, recurrent_activation, output_activation] = [kind(0), kind(1), kind(2)];
        let silu = Cell::Lstm { activation, recurrent_activation, output_activation };
        assert!(run(silu, 6, Some(6)).contains("Silu"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..Default::default() })]
    #[test]
    fn any_shape_and_option(
        which in 0usize..4, t in 1usize..9, b in prop::sample::select(vec![1usize, 3, 8, 17]), i in 1usize..9, u in 1usize..40,
        bias: bool, flags: bool, mask: bool, dy: bool, last: bool, sequence: bool, peepholes: bool, coupled: bool,
    ) {
        let strategy = Some(if sequence { StrategyKind::Sequence } else { StrategyKind::PerStep });
        let lstm = CELLS[which].states() == 2;
        let (peepholes, extras) = (peepholes && lstm, CellExtras { clip: None, coupled: coupled && lstm });
        Problem { bias, flags, mask, peepholes, extras, dy, last, strategy, ..problem(CELLS[which], t, b, i, u) }.check();
    }
}
