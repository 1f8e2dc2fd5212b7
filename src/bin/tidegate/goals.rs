//! Losses and metrics of any model as words: `mse`, `sparse_categorical_crossentropy:logits`.

use rnn_model::{Goal, Loss, Metric};

use crate::failure::{Failure, Outcome};

/// What each of `outputs` outputs is trained for: one loss for all of them, or one for each.
pub fn goals(losses: &str, metrics: &[String], outputs: usize) -> Outcome<Vec<Goal>> {
    let losses = losses.split(',').map(|word| loss(word.trim())).collect::<Outcome<Vec<_>>>()?;
    let metrics = metrics.iter().map(|word| metric(word.trim())).collect::<Outcome<Vec<_>>>()?;
    if losses.len() != 1 && losses.len() != outputs {
        return Err(Failure::usage(format!(
            "--loss: {} losses for {outputs} outputs; give one for all, or one for each",
            losses.len()
        )));
    }
    let goal = |output: usize| Goal::new(losses[output.min(losses.len() - 1)]).metrics(&metrics);
    Ok((0..outputs).map(goal).collect())
}

/// The same goals with other metrics.
pub fn with_metrics(goals: &[Goal], metrics: &[String]) -> Outcome<Vec<Goal>> {
    let metrics = metrics.iter().map(|word| metric(word.trim())).collect::<Outcome<Vec<_>>>()?;
    Ok(goals.iter().map(|goal| goal.clone().metrics(&metrics)).collect())
}

/// Short name, Keras's name, loss.
fn losses() -> [(&'static str, Loss); 17] {
    [
        ("mse", Loss::MeanSquaredError),
        ("mae", Loss::MeanAbsoluteError),
        ("mape", Loss::MeanAbsolutePercentageError),
        ("msle", Loss::MeanSquaredLogarithmicError),
        ("huber", Loss::Huber { delta: 1.0 }),
        ("log_cosh", Loss::LogCosh),
        ("poisson", Loss::Poisson),
        ("kl_divergence", Loss::KlDivergence),
        ("cosine_similarity", Loss::CosineSimilarity),
        ("hinge", Loss::Hinge),
        ("squared_hinge", Loss::SquaredHinge),
        ("categorical_hinge", Loss::CategoricalHinge),
        ("binary_crossentropy", Loss::binary_crossentropy()),
        ("categorical_crossentropy", Loss::categorical_crossentropy()),
        ("sparse_categorical_crossentropy", Loss::sparse_categorical_crossentropy()),
        ("binary_focal_crossentropy", Loss::binary_focal_crossentropy()),
        ("categorical_focal_crossentropy", Loss::categorical_focal_crossentropy()),
    ]
}

fn loss(word: &str) -> Outcome<Loss> {
    let (name, logits) = match word.split_once(':') {
        Some((name, "logits")) => (name, true),
        Some(_) => {
            return Err(Failure::usage(format!("loss {word:?}: behind the colon may stand logits alone")));
        }
        None => (word, false),
    };
    let name = name.to_lowercase();
    let all = losses();
    let Some((_, mut loss)) = all.iter().copied().find(|(short, loss)| name == *short || name == loss.name())
    else {
        let names = all.map(|(short, _)| short).join(", ");
        return Err(Failure::usage(format!("loss {word:?} is not known; there are {names}")));
    };
    if logits {
        match &mut loss {
            Loss::BinaryCrossentropy { from_logits, .. }
            | Loss::CategoricalCrossentropy { from_logits, .. }
            | Loss::SparseCategoricalCrossentropy { from_logits }
            | Loss::BinaryFocalCrossentropy { from_logits, .. }
            | Loss::CategoricalFocalCrossentropy { from_logits, .. } => *from_logits = true,
            _ => return Err(Failure::usage(format!("loss {word:?}: cross-entropies alone are of logits"))),
        }
    }
    Ok(loss)
}

/// A metric by its name; precision and recall may have a threshold, `recall@0.3`.
fn metric(word: &str) -> Outcome<Metric> {
    let all = [
        ("mae", Metric::MeanAbsoluteError),
        ("mse", Metric::MeanSquaredError),
        ("rmse", Metric::RootMeanSquaredError),
        ("accuracy", Metric::Accuracy),
        ("binary_accuracy", Metric::BinaryAccuracy),
        ("categorical_accuracy", Metric::CategoricalAccuracy),
        ("sparse_categorical_accuracy", Metric::SparseCategoricalAccuracy),
        ("top_k_categorical_accuracy", Metric::top_k(5)),
        ("cosine_similarity", Metric::CosineSimilarity),
        ("precision", Metric::precision()),
        ("recall", Metric::recall()),
        ("f1_score", Metric::f1_score()),
        ("auc", Metric::auc()),
    ];
    let lower = word.to_lowercase();
    let (name, at) = lower.split_once('@').map_or((lower.as_str(), None), |(name, at)| (name, Some(at)));
    let found = all.iter().find(|(short, metric)| {
        name == *short || name == metric.name() || name == "acc" && *short == "accuracy"
    });
    let known = || all.map(|(short, _)| short).join(", ");
    let mut metric = found
        .map(|(_, metric)| *metric)
        .ok_or_else(|| Failure::usage(format!("metric {word:?} is not known; there are {}", known())))?;
    if let Some(at) = at {
        let given = at.parse().ok().filter(|t: &f32| !t.is_nan());
        match (&mut metric, given) {
            (Metric::Precision { threshold, .. } | Metric::Recall { threshold, .. }, Some(at)) => {
                *threshold = Some(at);
            }
            _ => {
                let problem = "@ and a number, a threshold, may stand behind precision and recall";
                return Err(Failure::usage(format!("metric {word:?}: {problem}")));
            }
        }
    }
    Ok(metric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::USAGE;

    #[test]
    fn words_become_goals() {
        assert_eq!(loss("MSE").unwrap(), Loss::MeanSquaredError);
        assert_eq!(loss("mean_absolute_error").unwrap(), Loss::MeanAbsoluteError);
        let logits = Loss::SparseCategoricalCrossentropy { from_logits: true };
        assert_eq!(loss("sparse_categorical_crossentropy:logits").unwrap(), logits);
        assert_eq!(goals("mse", &["mae".into(), "acc".into()], 3).unwrap().len(), 3);
        assert_eq!(goals("mse,mae", &[], 2).unwrap().len(), 2);
        assert_eq!(metric("Recall@0.25").unwrap(), Metric::recall_at(&[0.25])[0]);
        for word in ["recall@", "recall@nan", "mae@0.5"] {
            assert_eq!(metric(word).unwrap_err().code, USAGE, "{word}");
        }
        for (losses, metrics) in
            [("mse,mae", vec![]), ("mse:logits", vec![]), ("x", vec![]), ("mse", vec!["y".to_owned()])]
        {
            assert_eq!(goals(losses, &metrics, 3).unwrap_err().code, USAGE, "{losses}");
        }
    }
}
