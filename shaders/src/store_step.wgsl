// store_step: seq[cursor * stride + j] = x[j], j < n, with the cursor of the step record; seq [len].
// Nothing is written past the end of seq. One invocation per element, linear grid. Bit for bit.

struct Params {
    x_at: u32,
    seq_at: u32,
    n: u32,
    stride: u32,
    len: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> seq: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;
@group(1) @binding(0) var<uniform> step: StepParams;

override WORKGROUP: u32 = 64u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_group(group, groups) * WORKGROUP + lane;
    let at = step.cursor * params.stride + i;
    // The quotient keeps a cursor far outside from wrapping around to the front.
    if i < params.n && at < params.len && step.cursor <= params.len / max(params.stride, 1u) {
        seq[params.seq_at + at] = x[params.x_at + i];
    }
}
