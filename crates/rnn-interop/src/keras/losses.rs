//! Losses: Keras's class, function and other names of each, both ways.

use super::fields::shown;
use super::objects::{class_of, function_name, tidy, written};
use crate::{Error, Result};
use rnn_model::Loss;
use serde_json::{Map, Value, json};

/// A loss of Keras's: its class, the function, and ours with Keras's defaults.
pub(super) struct Row {
    pub class: &'static str,
    pub function: &'static str,
    pub other_names: &'static [&'static str],
    pub ours: fn() -> Loss,
    /// the class of the metric, where there is one
    pub metric: Option<&'static str>,
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

pub(super) const LOSSES: [Row; 17] = [
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

/// The fields of an enum's variant as data: of `{"huber": {"delta": 1.0}}` those of `huber`.
pub(super) fn fields(data: &mut Value) -> Option<&mut Map<String, Value>> {
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
            Error::unsupported("loss", format!("there is no loss {name:?} here; there are {}", known()))
        })?;
        return Ok((row.ours)());
    }
    let (class, config) = class_of(value, "loss")?;
    let row = LOSSES.iter().find(|row| row.class == class);
    let row = row.ok_or_else(|| {
        Error::unsupported("loss", format!("there is no loss {class:?} here; there are {}", known()))
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
                _ => return Err(Error::unsupported(&place, format!("can not be {} here", shown(value)))),
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
    let row =
        row.ok_or_else(|| Error::unsupported("loss", format!("Keras has no {:?} loss", loss.name())))?;
    let mut config = Map::new();
    config.insert("name".into(), json!(row.function));
    config.insert("reduction".into(), json!("sum_over_batch_size"));
    let fields = fields(&mut data).map(std::mem::take).unwrap_or_default();
    config.extend(fields.into_iter().map(|(key, value)| (key, tidy(value))));
    Ok(written("keras.losses", row.class, Value::Object(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_come_back_from_keras_s_form() {
        for row in &LOSSES {
            let ours = (row.ours)();
            assert_eq!(loss(&loss_written(ours).unwrap()).unwrap(), ours, "{}", row.class);
            assert_eq!(loss(&json!(row.function)).unwrap(), ours);
        }
        let huber = Loss::Huber { delta: 0.5 };
        assert_eq!(loss_written(huber).unwrap()["config"]["delta"], 0.5);
        assert!(loss_written(Loss::Quantile { quantile: 0.5 }).is_err());
        let summed = json!({ "class_name": "MeanSquaredError", "config": { "reduction": "sum" } });
        assert!(loss(&summed).unwrap_err().to_string().contains("reduction"));
    }
}
