//! Weights of a Keras model that contains models, for a graph in which they are one. Here models within models are run
//! through where they are applied, so which layers stood in which model, and in which order Keras has them, is gone. The
//! file still has a group for each model and, of newer versions of Keras, the name of each layer: layers are brought together by names
//! that somebody gave, and else where class and shapes leave no choice.

use super::layers;
use super::names::snake_case;
use super::parts::within;
use super::weights::{is_random, named};
use crate::hdf5::File;
use crate::{Error, Result};
use ndarray::ArrayD;
use rnn_model::{Graph, GraphWeight};
use std::collections::{BTreeSet, HashMap};

/// Whether a file has layers within a model within the model.
pub(super) fn is_nested(file: &File) -> bool {
    file.datasets().any(|path| path.strip_prefix("layers/").is_some_and(|path| path.contains("/layers/")))
}

/// A layer of the file that has weights.
struct Stored {
    /// where it stands
    group: String,
    /// names of the models around it and its own: `encoder/lstm`
    name: String,
    /// as groups are named by it
    class: String,
    /// its model is applied to each step
    distributed: bool,
    weights: usize,
}

/// A layer of the graph that has weights.
struct Own {
    name: String,
    class: String,
    weights: Vec<(usize, GraphWeight)>,
    /// where each weight stands below its group
    paths: Vec<String>,
}

impl Own {
    /// Where its weights stand in the file, if it can be this layer.
    fn fit(&self, file: &File, stored: &Stored) -> Option<Vec<String>> {
        let class = match stored.distributed {
            true => self.class.strip_prefix("time_distributed/")?,
            false => &self.class,
        };
        if class != stored.class || self.paths.len() != stored.weights {
            return None;
        }
        let at = |path: &String| {
            let path = if stored.distributed { path.strip_prefix("layer/")? } else { path };
            Some(format!("{}/{path}", stored.group))
        };
        let paths: Vec<String> = self.paths.iter().map(at).collect::<Option<_>>()?;
        let same = |((_, spec), path): (&(usize, GraphWeight), &String)| {
            let expected = spec.shape.iter().map(|&n| n as u64);
            file.shape(path).is_some_and(|shape| shape.iter().copied().eq(expected))
        };
        self.weights.iter().zip(&paths).all(same).then_some(paths)
    }

    /// Whether it is called by its class and a number, which says nothing.
    fn is_unnamed(&self) -> bool {
        let class = self.class.split('/').next().unwrap_or_default();
        let number = self.name.strip_prefix(class).map(|rest| rest.trim_start_matches('_'));
        number.is_some_and(|number| number.chars().all(|c| c.is_ascii_digit()))
    }
}

/// Reads the weights of a graph, in its order.
///
/// # Errors
/// When file and graph have other layers, or when several of them fit alike.
pub(super) fn read(file: &File, graph: &Graph) -> Result<Vec<ArrayD<f32>>> {
    let datasets: BTreeSet<&str> = file.datasets().filter(|path| !is_random(path)).collect();
    let mut stored = Vec::new();
    walk(file, &datasets, "layers", "", false, &mut stored)?;
    let own = own(graph)?;
    let list = |names: Vec<&str>| names.join(", ");
    let (theirs, ours) = (
        list(stored.iter().map(|layer| layer.name.as_str()).collect()),
        list(own.iter().map(|layer| layer.name.as_str()).collect()),
    );
    if stored.len() != own.len() {
        let problem = format!(
            "it has {} layers with weights ({theirs}), the architecture {} ({ours})",
            stored.len(),
            own.len()
        );
        return Err(Error::damaged("weights file", problem));
    }
    let pairs = pairs(file, &stored, &own).map_err(|problem| {
        let problem = format!("{problem}; the file has {theirs}, the architecture {ours}");
        Error::unsupported("weights file", problem)
    })?;
    let mut weights: Vec<Option<ArrayD<f32>>> = vec![None; graph.weights()?.len()];
    for (layer, paths) in own.iter().zip(pairs) {
        for ((at, spec), path) in layer.weights.iter().zip(paths) {
            let values = file.read(&path, &spec.shape).map_err(|e| named(&spec.name, e))?;
            weights[*at] = Some(values);
        }
    }
    Ok(weights.into_iter().flatten().collect())
}

/// The layers of a group of layers.
fn walk(
    file: &File,
    datasets: &BTreeSet<&str>,
    container: &str,
    above: &str,
    distributed: bool,
    found: &mut Vec<Stored>,
) -> Result<()> {
    for member in file.members(container).unwrap_or_default() {
        let group = format!("{container}/{member}");
        let vars = format!("{group}/vars");
        let given = match file.members(&vars) {
            Some(_) => file.text(&vars, "name")?,
            None => None,
        };
        let name = format!("{above}{}", given.unwrap_or_else(|| member.clone()));
        let (model, steps) = (format!("{group}/layers"), format!("{group}/layer/layers"));
        if file.members(&model).is_some() {
            walk(file, datasets, &model, &format!("{name}/"), distributed, found)?;
        } else if file.members(&steps).is_some() {
            walk(file, datasets, &steps, &format!("{name}/"), true, found)?;
        } else {
            let below = format!("{group}/");
            let own = datasets.range(below.as_str()..).take_while(|path| path.starts_with(&below));
            let weights = own.count();
            let number = member.rsplit_once('_').filter(|(_, end)| end.chars().all(|c| c.is_ascii_digit()));
            let class = number.map_or(member.as_str(), |(class, _)| class).to_owned();
            if weights > 0 {
                found.push(Stored { group, name, class, distributed, weights });
            }
        }
    }
    Ok(())
}

/// The layers of the graph that have weights.
fn own(graph: &Graph) -> Result<Vec<Own>> {
    let mut of_layer: HashMap<usize, Vec<(usize, GraphWeight)>> = HashMap::new();
    for (at, weight) in graph.weights()?.into_iter().enumerate() {
        of_layer.entry(weight.layer).or_default().push((at, weight));
    }
    let mut all = Vec::new();
    for (at, layer) in graph.layers().iter().enumerate() {
        let Some(weights) = of_layer.remove(&at) else { continue };
        let mut class = snake_case(&layers::class(&layer.layer));
        if class == "time_distributed" {
            let value = serde_json::to_value(&layer.layer).unwrap_or_default();
            let inner = value.pointer("/config/layer/class_name").and_then(|class| class.as_str());
            class = format!("{class}/{}", snake_case(inner.unwrap_or_default()));
        }
        let paths = within(&layer.layer, weights.len())?;
        all.push(Own { name: layer.name.clone(), class, weights, paths });
    }
    Ok(all)
}

/// Where the weights of each of our layers stand in the file; else what stands in the way.
fn pairs(file: &File, stored: &[Stored], own: &[Own]) -> Result<Vec<Vec<String>>, String> {
    let fits: Fits = own.iter().map(|layer| stored.iter().map(|s| layer.fit(file, s)).collect()).collect();
    let mut pairs: Vec<Option<usize>> = vec![None; own.len()];
    let full = |layer: &Own, stored: &Stored| layer.name == stored.name;
    let last = |layer: &Own, stored: &Stored| {
        let end = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
        !layer.is_unnamed() && end(&layer.name) == end(&stored.name)
    };
    let any = |_: &Own, _: &Stored| true;
    // All names the same: the model was named as in Keras, numbers too.
    let is_named = own.iter().all(|layer| stored.iter().any(|stored| full(layer, stored)));
    let named = |layer: &Own, stored: &Stored| (is_named || !layer.is_unnamed()) && full(layer, stored);
    let rules: [Rule<'_>; 3] = [&named, &last, &any];
    for rule in rules {
        let may = |at: usize, which: usize| fits[at][which].is_some() && rule(&own[at], &stored[which]);
        while let Some((at, which)) = only_choice(&pairs, stored.len(), may) {
            pairs[at] = Some(which);
        }
    }
    if let Some(at) = pairs.iter().position(Option::is_none) {
        let name = &own[at].name;
        let free =
            (0..stored.len()).filter(|which| fits[at][*which].is_some() && !pairs.contains(&Some(*which)));
        let fitting: Vec<&str> = free.map(|which| stored[which].name.as_str()).collect();
        return Err(match fitting.as_slice() {
            [] => format!("no layer of the file has the class and the shapes of {name}"),
            [first, ..] => format!(
                "{name} can be {}: name the layers as they are named in Keras, such as {first:?}",
                fitting.join(" or ")
            ),
        });
    }
    Ok(pairs.into_iter().zip(fits).filter_map(|(which, mut fits)| fits[which?].take()).collect())
}

/// Whether a layer of ours may be a layer of the file.
type Rule<'a> = &'a dyn Fn(&Own, &Stored) -> bool;

/// Of each layer of ours and each of the file, where the weights stand, if they fit.
type Fits = Vec<Vec<Option<Vec<String>>>>;

/// A layer of ours without a pair, and the only one of the file that it may be, if that may be no other either.
fn only_choice(
    pairs: &[Option<usize>],
    stored: usize,
    may: impl Fn(usize, usize) -> bool,
) -> Option<(usize, usize)> {
    let free = || (0..pairs.len()).filter(|at| pairs[*at].is_none());
    let only = |mut all: Box<dyn Iterator<Item = usize> + '_>| all.next().filter(|_| all.next().is_none());
    free().find_map(|at| {
        let open = (0..stored).filter(|which| !pairs.contains(&Some(*which)));
        let which = only(Box::new(open.filter(|which| may(at, *which))))?;
        only(Box::new(free().filter(|other| may(*other, which))))?;
        Some((at, which))
    })
}
