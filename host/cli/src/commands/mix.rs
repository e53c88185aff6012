//! What reaches the host by protocol, and what that makes of a mix of protocols that is not that of the captures.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use weir_output::{ProtocolTotals, Shares};

/// A mix as in enterprise networks: part of the bytes, and protocols (none named: all others).
const ENTERPRISE: [(f64, &str, &[&str]); 4] = [
    (0.85, "tls", &["tls"]),
    (0.08, "http", &["http", "http2"]),
    (0.02, "dns", &["dns", "mdns", "doh2"]),
    (0.05, "other", &[]),
];

/// By protocol, over captures.
#[derive(Debug, Default)]
pub struct Protocols(BTreeMap<String, ProtocolTotals>);

/// Parts of the bytes of a mix, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mix {
    /// Diverted.
    pub diverted: f64,
    /// Read from history.
    pub history: f64,
}

impl Protocols {
    /// One more capture.
    pub fn add(&mut self, protocols: &BTreeMap<String, ProtocolTotals>) {
        for (name, totals) in protocols {
            let own = self.0.entry(name.clone()).or_default();
            own.all.add(&totals.all);
            own.long.add(&totals.long);
        }
    }

    /// The enterprise mix of all flows, or of long ones; none if the captures have no byte of a part.
    pub fn enterprise(&self, long: bool) -> Option<Mix> {
        let named = |name: &str| ENTERPRISE.iter().any(|(_, _, names)| names.contains(&name));
        let mut mix = Mix { diverted: 0.0, history: 0.0 };
        for (part, _, names) in ENTERPRISE {
            let mut sum = Shares::default();
            for (name, totals) in &self.0 {
                if if names.is_empty() { !named(name) } else { names.contains(&name.as_str()) } {
                    // DNS has no long flows.
                    let short = names.contains(&"dns");
                    sum.add(if long && !short { &totals.long } else { &totals.all });
                }
            }
            if sum.bytes == 0 {
                return None;
            }
            mix.diverted += part * sum.diverted as f64 / sum.bytes as f64;
            mix.history += part * sum.history as f64 / sum.bytes as f64;
        }
        Some(mix)
    }

    /// For `--json`.
    pub fn to_json(&self) -> Value {
        let mix = |long| self.enterprise(long).map(|mix| json!({ "diverted": mix.diverted, "history": mix.history }));
        let parts: BTreeMap<&str, f64> = ENTERPRISE.iter().map(|(part, name, _)| (*name, *part)).collect();
        json!({ "by_protocol": self.0, "enterprise_mix": { "parts": parts, "all": mix(false), "long": mix(true) } })
    }

    /// A line for people; none where a part of the mix is missing.
    pub fn line(&self) -> Option<String> {
        let text =
            |mix: Mix| format!("{:.2} % of bytes diverted, {:.2} % history", 100.0 * mix.diverted, 100.0 * mix.history);
        let all = text(self.enterprise(false)?);
        let long = self.enterprise(true).map_or_else(String::new, |mix| format!("; of long flows {}", text(mix)));
        let parts: Vec<String> =
            ENTERPRISE.iter().map(|(part, name, _)| format!("{:.0} % {name}", 100.0 * part)).collect();
        Some(format!("computed mix ({}): {all}{long}", parts.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_weighs_protocols_not_captures() {
        let mut all = Protocols::default();
        let of = |bytes, diverted, history| {
            let all = Shares { bytes, diverted, history };
            ProtocolTotals { all, long: Shares { bytes: bytes / 2, diverted: 0, history: 0 } }
        };
        assert_eq!(all.enterprise(false), None);
        let capture = |protocols: &[(&str, ProtocolTotals)]| {
            protocols.iter().map(|(name, totals)| ((*name).to_owned(), *totals)).collect::<BTreeMap<_, _>>()
        };
        all.add(&capture(&[("tls", of(1000, 0, 100)), ("http", of(10, 10, 0)), ("dns", of(4, 1, 0))]));
        assert_eq!(all.enterprise(false), None, "nothing else was seen");
        all.add(&capture(&[("dns", of(4, 3, 0)), ("unknown", of(5, 0, 0)), ("ftp", of(5, 10, 0))]));
        let mix = all.enterprise(false).unwrap();
        assert!(
            (mix.diverted - (0.08 + 0.02 * 0.5 + 0.05)).abs() < 1e-9 && (mix.history - 0.085).abs() < 1e-9,
            "{mix:?}"
        );
        let long = all.enterprise(true).unwrap();
        assert!((long.diverted - 0.02 * 0.5).abs() < 1e-9 && long.history == 0.0, "{long:?}");
    }
}
