//! Classic pcap: one header, one link type, records of 16 bytes and data. Both byte orders, microseconds and
//! nanoseconds, the "modified" formats of old patched writers, swapped length fields of old versions.

use std::io;

use crate::source::Source;
use crate::{CaptureEnd, MAX_FRAME, OpenError, Order, Record, Step, Warnings};

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// A. Kuznetzov's patched writer: 8 more bytes per record.
const MODIFIED: u32 = 0xa1b2_cd34;
/// Other variants with ordinary records.
const NAVTEL: u32 = 0xa1b2_34cd;

pub fn is_magic(number: u32) -> bool {
    matches!(number, MICROSECONDS | NANOSECONDS | MODIFIED | NAVTEL)
}

const FILE_HEADER: usize = 24;

/// A classic capture.
pub(crate) struct Classic {
    order: Order,
    /// Nanoseconds per unit of the fraction field.
    unit: u64,
    record_header: usize,
    /// Longest frame the writer said it would keep.
    snap_length: u32,
    link: u16,
    lengths: Lengths,
}

/// Order of the two length fields of a record.
#[derive(PartialEq)]
enum Lengths {
    CapturedFirst,
    WireFirst,
    /// Version 2.3: writers disagreed; the smaller one is the captured length.
    Unknown,
}

fn order_of(start: &[u8]) -> Option<(Order, u32)> {
    [Order::Little, Order::Big]
        .into_iter()
        .map(|order| (order, order.u32(start, 0)))
        .find(|(_, magic)| [MICROSECONDS, NANOSECONDS, MODIFIED, NAVTEL].contains(magic))
}

pub(crate) fn is_classic(start: &[u8]) -> bool {
    start.len() >= 4 && order_of(start).is_some()
}

impl Classic {
    pub fn open(source: &mut Source, warnings: &mut Warnings) -> Result<Self, OpenError> {
        if !source.fill(FILE_HEADER)? {
            let length = source.available().len();
            return Err(OpenError::Bad(format!("the pcap header is truncated: {length} of {FILE_HEADER} bytes")));
        }
        let header = source.available();
        let Some((order, magic)) = order_of(header) else {
            return Err(OpenError::Bad("not a pcap header".into()));
        };
        let (major, minor) = (order.u16(header, 4), order.u16(header, 6));
        // The upper bits hold the frame check sequence's length; a few fuzzed and some real files have them set.
        let network = order.u32(header, 20);
        let link = link_type(network & 0x03ff_ffff, 20, warnings);
        if major != 2 && !(major == 543 && minor == 0) {
            warnings.push(4, format!("pcap version {major}.{minor}; read as 2.4"));
        }
        let lengths = match (major, minor) {
            (543, 0) | (2, 0..=2) => Lengths::WireFirst,
            (2, 3) => Lengths::Unknown,
            _ => Lengths::CapturedFirst,
        };
        let snap_length = match order.u32(header, 16) {
            0 => u32::MAX,
            length => length,
        };
        let unit = if magic == NANOSECONDS { 1 } else { 1000 };
        let record_header = if magic == MODIFIED { 24 } else { 16 };
        source.take(0, FILE_HEADER, 0);
        Ok(Classic { order, unit, record_header, snap_length, link, lengths })
    }

    #[inline]
    pub fn next(&mut self, source: &mut Source) -> io::Result<Step> {
        let offset = source.position();
        if !source.fill(self.record_header)? {
            let rest = source.available().len();
            return Ok(Step::End(if rest == 0 {
                CaptureEnd::Complete
            } else {
                let reason = format!("a record header has {rest} of {} bytes", self.record_header);
                CaptureEnd::Truncated { offset, reason }
            }));
        }
        let header = source.available();
        let order = self.order;
        let time = u64::from(order.u32(header, 0)) * 1_000_000_000 + u64::from(order.u32(header, 4)) * self.unit;
        let (first, second) = (order.u32(header, 8), order.u32(header, 12));
        let (captured, wire_length) = match self.lengths {
            Lengths::CapturedFirst => (first, second),
            Lengths::WireFirst => (second, first),
            Lengths::Unknown => (first.min(second), first.max(second)),
        };
        if captured > MAX_FRAME {
            let reason = format!("a record claims {captured} bytes, more than the {MAX_FRAME} that are accepted");
            return Ok(Step::End(CaptureEnd::Corrupt { offset, reason }));
        }
        // Like libpcap, cut frames that are longer than the file's snapshot length.
        let kept = captured.min(self.snap_length) as usize;
        let captured = captured as usize;
        if !source.fill(self.record_header + captured)? {
            let rest = source.available().len() - self.record_header;
            let reason = format!("a record has {rest} of {captured} bytes");
            return Ok(Step::End(CaptureEnd::Truncated { offset, reason }));
        }
        let before = self.record_header;
        let after = (captured - kept) as u64;
        Ok(Step::Record(Record { time, link: self.link, wire_length, before, captured: kept, after }))
    }
}

/// A link type as frames carry it; unknown large values become 65535, which no decoder knows.
pub(crate) fn link_type(value: u32, offset: u64, warnings: &mut Warnings) -> u16 {
    u16::try_from(value).unwrap_or_else(|_| {
        warnings.push(offset, format!("link type {value} is out of range; its frames cannot be decoded"));
        u16::MAX
    })
}
