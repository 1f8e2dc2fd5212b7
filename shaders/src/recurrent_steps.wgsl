// recurrent_steps: what every recurrent kernel shares. For each step of the dispatch, ROWS rows of the left operand (states,
// or gradients of the step after) times the recurrent weights, in registers; then the cell's `finish` for each unit.
//
// The cell's text defines: `Tile`, a matrix of COLS columns of 4 units; `tile_at(k, col)`, the weights of row k;
// `put(at, tile)`; `left_row(t, row)` and `left(left_row, k)`; `depth(t)`, the length of the product; `finish(t, row, unit, sums)`;
// GATED: the tile's columns are the gates of 4 units (else 4 blocks of 4 units of one gate); BACKWARD: time runs down.
//
// Grid: x over columns of units, y over blocks of ROWS rows. A workgroup's lanes are columns, or, ALONG_ROWS, blocks of rows. With one
// workgroup in x, a dispatch may run many steps (SEQUENCE): a workgroup owns its rows, and a barrier orders its steps.
// SPLIT invocations share a product, each a stretch of k; their partial sums meet in workgroup memory.

override WORKGROUP: u32 = 8u;
override ROWS: u32 = 8u;
override SPLIT: u32 = 1u;
override SEQUENCE: bool = false;
override ALONG_ROWS: bool = false;
// WORKGROUP * SPLIT * ROWS * COLS * 4
override PARK: u32 = 1024u;

const VALID = 1u;
const RESET = 2u;

fn flag_of(t: u32, row: u32) -> u32 {
    if params.has_flags == 0u {
        return VALID;
    }
    return flags[params.flags_at + t * params.batch + row];
}

// 4 blocks of 4 units from vec4 j on of the weights' row that begins at `at`; a block past the last unit is the last again.
fn tile_of_16(at: u32, j: u32) -> mat4x4<f32> {
    let last = (params.units + 3u) / 4u - 1u;
    return mat4x4(
        w[at + j],
        w[at + min(j + 1u, last)],
        w[at + min(j + 2u, last)],
        w[at + min(j + 3u, last)],
    );
}

fn put_4(at: u32, v: vec4<f32>) {
    park[at] = v.x;
    park[at + 1u] = v.y;
    park[at + 2u] = v.z;
    park[at + 3u] = v.w;
}

fn put_16(at: u32, tile: mat4x4<f32>) {
    put_4(at, tile[0]);
    put_4(at + 4u, tile[1]);
    put_4(at + 8u, tile[2]);
    put_4(at + 12u, tile[3]);
}

// [SPLIT][WORKGROUP][ROWS][COLS][4]: accumulators that are indexed in a loop must live in memory.
var<workgroup> park: array<f32, PARK>;

fn product(t: u32, row: u32, col: u32, split: u32, own: u32) {
    let last = params.batch - 1u;
    let r0 = left_row(t, row);
    let r1 = left_row(t, min(row + 1u, last));
    let r2 = left_row(t, min(row + 2u, last));
    let r3 = left_row(t, min(row + 3u, last));
    let r4 = left_row(t, min(row + 4u, last));
    let r5 = left_row(t, min(row + 5u, last));
    let r6 = left_row(t, min(row + 6u, last));
    let r7 = left_row(t, min(row + 7u, last));
    var t0 = Tile();
    var t1 = Tile();
    var t2 = Tile();
    var t3 = Tile();
    var t4 = Tile();
    var t5 = Tile();
    var t6 = Tile();
    var t7 = Tile();
    let whole = depth(t);
    let share = (whole + SPLIT - 1u) / SPLIT;
    let stop = min(whole, (split + 1u) * share);
    var k = split * share;
    for (; k < stop; k++) {
        let w = tile_at(k, col);
        t0 += left(r0, k) * w;
        if ROWS > 1u {
            t1 += left(r1, k) * w;
        }
        if ROWS > 2u {
            t2 += left(r2, k) * w;
            t3 += left(r3, k) * w;
        }
        if ROWS > 4u {
            t4 += left(r4, k) * w;
            t5 += left(r5, k) * w;
            t6 += left(r6, k) * w;
            t7 += left(r7, k) * w;
        }
    }
    let size = COLS * 4u;
    put(own, t0);
    if ROWS > 1u {
        put(own + size, t1);
    }
    if ROWS > 2u {
        put(own + 2u * size, t2);
        put(own + 3u * size, t3);
    }
    if ROWS > 4u {
        put(own + 4u * size, t4);
        put(own + 5u * size, t5);
        put(own + 6u * size, t6);
        put(own + 7u * size, t7);
    }
}

fn sum_of(at: u32) -> f32 {
    var sum = park[at];
    for (var s = 1u; s < SPLIT; s++) {
        sum += park[at + s * WORKGROUP * ROWS * COLS * 4u];
    }
    return sum;
}

// The gates of one unit after another, or one sum per unit; invocations of a split take turns.
fn finish_all(t: u32, row: u32, col: u32, split: u32, own: u32) {
    let live = min(ROWS, params.batch - row);
    let each = select(16u, 4u, GATED);
    for (var e = split; e < live * each; e += SPLIT) {
        let i = e / each;
        let j = e % each;
        let unit = col * each + j;
        if unit < params.units {
            let at = own + i * COLS * 4u + j;
            var sums = vec4<f32>();
            sums.x = sum_of(at);
            if GATED {
                sums.y = sum_of(at + 4u);
                if COLS > 2u {
                    sums.z = sum_of(at + 8u);
                }
                if COLS > 3u {
                    sums.w = sum_of(at + 12u);
                }
            }
            finish(t, row + i, unit, sums);
        }
    }
}

// Step t of a lane's rows and column. Lanes past the end work on the last one and keep nothing, so that all lanes go the same way.
fn block(t: u32, row: u32, col: u32, lane: u32, split: u32) {
    let each = select(16u, 4u, GATED);
    let cols = (params.units + each - 1u) / each;
    let own = lane * ROWS * COLS * 4u;
    let part = own + split * WORKGROUP * ROWS * COLS * 4u;
    product(t, min(row, params.batch - 1u), min(col, cols - 1u), split, part);
    if SPLIT > 1u {
        workgroupBarrier();
    }
    if col < cols && row < params.batch {
        finish_all(t, row, col, split, own);
    }
    if SPLIT > 1u {
        workgroupBarrier();
    }
}

@compute @workgroup_size(WORKGROUP, SPLIT)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let row = select(group.y, group.y * WORKGROUP + local.x, ALONG_ROWS) * ROWS;
    if !SEQUENCE {
        let col = select(group.x * WORKGROUP + local.x, group.x, ALONG_ROWS);
        block(params.first, row, col, local.x, local.y);
        return;
    }
    let each = select(16u, 4u, GATED);
    let cols = (params.units + each - 1u) / each;
    for (var s = 0u; s < params.steps; s++) {
        let t = params.first + select(s, params.steps - 1u - s, BACKWARD);
        for (var base = 0u; base < cols; base += WORKGROUP) {
            block(t, row, base + local.x, local.x, local.y);
        }
        storageBarrier();
        workgroupBarrier();
    }
}
