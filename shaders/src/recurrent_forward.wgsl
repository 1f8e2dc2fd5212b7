// recurrent_forward: what the forward kernels of all cells share. Concatenated before the cell's own text.
//
// h, c [T+1, B, U], slot t before the step; with c_step 0, c is one slot [B, U] that every step overwrites. The operand of
// the recurrent product is the state before the step, times h_mask [B, U] where MASKED. With START the one step of the
// dispatch reads its state from h_start [B, U] and not from h. hp and cp are zero where the step's flag has RESET; without
// VALID both are carried over. With CLIPPED, what goes into the activations of the gates and of the candidate is kept within
// [-clip, clip]. A cell uses a part of the bindings.

struct Params {
    flags_at: u32,
    w_at: u32,
    extra_at: u32,
    h_mask_at: u32,
    h_start_at: u32,
    gates_at: u32,
    h_at: u32,
    c_at: u32,
    first: u32,
    steps: u32,
    time: u32,
    batch: u32,
    units: u32,
    depth: u32,
    ldw: u32,
    block: u32,
    saved_row: u32,
    c_step: u32,
    has_flags: u32,
    has_extra: u32,
    keep: u32,
    clip: f32,
}

@group(0) @binding(0) var<storage, read> flags: array<u32>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> extra: array<f32>;
@group(0) @binding(3) var<storage, read> h_mask: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> h_start: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> gates: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> h: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> c: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

override START: bool = false;
override MASKED: bool = false;
override CLIPPED: bool = false;
override COUPLED: bool = false;

const BACKWARD = false;

fn depth(t: u32) -> u32 {
    return params.depth;
}

fn limited(x: f32) -> f32 {
    if CLIPPED {
        return keep_nan(x, clamp(x, -params.clip, params.clip));
    }
    return x;
}

// Number i of h, from the start of its binding.
fn state_of(i: u32) -> f32 {
    return h[i / 4u][i % 4u];
}

fn start_of(i: u32) -> f32 {
    return h_start[i / 4u][i % 4u];
}

// The state before step t, number `at` of a slot.
fn h_before(t: u32, at: u32) -> f32 {
    if START {
        return start_of(params.h_start_at + at);
    }
    return state_of(params.h_at + t * params.batch * params.units + at);
}

fn set_h(t: u32, at: u32, to: f32) {
    let i = params.h_at + (t + 1u) * params.batch * params.units + at;
    h[i / 4u][i % 4u] = to;
}

// Where the gates of a row begin.
fn gates_of(t: u32, row: u32) -> u32 {
    return params.gates_at + (t * params.batch + row) * params.saved_row;
}

fn gate_at(i: u32) -> f32 {
    return gates[i / 4u][i % 4u];
}

fn set_gate(i: u32, to: f32) {
    gates[i / 4u][i % 4u] = to;
}

// A gate's numbers of the column's 4 units, from i on; past the last unit that of the last.
fn gates_4(i: u32, col: u32) -> vec4<f32> {
    if WIDE {
        return gates[i / 4u];
    }
    let last = params.units - 1u - col * 4u;
    return vec4(gate_at(i), gate_at(i + min(1u, last)), gate_at(i + min(2u, last)), gate_at(i + min(3u, last)));
}

// Where the row's state before step t begins, and its mask.
fn state_row(t: u32, row: u32) -> vec2<u32> {
    let at = row * params.units;
    if START {
        return vec2(params.h_start_at + at, params.h_mask_at + at);
    }
    return vec2(params.h_at + t * params.batch * params.units + at, params.h_mask_at + at);
}

// Number k of a row of the product's operand.
fn state_at(row: vec2<u32>, k: u32) -> f32 {
    var x = 0.0;
    if START {
        x = start_of(row.x + k);
    } else {
        x = state_of(row.x + k);
    }
    if MASKED {
        let i = row.y + k;
        x *= h_mask[i / 4u][i % 4u];
    }
    return x;
}

// Numbers k to k + 3 of a row that begins with a vec4.
fn state_4(row: vec2<u32>, k: u32) -> vec4<f32> {
    var x = vec4<f32>();
    if START {
        x = h_start[(row.x + k) / 4u];
    } else {
        x = h[(row.x + k) / 4u];
    }
    if MASKED {
        x *= h_mask[(row.y + k) / 4u];
    }
    return x;
}
