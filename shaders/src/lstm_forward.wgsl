// lstm_forward: a step of
//   i, f, o = rec_act(xw + hp U)   g = act(xw + hp U)   c = f cp + i g   h = o out_act(c)
// gates [T, B, 4U] come as x W + b and, where kept, leave as i, f, g, o. extra [3U], where it is, has peepholes for i, o, f:
// weights of cp inside i and f, and of c inside o. COUPLED: f = 1 - i.

alias Tile = mat4x4<f32>;
alias Place = vec2<u32>;
const COLS = 4u;
const GATED = true;

fn tile_at(k: u32, col: u32) -> Tile {
    let at = params.w_at / 4u + k * params.ldw + col;
    return Tile(w[at], w[at + params.block], w[at + 2u * params.block], w[at + 3u * params.block]);
}

fn put(at: u32, tile: Tile) {
    put_16(at, tile);
}

fn either(a: Tile, b: Tile, second: bool) -> Tile {
    return either_16(a, b, second);
}

fn of_unit(tile: Tile, j: u32) -> vec4<f32> {
    return vec4(tile[0][j], tile[1][j], tile[2][j], tile[3][j]);
}

fn left_row(t: u32, row: u32) -> Place {
    return state_row(t, row);
}

fn left(place: Place, k: u32) -> f32 {
    return state_at(place, k);
}

fn left_4(place: Place, k: u32) -> vec4<f32> {
    return state_4(place, k);
}

fn given(t: u32, row: u32, col: u32) -> Tile {
    let at = gates_of(t, row) + col * 4u;
    let units = params.units;
    return Tile(
        gates_4(at, col),
        gates_4(at + units, col),
        gates_4(at + 2u * units, col),
        gates_4(at + 3u * units, col),
    );
}

fn finish(t: u32, row: u32, unit: u32, sums: vec4<f32>, given: vec4<f32>) {
    let at = row * params.units + unit;
    let cell = params.c_at + t * params.c_step + at;
    let next = cell + params.c_step;
    let flag = flag_of(t, row);
    let kept = (flag & RESET) == 0u;
    let cp = select(0.0, c[cell], kept);
    if (flag & VALID) == 0u {
        set_h(t, at, select(0.0, h_before(t, at), kept));
        c[next] = cp;
        return;
    }
    let z = select(vec4<f32>(), sums, kept);
    var peep = vec3<f32>();
    if params.has_extra != 0u {
        let p = params.extra_at + unit;
        peep = vec3(extra[p], extra[p + params.units], extra[p + 2u * params.units]);
    }
    let i = rec_act(limited(given.x + z.x + peep.x * cp));
    var f = 1.0 - i;
    if !COUPLED {
        f = rec_act(limited(given.y + z.y + peep.z * cp));
    }
    let g = act(limited(given.z + z.z));
    let cn = f * cp + i * g;
    let o = rec_act(limited(given.w + z.w + peep.y * cn));
    if params.keep != 0u {
        let gate = gates_of(t, row) + unit;
        set_gate(gate, i);
        set_gate(gate + params.units, f);
        set_gate(gate + 2u * params.units, g);
        set_gate(gate + 3u * params.units, o);
    }
    c[next] = cn;
    set_h(t, at, o * out_act(cn));
}
