// sum_rows: out[block, c] = sum of x[r, c] over the rows r of a block, x [rows, cols]. With one block that is the sum of
// every column; the launcher calls again on the partial sums where there are more. sum_all is the case cols = 1.
//
// A workgroup of 256 invocations covers TILE columns and ROWS_PER_LANE * 256 / TILE rows: each invocation adds
// ROWS_PER_LANE rows one by one, then a tree adds the invocations of a column. So the error of a sum of n terms grows as
// ROWS_PER_LANE + log2(n), and the order depends on nothing but the shape.

struct Params {
    x_at: u32,
    out_at: u32,
    rows: u32,
    cols: u32,
    // MODE mean: what is added to out[1]
    count: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

// Columns of a workgroup: a power of two, 1 to 32.
override TILE: u32 = 32u;
// 0: out = sum, 1: out += sum, 2: out[0] += sum and out[1] += count (one column, one block)
override MODE: u32 = 0u;

const GROUP = 256u;
const ROWS_PER_LANE = 16u;

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles = (params.cols + TILE - 1u) / TILE;
    let number = linear_group(group, groups);
    let block = number / tiles;
    let col = (number % tiles) * TILE + lane % TILE;
    let lanes = GROUP / TILE;
    let first = block * lanes * ROWS_PER_LANE + lane / TILE;
    let end = min(params.rows, (block + 1u) * lanes * ROWS_PER_LANE);
    var sum = 0.0;
    if col < params.cols {
        for (var r = first; r < end; r += lanes) {
            sum += x[params.x_at + r * params.cols + col];
        }
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var half = GROUP / 2u; half >= TILE; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    // A group past the last block (the grid is rounded up) has an empty range of rows and must not write.
    if lane < TILE && col < params.cols && block * lanes * ROWS_PER_LANE < params.rows {
        let at = params.out_at + block * params.cols + col;
        if MODE == 0u {
            out[at] = partial[lane];
        } else {
            out[at] += partial[lane];
        }
        if MODE == 2u {
            out[at + 1u] += params.count;
        }
    }
}
