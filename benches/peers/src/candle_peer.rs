//! candle on the CPU: candle-nn's LSTM and GRU, and its AdamW without decay, which is Adam.

use std::collections::HashMap;

use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};
use candle_nn::rnn::{GRU, GRUConfig, LSTM, LSTMConfig, LSTMState, RNN};
use candle_nn::{Linear, Module, VarBuilder, loss, ops};

use crate::ask::{Array, Cell, Data, Output, Workload};
use crate::{Answer, Outcome, Peer, Step};

pub struct Candle;

impl Peer for Candle {
    fn about(&self) -> String {
        format!("candle 0.11, {} threads", rayon::current_num_threads())
    }

    fn infer(&self, w: &Workload, data: &Data) -> Outcome<Step> {
        let weights = weights(w, data)?;
        match w.cell {
            Cell::Lstm => predict(Net::new(lstm(w, &weights)?, w, &weights), data),
            Cell::Gru => predict(Net::new(gru(w, &weights)?, w, &weights), data),
        }
    }

    fn train(&self, w: &Workload, data: &Data) -> Outcome<Step> {
        let (weights, adam) = trained(weights(w, data)?)?;
        match w.cell {
            Cell::Lstm => train(Net::new(lstm(w, &weights)?, w, &weights), adam, data),
            Cell::Gru => train(Net::new(gru(w, &weights)?, w, &weights), adam, data),
        }
    }

    fn epoch(&self, w: &Workload, data: &Data) -> Outcome<Step> {
        let (weights, mut adam) = trained(weights(w, data)?)?;
        let net = Net::new(lstm(w, &weights)?, w, &weights);
        let (x, y) = (tensor(data.get("x")?)?, tensor(data.get("y")?)?);
        Ok(Box::new(move || {
            let mut state = net.rnn.zero_state(w_batch(&x)?)?;
            let mut losses = Vec::new();
            for sample in 0..x.dim(0)? {
                let (out, last) = net.forward(&x.get(sample)?, &state)?;
                let loss = loss::mse(&out, &y.get(sample)?)?;
                adam.backward_step(&loss)?;
                state = LSTMState::new(last.h.detach(), last.c.detach());
                losses.push(loss);
            }
            Ok(answer(Tensor::stack(&losses, 0)?))
        }))
    }
}

/// Batch size of `[samples, batch, time, inputs]`.
fn w_batch(x: &Tensor) -> candle_core::Result<usize> {
    x.dim(1)
}

fn answer(values: Tensor) -> Answer {
    Box::new(move || Ok(values.flatten_all()?.to_vec1()?))
}

fn tensor(array: &Array) -> candle_core::Result<Tensor> {
    Tensor::from_slice(&array.values, array.shape.as_slice(), &Device::Cpu)
}

/// Under candle's names and in its layout, `[gates * units, rows]` with gates i, f, g, o and r, z, n.
fn weights(w: &Workload, data: &Data) -> Outcome<HashMap<String, Tensor>> {
    let order: &[usize] = if w.cell == Cell::Lstm { &[0, 1, 2, 3] } else { &[1, 0, 2] };
    let mut out = HashMap::new();
    for (ours, theirs) in [("kernel", "weight_ih_l0"), ("recurrent", "weight_hh_l0")] {
        let gates: Outcome<Vec<Tensor>> =
            order.iter().map(|gate| Ok(tensor(&data.gate(ours, *gate, w.units)?)?.t()?)).collect();
        out.insert(theirs.to_owned(), Tensor::cat(&gates?, 0)?.contiguous()?);
    }
    let biases: Vec<[Vec<f32>; 2]> =
        order.iter().map(|gate| data.gate_biases(*gate, w.units)).collect::<Outcome<_>>()?;
    for (which, theirs) in ["bias_ih_l0", "bias_hh_l0"].into_iter().enumerate() {
        let values: Vec<f32> = biases.iter().flat_map(|pair| &pair[which]).copied().collect();
        out.insert(theirs.to_owned(), Tensor::new(values, &Device::Cpu)?);
    }
    if w.dense > 0 {
        out.insert("weight".to_owned(), tensor(data.get("dense_kernel")?)?.t()?.contiguous()?);
        out.insert("bias".to_owned(), tensor(data.get("dense_bias")?)?);
    }
    Ok(out)
}

/// The weights as variables, and their optimizer.
fn trained(weights: HashMap<String, Tensor>) -> Outcome<(HashMap<String, Tensor>, AdamW)> {
    let variables: HashMap<String, Var> = weights
        .into_iter()
        .map(|(name, value)| Ok((name, Var::from_tensor(&value)?)))
        .collect::<Outcome<_>>()?;
    let adam = ParamsAdamW { lr: 1e-3, weight_decay: 0.0, ..ParamsAdamW::default() };
    let adam = AdamW::new(variables.values().cloned().collect(), adam)?;
    Ok((variables.into_iter().map(|(name, var)| (name, var.as_tensor().clone())).collect(), adam))
}

fn builder(weights: &HashMap<String, Tensor>) -> VarBuilder<'static> {
    VarBuilder::from_tensors(weights.clone(), DType::F32, &Device::Cpu)
}

fn lstm(w: &Workload, weights: &HashMap<String, Tensor>) -> candle_core::Result<LSTM> {
    LSTM::new(w.inputs, w.units, LSTMConfig::default(), builder(weights))
}

fn gru(w: &Workload, weights: &HashMap<String, Tensor>) -> candle_core::Result<GRU> {
    GRU::new(w.inputs, w.units, GRUConfig::default(), builder(weights))
}

/// The recurrent layer and the Dense.
struct Net<R> {
    rnn: R,
    head: Option<Linear>,
    workload: Workload,
}

impl<R: RNN + 'static> Net<R> {
    fn new(rnn: R, w: &Workload, weights: &HashMap<String, Tensor>) -> Self {
        let head =
            weights.get("weight").map(|weight| Linear::new(weight.clone(), weights.get("bias").cloned()));
        Net { rnn, head, workload: w.clone() }
    }

    /// Outputs before the softmax, and the last state.
    fn forward(&self, x: &Tensor, state: &R::State) -> candle_core::Result<(Tensor, R::State)> {
        let w = &self.workload;
        let states = self.rnn.seq_init(x, state)?;
        let y = match w.output {
            // candle stacks the steps of an LSTM and joins those of a GRU
            Output::Sequence => self.rnn.states_to_tensor(&states)?.reshape((w.batch, w.time, w.units))?,
            _ => self.rnn.states_to_tensor(&states[w.time - 1..])?.reshape((w.batch, w.units))?,
        };
        let y = match &self.head {
            Some(head) => head.forward(&y)?,
            None => y,
        };
        Ok((y, states[w.time - 1].clone()))
    }
}

fn predict<R: RNN + 'static>(net: Net<R>, data: &Data) -> Outcome<Step> {
    let x = tensor(data.get("x")?)?;
    let mut state = net.rnn.zero_state(net.workload.batch)?;
    Ok(Box::new(move || {
        let (y, last) = net.forward(&x, &state)?;
        if net.workload.output == Output::State {
            state = last;
        }
        let y = if net.workload.softmax { ops::softmax_last_dim(&y)? } else { y };
        Ok(answer(y))
    }))
}

fn train<R: RNN + 'static>(net: Net<R>, mut adam: AdamW, data: &Data) -> Outcome<Step> {
    let (x, mut target) = (tensor(data.get("x")?)?, tensor(data.get("y")?)?);
    if net.workload.softmax {
        target = target.flatten_all()?.to_dtype(DType::U32)?;
    }
    let state = net.rnn.zero_state(net.workload.batch)?;
    Ok(Box::new(move || {
        let (y, _) = net.forward(&x, &state)?;
        let loss = if net.workload.softmax {
            let classes = y.dim(D::Minus1)?;
            loss::cross_entropy(&y.reshape(((), classes))?, &target)?
        } else {
            loss::mse(&y, &target)?
        };
        adam.backward_step(&loss)?;
        Ok(answer(loss))
    }))
}
