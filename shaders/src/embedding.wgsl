// embedding: out[t, b, :] = table[id, :], id = ids[t * time_stride + b * batch_stride] as a whole number (fractions are cut
// off, as Keras casts); a row of zeros where the table has no such row, or the id is NaN.
// table [vocab, width], out [time, batch, width], n elements in all. One invocation per element, linear grid.

struct Params {
    table_at: u32,
    ids_at: u32,
    out_at: u32,
    n: u32,
    batch: u32,
    vocab: u32,
    width: u32,
    time_stride: u32,
    batch_stride: u32,
}

@group(0) @binding(0) var<storage, read> table: array<f32>;
@group(0) @binding(1) var<storage, read> ids: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64u;

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
    let row = i / params.width;
    let t = row / params.batch;
    let b = row - t * params.batch;
    let id = table_row(ids[params.ids_at + t * params.time_stride + b * params.batch_stride], params.vocab);
    var value = 0.0;
    if id < params.vocab {
        value = table[params.table_at + id * params.width + (i - row * params.width)];
    }
    out[params.out_at + i] = value;
}
