//! Copies that move values, bit for bit, against the twins and with NaN payloads.
mod common;
use common::{Guarded, numbers, refused, run};
use gpu_core::{kernels, testing};
use proptest::prelude::*;

/// Words that no arithmetic would leave alone: NaN with payloads, denormals, negative zero.
fn words(n: usize) -> Vec<u32> {
    let odd = [0x7fc0_1234, 0xffff_ffff, 1, 0x8000_0000, 0x7f80_0001];
    let mut words: Vec<u32> = numbers(11, n, -1.0, 1.0).into_iter().map(f32::to_bits).collect();
    words.iter_mut().zip(odd).for_each(|(w, o)| *w = o);
    words
}

fn floats(words: &[u32]) -> Vec<f32> {
    words.iter().map(|&w| f32::from_bits(w)).collect()
}

fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|f| f.to_bits()).collect()
}

fn check(a: usize, b: usize, f: usize) {
    let Some(ctx) = testing::context() else { return };
    let (x, new) = (words(a * b * f), words(b * f));
    let (dx, dnew) = (Guarded::words(&ctx, &x), Guarded::words(&ctx, &new));
    let [transposed, reversed, shifted, repeated] = std::array::from_fn(|_| Guarded::out(&ctx, a * b * f));
    run(&ctx, |rec| {
        kernels::transpose01(rec, a, b, f, &dx.slice, &transposed.slice)?;
        kernels::reverse_time(rec, a, b * f, &dx.slice, &reversed.slice)?;
        kernels::shift_append(rec, a, b * f, &dx.slice, &dnew.slice, &shifted.slice)?;
        kernels::repeat_vector(rec, a, b * f, &dnew.slice, &repeated.slice)
    });
    let (fx, fnew) = (floats(&x), floats(&new));
    let mut want = vec![0.0f32; x.len()];
    cpu_core::transpose01(a, b, f, &fx, &mut want).unwrap();
    assert_eq!(transposed.read_words(&ctx), bits(&want), "transpose01 {a} {b} {f}");
    cpu_core::reverse_time(a, b * f, &fx, &mut want).unwrap();
    assert_eq!(reversed.read_words(&ctx), bits(&want), "reverse_time {a} {b} {f}");
    cpu_core::shift_append(a, b * f, &fx, &fnew, &mut want).unwrap();
    assert_eq!(shifted.read_words(&ctx), bits(&want), "shift_append {a} {b} {f}");
    cpu_core::repeat_vector(a, b * f, &fnew, &mut want).unwrap();
    assert_eq!(repeated.read_words(&ctx), bits(&want), "repeat_vector {a} {b} {f}");
}

#[test]
fn edges() {
    for (a, b, f) in [(1, 1, 1), (1, 5, 3), (5, 1, 3), (8, 8, 1), (70_000, 1, 1), (300, 7, 5), (3, 40_001, 1)]
    {
        check(a, b, f);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_shape(a in 1usize..40, b in 1usize..40, f in 1usize..12) {
        check(a, b, f);
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let Some(ctx) = testing::context() else { return };
    let (six, two) = (ctx.alloc(6).unwrap().all(), ctx.alloc(2).unwrap().all());
    let message = refused(&ctx, |rec| kernels::transpose01(rec, 2, 2, 2, &six, &six));
    assert_eq!(message, "transpose01: x needs 8 elements, got 6");
    let message = refused(&ctx, |rec| kernels::repeat_vector(rec, usize::MAX, 2, &two, &six));
    assert!(message.starts_with("repeat_vector: y needs"), "{message}");
    let message = refused(&ctx, |rec| kernels::shift_append(rec, 3, 2, &six, &six, &six));
    assert_eq!(message, "shift_append: new needs 2 elements, got 6");
}
