//! The cases' rules on the cases' captures, with the full engine and behind the simulated device.

use super::case::{Case, Data};
use super::classes;
use anyhow::{Result, anyhow};
use std::path::Path;
use weir::args::Device;
use weir::commands::audit;
use weir::pipeline::Source;
use weir::device;
use weir_management::config::{ExceptionPolicy, Inspection};

/// What a case showed.
#[derive(Debug, Clone, Default)]
pub struct Compared {
    /// Alerts of the full engine.
    pub alerts: usize,
    /// What only one of the two raised.
    pub differences: Vec<String>,
    /// Frames of the captures, and those that reached the host.
    pub frames: [u64; 2],
    /// The configuration lets the planner decide; false: it sends every frame.
    pub plans: bool,
}

/// Runs a case both ways, as `weir run` would: inspected when bytes arrive, without logs, on a tap. None: the case has no
/// capture, or no rules.
pub fn compare(case: &Case, output: &Path, data: &Data) -> Result<Option<Compared>> {
    let arguments = case.arguments(output, data)?;
    let capture = arguments.iter().zip(arguments.iter().skip(1)).find(|(name, _)| *name == "-r").map(|(_, value)| value);
    let Some(capture) = capture.filter(|path| Path::new(path).is_file()) else { return Ok(None) };
    let (mut config, loaded) = classes::rules(case, output, data)?;
    if loaded.totals.loaded == 0 {
        return Ok(None);
    }
    // Each of these sends every frame.
    config.stream.inspect = Inspection::Arrival;
    config.stream.async_oneside = false;
    config.stream.midstream_policy = ExceptionPolicy::Ignore;
    config.inline.simulate = false;
    let tables = device::tables(&loaded).map_err(|e| anyhow!("{e}"))?;
    let open = || Source::open(Path::new(capture));
    let compared = audit::compare_with(&loaded, &tables, &config, &open, Device::Sim).map_err(|e| anyhow!("{:#}", e.error))?;
    let name = |which: &str, all: &[weir_output::AlertIdentity]| -> Vec<String> {
        all.iter().map(|alert| format!("{which} {alert:?}")).collect()
    };
    let mut differences = name("only the full engine:", &compared.missed);
    differences.extend(name("only behind the device:", &compared.extra));
    Ok(Some(Compared {
        alerts: compared.alerts,
        differences,
        frames: [compared.totals.device.received_packets, compared.totals.host.packets],
        plans: !device::needs_everything(&config),
    }))
}
