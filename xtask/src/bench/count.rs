//! Instructions instead of time: callgrind counts them exactly, so that small gains show on a busy machine.
//!
//! Counted is the inspection, without loading: the functions below and all they call. Time is not proportional to
//! instructions (caches, branches), so figures of this mode are for comparing two builds, never for reporting a rate.

use super::Place;
use super::mix::Workload;
use super::system::{Own, System, arguments, run_arguments};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::process::Command;

pub fn run(place: &Place, systems: &[System], workloads: &[Workload]) -> Result<bool> {
    if !Command::new("valgrind").arg("--version").output().is_ok_and(|out| out.status.success()) {
        bail!("--count needs valgrind (Debian: apt install valgrind)");
    }
    println!("{:<16} {:<8} {:>16} {:>14} {:>12}", "workload", "system", "instructions", "per packet", "per byte");
    for workload in workloads {
        for system in systems {
            let count = count(place, system, workload)?;
            println!(
                "{:<16} {:<8} {count:>16} {:>14.0} {:>12.2}",
                workload.name,
                system.name(),
                count as f64 / (workload.frames as f64).max(1.0),
                count as f64 / (workload.bytes as f64).max(1.0)
            );
        }
    }
    Ok(true)
}

fn count(place: &Place, system: &System, workload: &Workload) -> Result<u64> {
    let folder = place.runs.join(format!("{}-{}-count", workload.name, system.name()));
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let (program, inspection, list) = match system {
        System::Own(Own::Model) => {
            let mut list = vec![OsString::from("model")];
            list.extend(arguments(place, workload));
            ("weir-bench", "*model::inspect*", list)
        }
        System::Own(Own::Engine) => ("weir", "*pipeline::run_full*", run_arguments(place, workload, "none", &folder)),
        System::Own(Own::Both) => ("weir", "*device::run_simulated*", run_arguments(place, workload, "sim", &folder)),
        _ => bail!("--count measures Weir only"),
    };
    let profile = folder.join("callgrind.out");
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={inspection}"))
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(place.binaries.join(program))
        .args(list)
        .output()?;
    if !out.status.success() {
        bail!("valgrind failed:\n{}", String::from_utf8_lossy(&out.stderr));
    }
    let text = std::fs::read_to_string(&profile).with_context(|| profile.display().to_string())?;
    let totals = text.lines().rev().find_map(|line| line.strip_prefix("totals:"));
    let count = totals.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0);
    if count == 0 {
        bail!("callgrind did not meet {inspection}: is the program stripped?");
    }
    eprintln!("profile: callgrind_annotate {}", profile.display());
    Ok(count)
}
