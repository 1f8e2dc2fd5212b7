//! What all examples share: the `--device` argument, and checks of what they claim.
#![allow(dead_code, reason = "each example uses a part of it")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example shows its result")]

use std::error::Error;
use std::process::ExitCode;
use tidegate::Device;
use tidegate::ndarray::ArrayD;

/// What an example and its parts give.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Runs an example on the device that was asked for; says what failed and ends with code 1 if something did.
pub fn run(example: fn(&Device) -> Outcome) -> ExitCode {
    match device().and_then(|device| example(&device)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The device that `--device auto|cpu|gpu|NAME` asks for; `auto` without it.
fn device() -> Outcome<Device> {
    let mut name = "auto".to_owned();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument != "--device" {
            return Err(format!("unknown argument {argument:?}; there is --device auto|cpu|gpu|NAME").into());
        }
        name = arguments.next().ok_or("--device needs a name: auto, cpu, gpu or an adapter's")?;
    }
    let device = Device::from_name(&name)?;
    println!("device: {}", device.name());
    Ok(device)
}

/// An error with `claim` in it unless it holds.
pub fn check(claim: &str, holds: bool) -> Outcome {
    if holds {
        println!("ok: {claim}");
        return Ok(());
    }
    Err(format!("does not hold: {claim}").into())
}

/// The largest absolute difference of two arrays of one shape; NaN if either holds one.
pub fn difference(a: &ArrayD<f32>, b: &ArrayD<f32>) -> f32 {
    let worst = |worst: f32, d: &f32| if *d > worst || d.is_nan() { *d } else { worst };
    assert_eq!(a.shape(), b.shape());
    (a - b).mapv(f32::abs).iter().fold(0.0, worst)
}

/// Uniform random numbers in 0..1, the same for the same seed (SplitMix64, Steele et al. 2014).
pub fn random(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
    }
}
