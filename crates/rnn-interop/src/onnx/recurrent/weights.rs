//! W, R, B and P in the layouts of the layers here.

use super::Cell;
use crate::Result;
use crate::onnx::builder::Builder;
use crate::onnx::constants::floats;
use crate::onnx::node::Node;
use ndarray::{Array2, ArrayD, ArrayView2, Axis, Ix2, Ix3, concatenate, s};

/// Weights of all directions, in the layouts of the layers here.
pub(super) struct Weights {
    pub units: usize,
    pub kernels: Vec<Array2<f32>>,
    pub recurrent: Vec<Array2<f32>>,
    /// of the input and of the state
    pub bias: Option<Vec<[ArrayD<f32>; 2]>>,
    pub peepholes: Option<Vec<Array2<f32>>>,
    pub both_biases: bool,
}

impl Weights {
    pub fn read(
        b: &mut Builder<'_>,
        node: &Node<'_>,
        cell: Cell,
        directions: usize,
        features: usize,
    ) -> Result<Self> {
        let order = cell.gates();
        let read = |b: &mut Builder<'_>, i: usize, what: &str| -> Result<Option<ArrayD<f32>>> {
            match node.constant(i, what)? {
                Some(known) => floats(b, known).map(Some),
                None => Ok(None),
            }
        };
        let expect = |b: &Builder<'_>, what: &str, array: &ArrayD<f32>, shape: &[usize]| match array.shape()
            == shape
        {
            true => Ok(()),
            false => Err(b.damaged(format!("{what} of shape {:?}, expected {shape:?}", array.shape()))),
        };
        let Some(r) = read(b, 2, "R")? else { return Err(b.damaged("it has no R")) };
        let units = r.shape().last().copied().unwrap_or(0);
        let rows = order.len().checked_mul(units).ok_or_else(|| b.damaged("R is too large"))?;
        if units == 0 {
            return Err(b.damaged("R of no units"));
        }
        expect(b, "R", &r, &[directions, rows, units])?;
        let Some(w) = read(b, 1, "W")? else { return Err(b.damaged("it has no W")) };
        expect(b, "W", &w, &[directions, rows, features])?;
        let split = |b: &Builder<'_>, array: ArrayD<f32>| -> Result<Vec<Array2<f32>>> {
            let array = array.into_dimensionality::<Ix3>().map_err(|e| b.damaged(e.to_string()))?;
            Ok(array.outer_iter().map(|rows| turned(rows, order, units)).collect())
        };
        let (kernels, recurrent) = (split(b, w)?, split(b, r)?);
        let bias = match read(b, 3, "B")? {
            Some(bias) => {
                expect(b, "B", &bias, &[directions, 2 * rows])?;
                let bias = bias.into_dimensionality::<Ix2>().map_err(|e| b.damaged(e.to_string()))?;
                let half = |row: ndarray::ArrayView1<'_, f32>| {
                    let parts: Vec<f32> = order
                        .iter()
                        .flat_map(|&gate| row.slice(s![gate * units..(gate + 1) * units]).to_vec())
                        .collect();
                    ndarray::Array1::from_vec(parts).into_dyn()
                };
                let halves = bias.outer_iter().map(|row| {
                    let (input, state) = row.split_at(Axis(0), rows);
                    [half(input), half(state)]
                });
                Some(halves.collect())
            }
            None => None,
        };
        let peepholes = match (cell, read(b, 7, "P")?) {
            (Cell::Lstm, Some(p)) => {
                expect(b, "P", &p, &[directions, 3 * units])?;
                let p =
                    p.into_shape_with_order((directions, 3, units)).map_err(|e| b.damaged(e.to_string()))?;
                Some(p.outer_iter().map(|rows| rows.to_owned()).collect())
            }
            _ => None,
        };
        let both_biases = cell == Cell::Gru && node.int("linear_before_reset", 0)? != 0;
        Ok(Weights { units, kernels, recurrent, bias, peepholes, both_biases })
    }

    /// The weights of the layer of a direction.
    pub fn arrays(&self, _: Cell, direction: usize) -> Vec<ArrayD<f32>> {
        let mut arrays =
            vec![self.kernels[direction].clone().into_dyn(), self.recurrent[direction].clone().into_dyn()];
        if let Some(bias) = &self.bias {
            let [input, state] = &bias[direction];
            arrays.push(match self.both_biases {
                true => {
                    let rows = [input.view().insert_axis(Axis(0)), state.view().insert_axis(Axis(0))];
                    concatenate(Axis(0), &rows).unwrap_or_else(|_| input.clone())
                }
                false => input + state,
            });
        }
        if let Some(peepholes) = &self.peepholes {
            arrays.push(peepholes[direction].clone().into_dyn());
        }
        arrays
    }
}

/// `[gates * units, n]` as `[n, gates * units]`, the gates in another order.
fn turned(rows: ArrayView2<'_, f32>, order: &[usize], units: usize) -> Array2<f32> {
    let picked: Vec<usize> = order.iter().flat_map(|&gate| gate * units..(gate + 1) * units).collect();
    rows.select(Axis(0), &picked).reversed_axes().as_standard_layout().into_owned()
}
