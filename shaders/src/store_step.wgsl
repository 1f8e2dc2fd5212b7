// store_step: seq[cursor, j] = x[j], j < n, with the cursor of the step record; seq [steps, n].
// A cursor outside seq writes nothing. One invocation per element, linear grid. Bit for bit.

struct Params {
    x_at: u32,
    seq_at: u32,
    n: u32,
    steps: u32,
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
    if i < params.n && step.cursor < params.steps {
        seq[params.seq_at + step.cursor * params.n + i] = x[params.x_at + i];
    }
}
