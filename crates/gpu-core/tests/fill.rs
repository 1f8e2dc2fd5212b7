//! fill: sizes 1, odd, one workgroup, more than one; offsets that no alignment explains.
use gpu_core::{kernels, testing};

#[test]
fn fills_exactly_the_slice() {
    let Some(ctx) = testing::context() else { return };
    for (n, offset, len) in [(1, 0, 1), (7, 3, 3), (64, 0, 64), (1000, 333, 600), (70_001, 1, 70_000)] {
        let y = ctx.alloc_from(&vec![1.0; n]).unwrap();
        let mut rec = ctx.recorder();
        kernels::fill(&mut rec, 2.5, &y.slice(offset, len).unwrap()).unwrap();
        ctx.run(&rec.finish().unwrap(), &[Default::default()]).unwrap();
        let want: Vec<f32> =
            (0..n).map(|i| if (offset..offset + len).contains(&i) { 2.5 } else { 1.0 }).collect();
        assert_eq!(ctx.read_f32(&y.all()).unwrap(), want, "n {n} offset {offset} len {len}");
    }
}
