//! Step flags against what they mean.

use cpu_core::{
    RESET, VALID, combine_flags, flags_from_lengths, flags_from_segments, flags_from_values, reverse_flags,
    seen_flags,
};
use proptest::prelude::*;
use rnn_shaders::shape::Steps;

const BOTH: u32 = VALID | RESET;

#[test]
fn a_step_is_masked_where_all_of_its_numbers_are_the_value() {
    // [time 3, batch 2, cols 2]
    let x = [7.0f32, 7.0, 7.0, 1.0, 1.0, 7.0, 7.0, f32::NAN, 7.0, 7.0, 0.0, 0.0];
    let mut flags = [9; 6];
    flags_from_values(Steps::of_rows(3, 2, 2), 2, 7.0, &x, &mut flags).unwrap();
    assert_eq!(flags, [0, 1, 1, 1, 0, 1]);
    // The same with ids by sample: [batch 2, time 3].
    flags_from_values(Steps::by_sample(3, 2), 1, 0.0, &[1.0, 0.0, 0.0, 2.0, 3.0, 0.0], &mut flags).unwrap();
    assert_eq!(flags, [1, 1, 0, 1, 0, 0]);
}

#[test]
fn lengths_and_segments() {
    let mut flags = [9; 6];
    flags_from_lengths(3, 2, &[0.0f32, 2.0], &mut flags).unwrap();
    assert_eq!(flags, [0, 1, 0, 1, 0, 0]);
    let mut flags = [9; 8];
    flags_from_segments(Steps::by_sample(8, 1), &[0.0f32, 5.0, 5.0, 0.0, 0.0, 5.0, 6.0, 0.0], &mut flags)
        .unwrap();
    assert_eq!(flags, [RESET, BOTH, VALID, 0, 0, BOTH, BOTH, 0]);
}

#[test]
fn seen_and_combined() {
    let mut out = [9; 6];
    seen_flags(3, 2, &[0, RESET, VALID, 0, 0, BOTH], &mut out).unwrap();
    assert_eq!(out, [0, 0, VALID, 0, VALID, VALID]);
    let mut out = [9; 4];
    combine_flags(false, &[VALID, BOTH, RESET, 0], &[VALID, VALID, VALID, 0], &mut out).unwrap();
    assert_eq!(out, [VALID, BOTH, RESET, 0]);
    combine_flags(true, &[VALID, BOTH, RESET, 0], &[VALID, VALID, VALID, 0], &mut out).unwrap();
    assert_eq!(out, [VALID, BOTH, BOTH, 0]);
}

/// Which valid steps a state passes between: a number per step, equal where one state runs through both, 0 where the start
/// state does.
fn runs(flags: &[u32]) -> Vec<(usize, u32)> {
    let mut run = 0;
    let mut steps = Vec::new();
    for (t, &flag) in flags.iter().enumerate() {
        run += u32::from(flag & RESET != 0);
        if flag & VALID != 0 {
            steps.push((t, run));
        }
    }
    steps
}

proptest! {
    #[test]
    fn reversal_keeps_the_same_steps_together(flags in prop::collection::vec(0u32..4, 1..30)) {
        let mut reversed = vec![9; flags.len()];
        reverse_flags(flags.len(), 1, &flags, &mut reversed).unwrap();
        let (before, after) = (runs(&flags), runs(&reversed));
        let last = flags.len() - 1;
        let mirrored: Vec<usize> = after.iter().rev().map(|&(t, _)| last - t).collect();
        prop_assert_eq!(before.iter().map(|&(t, _)| t).collect::<Vec<_>>(), mirrored);
        for (a, b) in before.windows(2).zip(after.windows(2).rev()) {
            prop_assert_eq!(a[0].1 == a[1].1, b[0].1 == b[1].1);
        }
        // The first step's RESET keeps the start state off in both directions.
        if let Some(first) = after.first() {
            prop_assert_eq!(first.1 != 0, flags[0] & RESET != 0 || flags[last + 1 - first.0..].iter().any(|f| f & RESET != 0));
        }
        // Two samples do not mix.
        let two: Vec<u32> = flags.iter().flat_map(|&f| [f, 3 - f]).collect();
        let mut both = vec![9; two.len()];
        reverse_flags(flags.len(), 2, &two, &mut both).unwrap();
        prop_assert!(both.iter().step_by(2).eq(&reversed));
    }
}

#[test]
fn wrong_lengths_are_errors() {
    let mut out = [0; 6];
    assert!(flags_from_values(Steps::of_rows(3, 2, 2), 2, 0.0, &[0.0f32; 11], &mut out).is_err());
    assert!(flags_from_values(Steps::of_rows(3, 2, 2), 2, 0.0, &[0.0f32; 12], &mut out[1..]).is_err());
    assert!(flags_from_lengths(3, 2, &[0.0f32; 3], &mut out).is_err());
    assert!(flags_from_segments(Steps::by_sample(3, 2), &[0.0f32; 5], &mut out).is_err());
    assert!(combine_flags(false, &[0; 6], &[0; 5], &mut out).is_err());
    assert!(reverse_flags(3, 2, &[0; 5], &mut out).is_err());
    assert!(reverse_flags(usize::MAX, 2, &[0; 5], &mut out).is_err());
    assert!(seen_flags(3, 2, &[0; 6], &mut out[1..]).is_err());
}
