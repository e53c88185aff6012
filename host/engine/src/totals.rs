//! Machine-readable totals of a run.

use serde::Serialize;
use std::collections::BTreeMap;

/// What the device counted.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DeviceTotals {
    /// Frames that reached the device.
    pub received_packets: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Frames passed without the host.
    pub passed_packets: u64,
    /// Frames sent to the host.
    pub diverted_packets: u64,
    /// Their bytes.
    pub diverted_bytes: u64,
    /// Frames dropped by the device.
    pub dropped_packets: u64,
    /// Frames passed without inspection.
    pub bypassed_packets: u64,
    /// Frames on which each guard fired.
    pub guards: BTreeMap<String, u64>,
    /// Flow entries created.
    pub flows: u64,
    /// Flows settled by the host.
    pub settled: u64,
    /// Releases that succeeded.
    pub released: u64,
}

/// What the host did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct HostTotals {
    /// Frames the engine processed.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, frames read from the history ring.
    pub history_packets: u64,
    /// Their bytes.
    pub history_bytes: u64,
    /// (diverted + history frames) / received.
    pub share_packets: f64,
    /// The same in bytes.
    pub share_bytes: f64,
    /// Frames to the host by cause.
    pub by_cause: BTreeMap<String, u64>,
    /// CPU time of the run.
    pub cpu_seconds: f64,
    /// Alerts raised.
    pub alerts: u64,
    /// Flows whose history was lost before the host read it.
    pub history_truncated: u64,
}

/// What became of the rules.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RuleTotals {
    /// Rules read (enabled ones).
    pub total: u64,
    /// Rules in force.
    pub loaded: u64,
    /// Rules rejected with a reason.
    pub rejected: u64,
    /// Loaded rules by class.
    pub by_class: BTreeMap<String, u64>,
}

/// Wall-clock times.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Seconds {
    /// Loading rules and tables.
    pub load: f64,
    /// Processing frames.
    pub run: f64,
}

/// Totals of a run, `stats.json`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RunTotals {
    /// The device; absent with `--device none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceTotals>,
    /// The host.
    pub host: HostTotals,
    /// The rules.
    pub rules: RuleTotals,
    /// Times.
    pub seconds: Seconds,
}
