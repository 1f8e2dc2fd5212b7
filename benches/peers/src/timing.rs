//! Times of calls in ms, after a warm-up: as `scripts/peer_bench/timing.py` does it.

use std::time::Instant;

use crate::{Outcome, Step};

/// Warms up for a quarter of `seconds` and at least three calls, then measures for `seconds` and at least five calls (three,
/// where those took three seconds).
pub fn measure(step: &mut Step, seconds: f64) -> Outcome<Vec<f64>> {
    let begun = Instant::now();
    let mut warm_ups = 0;
    while warm_ups < 3 || begun.elapsed().as_secs_f64() < seconds / 4.0 {
        let _answer = step()?;
        warm_ups += 1;
    }
    let begun = Instant::now();
    let mut times = Vec::new();
    loop {
        let least = if begun.elapsed().as_secs_f64() > 3.0 { 3 } else { 5 };
        if times.len() >= least && begun.elapsed().as_secs_f64() >= seconds {
            return Ok(times);
        }
        times.push(once(step)?);
    }
}

/// One call to warm up, then `calls` of them.
pub fn calls(step: &mut Step, calls: usize) -> Outcome<Vec<f64>> {
    let _answer = step()?;
    (0..calls).map(|_| once(step)).collect()
}

fn once(step: &mut Step) -> Outcome<f64> {
    let begun = Instant::now();
    let _answer = step()?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}
