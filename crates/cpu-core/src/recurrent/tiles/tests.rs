//! The matrix unit against `f64`. Where there is none, nothing can be compared, and the test says so.

use super::super::form::Form;
use super::super::pack::Layout;
use super::super::tile::{Operand, Product, Starting, Sums, product};
use super::super::workspace::Packed;
use crate::amx::{ROWS, Setup, available};
use crate::math::{Kernel, Lanes, Level, run_f32};
use crate::view::View;

/// Numbers in `(-1, 1)`, some of them far smaller.
fn values(n: usize, seed: u32) -> Vec<f32> {
    let mut x = seed;
    let mut next = move || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..n).map(|i| if i % 7 == 3 { next() * 1e-4 } else { next() }).collect()
}

#[allow(clippy::print_stderr, reason = "a test that compares nothing has to say so")]
fn has_unit() -> bool {
    if !available() {
        eprintln!("this machine has no AMX: its products are not tested");
    }
    available()
}

/// `operand [rows, k]` times `weights [k, vectors * 16]`, as `[vectors][rows][16]`.
fn times(operand: &[f32], k: usize, weights: &[f32], vectors: usize) -> Vec<f32> {
    struct Work<'a>(&'a [f32], usize, &'a [f32], usize);
    impl Kernel<f32> for Work<'_> {
        type Output = Vec<f32>;
        #[inline(always)]
        fn run<S: Lanes<T = f32>>(self, s: S) -> Vec<f32> {
            let Work(operand, k, weights, vectors) = self;
            let (form, rows) = (Form::Tiles, operand.len() / k);
            let layout = Layout { k: form.padded(k), form, units: 16 * vectors, lanes: S::N, gates: 0 };
            let panel = layout.panel(0);
            let mut packed = Packed::default();
            let stride = form.stride(layout.k);
            let (room, staged) =
                packed.weights.sized(layout.len() + rows * stride).split_at_mut(layout.len());
            let view = View::new(room);
            layout.pack(panel, 0, weights, 16 * vectors, &[0], view);
            for (row, to) in operand.chunks(k).zip(staged.chunks_mut(stride)) {
                form.stage(row, None, &mut to[..form.room(layout.k)]);
            }
            let whole = Product {
                vectors,
                operand: Operand { first: staged.as_ptr(), stride },
                k: layout.k,
                panel: view.at(panel.offset, layout.panel_len(panel)),
                level: Level::Amx,
                form,
                stream: false,
            };
            let mut sums = Sums::new();
            let _unit = Setup::new();
            // SAFETY: rows and panel have the lengths of the layout.
            unsafe { product(s, whole, rows, &mut sums, (0, rows), |_, _| Starting::Zero) };
            sums.vectors(s, rows, 0, vectors).to_vec()
        }
    }
    run_f32(Level::Amx, Work(operand, k, weights, vectors))
}

/// What is left out of a product of two numbers is at most 2^-22 of it: parts but the first are at most 2^-8 and 2^-16 of a
/// number, and what three of them leave 2^-24. A tile adds 16 pairs and then twice more, and there are six for each 32
/// numbers: so many roundings of 2^-24. Parts together are at most (1 + 2^-7)^2 times as large.
#[test]
fn sums_are_as_good_as_those_of_f32() {
    if !has_unit() {
        return;
    }
    let (mut errors, mut plain_errors) = (0.0f64, 0.0f64);
    for (rows, k, vectors) in [
        (1, 1, 1),
        (5, 31, 2),
        (16, 32, 3),
        (17, 33, 4),
        (32, 100, 1),
        (31, 257, 2),
        (32, 640, 3),
        (29, 1100, 4),
    ] {
        let width = 16 * vectors;
        let (operand, weights) = (values(rows * k, 1), values(k * width, 2));
        let got = times(&operand, k, &weights, vectors);
        let roundings = 4.0 + 18.0 + 6.0 * (k as f64 / 32.0).ceil();
        for row in 0..rows {
            for column in 0..width {
                let pairs = (0..k).map(|p| (operand[row * k + p], weights[p * width + column]));
                let exact: f64 = pairs.clone().map(|(a, b)| f64::from(a) * f64::from(b)).sum();
                let size: f64 = pairs.clone().map(|(a, b)| (f64::from(a) * f64::from(b)).abs()).sum();
                let plain = pairs.fold(0.0f32, |sum, (a, b)| a.mul_add(b, sum));
                let got = got[(column / 16 * rows + row) * 16 + column % 16];
                let error = (f64::from(got) - exact).abs();
                let bound = roundings * 2.0f64.powi(-24) * size * 1.016;
                assert!(error <= bound, "{rows} x {k} x {vectors}: {got} is {exact}, within {bound:e}");
                errors += error * error;
                plain_errors += (f64::from(plain) - exact).powi(2);
            }
        }
    }
    assert!(errors <= plain_errors, "squared errors {errors:e}, of f32 one after the other {plain_errors:e}");
}

#[test]
fn a_row_has_the_same_sums_in_any_company() {
    if !has_unit() {
        return;
    }
    let k = 70;
    for vectors in 1..=4 {
        let (operand, weights) = (values(2 * ROWS * k, 3), values(k * 16 * vectors, 4));
        let all = times(&operand, k, &weights, vectors);
        for rows in [1, 7, 16, 23] {
            let some = times(&operand[..rows * k], k, &weights, vectors);
            for v in 0..vectors {
                assert_eq!(some[v * rows * 16..][..rows * 16], all[v * 2 * ROWS * 16..][..rows * 16]);
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_none() {
    if !has_unit() {
        return;
    }
    let (k, vectors) = (40, 4);
    // Of the last, rounding the payload away would leave infinity, or carry into the sign.
    let bad = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::from_bits(0x7f80_0001),
        f32::from_bits(0x7fff_ffff),
    ];
    for bad in bad {
        let (mut operand, weights) = (values(3 * k, 5), values(k * 16 * vectors, 6));
        operand[k + 33] = bad;
        let sums = times(&operand, k, &weights, vectors);
        for (i, sum) in sums.iter().enumerate() {
            assert_eq!(sum.is_finite(), i / 16 % 3 != 1, "{bad}: {sum}");
        }
        let (operand, mut weights) = (values(3 * k, 5), weights);
        weights[5 * 16 * vectors + 17] = bad;
        let sums = times(&operand, k, &weights, vectors);
        for (i, sum) in sums.iter().enumerate() {
            assert_eq!(sum.is_finite(), i / (3 * 16) != 1 || i % 16 != 1, "{bad}: {sum}");
        }
    }
}
