//! Verilates modules of the RTL and compiles them into static libraries; shared by the build scripts of hw/tb and
//! hw/device. A model whose sources did not change is not built again.

use std::error::Error;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A module under test.
pub struct Model<'a> {
    /// Name: `V<name>` is its class, `cpp/<name>.cpp` its shim, cfg `rtl_<name>` says that it was built.
    pub name: &'a str,
    pub top: &'a str,
    pub parameters: &'a [&'a str],
    /// Sources under the RTL folder, packages first.
    pub sources: &'a [&'a str],
    /// Sources of this crate.
    pub bench: &'a [&'a str],
}

const FLAGS: &[&str] = &[
    "--cc",
    "-O3",
    "--assert",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--no-timing",
    "-Wno-fatal",
    "--output-split",
    "20000",
];

/// Verilator's own runtime once, behind the models that use it.
pub fn link_runtime(runtime: &Path, out: &Path) {
    let mut build = compiler(runtime, out);
    for name in ["verilated.cpp", "verilated_threads.cpp"] {
        let file = runtime.join("include").join(name);
        if file.exists() {
            build.file(file);
        }
    }
    build.compile("verilated_runtime");
    println!("cargo:rustc-link-lib=pthread");
    println!("cargo:rustc-link-lib=atomic");
}

/// Where Verilator's runtime lies; none without Verilator.
pub fn runtime(verilator: &str) -> Option<PathBuf> {
    let output = Command::new(verilator).args(["--getenv", "VERILATOR_ROOT"]).output().ok()?;
    let root = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    root.join("include/verilated.h").exists().then_some(root)
}

fn compiler(runtime: &Path, include: &Path) -> cc::Build {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(2).warnings(false).debug(false);
    for feature in ["VM_COVERAGE", "VM_SC", "VM_TRACE", "VM_TRACE_FST", "VM_TRACE_VCD", "VM_TRACE_SAIF"] {
        build.define(feature, "0");
    }
    build.include(runtime.join("include")).include(runtime.join("include/vltstd")).include(include);
    build
}

/// Verilates a model and compiles it into a static library.
pub fn build(model: &Model<'_>, verilator: &str, runtime: &Path, out: &Path, rtl: &Path) -> Result<(), Box<dyn Error>> {
    let folder = out.join(model.name);
    let shim = PathBuf::from(format!("cpp/{}.cpp", model.name));
    let library = format!("v{}", model.name);
    let files: Vec<PathBuf> =
        model.sources.iter().map(|f| rtl.join(f)).chain(model.bench.iter().map(PathBuf::from)).collect();
    // Unchanged sources: the library of the last build is good.
    let mut hasher = DefaultHasher::new();
    (model.top, model.parameters, verilator, FLAGS).hash(&mut hasher);
    let harness = Path::new("cpp/harness.hpp");
    let harness = harness.exists().then(|| harness.to_path_buf());
    for file in files.iter().chain([&shim]).chain(&harness) {
        fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?.hash(&mut hasher);
    }
    let (stamp, now) = (out.join(format!("{library}.stamp")), hasher.finish().to_string());
    if fs::read_to_string(&stamp).is_ok_and(|old| old == now) && out.join(format!("lib{library}.a")).exists() {
        println!("cargo:rustc-link-search=native={}", out.display());
        println!("cargo:rustc-link-lib=static={library}");
        return Ok(());
    }
    let _ = fs::remove_dir_all(&folder);
    let status = Command::new(verilator)
        .args(FLAGS)
        .args(["--prefix", &format!("V{}", model.name), "--top-module", model.top])
        .args(model.parameters)
        .arg("--Mdir")
        .arg(&folder)
        .args(&files)
        .status()?;
    if !status.success() {
        return Err(format!("Verilator rejects {}", model.name).into());
    }
    let (slow, fast): (Vec<PathBuf>, Vec<PathBuf>) = fs::read_dir(&folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "cpp"))
        .partition(|path| path.to_string_lossy().contains("__Slow"));
    // What runs once is not worth the compiler's time.
    let objects = compiler(runtime, &folder).opt_level(0).files(slow).compile_intermediates();
    compiler(runtime, &folder).include("cpp").files(fast).file(shim).objects(objects).compile(&library);
    Ok(fs::write(stamp, now)?)
}
