//! Which strategy is faster at which size, forward and backward?
mod support;
use criterion::{Criterion, criterion_group, criterion_main};
use gpu_core::kernels::{
    self, OutputGradient, RecurrentGrads, RecurrentInputs, RecurrentShape, RecurrentStates,
    RecurrentUpstream, StrategyKind,
};
use gpu_core::vocabulary::{Activation, Cell};
use gpu_core::{Context, Program};
use support::{context, filled};

const LSTM: Cell = Cell::Lstm {
    activation: Activation::Tanh,
    recurrent_activation: Activation::Sigmoid,
    output_activation: Activation::Tanh,
};
const GRU: Cell =
    Cell::Gru { activation: Activation::Tanh, recurrent_activation: Activation::Sigmoid, reset_after: true };

fn program(
    ctx: &Context,
    cell: Cell,
    shape: RecurrentShape,
    kind: StrategyKind,
    train: bool,
    masked: bool,
) -> Program {
    let RecurrentShape { time, batch, input, units } = shape;
    let columns = cell.gates() * units;
    let states = (time + 1) * batch * units;
    let new = |len: usize| filled(ctx, len, 0.01);
    let (x, kernel, recurrent) = (new(time * batch * input), new(input * columns), new(units * columns));
    let (bias, h, c) = (new(cell.bias_blocks() * units), new(states), new(states));
    let c = matches!(cell, Cell::Lstm { .. }).then_some(&c);
    let mask = new(batch * units);
    let saved = new(kernels::saved_len(cell, shape));
    let mut rec = ctx.recorder();
    rec.force_recurrent(Some(kind));
    let keep = train.then_some(&saved);
    let inputs = RecurrentInputs {
        bias: Some(&bias),
        h_mask: masked.then_some(&mask),
        ..RecurrentInputs::new(&x, &kernel, &recurrent)
    };
    let states = RecurrentStates { saved: keep, ..RecurrentStates::new(&h, c) };
    kernels::recurrent_forward(&mut rec, cell, shape, inputs, states).unwrap();
    if train {
        let (dk, dr, db) = (new(kernel.len()), new(recurrent.len()), new(bias.len()));
        let dy = new(time * batch * units);
        let grads = RecurrentGrads {
            kernel: &dk,
            recurrent: &dr,
            bias: Some(&db),
            peepholes: None,
            x: None,
            h0: None,
            c0: None,
        };
        let up = RecurrentUpstream { dy: Some(OutputGradient::Made(&dy)), dh_last: None, dc_last: None };
        kernels::recurrent_backward(&mut rec, cell, shape, inputs, states, up, &grads).unwrap();
    }
    rec.finish().unwrap()
}

fn recurrent(c: &mut Criterion) {
    let Some(ctx) = context() else { return };
    let mut group = c.benchmark_group(format!("recurrent/{}", ctx.info().backend));
    group.sample_size(10);
    for (name, cell, (time, batch, input, units)) in [
        ("W1", LSTM, (40, 32, 1, 100)),
        ("W3", LSTM, (64, 32, 128, 256)),
        ("W5", GRU, (64, 32, 128, 256)),
        ("W6", LSTM, (100, 1, 32, 128)),
        ("airline", LSTM, (3, 1, 1, 4)),
    ] {
        let shape = RecurrentShape { time, batch, input, units };
        for kind in [StrategyKind::PerStep, StrategyKind::Sequence] {
            for (mode, train, masked) in [
                ("forward", false, false),
                ("forward and backward", true, false),
                ("forward and backward, recurrent dropout", true, true),
            ] {
                let program = program(&ctx, cell, shape, kind, train, masked);
                group.bench_function(format!("{name}, {mode}, {kind:?}"), |bench| {
                    bench.iter(|| {
                        ctx.run(&program, &[Default::default()]).unwrap();
                        ctx.synchronize().unwrap();
                    });
                });
            }
        }
    }
}

criterion_group!(benches, recurrent);
criterion_main!(benches);
