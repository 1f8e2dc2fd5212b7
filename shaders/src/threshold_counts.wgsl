// threshold_counts: out[lane, t] = sum of w over the positives with thresholds[t] < p <= thresholds[t + 1] (no upper end for
// the last), out[lane, count + t] the same over the negatives, for the elements lane, lane + lanes, .. of one invocation,
// added one after another. thresholds ascend; out is 0 before. pred, truth [rows, cols]; an element is positive where its
// truth is not 0; with a class only its column counts. w = weights[row], 1 where not WEIGHTED. A NaN among the
// predictions is added to the last threshold's sum.

struct Params {
    pred_at: u32,
    truth_at: u32,
    weights_at: u32,
    thresholds_at: u32,
    out_at: u32,
    // elements that count: rows times cols, or rows with a class
    n: u32,
    // elements per row among those that count, and in memory
    own_cols: u32,
    cols: u32,
    // the first column that counts
    class_at: u32,
    count: u32,
    // rows of out
    lanes: u32,
}

@group(0) @binding(0) var<storage, read> pred: array<f32>;
@group(0) @binding(1) var<storage, read> truth: array<f32>;
// Not WEIGHTED: not used, pred is bound in its place.
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> thresholds: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

override WEIGHTED: bool = false;

const GROUP = 64u;

// How many thresholds lie below p.
fn below(p: f32) -> u32 {
    var low = 0u;
    var high = params.count;
    while low < high {
        let middle = (low + high) / 2u;
        if p > thresholds[params.thresholds_at + middle] {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let lane = linear_group(group, groups) * GROUP + index;
    if lane >= params.lanes {
        return;
    }
    let own = params.out_at + lane * 2u * params.count;
    for (var i = lane; i < params.n; i += params.lanes) {
        let row = i / params.own_cols;
        let at = row * params.cols + params.class_at + i % params.own_cols;
        let p = pred[params.pred_at + at];
        let above = select(below(p), params.count, is_nan(p));
        if above == 0u {
            continue;
        }
        var w = 1.0;
        if WEIGHTED {
            w = weights[params.weights_at + row];
        }
        let side = select(0u, params.count, truth[params.truth_at + at] == 0.0);
        out[own + side + above - 1u] += keep_nan(p, w);
    }
}
