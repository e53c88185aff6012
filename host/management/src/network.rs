//! A policy of one network: `10.0.0.0/8=windows`.

use crate::config::OverlapPolicy;
use crate::value::{Setting, Value, quote};
use std::net::IpAddr;

/// Who wins where segments or fragments to a network's hosts overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// An address of the network.
    pub address: IpAddr,
    /// Leading bits that count.
    pub prefix: u8,
    /// Who wins.
    pub policy: OverlapPolicy,
}

impl NetworkPolicy {
    /// Of an address, or a network in CIDR notation (RFC 4632).
    pub fn new(network: &str, policy: OverlapPolicy) -> Option<NetworkPolicy> {
        let (address, prefix) = network.split_once('/').map_or((network, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.trim().parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(most), |prefix| prefix.trim().parse().ok().filter(|prefix| *prefix <= most))?;
        Some(NetworkPolicy { address, prefix, policy })
    }
}

impl Setting for NetworkPolicy {
    fn kind() -> String {
        format!("text `ADDRESS[/PREFIX]=POLICY`; the policy is {}", OverlapPolicy::kind())
    }
    fn read(value: &Value) -> Result<Self, String> {
        let (Value::Text(text) | Value::Raw(text)) = value else {
            return Err(format!("{} is not {}", value.describe(), Self::kind()));
        };
        let wrong = || format!("{} is not {}", value.describe(), Self::kind());
        let (network, policy) = text.rsplit_once('=').ok_or_else(wrong)?;
        let policy = OverlapPolicy::read(&Value::Raw(policy.trim().to_owned()))?;
        NetworkPolicy::new(network, policy).ok_or_else(wrong)
    }
    fn show(&self) -> String {
        quote(&format!("{}/{}={}", self.address, self.prefix, self.policy.show().trim_matches('"')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_their_policies() {
        let read = |text: &str| NetworkPolicy::read(&Value::Text(text.to_owned()));
        for (text, shown) in [
            ("10.0.0.0/8=windows", "\"10.0.0.0/8=windows\""),
            ("2.2.2.2 = old-linux", "\"2.2.2.2/32=old-linux\""),
            ("2001:db8::/32=last", "\"2001:db8::/32=last\""),
        ] {
            assert_eq!(read(text).map(|policy| policy.show()).as_deref(), Ok(shown));
        }
        for wrong in ["10.0.0.0/33=bsd", "10.0.0=bsd", "10.0.0.0/8", "10.0.0.0/8=beos", "=bsd"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
