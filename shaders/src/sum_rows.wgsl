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
    // 1: out += sum, 0: out = sum
    accumulate: u32,
    // RUNNING: what is added to the count
    count: f32,
    // RUNNING: factor of the sums
    scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

// Columns of a workgroup: a power of two, 1 to 32.
override TILE: u32 = 32u;
// One block: out [2, cols] += scale * sum, a running sum in two parts: what rounding took from the first is kept in the
// second; with COUNTED out[2 cols ..] += count likewise.
override RUNNING: bool = false;
override COUNTED: bool = false;

const GROUP = 256u;
const ROWS_PER_LANE = 16u;

var<workgroup> partial: array<f32, 256>;

// Adds to a number in two parts, the second `rest` elements after the first. The sum takes a way through workgroup
// memory, past a barrier: where it is visible to the compiler, drivers fold `(a + b) - a` to b, and no error is found.
// Every invocation must call this.
fn add_in_two_parts(lane: u32, active_lane: bool, at: u32, rest: u32, value: f32) {
    var old = 0.0;
    if active_lane {
        old = out[at];
    }
    partial[lane] = old + value;
    workgroupBarrier();
    let sum = partial[lane];
    workgroupBarrier();
    let value_is_larger = abs(value) > abs(old);
    let larger = select(old, value, value_is_larger);
    let smaller = select(value, old, value_is_larger);
    if active_lane {
        out[at] = sum;
        // An infinite sum has no error; NaN it must not become.
        if abs(sum) <= 3.4028234e38 {
            out[at + rest] += smaller - (sum - larger);
        }
    }
}

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
    let writes = lane < TILE && col < params.cols && block * lanes * ROWS_PER_LANE < params.rows;
    if RUNNING {
        let cols = params.cols;
        add_in_two_parts(lane, writes, params.out_at + col, cols, params.scale * partial[lane]);
        if COUNTED {
            add_in_two_parts(lane, writes && col == 0u, params.out_at + 2u * cols, 1u, params.count);
        }
    } else if writes {
        let at = params.out_at + block * params.cols + col;
        var y = partial[lane];
        if params.accumulate != 0u {
            y += out[at];
        }
        out[at] = y;
    }
}
