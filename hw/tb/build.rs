//! Verilates the spike and the layout testbench and compiles them into this crate.
//!
//! Without Verilator (environment variable VERILATOR, else `verilator` on the path) the crate builds without the RTL and
//! its tests say SKIPPED; hw/tools/install brings it.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=VERILATOR");
    println!("cargo:rerun-if-changed=cpp");
    println!("cargo:rerun-if-changed=../rtl");
    println!("cargo:rerun-if-changed=generated");
    let verilator = env::var("VERILATOR").unwrap_or_else(|_| "verilator".into());
    let Some(runtime) = runtime(&verilator) else {
        println!("cargo:warning=no Verilator: the RTL is not built, its tests will be skipped (see hw/tools/install)");
        return Ok(());
    };
    println!("cargo:rustc-cfg=have_verilator");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let sequence = ["pkg/weir_sequence_pkg.sv", "common/weir_ram_1r1w.sv", "common/weir_fifo.sv"];
    let spike = ["spike/weir_flow_parse.sv", "spike/weir_flow_verdict.sv", "spike/weir_flow_spike.sv"];
    let files: Vec<PathBuf> = sequence.iter().chain(&spike).map(|f| Path::new("../rtl").join(f)).collect();
    model(&verilator, &runtime, &out, "Vflow_spike", "weir_flow_spike", &files, Path::new("cpp/flow_spike.cpp"))?;
    let files = [PathBuf::from("../rtl/pkg/weir_contract_pkg.sv"), PathBuf::from("generated/weir_contract_layout_tb.sv")];
    model(&verilator, &runtime, &out, "Vlayout", "weir_contract_layout_tb", &files, Path::new("cpp/layout.cpp"))?;
    // Verilator's own runtime once, behind the models that use it.
    let mut build = compiler(&runtime, &out);
    for name in ["verilated.cpp", "verilated_threads.cpp"] {
        let file = runtime.join("include").join(name);
        if file.exists() {
            build.file(file);
        }
    }
    build.compile("verilated_runtime");
    println!("cargo:rustc-link-lib=pthread");
    println!("cargo:rustc-link-lib=atomic");
    Ok(())
}

fn runtime(verilator: &str) -> Option<PathBuf> {
    let output = Command::new(verilator).args(["--getenv", "VERILATOR_ROOT"]).output().ok()?;
    let root = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    root.join("include/verilated.h").exists().then_some(root)
}

fn compiler(runtime: &Path, include: &Path) -> cc::Build {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(2).warnings(false);
    for feature in ["VM_COVERAGE", "VM_SC", "VM_TRACE", "VM_TRACE_FST", "VM_TRACE_VCD", "VM_TRACE_SAIF"] {
        build.define(feature, "0");
    }
    build.include(runtime.join("include")).include(runtime.join("include/vltstd")).include(include);
    build
}

fn model(
    verilator: &str,
    runtime: &Path,
    out: &Path,
    prefix: &str,
    top: &str,
    files: &[PathBuf],
    shim: &Path,
) -> Result<(), Box<dyn Error>> {
    let folder = out.join(prefix);
    let _ = fs::remove_dir_all(&folder);
    let status = Command::new(verilator)
        .args(["--cc", "-O3", "--assert", "--x-assign", "fast", "--x-initial", "fast", "--no-timing", "-Wno-fatal"])
        .args(["--prefix", prefix, "--top-module", top, "--Mdir"])
        .arg(&folder)
        .args(files)
        .status()?;
    if !status.success() {
        return Err(format!("Verilator rejects {top}").into());
    }
    let sources: Vec<PathBuf> = fs::read_dir(&folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "cpp"))
        .collect();
    compiler(runtime, &folder).files(sources).file(shim).compile(&prefix.to_lowercase());
    Ok(())
}
