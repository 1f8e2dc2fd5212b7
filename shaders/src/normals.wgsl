// normals: four standard normal numbers from four uniform ones by Box and Muller: of each pair (u, v),
// sqrt(-2 ln(1 - u)) times cos(2 pi v) and sin(2 pi v). Logarithm, sine and cosine are Cephes's polynomials, written out:
// adapters' own are exact to 2^-11 only, and the CPU device has to draw the same numbers (random.rs in cpu-core).

// -ln(w) for w in [2^-24, 1].
fn minus_log(w: vec4<f32>) -> vec4<f32> {
    let bits = bitcast<vec4<i32>>(w);
    // w = m 2^e with m in [sqrt(1/2), sqrt(2))
    let e = (bits - vec4(0x3f3504f3i)) >> vec4(23u);
    let f = bitcast<vec4<f32>>(bits - (e << vec4(23u))) - 1.0;
    let exponent = vec4<f32>(e);
    let z = f * f;
    var p = f * 7.0376836292e-2 - 1.1514610310e-1;
    p = p * f + 1.1676998740e-1;
    p = p * f - 1.2420140846e-1;
    p = p * f + 1.4249322787e-1;
    p = p * f - 1.6668057665e-1;
    p = p * f + 2.0000714765e-1;
    p = p * f - 2.4999993993e-1;
    p = p * f + 3.3333331174e-1;
    let small = p * f * z - 2.12194440e-4 * exponent - 0.5 * z;
    return -(f + small + 0.693359375 * exponent);
}

fn normals(u: vec4<f32>) -> vec4<f32> {
    let radius = sqrt(2.0 * minus_log(vec4(1.0) - u));
    // The angle in quarter turns, to the nearest whole one: exact.
    let turns = 4.0 * u;
    let quarter = floor(turns + 0.5);
    let a = (turns - quarter) * 1.5707963267948966;
    let z = a * a;
    let s = a + a * z * ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1);
    let c = 1.0 - 0.5 * z + z * z * ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2);
    let q = vec4<u32>(quarter) & vec4(3u);
    let odd = (q & vec4(1u)) != vec4(0u);
    let cosine = select(c, s, odd) * select(vec4(1.0), vec4(-1.0), (q == vec4(1u)) | (q == vec4(2u)));
    let sine = select(s, c, odd) * select(vec4(1.0), vec4(-1.0), q >= vec4(2u));
    return vec4(radius.x * cosine.y, radius.x * sine.y, radius.z * cosine.w, radius.z * sine.w);
}
