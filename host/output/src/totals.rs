//! What a run adds up to: `stats.json`, and the numbers of the summary.

use crate::OutputError;
use crate::file::OutputFile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Counters of the device; all zero with `--device none`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceTotals {
    /// Frames from the wire.
    pub received_packets: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Passed without the host.
    pub passed_packets: u64,
    /// Sent to the host.
    pub diverted_packets: u64,
    /// Their bytes.
    pub diverted_bytes: u64,
    /// Dropped by the device itself.
    pub dropped_packets: u64,
    /// Passed unseen because of the fail mode.
    pub bypassed_packets: u64,
    /// Inline: diverted frames that the host dropped.
    #[serde(skip_serializing_if = "is_zero")]
    pub denied_packets: u64,
    /// Inline: frames made by the host, such as resets.
    #[serde(skip_serializing_if = "is_zero")]
    pub injected_packets: u64,
    /// Frames in which a guard fired, by guard.
    pub guards: BTreeMap<String, u64>,
    /// Flows the device created.
    pub flows: u64,
    /// Flows settled.
    pub settled: u64,
    /// Releases that succeeded.
    pub released: u64,
}

/// A network interface; all of it zero for captures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InterfaceTotals {
    /// Name.
    pub name: String,
    /// Frames read.
    pub received_packets: u64,
    /// Their bytes, as inspected.
    pub received_bytes: u64,
    /// Frames that the kernel lost because they were not read in time.
    pub lost_packets: u64,
    /// Frames of which not all bytes came; inline they are not forwarded.
    pub truncated_packets: u64,
    /// Frames that a sender's stack left to a card to cut.
    pub unsegmented_packets: u64,
    /// Frames cut out of them.
    pub segments: u64,
    /// Checksums that a sender's stack left to a card, completed.
    pub completed_checksums: u64,
    /// VLAN tags put back.
    pub restored_tags: u64,
    /// Frames sent.
    pub sent_packets: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Frames not sent, by cause.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused_packets: BTreeMap<String, u64>,
    /// Times that it had to be waited for until it took more.
    pub waits: u64,
    /// Times it went down.
    pub downs: u64,
    /// Queues of the firewall: times the kernel found no room for packets on their way here.
    #[serde(skip_serializing_if = "is_zero")]
    pub overruns: u64,
    /// Queues of the firewall: answers of Weir that came by again, and were let go.
    #[serde(skip_serializing_if = "is_zero")]
    pub own_packets: u64,
}

/// Why the host got something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// Frames.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl std::ops::AddAssign for Cause {
    fn add_assign(&mut self, other: Cause) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// What a rule sent to the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleCost {
    /// Generator.
    pub gid: u32,
    /// Signature.
    pub sid: u32,
    /// Device class, one letter.
    pub class: String,
    /// Why the device could look no closer.
    pub reason: String,
    /// Frames.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What the host did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostTotals {
    /// Frames the engine decoded: diverted ones and those read from history.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames read from the history ring.
    pub history_packets: u64,
    /// Their bytes.
    pub history_bytes: u64,
    /// Frames in the history ring that were not read, because their flow had ended before anything of it was flagged.
    #[serde(skip_serializing_if = "is_zero")]
    pub ended_packets: u64,
    /// packets / received, 0 to 1.
    pub share_packets: f64,
    /// bytes / received.
    pub share_bytes: f64,
    /// By cause: a guard, a rule class, `sticky`, `history`, `handover`. A frame counts for its first cause only.
    pub by_cause: BTreeMap<String, Cause>,
    /// Frames of cause `sticky`, by what held their flow: `released` (the release was on its way), `gap`, `handshake`, `stream`,
    /// `pattern`, `tail`, `message PROTOCOL`, `undecided`, `coded`, `body`, `waits`, `returned`, `decided`, `upgraded`, `unsure`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub held: BTreeMap<String, Cause>,
    /// The part of it that a record and no guard flagged, by number of the record in the tables of the run.
    #[serde(skip)]
    pub by_record: BTreeMap<u32, Cause>,
    /// Rules that sent most, dearest first, at most 20: a frame counts for the rule of the first record that held, where
    /// that belongs to a rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_rule: Vec<RuleCost>,
    /// CPU time of the engine, in seconds.
    pub cpu_seconds: f64,
    /// Alerts raised.
    pub alerts: u64,
    /// Flows whose history was overwritten before the host read it.
    pub history_truncated: u64,
    /// Flows of the engine (not part of issue 2's list, for `--device none`).
    pub flows: u64,
    /// How often limits were reached, by the name of the setting. Where runs differ in `flow.max`, their comparison is
    /// void; the others belong to flows of which a host behind a device sees fewer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, u64>,
}

/// Rules of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleTotals {
    /// Enabled rules in the files.
    pub total: u64,
    /// In use.
    pub loaded: u64,
    /// Not usable.
    pub rejected: u64,
    /// By device class (L, T, G, H, C, D); empty without a device.
    pub by_class: BTreeMap<String, u64>,
    /// Rejected rules by cause.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rejected_by_cause: BTreeMap<String, u64>,
}

/// Wall-clock seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seconds {
    /// Reading and compiling rules, loading tables.
    pub load: f64,
    /// From the first frame to the last event.
    pub run: f64,
}

/// Bytes of flows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// All.
    pub bytes: u64,
    /// Of diverted frames.
    pub diverted: u64,
    /// Read from history.
    pub history: u64,
}

impl Shares {
    /// Of more flows.
    pub fn add(&mut self, other: &Shares) {
        self.bytes += other.bytes;
        self.diverted += other.diverted;
        self.history += other.history;
    }
}

/// Flows of a protocol, as the device classes them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ProtocolTotals {
    /// All of them.
    pub all: Shares,
    /// Those of 100 000 bytes and more.
    pub long: Shares,
}

/// Everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunTotals {
    /// Device.
    pub device: DeviceTotals,
    /// Host.
    pub host: HostTotals,
    /// Network interfaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<InterfaceTotals>,
    /// Rules.
    pub rules: RuleTotals,
    /// Times.
    pub seconds: Seconds,
    /// Frame time of the last frame.
    #[serde(skip)]
    pub last_time: u64,
    /// Counters by the dotted names that Suricata's statistics have.
    #[serde(skip)]
    pub named: BTreeMap<String, u64>,
    /// What reached the host, by protocol.
    #[serde(skip)]
    pub protocols: BTreeMap<String, ProtocolTotals>,
    /// Files of data sets that rules want kept, and their content.
    #[serde(skip)]
    pub datasets: Vec<(String, String)>,
}

impl RunTotals {
    /// Sets the shares from the counters. Without a device everything reaches the host.
    pub fn compute_shares(&mut self) {
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        if self.device.received_packets == 0 {
            self.host.share_packets = share(self.host.packets, self.host.packets);
            self.host.share_bytes = share(self.host.bytes, self.host.bytes);
        } else {
            self.host.share_packets = share(self.host.packets, self.device.received_packets);
            self.host.share_bytes = share(self.host.bytes, self.device.received_bytes);
        }
    }

    /// Frames of the source.
    pub fn received_packets(&self) -> u64 {
        if self.device.received_packets == 0 { self.host.packets } else { self.device.received_packets }
    }

    /// Bytes of the source.
    pub fn received_bytes(&self) -> u64 {
        if self.device.received_packets == 0 { self.host.bytes } else { self.device.received_bytes }
    }

    /// Flows seen.
    pub fn flows(&self) -> u64 {
        self.device.flows.max(self.host.flows)
    }

    /// As the text of `stats.json`.
    pub fn to_json(&self) -> String {
        // Maps with string keys and finite numbers always serialise.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Writes `stats.json`.
    pub fn write(&self, path: &Path) -> Result<(), OutputError> {
        let mut file = OutputFile::create(path)?;
        file.write(self.to_json().as_bytes());
        file.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_objects_of_stats_json() {
        let mut totals = RunTotals::default();
        totals.device.received_packets = 200;
        totals.device.received_bytes = 20_000;
        totals.host.packets = 50;
        totals.host.bytes = 1_000;
        totals.device.guards.insert("fragment".into(), 3);
        totals.compute_shares();
        let value: serde_json::Value = serde_json::from_str(&totals.to_json()).unwrap();
        let expected: [(&str, &[&str]); 4] = [
            (
                "device",
                &[
                    "received_packets",
                    "received_bytes",
                    "passed_packets",
                    "diverted_packets",
                    "diverted_bytes",
                    "dropped_packets",
                    "bypassed_packets",
                    "guards",
                    "flows",
                    "settled",
                    "released",
                ],
            ),
            (
                "host",
                &[
                    "packets",
                    "bytes",
                    "history_packets",
                    "history_bytes",
                    "share_packets",
                    "share_bytes",
                    "by_cause",
                    "cpu_seconds",
                    "alerts",
                    "history_truncated",
                ],
            ),
            ("rules", &["total", "loaded", "rejected", "by_class"]),
            ("seconds", &["load", "run"]),
        ];
        for (object, keys) in expected {
            for key in keys {
                assert!(value[object].get(key).is_some(), "{object}.{key}");
            }
        }
        assert_eq!(value["host"]["share_packets"], 0.25);
        assert_eq!(value["host"]["share_bytes"], 0.05);
        assert_eq!(serde_json::from_str::<RunTotals>(&totals.to_json()).unwrap(), totals);
    }
}
