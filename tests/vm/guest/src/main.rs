//! The first process of a virtual machine whose one PCI function is the simulated NIC, behind an emulated IOMMU.
//!
//! It mounts what a process needs, loads the modules of VFIO, binds the function, tries what only a kernel can show
//! ([`checks`]), runs the real `weir`, and sends what came of it to the second serial port, a file of the host. `cargo xtask
//! qemu` starts it and compares.
#![forbid(unsafe_code)]

mod checks;
mod report;

use anyhow::{Context, Result, ensure};
use report::Report;
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, finit_module, reboot};
use std::fs;
use std::path::Path;
use std::process::Command;

fn main() {
    let result = prepare().and_then(|()| {
        let mut report = Report::open(Path::new("/dev/ttyS1"))?;
        let outcome = work(&mut report);
        if let Err(error) = &outcome {
            report.line("failed", &format!("{error:#}"))?;
        }
        // Without this line the host takes the test for failed, whatever came before.
        report.line("done", if outcome.is_ok() { "yes" } else { "no" })
    });
    if let Err(error) = result {
        println!("weir-guest: {error:#}");
    }
    rustix::fs::sync();
    // The machine ends where it would start anew.
    let _ = reboot(RebootCommand::Restart);
}

fn prepare() -> Result<()> {
    for (what, kind, place) in [("dev", "devtmpfs", "/dev"), ("proc", "proc", "/proc"), ("sys", "sysfs", "/sys")] {
        fs::create_dir_all(place)?;
        mount(what, place, kind, MountFlags::empty(), None).with_context(|| format!("mounting {place}"))?;
    }
    let mut modules: Vec<_> = fs::read_dir("/mod")?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    modules.sort();
    for path in modules {
        let file = fs::File::open(&path)?;
        finit_module(&file, c"", 0).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn work(report: &mut Report) -> Result<()> {
    let before = weir_device_vfio::list();
    let [function] = before.as_slice() else { anyhow::bail!("one function was expected: {before:?}") };
    let address = function.address.clone();
    let told = function.obstacle.clone().unwrap_or_default();
    report.check("the list says how to bind the function", told.contains("driver_override") && told.contains(&address), &told)?;
    bind(&address)?;
    let after = weir_device_vfio::list();
    let ready = after.first().is_some_and(|f| f.obstacle.is_none() && f.driver.as_deref() == Some("vfio-pci"));
    report.check("the bound function is ready", ready, &format!("{after:?}"))?;
    run(report, "list", &["device", "list"])?;
    let device = format!("vfio:{address}");
    run(report, "info", &["device", "info", "--device", &device])?;
    run(report, "selftest", &["device", "selftest", "--device", &device])?;
    checks::all(&address, report)?;
    // The run itself, as the host says.
    let text = fs::read_to_string("/job/arguments")?;
    for (n, line) in text.lines().enumerate() {
        let log = format!("/log-{n}");
        let mut arguments: Vec<&str> = line.split('\t').collect();
        arguments.extend(["--device", &device, "--log-dir", &log]);
        run(report, "run", &arguments)?;
        run(report, &format!("{n}-counters"), &["device", "counters", "--json", "--rules", "/job/x.rules", "--device", &device])?;
        for name in ["eve.json", "stats.json"] {
            let path = Path::new(&log).join(name);
            report.file(&format!("{n}-{name}"), &fs::read(&path).with_context(|| path.display().to_string())?)?;
        }
    }
    Ok(())
}

/// What `weir device list` tells an operator to do.
fn bind(address: &str) -> Result<()> {
    let function = Path::new("/sys/bus/pci/devices").join(address);
    fs::write(function.join("driver_override"), "vfio-pci")?;
    fs::write("/sys/bus/pci/drivers_probe", address).context("binding")?;
    ensure!(function.join("driver").exists(), "vfio-pci did not take {address}");
    Ok(())
}

fn run(report: &mut Report, name: &str, arguments: &[&str]) -> Result<()> {
    let done = Command::new("/bin/weir").args(arguments).output().context("/bin/weir")?;
    let (out, error) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    report.file(&format!("{name}.txt"), format!("{out}{error}").as_bytes())?;
    report.check(&format!("weir {name} ends well"), done.status.success(), &format!("{:?} {error}", done.status.code()))
}
