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

/// What the headers of a chain say of its frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChainOutline {
    /// Time of the newest, ns.
    pub newest: u64,
    /// Directions of the frames: bit 0 from the entry's initiator, bit 1 to it.
    pub directions: u8,
    /// Bytes of all frames.
    pub bytes: u64,
}
