// canary: runs a loop n times and says how often it really ran (count[0]) and where its chain of numbers ended
// (count[1]: a linear congruential generator, which no compiler turns into a closed form).

struct Params {
    count_at: u32,
    n: u32,
}

@group(0) @binding(0) var<storage, read_write> count: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(1)
fn main() {
    var state = count[params.count_at + 1u];
    var ran = 0u;
    for (var i = 0u; i < params.n; i++) {
        state = state * 1664525u + 1013904223u;
        ran += 1u + (state & 0u);
    }
    count[params.count_at] = ran;
    count[params.count_at + 1u] = state;
}
