//! The version message: what each side can take.

use crate::message::{Bad, DATA_MAX, FDS_MAX};
use serde::{Deserialize, Serialize};

/// Version of the protocol: 0.1, the only one there is.
pub const MAJOR: u16 = 0;
/// See [`MAJOR`].
pub const MINOR: u16 = 1;

/// Most bytes of a version message's text.
const TEXT_MAX: usize = 4096;

/// Capabilities, with the protocol's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Most file descriptors with a message.
    pub max_msg_fds: u64,
    /// Most bytes of data in a message.
    pub max_data_xfer_size: u64,
}

impl Default for Capabilities {
    fn default() -> Self {
        Capabilities { max_msg_fds: 1, max_data_xfer_size: 1 << 20 }
    }
}

/// What this side can take.
pub const OWN: Capabilities = Capabilities { max_msg_fds: FDS_MAX as u64, max_data_xfer_size: DATA_MAX as u64 };

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Text {
    capabilities: Capabilities,
}

/// The text of capabilities.
pub fn encode(capabilities: Capabilities) -> Vec<u8> {
    // (Numbers in a structure: nothing there can fail.)
    serde_json::to_vec(&Text { capabilities }).unwrap_or_default()
}

/// Capabilities of the other side. What it can besides is its own affair; none said: the defaults.
pub fn decode(text: &[u8]) -> Result<Capabilities, Bad> {
    if text.len() > TEXT_MAX {
        return Err(Bad::Version);
    }
    if text.is_empty() {
        return Ok(Capabilities::default());
    }
    let Text { capabilities } = serde_json::from_slice(text).map_err(|_| Bad::Version)?;
    // With less, neither configuration space nor rings could be had.
    if capabilities.max_msg_fds == 0 || capabilities.max_data_xfer_size < 4096 {
        return Err(Bad::Version);
    }
    Ok(capabilities)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities() {
        assert_eq!(decode(&encode(OWN)), Ok(OWN));
        assert_eq!(decode(b""), Ok(Capabilities::default()));
        assert_eq!(decode(b"{}"), Ok(Capabilities::default()));
        let other = br#"{"capabilities":{"max_msg_fds":16,"max_dma_maps":65535,"pgsizes":4096,"write_multiple":true}}"#;
        assert_eq!(decode(other), Ok(Capabilities { max_msg_fds: 16, ..Capabilities::default() }));
        for bad in [&b"{"[..], b"[]x", br#"{"capabilities":{"max_msg_fds":0}}"#, br#"{"capabilities":{"max_msg_fds":-1}}"#, &[b' '; 5000]] {
            assert_eq!(decode(bad), Err(Bad::Version));
        }
        assert!(decode("[".repeat(4000).as_bytes()).is_err(), "no deep recursion");
    }
}
