//! What is measured: parts of Weir, and peers.

use super::Place;
use super::mix::Workload;
use super::process::{Observed, observe};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Parts of Weir.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Own {
    /// The device model alone, behind it a host that takes all and looks at nothing.
    Model,
    /// The engine alone: `weir run --device none`.
    Engine,
    /// Model and engine: `weir run --device sim`.
    Both,
}

/// A system under measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum System {
    /// Part of Weir.
    Own(Own),
    /// Another build of Weir, its engine alone.
    Weir(PathBuf),
    /// Suricata.
    Suricata {
        /// Program.
        program: PathBuf,
        /// What `-V` says.
        version: String,
    },
}

impl System {
    /// Short name.
    pub fn name(&self) -> &'static str {
        match self {
            System::Own(Own::Model) => "model",
            System::Own(Own::Engine) => "engine",
            System::Own(Own::Both) => "both",
            System::Weir(_) => "peer",
            System::Suricata { .. } => "suricata",
        }
    }

    /// What it is.
    pub fn about(&self) -> String {
        match self {
            System::Own(Own::Model) => "device model alone".to_owned(),
            System::Own(Own::Engine) => "weir run --device none".to_owned(),
            System::Own(Own::Both) => "weir run --device sim".to_owned(),
            System::Weir(path) => format!("{} run --device none", path.display()),
            System::Suricata { version, .. } => format!("{version}, --runmode single, Hyperscan, alerts only"),
        }
    }
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    pub frames: u64,
    pub bytes: u64,
    /// CPU seconds of inspection, without loading.
    pub cpu_seconds: f64,
    /// The same by the clock.
    pub wall_seconds: f64,
    /// Seconds until the first frame: rules, plan, tables.
    pub load_seconds: f64,
    /// Their CPU seconds.
    pub load_cpu_seconds: f64,
    /// Greatest resident memory.
    pub peak_bytes: u64,
    /// Alerts raised, where the system raises them.
    pub alerts: Option<u64>,
    /// Frames that reached the host, 0 to 1, where there is a device.
    pub host_share: Option<f64>,
}

impl Run {
    /// Of CPU time.
    pub fn gigabits(&self) -> f64 {
        self.bytes as f64 * 8.0 / 1e9 / self.cpu_seconds.max(1e-9)
    }

    /// Thousands of packets per second of CPU time.
    pub fn kilopackets(&self) -> f64 {
        self.frames as f64 / 1e3 / self.cpu_seconds.max(1e-9)
    }

    /// CPU seconds per gigabyte.
    pub fn seconds_per_gigabyte(&self) -> f64 {
        self.cpu_seconds / (self.bytes as f64 / 1e9).max(1e-9)
    }
}

/// Configuration that makes both inspect the same: all addresses at home and abroad, checksums not looked at.
const SETTINGS: [&str; 3] = ["vars.HOME_NET=any", "vars.EXTERNAL_NET=any", "capture.checksums=ignore"];

/// Arguments of a Weir program for a workload, without those of its mode.
pub fn arguments(place: &Place, workload: &Workload) -> Vec<OsString> {
    let mut list: Vec<OsString> = vec!["--rules".into()];
    list.extend(place.rules.iter().map(|path| path.clone().into_os_string()));
    list.extend(["--pcap".into(), workload.path.clone().into_os_string()]);
    for setting in SETTINGS {
        list.extend(["--set".into(), setting.into()]);
    }
    list
}

/// Arguments of `weir run`.
pub fn run_arguments(place: &Place, workload: &Workload, device: &str, log: &Path) -> Vec<OsString> {
    let mut list: Vec<OsString> = ["run", "--quiet", "--device", device, "--log-dir"].map(OsString::from).to_vec();
    list.push(log.into());
    list.extend(arguments(place, workload));
    list
}

/// The settings, for programs that take them one by one.
pub fn settings() -> Vec<OsString> {
    SETTINGS.iter().flat_map(|setting| ["--set".into(), OsString::from(setting)]).collect()
}

/// Runs a system once on a workload.
pub fn measure(place: &Place, system: &System, workload: &Workload, round: u32) -> Result<Run> {
    let folder = place.runs.join(format!("{}-{}", workload.name, system.name()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let log = folder.join(format!("round-{round}.log"));
    let weir = place.binaries.join("weir");
    match system {
        System::Own(Own::Model) => {
            let mut list = vec![OsString::from("model")];
            list.extend(arguments(place, workload));
            let seen = observe(&place.binaries.join("weir-bench"), &list, place.pin, &log, None)?;
            model_run(&seen)
        }
        System::Own(Own::Engine) => weir_run(place, &weir, workload, "none", &folder, &log),
        System::Own(Own::Both) => weir_run(place, &weir, workload, "sim", &folder, &log),
        System::Weir(program) => weir_run(place, program, workload, "none", &folder, &log),
        System::Suricata { program, .. } => suricata_run(place, program, workload, &folder, &log),
    }
}

fn model_run(seen: &Observed) -> Result<Run> {
    #[derive(Deserialize)]
    struct Measured {
        frames: u64,
        bytes: u64,
        diverted: u64,
        cpu_seconds: f64,
        wall_seconds: f64,
        load_seconds: f64,
        load_cpu_seconds: f64,
        peak_bytes: u64,
    }
    let m: Measured = serde_json::from_str(&seen.stdout).context("weir-bench did not answer as expected")?;
    Ok(Run {
        frames: m.frames,
        bytes: m.bytes,
        cpu_seconds: m.cpu_seconds,
        wall_seconds: m.wall_seconds,
        load_seconds: m.load_seconds,
        load_cpu_seconds: m.load_cpu_seconds,
        peak_bytes: m.peak_bytes.max(seen.peak),
        alerts: None,
        host_share: Some(m.diverted as f64 / (m.frames as f64).max(1.0)),
    })
}

fn weir_run(
    place: &Place,
    program: &Path,
    workload: &Workload,
    device: &str,
    folder: &Path,
    log: &Path,
) -> Result<Run> {
    let seen = observe(program, &run_arguments(place, workload, device, folder), place.pin, log, None)?;
    let path = folder.join("stats.json");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let stats: serde_json::Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let number = |pointer: &str| {
        stats
            .pointer(pointer)
            .and_then(serde_json::Value::as_f64)
            .with_context(|| format!("stats.json has no {pointer}"))
    };
    let behind = device != "none";
    let frames = number(if behind { "/device/received_packets" } else { "/host/packets" })? as u64;
    if frames != workload.frames {
        bail!("{frames} of {} frames were inspected", workload.frames);
    }
    let cpu_seconds = number("/host/cpu_seconds")?;
    let wall_seconds = number("/seconds/run")?;
    Ok(Run {
        frames,
        bytes: workload.bytes,
        cpu_seconds,
        wall_seconds,
        // Everything that is not inspection, the start of the process included.
        load_seconds: seen.wall - wall_seconds,
        load_cpu_seconds: seen.cpu - cpu_seconds,
        peak_bytes: seen.peak,
        alerts: Some(number("/host/alerts")? as u64),
        host_share: if behind { Some(number("/host/share_packets")?) } else { None },
    })
}

/// Threads that inspect in run mode `single` are named so.
const SURICATA_WORKER: &str = "W#";

fn suricata_run(place: &Place, program: &Path, workload: &Workload, folder: &Path, log: &Path) -> Result<Run> {
    let configuration = suricata_configuration(program, folder)?;
    let rules = suricata_rules(place, folder)?;
    let mut list: Vec<OsString> = vec!["-c".into(), configuration.into(), "-S".into(), rules.into()];
    list.extend(["-r".into(), workload.path.clone().into(), "-l".into(), folder.into()]);
    list.extend(["--runmode", "single", "-k", "none"].map(OsString::from));
    let sets = [
        "vars.address-groups.HOME_NET=any",
        "vars.address-groups.EXTERNAL_NET=any",
        "mpm-algo=hs",
        "spm-algo=hs",
        // Each run loads anew, as Weir's do.
        "detect.sgh-mpm-caching=no",
        "unix-command.enabled=no",
    ];
    for set in sets {
        list.extend(["--set".into(), set.into()]);
    }
    for (key, file) in [("classification-file", "classification.config"), ("reference-config-file", "reference.config")]
    {
        if let Some(path) = place.shared.as_ref().map(|shared| shared.join("data/rules").join(file)) {
            list.extend(["--set".into(), format!("{key}={}", path.display()).into()]);
        }
    }
    let seen = observe(program, &list, place.pin, log, Some(SURICATA_WORKER))?;
    let (load_cpu, load_wall) =
        seen.marked.context("Suricata's worker thread was not seen; is the capture too short?")?;
    let alerts = std::fs::read_to_string(folder.join("eve.json")).unwrap_or_default();
    Ok(Run {
        frames: workload.frames,
        bytes: workload.bytes,
        cpu_seconds: seen.others_cpu,
        wall_seconds: seen.wall - load_wall,
        load_seconds: load_wall,
        load_cpu_seconds: load_cpu,
        peak_bytes: seen.peak,
        alerts: Some(alerts.lines().filter(|line| line.contains("\"event_type\":\"alert\"")).count() as u64),
        host_share: None,
    })
}

/// Suricata's own configuration with alerts as the only output.
fn suricata_configuration(program: &Path, folder: &Path) -> Result<PathBuf> {
    let beside = program.parent().map(|parent| parent.join("root/etc/suricata/suricata.yaml"));
    let default = beside.filter(|path| path.is_file()).unwrap_or_else(|| "/etc/suricata/suricata.yaml".into());
    if !default.is_file() {
        bail!("Suricata's default configuration is not at {}", default.display());
    }
    let path = folder.join("suricata.yaml");
    let text = format!(
        "%YAML 1.1\n---\ninclude:\n  - {}\noutputs:\n  - eve-log:\n      enabled: yes\n      filetype: regular\n      \
         filename: eve.json\n      types:\n        - alert\n",
        default.display()
    );
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// Suricata takes one rule file.
fn suricata_rules(place: &Place, folder: &Path) -> Result<PathBuf> {
    let mut files = Vec::new();
    for path in &place.rules {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
            let rules = entries.filter_map(|entry| Some(entry.ok()?.path()));
            files.extend(rules.filter(|path| path.extension().is_some_and(|extension| extension == "rules")));
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    if let [one] = files.as_slice() {
        return Ok(one.clone());
    }
    let mut all = Vec::new();
    for file in &files {
        all.extend(std::fs::read(file).with_context(|| file.display().to_string())?);
        all.push(b'\n');
    }
    let path = folder.join("all.rules");
    std::fs::write(&path, all)?;
    Ok(path)
}

/// Finds the peer that `--peer` names.
pub fn peer(place: &Place, text: &str) -> Result<System> {
    match text.split_once('=') {
        Some(("weir", path)) => {
            let path = PathBuf::from(path);
            if !path.is_file() {
                bail!("--peer weir={}: there is no such program", path.display());
            }
            Ok(System::Weir(path.canonicalize()?))
        }
        Some(("suricata", path)) => suricata(PathBuf::from(path)),
        None if text == "suricata" => suricata(find_suricata(place)?),
        _ => bail!("--peer {text}: write `suricata`, `suricata=PROGRAM` or `weir=PROGRAM`"),
    }
}

fn suricata(program: PathBuf) -> Result<System> {
    let out = Command::new(&program).arg("-V").output();
    let out = out.with_context(|| format!("{} does not start", program.display()))?;
    let text = String::from_utf8_lossy(&out.stdout);
    let version = text.trim().trim_start_matches("This is ").trim_end_matches(" RELEASE").to_owned();
    if version.is_empty() {
        bail!("{} -V says nothing", program.display());
    }
    Ok(System::Suricata { program, version })
}

/// The one unpacked in the cache, the installed one, or one that the shared tool fetches.
fn find_suricata(place: &Place) -> Result<PathBuf> {
    let folder = place.cache.join("suricata");
    let program = folder.join("suricata");
    if program.is_file() {
        return Ok(program);
    }
    let tool = place.shared.as_ref().map(|shared| shared.join("tools/get-suricata")).filter(|tool| tool.is_file());
    if let Some(tool) = tool {
        eprintln!("fetching Suricata into {}", folder.display());
        let out = Command::new(&tool).arg(&folder).output()?;
        if out.status.success() && program.is_file() {
            return Ok(program);
        }
        eprintln!("{} failed: {}", tool.display(), String::from_utf8_lossy(&out.stderr).trim());
    }
    if Command::new("suricata").arg("-V").output().is_ok_and(|out| out.status.success()) {
        return Ok("suricata".into());
    }
    bail!("there is no Suricata: install it, or name it with --peer suricata=PROGRAM")
}
