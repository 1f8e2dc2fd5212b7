//! Which module of a state dict belongs to which layer of a graph.

use super::module::{Kind, Module, stem};
use super::part::{Misfit, Part, fits, parts_of};
use crate::{Error, Result};
use std::ops::Range;

/// For each module, the parts that are its layers.
pub(crate) type Pairs = Vec<(usize, Range<usize>)>;

/// Brings modules and parts together: as `map` says, then those of one name, then by kind and sizes. Nothing may be left
/// over on either side.
pub(crate) fn pair(
    modules: &[Module<'_>],
    parts: &[Part],
    misfits: &[Misfit],
    map: &[(String, Vec<String>)],
) -> Result<Pairs> {
    let mut open = Open { modules, parts, pairs: Vec::new(), free: vec![true; parts.len()] };
    for (prefix, layers) in map {
        open.given(prefix, layers)?;
    }
    for module in 0..modules.len() {
        open.by_name(module);
    }
    open.by_size()?;
    open.nothing_left(misfits)?;
    Ok(open.pairs)
}

struct Open<'a> {
    modules: &'a [Module<'a>],
    parts: &'a [Part],
    pairs: Pairs,
    /// parts that belong to no module yet
    free: Vec<bool>,
}

impl Open<'_> {
    fn take(&mut self, module: usize, parts: Range<usize>) {
        self.free[parts.clone()].fill(false);
        self.pairs.push((module, parts));
    }

    fn is_taken(&self, module: usize) -> bool {
        self.pairs.iter().any(|(taken, _)| *taken == module)
    }

    /// The parts that a module starting at part `from` would take, if they are free and follow each other.
    fn run(&self, module: usize, from: usize) -> Option<Range<usize>> {
        let range = from..from.checked_add(parts_of(&self.modules[module]))?;
        (range.end <= self.parts.len() && self.free[range.clone()].iter().all(|free| *free)).then_some(range)
    }

    fn matches(&self, module: usize, range: &Range<usize>) -> bool {
        fits(&self.modules[module], &self.parts[range.clone()])
    }

    /// As a caller says. One layer named for a module of several: the others are those behind it.
    fn given(&mut self, prefix: &str, layers: &[String]) -> Result<()> {
        let place = || format!("map of {prefix:?}");
        let Some(module) = self.modules.iter().position(|module| module.prefix == prefix) else {
            let known: Vec<String> =
                self.modules.iter().map(|module| format!("{:?}", module.prefix)).collect();
            let problem = format!("the file has no such module; it has {}", known.join(", "));
            return Err(Error::unsupported(place(), problem));
        };
        if self.is_taken(module) {
            return Err(Error::unsupported(place(), "the module is given twice"));
        }
        let mut places = Vec::new();
        for name in layers {
            let found = (0..self.parts.len()).filter(|&at| self.parts[at].name == *name);
            let before = places.len();
            places.extend(found);
            if places.len() == before {
                let known: Vec<&str> = self.parts.iter().map(|part| part.name.as_str()).collect();
                let problem =
                    format!("the model has no layer {name:?} with weights; it has {}", known.join(", "));
                return Err(Error::unsupported(place(), problem));
            }
        }
        let (first, last) = (places[0], places[places.len() - 1]);
        let whole = places.windows(2).all(|two| two[0] + 1 == two[1]);
        let range = if places.len() == 1 { self.run(module, first) } else { Some(first..last + 1) };
        let described = self.modules[module].describe();
        let range = range.filter(|range| whole && self.free[range.clone()].iter().all(|free| *free));
        match range {
            Some(range) if self.matches(module, &range) => {
                self.take(module, range);
                Ok(())
            }
            _ => {
                let is: Vec<String> = places.iter().map(|&at| self.part(at)).collect();
                Err(Error::unsupported(place(), format!("{described} does not fit {}", is.join(", "))))
            }
        }
    }

    /// A module and a layer of one name that fit.
    fn by_name(&mut self, module: usize) {
        let prefix = &self.modules[module].prefix;
        if self.is_taken(module) {
            return;
        }
        let Some(at) = self.parts.iter().position(|part| part.name == *prefix) else { return };
        if let Some(range) = self.run(module, at).filter(|range| self.matches(module, range)) {
            self.take(module, range);
        }
    }

    /// Walks the free parts in order. Where one module alone fits, it is that one; of several that fit alike, those whose
    /// names differ by their numbers go in the order of the numbers.
    fn by_size(&mut self) -> Result<()> {
        for at in 0..self.parts.len() {
            if !self.free[at] {
                continue;
            }
            let fitting: Vec<(usize, Range<usize>)> = (0..self.modules.len())
                .filter(|&module| !self.is_taken(module))
                .filter_map(|module| Some((module, self.run(module, at)?)))
                .filter(|(module, range)| self.matches(*module, range))
                .collect();
            let Some((first, range)) = fitting.first().cloned() else { continue };
            let of = |module: usize| &self.modules[module];
            let alike = |module: usize| {
                of(module).kind == of(first).kind && stem(&of(module).prefix) == stem(&of(first).prefix)
            };
            if !fitting.iter().all(|&(module, _)| alike(module)) {
                let names: Vec<String> = fitting.iter().map(|&(module, _)| of(module).describe()).collect();
                let problem = format!(
                    "{} modules of the file fit: {}. Say which by an entry of the map, such as --torch map={}:{}",
                    names.len(),
                    names.join("; "),
                    of(first).prefix,
                    self.parts[at].name
                );
                return Err(Error::unsupported(format!("layer {}", self.parts[at].name), problem));
            }
            self.take(first, range);
        }
        Ok(())
    }

    fn part(&self, at: usize) -> String {
        format!("`{}` = {}", self.parts[at].name, self.parts[at].kind)
    }

    fn nothing_left(&self, misfits: &[Misfit]) -> Result<()> {
        let of_file: Vec<String> = (0..self.modules.len())
            .filter(|&m| !self.is_taken(m))
            .map(|m| self.modules[m].describe())
            .collect();
        let mut of_model: Vec<String> =
            (0..self.parts.len()).filter(|&at| self.free[at]).map(|at| self.part(at)).collect();
        of_model.extend(misfits.iter().map(|misfit| format!("`{}` ({})", misfit.name, misfit.why)));
        if of_file.is_empty() && of_model.is_empty() {
            return Ok(());
        }
        let list = |all: Vec<String>| if all.is_empty() { "nothing".to_owned() } else { all.join("; ") };
        let mut problem = format!(
            "not all of it finds its place. Left over of the file: {}. Left over of the model: {}.",
            list(of_file),
            list(of_model)
        );
        let other = |module: &&Module<'_>| module.kind == Kind::Other;
        if let Some(module) = self.modules.iter().find(other) {
            problem.push_str(&format!(" {}", hint(module)));
        }
        Err(Error::unsupported("state dict", problem))
    }
}

/// What tensors of a module that is not read probably are.
fn hint(module: &Module<'_>) -> &'static str {
    let has = |leaf: &str| module.tensors.contains_key(leaf);
    let convolution = module.tensors.get("weight").is_some_and(|weight| weight.shape.len() > 2);
    if has("running_mean") {
        "Batch normalization is not among the layers here."
    } else if convolution {
        "Convolutions are not among the layers here."
    } else if has("weight_g") || has("original0") || module.prefix.contains("parametrizations") {
        "Take weight_norm or other parametrizations away before saving: torch.nn.utils.parametrize.remove_parametrizations."
    } else if has("in_proj_weight") {
        "Attention is not among the layers here."
    } else {
        "Read are nn.LSTM, nn.GRU, nn.RNN, nn.Linear, nn.Embedding and nn.LayerNorm."
    }
}
