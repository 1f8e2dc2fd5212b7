//! Every kernel against its contract: the WGSL parses and validates; its bindings, struct layouts and overrides are the
//! ones that the Rust table says; it stays within the limits that every adapter has; and, with its overrides resolved,
//! it translates to SPIR-V, MSL, HLSL and GLSL ES. So Metal and DX12 are checked without the hardware.

use naga::back::{PipelineConstants, glsl, hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::proc::Layouter;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Expression, Handle, Literal, Module, ShaderStage, StorageAccess, Type, TypeInner};
use rnn_shaders::ALL;
use rnn_shaders::contract::{Access, Kernel, MAX_STORAGE};
use rnn_shaders::vocabulary::{Formula, Score, StepParams};
use std::collections::HashSet;
use std::mem::offset_of;

/// Invocations of a workgroup and bytes of workgroup memory that WebGPU grants everywhere.
const MAX_INVOCATIONS: u32 = 256;
const MAX_WORKGROUP_BYTES: u32 = 16 * 1024;

/// What a text that enables nothing may use; an `enable` line widens it.
fn capabilities(source: &str) -> Capabilities {
    let mut granted = Capabilities::empty();
    for line in source.lines().filter_map(|line| line.trim().strip_prefix("enable ")) {
        for feature in line.trim_end_matches(';').split(',').map(str::trim) {
            granted |= match feature {
                "f16" => Capabilities::SHADER_FLOAT16,
                "wgpu_cooperative_matrix" => Capabilities::COOPERATIVE_MATRIX,
                other => panic!("no capability is known for `enable {other}`"),
            };
        }
    }
    granted
}

fn parsed(kernel: &Kernel) -> (Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(kernel.source)
        .unwrap_or_else(|e| panic!("{}: {}", kernel.stem, e.emit_to_string(kernel.source)));
    let info = Validator::new(ValidationFlags::all(), capabilities(kernel.source))
        .validate(&module)
        .unwrap_or_else(|e| panic!("{}: {}", kernel.stem, e.emit_to_string(kernel.source)));
    (module, info)
}

/// Name, and members as (name, offset), of a struct type, and its size.
fn layout(module: &Module, ty: Handle<Type>) -> (String, Vec<(String, usize)>, usize) {
    let ty = &module.types[ty];
    let TypeInner::Struct { members, span } = &ty.inner else { panic!("not a struct: {ty:?}") };
    let members = members.iter().map(|m| (m.name.clone().unwrap_or_default(), m.offset as usize)).collect();
    (ty.name.clone().unwrap_or_default(), members, *span as usize)
}

fn owned(fields: &[(&str, usize)]) -> Vec<(String, usize)> {
    fields.iter().map(|(name, offset)| (name.to_string(), *offset)).collect()
}

#[test]
fn texts_for_subgroups_are_valid() {
    for kernel in ALL {
        let text = kernel.with_subgroups();
        let module = naga::front::wgsl::parse_str(&text)
            .unwrap_or_else(|e| panic!("{}: {}", kernel.stem, e.emit_to_string(&text)));
        Validator::new(ValidationFlags::all(), capabilities(&text) | Capabilities::SUBGROUP)
            .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
            .subgroup_operations(naga::valid::SubgroupOperationSet::all())
            .validate(&module)
            .unwrap_or_else(|e| panic!("{}: {}", kernel.stem, e.emit_to_string(&text)));
    }
}

#[test]
fn stems_are_unique() {
    let stems: HashSet<_> = ALL.iter().map(|k| k.stem).collect();
    assert_eq!(stems.len(), ALL.len());
}

#[test]
fn every_wgsl_file_belongs_to_a_kernel() {
    let texts: Vec<_> = ALL.iter().flat_map(|k| [k.source.into(), k.with_subgroups()]).collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "wgsl") {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(texts.iter().any(|t| t.contains(&text)), "{} is in no kernel of ALL", path.display());
        }
    }
}

#[test]
fn bindings_equal_the_table() {
    for kernel in ALL {
        let (module, _) = parsed(kernel);
        let mut storage = vec![None; kernel.bindings.len()];
        let (mut saw_params, mut saw_step) = (false, false);
        for (_, variable) in module.global_variables.iter() {
            let Some(binding) = variable.binding else { continue };
            let name = variable.name.as_deref().unwrap_or_default();
            match (variable.space, binding.group, binding.binding as usize) {
                (AddressSpace::Storage { access }, 0, at) if at < storage.len() => {
                    let access =
                        if access.contains(StorageAccess::STORE) { Access::ReadWrite } else { Access::Read };
                    storage[at] = Some((name.to_string(), access));
                }
                (AddressSpace::Uniform, 0, at) if at == storage.len() => {
                    saw_params = true;
                    assert_eq!(name, "params", "{}", kernel.stem);
                    let (name, fields, size) = layout(&module, variable.ty);
                    assert_eq!(name, "Params", "{}", kernel.stem);
                    assert_eq!(fields, owned(kernel.params_fields), "{}", kernel.stem);
                    assert_eq!(size, kernel.params_size, "{}", kernel.stem);
                }
                (AddressSpace::Uniform, 1, 0) => {
                    saw_step = true;
                    assert_eq!(name, "step", "{}", kernel.stem);
                    let fields = [
                        ("cursor", offset_of!(StepParams, cursor)),
                        ("rng_step", offset_of!(StepParams, rng_step)),
                        ("lr", offset_of!(StepParams, lr)),
                        ("alpha", offset_of!(StepParams, alpha)),
                        ("beta", offset_of!(StepParams, beta)),
                        ("gamma", offset_of!(StepParams, gamma)),
                        ("phase", offset_of!(StepParams, phase)),
                        ("rest", offset_of!(StepParams, rest)),
                    ];
                    let expected = ("StepParams".to_string(), owned(&fields), size_of::<StepParams>());
                    assert_eq!(layout(&module, variable.ty), expected, "{}", kernel.stem);
                }
                other => panic!(
                    "{}: {name} has a binding that the contract has no place for: {other:?}",
                    kernel.stem
                ),
            }
        }
        let table: Vec<_> = kernel.bindings.iter().map(|b| Some((b.name.to_string(), b.access))).collect();
        assert_eq!(storage, table, "{}", kernel.stem);
        assert!(saw_params, "{}: no params", kernel.stem);
        assert_eq!(saw_step, kernel.step, "{}: step", kernel.stem);
        assert!(kernel.bindings.len() <= MAX_STORAGE, "{}", kernel.stem);
        for (index, binding) in kernel.bindings.iter().enumerate() {
            let expected = (format!("{}_at", binding.name), 4 * index);
            assert_eq!(owned(kernel.params_fields).get(index), Some(&expected), "{}", kernel.stem);
        }
    }
}

#[test]
fn overrides_equal_the_table() {
    for kernel in ALL {
        let (module, _) = parsed(kernel);
        let mut found: Vec<_> = module
            .overrides
            .iter()
            // naga keeps an expression of overrides (a computed array length) as an override without a name.
            .filter_map(|(_, o)| o.name.clone().map(|name| (name, o)))
            .map(|(name, o)| {
                let init = o.init.unwrap_or_else(|| panic!("{}: {name} has no default", kernel.stem));
                let value = match module.global_expressions[init] {
                    Expression::Literal(Literal::U32(v)) => f64::from(v),
                    Expression::Literal(Literal::I32(v)) => f64::from(v),
                    Expression::Literal(Literal::F32(v)) => f64::from(v),
                    Expression::Literal(Literal::Bool(v)) => f64::from(u8::from(v)),
                    ref other => panic!("{}: the default of {name} is no literal: {other:?}", kernel.stem),
                };
                (name, value)
            })
            .collect();
        let mut table: Vec<_> = kernel.overrides.iter().map(|o| (o.name.to_string(), o.default)).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        table.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(found, table, "{}", kernel.stem);
    }
}

/// The defaults, each switch the other way, and every value of the overrides that are codes.
fn variants(kernel: &Kernel, module: &Module) -> Vec<PipelineConstants> {
    let mut sets = vec![PipelineConstants::default()];
    let mut one = |name: &str, value: f64| {
        sets.push([(name.to_string(), value)].into_iter().collect());
    };
    for (_, o) in module.overrides.iter() {
        let name = o.name.as_deref().unwrap_or_default();
        match (name, &module.types[o.ty].inner) {
            (_, TypeInner::Scalar(s)) if s.kind == naga::ScalarKind::Bool => {
                one(name, 0.0);
                one(name, 1.0);
            }
            ("KIND", _) if kernel.stem == "row_activation" => {
                (0..2).for_each(|code| one(name, f64::from(code)))
            }
            ("KIND", _) if kernel.stem == "normalize" => (0..3).for_each(|code| one(name, f64::from(code))),
            ("ACT" | "REC_ACT", _) => {
                (0..=Formula::LAST as u32).for_each(|code| one(name, f64::from(code)));
            }
            ("SCORE", _) => {
                (0..=Score::SparseCategoricalAccuracy.code()).for_each(|code| one(name, f64::from(code)));
            }
            ("OP", _) => (0..8).for_each(|code| one(name, f64::from(code))),
            ("RULE" | "MODE" | "SIDE", _) => (0..3).for_each(|code| one(name, f64::from(code))),
            ("LANES", _) => [1.0, 256.0].into_iter().for_each(|lanes| one(name, lanes)),
            ("TILE", _) if kernel.stem == "sum_rows" => one(name, 1.0),
            _ => {}
        }
    }
    sets
}

#[test]
fn limits_hold_and_every_backend_translates() {
    for kernel in ALL {
        let (module, info) = parsed(kernel);
        for constants in variants(kernel, &module) {
            let what = format!("{} {constants:?}", kernel.stem);
            let (module, info) =
                process_overrides(&module, &info, Some((ShaderStage::Compute, "main")), &constants)
                    .unwrap_or_else(|e| panic!("{what}: {e}"));
            limits(&what, &module);
            translate(&what, &module, &info);
        }
    }
}

fn limits(what: &str, module: &Module) {
    let [main] = module.entry_points.as_slice() else { panic!("{what}: one entry point is the rule") };
    assert_eq!((main.name.as_str(), main.stage), ("main", ShaderStage::Compute), "{what}");
    let invocations: u32 = main.workgroup_size.iter().product();
    assert!((1..=MAX_INVOCATIONS).contains(&invocations), "{what}: {invocations} invocations");
    let mut layouter = Layouter::default();
    layouter.update(module.to_ctx()).unwrap_or_else(|e| panic!("{what}: {e}"));
    let bytes: u32 = module
        .global_variables
        .iter()
        .filter(|(_, v)| v.space == AddressSpace::WorkGroup)
        .map(|(_, v)| layouter[v.ty].size.next_multiple_of(16))
        .sum();
    assert!(bytes <= MAX_WORKGROUP_BYTES, "{what}: {bytes} bytes of workgroup memory");
}

fn translate(what: &str, module: &Module, info: &ModuleInfo) {
    let words = spv::write_vec(module, info, &spv::Options::default(), None)
        .unwrap_or_else(|e| panic!("{what}: SPIR-V: {e}"));
    assert_eq!(words[0], 0x0723_0203, "{what}: SPIR-V");

    let options = msl::Options { lang_version: (2, 0), ..msl::Options::default() };
    let pipeline = msl::PipelineOptions::default();
    let (text, names) =
        msl::write_string(module, info, &options, &pipeline).unwrap_or_else(|e| panic!("{what}: MSL: {e}"));
    names.entry_point_names[0].as_ref().unwrap_or_else(|e| panic!("{what}: MSL: {e}"));
    assert!(text.contains("kernel void"), "{what}: MSL");

    let special = hlsl::BindTarget { space: 200, ..hlsl::BindTarget::default() };
    let options = hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_0,
        special_constants_binding: Some(special),
        ..hlsl::Options::default()
    };
    let mut text = String::new();
    let names = hlsl::Writer::new(&mut text, &options, &hlsl::PipelineOptions::default())
        .write(module, info, None)
        .unwrap_or_else(|e| panic!("{what}: HLSL: {e}"));
    names.entry_point_names[0].as_ref().unwrap_or_else(|e| panic!("{what}: HLSL: {e}"));
    assert!(text.contains("numthreads"), "{what}: HLSL");

    let options = glsl::Options { version: glsl::Version::new_gles(310), ..glsl::Options::default() };
    let pipeline = glsl::PipelineOptions {
        shader_stage: ShaderStage::Compute,
        entry_point: "main".to_string(),
        multiview: None,
    };
    let mut text = String::new();
    let policies = naga::proc::BoundsCheckPolicies::default();
    glsl::Writer::new(&mut text, module, info, &options, &pipeline, policies)
        .and_then(|mut writer| writer.write())
        .unwrap_or_else(|e| panic!("{what}: GLSL: {e}"));
    assert!(text.contains("#version 310 es"), "{what}: GLSL");
}
