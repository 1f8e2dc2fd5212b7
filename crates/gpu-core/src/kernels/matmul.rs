//! `c (+)= act(op(a) op(b) + bias)`, in three faces with one meaning: `matmul_tile` for hardware, `matmul` for software
//! adapters, `matmul_any` for odd and small products.
use super::operands::{ELEMENT_GROUP, RowTile, apart, size};
use crate::{Call, Error, Faces, Groups, Recorder, Result, Slice};
use rnn_shaders::activation::{ACT, constants};
use rnn_shaders::contract::Kernel;
use rnn_shaders::matmul::Params;
use rnn_shaders::vocabulary::Activation;
use rnn_shaders::{SOFTWARE_LANES, matmul as vector, matmul_any as any, matmul_tile as hardware, pack};

const OP: &str = "matmul";

pub use rnn_shaders::shape::Matmul;

fn check(spec: &Matmul, a: &Slice, b: &Slice, bias: Option<&Slice>, c: &Slice) -> Result<()> {
    let invalid = |reason: &str| Err(Error::InvalidArgument { operation: OP, reason: reason.into() });
    if spec.accumulate && spec.activation != Activation::Linear {
        return invalid("accumulate adds to what is there; only the linear activation goes with it");
    }
    let (a_rows, a_cols) = if spec.trans_a { (spec.k, spec.m) } else { (spec.m, spec.k) };
    let (b_rows, b_cols) = if spec.trans_b { (spec.n, spec.k) } else { (spec.k, spec.n) };
    for (what, slice, rows, cols, ld, stride) in [
        ("a", a, a_rows, a_cols, spec.lda, spec.stride_a),
        ("b", b, b_rows, b_cols, spec.ldb, spec.stride_b),
        ("c", c, spec.m, spec.n, spec.ldc, spec.stride_c),
    ] {
        if rows == 0 || cols == 0 {
            continue;
        }
        if rows > 1 && ld < cols {
            return invalid("a row stride is shorter than its row");
        }
        let expected = (spec.batch - 1)
            .saturating_mul(stride)
            .saturating_add((rows - 1).saturating_mul(ld))
            .saturating_add(cols);
        if slice.len() < expected {
            return Err(Error::ShapeMismatch { operation: OP, what, expected, got: slice.len() });
        }
    }
    if spec.batch > 1 && spec.stride_c < (spec.m - 1) * spec.ldc + spec.n {
        return invalid("stride_c makes the products of a batch overlap");
    }
    match bias {
        Some(bias) if bias.len() != spec.n => {
            Err(Error::ShapeMismatch { operation: OP, what: "bias", expected: spec.n, got: bias.len() })
        }
        _ => Ok(()),
    }
}

/// Records `c (+)= activation(op(a) op(b) + bias)`; see [`Matmul`] for the shapes. Slices may be longer than the layout
/// needs. Sums run in the order of `k` (in blocks where an adapter's loop limit demands it).
///
/// # Errors
/// [`Error::ShapeMismatch`] where a slice is too short; [`Error::InvalidArgument`] where strides overlap, or `accumulate`
/// comes with a non-linear activation; [`Error::OutOfMemory`] for scratch.
pub fn matmul(
    rec: &mut Recorder,
    spec: Matmul,
    a: &Slice,
    b: &Slice,
    bias: Option<&Slice>,
    c: &Slice,
) -> Result<()> {
    if spec.batch == 0 || spec.m == 0 || spec.n == 0 {
        return Ok(());
    }
    check(&spec, a, b, bias, c)?;
    let a = apart(rec, a, &[c])?;
    let b = apart(rec, b, &[c])?;
    let bias = bias.map(|bias| apart(rec, bias, &[c])).transpose()?;
    let face = Face::choose(rec, &spec, &b);
    let b = Operand::of_b(rec, &spec, face, b)?;
    let bias = match bias {
        // That face loads vec4s.
        Some(bias) if face == Face::Vector && !bias.offset().is_multiple_of(4) => {
            let aligned = rec.scratch(bias.len())?;
            super::copy(rec, &bias, &aligned)?;
            Some(aligned)
        }
        bias => bias,
    };

    // Rows in chunks that the grid and the binding limit allow; sums in chunks that the loop limit allows.
    let binding = rec.context().limits().max_storage_buffer_binding_size as usize / 4;
    let widest = if spec.trans_a { spec.ldc } else { spec.lda.max(spec.ldc) };
    let rows = if spec.batch > 1 { usize::MAX } else { (binding / widest.max(1)).max(1) };
    let rows = rows.min(face.max_rows());
    let mut sums = face.max_sum(rec, spec.k)?;
    if spec.batch == 1 {
        let deepest = if spec.trans_a { spec.lda.max(b.k_step) } else { b.k_step };
        sums = sums.min((binding / deepest.max(1)).max(1));
    }
    for m0 in (0..spec.m).step_by(rows) {
        let m = rows.min(spec.m - m0);
        let mut k0 = 0;
        loop {
            let k = sums.min(spec.k - k0);
            let last = k0 + k == spec.k;
            let part = Part { m0, m, k0, k, first: k0 == 0, last };
            record(rec, &spec, face, part, &a, &b, bias.as_ref(), c)?;
            k0 += k;
            if last {
                break;
            }
        }
    }
    Ok(())
}

/// Which kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Face {
    Vector,
    Any,
    Tile,
}

impl Face {
    fn choose(rec: &Recorder, spec: &Matmul, b: &Slice) -> Face {
        if rec.context().faces() == Faces::Hardware {
            // A tile that is mostly empty wastes more than the slower kernel does.
            return if spec.m >= 16 && spec.n >= 16 { Face::Tile } else { Face::Any };
        }
        let b_aligned = in_vectors([spec.ldb, spec.stride_b, b.offset(), 0]);
        let packable = spec.batch == 1 || spec.stride_b == 0;
        // Sums of less than four terms take code of their own, 0.15 s to compile: not for a few numbers.
        let short = spec.k < 4 && spec.m * spec.n < 1 << 16;
        let enough = spec.n >= 16 && spec.m * spec.k >= 16 && !short;
        if enough && ((b_aligned && !spec.trans_b) || (packable && spec.m > 4)) {
            Face::Vector
        } else {
            Face::Any
        }
    }

    fn kernel(self) -> &'static Kernel {
        match self {
            Face::Vector => &vector::KERNEL,
            Face::Any => &any::KERNEL,
            Face::Tile => &hardware::KERNEL,
        }
    }

    fn max_rows(self) -> usize {
        match self {
            Face::Vector | Face::Any => usize::MAX,
            Face::Tile => 65_535 * hardware::TILE,
        }
    }

    /// Longest sum of one dispatch: the adapter's loop limit, where it has one.
    fn max_sum(self, rec: &Recorder, k: usize) -> Result<usize> {
        // Short loops are safe on any adapter; the canary is not run for them.
        if k <= 8192 {
            return Ok(usize::MAX);
        }
        Ok(match rec.context().loop_limit()? {
            None => usize::MAX,
            Some(limit) => match self {
                // One iteration for four of k, or for two of them, and the epilogue's.
                Face::Vector => (limit as usize - 512) * 4,
                Face::Any => (limit as usize - 64) * 2,
                // 16 iterations of arithmetic, 8 of loads and 1 for each slab of 16.
                Face::Tile => (limit as usize - 64) / 25 * 16,
            },
        })
    }
}

/// Whether all of these are whole vectors of four.
fn in_vectors(values: [usize; 4]) -> bool {
    values.iter().all(|value| value.is_multiple_of(4))
}

/// `op(b)` as the kernels want it.
struct Operand {
    slice: Slice,
    k_step: usize,
    col_step: usize,
    stride: usize,
}

impl Operand {
    fn of_b(rec: &mut Recorder, spec: &Matmul, face: Face, b: Slice) -> Result<Operand> {
        let (k_step, col_step) = if spec.trans_b { (1, spec.ldb) } else { (spec.ldb, 1) };
        let aligned = in_vectors([spec.ldb, spec.stride_b, b.offset(), 0]);
        if face != Face::Vector || (aligned && !spec.trans_b) {
            return Ok(Operand { slice: b, k_step, col_step, stride: spec.stride_b });
        }
        let row = spec.n.next_multiple_of(4);
        let packed = rec.scratch(spec.k * row)?;
        pack_rows(rec, &b, (k_step, col_step), (spec.k, spec.n, row), &packed)?;
        Ok(Operand { slice: packed, k_step: row, col_step: 1, stride: 0 })
    }
}

/// `y[i, j] = x[i * row + j * col]` for `j < cols`, 0 up to `ld`: `y [rows, ld]`.
pub(super) fn pack_rows(
    rec: &mut Recorder,
    x: &Slice,
    (row, col): (usize, usize),
    (rows, cols, ld): (usize, usize, usize),
    y: &Slice,
) -> Result<()> {
    if y.is_empty() {
        return Ok(());
    }
    rec.call(Call {
        kernel: &pack::KERNEL,
        overrides: &[],
        buffers: &[x, y],
        params: bytemuck::bytes_of(&pack::Params {
            rows: size(OP, rows)?,
            cols: size(OP, cols)?,
            ld: size(OP, ld)?,
            x_row: size(OP, row)?,
            x_col: size(OP, col)?,
            ..Default::default()
        }),
        groups: Groups::linear(y.len(), ELEMENT_GROUP),
        flops: y.len() as f64,
    })
}

/// A block of rows and a stretch of the sums.
#[derive(Clone, Copy)]
struct Part {
    m0: usize,
    m: usize,
    k0: usize,
    k: usize,
    first: bool,
    last: bool,
}

fn record(
    rec: &mut Recorder,
    spec: &Matmul,
    face: Face,
    part: Part,
    a: &Slice,
    b: &Operand,
    bias: Option<&Slice>,
    c: &Slice,
) -> Result<()> {
    let (a_row, a_k) = if spec.trans_a { (1, spec.lda) } else { (spec.lda, 1) };
    let tail = |slice: &Slice, from: usize, rows: usize, row: usize, cols: usize, col: usize| {
        let from = from.min(slice.len());
        let need = rows.saturating_sub(1) * row + cols.saturating_sub(1) * col + 1;
        let len = if spec.batch > 1 { slice.len() - from } else { need.min(slice.len() - from) };
        slice.slice(from, len)
    };
    let bias = if part.last { bias } else { None };
    let nothing = rec.nothing()?;
    let activation = if part.last { spec.activation } else { Activation::Linear };
    let sa = tail(a, part.m0 * a_row + part.k0 * a_k, part.m, a_row, part.k, a_k)?;
    let sb = tail(&b.slice, part.k0 * b.k_step, part.k, b.k_step, spec.n, b.col_step)?;
    let sc = tail(c, part.m0 * spec.ldc, part.m, spec.ldc, spec.n, 1)?;
    let params = Params {
        m: size(OP, part.m)?,
        n: size(OP, spec.n)?,
        k: size(OP, part.k)?,
        a_row: size(OP, a_row)?,
        a_k: size(OP, a_k)?,
        b_k: size(OP, b.k_step)?,
        b_col: size(OP, b.col_step)?,
        ldc: size(OP, spec.ldc)?,
        stride_a: size(OP, spec.stride_a)?,
        stride_b: size(OP, b.stride)?,
        stride_c: size(OP, spec.stride_c)?,
        has_bias: u32::from(bias.is_some()),
        accumulate: u32::from(spec.accumulate || !part.first),
        ..Default::default()
    };
    let mut overrides = constants(&ACT, activation).to_vec();
    let flops = 2.0 * (spec.batch * part.m * spec.n) as f64 * part.k as f64;
    let lanes = spec.n.div_ceil(16);
    let vector_groups = |tile: RowTile| tile.groups(part.m, lanes, SOFTWARE_LANES);
    let tile = RowTile::choose(rec.context(), part.m, |tile| vector_groups(tile) * spec.batch);
    let tile = RowTile { rows: tile.rows.max(4), ..tile };
    match face {
        Face::Vector => {
            let wide = in_vectors([spec.lda, spec.stride_a, sa.offset(), 0]);
            let whole = in_vectors([spec.n, spec.ldc, spec.stride_c, sc.offset()]);
            overrides.extend([
                ("ROWS", tile.rows as f64),
                ("SHARED", f64::from(u8::from(tile.shared))),
                ("WIDE", f64::from(u8::from(wide))),
                ("WHOLE", f64::from(u8::from(whole))),
                ("HAS_FOURS", f64::from(u8::from(part.k >= 4))),
                ("HAS_REST", f64::from(u8::from(!part.k.is_multiple_of(4)))),
            ]);
        }
        Face::Tile => overrides.extend([
            ("A_BY_ROW", f64::from(u8::from(spec.trans_a))),
            ("B_BY_K", f64::from(u8::from(spec.trans_b))),
        ]),
        Face::Any => {}
    }
    let Groups([x, y, _]) = match face {
        Face::Vector => Groups::linear(vector_groups(tile), 1),
        Face::Any => Groups::linear(part.m.div_ceil(4) * spec.n, ELEMENT_GROUP),
        Face::Tile => Groups::xyz(spec.n.div_ceil(hardware::TILE), part.m.div_ceil(hardware::TILE), 1),
    };
    rec.call(Call {
        kernel: face.kernel(),
        overrides: &overrides,
        buffers: &[&sa, &sb, bias.unwrap_or(&nothing), &sc],
        params: bytemuck::bytes_of(&params),
        groups: Groups([x, y, size(OP, spec.batch)?]),
        flops,
    })
}
