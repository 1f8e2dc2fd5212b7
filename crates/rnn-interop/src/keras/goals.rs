//! Losses, metrics and their weights: what `compile` was told of each output, both ways.

use super::fields::{Config, given, shown};
use super::names::snake_case;
use super::objects::{class_of, function_name, tidy, written};
use crate::{Error, Result};
use rnn_model::{Goal, Loss, Metric};
use serde_json::{Map, Value, json};

/// A loss of Keras's: its class, the function, and ours with Keras's defaults.
struct Row {
    class: &'static str,
    function: &'static str,
    other_names: &'static [&'static str],
    ours: fn() -> Loss,
    /// the class of the metric, where there is one
    metric: Option<&'static str>,
}

const fn row(
    class: &'static str,
    function: &'static str,
    other_names: &'static [&'static str],
    ours: fn() -> Loss,
    metric: Option<&'static str>,
) -> Row {
    Row { class, function, other_names, ours, metric }
}

const LOSSES: [Row; 17] = [
    row("MeanSquaredError", "mean_squared_error", &["mse", "MSE"], || Loss::MeanSquaredError, None),
    row("MeanAbsoluteError", "mean_absolute_error", &["mae", "MAE"], || Loss::MeanAbsoluteError, None),
    row(
        "MeanAbsolutePercentageError",
        "mean_absolute_percentage_error",
        &["mape", "MAPE"],
        || Loss::MeanAbsolutePercentageError,
        Some("MeanAbsolutePercentageError"),
    ),
    row(
        "MeanSquaredLogarithmicError",
        "mean_squared_logarithmic_error",
        &["msle", "MSLE"],
        || Loss::MeanSquaredLogarithmicError,
        Some("MeanSquaredLogarithmicError"),
    ),
    row("Huber", "huber", &["huber_loss"], || Loss::Huber { delta: 1.0 }, None),
    row("LogCosh", "log_cosh", &["logcosh"], || Loss::LogCosh, Some("LogCoshError")),
    row("CosineSimilarity", "cosine_similarity", &[], || Loss::CosineSimilarity, None),
    row("KLDivergence", "kl_divergence", &["kld", "KLD"], || Loss::KlDivergence, Some("KLDivergence")),
    row("Poisson", "poisson", &[], || Loss::Poisson, Some("Poisson")),
    row("Hinge", "hinge", &[], || Loss::Hinge, Some("Hinge")),
    row("SquaredHinge", "squared_hinge", &[], || Loss::SquaredHinge, Some("SquaredHinge")),
    row("CategoricalHinge", "categorical_hinge", &[], || Loss::CategoricalHinge, Some("CategoricalHinge")),
    row(
        "BinaryCrossentropy",
        "binary_crossentropy",
        &["bce", "BCE"],
        Loss::binary_crossentropy,
        Some("BinaryCrossentropy"),
    ),
    row(
        "CategoricalCrossentropy",
        "categorical_crossentropy",
        &[],
        Loss::categorical_crossentropy,
        Some("CategoricalCrossentropy"),
    ),
    row(
        "SparseCategoricalCrossentropy",
        "sparse_categorical_crossentropy",
        &[],
        Loss::sparse_categorical_crossentropy,
        Some("SparseCategoricalCrossentropy"),
    ),
    row("BinaryFocalCrossentropy", "binary_focal_crossentropy", &[], Loss::binary_focal_crossentropy, None),
    row(
        "CategoricalFocalCrossentropy",
        "categorical_focal_crossentropy",
        &[],
        Loss::categorical_focal_crossentropy,
        None,
    ),
];

/// Metrics that are no losses: class, other names, and ours as data with Keras's defaults.
const METRICS: [(&str, &[&str], &str); 16] = [
    ("MeanAbsoluteError", &["mae", "MAE"], r#""mean_absolute_error""#),
    ("MeanSquaredError", &["mse", "MSE"], r#""mean_squared_error""#),
    ("RootMeanSquaredError", &[], r#""root_mean_squared_error""#),
    ("BinaryAccuracy", &[], r#""binary_accuracy""#),
    ("CategoricalAccuracy", &[], r#""categorical_accuracy""#),
    ("SparseCategoricalAccuracy", &[], r#""sparse_categorical_accuracy""#),
    ("CosineSimilarity", &[], r#""cosine_similarity""#),
    ("TopKCategoricalAccuracy", &[], r#"{"top_k_categorical_accuracy":{"k":5}}"#),
    ("SparseTopKCategoricalAccuracy", &[], r#"{"sparse_top_k_categorical_accuracy":{"k":5}}"#),
    ("Precision", &[], r#"{"precision":{"threshold":0.5,"class_id":null}}"#),
    ("Recall", &[], r#"{"recall":{"threshold":0.5,"class_id":null}}"#),
    ("F1Score", &[], r#"{"f1_score":{"average":null,"threshold":null}}"#),
    ("AUC", &[], r#"{"auc":{"curve":"ROC","num_thresholds":200,"from_logits":false}}"#),
    ("R2Score", &[], r#""r2_score""#),
    ("accuracy", &["acc"], r#""accuracy""#),
    ("Perplexity", &[], r#"{"perplexity":{"from_logits":false}}"#),
];

/// Metrics that this engine has and Keras has not.
const NOT_KERAS_S: &str = "Perplexity";

/// Values of options that metrics have in Keras alone, as they are by default.
const DEFAULTS: [(&str, &str); 17] = [
    ("axis", "-1"),
    ("top_k", "null"),
    ("beta", "1.0"),
    ("summation_method", "\"interpolation\""),
    ("multi_label", "false"),
    ("num_labels", "null"),
    ("label_weights", "null"),
    ("class_aggregation", "\"uniform_average\""),
    ("num_regressors", "0"),
    ("threshold", "0.5"),
    ("label_smoothing", "0"),
    ("label_smoothing", "0.0"),
    ("from_logits", "false"),
    ("ignore_class", "null"),
    ("thresholds", "null"),
    ("num_classes", "null"),
    ("class_id", "null"),
];

fn unsupported(what: &str, problem: String) -> Error {
    Error::unsupported(what, problem)
}

/// The fields of an enum's variant as data: of `{"huber": {"delta": 1.0}}` those of `huber`.
fn fields(data: &mut Value) -> Option<&mut Map<String, Value>> {
    data.as_object_mut()?.values_mut().next()?.as_object_mut()
}

fn find_loss(name: &str) -> Option<&'static Row> {
    LOSSES.iter().find(|row| row.class == name || row.function == name || row.other_names.contains(&name))
}

/// A loss by its name, or its class and configuration.
pub(super) fn loss(value: &Value) -> Result<Loss> {
    let known = || LOSSES.map(|row| row.class).join(", ");
    if let Some(name) = function_name(value) {
        let row = find_loss(name);
        let row = row.ok_or_else(|| {
            unsupported("loss", format!("there is no loss {name:?} here; there are {}", known()))
        })?;
        return Ok((row.ours)());
    }
    let (class, config) = class_of(value, "loss")?;
    let row = LOSSES.iter().find(|row| row.class == class);
    let row = row.ok_or_else(|| {
        unsupported("loss", format!("there is no loss {class:?} here; there are {}", known()))
    })?;
    let mut ours = serde_json::to_value((row.ours)()).unwrap_or_default();
    for (key, value) in config.into_iter().flatten() {
        let place = format!("loss {class}, option {key}");
        match (key.as_str(), value) {
            ("name" | "dtype", _) | (_, Value::Null) => {}
            ("fn", fun)
                if function_name(fun)
                    .is_some_and(|name| find_loss(name).is_some_and(|r| r.class == class)) => {}
            ("reduction", Value::String(how))
                if matches!(how.as_str(), "sum_over_batch_size" | "auto" | "mean") => {}
            ("axis", axis) if *axis == json!(-1) => {}
            (key, value) => match fields(&mut ours).and_then(|fields| fields.get_mut(key)) {
                Some(own) if value.is_number() || value.is_boolean() => *own = value.clone(),
                _ => return Err(unsupported(&place, format!("can not be {} here", shown(value)))),
            },
        }
    }
    serde_json::from_value(ours).map_err(|e| Error::damaged(format!("loss {class}"), e.to_string()))
}

/// A loss in Keras's form.
pub(super) fn loss_written(loss: Loss) -> Result<Value> {
    let mut data = serde_json::to_value(loss).unwrap_or_default();
    let same = |row: &&Row| std::mem::discriminant(&(row.ours)()) == std::mem::discriminant(&loss);
    let row = LOSSES.iter().find(same);
    let row = row.ok_or_else(|| unsupported("loss", format!("Keras has no {:?} loss", loss.name())))?;
    let mut config = Map::new();
    config.insert("name".into(), json!(row.function));
    config.insert("reduction".into(), json!("sum_over_batch_size"));
    let fields = fields(&mut data).map(std::mem::take).unwrap_or_default();
    config.extend(fields.into_iter().map(|(key, value)| (key, tidy(value))));
    Ok(written("keras.losses", row.class, Value::Object(config)))
}

/// A metric by its name, or its class and configuration.
pub(super) fn metric(value: &Value) -> Result<Metric> {
    if let Some(name) = function_name(value) {
        return metric_of(name, &Config::new());
    }
    let (class, config) = class_of(value, "metric")?;
    let nothing = Config::new();
    let config = config.unwrap_or(&nothing);
    if class == "MeanMetricWrapper" {
        let name = config.get("fn").and_then(function_name).unwrap_or("a function without a name");
        return metric_of(name, &Config::new());
    }
    metric_of(class, config)
}

fn metric_of(name: &str, config: &Config) -> Result<Metric> {
    let place = format!("metric {name}");
    let none = || unsupported("metric", format!("there is no metric {name:?} here"));
    let named = |class: &str, others: &[&str]| {
        class == name || others.contains(&name) || (snake_case(class) == name && class != "accuracy")
    };
    let own = METRICS
        .iter()
        .filter(|(class, ..)| *class != NOT_KERAS_S)
        .find(|(class, others, _)| named(class, others));
    let mut ours: Value = match own {
        Some((.., data)) => serde_json::from_str(data).unwrap_or_default(),
        None => {
            let row = LOSSES.iter().find(|row| {
                row.metric.is_some_and(|class| {
                    named(class, &[row.function]) || (row.metric.is_some() && row.other_names.contains(&name))
                })
            });
            json!({ "mean": (row.ok_or_else(none)?.ours)() })
        }
    };
    for (key, value) in config {
        let default = |(name, text): &(&str, &str)| {
            *name == key && serde_json::from_str::<Value>(text).is_ok_and(|default| default == *value)
        };
        let own = match ours.get_mut("mean") {
            Some(loss) => fields(loss),
            None => fields(&mut ours),
        };
        let own = own.and_then(|fields| match key.as_str() {
            "thresholds" => fields.get_mut("threshold"),
            key => fields.get_mut(key),
        });
        match (key.as_str(), own) {
            ("name" | "dtype" | "fn", _) => {}
            ("thresholds", Some(_)) if value.is_null() => {}
            // A list of one.
            ("thresholds", Some(own)) if value.as_array().is_some_and(|list| list.len() == 1) => {
                *own = value[0].clone()
            }
            (_, Some(own)) if !value.is_array() && !value.is_object() => *own = value.clone(),
            (_, None) if DEFAULTS.iter().any(default) => {}
            _ => {
                return Err(unsupported(
                    &format!("{place}, option {key}"),
                    format!("can not be {} here", shown(value)),
                ));
            }
        }
    }
    serde_json::from_value(ours).map_err(|e| unsupported(&place, e.to_string()))
}

/// A metric in Keras's form.
pub(super) fn metric_written(metric: &Metric) -> Result<Value> {
    if let Metric::Mean(loss) = metric {
        let keras = loss_written(*loss)?;
        let row = LOSSES.iter().find(|row| keras["class_name"] == row.class);
        let class = row.and_then(|row| row.metric);
        let class =
            class.ok_or_else(|| unsupported("metric", format!("Keras has no metric {:?}", loss.name())))?;
        let mut config = keras["config"].as_object().cloned().unwrap_or_default();
        config.remove("reduction");
        return Ok(written("keras.metrics", class, Value::Object(config)));
    }
    let mut data = serde_json::to_value(metric).unwrap_or_default();
    let variant = |data: &Value| match data {
        Value::String(name) => name.clone(),
        other => other.as_object().and_then(|map| map.keys().next().cloned()).unwrap_or_default(),
    };
    let wanted = variant(&data);
    let same = |(_, _, text): &&(&str, &[&str], &str)| {
        serde_json::from_str::<Value>(text).is_ok_and(|data| variant(&data) == wanted)
    };
    let (class, ..) = METRICS
        .iter()
        .find(same)
        .filter(|(class, ..)| *class != NOT_KERAS_S)
        .ok_or_else(|| unsupported("metric", format!("Keras has no metric {:?}", metric.name())))?;
    if *class == "accuracy" {
        return Ok(json!("accuracy"));
    }
    let mut config = Map::new();
    config.insert("name".into(), json!(metric.name()));
    for (key, value) in fields(&mut data).map(std::mem::take).unwrap_or_default() {
        let key = if key == "threshold" && *class != "F1Score" { "thresholds".to_owned() } else { key };
        config.insert(key, tidy(value));
    }
    Ok(written("keras.metrics", class, Value::Object(config)))
}

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
    let mut metrics = |key: &str| -> Vec<Vec<Metric>> {
        let all = get(key);
        let each = if names.len() == 1 { vec![Some(all.clone())] } else { for_each(all, names) };
        let mut list = |value: Option<Value>| -> Vec<Metric> {
            let mut known = Vec::new();
            for value in value.iter().flat_map(flat) {
                match metric(&value) {
                    Ok(metric) => known.push(metric),
                    Err(problem) => notes.push(format!("a metric is left out: {problem}")),
                }
            }
            known
        };
        each.into_iter().map(&mut list).collect()
    };
    let (plain, weighted) = (metrics("metrics"), metrics("weighted_metrics"));
    let mut goals = Vec::with_capacity(names.len());
    for (at, (value, weight)) in losses.into_iter().zip(weights).enumerate() {
        let name = names[at].first().map_or("", String::as_str);
        let value = value
            .ok_or_else(|| unsupported(&format!("output {name}"), "it has no loss of its own".to_owned()))?;
        if value.is_object() && value["class_name"] == "Huber" && value["config"].get("delta").is_none() {
            notes.push(
                "Keras 3 does not write the delta of a Huber loss, so it is 1, as when Keras loads the file"
                    .into(),
            );
        }
        let weight = match weight {
            None => 1.0,
            Some(weight) => {
                weight.as_f64().ok_or_else(|| super::fields::wrong("loss_weights", "numbers", &weight))?
            }
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
    fn losses_and_metrics_come_back_from_keras_s_form() {
        for row in &LOSSES {
            let ours = (row.ours)();
            assert_eq!(loss(&loss_written(ours).unwrap()).unwrap(), ours, "{}", row.class);
            assert_eq!(loss(&json!(row.function)).unwrap(), ours);
            if row.metric.is_some() {
                let metric = Metric::Mean(ours);
                assert_eq!(
                    super::metric(&metric_written(&metric).unwrap()).unwrap(),
                    metric,
                    "{}",
                    row.class
                );
            }
        }
        for (class, _, data) in METRICS {
            let mut data: Value = serde_json::from_str(data).unwrap();
            if class == "F1Score" {
                data["f1_score"]["average"] = json!("macro");
            }
            let ours: Metric = serde_json::from_value(data).unwrap();
            match metric_written(&ours) {
                Ok(keras) => assert_eq!(metric(&keras).unwrap(), ours, "{class}"),
                Err(_) => assert_eq!(class, NOT_KERAS_S),
            }
        }
        let huber = Loss::Huber { delta: 0.5 };
        assert_eq!(loss_written(huber).unwrap()["config"]["delta"], 0.5);
        assert!(loss_written(Loss::Quantile { quantile: 0.5 }).is_err());
        let summed = json!({ "class_name": "MeanSquaredError", "config": { "reduction": "sum" } });
        assert!(loss(&summed).unwrap_err().to_string().contains("reduction"));
    }

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
