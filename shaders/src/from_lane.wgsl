// from_lane: numbers of another invocation. This text stands for devices without subgroups, where nothing calls it; on the
// others subgroups.wgsl takes its place (`Kernel::with_subgroups`).

fn from_lane(x: vec4<f32>, lane: u32) -> vec4<f32> {
    return x;
}
