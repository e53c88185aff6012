//! Suricata's side: an installed binary, run once for each capture.
//!
//! A run of its own matters: a process that reads several captures carries thresholds, host bits and flows from one to
//! the next.

use super::{Counts, flow_of_fields};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An installed Suricata.
#[derive(Debug, Clone)]
pub struct Suricata {
    binary: PathBuf,
    config: PathBuf,
    rule_configuration: PathBuf,
    work: PathBuf,
    packet_alerts: Option<u8>,
    /// Version line.
    pub version: String,
}

/// What it said of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Pairs, and how often each alerted.
    Pairs(Counts),
    /// It cannot read the capture.
    Unreadable(String),
}

impl Suricata {
    /// Find and try a Suricata: `binary` or `$WEIR_SURICATA` or `suricata`. Its configuration is `config`, or the
    /// suricata.yaml beside the binary (`root/etc/suricata/`), or that of the system. `work` receives logs.
    pub fn find(
        binary: Option<PathBuf>,
        config: Option<PathBuf>,
        rule_configuration: &Path,
        work: &Path,
    ) -> Result<Suricata> {
        let binary = binary
            .or_else(|| std::env::var_os("WEIR_SURICATA").map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from("suricata"));
        let output = Command::new(&binary)
            .arg("-V")
            .output()
            .with_context(|| format!("{} does not run: give --suricata or WEIR_SURICATA", binary.display()))?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() || !version.contains("Suricata version") {
            bail!("{} -V does not answer like Suricata: {version:?}", binary.display());
        }
        let beside = binary.parent().map(|folder| folder.join("root/etc/suricata/suricata.yaml"));
        let config = config
            .or_else(|| beside.filter(|file| file.is_file()))
            .unwrap_or_else(|| PathBuf::from("/etc/suricata/suricata.yaml"));
        if !config.is_file() {
            bail!("no configuration at {}: give --suricata-config", config.display());
        }
        std::fs::create_dir_all(work).with_context(|| format!("making {}", work.display()))?;
        Ok(Suricata {
            binary,
            config,
            rule_configuration: rule_configuration.to_owned(),
            work: work.to_owned(),
            packet_alerts: None,
            version,
        })
    }

    /// Let a packet raise so many alerts instead of 15. More than 255 Suricata does not allow.
    pub fn with_packet_alerts(self, most: u8) -> Suricata {
        Suricata { packet_alerts: Some(most), ..self }
    }

    fn command(&self, rules: &Path, log: &Path) -> Command {
        let configuration = |file: &str| self.rule_configuration.join(file).display().to_string();
        let mut command = Command::new(&self.binary);
        command.arg("-c").arg(&self.config).arg("-S").arg(rules).arg("-l").arg(log);
        let mut set = |setting: &str| {
            command.args(["--set", setting]);
        };
        set(&format!("classification-file={}", configuration("classification.config")));
        set(&format!("reference-config-file={}", configuration("reference.config")));
        set("threshold-file=/dev/null");
        set("vars.address-groups.HOME_NET=any");
        set("vars.address-groups.EXTERNAL_NET=any");
        // Only eve.json is read.
        set("outputs.0.fast.enabled=no");
        if let Some(most) = self.packet_alerts {
            set(&format!("packet-alert-max={most}"));
        }
        command
    }

    /// Signatures of a rule file that Suricata does not accept.
    pub fn rejected(&self, rules: &Path) -> Result<std::collections::BTreeSet<u32>> {
        let output = self
            .command(rules, &self.work)
            .arg("-T")
            .output()
            .with_context(|| format!("running {}", self.binary.display()))?;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let sid = |line: &str| {
            let rest = line.rsplit_once("sid:")?.1;
            rest.get(..rest.bytes().take_while(u8::is_ascii_digit).count())?.parse().ok()
        };
        Ok(said.lines().filter(|line| line.contains("error parsing signature")).filter_map(sid).collect())
    }

    /// Run over one capture with one rule file. `name` tells concurrent runs apart.
    pub fn run(&self, name: &str, rules: &Path, capture: &Path) -> Result<Answer> {
        let log = self.work.join(name);
        let _ = std::fs::remove_dir_all(&log);
        std::fs::create_dir_all(&log).with_context(|| format!("making {}", log.display()))?;
        let output = self
            .command(rules, &log)
            .args(["-k", "none", "--runmode", "single"])
            .arg("-r")
            .arg(capture)
            .output()
            .with_context(|| format!("running {}", self.binary.display()))?;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let eve = std::fs::read_to_string(log.join("eve.json")).unwrap_or_default();
        let _ = std::fs::remove_dir_all(&log);
        if let Some(line) = said.lines().find(|line| line.contains("Failed to init pcap file")) {
            return Ok(Answer::Unreadable(line.to_owned()));
        }
        if !output.status.success() {
            bail!("Suricata failed on {}: {}", capture.display(), said.lines().last().unwrap_or("no message"));
        }
        pairs_of(&eve).map(Answer::Pairs)
    }
}

/// Alerts of an EVE log.
fn pairs_of(eve: &str) -> Result<Counts> {
    let mut pairs = Counts::new();
    for line in eve.lines().filter(|line| line.contains("\"event_type\":\"alert\"")) {
        let event: serde_json::Value = serde_json::from_str(line).context("a line of eve.json is no JSON")?;
        let Some(sid) = event["alert"]["signature_id"].as_u64().and_then(|sid| u32::try_from(sid).ok()) else {
            continue;
        };
        let end = |address: &str, port: &str| (event[address].as_str(), event[port].as_u64());
        let ends = [end("src_ip", "src_port"), end("dest_ip", "dest_port")];
        *pairs.entry((sid, flow_of_fields(ends, event["proto"].as_str()))).or_default() += 1;
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_of_eve() {
        let eve = concat!(
            r#"{"event_type":"flow","src_ip":"1.1.1.1"}"#, "\n",
            r#"{"event_type":"alert","src_ip":"10.0.0.2","src_port":80,"dest_ip":"10.0.0.1","dest_port":9,"proto":"TCP","alert":{"signature_id":5}}"#, "\n",
            r#"{"event_type":"alert","alert":{"signature_id":6}}"#, "\n",
        );
        let expected = [((5, "10.0.0.1:9 10.0.0.2:80 TCP".to_owned()), 1), ((6, String::new()), 1)];
        assert_eq!(pairs_of(eve).unwrap(), expected.into_iter().collect());
        assert!(pairs_of("{\"event_type\":\"alert\"").is_err());
    }
}
