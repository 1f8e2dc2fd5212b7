//! Finds the adapter's silent loop limit.
use crate::{Call, Context, Groups, Result};
use rnn_shaders::canary::{KERNEL, Params};

/// Iterations that the canary asks for: more than lavapipe's 65,535, a few milliseconds on slow hardware.
pub const ASKED: u32 = 200_000;

/// Half of the iterations that really ran, or `None` where all of them did.
///
/// # Errors
/// Where the kernel cannot run.
pub fn measure(ctx: &Context) -> Result<Option<u32>> {
    let count = ctx.alloc_zeroed(2)?;
    let mut rec = ctx.recorder();
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[],
        buffers: &[&count.all()],
        params: bytemuck::bytes_of(&Params { count_at: 0, n: ASKED }),
        groups: Groups::xyz(1, 1, 1),
        flops: 0.0,
    })?;
    ctx.run(&rec.finish()?, &[Default::default()])?;
    let got = ctx.read_u32(&count.all())?;
    let mut state = 0u32;
    let mut real = 0u32;
    // The counter alone could be computed without the loop; the chain of numbers cannot.
    for i in 1..=ASKED {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if state == got[1] {
            real = i;
            break;
        }
    }
    Ok(if real == ASKED && got[0] == ASKED { None } else { Some(real.min(got[0]) / 2) })
}
