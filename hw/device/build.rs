//! Verilates the top level of the frame path and compiles it into this crate.
//!
//! Without Verilator (environment variable VERILATOR, else `verilator` on the path) the crate builds without the RTL, and
//! `RtlDevice::new` gives none; hw/tools/install brings it. WEIR_RTL names another folder of RTL than hw/rtl, WEIR_RTL_BYTES
//! another width of a beat than 16 bytes.

#[path = "../tb/verilate.rs"]
mod verilate;

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use verilate::{Model, build, link_runtime, runtime};

fn main() -> Result<(), Box<dyn Error>> {
    for variable in ["VERILATOR", "WEIR_RTL", "WEIR_RTL_BYTES"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    for path in ["cpp", "../tb/sv/weir_tb_core.sv", "../tb/verilate.rs", "../rtl"] {
        println!("cargo:rerun-if-changed={path}");
    }
    println!("cargo:rustc-check-cfg=cfg(rtl_core)");
    let verilator = env::var("VERILATOR").unwrap_or_else(|_| "verilator".into());
    let Some(runtime) = runtime(&verilator) else {
        println!("cargo:warning=no Verilator: the RTL is not built, no device comes of it (see hw/tools/install)");
        return Ok(());
    };
    let bytes = env::var("WEIR_RTL_BYTES").unwrap_or_else(|_| "16".into());
    if !["16", "32", "64"].contains(&bytes.as_str()) {
        return Err(format!("WEIR_RTL_BYTES={bytes}: a beat has 16, 32 or 64 bytes").into());
    }
    println!("cargo:rustc-env=WEIR_RTL_BYTES={bytes}");
    let width = format!("-GBYTES={bytes}");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let rtl = env::var("WEIR_RTL").map_or_else(|_| PathBuf::from("../rtl"), PathBuf::from);
    println!("cargo:rerun-if-changed={}", rtl.display());
    // All of the RTL, in the order of its file list.
    let list = fs::read_to_string(rtl.join("files.f"))?;
    let sources: Vec<String> = list
        .lines()
        .map(|line| line.trim_start_matches("hw/rtl/").to_owned())
        .filter(|line| !line.is_empty() && !line.starts_with("spike/") && !line.starts_with("csr/"))
        .collect();
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    let model = Model {
        name: "core",
        top: "weir_tb_core",
        parameters: &[&width],
        sources: &sources,
        bench: &["../tb/sv/weir_tb_core.sv"],
    };
    build(&model, &verilator, &runtime, &out, &rtl)?;
    println!("cargo:rustc-cfg=rtl_core");
    link_runtime(&runtime, &out);
    Ok(())
}
