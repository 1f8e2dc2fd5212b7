//! The driver itself: adapter choice, canary, pool, errors, device loss, timing.
use gpu_core::vocabulary::StepParams;
use gpu_core::{AdapterChoice, AdapterRequest, Context, Error, Kind, adapters, kernels, testing};
use std::time::Duration;

/// A context of its own, for tests that break or limit it.
fn own_context(memory_cap: Option<u64>) -> Option<Context> {
    let shared = testing::context()?;
    let request = AdapterRequest { choice: AdapterChoice::Index(shared.info().index), memory_cap };
    Some(Context::new(&request).unwrap())
}

#[test]
fn canary_finds_the_loop_limit_of_software_adapters() {
    let Some(ctx) = testing::context() else { return };
    let limit = ctx.loop_limit().unwrap();
    if ctx.info().driver.contains("llvmpipe") && ctx.info().kind == Kind::Software {
        assert_eq!(limit, Some(32_767), "lavapipe ends loops after 65,535 iterations");
    }
}

#[test]
fn adapters_are_listed_and_chosen_by_name_and_index() {
    let Some(ctx) = testing::context() else { return };
    let list = adapters();
    let mine = &list[ctx.info().index];
    assert_eq!(mine.name, ctx.info().name);
    assert!(mine.compute && mine.max_binding_bytes > 0);
    let part = mine.name[..4].to_uppercase();
    assert!(Context::new(&AdapterChoice::Name(part).into()).is_ok());
    let error = Context::new(&AdapterChoice::Name("no such adapter".into()).into()).unwrap_err();
    assert!(matches!(&error, Error::NoAdapter { found, .. } if found.contains(&mine.name)), "{error}");
    assert!(Context::new(&AdapterChoice::Index(999).into()).is_err());
}

#[test]
fn ten_thousand_runs_allocate_nothing_after_the_first() {
    let Some(ctx) = own_context(None) else { return };
    let (x, y) = (ctx.alloc_zeroed(300).unwrap(), ctx.alloc_zeroed(300).unwrap());
    let mut rec = ctx.recorder();
    kernels::fill(&mut rec, 1.0, &x.all()).unwrap();
    kernels::add_assign(&mut rec, &x.all(), &y.all()).unwrap();
    let program = rec.finish().unwrap();
    let step = StepParams::default();
    ctx.run(&program, &[step]).unwrap();
    ctx.synchronize().unwrap();
    let before = ctx.stats();
    for i in 0..9_999 {
        ctx.run(&program, &[step]).unwrap();
        if i % 1000 == 0 {
            ctx.read_f32(&y.all()).unwrap();
        }
    }
    assert_eq!(ctx.read_f32(&y.all()).unwrap(), vec![10_000.0; 300]);
    assert_eq!(ctx.stats(), before);
}

#[test]
fn many_steps_in_one_run_follow_each_other() {
    let Some(ctx) = testing::context() else { return };
    let seq = ctx.alloc_zeroed(200).unwrap();
    let one = ctx.alloc_from(&[1.0]).unwrap();
    let mut rec = ctx.recorder();
    kernels::store_step(&mut rec, 1, &one.all(), &seq.all()).unwrap();
    let program = rec.finish().unwrap();
    let steps: Vec<_> = (0..150).map(|cursor| StepParams { cursor, ..Default::default() }).collect();
    ctx.run(&program, &steps).unwrap();
    let want: Vec<f32> = (0..200).map(|i| if i < 150 { 1.0 } else { 0.0 }).collect();
    assert_eq!(ctx.read_f32(&seq.all()).unwrap(), want);
}

#[test]
fn memory_is_reused_and_capped() {
    let Some(ctx) = own_context(Some(1 << 20)) else { return };
    let first = ctx.alloc(100_000).unwrap();
    let stats = ctx.stats();
    assert!(stats.live >= 400_000 && stats.allocations == 1, "{stats:?}");
    drop(first);
    assert_eq!((ctx.stats().live, ctx.stats().pooled), (0, stats.live));
    let again = ctx.alloc(90_000).unwrap();
    assert_eq!(ctx.stats().allocations, 1, "a free buffer below twice the size is taken again");
    let small = ctx.alloc(1_000).unwrap();
    assert_eq!(ctx.stats().allocations, 2, "a far larger one is not");
    let error = ctx.alloc(200_000).unwrap_err();
    assert!(matches!(error, Error::OutOfMemory { asked: 800_000, limit, .. } if limit == 1 << 20), "{error}");
    drop((again, small));
    assert!(ctx.alloc(200_000).is_ok(), "what is kept for reuse makes room");
    ctx.set_memory_cap(0);
    assert!(ctx.alloc(1).is_err());
}

#[test]
fn more_than_the_device_has_is_an_error() {
    let Some(ctx) = own_context(None) else { return };
    for len in [usize::MAX, usize::MAX / 8, 1 << 44] {
        let error = ctx.alloc(len).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
    }
    assert!(ctx.alloc_zeroed(16).is_ok(), "the context goes on");
}

#[test]
fn a_lost_device_is_an_error_everywhere() {
    let Some(ctx) = own_context(None) else { return };
    let y = ctx.alloc_zeroed(8).unwrap();
    let mut rec = ctx.recorder();
    kernels::fill(&mut rec, 1.0, &y.all()).unwrap();
    let program = rec.finish().unwrap();
    ctx.destroy();
    let lost = |result: gpu_core::Result<()>| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
    };
    lost(ctx.read_f32(&y.all()).map(drop));
    lost(ctx.run(&program, &[StepParams::default()]));
    lost(ctx.alloc(8).map(drop));
    lost(ctx.synchronize());
}

#[test]
fn waits_end() {
    let Some(ctx) = own_context(None) else { return };
    let (a, b, c) =
        (ctx.alloc_zeroed(1 << 20).unwrap(), ctx.alloc_zeroed(1 << 20).unwrap(), ctx.alloc(1 << 20).unwrap());
    let mut rec = ctx.recorder();
    for _ in 0..4 {
        kernels::matmul(&mut rec, kernels::Matmul::new(1024, 1024, 1024), &a.all(), &b.all(), None, &c.all())
            .unwrap();
    }
    let program = rec.finish().unwrap();
    ctx.set_timeout(Duration::from_millis(1));
    let result = ctx.run(&program, &[StepParams::default()]).and_then(|()| ctx.synchronize());
    // The GL backend works while it submits, so there is nothing left to wait for.
    if ctx.info().kind == Kind::Software && ctx.info().backend == "vulkan" {
        assert!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
    }
    ctx.set_timeout(Duration::from_secs(600));
    ctx.synchronize().unwrap();
}

#[test]
fn device_time_is_positive_where_there_is_any() {
    let Some(ctx) = testing::context() else { return };
    let y = ctx.alloc(1 << 20).unwrap();
    let mut rec = ctx.recorder();
    kernels::fill(&mut rec, 1.0, &y.all()).unwrap();
    let program = rec.finish().unwrap();
    match ctx.time(&program, StepParams::default()).unwrap() {
        Some(time) => assert!(time > Duration::ZERO && time < Duration::from_secs(60), "{time:?}"),
        None => assert!(!ctx.info().timestamps),
    }
}

#[test]
fn one_buffer_read_and_written_is_refused() {
    let Some(ctx) = testing::context() else { return };
    let y = ctx.alloc(8).unwrap();
    let error = y.slice(4, 5).unwrap_err();
    assert!(matches!(error, Error::ShapeMismatch { expected: 9, got: 8, .. }), "{error}");
    assert!(ctx.write(&y.all(), &[0; 31]).is_err());
}

#[test]
fn reads_may_wait_for_later_and_threads_may_share() {
    fn shareable<T: Send + Sync>(_: &T) {}
    let Some(ctx) = testing::context() else { return };
    let y = ctx.alloc_from(&[1.0, 2.0, 3.0]).unwrap();
    let first = ctx.start_read(&y.slice(1, 2).unwrap()).unwrap();
    let mut rec = ctx.recorder();
    kernels::fill(&mut rec, 7.0, &y.all()).unwrap();
    let program = rec.finish().unwrap();
    shareable(&(&ctx, &y, &program));
    ctx.run(&program, &[StepParams::default()]).unwrap();
    assert_eq!(first.wait().unwrap(), [2.0, 3.0], "a read sees what ran before it, not after");
    assert_eq!(ctx.read_f32(&y.all()).unwrap(), [7.0; 3]);
    assert_eq!(ctx.read_f32(&y.slice(3, 0).unwrap()).unwrap(), []);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let own = ctx.alloc_from(&[1.0; 100]).unwrap();
                ctx.run(&program, &[StepParams::default()]).unwrap();
                assert_eq!(ctx.read_f32(&own.all()).unwrap(), [1.0; 100]);
            });
        }
    });
}
