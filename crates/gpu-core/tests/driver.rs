//! The driver itself: the canary, the pool, errors.
use gpu_core::{Kind, testing};

#[test]
fn canary_finds_the_loop_limit_of_software_adapters() {
    let Some(ctx) = testing::context() else { return };
    let limit = ctx.loop_limit().unwrap();
    if ctx.info().driver.contains("llvmpipe") && ctx.info().kind == Kind::Software {
        assert_eq!(limit, Some(32_767), "lavapipe ends loops after 65,535 iterations");
    }
}
