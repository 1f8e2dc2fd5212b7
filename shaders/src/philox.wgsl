// philox: Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3"
// (SC 2011), as in Random123. Concatenated before kernels that draw.
//
// Element i of a stream: counter (i / 4, stream, rng_step, 0), lane i % 4 of the block; the key is the seed.

// The 64-bit product of a and b as (low, high), from 16-bit halves.
fn mul_wide(a: u32, b: u32) -> vec2<u32> {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let low = a0 * b0;
    let cross0 = a0 * b1;
    let cross1 = a1 * b0;
    let carry = (low >> 16u) + (cross0 & 0xffffu) + (cross1 & 0xffffu);
    return vec2(a * b, a1 * b1 + (cross0 >> 16u) + (cross1 >> 16u) + (carry >> 16u));
}

fn philox(counter: vec4<u32>, seed: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var key = seed;
    for (var round = 0u; round < 10u; round++) {
        let p = mul_wide(0xD2511F53u, c.x);
        let q = mul_wide(0xCD9E8D57u, c.z);
        c = vec4(q.y ^ c.y ^ key.x, q.x, p.y ^ c.w ^ key.y, p.x);
        key += vec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

// Uniform in [0, 1), 24 bits of each word.
fn unit_interval(bits: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(bits >> vec4(8u)) * 5.9604644775390625e-8;
}
