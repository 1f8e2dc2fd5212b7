//! An architecture from the modules of a state dict, where they are a plain chain: an embedding, recurrent modules, layer
//! normalizations and linear modules, each taking what the one before it gives.

use super::module::{Kind, Module, Stack, stem};
use super::options::{Nonlinearity, Steps, TorchOptions};
use crate::{Error, Result};
use rnn_model::layer::{
    Activate, Bidirectional, Dense, Embedding, Gru, Layer, LayerNormalization, Lstm, ProjectedLstmCell, Rnn,
    SharedLayer, SimpleRnn,
};
use rnn_model::{Activation, Graph, Input};

/// A graph, which of its layers hold which module, and what had to be assumed.
pub(super) struct Inferred {
    pub graph: Graph,
    pub map: Vec<(String, Vec<String>)>,
    pub notes: Vec<String>,
}

/// What a module is in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Embedding,
    Recurrent,
    Norm,
    Linear,
}

pub(super) fn infer(modules: &[Module<'_>], options: &TorchOptions) -> Result<Inferred> {
    if let Some(other) = modules.iter().find(|module| module.kind == Kind::Other) {
        let problem = "no architecture follows from it; build the model here and load the state dict into it (--architecture)";
        return Err(Error::unsupported(other.describe(), problem));
    }
    if modules.is_empty() {
        return Err(Error::damaged("state dict", "the file has no tensors"));
    }
    let chain = chain(modules, options)?;
    let last_recurrent = chain.iter().rposition(|(_, link)| *link == Link::Recurrent);
    let steps = steps(modules, &chain, last_recurrent, options)?;
    let (first, link) = chain[0];
    let start = match (link, &modules[first].kind) {
        (Link::Embedding, _) => Input::tokens(None),
        (_, kind) if last_recurrent.is_some() => Input::sequence(None, width_in(kind)),
        (_, kind) => Input::vector(width_in(kind)),
    };
    let start = start.symbol();
    let mut symbol = start.clone();
    let (mut map, mut notes) = (Vec::new(), Vec::new());
    for (at, &(module, link)) in chain.iter().enumerate() {
        let module = &modules[module];
        let sequences = last_recurrent.is_some_and(|last| at < last) || steps == Steps::All;
        let layers = layers(module, link, sequences, activation(modules, &chain, at, options)?, options)?;
        let given = options.map.iter().find(|(prefix, _)| *prefix == module.prefix).map(|(_, names)| names);
        if let Some(given) = given.filter(|given| given.len() != layers.len()) {
            let problem = format!("it becomes {} layers, the map has {}", layers.len(), given.len());
            return Err(Error::unsupported(module.describe(), problem));
        }
        let mut names = Vec::new();
        for (depth, layer) in layers.into_iter().enumerate() {
            let name = given.map_or_else(|| layer_name(module, depth), |given| given[depth].clone());
            symbol = symbol.layer(SharedLayer::new(layer).name(&name))?;
            names.push(name);
        }
        map.push((module.prefix.clone(), names));
    }
    let order: Vec<String> = chain.iter().map(|&(module, _)| modules[module].describe()).collect();
    notes.push(format!(
        "the architecture was inferred from names and sizes: {}; a state dict does not say which module feeds which, nor \
         what stands between them",
        order.join(", then ")
    ));
    if chain.iter().any(|(_, link)| *link == Link::Norm) {
        notes.push("layer normalizations have PyTorch's default eps, 1e-5".to_owned());
    }
    if chain.last().is_some_and(|(_, link)| *link == Link::Linear) {
        notes.push(
            "the output is that of the last nn.Linear: a softmax or sigmoid behind it is not in a state dict"
                .to_owned(),
        );
    }
    if let Some(last) = last_recurrent
        && steps == Steps::Last
        && let Kind::Recurrent(stack) = &modules[chain[last].0].kind
        && stack.both
    {
        notes.push(
            "the last state of both directions goes on (torch.cat of h_n[-2] and h_n[-1]), not the output at the last step"
                .to_owned(),
        );
    }
    Ok(Inferred { graph: Graph::new(&[&start], &[&symbol])?, map, notes })
}

/// The name of a layer made of a module: its prefix, with `_l1`, `_l2` for the layers behind the first.
pub(super) fn layer_name(module: &Module<'_>, depth: usize) -> String {
    let name = match (&module.kind, module.prefix.as_str()) {
        (Kind::Recurrent(stack), "") => stack.class().to_lowercase(),
        (Kind::Norm { .. }, "") => "layer_norm".to_owned(),
        (_, "") => "linear".to_owned(),
        (_, prefix) => prefix.to_owned(),
    };
    if depth == 0 { name } else { format!("{name}_l{depth}") }
}

fn layers(
    module: &Module<'_>,
    link: Link,
    sequences: bool,
    activation: Option<Activate>,
    options: &TorchOptions,
) -> Result<Vec<Layer>> {
    Ok(match (&module.kind, link) {
        (Kind::Recurrent(stack), _) => {
            let nonlinearity = match (stack.gates, options.nonlinearity) {
                (1, None) => {
                    let problem = "an nn.RNN has tanh or relu, and a state dict does not say which: give nonlinearity=tanh (PyTorch's \
                                   default) or nonlinearity=relu (--torch nonlinearity=relu)";
                    return Err(Error::unsupported(module.describe(), problem));
                }
                (_, given) => given.unwrap_or(Nonlinearity::Tanh),
            };
            let layer = |depth| recurrent(stack, nonlinearity, sequences || depth + 1 < stack.layers);
            (0..stack.layers).map(layer).collect()
        }
        (&Kind::Matrix { rows, cols, .. }, Link::Embedding) => vec![Embedding::new(rows, cols).into()],
        (&Kind::Matrix { rows, bias, .. }, _) => {
            let dense = Dense::new(rows).use_bias(bias);
            vec![match activation {
                Some(activation) => dense.activation(activation).into(),
                None => dense.into(),
            }]
        }
        (&Kind::Norm { bias, .. }, _) => vec![LayerNormalization::new().epsilon(1e-5).center(bias).into()],
        (Kind::Other, _) => Vec::new(),
    })
}

fn recurrent(stack: &Stack, nonlinearity: Nonlinearity, sequences: bool) -> Layer {
    let (units, bias) = (stack.units, stack.bias);
    let layer: Layer = match (stack.gates, stack.projection) {
        (4, Some(projection)) => {
            let cell = ProjectedLstmCell::new(units, projection).use_bias(bias);
            Rnn::new(cell).return_sequences(sequences).into()
        }
        (4, None) => Lstm::new(units).use_bias(bias).return_sequences(sequences).into(),
        (3, _) => Gru::new(units).use_bias(bias).return_sequences(sequences).into(),
        _ => {
            let activation = Activation::from(nonlinearity);
            SimpleRnn::new(units).activation(activation).use_bias(bias).return_sequences(sequences).into()
        }
    };
    if stack.both { Bidirectional::new(layer).into() } else { layer }
}

/// What the layers behind the recurrent ones see; all steps where there are none.
fn steps(
    modules: &[Module<'_>],
    chain: &[(usize, Link)],
    last_recurrent: Option<usize>,
    options: &TorchOptions,
) -> Result<Steps> {
    match (options.output, last_recurrent) {
        (Some(steps), _) => Ok(steps),
        (None, Some(last)) if last + 1 < chain.len() => {
            let problem = format!(
                "whether {} sees its last state or the outputs of all steps is not in a state dict: give output=last or \
                 output=all (--torch output=last)",
                modules[chain[last + 1].0].describe()
            );
            Err(Error::unsupported(modules[chain[last].0].describe(), problem))
        }
        _ => Ok(Steps::All),
    }
}

/// The activation of the linear module at `at`: known only for the last of several.
fn activation(
    modules: &[Module<'_>],
    chain: &[(usize, Link)],
    at: usize,
    options: &TorchOptions,
) -> Result<Option<Activate>> {
    let next = chain[at + 1..].iter().find(|(_, link)| *link != Link::Norm);
    match (chain[at].1, next, options.activation) {
        (Link::Linear, Some((next, Link::Linear)), None) => {
            let problem = format!(
                "what stands between it and {} is not in a state dict: give activation=relu, activation=linear or another \
                 (--torch activation=relu)",
                modules[*next].describe()
            );
            Err(Error::unsupported(modules[chain[at].0].describe(), problem))
        }
        (Link::Linear, Some((_, Link::Linear)), given) => Ok(given),
        _ => Ok(None),
    }
}

fn width_in(kind: &Kind) -> usize {
    match *kind {
        Kind::Recurrent(ref stack) => stack.features,
        Kind::Matrix { cols, .. } => cols,
        Kind::Norm { features, .. } => features,
        Kind::Other => 0,
    }
}

fn width_out(kind: &Kind, link: Link) -> usize {
    match *kind {
        Kind::Recurrent(ref stack) => stack.width(),
        Kind::Matrix { cols, .. } if link == Link::Embedding => cols,
        Kind::Matrix { rows, .. } => rows,
        Kind::Norm { features, .. } => features,
        Kind::Other => 0,
    }
}

/// The order in which data goes through the modules.
fn chain(modules: &[Module<'_>], options: &TorchOptions) -> Result<Vec<(usize, Link)>> {
    if let Some(strange) =
        options.embeddings.iter().find(|prefix| !modules.iter().any(|m| m.prefix == **prefix))
    {
        return Err(Error::unsupported(format!("embedding={strange}"), "the file has no such module"));
    }
    let mut search = Search { modules, options, given: Vec::new(), found: Vec::new(), tries: 0, plain: true };
    if !options.order.is_empty() {
        for prefix in &options.order {
            let at = modules.iter().position(|module| module.prefix == *prefix);
            let at = at.filter(|at| !search.given.contains(at));
            let problem = "the file has no such module, or it is given twice";
            search.given.push(at.ok_or_else(|| Error::unsupported(format!("order: {prefix:?}"), problem))?);
        }
        if let Some(left) = (0..modules.len()).find(|at| !search.given.contains(at)) {
            return Err(Error::unsupported("order", format!("it leaves out {}", modules[left].describe())));
        }
    }
    // As people build them: nothing linear before a recurrence. Else any order that fits.
    for plain in [true, false] {
        search.plain = plain;
        search.go_on(&mut Vec::new(), None);
        if !search.found.is_empty() || search.tries > TRIES {
            break;
        }
    }
    let list = |chain: &Vec<(usize, Link)>| -> String {
        let link = |&(at, link): &(usize, Link)| match link {
            Link::Embedding => format!("{} (embedding)", modules[at].prefix),
            _ => modules[at].prefix.clone(),
        };
        chain.iter().map(link).collect::<Vec<_>>().join(", ")
    };
    match search.found.as_slice() {
        [one] if search.tries <= TRIES => Ok(one.clone()),
        [a, b, ..] => {
            let problem = format!(
                "the sizes fit in more than one order, such as {}, or {}: give order=PREFIX,PREFIX,... (and embedding=PREFIX for an \
                 embedding; --torch order=PREFIX,PREFIX)",
                list(a),
                list(b)
            );
            Err(Error::unsupported("state dict", problem))
        }
        _ => {
            let all: Vec<String> = modules.iter().map(Module::describe).collect();
            let problem = format!(
                "{} do not make one chain in which each takes what the one before it gives{}; build the model here and load the \
                 state dict into it (--architecture)",
                all.join(", "),
                if options.order.is_empty() { "" } else { " in the order given" }
            );
            Err(Error::unsupported("state dict", problem))
        }
    }
}

/// How many steps the search for an order may take.
const TRIES: usize = 20_000;

/// Looks for the orders in which the sizes fit; two are enough to know that there is more than one.
struct Search<'a> {
    modules: &'a [Module<'a>],
    options: &'a TorchOptions,
    /// the order of the caller
    given: Vec<usize>,
    found: Vec<Vec<(usize, Link)>>,
    tries: usize,
    /// recurrent modules come before linear ones
    plain: bool,
}

impl Search<'_> {
    fn go_on(&mut self, chain: &mut Vec<(usize, Link)>, width: Option<usize>) {
        self.tries += 1;
        if self.found.len() > 1 || self.tries > TRIES {
            return;
        }
        if chain.len() == self.modules.len() {
            self.found.push(chain.clone());
            return;
        }
        let used: Vec<usize> = chain.iter().map(|(at, _)| *at).collect();
        let mut tried: Vec<usize> = Vec::new();
        for at in 0..self.modules.len() {
            if used.contains(&at) || self.given.get(chain.len()).is_some_and(|given| *given != at) {
                continue;
            }
            // Of modules that differ by the numbers in their names alone the first comes first.
            let alike = |&other: &usize| {
                let (a, b) = (&self.modules[other], &self.modules[at]);
                a.kind == b.kind && stem(&a.prefix) == stem(&b.prefix)
            };
            if self.given.is_empty() && tried.iter().any(alike) {
                continue;
            }
            tried.push(at);
            for link in self.links(at, chain) {
                let kind = &self.modules[at].kind;
                if link != Link::Embedding && width.is_some_and(|width| width != width_in(kind)) {
                    continue;
                }
                chain.push((at, link));
                self.go_on(chain, Some(width_out(kind, link)));
                chain.pop();
            }
        }
    }

    /// What the module can be at the end of this chain.
    fn links(&self, at: usize, chain: &[(usize, Link)]) -> Vec<Link> {
        let module = &self.modules[at];
        let linear_before = chain.iter().any(|(_, link)| *link == Link::Linear);
        match module.kind {
            Kind::Recurrent(_) if self.plain && self.given.is_empty() && linear_before => Vec::new(),
            Kind::Recurrent(_) => vec![Link::Recurrent],
            Kind::Norm { .. } => vec![Link::Norm],
            Kind::Matrix { bias: true, .. } => vec![Link::Linear],
            Kind::Matrix { .. } => {
                let last = module.prefix.rsplit('.').next().unwrap_or_default().to_lowercase();
                let said = self.options.embeddings.contains(&module.prefix) || last.contains("emb");
                match (said, chain.is_empty()) {
                    (true, true) => vec![Link::Embedding],
                    (true, false) => Vec::new(),
                    (false, true) => vec![Link::Embedding, Link::Linear],
                    (false, false) => vec![Link::Linear],
                }
            }
            Kind::Other => Vec::new(),
        }
    }
}
