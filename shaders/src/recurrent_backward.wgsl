// recurrent_backward: what the kernels back through the cells share. Concatenated before the cell's own text.
//
// saved [T, B, saved_row] from the forward pass; states [T+1, B, U] is c of LSTM, else h; w the recurrent weights
// transposed, rows of ldw vec4s; dgates [T, B, grad_row] gets the gradients before the activations; carry [2, B, U] is what is
// handed to the step before: of h beside the product, and of c. MASKED: h_mask [B, U] was on the product's operand. A step
// without VALID hands its gradients over unchanged; RESET hands nothing over. With CLIPPED no gradient passes an activation
// whose input was at its limit. A cell uses a part of the bindings.

struct Params {
    flags_at: u32,
    w_at: u32,
    saved_at: u32,
    states_at: u32,
    dy_at: u32,
    h_mask_at: u32,
    dgates_at: u32,
    carry_at: u32,
    first: u32,
    steps: u32,
    time: u32,
    batch: u32,
    units: u32,
    depth: u32,
    ldw: u32,
    saved_row: u32,
    grad_row: u32,
    left_at: u32,
    has_flags: u32,
    has_dy: u32,
    has_peepholes: u32,
    clip: f32,
}

@group(0) @binding(0) var<storage, read> flags: array<u32>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> saved: array<f32>;
@group(0) @binding(3) var<storage, read> states: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read> h_mask: array<f32>;
@group(0) @binding(6) var<storage, read_write> dgates: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> carry: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

override MASKED: bool = false;
override CLIPPED: bool = false;
override COUPLED: bool = false;

const BACKWARD = true;

alias Tile = mat4x4<f32>;
alias Place = u32;
const COLS = 4u;
const GATED = false;

fn tile_at(k: u32, col: u32) -> Tile {
    return tile_of_16(params.w_at / 4u + k * params.ldw, col * 4u);
}

fn put(at: u32, tile: Tile) {
    put_16(at, tile);
}

fn either(a: Tile, b: Tile, second: bool) -> Tile {
    return either_16(a, b, second);
}

fn of_unit(tile: Tile, j: u32) -> vec4<f32> {
    return vec4(of_16(tile, j), 0.0, 0.0, 0.0);
}

// Gradients of the step AHEAD of t (0 or 1) are the operand of the product; nothing comes from beyond the last step.
fn left_row(t: u32, row: u32) -> Place {
    return params.dgates_at + ((t + AHEAD) * params.batch + row) * params.grad_row + params.left_at;
}

fn left(place: Place, k: u32) -> f32 {
    let i = place + k;
    return dgates[i / 4u][i % 4u];
}

fn left_4(place: Place, k: u32) -> vec4<f32> {
    return dgates[(place + k) / 4u];
}

fn set_dgate(i: u32, to: f32) {
    dgates[i / 4u][i % 4u] = to;
}

fn given(t: u32, row: u32, col: u32) -> Tile {
    return Tile();
}

fn depth(t: u32) -> u32 {
    return select(params.depth, 0u, t + AHEAD >= params.time);
}

// Whether an output is that of a limited input, which another kernel's compiler may have met with another rounding.
// An activation may fall.
fn at_limit(y: f32, a: f32, b: f32) -> bool {
    let low = min(a, b);
    let high = max(a, b);
    return y <= low + 1e-6 * abs(low) || y >= high - 1e-6 * abs(high);
}

// Derivative of the activation by its output; 0 where its input was at the limit.
fn slope(y: f32) -> f32 {
    if CLIPPED && at_limit(y, act(-params.clip), act(params.clip)) {
        return 0.0;
    }
    return act_grad(y);
}

// The same of the gates' activation.
fn rec_slope(y: f32) -> f32 {
    if CLIPPED && at_limit(y, rec_act(-params.clip), rec_act(params.clip)) {
        return 0.0;
    }
    return rec_act_grad(y);
}

// The product's sum as it reaches the state that the mask was put on.
fn unmasked(at: u32, sum: f32) -> f32 {
    if MASKED {
        return sum * h_mask[params.h_mask_at + at];
    }
    return sum;
}

// Gradient of h after step t: from the output, from the next step's product unless that step reset, and what was passed.
fn dh_of(t: u32, row: u32, unit: u32, sum: f32) -> f32 {
    let at = row * params.units + unit;
    var dh = carry[params.carry_at + at];
    if t + 1u < params.time && (flag_of(t + 1u, row) & RESET) == 0u {
        dh += unmasked(at, sum);
    }
    if params.has_dy != 0u {
        dh += dy[params.dy_at + t * params.batch * params.units + at];
    }
    return dh;
}

// The state before step t, number `at` of a slot.
fn state_before(t: u32, at: u32) -> f32 {
    return states[params.states_at + t * params.batch * params.units + at];
}
