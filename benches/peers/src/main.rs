//! The workloads of docs/PERFORMANCE.md in candle and in Burn, for `scripts/peers.py` to measure beside Tidegate.
//!
//! `tidegate-peers candle|burn|burn-wgpu` first prints `{"about": ..}`. Then it answers each line on stdin, an [`Ask`], with
//! a line on stdout: `{"times": [ms, ..]}` or `{"error": ".."}`. Sizes, weights and data come with the ask, so that all that
//! defines a workload stands in `scripts/peer_bench/workloads.py`. Models are kept between asks.

mod ask;
mod burn_peer;
mod candle_peer;
mod timing;

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};

use ask::{Ask, Data, Mode, Workload};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn Error>>;
/// Gives what a call answered (outputs, or the loss) as host values; only a check of the results calls it.
type Answer = Box<dyn FnOnce() -> Outcome<Vec<f32>>>;
/// One timed call.
type Step = Box<dyn FnMut() -> Outcome<Answer>>;

/// A library that runs the workloads.
trait Peer {
    /// Name, version, device.
    fn about(&self) -> String;
    /// Predicts a batch.
    fn infer(&self, workload: &Workload, data: &Data) -> Outcome<Step>;
    /// Forward, loss, backward, Adam.
    fn train(&self, workload: &Workload, data: &Data) -> Outcome<Step>;
    /// An epoch of the tutorial: train steps of one sample each, the state carried from one to the next.
    fn epoch(&self, workload: &Workload, data: &Data) -> Outcome<Step>;
}

fn main() -> Outcome<()> {
    let name = std::env::args().nth(1).unwrap_or_default();
    let peer: Box<dyn Peer> = match name.as_str() {
        "candle" => Box::new(candle_peer::Candle),
        "burn" => Box::new(burn_peer::Burn::flex()),
        #[cfg(feature = "wgpu")]
        "burn-wgpu" => Box::new(burn_peer::Burn::wgpu()),
        _ => return Err("which? candle, burn, or burn-wgpu (feature `wgpu`)".into()),
    };
    let mut answers = stdout();
    writeln!(answers, "{}", json!({ "about": peer.about() }))?;
    let mut steps: HashMap<(String, Mode), Step> = HashMap::new();
    for line in stdin().lock().lines() {
        let ask: Ask = serde_json::from_str(&line?)?;
        let answer = serve(peer.as_ref(), &mut steps, &ask);
        let answer = answer.unwrap_or_else(|error| json!({ "error": [error.to_string()] }));
        writeln!(answers, "{answer}")?;
    }
    Ok(())
}

fn serve(
    peer: &dyn Peer,
    steps: &mut HashMap<(String, Mode), Step>,
    ask: &Ask,
) -> Outcome<serde_json::Value> {
    let key = (ask.workload.name.clone(), ask.mode);
    if !steps.contains_key(&key) {
        let data = Data::read(&ask.data)?;
        let step = match ask.mode {
            Mode::Infer => peer.infer(&ask.workload, &data)?,
            Mode::Train => peer.train(&ask.workload, &data)?,
            Mode::Epoch => peer.epoch(&ask.workload, &data)?,
        };
        steps.insert(key.clone(), step);
    }
    let step = steps.get_mut(&key).ok_or("no such step")?;
    if let Some(path) = &ask.answer {
        let values = step()?()?;
        std::fs::write(path, values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())?;
        return Ok(json!({ "times": [] }));
    }
    let times = match ask.calls {
        Some(calls) => timing::calls(step, calls)?,
        None => timing::measure(step, ask.seconds)?,
    };
    Ok(json!({ "times": times }))
}
