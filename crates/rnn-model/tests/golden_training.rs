//! Twenty training steps as Keras does them, for every optimizer, loss and cell; and losses, their gradients and
//! metrics alone.

mod common;

use common::golden::{Case, family};
use common::{Report, Tolerance, gpu};
use ndarray::{Array, Array1, Array2, ArrayD, Axis};
use rnn_model::layer::{ActivationLayer, Dense};
use rnn_model::{
    Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Average, Curve, Device, EvaluateOptions, FitOptions,
    Ftrl, Goal, Input, Lamb, LearningRate, Lion, Loss, Metric, Model, Nadam, Optimizer, RmsProp, Schedule,
    Sequential, Sgd,
};
use rnn_shaders::vocabulary::Activation;
use serde_json::{Map, Value};

/// A loss by Keras's class name and options.
fn loss(class: &str, config: &Value) -> Loss {
    let flag = |name: &str| config[name].as_bool().unwrap_or(false);
    let number = |name: &str, default: f32| config[name].as_f64().map_or(default, |x| x as f32);
    let from_logits = flag("from_logits");
    let label_smoothing = number("label_smoothing", 0.0);
    let (alpha, gamma) = (number("alpha", 0.25), number("gamma", 2.0));
    match class {
        "MeanSquaredError" => Loss::MeanSquaredError,
        "MeanAbsoluteError" => Loss::MeanAbsoluteError,
        "Huber" => Loss::Huber { delta: number("delta", 1.0) },
        "BinaryCrossentropy" => Loss::BinaryCrossentropy { from_logits, label_smoothing },
        "CategoricalCrossentropy" => Loss::CategoricalCrossentropy { from_logits, label_smoothing },
        "SparseCategoricalCrossentropy" => Loss::SparseCategoricalCrossentropy { from_logits },
        "KLDivergence" => Loss::KlDivergence,
        "MeanAbsolutePercentageError" => Loss::MeanAbsolutePercentageError,
        "MeanSquaredLogarithmicError" => Loss::MeanSquaredLogarithmicError,
        "LogCosh" | "LogCoshError" => Loss::LogCosh,
        "Poisson" => Loss::Poisson,
        "CosineSimilarity" => Loss::CosineSimilarity,
        "Hinge" => Loss::Hinge,
        "SquaredHinge" => Loss::SquaredHinge,
        "CategoricalHinge" => Loss::CategoricalHinge,
        "BinaryFocalCrossentropy" => {
            let apply_class_balancing = flag("apply_class_balancing");
            Loss::BinaryFocalCrossentropy {
                apply_class_balancing,
                alpha,
                gamma,
                from_logits,
                label_smoothing,
            }
        }
        "CategoricalFocalCrossentropy" => {
            Loss::CategoricalFocalCrossentropy { alpha, gamma, from_logits, label_smoothing }
        }
        other => panic!("no loss for {other}"),
    }
}

/// The metrics that one of Keras's is: one for each threshold of a list.
fn metrics_of(class: &str, config: &Value) -> Vec<Metric> {
    let Some(thresholds) = config["thresholds"].as_array() else { return vec![metric(class, config)] };
    let at = |threshold: &Value| {
        let mut one = config.clone();
        one["thresholds"] = threshold.clone();
        metric(class, &one)
    };
    thresholds.iter().map(at).collect()
}

/// A metric by Keras's class name and options.
fn metric(class: &str, config: &Value) -> Metric {
    let number = |name: &str| config[name].as_f64().map(|x| x as f32);
    let (threshold, top_k) = (number("thresholds"), config["top_k"].as_u64().map(|k| k as u32));
    let class_id = config["class_id"].as_u64().map(|id| id as usize);
    let k = config["k"].as_u64().unwrap_or(5) as u32;
    match class {
        "MeanAbsoluteError" => Metric::MeanAbsoluteError,
        "MeanSquaredError" => Metric::MeanSquaredError,
        "RootMeanSquaredError" => Metric::RootMeanSquaredError,
        "BinaryAccuracy" => Metric::BinaryAccuracy,
        "CategoricalAccuracy" => Metric::CategoricalAccuracy,
        "SparseCategoricalAccuracy" => Metric::SparseCategoricalAccuracy,
        "TopKCategoricalAccuracy" => Metric::TopKCategoricalAccuracy { k },
        "SparseTopKCategoricalAccuracy" => Metric::SparseTopKCategoricalAccuracy { k },
        "CosineSimilarity" => Metric::CosineSimilarity,
        "Precision" => Metric::Precision { threshold, top_k, class_id },
        "Recall" => Metric::Recall { threshold, top_k, class_id },
        "AUC" => Metric::Auc {
            curve: if config["curve"] == "PR" { Curve::Pr } else { Curve::Roc },
            num_thresholds: config["num_thresholds"].as_u64().unwrap_or(200) as u32,
            from_logits: config["from_logits"].as_bool().unwrap_or(false),
        },
        "F1Score" => Metric::F1Score {
            average: match config["average"].as_str() {
                Some("micro") => Average::Micro,
                Some("weighted") => Average::Weighted,
                _ => Average::Macro,
            },
            threshold: number("threshold"),
        },
        "R2Score" => Metric::R2Score,
        other => Metric::Mean(loss(other, config)),
    }
}

/// A number, or a schedule as Keras writes it.
fn learning_rate(value: &Value) -> LearningRate {
    match value.as_f64() {
        Some(rate) => rate.into(),
        None => serde_json::from_value::<Schedule>(value.clone()).expect("a schedule").into(),
    }
}

/// Applies the options of a case to a builder; one that no arm takes is a panic.
macro_rules! with_options {
    ($config:expr, $start:expr, $($float:ident)*; $($flag:ident)*) => {{
        let mut builder = $start;
        for (key, value) in $config {
            let float = || value.as_f64().expect("a number");
            let whole = || value.as_u64().expect("a whole number");
            builder = match key.as_str() {
                "learning_rate" => builder.learning_rate(learning_rate(value)),
                "decay" => builder.decay(float()),
                "weight_decay" => builder.weight_decay(float()),
                "clipnorm" => builder.clipnorm(float() as f32),
                "clipvalue" => builder.clipvalue(float() as f32),
                "global_clipnorm" => builder.global_clipnorm(float() as f32),
                "gradient_accumulation_steps" => builder.gradient_accumulation_steps(whole() as u32),
                // The momentum turns it on here.
                "use_ema" => builder,
                "ema_momentum" => builder.ema(float()),
                "ema_overwrite_frequency" => builder.ema_overwrite_frequency(whole()),
                $(stringify!($float) => builder.$float(float()),)*
                $(stringify!($flag) => builder.$flag(value.as_bool().expect("true or false")),)*
                other => panic!("no option {other}"),
            };
        }
        builder.into()
    }};
}

fn optimizer(class: &str, config: &Map<String, Value>) -> Optimizer {
    match class {
        "SGD" => with_options!(config, Sgd::new(), momentum; nesterov),
        "RMSprop" => with_options!(config, RmsProp::new(), rho momentum epsilon; centered),
        "Adam" => with_options!(config, Adam::new(), beta_1 beta_2 epsilon; amsgrad),
        "AdamW" => with_options!(config, AdamW::new(), beta_1 beta_2 epsilon; amsgrad),
        "Nadam" => with_options!(config, Nadam::new(), beta_1 beta_2 epsilon;),
        "Adagrad" => with_options!(config, Adagrad::new(), initial_accumulator_value epsilon;),
        "Adadelta" => with_options!(config, Adadelta::new(), rho epsilon;),
        "Adamax" => with_options!(config, Adamax::new(), beta_1 beta_2 epsilon;),
        "Lion" => with_options!(config, Lion::new(), beta_1 beta_2;),
        "Lamb" => with_options!(config, Lamb::new(), beta_1 beta_2 epsilon;),
        "Adafactor" => {
            with_options!(config, Adafactor::new(), beta_2_decay epsilon_1 epsilon_2 clip_threshold;)
        }
        "Ftrl" => with_options!(config, Ftrl::new(), learning_rate_power initial_accumulator_value
            l1_regularization_strength l2_regularization_strength l2_shrinkage_regularization_strength beta;),
        other => panic!("no optimizer for {other}"),
    }
}

fn train(device: &Device, tolerance: Tolerance) {
    let mut report = Report::new();
    for case in family("training") {
        train_case(&case, device, tolerance, &mut report);
        fit_case(&case, device, tolerance, &mut report);
    }
    report.finish(1200);
}

/// The case's model with its start weights, compiled.
fn start(case: &Case, device: &Device) -> Model {
    let x = case.tensor("x");
    let mut model = case.architecture(&x.shape()[1..]).build(device).expect("a model of the case's layers");
    model.set_weights(case.numbered("w")).expect("Keras's weights fit");
    let (rule, score) = (&case.settings["optimizer"], &case.settings["loss"]);
    let rule =
        optimizer(rule["class_name"].as_str().expect("class"), rule["config"].as_object().expect("config"));
    let score = loss(score["class_name"].as_str().expect("class"), &score["config"]);
    model.compile(rule, score, &[]).expect("settings that work");
    model
}

/// Batch by batch, the loss of each step.
fn train_case(case: &Case, device: &Device, tolerance: Tolerance, report: &mut Report) {
    let (x, y) = (case.tensor("x"), case.tensor("y"));
    let mut model = start(case, device);
    let mut losses = Vec::new();
    for step in 0..case.count("steps") {
        let at = step % case.count("batches");
        if at == 0 {
            model.reset_states().expect("a reset");
        }
        let batch = |array: &ArrayD<f32>| array.index_axis(Axis(0), at).to_owned();
        let logs = match case.flag("weighted") {
            true => model.train_on_weighted_batch(&batch(x), &batch(y), &batch(case.tensor("sample_weight"))),
            false => model.train_on_batch(&batch(x), &batch(y)),
        };
        losses.push(logs.expect("a step").loss() as f32);
    }
    // Each loss against its own size: late ones are small.
    for (step, (&got, &want)) in losses.iter().zip(case.tensor("losses")).enumerate() {
        let what = format!("{} loss of step {step}", case.name);
        report.close(&what, &scalar(got), &scalar(want), tolerance.training, 0.0);
    }
    compare_weights(case, "final", "step by step", &model, tolerance, report);
}

/// The same by `fit`: batches gathered on the device, the mean loss of each epoch.
fn fit_case(case: &Case, device: &Device, tolerance: Tolerance, report: &mut Report) {
    let mut model = start(case, device);
    let (batches, batch) = (case.count("batches"), case.tensor("x").shape()[1]);
    let joined = |field: &str| {
        let array = case.tensor(field);
        let shape: Vec<usize> =
            std::iter::once(batches * batch).chain(array.shape()[2..].iter().copied()).collect();
        array.to_shape(shape).expect("whole batches").into_owned()
    };
    let epochs = case.count("steps") / batches;
    let weights = case.flag("weighted").then(|| joined("sample_weight"));
    let mut options = FitOptions::new()
        .epochs(epochs as u64)
        .batch_size(batch)
        .shuffle(false)
        .reset_states_after_epoch(true);
    if let Some(weights) = &weights {
        options = options.sample_weight(weights);
    }
    let history = model.fit(&joined("x"), &joined("y"), options).expect("a fit");
    let got = Array1::from_iter(history.get("loss").into_iter().map(|loss| loss as f32)).into_dyn();
    let losses = case.tensor("losses").to_shape((epochs, batches)).expect("whole epochs");
    let want = losses.mean_axis(Axis(1)).expect("batches").into_dyn();
    report.close(&format!("{} losses of epochs", case.name), &got, &want, tolerance.training, 0.0);
    let averaged = !case.settings["optimizer"]["config"]["use_ema"].is_null();
    let field = if averaged { "average" } else { "final" };
    compare_weights(case, field, "fit", &model, tolerance, report);
}

fn compare_weights(
    case: &Case,
    field: &str,
    how: &str,
    model: &Model,
    tolerance: Tolerance,
    report: &mut Report,
) {
    let weights = model.get_weights().expect("weights");
    for (i, (got, want)) in weights.iter().zip(case.numbered(field)).enumerate() {
        report.close(&format!("{} {field}.{i} ({how})", case.name), got, want, tolerance.training, 0.0);
    }
}

fn scalar(value: f32) -> ArrayD<f32> {
    Array1::from_elem(1, value).into_dyn()
}

/// A loss's value by `evaluate`, and its gradient by one SGD step of rate 1 on the bias of a Dense that hands its input
/// through: the bias then is minus the gradient by the prediction.
fn scores(device: &Device, tolerance: Tolerance) {
    let mut report = Report::new();
    for case in family("scores") {
        let class = case.settings["class_name"].as_str().expect("class");
        if case.settings["kind"] == "metric" {
            check_metric(&case, class, device, tolerance, &mut report);
            continue;
        }
        let score = loss(class, &case.settings["config"]);
        let (value, _) = evaluate(device, &case, score, &[]);
        let what = format!("{} value", case.name);
        report.close(&what, &scalar(value as f32), case.tensor("value"), tolerance.forward, 1e-3);
        if !case.flag("weighted") {
            check_gradient(&case, score, device, tolerance, &mut report);
        }
    }
    report.finish(250);
}

/// Loss and metrics of a model that hands its input through, in batches of two samples, with the case's weights.
fn evaluate(device: &Device, case: &Case, score: Loss, metrics: &[Metric]) -> (f64, Vec<f64>) {
    let (x, y) = (case.tensor("prediction"), case.tensor("target"));
    let input = match *x.shape() {
        [_, time, features] => Input::sequence(time, features),
        [_, features] => Input::vector(features),
        _ => panic!("predictions of shape {:?}", x.shape()),
    };
    let identity = Sequential::new(input).layer(ActivationLayer::new(Activation::Linear));
    let mut model = identity.build(device).expect("a model without weights");
    model
        .compile_outputs(Sgd::new(), &[Goal::new(score).weighted_metrics(metrics)])
        .expect("settings that work");
    let mut options = EvaluateOptions::new().batch_size(2);
    if case.flag("weighted") {
        options = options.sample_weight(case.tensor("sample_weight"));
    }
    let logs = model.evaluate_with(x, y, options).expect("a score");
    (logs.loss(), logs.iter().skip(1).map(|(_, value)| value).collect())
}

fn check_metric(case: &Case, class: &str, device: &Device, tolerance: Tolerance, report: &mut Report) {
    let wanted = metrics_of(class, &case.settings["config"]);
    // What `accuracy` stands for depends on the loss, and so does the shape of the target.
    let score = match class {
        _ if class.starts_with("Sparse") => Loss::SparseCategoricalCrossentropy { from_logits: true },
        "BinaryAccuracy" => Loss::BinaryCrossentropy { from_logits: true, label_smoothing: 0.0 },
        "CategoricalAccuracy" => Loss::CategoricalCrossentropy { from_logits: true, label_smoothing: 0.0 },
        _ => Loss::MeanSquaredError,
    };
    let plain = ["BinaryAccuracy", "CategoricalAccuracy", "SparseCategoricalAccuracy"].contains(&class);
    let mut metrics = wanted.clone();
    if plain {
        metrics.push(Metric::Accuracy);
    }
    let perplexity = class.ends_with("CategoricalCrossentropy");
    if perplexity {
        metrics.push(Metric::Perplexity { from_logits: false });
    }
    let (_, mut values) = evaluate(device, case, score, &metrics);
    assert_eq!(values.len(), metrics.len());
    if perplexity {
        // Keras has none: it is the exponential of the mean.
        let value = values.pop().expect("two values");
        values.push(value.ln());
    }
    let numbers = case.tensor("value").len();
    assert!(numbers == 1 || numbers == metrics.len(), "{}: {numbers} numbers", case.name);
    // Of a list of thresholds Keras gives a vector; otherwise all are the same number.
    let want = case.tensor("value").iter().copied().cycle();
    for (value, want) in values.into_iter().zip(want) {
        report.close(&case.name, &scalar(value as f32), &scalar(want), tolerance.forward, 1e-3);
    }
}

fn check_gradient(case: &Case, score: Loss, device: &Device, tolerance: Tolerance, report: &mut Report) {
    let (prediction, want) = (case.tensor("prediction"), case.tensor("dprediction"));
    let cols = *prediction.shape().last().expect("columns");
    let rows = prediction.len() / cols;
    let model = Sequential::new(Input::vector(cols)).layer(Dense::new(cols));
    let mut model = model.build(device).expect("a Dense");
    model.compile(Sgd::new().learning_rate(1.0), score, &[]).expect("settings that work");
    let targets = case.tensor("target").iter().copied().collect::<Vec<_>>();
    let targets = Array2::from_shape_vec((rows, targets.len() / rows), targets).expect("whole rows");
    let flat = prediction.iter().copied().collect::<Vec<_>>();
    let predictions = Array2::from_shape_vec((rows, cols), flat).expect("whole rows");

    let mut got = Vec::new();
    for row in 0..rows {
        let start = [Array::eye(cols).into_dyn(), Array::zeros(cols).into_dyn()];
        model.set_weights(&start).expect("a matrix and a vector");
        let at = |array: &Array2<f32>| array.slice_axis(Axis(0), (row..row + 1).into()).to_owned();
        model.train_on_batch(&at(&predictions), &at(&targets)).expect("a step");
        let weights = model.get_weights().expect("weights");
        // The golden's loss is the mean over all rows, this step's over one.
        got.extend(weights[1].iter().map(|b| -b / rows as f32));
    }
    let got = ArrayD::from_shape_vec(want.raw_dim(), got).expect("as many");
    report.close(&format!("{} gradient", case.name), &got, want, tolerance.gradient, 0.0);
}

#[test]
fn training_on_the_cpu() {
    train(&Device::cpu(), Tolerance::F32);
}

#[test]
fn training_on_the_cpu_with_any_number_of_threads() {
    for threads in [1, 3] {
        train(&Device::cpu_with_threads(threads), Tolerance::F32);
    }
}

#[test]
fn training_on_the_reference() {
    train(&Device::reference(), Tolerance::F64);
}

#[test]
fn training_on_the_gpu() {
    if let Some(device) = gpu() {
        train(&device, Tolerance::F32);
    }
}

#[test]
fn scores_on_the_cpu() {
    scores(&Device::cpu(), Tolerance::F32);
}

#[test]
fn scores_on_the_reference() {
    scores(&Device::reference(), Tolerance::F64);
}

#[test]
fn scores_on_the_gpu() {
    if let Some(device) = gpu() {
        scores(&device, Tolerance::F32);
    }
}
