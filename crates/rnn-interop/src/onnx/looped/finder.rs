//! A cell by the formula of its state, and its weights by the parts of that formula.

use super::cell::{Cell, Class, From, State};
use crate::Result;
use crate::onnx::algebra::{Algebra, Atom, Formula, Id, Map};
use crate::onnx::builder::Builder;
use ndarray::{Array1, Array2, ArrayD, Axis, concatenate, stack};
use serde_json::Value as Json;
use std::collections::HashSet;
use std::rc::Rc;

/// The cells of a loop, as far as they have been found.
pub(super) struct Finder<'a> {
    pub algebra: &'a Algebra,
    /// the number of the sequence's source
    pub x: usize,
    pub cells: Vec<Cell>,
}

/// A sum before an activation: `x W + h U + b`, and what else there is.
struct Gate {
    from: Option<From>,
    kernel: Option<Rc<Array2<f32>>>,
    recurrent: Option<Rc<Array2<f32>>>,
    /// factors of a product that has no matrix, which is times 1
    product: Option<Vec<Id>>,
    /// a matrix on something else
    other: Option<(Id, Rc<Array2<f32>>)>,
    bias: Vec<f32>,
}

/// The reset gate of a GRU's candidate.
struct Reset {
    gate: Id,
    recurrent: Rc<Array2<f32>>,
    /// the bias that the gate is multiplied with too, where it comes behind the product
    late: Option<Vec<f32>>,
}

impl Finder<'_> {
    /// States that cells use, and those that only keep an output.
    pub fn apart(&self, states: Vec<State>) -> (Vec<State>, Vec<State>) {
        let mut used = HashSet::new();
        let mut seen = HashSet::new();
        let mut open: Vec<Id> = states.iter().flat_map(|s| ids(&s.next)).collect();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            match self.algebra.atom(id) {
                Atom::Source { source, .. } => drop(used.insert(*source)),
                Atom::Applied { of, .. } | Atom::Sum(of) => open.extend(ids(of)),
                Atom::Flag => {}
            }
        }
        states.into_iter().partition(|state| match self.algebra.atom(state.id) {
            Atom::Source { source, .. } => used.contains(source),
            _ => false,
        })
    }

    /// Finds a cell among states that belong to none yet.
    pub fn find_one(&mut self, b: &Builder<'_>, open: &mut Vec<State>) -> Result<()> {
        for at in 0..open.len() {
            let others = (0..open.len()).filter(|&other| other != at);
            let mut found =
                others.clone().find_map(|other| self.lstm(&open[at], &open[other]).map(|c| (c, Some(other))));
            found = found.or_else(|| self.gru(&open[at]).map(|cell| (cell, None)));
            found = found.or_else(|| self.simple(&open[at]).map(|cell| (cell, None)));
            let Some((cell, other)) = found else { continue };
            if self.cells.iter().any(|known| known.output == cell.output) {
                return Err(b.unsupported("two states of one formula"));
            }
            self.cells.push(cell);
            let mut gone = [Some(at), other];
            gone.sort_unstable();
            for at in gone.into_iter().rev().flatten() {
                open.remove(at);
            }
            return Ok(());
        }
        Ok(())
    }

    pub fn unknown(&self, b: &Builder<'_>, open: &[State]) -> crate::Error {
        let states: Vec<String> = open.iter().map(|s| format!("{} of {} units", s.at, s.width)).collect();
        b.unsupported(format!(
            "a loop whose body is no LSTM, GRU or SimpleRNN cell (what it computes for the values {} that go from step \
             to step has not their form); build the layers with unroll=True, or export the model otherwise",
            states.join(", ")
        ))
    }

    /// A function and what it is applied to.
    fn applied(&self, id: Id) -> Option<(Json, &Formula)> {
        match self.algebra.atom(id) {
            Atom::Applied { function, of } => Some((function.clone(), of)),
            Atom::Sum(of) => Some(("linear".into(), of)),
            _ => None,
        }
    }

    fn gate(&self, formula: &Formula, h: Id) -> Option<Gate> {
        let bias = |constant: &[f64]| -> Vec<f32> {
            (0..formula.width).map(|i| constant[if constant.len() == 1 { 0 } else { i }] as f32).collect()
        };
        let mut gate = Gate {
            from: None,
            kernel: None,
            recurrent: None,
            product: None,
            other: None,
            bias: bias(&formula.constant),
        };
        for term in &formula.terms {
            match (&term.map, term.factors.as_slice()) {
                (Map::Matrix(matrix), &[id]) if id == h && gate.recurrent.is_none() => {
                    gate.recurrent = Some(matrix.clone());
                }
                (Map::Matrix(matrix), &[id]) => match self.from(id) {
                    Some(from) if gate.kernel.is_none() => {
                        (gate.from, gate.kernel) = (Some(from), Some(matrix.clone()));
                    }
                    None if gate.other.is_none() => gate.other = Some((id, matrix.clone())),
                    _ => return None,
                },
                (Map::Each(each), factors) if each.as_ref() == [1.0] && gate.product.is_none() => {
                    gate.product = Some(factors.to_vec());
                }
                _ => return None,
            }
        }
        Some(gate)
    }

    /// What a kernel is applied to, if it is what a cell can be applied to.
    fn from(&self, id: Id) -> Option<From> {
        let cell = |formula: &Formula| self.cells.iter().position(|cell| cell.output == *formula);
        match self.algebra.atom(id) {
            Atom::Source { source, .. } => (*source == self.x).then_some(From::Sequence),
            Atom::Sum(of) => cell(of).map(From::Cell),
            Atom::Applied { .. } => cell(&Formula::atom(
                id,
                self.cells.iter().find_map(|c| (c.output.as_atom() == Some(id)).then_some(c.units))?,
            ))
            .map(From::Cell),
            Atom::Flag => None,
        }
    }

    /// A gate with a kernel, a recurrent kernel and a bias alone.
    fn plain(&self, formula: &Formula, h: Id) -> Option<Gate> {
        let gate = self.gate(formula, h)?;
        let whole = gate.kernel.is_some() && gate.recurrent.is_some();
        (whole && gate.product.is_none() && gate.other.is_none()).then_some(gate)
    }

    fn simple(&self, state: &State) -> Option<Cell> {
        let (activation, sum) = match state.next.as_atom() {
            Some(id) => self.applied(id)?,
            None => ("linear".into(), &state.next),
        };
        let gate = self.plain(sum, state.id)?;
        let bias = Array1::from_vec(gate.bias.clone()).into_dyn();
        self.cell(Class::SimpleRnn, &[state], &[&gate], bias, activation, "sigmoid".into(), &state.next)
    }

    fn lstm(&self, h: &State, c: &State) -> Option<Cell> {
        let products = c.next.products()?;
        let [(one, 1.0), (two, 1.0)] = products.as_slice() else { return None };
        let (kept, fresh) = if one.contains(&c.id) { (one, two) } else { (two, one) };
        let forget = other_of(kept, c.id)?;
        let &[p, q] = *fresh else { return None };
        let (o, cell_function) = self.output_gate(h, c)?;
        let ((gates, of_forget), (of_gates, of_output)) = (self.applied(forget)?, self.applied(o)?);
        if of_gates != gates {
            return None;
        }
        let (p, q) = (self.applied(p)?, self.applied(q)?);
        let fits = |input: &(Json, &Formula), candidate: &(Json, &Formula)| {
            input.0 == gates && candidate.0 == cell_function
        };
        let (input, candidate) = match (fits(&p, &q), fits(&q, &p)) {
            (true, _) => (p, q),
            (_, true) => (q, p),
            _ => return None,
        };
        let sums = [input.1, of_forget, candidate.1, of_output];
        let parts: Vec<Gate> = sums.iter().map(|sum| self.plain(sum, h.id)).collect::<Option<_>>()?;
        let bias: Vec<f32> = parts.iter().flat_map(|gate| gate.bias.clone()).collect();
        let bias = Array1::from_vec(bias).into_dyn();
        let gates_of: Vec<&Gate> = parts.iter().collect();
        self.cell(Class::Lstm, &[h, c], &gates_of, bias, cell_function, gates, &h.next)
    }

    /// The output gate of an LSTM, and the function of its cell state.
    fn output_gate(&self, h: &State, c: &State) -> Option<(Id, Json)> {
        let products = h.next.products()?;
        if let [(factors, 1.0)] = products.as_slice()
            && let &[p, q] = *factors
        {
            return [(p, q), (q, p)].into_iter().find_map(|(gate, cell)| {
                let (function, of) = self.applied(cell)?;
                (*of == c.next).then_some((gate, function))
            });
        }
        // A linear function: each product of c times the gate.
        let of_cell = c.next.products()?;
        let ((first, 1.0), true) = (products.first()?, products.len() == of_cell.len()) else { return None };
        let gate = first.iter().copied().find(|gate| {
            let mut without: Vec<Vec<Id>> = Vec::new();
            for (factors, _) in &products {
                let mut rest = factors.to_vec();
                if let Some(at) = rest.iter().position(|id| id == gate) {
                    rest.remove(at);
                }
                without.push(rest);
            }
            without.sort();
            let mut wanted: Vec<Vec<Id>> = of_cell.iter().map(|(factors, _)| factors.to_vec()).collect();
            wanted.sort();
            without == wanted && products.iter().all(|(_, number)| *number == 1.0)
        });
        Some((gate?, "linear".into()))
    }

    fn gru(&self, state: &State) -> Option<Cell> {
        let products = state.next.products()?;
        let number = |want: &[Id]| {
            let mut want = want.to_vec();
            want.sort_unstable();
            products.iter().find(|(factors, _)| **factors == *want).map(|(_, number)| *number)
        };
        if products.len() != 3 {
            return None;
        }
        let (candidate, update) = products.iter().find_map(|(factors, one)| {
            let (&[c], 1.0) = (*factors, *one) else { return None };
            let z = products.iter().find_map(|(factors, _)| other_of(factors, state.id))?;
            (number(&[z, state.id]) == Some(1.0) && number(&[z, c]) == Some(-1.0)).then_some((c, z))
        })?;
        let (gates, of_update) = self.applied(update)?;
        let (activation, of_candidate) = self.applied(candidate)?;
        let z = self.plain(of_update, state.id)?;
        let inner = self.gate(of_candidate, state.id)?;
        inner.kernel.as_ref()?;
        let Reset { gate, recurrent, late } = self.reset(&inner, state.id)?;
        let (of_reset, of_sum) = self.applied(gate)?;
        if of_reset != gates {
            return None;
        }
        let r = self.plain(of_sum, state.id)?;
        let reset_after = late.is_some();
        let candidate = Gate { recurrent: Some(recurrent), ..inner };
        let parts = [&z, &r, &candidate];
        let bias: Vec<f32> = parts.iter().flat_map(|gate| gate.bias.clone()).collect();
        let bias = Array1::from_vec(bias);
        let bias = match late {
            Some(late) => {
                let zeros = vec![0.0; 2 * state.width];
                let second = Array1::from_vec([zeros, late].concat());
                stack(Axis(0), &[bias.view(), second.view()]).ok()?.into_dyn()
            }
            None => bias.into_dyn(),
        };
        self.cell(Class::Gru { reset_after }, &[state], &parts, bias, activation, gates, &state.next)
    }

    /// How a candidate is reset.
    fn reset(&self, candidate: &Gate, h: Id) -> Option<Reset> {
        match (&candidate.recurrent, &candidate.product, &candidate.other) {
            (None, Some(factors), None) => {
                let &[p, q] = factors.as_slice() else { return None };
                [(p, q), (q, p)].into_iter().find_map(|(gate, sum)| {
                    let Atom::Sum(of) = self.algebra.atom(sum) else { return None };
                    let inner = self.gate(of, h)?;
                    let alone = inner.kernel.is_none() && inner.product.is_none() && inner.other.is_none();
                    let recurrent = inner.recurrent.filter(|_| alone)?;
                    Some(Reset { gate, recurrent, late: Some(inner.bias) })
                })
            }
            (None, None, Some((id, matrix))) => {
                let Atom::Sum(of) = self.algebra.atom(*id) else { return None };
                Some(Reset { gate: other_of(of.product()?, h)?, recurrent: matrix.clone(), late: None })
            }
            _ => None,
        }
    }

    /// A cell of these gates, in the order of the layers here.
    fn cell(
        &self,
        class: Class,
        states: &[&State],
        gates: &[&Gate],
        bias: ArrayD<f32>,
        activation: Json,
        recurrent_activation: Json,
        output: &Formula,
    ) -> Option<Cell> {
        let units = states.first()?.width;
        let from = gates.first()?.from?;
        let same =
            gates.iter().all(|gate| gate.from == Some(from)) && states.iter().all(|s| s.width == units);
        let joined = |pick: fn(&Gate) -> &Option<Rc<Array2<f32>>>| -> Option<Array2<f32>> {
            let parts: Vec<_> =
                gates.iter().map(|gate| Some(pick(gate).as_ref()?.view())).collect::<Option<_>>()?;
            concatenate(Axis(1), &parts).ok()
        };
        let (kernel, recurrent) = (joined(|gate| &gate.kernel)?, joined(|gate| &gate.recurrent)?);
        if !same || recurrent.dim() != (units, gates.len() * units) || kernel.ncols() != gates.len() * units {
            return None;
        }
        let use_bias = bias.iter().any(|&v| v != 0.0);
        let mut weights = vec![kernel.into_dyn(), recurrent.into_dyn()];
        weights.extend(use_bias.then_some(bias));
        Some(Cell {
            class,
            units,
            from,
            activation,
            recurrent_activation,
            use_bias,
            weights,
            states: states.iter().map(|s| s.at).collect(),
            output: output.clone(),
        })
    }
}

fn ids(formula: &Formula) -> Vec<Id> {
    formula.terms.iter().flat_map(|term| term.factors.clone()).collect()
}

/// The other one of two factors.
fn other_of(factors: &[Id], one: Id) -> Option<Id> {
    match *factors {
        [a, b] if a == one => Some(b),
        [a, b] if b == one => Some(a),
        _ => None,
    }
}
