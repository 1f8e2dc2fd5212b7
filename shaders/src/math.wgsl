// math: functions that kernels share. Concatenated before the kernel's own text. NaN in gives NaN out, also where the
// adapter's min, max and exp hide it.

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
