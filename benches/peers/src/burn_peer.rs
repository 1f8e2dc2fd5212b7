//! Burn: burn-nn's LSTM and GRU, and its Adam, on its CPU backend `flex` or on wgpu.

use burn::module::{Module, Param};
use burn::nn::loss::{CrossEntropyLossConfig, MseLoss, Reduction};
use burn::nn::{GateController, Gru, GruConfig, Linear, LinearConfig, Lstm, LstmConfig, LstmState};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
#[cfg(feature = "wgpu")]
use burn::tensor::DeviceKind;
use burn::tensor::{Device, Int, Tensor, TensorData, activation};

use crate::ask::{Cell, Data, Output, Workload};
use crate::{Answer, Outcome, Peer, Step};

pub struct Burn {
    device: Device,
    name: &'static str,
}

impl Burn {
    /// Burn's own CPU backend.
    pub fn flex() -> Burn {
        Burn { device: Device::flex(), name: "flex" }
    }

    /// The adapter that wgpu takes; `CUBECL_WGPU_DEFAULT_DEVICE=Cpu` asks for a software one.
    #[cfg(feature = "wgpu")]
    pub fn wgpu() -> Burn {
        Burn { device: Device::wgpu(DeviceKind::DefaultDevice), name: "wgpu" }
    }
}

impl Peer for Burn {
    fn about(&self) -> String {
        format!("Burn 0.22 ({}), {} threads", self.name, rayon::current_num_threads())
    }

    fn infer(&self, w: &Workload, data: &Data) -> Outcome<Step> {
        let device = self.device.clone();
        let net = Net::new(w, data, &device)?;
        let (x, w) = (tensor::<3>(data, "x", &device)?, w.clone());
        let mut state = None;
        Ok(Box::new(move || {
            let (y, last) = net.forward(x.clone(), state.take());
            let y = match w.output {
                Output::Sequence => net.read_sequence(y, w.softmax).into_data(),
                Output::Last | Output::State => net.read_last(&last, y).into_data(),
            };
            if w.output == Output::State {
                state = last;
            }
            // The state may still be under way: left there, calls end early and every fourth waits for all of them.
            device.sync()?;
            Ok(answer(y))
        }))
    }

    fn train(&self, w: &Workload, data: &Data) -> Outcome<Step> {
        let device = self.device.clone().autodiff();
        let mut trainer = Trainer::new(w, data, &device)?;
        let x = tensor::<3>(data, "x", &device)?;
        let target = Target::new(w, data, &device)?;
        Ok(Box::new(move || {
            let (loss, _) = trainer.step(x.clone(), &target, None)?;
            let loss = loss.into_data();
            device.sync()?;
            Ok(answer(loss))
        }))
    }

    fn epoch(&self, w: &Workload, data: &Data) -> Outcome<Step> {
        let device = self.device.clone().autodiff();
        let mut trainer = Trainer::new(w, data, &device)?;
        let samples = data.get("x")?.shape[0];
        let split = |name: &str, shape: [usize; 3]| -> Outcome<Vec<Tensor<3>>> {
            let parts = data.get(name)?.values.chunks(shape.iter().product());
            Ok(parts.map(|part| Tensor::from_data(TensorData::new(part.to_vec(), shape), &device)).collect())
        };
        let xs = split("x", [w.batch, w.time, w.inputs])?;
        let ys = split("y", [1, w.batch, w.dense])?;
        let ys: Vec<Target> = ys.into_iter().map(|y| Target::Last(y.squeeze_dim(0))).collect();
        let device = device.clone();
        Ok(Box::new(move || {
            let mut state = None;
            let mut losses = Vec::with_capacity(samples);
            for (x, y) in xs.iter().zip(&ys) {
                let (loss, last) = trainer.step(x.clone(), y, state.take())?;
                state = last.map(|s| LstmState::new(s.cell.detach(), s.hidden.detach()));
                losses.push(loss);
            }
            device.sync()?;
            let losses = Tensor::cat(losses, 0);
            Ok(Box::new(move || answer(losses.into_data())()))
        }))
    }
}

fn answer(values: TensorData) -> Answer {
    Box::new(move || values.try_into_vec::<f32>().map_err(|error| format!("{error:?}").into()))
}

fn tensor<const D: usize>(data: &Data, name: &str, device: &Device) -> Outcome<Tensor<D>> {
    let array = data.get(name)?;
    Ok(Tensor::from_data(TensorData::new(array.values.clone(), array.shape.clone()), device))
}

/// The recurrent layer.
#[derive(Module, Debug)]
enum Rnn {
    Lstm(Lstm),
    Gru(Gru),
}

/// The recurrent layer and the Dense.
#[derive(Module, Debug)]
struct Net {
    rnn: Rnn,
    head: Option<Linear>,
}

impl Net {
    fn new(w: &Workload, data: &Data, device: &Device) -> Outcome<Net> {
        let gate = |at: usize| gate(w, data, at, device);
        let rnn = match w.cell {
            Cell::Lstm => {
                let mut lstm = LstmConfig::new(w.inputs, w.units, true).init(device);
                lstm.input_gate = gate(0)?;
                lstm.forget_gate = Some(gate(1)?);
                lstm.cell_gate = gate(2)?;
                lstm.output_gate = gate(3)?;
                Rnn::Lstm(lstm)
            }
            Cell::Gru => {
                let mut gru = GruConfig::new(w.inputs, w.units, true).init(device);
                gru.update_gate = gate(0)?;
                gru.reset_gate = gate(1)?;
                gru.new_gate = gate(2)?;
                Rnn::Gru(gru)
            }
        };
        let head = if w.dense > 0 {
            Some(linear(tensor(data, "dense_kernel", device)?, tensor(data, "dense_bias", device)?, device))
        } else {
            None
        };
        Ok(Net { rnn, head })
    }

    /// All outputs of the recurrent layer, and its last state (of an LSTM).
    fn forward(&self, x: Tensor<3>, state: Option<LstmState<2>>) -> (Tensor<3>, Option<LstmState<2>>) {
        match &self.rnn {
            Rnn::Lstm(lstm) => {
                let (y, last) = lstm.forward(x, state);
                (y, Some(last))
            }
            Rnn::Gru(gru) => (gru.forward(x, None), None),
        }
    }

    /// The Dense at each step.
    fn read_sequence(&self, y: Tensor<3>, softmax: bool) -> Tensor<3> {
        let y = match &self.head {
            Some(head) => head.forward(y),
            None => y,
        };
        if softmax { activation::softmax(y, 2) } else { y }
    }

    /// The Dense of the last step.
    fn read_last(&self, last: &Option<LstmState<2>>, y: Tensor<3>) -> Tensor<2> {
        let [batch, time, units] = y.dims();
        let y = match last {
            Some(state) => state.hidden.clone(),
            None => y.slice([0..batch, time - 1..time, 0..units]).squeeze_dim(1),
        };
        match &self.head {
            Some(head) => head.forward(y),
            None => y,
        }
    }
}

fn gate(w: &Workload, data: &Data, at: usize, device: &Device) -> Outcome<GateController> {
    let mut out = GateController::new(w.inputs, w.units, true, burn::nn::Initializer::Zeros, device);
    let [input, recurrent] = data.gate_biases(at, w.units)?;
    let half = |name: &str, bias: Vec<f32>| -> Outcome<Linear> {
        let kernel = data.gate(name, at, w.units)?;
        let bias = Tensor::from_data(TensorData::new(bias, [w.units]), device);
        Ok(linear(Tensor::from_data(TensorData::new(kernel.values, kernel.shape), device), bias, device))
    };
    out.input_transform = half("kernel", input)?;
    out.hidden_transform = half("recurrent", recurrent)?;
    Ok(out)
}

fn linear(weight: Tensor<2>, bias: Tensor<1>, device: &Device) -> Linear {
    let [inputs, units] = weight.dims();
    let mut out = LinearConfig::new(inputs, units).init(device);
    out.weight = Param::from_tensor(weight);
    out.bias = Some(Param::from_tensor(bias));
    out
}

/// What the loss compares with.
enum Target {
    /// A class per sample and step.
    Classes(Tensor<1, Int>),
    /// `[batch, time, units]`
    Sequence(Tensor<3>),
    /// `[batch, units]`
    Last(Tensor<2>),
}

impl Target {
    fn new(w: &Workload, data: &Data, device: &Device) -> Outcome<Target> {
        if w.softmax {
            let classes: Vec<i32> = data.get("y")?.values.iter().map(|class| *class as i32).collect();
            let count = classes.len();
            return Ok(Target::Classes(Tensor::from_data(TensorData::new(classes, [count]), device)));
        }
        Ok(match w.output {
            Output::Sequence => Target::Sequence(tensor(data, "y", device)?),
            Output::Last | Output::State => Target::Last(tensor(data, "y", device)?),
        })
    }
}

struct Trainer {
    /// Always there between steps: Burn's optimizer takes a module and returns it.
    net: Option<Net>,
    adam: ModuleOptimizer,
    device: Device,
}

impl Trainer {
    fn new(w: &Workload, data: &Data, device: &Device) -> Outcome<Trainer> {
        let adam = AdamConfig::new().with_epsilon(1e-8).init();
        Ok(Trainer { net: Some(Net::new(w, data, device)?), adam, device: device.clone() })
    }

    /// Forward, loss, backward, Adam.
    fn step(
        &mut self,
        x: Tensor<3>,
        target: &Target,
        state: Option<LstmState<2>>,
    ) -> Outcome<(Tensor<1>, Option<LstmState<2>>)> {
        let net = self.net.take().ok_or("an earlier step failed")?;
        let (y, last) = net.forward(x, state);
        let loss = match target {
            Target::Classes(classes) => {
                let logits: Tensor<2> = net.read_sequence(y, false).flatten(0, 1);
                CrossEntropyLossConfig::new().init(&self.device).forward(logits, classes.clone())
            }
            Target::Sequence(target) => {
                MseLoss::new().forward(net.read_sequence(y, false), target.clone(), Reduction::Mean)
            }
            Target::Last(target) => {
                MseLoss::new().forward(net.read_last(&last, y), target.clone(), Reduction::Mean)
            }
        };
        let gradients = GradientsParams::from_grads(loss.backward(), &net);
        self.net = Some(self.adam.step(1e-3, net, gradients));
        Ok((loss, last))
    }
}
