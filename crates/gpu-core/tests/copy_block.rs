//! Strided copies and their accumulation, bit for bit against the twin; nothing else in y is touched.
mod common;
use common::{Guarded, numbers, refused, run};
use gpu_core::{kernels, testing};
use proptest::prelude::*;
use rnn_shaders::shape::Block;

fn check(block: Block) {
    let Some(ctx) = testing::context() else { return };
    let (from, to) = block.spans();
    let (x, before) = (numbers(1, from + 3, -1.0, 1.0), numbers(2, to + 5, -1.0, 1.0));
    let (dx, dy) = (Guarded::new(&ctx, &x), Guarded::new(&ctx, &before));
    run(&ctx, |rec| kernels::copy_block(rec, block, &dx.slice, &dy.slice));
    let mut want = before;
    cpu_core::copy_block(block, &x, &mut want).unwrap();
    assert_eq!(dy.read(&ctx), want, "{block:?}");
}

#[test]
fn edges() {
    for block in [
        Block::rows(1, 1, 1, 1),
        Block::rows(7, 3, 5, 9),
        Block::rows(7, 3, 5, 9).accumulate(),
        Block::rows(64, 64, 64, 64),
        Block::rows(70_000, 1, 2, 3).accumulate(),
        Block::rows(1, 70_001, 1, 1),
        Block::rows(0, 4, 4, 4),
        Block { shape: [3, 4, 5], from: [0, 1, 0], to: [1, 60, 3], accumulate: false },
    ] {
        check(block);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn permutations(a in 1usize..20, b in 1usize..20, c in 1usize..20, order in 0usize..6, accumulate: bool) {
        let axes = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]][order];
        check(Block { accumulate, ..Block::permute([a, b, c], axes) });
    }
}

#[test]
fn words_keep_their_bits_and_bad_strides_are_refused() {
    let Some(ctx) = testing::context() else { return };
    let words = [0x7fc0_1234, 1, u32::MAX, 3, 0x8000_0000, 2];
    let (x, y) = (Guarded::words(&ctx, &words), Guarded::out(&ctx, 6));
    run(&ctx, |rec| kernels::copy_block(rec, Block::permute([1, 2, 3], [0, 2, 1]), &x.slice, &y.slice));
    assert_eq!(y.read_words(&ctx), [words[0], words[3], words[1], words[4], words[2], words[5]]);
    let message = refused(&ctx, |rec| kernels::copy_block(rec, Block::rows(2, 3, 3, 2), &x.slice, &y.slice));
    assert!(message.contains("share a place"), "{message}");
    let message = refused(&ctx, |rec| kernels::copy_block(rec, Block::rows(2, 3, 4, 3), &x.slice, &y.slice));
    assert_eq!(message, "copy_block: x needs 7 elements, got 6");
}
