// rows: reductions over a row of a matrix that LANES invocations share. Concatenated before kernels that work row by
// row. A workgroup has 256 invocations, so 256 / LANES rows; every invocation must call these functions, rows or not.
// Fixed tree order. The barrier after the result lets the next reduction reuse the memory.

// A power of two, 1 to 256.
override LANES: u32 = 32u;

const GROUP = 256u;

var<workgroup> row_values: array<f32, 256>;

// Which row an invocation works on; may be past the last one.
fn row_of(group: u32, lane: u32) -> u32 {
    return group * (GROUP / LANES) + lane / LANES;
}

fn row_sum(lane: u32, value: f32) -> f32 {
    if LANES == 1u {
        return value;
    }
    row_values[lane] = value;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane % LANES < half {
            row_values[lane] += row_values[lane + half];
        }
        workgroupBarrier();
    }
    let total = row_values[lane - lane % LANES];
    workgroupBarrier();
    return total;
}

fn row_max(lane: u32, value: f32) -> f32 {
    if LANES == 1u {
        return value;
    }
    row_values[lane] = value;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane % LANES < half {
            row_values[lane] = max(row_values[lane], row_values[lane + half]);
        }
        workgroupBarrier();
    }
    let largest = row_values[lane - lane % LANES];
    workgroupBarrier();
    return largest;
}
