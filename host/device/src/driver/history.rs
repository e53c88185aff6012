//! Frames read from a history ring.

/// A frame of the history ring, copied. Reused from call to call.
#[derive(Debug, Clone, Default)]
pub struct HistoryFrame {
    /// Frame number.
    pub number: u64,
    /// Frame time, ns.
    pub time: u64,
    /// Length on the wire.
    pub wire_length: u32,
    /// Link type.
    pub link: u16,
    /// FrameFlags.
    pub flags: u8,
    /// Port that it came from.
    pub port: u8,
    /// Flow entry and generation.
    pub flow: (u32, u32),
    /// Epoch of the tables that judged it.
    pub epoch: u32,
    /// Position of the flow's previous record.
    pub previous: u64,
    /// Bytes.
    pub data: Vec<u8>,
}
