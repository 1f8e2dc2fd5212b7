//! Goals: the loss, its weight and the metrics that `compile` was told of each output, both ways.

use super::fields::{Config, given, wrong};
use super::losses::{loss, loss_written};
use super::metrics::{metric_written, metrics};
use crate::{Error, Result};
use rnn_model::{Goal, Loss, Metric};
use serde_json::{Value, json};

/// What stands for each output in `value`, a structure like that of the outputs; `names` are those of each output.
fn for_each(value: &Value, names: &[Vec<String>]) -> Vec<Option<Value>> {
    let n = names.len();
    match value {
        Value::Null => vec![None; n],
        Value::Array(values) if values.len() == n => {
            values.iter().map(|v| Some(v.clone()).filter(|v| !v.is_null())).collect()
        }
        Value::Object(map) if !map.contains_key("class_name") => {
            let of = |names: &Vec<String>| names.iter().find_map(|name| map.get(name)).cloned();
            names.iter().map(|names| of(names).filter(|v| !v.is_null())).collect()
        }
        other => vec![Some(other.clone()); n],
    }
}

/// All metrics in lists of lists.
fn flat(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.iter().flat_map(flat).collect(),
        Value::Object(map) if !map.contains_key("class_name") => map.values().flat_map(flat).collect(),
        other => vec![other.clone()],
    }
}

/// The goal of each output from `loss`, `loss_weights`, `metrics` and `weighted_metrics`. Metrics that this engine does not
/// have are left out, which `notes` says.
pub(super) fn read(config: &Config, names: &[Vec<String>], notes: &mut Vec<String>) -> Result<Vec<Goal>> {
    let get = |key: &str| given(config, key).unwrap_or(&Value::Null);
    let weights = for_each(get("loss_weights"), names);
    let losses = for_each(get("loss"), names);
    let mut of_outputs = |key: &str| -> Vec<Vec<Metric>> {
        let all = get(key);
        let each = if names.len() == 1 { vec![Some(all.clone())] } else { for_each(all, names) };
        let mut list = |value: Option<Value>| -> Vec<Metric> {
            let mut known = Vec::new();
            for value in value.iter().flat_map(flat) {
                match metrics(&value) {
                    Ok(metrics) => known.extend(metrics),
                    Err(problem) => notes.push(format!("a metric is left out: {problem}")),
                }
            }
            known
        };
        each.into_iter().map(&mut list).collect()
    };
    let (plain, weighted) = (of_outputs("metrics"), of_outputs("weighted_metrics"));
    let mut goals = Vec::with_capacity(names.len());
    for (at, (value, weight)) in losses.into_iter().zip(weights).enumerate() {
        let name = names[at].first().map_or("", String::as_str);
        let value = value.ok_or_else(|| {
            Error::unsupported(format!("output {name}"), "it has no loss of its own".to_owned())
        })?;
        if value.is_object() && value["class_name"] == "Huber" && value["config"].get("delta").is_none() {
            notes.push(
                "Keras 3 does not write the delta of a Huber loss, so it is 1, as when Keras loads the file"
                    .into(),
            );
        }
        let weight = match weight {
            None => 1.0,
            Some(weight) => weight.as_f64().ok_or_else(|| wrong("loss_weights", "numbers", &weight))?,
        };
        goals.push(
            Goal::new(loss(&value)?).weight(weight).metrics(&plain[at]).weighted_metrics(&weighted[at]),
        );
    }
    Ok(goals)
}

/// Goals in Keras's form: `loss`, `loss_weights`, `metrics`, `weighted_metrics`.
pub(super) fn write(goals: &[Goal]) -> Result<Config> {
    let mut columns: [Vec<Value>; 4] = Default::default();
    for goal in goals {
        let data = serde_json::to_value(goal).unwrap_or_default();
        let read = |key: &str| -> Result<Vec<Metric>> {
            serde_json::from_value(data[key].clone()).map_err(|e| Error::damaged("metrics", e.to_string()))
        };
        let loss: Loss = serde_json::from_value(data["loss"].clone())
            .map_err(|e| Error::damaged("loss", e.to_string()))?;
        columns[0].push(loss_written(loss)?);
        columns[1].push(data["weight"].clone());
        for (column, key) in [(2, "metrics"), (3, "weighted_metrics")] {
            let metrics: Vec<Value> = read(key)?.iter().map(metric_written).collect::<Result<_>>()?;
            columns[column].push(Value::Array(metrics));
        }
    }
    let [losses, weights, metrics, weighted] = columns;
    let one =
        |mut column: Vec<Value>| if column.len() == 1 { column.remove(0) } else { Value::Array(column) };
    let plain = weights.iter().all(|weight| *weight == json!(1.0));
    let mut config = Config::new();
    config.insert("loss_weights".into(), if plain { Value::Null } else { Value::Array(weights) });
    config.insert("loss".into(), one(losses));
    config.insert("metrics".into(), one(metrics));
    config.insert("weighted_metrics".into(), one(weighted));
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_found_by_place_and_by_name() {
        let names = [vec!["a".to_owned()], vec!["b".to_owned()]];
        let config = json!({
            "loss": { "b": "mae", "a": { "class_name": "Huber", "config": { "delta": 0.5 } } },
            "loss_weights": [1.0, 0.5],
            "metrics": [["mse"], ["accuracy", { "class_name": "MeanIoU", "config": {} }]],
        });
        let mut notes = Vec::new();
        let goals = read(config.as_object().unwrap(), &names, &mut notes).unwrap();
        let wanted = [
            Goal::new(Loss::Huber { delta: 0.5 }).metrics(&[Metric::MeanSquaredError]),
            Goal::new(Loss::MeanAbsoluteError).weight(0.5).metrics(&[Metric::Accuracy]),
        ];
        assert_eq!(goals, wanted);
        assert!(notes.len() == 1 && notes[0].contains("MeanIoU"), "{notes:?}");
        let again = write(&goals).unwrap();
        assert_eq!(read(&again, &names, &mut notes).unwrap(), goals);
        let without = json!({ "loss": ["mse", null] });
        assert!(read(without.as_object().unwrap(), &names, &mut notes).is_err());
    }
}
