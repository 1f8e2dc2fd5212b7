// segment_sum: out[s] = sum of f(x[i]) over i in table[s] = (offset, length), f(x) = x^2 where SQUARE, else x.
// One workgroup of 256 invocations per segment: strided sums, then a tree. The launcher cuts long segments into blocks
// of at most 4096 values and calls again on the partial sums.

struct Params {
    table_at: u32,
    x_at: u32,
    out_at: u32,
    segments: u32,
}

@group(0) @binding(0) var<storage, read> table: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

override SQUARE: bool = true;

const GROUP = 256u;

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let segment = linear_group(group, groups);
    var sum = 0.0;
    if segment < params.segments {
        let entry = params.table_at + 2u * segment;
        let first = params.x_at + table[entry];
        let end = first + table[entry + 1u];
        for (var i = first + lane; i < end; i += GROUP) {
            let value = x[i];
            sum += select(value, value * value, SQUARE);
        }
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var half = GROUP / 2u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u && segment < params.segments {
        out[params.out_at + segment] = partial[0];
    }
}
