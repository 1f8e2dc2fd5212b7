// row_tiles: ROWS tiles of sums, one for each row of a lane, in registers. The text behind it defines `Tile` and
// `either(a, b, second)`. A software adapter loads lane after lane, four numbers at a time: for four steps of a product a lane of 16
// columns loads 16 vec4s of weights and one of each row, so the larger the tile, the fewer loads for each product. A
// store costs as much, so sums are not parked in memory: they have names, and are found by the bits of their number.

// 1, 2, 4, 8 or 16
override ROWS: u32 = 16u;
// The 8 lanes of a workgroup own the same rows: each loads two of the 16, and they hand these round.
override SHARED: bool = false;

struct Sums {
    t0: Tile,
    t1: Tile,
    t2: Tile,
    t3: Tile,
    t4: Tile,
    t5: Tile,
    t6: Tile,
    t7: Tile,
    t8: Tile,
    t9: Tile,
    t10: Tile,
    t11: Tile,
    t12: Tile,
    t13: Tile,
    t14: Tile,
    t15: Tile,
}

// Four rows of the right operand.
struct Weights {
    k0: Tile,
    k1: Tile,
    k2: Tile,
    k3: Tile,
}

// In the order of k.
fn add(sum: Tile, x: vec4<f32>, w: Weights) -> Tile {
    return sum + x.x * w.k0 + x.y * w.k1 + x.z * w.k2 + x.w * w.k3;
}

// What stands in for a load where rows are SHARED.
fn handed(own: vec4<f32>, row: u32) -> vec4<f32> {
    return from_lane(own, row % 8u);
}

// The sums of row i.
fn sums_of_row(s: Sums, i: u32) -> Tile {
    let b0 = (i & 1u) != 0u;
    let b1 = (i & 2u) != 0u;
    let b2 = (i & 4u) != 0u;
    var y = s.t0;
    if ROWS > 1u {
        y = either(y, s.t1, b0);
    }
    if ROWS > 2u {
        y = either(y, either(s.t2, s.t3, b0), b1);
    }
    if ROWS > 4u {
        y = either(y, either(either(s.t4, s.t5, b0), either(s.t6, s.t7, b0), b1), b2);
    }
    if ROWS > 8u {
        let low = either(either(s.t8, s.t9, b0), either(s.t10, s.t11, b0), b1);
        let high = either(either(s.t12, s.t13, b0), either(s.t14, s.t15, b0), b1);
        y = either(y, either(low, high, b2), (i & 8u) != 0u);
    }
    return y;
}

fn either_16(a: mat4x4<f32>, b: mat4x4<f32>, second: bool) -> mat4x4<f32> {
    return mat4x4(
        select(a[0], b[0], second),
        select(a[1], b[1], second),
        select(a[2], b[2], second),
        select(a[3], b[3], second),
    );
}

// Column j.
fn column_of(tile: mat4x4<f32>, j: u32) -> vec4<f32> {
    let low = select(tile[0], tile[1], j == 1u);
    let high = select(tile[2], tile[3], j == 3u);
    return select(low, high, j > 1u);
}
