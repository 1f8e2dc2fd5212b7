//! Optimizers: options both ways, and in which order Keras keeps what they remember.

use super::fields::{Config, given, object, option, shown, wrong};
use super::objects::{class_of, tidy, written};
use crate::{Error, Result};
use rnn_model::{
    Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion, Nadam, Optimizer, RmsProp, Schedule,
    Sgd,
};
use serde_json::{Value, json};

/// An optimizer of Keras's.
struct Class {
    name: &'static str,
    start: fn() -> Optimizer,
    /// our slots in Keras's order; those of one group take turns for each weight
    slots: &'static [&'static [Kept]],
}

/// A slot: Keras's name of it, ours, and the name that optimizers before TensorFlow 2.11 have for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub keras: &'static str,
    pub ours: &'static str,
    pub legacy: &'static str,
}

const fn kept(keras: &'static str, ours: &'static str, legacy: &'static str) -> Kept {
    Kept { keras, ours, legacy }
}

const M: Kept = kept("momentum", "m", "m");
const V: Kept = kept("velocity", "v", "v");
const ADAM: &[&[Kept]] = &[&[M, V], &[kept("velocity_hat", "x", "vhat")]];

macro_rules! classes {
    ($($name:literal $builder:ident $slots:expr;)*) => {
        const CLASSES: &[Class] =
            &[$(Class { name: $name, start: || $builder::new().into(), slots: $slots }),*];
    };
}

classes! {
    "Adam" Adam ADAM;
    "AdamW" AdamW ADAM;
    "SGD" Sgd &[&[kept("momentum", "m", "momentum")]];
    "RMSprop" RmsProp &[&[kept("velocity", "v", "rms")], &[kept("momentum", "m", "momentum")],
        &[kept("average_gradient", "x", "mg")]];
    "Nadam" Nadam &[&[M, V]];
    "Adagrad" Adagrad &[&[kept("accumulator", "v", "accumulator")]];
    "Adadelta" Adadelta &[&[kept("accumulated_grad", "v", "accum_grad"),
        kept("accumulated_delta_var", "x", "accum_var")]];
    "Adamax" Adamax &[&[M, kept("norm", "v", "v")]];
    "Lion" Lion &[&[M]];
    "Lamb" Lamb &[&[M, V]];
    "Ftrl" Ftrl &[&[kept("accumulator", "v", "accumulator"), kept("linear", "x", "linear")]];
    // Rows of a matrix, its columns, and what both make of it or a vector's own.
    "Adafactor" Adafactor &[&[kept("r", "m", "r"), kept("c", "v", "c"), V]];
}

/// Options that say nothing of numbers: how Keras runs it, a scale that is taken back, and `relative_step`, which its
/// formula does not use.
const FREE: [&str; 5] = ["name", "jit_compile", "is_legacy_optimizer", "loss_scale_factor", "relative_step"];

/// Options of every optimizer.
const COMMON: [&str; 10] = [
    "learning_rate",
    "lr",
    "decay",
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
];

fn data(optimizer: &Optimizer) -> Value {
    serde_json::to_value(optimizer).unwrap_or_default()
}

/// An optimizer by its class and configuration, or its name.
pub(super) fn read(value: &Value) -> Result<Optimizer> {
    let place = "optimizer";
    let nothing = Config::new();
    let (class, config) = match value {
        Value::String(name) => (name.as_str(), None),
        other => class_of(other, place)?,
    };
    let class = class.strip_prefix("Custom>").unwrap_or(class);
    // A wrapper that scales losses of float16, so that small gradients stay numbers; those of float32 do.
    if let ("LossScaleOptimizer", Some(inner)) =
        (class, config.and_then(|config| given(config, "inner_optimizer")))
    {
        return match class_of(inner, place)?.0 {
            "LossScaleOptimizer" => Err(Error::unsupported(place, "a LossScaleOptimizer within another")),
            _ => read(inner),
        };
    }
    let row = CLASSES.iter().find(|row| row.name.eq_ignore_ascii_case(class)).ok_or_else(|| {
        let known: Vec<&str> = CLASSES.iter().map(|row| row.name).collect();
        Error::unsupported(
            place,
            format!("there is no optimizer {class:?} here; there are {}", known.join(", ")),
        )
    })?;
    let place = format!("optimizer {}", row.name);
    let config = config.unwrap_or(&nothing);
    let mut ours = data(&(row.start)());
    for (key, value) in config {
        if FREE.contains(&key.as_str()) || COMMON.contains(&key.as_str()) {
            continue;
        }
        let place = option(&place, key);
        let steps = "gradient_accumulation_steps";
        match ours.get_mut("rule").and_then(|rule| rule.get_mut(key)) {
            Some(own) if key != "name" && (value.is_number() || value.is_boolean()) => *own = value.clone(),
            None if value.is_null() => {}
            None if key == steps => ours[steps] = value.clone(),
            _ => {
                return Err(Error::unsupported(
                    place,
                    format!("there is no such option here, and it is {}", shown(value)),
                ));
            }
        }
    }
    let number = |key: &str| match given(config, key) {
        None => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or_else(|| wrong(&option(&place, key), "a number", value)),
    };
    match given(config, "learning_rate").or_else(|| given(config, "lr")) {
        Some(rate @ Value::Object(_)) => {
            let schedule = schedule(rate, &place)?;
            ours["learning_rate"] = json!(schedule.at(0));
            ours["schedule"] = serde_json::to_value(&schedule).unwrap_or_default();
        }
        Some(rate) if rate.is_number() => ours["learning_rate"] = rate.clone(),
        Some(other) => return Err(wrong(&option(&place, "learning_rate"), "a number or a schedule", other)),
        None => {}
    }
    if let Some(decay) = number("decay")? {
        ours["decay"] = json!(decay);
    }
    if config.contains_key("weight_decay") {
        let none = config["weight_decay"].is_null() || config["weight_decay"] == json!(false);
        ours["weight_decay"] = json!(if none { 0.0 } else { number("weight_decay")?.unwrap_or(0.0) });
    }
    for (key, ours_key) in [("clipnorm", "norm"), ("clipvalue", "value"), ("global_clipnorm", "global_norm")]
    {
        if let Some(limit) = number(key)? {
            ours["clip"] = json!({ ours_key: limit });
        }
    }
    if given(config, "use_ema") == Some(&json!(true)) {
        let frequency = given(config, "ema_overwrite_frequency");
        let momentum = number("ema_momentum")?.unwrap_or(0.99);
        ours["average"] = json!({ "momentum": momentum, "overwrite_frequency": frequency });
    }
    serde_json::from_value(ours).map_err(|e| Error::damaged(place, e.to_string()))
}

fn schedule(value: &Value, place: &str) -> Result<Schedule> {
    let place = option(place, "learning_rate");
    let (class, config) = class_of(value, &place)?;
    let mut config = config.cloned().unwrap_or_default();
    config.remove("name");
    if class == "CosineDecay" {
        config.entry("warmup_target").or_insert(Value::Null);
        config.entry("warmup_steps").or_insert(json!(0));
    }
    let schedule = json!({ "class_name": class, "config": config });
    serde_json::from_value(schedule)
        .map_err(|e| Error::unsupported(place, format!("the schedule {class:?}: {e}")))
}

/// The same optimizer without the `decay` of Keras 2, `rate / (1 + decay step)`: with the schedule that Keras 3 has for it.
pub(super) fn scheduled(optimizer: &Optimizer) -> Result<Optimizer> {
    let mut ours = data(optimizer);
    if ours["decay"] != json!(0.0) && ours.get("schedule").is_none_or(Value::is_null) {
        let options = json!({
            "initial_learning_rate": ours["learning_rate"], "decay_steps": 1.0, "decay_rate": ours["decay"],
            "staircase": false,
        });
        ours["schedule"] = json!({ "class_name": "InverseTimeDecay", "config": options });
    }
    ours["decay"] = json!(0.0);
    serde_json::from_value(ours).map_err(|e| Error::unsupported("optimizer", format!("its decay: {e}")))
}

/// An optimizer in Keras's form.
pub(super) fn write(optimizer: &Optimizer) -> Result<Value> {
    let ours = data(&scheduled(optimizer)?);
    let row = class(optimizer)?;
    let mut config = Config::new();
    for (key, value) in object(&ours["rule"], "optimizer")?.iter().filter(|(key, _)| *key != "name") {
        config.insert(key.clone(), value.clone());
    }
    let mut set = |key: &str, value: Value| drop(config.insert(key.to_owned(), tidy(value)));
    set("name", json!(super::names::snake_case(row.name)));
    match ours.get("schedule") {
        Some(schedule) if !schedule.is_null() => {
            let (class, options) = class_of(schedule, "optimizer")?;
            let options = Value::Object(options.cloned().unwrap_or_default());
            set("learning_rate", written("keras.optimizers.schedules", class, options));
        }
        _ => set("learning_rate", ours["learning_rate"].clone()),
    }
    let decay = &ours["weight_decay"];
    set(
        "weight_decay",
        if *decay == json!(0.0) && row.name != "AdamW" { Value::Null } else { decay.clone() },
    );
    for (key, name) in [("clipnorm", "norm"), ("clipvalue", "value"), ("global_clipnorm", "global_norm")] {
        set(key, ours["clip"].get(name).cloned().unwrap_or_default());
    }
    let average = ours.get("average").filter(|average| !average.is_null());
    set("use_ema", json!(average.is_some()));
    set("ema_momentum", average.map_or(json!(0.99), |average| average["momentum"].clone()));
    set(
        "ema_overwrite_frequency",
        average.map_or(Value::Null, |average| average["overwrite_frequency"].clone()),
    );
    set("loss_scale_factor", Value::Null);
    set("gradient_accumulation_steps", ours.get("gradient_accumulation_steps").cloned().unwrap_or_default());
    Ok(written("keras.optimizers", row.name, Value::Object(config)))
}

/// The rate that it steps with, of a schedule the first.
pub(super) fn learning_rate(optimizer: &Optimizer) -> f64 {
    data(optimizer)["learning_rate"].as_f64().unwrap_or(0.0)
}

/// The row of an optimizer of ours.
fn class(optimizer: &Optimizer) -> Result<&'static Class> {
    let ours = data(optimizer);
    let rule = ours["rule"]["name"].as_str().unwrap_or("");
    let decays = ours["weight_decay"] != json!(0.0);
    // Keras has two classes of one rule.
    let name = if rule == "adam" && decays { "adamw" } else { rule };
    let row = CLASSES.iter().find(|row| row.name.eq_ignore_ascii_case(name));
    row.ok_or_else(|| Error::unsupported("optimizer", format!("Keras has no {rule:?}")))
}

/// What an optimizer keeps, beside its count of steps.
pub(super) struct Keeps {
    /// its learning rate is a variable, not a schedule
    pub learning_rate: bool,
    /// in the order of Keras's variables; those of a group take turns for each weight
    pub groups: Vec<Vec<Kept>>,
    /// the factors of Adafactor, which keeps means of rows and columns
    pub factored: bool,
    /// Nadam's product of momenta, behind everything else
    pub product: Option<f64>,
}

/// What an optimizer keeps: slots that `has` says it has.
pub(super) fn keeps(optimizer: &Optimizer) -> Result<Keeps> {
    let ours = data(optimizer);
    let row = class(optimizer)?;
    let rule = &ours["rule"];
    let on = |key: &str| rule[key] == json!(true) || rule[key].as_f64().is_some_and(|x| x != 0.0);
    let has = |kept: &Kept| match (row.name, kept.keras) {
        ("SGD" | "RMSprop", "momentum") => on("momentum"),
        ("RMSprop", "average_gradient") => on("centered"),
        ("Adam" | "AdamW", "velocity_hat") => on("amsgrad"),
        _ => true,
    };
    let is = |key: &str| ours.get(key).is_some_and(|value| !value.is_null());
    let mut groups = Vec::new();
    if is("average") {
        groups.push(vec![kept("average", "average", "average")]);
    }
    if is("gradient_accumulation_steps") {
        groups.push(vec![kept("gradient_accumulator", "gathered", "gradient_accumulator")]);
    }
    for group in row.slots {
        let group: Vec<Kept> = group.iter().copied().filter(has).collect();
        if !group.is_empty() {
            groups.push(group);
        }
    }
    Ok(Keeps {
        learning_rate: !is("schedule"),
        groups,
        factored: row.name == "Adafactor",
        product: (row.name == "Nadam").then(|| rule["beta_1"].as_f64().unwrap_or(0.9)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_optimizer_comes_back_from_keras_s_form() {
        for row in CLASSES {
            let ours = (row.start)();
            let keras = write(&ours).unwrap();
            assert_eq!(keras["class_name"], row.name);
            assert_eq!(read(&keras).unwrap(), ours, "{}", row.name);
            assert_eq!(read(&json!(row.name.to_lowercase())).unwrap(), ours);
        }
        let ours: Optimizer = Adam::new()
            .learning_rate(Schedule::cosine_decay(0.1, 100).warmup(0.2, 10))
            .global_clipnorm(1.5)
            .ema(0.9)
            .ema_overwrite_frequency(3)
            .gradient_accumulation_steps(4)
            .amsgrad(true)
            .into();
        assert_eq!(read(&write(&ours).unwrap()).unwrap(), ours);
        let groups: Vec<Vec<&str>> =
            keeps(&ours).unwrap().groups.iter().map(|g| g.iter().map(|k| k.ours).collect()).collect();
        assert_eq!(groups, [vec!["average"], vec!["gathered"], vec!["m", "v"], vec!["x"]]);
    }

    #[test]
    fn a_scale_of_losses_is_taken_off_once() {
        let ours: Optimizer = Adam::new().learning_rate(0.5).into();
        let scaled = |inner| json!({"class_name": "LossScaleOptimizer", "config": {"inner_optimizer": inner, "initial_scale": 32768.0}});
        let once = scaled(write(&ours).unwrap());
        assert_eq!(read(&once).unwrap(), ours);
        let twice = read(&scaled(once)).unwrap_err().to_string();
        assert!(twice.contains("LossScaleOptimizer within another"), "{twice}");
    }

    #[test]
    fn the_decay_of_keras_2_is_the_schedule_that_is_the_same() {
        let old: Optimizer = Adam::new().learning_rate(0.01).decay(0.5).into();
        let new: Optimizer = Adam::new().learning_rate(Schedule::inverse_time_decay(0.01, 1, 0.5)).into();
        assert_eq!(write(&old).unwrap(), write(&new).unwrap());
        assert!(!keeps(&scheduled(&old).unwrap()).unwrap().learning_rate);
    }

    #[test]
    fn what_is_not_known_is_named() {
        let message = |value: Value| read(&value).unwrap_err().to_string();
        assert!(message(json!({ "class_name": "Muon", "config": {} })).contains("Muon"));
        let odd = json!({ "class_name": "Adam", "config": { "beta_3": 0.5 } });
        assert!(message(odd).starts_with("optimizer Adam, option beta_3: "));
        let odd = json!({ "class_name": "SGD", "config": { "learning_rate": { "class_name": "Mine", "config": {} } } });
        assert!(message(odd).contains("Mine"));
    }
}
