// row_weights: out[r] = sample weight * mask * share of row r, what a loss or metric multiplies its score with.
// Rows are time-major: r = step * period + sample. SAMPLED: weights[r % period] (period = rows for a weight per row),
// else 1. FLAGGED: 0 where the step flag has no VALID bit. SHARED: times rows / valid[0], so that a mean over all rows is
// a mean over the valid ones; 0 where there are none. One invocation per row, linear grid, r < rows.

struct Params {
    weights_at: u32,
    flags_at: u32,
    valid_at: u32,
    out_at: u32,
    rows: u32,
    period: u32,
}

@group(0) @binding(0) var<storage, read> weights: array<f32>;
@group(0) @binding(1) var<storage, read> flags: array<u32>;
@group(0) @binding(2) var<storage, read> valid: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

override WORKGROUP: u32 = 64u;
override SAMPLED: bool = false;
override FLAGGED: bool = false;
override SHARED: bool = false;

// As in vocabulary.rs.
const VALID = 1u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let r = linear_group(group, groups) * WORKGROUP + lane;
    if r >= params.rows {
        return;
    }
    var weight = 1.0;
    if SAMPLED {
        weight = weights[params.weights_at + r % params.period];
    }
    if SHARED {
        let count = valid[params.valid_at];
        if count == 0.0 {
            weight = 0.0;
        } else {
            weight *= f32(params.rows) / count;
        }
    }
    if FLAGGED {
        if (flags[params.flags_at + r] & VALID) == 0u {
            weight = 0.0;
        }
    }
    out[params.out_at + r] = weight;
}
