//! `cargo xtask qemu`: Weir in a virtual machine, against the kernel's VFIO.
//!
//! A stock Debian kernel boots under QEMU with an emulated IOMMU; its one PCI function is the simulated NIC, which
//! `weir sim serve` serves from this machine. In the guest (`tests/vm/guest`) vfio-pci takes the function, and the real
//! `weir` inspects the frames that the server plays. Alerts and totals must be those of `weir run --device sim` here.

mod archive;
mod report;

use anyhow::{Context, Result, bail, ensure};
use archive::Archive;
use report::Report;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const EXAMPLES: &str = "The packages (QEMU and a kernel, about 65 MB to download) are unpacked below target/vm, and nothing is installed.

Examples:
  cargo xtask qemu                                    the example's traffic; a capture of the shared data as well, if it is there
  cargo xtask qemu --pcap day.pcap --rules x.rules    a capture and rules of your own";

/// Modules of VFIO, in the order in which they load; the one in brackets is there with older kernels alone.
const MODULES: [&str; 6] = ["irqbypass", "vfio", "vfio_virqfd", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci"];
/// Rules that the run has without --rules.
const RULES: &str = "tests/vm/vm.rules";
/// A capture of the shared data, with its attack.
const SHARED: &str = "data/pcaps/attack/sv__smb2-07__20171220_smb_psexec_add_user.pcap";

#[derive(Debug, clap::Args)]
pub struct QemuArguments {
    /// Capture that is played.
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Rules.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Profile that `weir` is built with.
    #[arg(long, value_name = "PROFILE", default_value = "release")]
    profile: String,
    /// Seconds that the machine may take.
    #[arg(long, value_name = "S", default_value_t = 150)]
    limit: u64,
    /// Write the result as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Ended with the test, whatever becomes of it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Boots, runs, compares; whether all is well.
pub fn run(root: &Path, arguments: &QemuArguments) -> Result<bool> {
    let packages = root.join("target/vm");
    let status = Command::new("bash").arg(root.join("tests/vm/packages")).arg(&packages).status()?;
    ensure!(status.success(), "tests/vm/packages could not get QEMU and a kernel; it needs apt and a Debian mirror");
    let bin = build(root, &arguments.profile)?;
    let rules = arguments.rules.clone().unwrap_or_else(|| root.join(RULES));
    let mut captures = Vec::new();
    match &arguments.pcap {
        Some(path) => captures.push(path.clone()),
        None => {
            let example = packages.join("example.pcap");
            fs::write(&example, weir_synth::example::example(7, 300).to_pcap())?;
            captures.push(example);
            match crate::shared(root).map(|shared| shared.join(SHARED)).filter(|path| path.exists()) {
                Some(path) => captures.push(path),
                None => eprintln!("SKIPPED: the capture of the shared data (there is none beside the project, nor at WEIR_SHARED: {SHARED})"),
            }
        }
    }
    let mut results = Vec::new();
    for capture in &captures {
        let test = Test { packages: &packages, bin: &bin, rules: &rules, capture, arguments };
        results.push(test.run().with_context(|| capture.display().to_string())?);
    }
    let good = results.iter().all(|result| result.good);
    if let Some(path) = &arguments.json {
        let entries: Vec<_> = results.iter().map(|result| &result.json).collect();
        fs::write(path, serde_json::to_string_pretty(&entries)?).with_context(|| path.display().to_string())?;
    }
    Ok(good)
}

/// `weir` and the guest's first process; gives where they are.
fn build(root: &Path, profile: &str) -> Result<PathBuf> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "-q", "-p", "weir", "-p", "weir-guest", "--profile", profile])
        .current_dir(root)
        .status()?;
    ensure!(status.success(), "weir does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join(if profile == "dev" { "debug" } else { profile }))
}

struct Test<'a> {
    packages: &'a Path,
    bin: &'a Path,
    rules: &'a Path,
    capture: &'a Path,
    arguments: &'a QemuArguments,
}

struct Outcome {
    good: bool,
    json: serde_json::Value,
}

impl Test<'_> {
    fn run(&self) -> Result<Outcome> {
        let work = self.packages.join("work");
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(&work)?;
        // In process: what the guest must say as well.
        let common = ["--set", "vars.HOME_NET=any", "--set", "vars.EXTERNAL_NET=any", "--set", "capture.checksums=ignore"];
        let mut here = self.weir();
        here.args(["run", "-q", "--device", "sim", "--rules"]).arg(self.rules).arg("--pcap").arg(self.capture).args(common);
        succeed(here.arg("--log-dir").arg(work.join("here")))?;
        let tables = work.join("tables");
        let mut build = self.weir();
        build.args(["tables", "build", "--seed", "1", "--rules"]).arg(self.rules).args(&common[..4]).arg("-o").arg(&tables);
        succeed(build.stdout(Stdio::null()))?;
        let initrd = work.join("initrd");
        self.initrd(&initrd, &tables, &common)?;
        // (An address of a socket is short.)
        let socket = std::env::temp_dir().join(format!("weir-vm-{}", std::process::id()));
        let mut serve = self.weir();
        serve.args(["-v", "sim", "serve", "--quiet", "--socket"]).arg(&socket).arg("--pcap").arg(self.capture);
        let mut server = Running(serve.stderr(File::create(work.join("server.log"))?).spawn()?);
        let begin = Instant::now();
        while !socket.exists() {
            ensure!(server.0.try_wait()?.is_none() && begin.elapsed() < Duration::from_secs(10), "weir sim serve does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        let begin = Instant::now();
        let results = work.join("results");
        let booted = self.boot(&work, &socket, &initrd, &results);
        let seconds = begin.elapsed().as_secs_f64();
        drop(server);
        let _ = fs::remove_file(&socket);
        booted?;
        let report = Report::parse(&fs::read_to_string(&results).unwrap_or_default());
        self.judge(&work, &report, seconds)
    }

    fn weir(&self) -> Command {
        Command::new(self.bin.join("weir"))
    }

    /// The guest's file system: programs with the libraries that they name, modules, and what the run needs.
    fn initrd(&self, to: &Path, tables: &Path, common: &[&str]) -> Result<()> {
        let mut archive = Archive::new();
        for folder in ["/bin", "/dev", "/job", "/mod", "/proc", "/sys", "/tmp", "/lib64"] {
            archive.folder(folder);
        }
        archive.console();
        archive.program("/init", &self.bin.join("weir-guest"))?;
        archive.program("/bin/weir", &self.bin.join("weir"))?;
        let modules = self.packages.join("kernel/lib/modules");
        for (n, name) in MODULES.into_iter().enumerate() {
            match find(&modules, &format!("{name}.ko"))? {
                Some(path) => archive.file(&format!("/mod/{n}-{name}.ko"), &fs::read(path)?, false),
                None if name == "vfio_virqfd" => {}
                None => bail!("the kernel has no module {name}"),
            }
        }
        archive.file("/job/x.rules", &fs::read(self.rules)?, false);
        archive.file("/job/tables", &fs::read(tables)?, false);
        let run = [&["run", "--rules", "/job/x.rules", "--set", "device.history-size=4MiB"][..], common].concat();
        archive.file("/job/arguments", run.join("\t").as_bytes(), false);
        fs::write(to, archive.finish()).with_context(|| to.display().to_string())
    }

    fn boot(&self, work: &Path, socket: &Path, initrd: &Path, results: &Path) -> Result<()> {
        let kernel = find_by(&self.packages.join("kernel/boot"), |name| name.starts_with("vmlinuz-"))?.context("no kernel")?;
        let device = serde_json::json!({ "driver": "vfio-user-pci", "id": "nic", "socket": { "type": "unix", "path": socket } });
        let console = work.join("console.log");
        let qemu = Command::new(self.packages.join("qemu"))
            .args(["-machine", "q35,accel=tcg,kernel-irqchip=off,memory-backend=ram0", "-cpu", "max", "-smp", "1", "-m", "512"])
            .args(["-object", "memory-backend-memfd,id=ram0,size=512M,share=on"])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .arg("-serial")
            .arg(format!("file:{}", results.display()))
            .args(["-device", "intel-iommu,intremap=on,caching-mode=on", "-device", &device.to_string()])
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(initrd)
            // The check of the timer can fail under TCG on a busy machine; pages of 2 MiB are for rings.
            .args(["-append", "console=ttyS0 panic=-1 quiet intel_iommu=on no_timer_check hugepages=16"])
            .stdin(Stdio::null())
            .stderr(File::create(work.join("qemu.log"))?)
            .spawn()
            .context("QEMU")?;
        let mut qemu = Running(qemu);
        let begin = Instant::now();
        while qemu.0.try_wait()?.is_none() {
            if begin.elapsed() > Duration::from_secs(self.arguments.limit) {
                bail!("the machine was not done after {} s; see {} and its neighbours", self.arguments.limit, console.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Compares, and says what came out.
    fn judge(&self, work: &Path, report: &Report, seconds: f64) -> Result<Outcome> {
        println!("\n{} ({seconds:.1} s in the virtual machine)", self.capture.display());
        let mut good = report.done;
        let mut checks: Vec<(String, bool)> = report.checks.clone();
        let mut compare = |what: String, holds: bool| checks.push((what, holds));
        let here = |name: &str| fs::read_to_string(work.join("here").join(name)).unwrap_or_default();
        let there = |name: &str| report.files.get(&format!("0-{name}")).cloned().unwrap_or_default();
        let (mine, theirs) = (alerts(&here("eve.json"))?, alerts(&there("eve.json"))?);
        compare(format!("the same {} alerts in the guest as in process", mine.len()), mine == theirs && !mine.is_empty());
        let (mine, theirs) = (totals(&here("stats.json"))?, totals(&there("stats.json"))?);
        let differ: Vec<&String> = mine.iter().filter(|(key, value)| theirs.get(*key) != Some(value)).map(|(key, _)| key).collect();
        compare(format!("the same {} counters in the guest as in process", mine.len()), differ.is_empty() && !mine.is_empty());
        let text = report.files.get("run.txt").cloned().unwrap_or_default();
        compare("the run says that the device is simulated".to_owned(), text.contains("simulated NIC"));
        for (what, holds) in &checks {
            println!("  {} {what}", if *holds { "holds " } else { "BROKEN" });
            good &= holds;
        }
        for key in &differ {
            println!("    {key}: {:?} in process, {:?} in the guest", mine.get(*key), theirs.get(*key));
        }
        for failure in &report.failures {
            println!("  FAILED {failure}");
        }
        if !good {
            println!("  not all is well: see {} (console.log, qemu.log, server.log, results)", work.display());
        }
        let entries: Vec<_> = checks.iter().map(|(what, holds)| serde_json::json!({ "check": what, "holds": holds })).collect();
        let json = serde_json::json!({
            "capture": self.capture, "seconds": seconds, "good": good, "checks": entries,
        });
        Ok(Outcome { good, json })
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// A file of this name below a folder.
fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            if let Some(found) = find(&path, name)? {
                return Ok(Some(found));
            }
        } else if path.file_name().is_some_and(|found| found == name) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn find_by(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<Option<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).find(|path| path.file_name().and_then(|n| n.to_str()).is_some_and(&wanted)))
}

fn alerts(eve: &str) -> Result<Vec<serde_json::Value>> {
    let records = eve.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).context("eve.json"));
    let mut alerts: Vec<_> = records.collect::<Result<_>>()?;
    alerts.retain(|record| record["event_type"] == "alert");
    Ok(alerts)
}

/// Totals by dotted name, but for times.
fn totals(text: &str) -> Result<BTreeMap<String, String>> {
    fn flat(prefix: &str, value: &serde_json::Value, out: &mut BTreeMap<String, String>) {
        match value.as_object() {
            Some(object) => object.iter().for_each(|(key, value)| flat(&format!("{prefix}.{key}"), value, out)),
            None => _ = out.insert(prefix.trim_start_matches('.').to_owned(), value.to_string()),
        }
    }
    let mut out = BTreeMap::new();
    flat("", &serde_json::from_str(text).context("stats.json")?, &mut out);
    out.retain(|key, _| !key.contains("seconds"));
    Ok(out)
}
