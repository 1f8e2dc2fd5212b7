// constrain: a constraint on the columns of variables [rows, cols]: each column is scaled by
// (rate clip(norm, low, high) + (1 - rate) norm) / (epsilon + norm) (vocabulary/weights.rs), or its negative values become
// 0. One workgroup of 256 invocations per tile of columns, 256 / tile rows at a time;
// table[entry] = (offset, rows, cols, first column, tile, non-negative, bits of low, of high, of rate), tile a power of two
// up to 32.

struct Params {
    table_at: u32,
    weights_at: u32,
    entries: u32,
}

@group(0) @binding(0) var<storage, read> table: array<u32>;
@group(0) @binding(1) var<storage, read_write> weights: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

const GROUP = 256u;
const EPSILON = 1e-7f;

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // A group past the last entry (the grid is rounded up) does the last one's reading and writes nothing.
    let number = linear_group(group, groups);
    let entry = params.table_at + 9u * min(number, params.entries - 1u);
    let rows = table[entry + 1u];
    let cols = table[entry + 2u];
    let tile = table[entry + 4u];
    let col = table[entry + 3u] + lane % tile;
    let first = params.weights_at + table[entry] + col;
    let inside = col < cols && number < params.entries;
    let stride = GROUP / tile;
    var sum = 0.0;
    if inside {
        for (var r = lane / tile; r < rows; r += stride) {
            let w = weights[first + r * cols];
            sum += w * w;
        }
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var half = GROUP / 2u; half > 0u; half /= 2u) {
        if half >= tile && lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    let squares = partial[lane % tile];
    let norm = keep_nan(squares, sqrt(squares));
    let low = bitcast<f32>(table[entry + 6u]);
    let high = bitcast<f32>(table[entry + 7u]);
    let rate = bitcast<f32>(table[entry + 8u]);
    let wanted = rate * keep_nan(norm, clamp(norm, low, high)) + (1.0 - rate) * norm;
    let factor = wanted / (EPSILON + norm);
    if inside {
        for (var r = lane / tile; r < rows; r += stride) {
            let w = weights[first + r * cols];
            weights[first + r * cols] = select(w * factor, keep_nan(w, max(w, 0.0)), table[entry + 5u] != 0u);
        }
    }
}
