//! What a device may write. Pure functions, so that they can be fuzzed and tested without a device.
//!
//! A value that passes is safe to act on: positions lie in the ring and before what is written, indices in the flow
//! table, lengths in the record's place. Whether it is *true* is not known here.

use weir_contract::constants as c;
use weir_contract::crc::crc32c;
use weir_contract::enums::{DescriptorKind, FrameFlags, HistoryKind};
use weir_contract::layouts::{Descriptor, HistoryHeader};

/// What the driver knows when it reads a descriptor.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Number of the descriptor.
    pub sequence: u32,
    /// Entries of the device's flow table.
    pub flow_entries: u64,
    /// Bytes of the history ring.
    pub history: u64,
    /// History bytes written so far.
    pub written: u64,
}

/// What is wrong: the field's name and its value.
pub type Wrong = (&'static str, u64);

/// A descriptor is possible.
pub fn descriptor(d: &Descriptor, bounds: &Bounds) -> Result<(), Wrong> {
    if d.sequence != bounds.sequence {
        return Err(("descriptor sequence", d.sequence.into()));
    }
    let Some(kind) = DescriptorKind::from_raw(d.kind) else { return Err(("descriptor kind", d.kind.into())) };
    if d.flow_index != c::FLOW_NONE && u64::from(d.flow_index) >= bounds.flow_entries {
        return Err(("descriptor flow index", d.flow_index.into()));
    }
    if FrameFlags(d.flags).contains(FrameFlags::FLOWLESS) && d.flow_index != c::FLOW_NONE {
        return Err(("descriptor flow index", d.flow_index.into()));
    }
    match kind {
        DescriptorKind::Frame => {
            let none = d.position == c::POSITION_NONE;
            if none != FrameFlags(d.flags).contains(FrameFlags::NO_RECORD) || !none && !place(d.position, bounds) {
                return Err(("descriptor position", d.position));
            }
        }
        DescriptorKind::Handover => {
            if d.flow_index == c::FLOW_NONE {
                return Err(("handover flow index", d.flow_index.into()));
            }
        }
    }
    let none = d.chain_head == c::POSITION_NONE;
    if none != (d.chain_count == 0) || u64::from(d.chain_count) > bounds.history / c::HISTORY_ALIGN as u64 {
        return Err(("descriptor chain count", d.chain_count.into()));
    }
    let behind_frame = kind == DescriptorKind::Frame && d.position != c::POSITION_NONE && d.chain_head >= d.position;
    if !none && (!place(d.chain_head, bounds) || behind_frame || d.flow_index == c::FLOW_NONE) {
        return Err(("descriptor chain head", d.chain_head));
    }
    Ok(())
}

/// A record can begin here.
fn place(position: u64, bounds: &Bounds) -> bool {
    position.is_multiple_of(c::HISTORY_ALIGN as u64)
        && position.checked_add(HistoryHeader::SIZE as u64).is_some_and(|end| end <= bounds.written)
}

/// The header of a frame's record at `position` of a ring of `history` bytes is possible, and its checksum right.
pub fn history_header(bytes: &[u8; HistoryHeader::SIZE], position: u64, history: u64) -> Result<(), Wrong> {
    let header = HistoryHeader::from_bytes(bytes);
    let check = crc32c(bytes.get(..HistoryHeader::OFFSET_CHECK).unwrap_or(&[]));
    if header.check != check {
        return Err(("history header checksum", header.check.into()));
    }
    if header.position != position {
        return Err(("history position", header.position));
    }
    if header.kind != HistoryKind::Frame as u8 {
        return Err(("history record kind", header.kind.into()));
    }
    let length = u64::from(header.captured_length);
    let offset = position.checked_rem(history).ok_or(("history position", position))?;
    if header.captured_length > c::FRAME_LENGTH_MAX || offset + HistoryHeader::SIZE as u64 + length > history {
        return Err(("history record length", length));
    }
    Ok(())
}

/// Entry point for fuzzing: any bytes as descriptor and header; what passes keeps its promises.
pub fn fuzz_descriptor(data: &[u8]) {
    let number = |at: usize| data.get(at..).and_then(|d| d.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b));
    let shift = number(0) as u32 % 20;
    let bounds = Bounds {
        sequence: number(0) as u32,
        flow_entries: number(8) & 0xff_ffff,
        history: c::HISTORY_SIZE_MIN << shift,
        written: number(16),
    };
    let Some(rest) = data.get(24..) else { return };
    if let Some(d) = Descriptor::read(rest)
        && descriptor(&d, &bounds).is_ok() {
            assert!(d.chain_count == 0 || d.chain_head < bounds.written);
            assert!(d.position == c::POSITION_NONE || d.kind != 1 || d.position < bounds.written);
            assert!(d.flow_index == c::FLOW_NONE || u64::from(d.flow_index) < bounds.flow_entries);
        }
    if let Some(bytes) = rest.first_chunk()
        && history_header(bytes, number(16), bounds.history).is_ok() {
            let length = u64::from(HistoryHeader::from_bytes(bytes).captured_length);
            assert!(number(16) % bounds.history + HistoryHeader::SIZE as u64 + length <= bounds.history);
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { sequence: 5, flow_entries: 100, history: 1 << 16, written: 0x4000 };

    fn good() -> Descriptor {
        Descriptor {
            kind: DescriptorKind::Frame as u8,
            sequence: 5,
            frame_number: 9,
            position: 0x1000,
            flow_index: 7,
            chain_head: 0x800,
            chain_count: 3,
            ..Descriptor::ZERO
        }
    }

    #[test]
    fn each_impossible_field_is_named() {
        assert_eq!(descriptor(&good(), &BOUNDS), Ok(()));
        let wrong = |change: &dyn Fn(&mut Descriptor)| {
            let mut d = good();
            change(&mut d);
            descriptor(&d, &BOUNDS).err().map(|e| e.0)
        };
        assert_eq!(wrong(&|d| d.sequence = 4), Some("descriptor sequence"));
        assert_eq!(wrong(&|d| d.kind = 0), Some("descriptor kind"));
        assert_eq!(wrong(&|d| d.flow_index = 100), Some("descriptor flow index"));
        assert_eq!(wrong(&|d| d.flags = FrameFlags::FLOWLESS.0), Some("descriptor flow index"));
        assert_eq!(wrong(&|d| d.position = 0x1001), Some("descriptor position"));
        assert_eq!(wrong(&|d| d.position = 0x4000), Some("descriptor position"));
        assert_eq!(wrong(&|d| d.position = c::POSITION_NONE), Some("descriptor position"));
        assert_eq!(wrong(&|d| d.chain_count = 0), Some("descriptor chain count"));
        assert_eq!(wrong(&|d| d.chain_count = u32::MAX), Some("descriptor chain count"));
        assert_eq!(wrong(&|d| d.chain_head = 0x1000), Some("descriptor chain head"));
        assert_eq!(wrong(&|d| d.flow_index = c::FLOW_NONE), Some("descriptor chain head"));
    }

    /// The corpus of the fuzz target: pseudo-random bytes, and mutations of what is right.
    #[test]
    fn fuzz_corpus() {
        let mut state = 42;
        let mut data = [0u8; 24 + 64];
        for round in 0..200_000u32 {
            for chunk in data.chunks_exact_mut(8) {
                chunk.copy_from_slice(&weir_contract::hash::splitmix64(&mut state).to_le_bytes());
            }
            if round % 2 == 0 {
                data[16..24].copy_from_slice(&0x4000u64.to_le_bytes());
                let d = Descriptor { sequence: u32::from_le_bytes([data[0], data[1], data[2], data[3]]), ..good() };
                let noise = data[24];
                data[24..].copy_from_slice(&d.to_bytes());
                data[24 + usize::from(noise) % 64] ^= noise;
            }
            fuzz_descriptor(&data);
        }
        for length in 0..data.len() {
            fuzz_descriptor(&data[..length]);
        }
    }
}
