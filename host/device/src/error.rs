//! What can go wrong between host and device.

use weir_contract::enums::{Error as DeviceCode, TableError};

/// An error of the driver or of a back end.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Not a Weir function.
    #[error("PCI function {vendor:04x}:{device:04x} is not a Weir pre-filter; name one that `weir device list` shows")]
    NotWeir {
        /// Vendor.
        vendor: u16,
        /// Device.
        device: u16,
    },
    /// Another major version of the contract.
    #[error(
        "the device speaks contract {device_major}.{device_minor}, this driver {}.x; update the older of the two",
        weir_contract::constants::CONTRACT_MAJOR
    )]
    Version {
        /// Device's major version.
        device_major: u16,
        /// Device's minor version.
        device_minor: u16,
    },
    /// A capability the driver must know and does not.
    #[error("the device requires capability type {kind}, which this driver does not know; update the driver")]
    Capability {
        /// Type.
        kind: u16,
    },
    /// A setting the device cannot do.
    #[error("{what} = {value} is not possible on this device: {why}")]
    Setting {
        /// Setting.
        what: &'static str,
        /// Value asked for.
        value: u64,
        /// Reason and remedy.
        why: String,
    },
    /// The device rejected a table image.
    #[error("table image rejected: {error:?} in block {block:#x} at offset {offset}; the previous tables stay active")]
    Table {
        /// Reason.
        error: TableError,
        /// Block type.
        block: u32,
        /// Offset in the image.
        offset: u64,
    },
    /// The device reports an error.
    #[error("the device reports {code:?}, detail {detail:#x}")]
    Reported {
        /// Code.
        code: DeviceCode,
        /// Detail.
        detail: u64,
    },
    /// Somebody has reset the device, or stopped it, under this host.
    #[error("the device was reset or stopped under this host: its frames meet the fail mode; start again (a supervisor does)")]
    Stopped,
    /// The device wrote something that cannot be.
    #[error("queue {queue}: the device wrote an impossible {what}: {value:#x}")]
    Lying {
        /// Queue.
        queue: usize,
        /// What.
        what: &'static str,
        /// Value.
        value: u64,
    },
    /// A register reads what cannot be.
    #[error("the device's {what} reads {value:#x}, which cannot be; reset or replace the device")]
    Register {
        /// Register.
        what: &'static str,
        /// Value.
        value: u64,
    },
    /// Registers read all ones.
    #[error(
        "the device no longer answers (registers read all ones): it was removed or has failed; see `weir device list`"
    )]
    Removed,
    /// A history record was overwritten before it was read.
    #[error("queue {queue}: history record at {position:#x} is gone; enlarge the history ring or its margin")]
    HistoryGone {
        /// Queue.
        queue: usize,
        /// Position.
        position: u64,
    },
    /// The TX ring stays full.
    #[error("queue {queue}: the device does not take commands from the TX ring")]
    TxStuck {
        /// Queue.
        queue: usize,
    },
    /// No answer in time.
    #[error("the device does not answer: {what}")]
    Timeout {
        /// What was waited for.
        what: &'static str,
    },
    /// DMA mapping failed.
    #[error("DMA mapping: {0}")]
    Mapping(String),
    /// The back end failed.
    #[error("{0}")]
    Backend(String),
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
}
