//! `tidegate devices`: what models can run on.

use rnn_model::{AdapterReport, adapters};
use serde_json::{Value, json};

use crate::console::Console;
use crate::failure::Outcome;
use crate::table::{Align, render};

pub fn run(console: &Console) -> Outcome {
    let adapters = adapters();
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    let mut objects = vec![json!({
        "name": "cpu",
        "backend": "cpu",
        "type": "CPU device",
        "driver": format!("{threads} threads, {}", instruction_set()),
        "supported": true,
        "features": [],
    })];
    objects.extend(adapters.iter().map(object));
    console.object(&objects)?;
    let rows: Vec<Vec<String>> = objects.iter().map(row).collect();
    let columns =
        ["name", "backend", "type", "driver", "supported", "features"].map(|name| (name, Align::Left));
    console.text(render(&columns, &rows))?;
    match adapters.iter().find(|adapter| adapter.compute && adapter.kind.is_hardware()) {
        Some(best) => console.note(format!("\n--device auto runs on {}", best.name)),
        None => console.note("\n--device auto runs on cpu: there is no hardware GPU with compute shaders"),
    }
    Ok(())
}

fn object(adapter: &AdapterReport) -> Value {
    let has = [
        ("f16", adapter.shader_f16),
        ("subgroups", adapter.subgroups),
        ("timestamps", adapter.timestamps),
        ("cooperative-matrix", adapter.cooperative_matrix),
    ];
    let features: Vec<&str> = has.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    json!({
        "index": adapter.index,
        "name": adapter.name,
        "backend": adapter.backend,
        "type": adapter.kind.to_string(),
        "driver": format!("{} {}", adapter.driver, adapter.driver_info).trim(),
        "supported": adapter.compute,
        "features": features,
        "max_buffer_bytes": adapter.max_buffer_bytes,
        "max_binding_bytes": adapter.max_binding_bytes,
        "workgroup_bytes": adapter.workgroup_bytes,
        "workgroup_invocations": adapter.workgroup_invocations,
        "storage_buffers": adapter.storage_buffers,
        "subgroup_sizes": [adapter.subgroup_sizes.0, adapter.subgroup_sizes.1],
    })
}

fn row(object: &Value) -> Vec<String> {
    let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let supported = if object["supported"] == true { "yes" } else { "no" };
    let features = object["features"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let features = features.collect::<Vec<_>>().join(" ");
    vec![text("name"), text("backend"), text("type"), text("driver"), supported.to_owned(), features]
}

/// The widest vector instructions of this processor.
fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx512f") {
            return "AVX-512";
        }
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            return "AVX2";
        }
        "SSE2"
    }
    #[cfg(target_arch = "aarch64")]
    return "NEON";
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return "plain";
}
