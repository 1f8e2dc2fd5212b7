//! Twenty training steps as Keras does them, for every optimizer, loss and cell; and losses, their gradients and
//! metrics alone.

mod common;

use common::golden::{Case, family};
use common::{Report, Tolerance, gpu};
use ndarray::{Array, Array1, Array2, ArrayD, Axis};
use rnn_model::layer::{ActivationLayer, Dense};
use rnn_model::{
    Adam, AdamW, Device, FitOptions, Input, Loss, Metric, Model, Optimizer, RmsProp, Sequential, Sgd,
};
use rnn_shaders::vocabulary::Activation;
use serde_json::{Map, Value};

/// A loss by Keras's class name and options.
fn loss(class: &str, config: &Value) -> Loss {
    let from_logits = config["from_logits"].as_bool().unwrap_or(false);
    match class {
        "MeanSquaredError" => Loss::MeanSquaredError,
        "MeanAbsoluteError" => Loss::MeanAbsoluteError,
        "Huber" => Loss::Huber { delta: config["delta"].as_f64().expect("delta") as f32 },
        "BinaryCrossentropy" => Loss::BinaryCrossentropy { from_logits },
        "CategoricalCrossentropy" => Loss::CategoricalCrossentropy { from_logits },
        "SparseCategoricalCrossentropy" => Loss::SparseCategoricalCrossentropy { from_logits },
        "KLDivergence" => Loss::KlDivergence,
        other => panic!("no loss for {other}"),
    }
}

/// Applies the options of a case to a builder; one that no arm takes is a panic.
macro_rules! with_options {
    ($config:expr, $start:expr, $($float:ident)*; $($single:ident)*; $($flag:ident)*) => {{
        let mut builder = $start;
        for (key, value) in $config {
            builder = match key.as_str() {
                $(stringify!($float) => builder.$float(value.as_f64().expect("a number")),)*
                $(stringify!($single) => builder.$single(value.as_f64().expect("a number") as f32),)*
                $(stringify!($flag) => builder.$flag(value.as_bool().expect("true or false")),)*
                other => panic!("no option {other}"),
            };
        }
        builder.into()
    }};
}

fn optimizer(class: &str, config: &Map<String, Value>) -> Optimizer {
    match class {
        "SGD" => with_options!(config, Sgd::new(), learning_rate decay weight_decay momentum;
            clipnorm clipvalue global_clipnorm; nesterov),
        "RMSprop" => {
            with_options!(config, RmsProp::new(), learning_rate decay weight_decay rho momentum epsilon;
            clipnorm clipvalue global_clipnorm; centered)
        }
        "Adam" => with_options!(config, Adam::new(), learning_rate decay weight_decay beta_1 beta_2 epsilon;
            clipnorm clipvalue global_clipnorm; amsgrad),
        "AdamW" => {
            with_options!(config, AdamW::new(), learning_rate decay weight_decay beta_1 beta_2 epsilon;
            clipnorm clipvalue global_clipnorm; amsgrad)
        }
        other => panic!("no optimizer for {other}"),
    }
}

fn train(device: &Device, tolerance: Tolerance) {
    let mut report = Report::new();
    for case in family("training") {
        // Sample weights are an argument of the score kernels, not of `fit`.
        if !case.flag("weighted") {
            train_case(&case, device, tolerance, &mut report);
            fit_case(&case, device, tolerance, &mut report);
        }
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
        let logs = model.train_on_batch(&x.index_axis(Axis(0), at), &y.index_axis(Axis(0), at));
        losses.push(logs.expect("a step").loss() as f32);
    }
    // Each loss against its own size: late ones are small.
    for (step, (&got, &want)) in losses.iter().zip(case.tensor("losses")).enumerate() {
        let what = format!("{} loss of step {step}", case.name);
        report.close(&what, &scalar(got), &scalar(want), tolerance.training, 0.0);
    }
    final_weights(case, "step by step", &model, tolerance, report);
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
    let options = FitOptions::new()
        .epochs(epochs as u64)
        .batch_size(batch)
        .shuffle(false)
        .reset_states_after_epoch(true);
    let history = model.fit(&joined("x"), &joined("y"), options).expect("a fit");
    let got = Array1::from_iter(history.get("loss").into_iter().map(|loss| loss as f32)).into_dyn();
    let losses = case.tensor("losses").to_shape((epochs, batches)).expect("whole epochs");
    let want = losses.mean_axis(Axis(1)).expect("batches").into_dyn();
    report.close(&format!("{} losses of epochs", case.name), &got, &want, tolerance.training, 0.0);
    final_weights(case, "fit", &model, tolerance, report);
}

fn final_weights(case: &Case, how: &str, model: &Model, tolerance: Tolerance, report: &mut Report) {
    let weights = model.get_weights().expect("weights");
    for (i, (got, want)) in weights.iter().zip(case.numbered("final")).enumerate() {
        report.close(&format!("{} final.{i} ({how})", case.name), got, want, tolerance.training, 0.0);
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
        if case.flag("weighted") {
            continue;
        }
        let class = case.settings["class_name"].as_str().expect("class");
        let prediction = case.tensor("prediction");
        if case.settings["kind"] == "metric" {
            check_metric(&case, class, device, tolerance, &mut report);
            continue;
        }
        let score = loss(class, &case.settings["config"]);
        let (value, _) = evaluate(device, prediction, case.tensor("target"), score, &[]);
        let what = format!("{} value", case.name);
        report.close(&what, &scalar(value as f32), case.tensor("value"), tolerance.forward, 1e-3);
        check_gradient(&case, score, device, tolerance, &mut report);
    }
    report.finish(70);
}

/// Loss and metrics of a model that hands its input through.
fn evaluate(
    device: &Device,
    x: &ArrayD<f32>,
    y: &ArrayD<f32>,
    score: Loss,
    metrics: &[Metric],
) -> (f64, Vec<f64>) {
    let input = match *x.shape() {
        [_, time, features] => Input::sequence(time, features),
        [_, features] => Input::vector(features),
        _ => panic!("predictions of shape {:?}", x.shape()),
    };
    let identity = Sequential::new(input).layer(ActivationLayer::new(Activation::Linear));
    let mut model = identity.build(device).expect("a model without weights");
    model.compile(Sgd::new(), score, metrics).expect("settings that work");
    let logs = model.evaluate(x, y).expect("a score");
    (logs.loss(), logs.iter().skip(1).map(|(_, value)| value).collect())
}

fn check_metric(case: &Case, class: &str, device: &Device, tolerance: Tolerance, report: &mut Report) {
    let metric = match class {
        "MeanAbsoluteError" => Metric::MeanAbsoluteError,
        "MeanSquaredError" => Metric::MeanSquaredError,
        "RootMeanSquaredError" => Metric::RootMeanSquaredError,
        "BinaryAccuracy" => Metric::BinaryAccuracy,
        "CategoricalAccuracy" => Metric::CategoricalAccuracy,
        "SparseCategoricalAccuracy" => Metric::SparseCategoricalAccuracy,
        other => panic!("no metric for {other}"),
    };
    // What `accuracy` stands for depends on the loss, and so does the shape of the target.
    let score = match class {
        "SparseCategoricalAccuracy" => Loss::SparseCategoricalCrossentropy { from_logits: true },
        "BinaryAccuracy" => Loss::BinaryCrossentropy { from_logits: true },
        "CategoricalAccuracy" => Loss::CategoricalCrossentropy { from_logits: true },
        _ => Loss::MeanSquaredError,
    };
    let metrics = if class.ends_with("Accuracy") { vec![metric, Metric::Accuracy] } else { vec![metric] };
    let (_, values) = evaluate(device, case.tensor("prediction"), case.tensor("target"), score, &metrics);
    assert_eq!(values.len(), metrics.len());
    for value in values {
        report.close(&case.name, &scalar(value as f32), case.tensor("value"), tolerance.forward, 1e-3);
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

/// With weights per sample: the value is their weighted sum over the number of rows, as Keras has it.
#[test]
fn weighted_scores_of_the_cpu_kernels() {
    let mut report = Report::new();
    for case in
        family("scores").iter().filter(|case| case.flag("weighted") && case.settings["kind"] == "loss")
    {
        let (prediction, target) = (case.tensor("prediction"), case.tensor("target"));
        let cols = *prediction.shape().last().expect("columns");
        let rows = prediction.len() / cols;
        let samples = prediction.shape()[0];
        let weights: Vec<f32> =
            case.tensor("sample_weight").iter().flat_map(|&w| vec![w; rows / samples]).collect();
        let score = kernel_score(case);
        let (p, t) = (slice(prediction), slice(target));
        let mut out = vec![0.0f32; rows];
        cpu_core::score_forward(score, rows, cols, p, t, Some(&weights), &mut out).expect("shapes that fit");
        let value = out.iter().sum::<f32>() / rows as f32;
        let tolerance = Tolerance::F32;
        report.close(&case.name, &scalar(value), case.tensor("value"), tolerance.forward, 1e-3);
        let mut dp = vec![0.0f32; p.len()];
        let scale = 1.0 / rows as f32;
        cpu_core::score_backward(score, rows, cols, p, t, Some(&weights), scale, &mut dp)
            .expect("shapes that fit");
        let want = case.tensor("dprediction");
        let got = ArrayD::from_shape_vec(want.raw_dim(), dp).expect("as many");
        report.close(&format!("{} gradient", case.name), &got, want, tolerance.gradient, 0.0);
    }
    report.finish(40);
}

fn slice(array: &ArrayD<f32>) -> &[f32] {
    array.as_slice().expect("row order")
}

fn kernel_score(case: &Case) -> rnn_shaders::vocabulary::Score {
    use rnn_shaders::vocabulary::Score;
    match loss(case.settings["class_name"].as_str().expect("class"), &case.settings["config"]) {
        Loss::MeanSquaredError => Score::MeanSquaredError,
        Loss::MeanAbsoluteError => Score::MeanAbsoluteError,
        Loss::Huber { delta } => Score::Huber { delta },
        Loss::BinaryCrossentropy { from_logits } => {
            Score::BinaryCrossentropy { from_logits, label_smoothing: 0.0 }
        }
        Loss::CategoricalCrossentropy { from_logits } => {
            Score::CategoricalCrossentropy { from_logits, label_smoothing: 0.0 }
        }
        Loss::SparseCategoricalCrossentropy { from_logits } => {
            Score::SparseCategoricalCrossentropy { from_logits }
        }
        Loss::KlDivergence => Score::KlDivergence,
        other => panic!("no kernel for {other:?}"),
    }
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
