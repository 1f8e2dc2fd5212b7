// embedding_backward: part[chunk, id, :] (+)= sum of dy[p, :] over the positions p = t * batch + b of a chunk whose id (as in
// embedding) is `id`, in ascending order of p: no float atomics, the same bits every time.
//
// A workgroup of 64 owns TILE rows of the table, 64 columns, and a chunk of positions. It looks at 64 ids at a time: each
// invocation marks whether its id falls into the tile in a bit mask in workgroup memory, then all add the marked
// positions one by one, each in its own column. Sums stay in workgroup memory until the end.

struct Params {
    ids_at: u32,
    dy_at: u32,
    part_at: u32,
    batch: u32,
    vocab: u32,
    width: u32,
    time_stride: u32,
    batch_stride: u32,
    // positions first .. first + chunk belong to the first chunk, up to `end` in all
    first: u32,
    chunk: u32,
    end: u32,
}

@group(0) @binding(0) var<storage, read> ids: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> part: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

// Add to what part holds; else overwrite it.
override ACCUMULATE: bool = true;

const GROUP = 64u;
const TILE = 32u;

var<workgroup> sums: array<f32, 2048>;
var<workgroup> rows: array<u32, 64>;
var<workgroup> marked: array<atomic<u32>, 2>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Grid: x tiles of rows, y blocks of columns, z chunks.
    let base = group.x * TILE;
    let col = group.y * GROUP + lane;
    let inside = col < params.width;
    for (var r = 0u; r < TILE; r++) {
        sums[r * GROUP + lane] = 0.0;
    }
    let start = params.first + group.z * params.chunk;
    let stop = min(params.end, start + params.chunk);
    for (var p = start; p < stop; p += GROUP) {
        if lane < 2u {
            atomicStore(&marked[lane], 0u);
        }
        workgroupBarrier();
        let mine = p + lane;
        if mine < stop {
            let t = mine / params.batch;
            let b = mine - t * params.batch;
            let id = table_row(ids[params.ids_at + t * params.time_stride + b * params.batch_stride], params.vocab);
            rows[lane] = id - base;
            if id < params.vocab && id >= base && id < base + TILE {
                atomicOr(&marked[lane / 32u], 1u << (lane % 32u));
            }
        }
        workgroupBarrier();
        for (var word = 0u; word < 2u; word++) {
            var left = atomicLoad(&marked[word]);
            while left != 0u {
                let bit = firstTrailingBit(left);
                left &= left - 1u;
                if inside {
                    let slot = word * 32u + bit;
                    sums[rows[slot] * GROUP + lane] += dy[params.dy_at + (p + slot) * params.width + col];
                }
            }
        }
        workgroupBarrier();
    }
    let out = params.part_at + group.z * params.vocab * params.width + col;
    for (var r = 0u; r < min(TILE, params.vocab - base); r++) {
        if inside {
            let at = out + (base + r) * params.width;
            if ACCUMULATE {
                part[at] += sums[r * GROUP + lane];
            } else {
                part[at] = sums[r * GROUP + lane];
            }
        }
    }
}
