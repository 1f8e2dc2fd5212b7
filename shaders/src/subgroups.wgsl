// subgroups: from_lane.wgsl where there are subgroups.

fn from_lane(x: vec4<f32>, lane: u32) -> vec4<f32> {
    return subgroupShuffle(x, lane);
}
