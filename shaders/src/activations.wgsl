// activations: the formulas of vocabulary.rs (Formula) and their derivatives, behind math.wgsl. A kernel calls act(x) and
// act_grad(saved); ACT is the formula's code and ACT_A to ACT_C are its numbers.

override ACT: u32 = 0u;
override ACT_A: f32 = 0.0;
override ACT_B: f32 = 0.0;
override ACT_C: f32 = 0.0;

const TANH = 1u;
const SIGMOID = 2u;
const RELU = 3u;
const CLAMP = 4u;
const SOFTPLUS = 5u;
const SOFTSIGN = 6u;
const EXP_UNIT = 7u;
const EXPONENTIAL = 8u;
const LEAKY = 9u;
const CLIPPED_RELU = 10u;
const SILU = 11u;
const GELU = 12u;
const GELU_TANH = 13u;
const HARD_SILU = 14u;
const MISH = 15u;
const TANH_SHRINK = 16u;
const THRESHOLD = 17u;
const LOG_SIGMOID = 18u;
const SQUAREPLUS = 19u;
const SPARSE_PLUS = 20u;
const HARD_SHRINK = 21u;
const SOFT_SHRINK = 22u;
const AFFINE = 23u;
const SCALED_TANH = 24u;

const LARGEST = 3.4028234e38f;

fn act(x: f32) -> f32 {
    return formula(ACT, ACT_A, ACT_B, ACT_C, x);
}

// The derivative; `saved` is the output, or the input where derivative_from_output() of the activation is false.
fn act_grad(saved: f32) -> f32 {
    return formula_grad(ACT, ACT_A, ACT_B, ACT_C, saved);
}

// tanh(softplus(x)) and what it lacks to 1, from e = exp(-|x|), each without cancellation.
fn tanh_softplus(x: f32) -> vec2<f32> {
    let e = exp(-abs(x));
    let above = vec2(1.0 + 2.0 * e, 2.0 * e * e) / (1.0 + 2.0 * e + 2.0 * e * e);
    let below = vec2(e * (e + 2.0), 2.0) / (e * (e + 2.0) + 2.0);
    return select(below, above, x > 0.0);
}

// 2 sqrt(2 / pi) (x + 0.044715 x^3): the tanh of half of it is that of gelu's approximation.
fn gelu_inner(x: f32) -> f32 {
    return 1.5957691 * x * (1.0 + 0.044715 * x * x);
}

fn squareplus(b: f32, x: f32) -> f32 {
    let a = abs(x);
    // Past 1e18 the square would overflow, and b is lost in it.
    let root = select(sqrt(x * x + b), a, a > 1e18);
    return keep_nan(x, select(0.5 * b / max(root - x, 1e-30), 0.5 * (x + root), x > 0.0));
}

fn formula(code: u32, a: f32, b: f32, c: f32, x: f32) -> f32 {
    switch code {
        case TANH: { return tanh_exact(x); }
        case SIGMOID: { return sigmoid(x); }
        case RELU: { return keep_nan(x, max(x, 0.0)); }
        case CLAMP: { return keep_nan(x, clamp(a * x + b, c, 1.0)); }
        case SOFTPLUS: { return softplus(x); }
        case SOFTSIGN: { return x / (1.0 + abs(x)); }
        case EXP_UNIT: { return keep_nan(x, c * select(a * expm1_negative(b * min(x, 0.0)), x, x > 0.0)); }
        case EXPONENTIAL: { return keep_nan(x, exp(x)); }
        case LEAKY: { return keep_nan(x, select(a * x, x, x > 0.0)); }
        case CLIPPED_RELU: { return keep_nan(x, select(a * max(x - c, -LARGEST), min(x, b), x > c)); }
        case SILU: { return x * sigmoid(x); }
        case GELU: { return 0.5 * x * (1.0 + erf(x * 0.70710678)); }
        case GELU_TANH: { return x * sigmoid(gelu_inner(clamp(x, -100.0, 100.0))); }
        case HARD_SILU: { return x * clamp(x / 6.0 + 0.5, 0.0, 1.0); }
        case MISH: { return x * tanh_softplus(x).x; }
        case TANH_SHRINK: { return x - tanh_exact(x); }
        case THRESHOLD: { return keep_nan(x, select(b, x, x > a)); }
        case LOG_SIGMOID: { return -softplus(-x); }
        case SQUAREPLUS: { return squareplus(a, x); }
        case SPARSE_PLUS: { let t = max(x + 1.0, 0.0); return keep_nan(x, select(x, 0.25 * t * t, x < 1.0)); }
        case HARD_SHRINK: { return keep_nan(x, select(0.0, x, abs(x) > a)); }
        case SOFT_SHRINK: { return x - clamp(x, -a, a); }
        case AFFINE: { return a * x + b; }
        case SCALED_TANH: { return a * tanh_exact(b * x); }
        default: { return x; }
    }
}

// At a kink the side that Keras takes: 0 for relu and relu6, the slope for leaky relu; where the output can not tell a
// kink from the flat part behind it (hard tanh at 1), 0.
fn formula_grad(code: u32, a: f32, b: f32, c: f32, saved: f32) -> f32 {
    let y = saved;
    switch code {
        case TANH: { return 1.0 - y * y; }
        case SIGMOID: { return y * (1.0 - y); }
        case RELU: { return keep_nan(y, select(0.0, 1.0, y > 0.0)); }
        case CLAMP: { return keep_nan(y, select(0.0, a, y > c && y < 1.0)); }
        case SOFTPLUS: { return keep_nan(y, -expm1_negative(-y)); }
        case SOFTSIGN: { let d = 1.0 - abs(y); return d * d; }
        case EXP_UNIT: { return keep_nan(y, select(b * (y + c * a), c, y > 0.0)); }
        case EXPONENTIAL: { return y; }
        case LEAKY: { return keep_nan(y, select(a, 1.0, y > 0.0)); }
        case CLIPPED_RELU: { return keep_nan(y, select(select(0.0, 1.0, y > 0.0 && y < b), a, y < 0.0)); }
        case SILU: { let s = sigmoid(y); return s * (1.0 + y * (1.0 - s)); }
        case GELU: {
            let density = 0.39894228 * exp(max(-0.5 * y * y, -100.0));
            return 0.5 * (1.0 + erf(y * 0.70710678)) + y * density;
        }
        case GELU_TANH: {
            let x = clamp(y, -100.0, 100.0);
            let s = sigmoid(gelu_inner(x));
            return keep_nan(y, s + s * (1.0 - s) * 1.5957691 * x * (1.0 + 0.134145 * x * x));
        }
        case HARD_SILU: { return keep_nan(y, select(select(y / 3.0 + 0.5, 1.0, y >= 3.0), 0.0, y <= -3.0)); }
        case MISH: { let w = tanh_softplus(y); return w.x + y * w.y * (1.0 + w.x) * sigmoid(y); }
        case TANH_SHRINK: { let t = tanh_exact(y); return t * t; }
        case THRESHOLD: { return keep_nan(y, select(0.0, 1.0, y > a)); }
        case LOG_SIGMOID: { return keep_nan(y, -expm1_negative(y)); }
        case SQUAREPLUS: { return keep_nan(y, select(0.0, y / (y + 0.25 * a / y), y > 0.0)); }
        case SPARSE_PLUS: { return keep_nan(y, sqrt(clamp(y, 0.0, 1.0))); }
        case HARD_SHRINK: { return keep_nan(y, select(0.0, 1.0, y != 0.0)); }
        case SOFT_SHRINK: { return keep_nan(y, select(0.0, 1.0, y != 0.0)); }
        case AFFINE: { return a; }
        case SCALED_TANH: { return b * (a - c * y * y); }
        default: { return 1.0; }
    }
}
