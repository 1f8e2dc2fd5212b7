// threshold_counts: out[block, t] = sum of w over the positives with p > thresholds[t], out[block, count + t] the same over the
// negatives, for a block of 1024 elements. pred, truth [rows, cols]; an element is positive where its truth is not 0; with
// a class only its column counts. w = weights[row], 1 where not WEIGHTED. A NaN among the predictions makes its block
// NaN. One invocation per threshold, one workgroup of 64 per block and 64 thresholds.

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
const BLOCK = 1024u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles = (params.count + GROUP - 1u) / GROUP;
    let number = linear_group(group, groups);
    let block = number / tiles;
    let t = (number % tiles) * GROUP + lane;
    let first = block * BLOCK;
    if t >= params.count || first >= params.n {
        return;
    }
    let threshold = thresholds[params.thresholds_at + t];
    let end = min(params.n, first + BLOCK);
    var positive = 0.0;
    var negative = 0.0;
    for (var i = first; i < end; i += 1u) {
        let row = i / params.own_cols;
        let at = row * params.cols + params.class_at + i % params.own_cols;
        let p = pred[params.pred_at + at];
        var w = 1.0;
        if WEIGHTED {
            w = weights[params.weights_at + row];
        }
        let counted = keep_nan(p, select(0.0, w, p > threshold));
        if truth[params.truth_at + at] != 0.0 {
            positive += counted;
        } else {
            negative += counted;
        }
    }
    let at = params.out_at + block * 2u * params.count + t;
    out[at] = positive;
    out[at + params.count] = negative;
}
