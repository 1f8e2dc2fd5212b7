//! Training within a memory budget equals the plain one for every kind of graph whose time axis can be cut: masks, packed rows,
//! words, shared layers, states handed from an encoder to a decoder, layers in between that need whole sequences, noise.

mod devices;

use devices::on_each;
use ndarray::{Array2, Array3, ArrayD, Axis};
use rnn_model::layer::{
    ActivityRegularization, Bidirectional, Dense, Dropout, Embedding, GaussianNoise, Gru, Lstm, LstmCell,
    Masking, Regularizer, RepeatVector, Rnn, SharedLayer, SimpleRnn, TimeDistributed, concatenate, packed,
    with_lengths,
};
use rnn_model::{
    Adam, Device, Error, Graph, Input, Loss, MemoryNeed, Model, Resets, Sgd, Symbol, apply, cell::Zoneout,
};

const BATCH: usize = 3;
const TIME: usize = 48;

fn waves(time: usize, features: usize, phase: f32) -> ArrayD<f32> {
    let wave = |(i, t, k)| ((0.3 + 0.1 * i as f32) * t as f32 + k as f32 + phase).sin();
    Array3::from_shape_fn((BATCH, time, features), wave).into_dyn()
}

/// Waves whose steps before the sample's number and behind a third of it are not there, and one in the middle.
fn gaps(time: usize) -> ArrayD<f32> {
    let mut x = waves(time, 2, 0.0);
    for (i, mut row) in x.axis_iter_mut(Axis(0)).enumerate() {
        for (t, mut step) in row.axis_iter_mut(Axis(0)).enumerate() {
            if t < 9 * i || t + 5 * i > time || t == 25 {
                step.fill(0.0);
            }
        }
    }
    x
}

/// Numbers of words below 7, 0 for those that are not there.
fn words(time: usize) -> ArrayD<f32> {
    let word = |(i, t)| if t + 11 * i >= time || t < 2 * i { 0.0 } else { ((5 * t + 3 * i) % 6 + 1) as f32 };
    Array2::from_shape_fn((BATCH, time), word).into_dyn()
}

/// A graph with inputs and targets.
struct Case {
    name: &'static str,
    graph: Graph,
    x: Vec<ArrayD<f32>>,
    y: ArrayD<f32>,
    /// Most that the cut training may take of what the plain one does: layers that need whole sequences need them still.
    share: f64,
}

fn of(layer: &SharedLayer, x: &Symbol) -> Symbol {
    apply(layer, &[x]).unwrap().swap_remove(0)
}

fn cases() -> Vec<Case> {
    let sequence = |features| Input::sequence(None, features).symbol();
    let mut cases = Vec::new();
    let mut add =
        |name, graph: Graph, x, y, share| cases.push(Case { name, graph: graph.seed(11), x, y, share });

    let x = sequence(2);
    let h = x.layer(Masking::new(0.0)).unwrap().layer(Lstm::new(6).return_sequences(true)).unwrap();
    let y = h.layer(Gru::new(5).return_sequences(true)).unwrap().layer(Dense::new(2)).unwrap();
    add("masking", Graph::new(&[&x], &[&y]).unwrap(), vec![gaps(TIME)], waves(TIME, 2, 1.0), 0.6);

    let x = sequence(2);
    let h = x.layer(Masking::new(0.0)).unwrap();
    let h = h.layer(Gru::new(6).return_sequences(true).zero_output_for_mask(true).stateful(true)).unwrap();
    let y = h.layer(Lstm::new(5).stateful(true)).unwrap().layer(Dense::new(2)).unwrap();
    let targets = waves(1, 2, 1.0).remove_axis(Axis(1));
    add("stateful masking", Graph::new(&[&x], &[&y]).unwrap(), vec![gaps(TIME)], targets, 0.6);

    let x = Input::tokens(None).symbol();
    let h = x.layer(Embedding::new(7, 4).mask_zero(true)).unwrap();
    let h = h.layer(Lstm::new(6).return_sequences(true)).unwrap().layer(Dropout::new(0.3)).unwrap();
    let y = h.layer(Dense::new(7)).unwrap();
    add("words", Graph::new(&[&x], &[&y]).unwrap(), vec![words(TIME)], waves(TIME, 7, 1.0), 0.75);

    let (x, lengths) = (sequence(2), Input::vector(1).symbol());
    let h = with_lengths(&x, &lengths).unwrap().layer(Gru::new(6).return_sequences(true)).unwrap();
    let y = h.layer(Dense::new(2)).unwrap();
    let given = Array2::from_shape_vec((BATCH, 1), vec![48.0, 13.0, 40.0]).unwrap().into_dyn();
    let graph = Graph::new(&[&x, &lengths], &[&y]).unwrap();
    add("lengths", graph, vec![waves(TIME, 2, 0.0), given], waves(TIME, 2, 1.0), 0.75);

    let (x, series) = (sequence(2), Input::tokens(None).symbol());
    let h = packed(&x, &series).unwrap().layer(Lstm::new(6).return_sequences(true)).unwrap();
    let y = h.layer(Dense::new(2)).unwrap();
    let rows = |(i, t)| if t > 44 { 0.0 } else { (t / (8 + 4 * i) + 1) as f32 };
    let rows = Array2::from_shape_fn((BATCH, TIME), rows).into_dyn();
    let graph = Graph::new(&[&x, &series], &[&y]).unwrap();
    add("packed", graph, vec![waves(TIME, 2, 0.0), rows], waves(TIME, 2, 1.0), 0.75);

    // One layer reads two sequences of different lengths.
    let (a, b) = (sequence(2), sequence(2));
    let shared = SharedLayer::new(Lstm::new(6));
    let (ha, hb) = (of(&shared, &a), of(&shared, &b));
    let y = concatenate(-1, &[&ha, &hb]).unwrap().layer(Dense::new(2)).unwrap();
    let targets = waves(1, 2, 1.0).remove_axis(Axis(1));
    let graph = Graph::new(&[&a, &b], &[&y]).unwrap();
    add("shared by two sequences", graph, vec![waves(TIME, 2, 0.0), waves(32, 2, 2.0)], targets, 0.6);

    // One layer twice in a row, the same steps.
    let x = sequence(4);
    let shared = SharedLayer::new(SimpleRnn::new(4).return_sequences(true));
    let h = of(&shared, &x);
    let y = of(&shared, &h).layer(Dense::new(2)).unwrap();
    add(
        "shared in a chain",
        Graph::new(&[&x], &[&y]).unwrap(),
        vec![waves(TIME, 4, 0.0)],
        waves(TIME, 2, 1.0),
        0.9,
    );

    // Sequence to sequence with words on both sides: states are handed over, padding is masked.
    let (source, target) = (Input::tokens(None).symbol(), Input::tokens(None).symbol());
    let embed = |x: &Symbol| x.layer(Embedding::new(7, 4).mask_zero(true)).unwrap();
    let encoded = apply(Lstm::new(6).return_state(true), &[&embed(&source)]).unwrap();
    let decoder = Lstm::new(6).return_sequences(true);
    let decoded = apply(decoder, &[&embed(&target), &encoded[1], &encoded[2]]).unwrap().swap_remove(0);
    let y = decoded.layer(Dense::new(7)).unwrap();
    let graph = Graph::new(&[&source, &target], &[&y]).unwrap();
    let mut late = words(40);
    late.slice_mut(ndarray::s![1, ..18]).fill(0.0);
    add("encoder and decoder", graph, vec![words(TIME), late], waves(40, 7, 1.0), 0.75);

    // By a vector at every step, with a layer between that needs the whole sequence.
    let x = sequence(2);
    let h = x.layer(Lstm::new(6).return_sequences(true)).unwrap();
    let h = h.layer(Bidirectional::new(Gru::new(3))).unwrap();
    let h = h.layer(RepeatVector::new(32)).unwrap().layer(Lstm::new(6).return_sequences(true)).unwrap();
    let y = h.layer(TimeDistributed::new(Dense::new(2))).unwrap();
    add(
        "whole in between",
        Graph::new(&[&x], &[&y]).unwrap(),
        vec![waves(TIME, 2, 0.0)],
        waves(32, 2, 1.0),
        0.9,
    );

    // What is drawn while training, and a penalty on what passes.
    let x = sequence(3);
    let h = x.layer(TimeDistributed::new(Dropout::new(0.2))).unwrap().layer(GaussianNoise::new(0.1)).unwrap();
    let zoned = Zoneout::new(LstmCell::new(4), [0.2, 0.1]);
    let h = h.layer(Rnn::new(zoned).return_sequences(true)).unwrap();
    let h = h.layer(Gru::new(5).dropout(0.2).recurrent_dropout(0.2).return_sequences(true)).unwrap();
    let h = h.layer(ActivityRegularization::new(Regularizer::l2(0.01))).unwrap();
    let y = h.layer(Dense::new(2)).unwrap();
    add("noise", Graph::new(&[&x], &[&y]).unwrap(), vec![waves(TIME, 3, 0.0)], waves(TIME, 2, 1.0), 0.6);
    cases
}

fn build(case: &Case, device: &Device) -> Model {
    let mut model = case.graph.build(device).unwrap();
    // Updates of about the gradient's size: Adam divides by the root of its square, and turns a rounding of a gradient near
    // zero into a whole step.
    model.compile(Sgd::new().learning_rate(0.05).momentum(0.9), Loss::MeanSquaredError, &[]).unwrap();
    model
}

fn apart(a: &[ArrayD<f32>], b: &[ArrayD<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).flat_map(|(a, b)| {
        assert_eq!(a.shape(), b.shape());
        (a - b).into_iter().map(f32::abs)
    });
    differences.fold(0.0, |worst, d| if d.is_nan() || worst.is_nan() { f32::NAN } else { worst.max(d) })
}

/// Twenty steps: losses and weights, and the states that are kept.
fn train(case: &Case, mut model: Model) -> (Vec<f64>, Vec<ArrayD<f32>>) {
    let step = |_| model.train_on_batch(&case.x, &case.y).unwrap().loss();
    let losses = (0..20).map(step).collect();
    let mut values = model.get_weights().unwrap();
    values.extend(model.get_states().unwrap().into_iter().flat_map(|s| s.states));
    (losses, values)
}

fn need(case: &Case, model: &Model) -> MemoryNeed {
    let samples: Vec<&[usize]> = case.x.iter().map(|x| &x.shape()[1..]).collect();
    model.memory_need_for(BATCH, &samples).unwrap()
}

/// The same losses and weights, in the smallest budget: sums over the steps are taken in another order, so gradients differ by
/// the rounding of some 150 terms, 1e-5 of them; twenty steps of momentum 0.9 add up to ten gradients each, and curvature does
/// not amplify a difference more than tenfold at this rate.
fn check(device: &Device, tolerance: f32) {
    for case in cases() {
        let (losses, values) = train(&case, build(&case, device));
        let model = build(&case, device);
        let need = need(&case, &model);
        let least = need.smallest();
        let bound = (case.share * need.total() as f64) as u64;
        assert!(least < bound, "{}: {need}", case.name);
        drop(model);
        let mut model = build(&case, device);
        model.set_memory_budget(Some(least));
        let (got_losses, got) = train(&case, model);
        let off = apart(&got, &values);
        assert!(off < tolerance, "{} on {}: weights are {off} apart", case.name, device.name());
        for (a, b) in got_losses.iter().zip(&losses) {
            let off = (a - b).abs() / b.abs().max(0.1);
            assert!(off < tolerance as f64, "{} on {}: losses {a} and {b}", case.name, device.name());
        }
        assert!(losses[19] < losses[0], "{}: {losses:?}", case.name);
        let mut model = build(&case, device);
        model.set_memory_budget(Some(least / 2));
        let error = model.train_on_batch(&case.x, &case.y).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        assert!(error.to_string().contains("smaller batches"), "{error}");
    }
}

#[test]
fn twenty_steps_within_a_budget_equal_the_plain_ones() {
    on_each(|device| check(device, 2e-3));
}

/// In double precision only weights and data on their way through f32 round.
#[test]
fn twenty_steps_within_a_budget_are_the_plain_ones_in_double_precision() {
    check(&Device::reference(), 1e-5);
}

/// The CPU's kernels keep what they need beside the buffers to themselves; the pool counts the buffers. Targets, and sums of
/// losses, come on top: less than the 64 values for each step's.
#[test]
fn the_peak_stays_within_the_budget() {
    for case in cases() {
        let device = Device::cpu();
        let mut model = build(&case, &device);
        let least = need(&case, &model).smallest();
        model.set_memory_budget(Some(least));
        model.train_on_batch(&case.x, &case.y).unwrap();
        let (peak, targets) = (device.memory().peak, 64 * 8 * 4);
        assert!(peak <= least + targets, "{}: {peak} > {least}", case.name);
    }
}

#[test]
fn resets_go_into_every_part() {
    on_each(|device| {
        let x = waves(TIME, 2, 0.0);
        let resets = Array2::from_shape_fn((BATCH, TIME), |(i, t)| t % (7 + i) == 3);
        let x3 = x.clone().into_dimensionality::<ndarray::Ix3>().unwrap();
        let train = |budget: Option<u64>| {
            let input = Input::sequence(None, 2).symbol();
            let y = input.layer(Lstm::new(6).return_sequences(true)).unwrap().layer(Dense::new(2)).unwrap();
            let mut model = Graph::new(&[&input], &[&y]).unwrap().build(device).unwrap();
            model.compile(Sgd::new().learning_rate(0.1), Loss::MeanSquaredError, &[]).unwrap();
            let least = model.memory_need(BATCH, TIME).unwrap().smallest();
            // The numbers of the stretches between resets take as much as one more feature.
            model.set_memory_budget(budget.map(|_| least + 3000));
            for _ in 0..5 {
                model.train_on_batch_with_resets(&x3, &x, Resets::from(&resets)).unwrap();
            }
            model.get_weights().unwrap()
        };
        // Sums in another order, as above, over five steps.
        let off = apart(&train(Some(0)), &train(None));
        assert!(off < 1e-4, "{off}");
    });
}

#[test]
fn what_can_not_be_cut_says_why() {
    let x = Input::sequence(None, 2).symbol();
    let y = x.layer(Bidirectional::new(Lstm::new(3))).unwrap().layer(Dense::new(1)).unwrap();
    let mut model = Graph::new(&[&x], &[&y]).unwrap().build(&Device::cpu()).unwrap();
    model.compile(Adam::new(), Loss::MeanSquaredError, &[]).unwrap();
    assert!(model.memory_need(2, 100).unwrap().recomputed.is_empty());
    model.set_memory_budget(Some(10_000));
    let (x, y) = (Array3::<f32>::zeros((2, 100, 2)), Array2::<f32>::zeros((2, 1)));
    let error = model.train_on_batch(&x, &y).unwrap_err().to_string();
    assert!(error.contains("layer bidirectional: it needs whole sequences"), "{error}");
    assert!(error.contains("smaller batches or shorter sequences"), "{error}");
}
