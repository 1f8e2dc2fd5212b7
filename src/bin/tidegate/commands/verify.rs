//! `tidegate verify`: whether a model gives the outputs that it should.

use ndarray::{ArrayD, Zip};
use serde_json::{Value, json};

use crate::args::{Global, Verify};
use crate::commands::predict::outputs;
use crate::console::Console;
use crate::failure::{Failure, Outcome};
use crate::table::{Align, render};
use crate::{devices, models};

pub fn run(args: &Verify, global: &Global, console: &Console) -> Outcome {
    if !(args.tolerance >= 0.0 && args.tolerance.is_finite()) {
        return Err(Failure::usage(format!("--tolerance must be at least 0, got {}", args.tolerance)));
    }
    let device = devices::open(global, console)?;
    let mut model = models::open(&args.model, &args.reading, &device, global.seed, console)?;
    let names = model.output_names();
    let expected = model.load_outputs(&args.expected)?;
    let got = outputs(&mut model, &args.inputs, args.batch_size)?.y;
    let mut differences = Vec::new();
    for ((name, got), expected) in names.iter().zip(&got).zip(&expected) {
        // A last axis of 1 may be left out, as in training.
        let expected = match (got.shape(), expected.shape()) {
            (a, b) if a == b => expected.clone(),
            ([rest @ .., 1], b) if rest == b => expected.clone().insert_axis(ndarray::Axis(b.len())),
            (a, b) => {
                let problem = format!("output {name}: the model gives shape {a:?}, expected is {b:?}");
                return Err(Failure::reading(&args.expected, problem));
            }
        };
        differences.push(Difference::between(got, &expected, args.tolerance));
    }
    let passed = differences.iter().all(|difference| difference.past == 0);
    let objects: Vec<Value> = names.iter().zip(&differences).map(|(name, d)| d.object(name)).collect();
    console.object(&json!({
        "device": device.name(),
        "tolerance": args.tolerance,
        "passed": passed,
        "outputs": objects,
    }))?;
    let rows: Vec<Vec<String>> = names.iter().zip(&differences).map(|(name, d)| d.row(name)).collect();
    let columns = [
        ("output", Align::Left),
        ("shape", Align::Left),
        ("largest absolute", Align::Right),
        ("largest relative", Align::Right),
        ("past tolerance", Align::Right),
    ];
    console.text(render(&columns, &rows))?;
    match names.iter().zip(&differences).find(|(_, difference)| difference.past > 0) {
        None => Ok(()),
        Some((name, difference)) => Err(Failure::data(format!(
            "output {name}: {} of {} values are off by more than the tolerance of {} (absolute and relative together), the \
             most by {:.3e}",
            difference.past, difference.values, args.tolerance, difference.absolute
        ))),
    }
}

/// How far an output is from what it should be.
struct Difference {
    shape: Vec<usize>,
    values: usize,
    absolute: f64,
    relative: f64,
    /// values for which `|got - expected| > tolerance + tolerance * |expected|`, or that are no number
    past: usize,
}

impl Difference {
    fn between(got: &ArrayD<f32>, expected: &ArrayD<f32>, tolerance: f64) -> Self {
        let mut difference = Difference {
            shape: got.shape().to_vec(),
            values: got.len(),
            absolute: 0.0,
            relative: 0.0,
            past: 0,
        };
        Zip::from(got).and(expected).for_each(|&got, &expected| {
            let (got, expected) = (f64::from(got), f64::from(expected));
            let off = (got - expected).abs();
            // A NaN is infinitely far off.
            let off = if off.is_nan() { f64::INFINITY } else { off };
            difference.absolute = difference.absolute.max(off);
            if expected != 0.0 {
                difference.relative = difference.relative.max(off / expected.abs());
            }
            difference.past += usize::from(off > tolerance + tolerance * expected.abs());
        });
        difference
    }

    fn row(&self, name: &str) -> Vec<String> {
        let small = |x: f64| format!("{x:.3e}");
        vec![
            name.to_owned(),
            format!("{:?}", self.shape),
            small(self.absolute),
            small(self.relative),
            format!("{} of {}", self.past, self.values),
        ]
    }

    /// Infinity, which JSON does not have, is null.
    fn object(&self, name: &str) -> Value {
        json!({
            "name": name,
            "shape": self.shape,
            "max_abs_difference": self.absolute,
            "max_rel_difference": self.relative,
            "values": self.values,
            "past_tolerance": self.past,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_value_is_held_against_both_tolerances_and_nan_is_past_them() {
        let expected = array![0.0, 1.0, 1000.0].into_dyn();
        let near = array![1e-5, 1.000_01, 1000.009].into_dyn();
        let difference = Difference::between(&near, &expected, 1e-5);
        assert_eq!(difference.past, 0);
        assert!((difference.absolute - 0.009).abs() < 1e-4 && (difference.relative - 1e-5).abs() < 1e-6);
        let far = array![2e-5, 1.0, 1000.03].into_dyn();
        assert_eq!(Difference::between(&far, &expected, 1e-5).past, 2);
        let nan = array![f32::NAN, 1.0, 1000.0].into_dyn();
        assert_eq!(Difference::between(&nan, &expected, 1.0).past, 1);
        assert_eq!(Difference::between(&expected, &expected, 0.0).past, 0);
    }
}
