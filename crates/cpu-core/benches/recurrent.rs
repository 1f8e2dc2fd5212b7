//! What a recurrent layer costs: the workloads of `docs/PERFORMANCE.md`, the layer alone, forward without and with what
//! training needs, and backward; with recurrent dropout beside without.
//!
//! `cargo bench -p cpu-core --bench recurrent -- W3`; `THREADS=1` for one thread.

use cpu_core::recurrent::{
    OutputGradient, RecurrentGrads, RecurrentInputs, RecurrentShape, RecurrentStates, RecurrentTrace,
    RecurrentUpstream, RecurrentWorkspace, recurrent_backward, recurrent_forward, saved_len,
};
use cpu_core::{Activation, Cell};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const LSTM: Cell = Cell::Lstm {
    activation: Activation::Tanh,
    recurrent_activation: Activation::Sigmoid,
    output_activation: Activation::Tanh,
};
const GRU: Cell =
    Cell::Gru { activation: Activation::Tanh, recurrent_activation: Activation::Sigmoid, reset_after: true };

/// name, cell, batch, time, input, units
const WORKLOADS: [(&str, Cell, usize, usize, usize, usize); 8] = [
    ("W1", LSTM, 32, 40, 1, 100),
    ("W2", LSTM, 400, 1, 8, 64),
    ("W3", LSTM, 32, 64, 128, 256),
    ("W4", LSTM, 64, 50, 512, 512),
    ("W5", GRU, 32, 64, 128, 256),
    ("W6", LSTM, 1, 100, 32, 128),
    ("W7", LSTM, 16, 25, 1024, 1024),
    ("airline", LSTM, 1, 3, 1, 4),
];

/// Pseudo-random numbers in `[-scale, scale)`.
fn values(n: usize, scale: f32) -> Vec<f32> {
    let mut x = 1u32;
    (0..n)
        .map(|_| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((x >> 8) as f32 / 8_388_608.0 - 1.0) * scale
        })
        .collect()
}

fn recurrent(criterion: &mut Criterion) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = std::env::var("THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(cores);
    for (name, cell, batch, time, input, units) in WORKLOADS {
        let shape = RecurrentShape { time, batch, input, units };
        let columns = cell.gates() * units;
        let x = values(time * batch * input, 1.0);
        let kernel = values(input * columns, (input as f32).sqrt().recip());
        let recurrent = values(units * columns, (units as f32).sqrt().recip());
        let bias = values(cell.bias_blocks() * units, 0.1);
        let mut h = vec![0.0; (time + 1) * batch * units];
        let mut c = h.clone();
        let lstm = cell.states() == 2;
        let mut saved = vec![0.0; saved_len(cell, shape)];
        let dy = values(time * batch * units, 1.0);
        let (mut dk, mut dr) = (vec![0.0; kernel.len()], vec![0.0; recurrent.len()]);
        let mut db = vec![0.0; bias.len()];
        let mask = values(batch * units, 1.0);
        let mut workspace = RecurrentWorkspace::new();
        let inputs = RecurrentInputs::new(&x, &kernel, &recurrent);

        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements((2 * time * batch * (input + units) * columns) as u64));
        for (what, version, train, masked) in [
            ("infer", 1, false, false),
            ("forward", 0, true, false),
            ("forward, recurrent dropout", 0, true, true),
        ] {
            group.bench_function(what, |bencher| {
                bencher.iter(|| {
                    let c = lstm.then_some(&mut c[..]);
                    let saved = train.then_some(&mut saved[..]);
                    let bias = Some(&bias[..]);
                    recurrent_forward(
                        cell,
                        shape,
                        RecurrentInputs { bias, h_mask: masked.then_some(&mask[..]), ..inputs },
                        RecurrentStates { saved, ..RecurrentStates::new(&mut h, c) },
                        &mut workspace,
                        version,
                        threads,
                    )
                });
            });
        }
        for (what, masked) in [("backward", false), ("backward, recurrent dropout", true)] {
            group.bench_function(what, |bencher| {
                bencher.iter(|| {
                    let grads = RecurrentGrads {
                        kernel: &mut dk,
                        recurrent: &mut dr,
                        bias: Some(&mut db),
                        peepholes: None,
                        x: None,
                        h0: None,
                        c0: None,
                    };
                    let c = lstm.then_some(&c[..]);
                    recurrent_backward(
                        cell,
                        shape,
                        RecurrentInputs { h_mask: masked.then_some(&mask[..]), ..inputs },
                        RecurrentTrace { h: &h, c, saved: &saved },
                        RecurrentUpstream {
                            dy: Some(OutputGradient::Made(&dy)),
                            dh_last: None,
                            dc_last: None,
                        },
                        grads,
                        &mut workspace,
                        0,
                        threads,
                    )
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, recurrent);
criterion_main!(benches);
