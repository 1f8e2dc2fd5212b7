// flags_scan: flags [time, batch] from other flags.
// OP 0 combine   out = (a AND b in VALID, a OR b in RESET); one invocation per flag
// OP 3 either    out = a OR b in both
// OP 1 reverse   out[t] = a[time - 1 - t] in VALID; RESET so that the same steps stay apart: on the first VALID step after the
//                place of each RESET of a, and on the first of all where a[0] has RESET
// OP 2 seen      VALID where a is VALID at this step or one before
// OP 1 and 2: one invocation per sample walks over `count` steps from `first`; `carry` [batch] is what it hands from one
// call to the next (pending reset; seen).

struct Params {
    a_at: u32,
    b_at: u32,
    carry_at: u32,
    out_at: u32,
    time: u32,
    batch: u32,
    first: u32,
    count: u32,
}

@group(0) @binding(0) var<storage, read> a: array<u32>;
// OP 0 and 3 alone read it; the others bind a in its place.
@group(0) @binding(1) var<storage, read> b: array<u32>;
@group(0) @binding(2) var<storage, read_write> carry: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

override WORKGROUP: u32 = 64u;
override OP: u32 = 0u;

const VALID = 1u;
const RESET = 2u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_group(group, groups) * WORKGROUP + lane;
    if OP == 0u || OP == 3u {
        if i < params.time * params.batch {
            let left = a[params.a_at + i];
            let right = b[params.b_at + i];
            let valid = select(left & right, left | right, OP == 3u);
            out[params.out_at + i] = (valid & VALID) | ((left | right) & RESET);
        }
        return;
    }
    if i >= params.batch {
        return;
    }
    let rows = params.a_at + i;
    var kept = carry[params.carry_at + i];
    if params.first == 0u {
        kept = select(0u, a[rows] & RESET, OP == 1u);
    }
    for (var t = params.first; t < params.first + params.count; t++) {
        var flag = 0u;
        if OP == 1u {
            let source = params.time - 1u - t;
            if t > 0u {
                kept |= a[rows + (source + 1u) * params.batch] & RESET;
            }
            flag = a[rows + source * params.batch] & VALID;
            if flag != 0u {
                flag |= kept;
                kept = 0u;
            }
        } else {
            kept |= a[rows + t * params.batch] & VALID;
            flag = kept;
        }
        out[params.out_at + t * params.batch + i] = flag;
    }
    carry[params.carry_at + i] = kept;
}
