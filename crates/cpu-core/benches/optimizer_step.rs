//! What an update costs: the airline model's 320 padded floats, one that fits the L2 cache, one of two million.

use cpu_core::{OptimizerSpec, StepParams, UpdateRule, clip_by_norm, optimizer_step, segment_norms};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn updates(c: &mut Criterion) {
    let rules = [
        ("sgd", UpdateRule::Sgd { momentum: 0.0, nesterov: false }),
        ("sgd momentum", UpdateRule::Sgd { momentum: 0.9, nesterov: false }),
        ("rmsprop", UpdateRule::RmsProp { rho: 0.9, momentum: 0.0, epsilon: 1e-7, centered: false }),
        ("adam", UpdateRule::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false }),
        ("amsgrad", UpdateRule::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: true }),
    ];
    let step = StepParams { lr: 1e-3, alpha: 1e-3, ..Default::default() };
    for n in [320, 40_960, 1 << 17, 2_099_200] {
        let mut group = c.benchmark_group(format!("optimizer/{n}"));
        group.throughput(Throughput::Elements(n as u64));
        let g: Vec<f32> = (0..n).map(|i| (i % 997) as f32 * 1e-3 - 0.5).collect();
        let mut w = vec![0.1; n];
        let mut slots = vec![vec![0.1; n]; 3];
        for (name, rule) in rules {
            let spec = OptimizerSpec { rule, weight_decay: 0.0, clip_value: f32::INFINITY };
            group.bench_function(name, |b| {
                let [m, v, x] = slots.get_disjoint_mut([0, 1, 2]).unwrap();
                b.iter(|| {
                    optimizer_step(&spec, &step, black_box(&mut w), &g, Some(m), Some(v), Some(x)).unwrap();
                });
            });
        }
        let segments = [0, n as u32 / 2, n as u32 / 2, n as u32 - n as u32 / 2];
        group.bench_function("global norm and clip", |b| {
            let mut sumsq = [0.0; 2];
            b.iter(|| {
                segment_norms(&segments, black_box(&g), &mut sumsq).unwrap();
                clip_by_norm(&segments, &sumsq, 1e-3, true, &mut w).unwrap();
            });
        });
        group.finish();
    }
}

criterion_group!(benches, updates);
criterion_main!(benches);
