// normalize_gamma: part[block, c] = sum over the rows r of a block of dy[r, c] (x[r, c] - a_r) inv_r, with the statistics that
// normalize has kept; the launcher adds the blocks. a is the mean where CENTERED, else 0. As sum_rows: a workgroup of 256
// covers 32 columns and 128 rows, 16 rows one by one and then a tree.

struct Params {
    x_at: u32,
    dy_at: u32,
    stats_at: u32,
    part_at: u32,
    rows: u32,
    cols: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> stats: array<f32>;
@group(0) @binding(3) var<storage, read_write> part: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

override CENTERED: bool = true;

const GROUP = 256u;
const COLS = 32u;
const BLOCK_ROWS = 128u;

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles = (params.cols + COLS - 1u) / COLS;
    let number = linear_group(group, groups);
    let block = number / tiles;
    let col = (number - block * tiles) * COLS + lane % COLS;
    let end = min(params.rows, (block + 1u) * BLOCK_ROWS);
    var sum = 0.0;
    if col < params.cols {
        for (var r = block * BLOCK_ROWS + lane / COLS; r < end; r += GROUP / COLS) {
            let center = select(0.0, stats[params.stats_at + 2u * r], CENTERED);
            let inv = stats[params.stats_at + 2u * r + 1u];
            let at = r * params.cols + col;
            sum += dy[params.dy_at + at] * ((x[params.x_at + at] - center) * inv);
        }
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var half = GROUP / 2u; half >= COLS; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    // A group past the last block (the grid is rounded up) must not write.
    if lane < COLS && col < params.cols && block * BLOCK_ROWS < params.rows {
        part[params.part_at + block * params.cols + col] = partial[lane];
    }
}
