// gather_batch: out[t, b, :] = dataset[indices[cursor + b], t, :], with the cursor of the step record.
// dataset [samples, time, features], indices [count], out [time, rows, features]; n = time * rows * features.
// One invocation per element of out, linear grid. Bit for bit. An index outside the data set, or a cursor that runs
// past the indices, gives NaN rather than another sample's values.

struct Params {
    dataset_at: u32,
    indices_at: u32,
    out_at: u32,
    n: u32,
    rows: u32,
    time: u32,
    features: u32,
    samples: u32,
    count: u32,
}

@group(0) @binding(0) var<storage, read> dataset: array<u32>;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;
@group(1) @binding(0) var<uniform> step: StepParams;

override WORKGROUP: u32 = 64u;

const NAN_BITS = 0x7fc00000u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_group(group, groups) * WORKGROUP + lane;
    if i >= params.n {
        return;
    }
    // Remainders by subtraction: a division is slow.
    let row = i / params.features;
    let feature = i - row * params.features;
    let t = row / params.rows;
    let slot = step.cursor + (row - t * params.rows);
    var value = NAN_BITS;
    if slot < params.count {
        let sample = indices[params.indices_at + slot];
        if sample < params.samples {
            value = dataset[params.dataset_at + (sample * params.time + t) * params.features + feature];
        }
    }
    out[params.out_at + i] = value;
}
