// math: shared by every kernel that computes activations. Concatenated before the kernel's own text.
// Activation codes are those of vocabulary.rs. NaN in gives NaN out, also where the adapter's min, max and exp hide it.

const ACT_LINEAR = 0u;
const ACT_TANH = 1u;
const ACT_SIGMOID = 2u;
const ACT_RELU = 3u;
const ACT_HARD_SIGMOID = 4u;
const ACT_SOFTPLUS = 5u;
const ACT_SOFTSIGN = 6u;
const ACT_ELU = 7u;
const ACT_SELU = 8u;
const ACT_EXPONENTIAL = 9u;
const ACT_LEAKY_RELU = 10u;
const ACT_RELU6 = 11u;
const ACT_SILU = 12u;
const ACT_GELU = 13u;

const SELU_SCALE = 1.05070098f;
const SELU_ALPHA = 1.67326324f;
const LEAKY_SLOPE = 0.2f;

// Number of this workgroup in a grid that spreads one dimension over x and y (65,535 groups per dimension).
fn linear_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}

// By bits: `x != x` is folded to false on llvmpipe.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// y, or x itself where x is NaN.
fn keep_nan(x: f32, y: f32) -> f32 {
    return select(y, x, is_nan(x));
}

// 1 / (1 + exp(-x)), without overflow for any x.
fn sigmoid(x: f32) -> f32 {
    let e = exp(-abs(x));
    let s = 1.0 / (1.0 + e);
    return keep_nan(x, select(e * s, s, x >= 0.0));
}

// exp(x) - 1 for x <= 0, by its series near 0, where the difference would cancel.
fn expm1_negative(x: f32) -> f32 {
    let series = x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0)))));
    return select(exp(max(x, -100.0)) - 1.0, series, x > -0.2);
}

// tanh for any x: (1 - e) / (1 + e) with e = exp(-2|x|), and an odd polynomial (Cephes tanhf) for |x| < 0.625.
fn tanh_exact(x: f32) -> f32 {
    let a = abs(x);
    let e = exp(-2.0 * a);
    let z = x * x;
    let p = (((-5.70498872745e-3 * z + 2.06390887954e-2) * z - 5.37397155531e-2) * z + 1.33314422036e-1) * z
        - 3.33332819422e-1;
    let large = (1.0 - e) / (1.0 + e);
    return keep_nan(x, select(select(-large, large, x >= 0.0), p * z * x + x, a < 0.625));
}

// ln(1 + exp(x)) = max(x, 0) + ln(1 + e) with e = exp(-|x|); ln(1 + e) by its series where e is small.
fn softplus(x: f32) -> f32 {
    let e = exp(-abs(x));
    let series = e * (1.0 - e * (0.5 - e * (1.0 / 3.0 - e * 0.25)));
    return keep_nan(x, max(x, 0.0) + select(log(1.0 + e), series, e < 0.02));
}

// erf by Abramowitz and Stegun 7.1.26 refined: erfc through exp(-x^2) times a degree 9 polynomial in t = 1/(1 + x/2)
// (Numerical Recipes erfccheb), relative error of erfc below 1.2e-7.
fn erf(x: f32) -> f32 {
    let z = abs(x);
    let t = 1.0 / (1.0 + 0.5 * z);
    let poly = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806
        + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
    let erfc = t * exp(max(-z * z + poly, -100.0));
    let series = x * (1.12837917 + x * x * (-0.37612639 + x * x * 0.11283792));
    return keep_nan(x, select(select(erfc - 1.0, 1.0 - erfc, x >= 0.0), series, z < 0.1));
}

// The activation with this code.
fn act(code: u32, x: f32) -> f32 {
    switch code {
        case ACT_TANH: { return tanh_exact(x); }
        case ACT_SIGMOID: { return sigmoid(x); }
        case ACT_RELU: { return keep_nan(x, max(x, 0.0)); }
        case ACT_HARD_SIGMOID: { return keep_nan(x, clamp(x / 6.0 + 0.5, 0.0, 1.0)); }
        case ACT_SOFTPLUS: { return softplus(x); }
        case ACT_SOFTSIGN: { return x / (1.0 + abs(x)); }
        case ACT_ELU: { return keep_nan(x, select(expm1_negative(min(x, 0.0)), x, x > 0.0)); }
        case ACT_SELU: {
            return keep_nan(x, SELU_SCALE * select(SELU_ALPHA * expm1_negative(min(x, 0.0)), x, x > 0.0));
        }
        case ACT_EXPONENTIAL: { return keep_nan(x, exp(x)); }
        case ACT_LEAKY_RELU: { return keep_nan(x, select(LEAKY_SLOPE * x, x, x > 0.0)); }
        case ACT_RELU6: { return keep_nan(x, clamp(x, 0.0, 6.0)); }
        case ACT_SILU: { return x * sigmoid(x); }
        case ACT_GELU: { return 0.5 * x * (1.0 + erf(x * 0.70710678)); }
        default: { return x; }
    }
}

// Derivative of the activation; `saved` is its output, or its input for silu and gelu. At a kink the side that Keras
// takes: 0 for relu and relu6, the slope for leaky relu.
fn act_grad(code: u32, saved: f32) -> f32 {
    let y = saved;
    switch code {
        case ACT_TANH: { return 1.0 - y * y; }
        case ACT_SIGMOID: { return y * (1.0 - y); }
        case ACT_RELU: { return keep_nan(y, select(0.0, 1.0, y > 0.0)); }
        case ACT_HARD_SIGMOID: { return keep_nan(y, select(0.0, 1.0 / 6.0, y > 0.0 && y < 1.0)); }
        case ACT_SOFTPLUS: { return keep_nan(y, -expm1_negative(-y)); }
        case ACT_SOFTSIGN: { let d = 1.0 - abs(y); return d * d; }
        case ACT_ELU: { return keep_nan(y, select(y + 1.0, 1.0, y > 0.0)); }
        case ACT_SELU: { return keep_nan(y, select(y + SELU_SCALE * SELU_ALPHA, SELU_SCALE, y > 0.0)); }
        case ACT_EXPONENTIAL: { return y; }
        case ACT_LEAKY_RELU: { return keep_nan(y, select(LEAKY_SLOPE, 1.0, y > 0.0)); }
        case ACT_RELU6: { return keep_nan(y, select(0.0, 1.0, y > 0.0 && y < 6.0)); }
        case ACT_SILU: { let s = sigmoid(y); return s * (1.0 + y * (1.0 - s)); }
        case ACT_GELU: {
            let density = 0.39894228 * exp(max(-0.5 * y * y, -100.0));
            return 0.5 * (1.0 + erf(y * 0.70710678)) + y * density;
        }
        default: { return 1.0; }
    }
}

