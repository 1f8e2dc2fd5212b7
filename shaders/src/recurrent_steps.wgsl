// recurrent_steps: what every recurrent kernel shares. For each step of the dispatch, ROWS rows of the left operand (states,
// or gradients of the step after) times the recurrent weights, in registers; then the cell's `finish` for each unit.
//
// The cell's text defines: `Tile`, a matrix of COLS columns of 4 units; `tile_at(k, col)`, the weights of row k;
// `either(a, b, second)`; `of_unit(tile, j)`, one number of each gate; `put(at, tile)`; `Place` and `left_row(t, row)`, where a
// row of the left operand begins; `left(place, k)`, number k of it, and `left_4(place, k)`, four of them; `depth(t)`, the length of
// the product; `given(t, row, col)`, what the products with the input have come to, for `finish(t, row, unit, sums, given)`;
// GATED: the tile's columns are the gates of 4 units (else 4 blocks of 4 units of one gate); BACKWARD: time runs down.
//
// Lanes count through the columns of units, then through blocks of ROWS rows; where rows are SHARED, workgroups do. SEQUENCE: a
// workgroup owns one block of rows and runs many steps of it, ordered by a barrier. SPLIT invocations share a product, each
// a stretch of k; their partial sums meet in workgroup memory.
// WIDE: rows of the left operand begin at a vec4, so that four numbers are loaded at once.

override WORKGROUP: u32 = 8u;
override SPLIT: u32 = 1u;
override SEQUENCE: bool = false;
override WIDE: bool = false;
// WORKGROUP * SPLIT * ROWS * COLS * 4 where the product is split
override PARK: u32 = 1u;

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

// The sum of unit j of 16.
fn of_16(tile: mat4x4<f32>, j: u32) -> f32 {
    return column_of(tile, j / 4u)[j % 4u];
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

// [SPLIT][WORKGROUP][ROWS][COLS][4]
var<workgroup> park: array<f32, PARK>;

// Numbers k to k + 3 of a row; zero from `stop` on.
fn left_until(place: Place, k: u32, stop: u32) -> vec4<f32> {
    if WIDE {
        return left_4(place, k);
    }
    let last = stop - 1u;
    return vec4(
        left(place, k),
        select(0.0, left(place, min(k + 1u, last)), k + 1u < stop),
        select(0.0, left(place, min(k + 2u, last)), k + 2u < stop),
        select(0.0, left(place, min(k + 3u, last)), k + 3u < stop),
    );
}

fn weights_at(k: u32, col: u32, stop: u32) -> Weights {
    // Whole rows of vec4s end with one.
    let last = select(stop - 1u, k + 3u, WIDE);
    return Weights(
        tile_at(k, col),
        tile_at(min(k + 1u, last), col),
        tile_at(min(k + 2u, last), col),
        tile_at(min(k + 3u, last), col),
    );
}

// Numbers k to k + 3 of row i, which begins at `place`, or which a lane has in `own`.
fn left_of(i: u32, place: Place, own: vec4<f32>, k: u32, stop: u32) -> vec4<f32> {
    if SHARED {
        return handed(own, i);
    }
    return left_until(place, k, stop);
}

fn product(t: u32, row: u32, col: u32, lane: u32, split: u32) -> Sums {
    let last = params.batch - 1u;
    let low = left_row(t, min(row + lane, last));
    let high = left_row(t, min(row + 8u + lane, last));
    let r0 = left_row(t, row);
    let r1 = left_row(t, min(row + 1u, last));
    let r2 = left_row(t, min(row + 2u, last));
    let r3 = left_row(t, min(row + 3u, last));
    let r4 = left_row(t, min(row + 4u, last));
    let r5 = left_row(t, min(row + 5u, last));
    let r6 = left_row(t, min(row + 6u, last));
    let r7 = left_row(t, min(row + 7u, last));
    let r8 = left_row(t, min(row + 8u, last));
    let r9 = left_row(t, min(row + 9u, last));
    let r10 = left_row(t, min(row + 10u, last));
    let r11 = left_row(t, min(row + 11u, last));
    let r12 = left_row(t, min(row + 12u, last));
    let r13 = left_row(t, min(row + 13u, last));
    let r14 = left_row(t, min(row + 14u, last));
    let r15 = left_row(t, min(row + 15u, last));
    var s: Sums;
    let whole = depth(t);
    let share = (whole + 4u * SPLIT - 1u) / (4u * SPLIT) * 4u;
    let stop = min(whole, (split + 1u) * share);
    for (var k = split * share; k < stop; k += 4u) {
        let w = weights_at(k, col, stop);
        var own0 = vec4<f32>();
        var own1 = vec4<f32>();
        if SHARED {
            own0 = left_until(low, k, stop);
        }
        if SHARED && ROWS > 8u {
            own1 = left_until(high, k, stop);
        }
        s.t0 = add(s.t0, left_of(0u, r0, own0, k, stop), w);
        if ROWS > 1u {
            s.t1 = add(s.t1, left_of(1u, r1, own0, k, stop), w);
        }
        if ROWS > 2u {
            s.t2 = add(s.t2, left_of(2u, r2, own0, k, stop), w);
            s.t3 = add(s.t3, left_of(3u, r3, own0, k, stop), w);
        }
        if ROWS > 4u {
            s.t4 = add(s.t4, left_of(4u, r4, own0, k, stop), w);
            s.t5 = add(s.t5, left_of(5u, r5, own0, k, stop), w);
            s.t6 = add(s.t6, left_of(6u, r6, own0, k, stop), w);
            s.t7 = add(s.t7, left_of(7u, r7, own0, k, stop), w);
        }
        if ROWS > 8u {
            s.t8 = add(s.t8, left_of(8u, r8, own1, k, stop), w);
            s.t9 = add(s.t9, left_of(9u, r9, own1, k, stop), w);
            s.t10 = add(s.t10, left_of(10u, r10, own1, k, stop), w);
            s.t11 = add(s.t11, left_of(11u, r11, own1, k, stop), w);
            s.t12 = add(s.t12, left_of(12u, r12, own1, k, stop), w);
            s.t13 = add(s.t13, left_of(13u, r13, own1, k, stop), w);
            s.t14 = add(s.t14, left_of(14u, r14, own1, k, stop), w);
            s.t15 = add(s.t15, left_of(15u, r15, own1, k, stop), w);
        }
    }
    return s;
}

// A unit's sums of all invocations that share the product.
fn parked(at: u32, j: u32) -> vec4<f32> {
    var sums = vec4<f32>();
    for (var split = 0u; split < SPLIT; split++) {
        let own = at + split * WORKGROUP * ROWS * COLS * 4u + j;
        sums.x += park[own];
        if GATED {
            sums.y += park[own + 4u];
            if COLS > 2u {
                sums.z += park[own + 8u];
            }
            if COLS > 3u {
                sums.w += park[own + 12u];
            }
        }
    }
    return sums;
}

// Step t of a lane's rows and column. Lanes past the end work on the last ones and keep nothing, so that all lanes go the same way.
fn block(t: u32, row: u32, col: u32, lane: u32, split: u32) {
    let each = select(16u, 4u, GATED);
    let cols = (params.units + each - 1u) / each;
    let sums = product(t, min(row, params.batch - 1u), min(col, cols - 1u), lane, split);
    let rows = select(0u, min(ROWS, params.batch - min(row, params.batch)), col < cols);
    let own = lane * ROWS * COLS * 4u;
    if SPLIT > 1u {
        let part = own + split * WORKGROUP * ROWS * COLS * 4u;
        for (var i = 0u; i < ROWS; i++) {
            put(part + i * COLS * 4u, sums_of_row(sums, i));
        }
        workgroupBarrier();
    }
    // Invocations of a split take turns: along the units, then along the rows. SPLIT is a power of two.
    let along = min(SPLIT, each);
    for (var i = split / along; i < rows; i += SPLIT / along) {
        var tile = Tile();
        if SPLIT == 1u {
            tile = sums_of_row(sums, i);
        }
        let x = given(t, row + i, col);
        for (var j = split % along; j < min(each, params.units - col * each); j += along) {
            var z = of_unit(tile, j);
            if SPLIT > 1u {
                z = parked(own + i * COLS * 4u, j);
            }
            finish(t, row + i, col * each + j, z, of_unit(x, j));
        }
    }
    if SPLIT > 1u {
        workgroupBarrier();
    }
}

@compute @workgroup_size(WORKGROUP, SPLIT)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let each = select(16u, 4u, GATED);
    let cols = (params.units + each - 1u) / each;
    let first = linear_group(group, groups);
    let tile = first * WORKGROUP + local.x;
    let groups_of_cols = (cols + WORKGROUP - 1u) / WORKGROUP;
    let steps = select(1u, params.steps, SEQUENCE);
    for (var s = 0u; s < steps; s++) {
        let t = params.first + select(s, steps - 1u - s, BACKWARD);
        for (var base = 0u; base < select(1u, cols, SEQUENCE); base += WORKGROUP) {
            var at = vec2(tile / cols, tile % cols);
            if SHARED {
                at = vec2(first / groups_of_cols, first % groups_of_cols * WORKGROUP + local.x);
            }
            if SEQUENCE {
                at = vec2(first, base + local.x);
            }
            block(t, at.x * ROWS, at.y, local.x, local.y);
        }
        if SEQUENCE {
            storageBarrier();
            workgroupBarrier();
        }
    }
}
