//! Metrics: Keras's class and other names of each, both ways.

use super::fields::{Config, shown};
use super::losses::{self, LOSSES, fields};
use super::names::snake_case;
use super::objects::{class_of, function_name, tidy, written};
use crate::{Error, Result};
use rnn_model::Metric;
use serde_json::{Map, Value, json};

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
    ("Precision", &[], r#"{"precision":{"threshold":null,"top_k":null,"class_id":null}}"#),
    ("Recall", &[], r#"{"recall":{"threshold":null,"top_k":null,"class_id":null}}"#),
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

/// A metric by its name, or its class and configuration; of a list of thresholds one for each.
pub(super) fn metrics(value: &Value) -> Result<Vec<Metric>> {
    let one = |name: &str, config: &Config| metric_of(name, config).map(|metric| vec![metric]);
    if let Some(name) = function_name(value) {
        return one(name, &Config::new());
    }
    let (class, config) = class_of(value, "metric")?;
    let nothing = Config::new();
    let config = config.unwrap_or(&nothing);
    if class == "MeanMetricWrapper" {
        let name = config.get("fn").and_then(function_name).unwrap_or("a function without a name");
        return one(name, &Config::new());
    }
    let Some(thresholds) = config.get("thresholds").and_then(Value::as_array) else {
        return one(class, config);
    };
    let at = |threshold: &Value| {
        let mut config = config.clone();
        config.insert("thresholds".into(), threshold.clone());
        metric_of(class, &config)
    };
    thresholds.iter().map(at).collect()
}

fn metric_of(name: &str, config: &Config) -> Result<Metric> {
    let place = format!("metric {name}");
    let none = || Error::unsupported("metric", format!("there is no metric {name:?} here"));
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
            (_, Some(own)) if !value.is_array() && !value.is_object() => *own = value.clone(),
            (_, None) if DEFAULTS.iter().any(default) => {}
            _ => {
                return Err(Error::unsupported(
                    format!("{place}, option {key}"),
                    format!("can not be {} here", shown(value)),
                ));
            }
        }
    }
    serde_json::from_value(ours).map_err(|e| Error::unsupported(&place, e.to_string()))
}

/// A metric in Keras's form.
pub(super) fn metric_written(metric: &Metric) -> Result<Value> {
    if let Metric::Mean(loss) = metric {
        let keras = losses::loss_written(*loss)?;
        let row = LOSSES.iter().find(|row| keras["class_name"] == row.class);
        let class = row.and_then(|row| row.metric);
        let class = class
            .ok_or_else(|| Error::unsupported("metric", format!("Keras has no metric {:?}", loss.name())))?;
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
    let (class, ..) =
        METRICS.iter().find(same).filter(|(class, ..)| *class != NOT_KERAS_S).ok_or_else(|| {
            Error::unsupported("metric", format!("Keras has no metric {:?}", metric.name()))
        })?;
    if *class == "accuracy" {
        return Ok(json!("accuracy"));
    }
    let mut config = Map::new();
    config.insert("name".into(), json!(metric.shown_name()));
    for (key, value) in fields(&mut data).map(std::mem::take).unwrap_or_default() {
        let key = if key == "threshold" && *class != "F1Score" { "thresholds".to_owned() } else { key };
        config.insert(key, tidy(value));
    }
    Ok(written("keras.metrics", class, Value::Object(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_come_back_from_keras_s_form() {
        for row in LOSSES.iter().filter(|row| row.metric.is_some()) {
            let ours = Metric::Mean((row.ours)());
            assert_eq!(metrics(&metric_written(&ours).unwrap()).unwrap(), [ours], "{}", row.class);
        }
        for (class, _, data) in METRICS {
            let mut data: Value = serde_json::from_str(data).unwrap();
            if class == "F1Score" {
                data["f1_score"]["average"] = json!("macro");
            }
            let ours: Metric = serde_json::from_value(data).unwrap();
            match metric_written(&ours) {
                Ok(keras) => assert_eq!(metrics(&keras).unwrap(), [ours], "{class}"),
                Err(_) => assert_eq!(class, NOT_KERAS_S),
            }
        }
    }

    #[test]
    fn a_list_of_thresholds_is_a_metric_for_each() {
        let listed = json!({ "class_name": "Recall", "config": { "thresholds": [0.25, 0.5], "top_k": 3 } });
        let at = |threshold| Metric::Recall { threshold: Some(threshold), top_k: Some(3), class_id: None };
        assert_eq!(metrics(&listed).unwrap(), [at(0.25), at(0.5)]);
        assert_eq!(metric_written(&at(0.25)).unwrap()["config"]["name"], "recall@0.25");
    }
}
