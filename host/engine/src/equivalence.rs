//! Comparing the alerts of two runs (reference semantics, section 1).

use std::collections::BTreeMap;
use weir_flow::FlowKey;

/// What makes an alert the same alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertIdentity {
    /// Frame whose processing completed the match.
    pub frame: u64,
    /// gid, sid, rev.
    pub rule: (u32, u32, u32),
    /// Key of the flow and number of its first frame; none for packets without a flow.
    pub flow: Option<(FlowKey, u64)>,
    /// Transaction.
    pub transaction: Option<u64>,
    /// Verdict: 0 alert, 1 drop, 2 reject.
    pub verdict: u8,
}

/// An alert that one run has more often than the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// The alert.
    pub alert: AlertIdentity,
    /// How often the full engine raised it.
    pub reference: u32,
    /// How often the engine behind the device raised it.
    pub device: u32,
}

/// All differences between two multisets, in order of frame and rule.
pub fn compare(reference: &[AlertIdentity], device: &[AlertIdentity]) -> Vec<Difference> {
    let mut counts: BTreeMap<AlertIdentity, (u32, u32)> = BTreeMap::new();
    for alert in reference {
        counts.entry(*alert).or_default().0 += 1;
    }
    for alert in device {
        counts.entry(*alert).or_default().1 += 1;
    }
    counts
        .into_iter()
        .filter(|(_, (a, b))| a != b)
        .map(|(alert, (reference, device))| Difference { alert, reference, device })
        .collect()
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.device < self.reference { "missed" } else { "extra" };
        let (gid, sid, rev) = self.alert.rule;
        write!(f, "{what} by the device: [{gid}:{sid}:{rev}] at frame {}", self.alert.frame)?;
        if let Some((key, first)) = &self.alert.flow {
            write!(
                f,
                ", flow {}:{} - {}:{} protocol {} begun at frame {first}",
                key.address_a, key.port_a, key.address_b, key.port_b, key.protocol
            )?;
        }
        if let Some(tx) = self.alert.transaction {
            write!(f, ", transaction {tx}")?;
        }
        write!(f, " (full engine {}, behind the device {})", self.reference, self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(frame: u64, sid: u32) -> AlertIdentity {
        AlertIdentity { frame, rule: (1, sid, 1), flow: None, transaction: None, verdict: 0 }
    }

    #[test]
    fn multisets_are_compared() {
        let a = [alert(1, 10), alert(1, 10), alert(2, 20)];
        let b = [alert(1, 10), alert(3, 30), alert(2, 20)];
        let d = compare(&a, &b);
        assert_eq!(d.len(), 2);
        assert_eq!((d[0].alert.frame, d[0].reference, d[0].device), (1, 2, 1));
        assert_eq!((d[1].alert.frame, d[1].reference, d[1].device), (3, 0, 1));
        assert!(d[0].to_string().starts_with("missed"));
        assert!(compare(&a, &a).is_empty());
    }
}
