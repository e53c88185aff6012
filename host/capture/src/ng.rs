//! pcapng: sections of either byte order, interfaces with link type and time resolution, enhanced, simple and obsolete
//! packet blocks; other blocks are skipped without being buffered.
//!
//! Source: draft-ietf-opsawg-pcapng, sections 3 and 4.

use std::io;

use crate::classic::link_type;
use crate::source::Source;
use crate::{CaptureEnd, MAX_FRAME, OpenError, Order, Record, Step, Warnings};

const SECTION: u32 = 0x0a0d_0d0a;

pub fn is_magic(bytes: [u8; 4]) -> bool {
    u32::from_be_bytes(bytes) == SECTION
}
const INTERFACE: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER: u32 = 0x1a2b_3c4d;

/// Interfaces a section may describe. Real files have dozens.
const MAX_INTERFACES: usize = 1 << 16;
/// Bytes of an interface block that are looked at; its options beyond are ignored.
const MAX_INTERFACE_BLOCK: usize = 64 << 10;
/// Bytes a packet block may have beside its frame (options, comments, padding).
const MAX_OPTIONS: u64 = 16 << 20;

#[derive(Clone, Copy)]
struct Interface {
    link: u16,
    snap_length: u32,
    resolution: Resolution,
    /// Seconds to add.
    offset: i64,
}

/// Units of a timestamp.
#[derive(Clone, Copy)]
enum Resolution {
    Microseconds,
    Nanoseconds,
    /// Units per second.
    Other(u128),
}

impl Interface {
    fn time(&self, timestamp: u64) -> u64 {
        let time = match self.resolution {
            Resolution::Microseconds => timestamp.saturating_mul(1000),
            Resolution::Nanoseconds => timestamp,
            Resolution::Other(units) => {
                u64::try_from(u128::from(timestamp) * 1_000_000_000 / units).unwrap_or(u64::MAX)
            }
        };
        time.saturating_add_signed(self.offset.saturating_mul(1_000_000_000))
    }
}

/// A pcapng capture.
pub(crate) struct Ng {
    order: Order,
    interfaces: Vec<Interface>,
    /// Time of the last frame, for blocks that carry none.
    last_time: u64,
}

pub(crate) fn is_ng(start: &[u8]) -> bool {
    start.starts_with(&SECTION.to_be_bytes())
}

fn section_order(block: &[u8]) -> Option<Order> {
    [Order::Little, Order::Big].into_iter().find(|order| order.u32(block, 8) == BYTE_ORDER)
}

impl Ng {
    /// Checks the first section header; it is consumed by the first `next`.
    pub fn open(source: &mut Source) -> Result<Self, OpenError> {
        if !source.fill(12)? {
            return Err(OpenError::Bad("the pcapng section header is truncated".into()));
        }
        let Some(order) = section_order(source.available()) else {
            return Err(OpenError::Bad("the pcapng section header has no byte-order magic".into()));
        };
        Ok(Ng { order, interfaces: Vec::new(), last_time: 0 })
    }

    pub fn next(&mut self, source: &mut Source, warnings: &mut Warnings) -> io::Result<Step> {
        loop {
            let offset = source.position();
            if !source.fill(12)? {
                let rest = source.available().len();
                return Ok(Step::End(if rest == 0 {
                    CaptureEnd::Complete
                } else {
                    CaptureEnd::Truncated { offset, reason: format!("a block header has {rest} of 12 bytes") }
                }));
            }
            let block = source.available();
            let corrupt = |reason: String| Ok(Step::End(CaptureEnd::Corrupt { offset, reason }));
            let kind = self.order.u32(block, 0);
            if kind == SECTION {
                // The type reads the same in both orders; the magic decides.
                let Some(order) = section_order(block) else {
                    return corrupt("a section header has no byte-order magic".into());
                };
                self.order = order;
                self.interfaces.clear();
            }
            let claimed = self.order.u32(block, 4);
            if claimed < 12 {
                return corrupt(format!("a block of type {kind} claims a length of {claimed}"));
            }
            if !claimed.is_multiple_of(4) {
                warnings.push(offset, format!("a block of type {kind} has length {claimed}, not a multiple of 4"));
            }
            // The specification requires padding to 32 bits; readers round up.
            let length = u64::from(claimed).next_multiple_of(4);
            let truncated = |rest: usize| {
                let reason = format!("a block of type {kind} has {rest} of {length} bytes");
                Ok(Step::End(CaptureEnd::Truncated { offset, reason }))
            };
            match kind {
                INTERFACE => {
                    let wanted = length.min(MAX_INTERFACE_BLOCK as u64) as usize;
                    if !source.fill(wanted)? {
                        return truncated(source.available().len());
                    }
                    if self.interfaces.len() >= MAX_INTERFACES {
                        return corrupt(format!("more than {MAX_INTERFACES} interfaces in a section"));
                    }
                    let body = source.available().get(8..wanted - 4).unwrap_or_default();
                    if body.len() < 8 {
                        return corrupt(format!("an interface block has only {} bytes of content", body.len()));
                    }
                    let interface = self.interface(body, offset, warnings);
                    self.interfaces.push(interface);
                }
                ENHANCED_PACKET | PACKET | SIMPLE_PACKET => {
                    let fixed: u64 = if kind == SIMPLE_PACKET { 12 } else { 28 };
                    if length < fixed + 4 {
                        return corrupt(format!("a packet block of type {kind} claims a length of {claimed}"));
                    }
                    if length > u64::from(MAX_FRAME) + MAX_OPTIONS {
                        return corrupt(format!("a packet block claims {claimed} bytes"));
                    }
                    if !source.fill(length as usize)? {
                        return truncated(source.available().len());
                    }
                    match self.packet(kind, source.available(), length, fixed) {
                        Ok(record) => {
                            self.last_time = record.time;
                            return Ok(Step::Record(record));
                        }
                        Err(reason) => return corrupt(reason),
                    }
                }
                _ => {}
            }
            if !source.skip(length)? {
                let rest = source.position() - offset;
                return truncated(usize::try_from(rest).unwrap_or(usize::MAX));
            }
        }
    }

    /// A packet block that is wholly at hand.
    fn packet(&self, kind: u32, block: &[u8], length: u64, fixed: u64) -> Result<Record, String> {
        let order = self.order;
        let room = length - fixed - 4;
        let (index, captured, wire_length, timestamp) = match kind {
            ENHANCED_PACKET => (order.u32(block, 8), order.u32(block, 20), order.u32(block, 24), true),
            PACKET => (u32::from(order.u16(block, 8)), order.u32(block, 20), order.u32(block, 24), true),
            _ => {
                let wire = order.u32(block, 8);
                let room = u32::try_from(room).unwrap_or(u32::MAX);
                (0, wire.min(room), wire, false)
            }
        };
        let Some(interface) = self.interfaces.get(index as usize) else {
            return Err(format!(
                "a packet block names interface {index}, but the section has described {}",
                self.interfaces.len()
            ));
        };
        let captured =
            if timestamp || interface.snap_length == 0 { captured } else { captured.min(interface.snap_length) };
        if u64::from(captured) > room {
            return Err(format!("a packet block claims {captured} captured bytes but has room for {room}"));
        }
        if captured > MAX_FRAME {
            return Err(format!("a packet block claims {captured} bytes, more than the {MAX_FRAME} that are accepted"));
        }
        let time = if timestamp {
            interface.time(u64::from(order.u32(block, 12)) << 32 | u64::from(order.u32(block, 16)))
        } else {
            self.last_time
        };
        Ok(Record {
            time,
            link: interface.link,
            wire_length,
            before: fixed as usize,
            captured: captured as usize,
            after: length - fixed - u64::from(captured),
        })
    }

    /// The body of an interface block: link type, snapshot length, options.
    fn interface(&self, body: &[u8], offset: u64, warnings: &mut Warnings) -> Interface {
        let order = self.order;
        let mut interface = Interface {
            link: link_type(u32::from(order.u16(body, 0)), offset, warnings),
            snap_length: order.u32(body, 4),
            resolution: Resolution::Microseconds,
            offset: 0,
        };
        let mut options = body.get(8..).unwrap_or_default();
        while options.len() >= 4 {
            let (code, length) = (order.u16(options, 0), usize::from(order.u16(options, 2)));
            let Some(value) = options.get(4..4 + length) else {
                warnings.push(offset, "an interface option runs beyond its block");
                break;
            };
            match (code, value) {
                (0, _) => break,
                (9, &[resolution, ..]) => interface.resolution = resolution_of(resolution, offset, warnings),
                (14, [_, _, _, _, _, _, _, _, ..]) => interface.offset = order.u64(value, 0) as i64,
                _ => {}
            }
            options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        }
        interface
    }
}

/// `if_tsresol`: a negative power of 10, or of 2 if the highest bit is set.
fn resolution_of(value: u8, offset: u64, warnings: &mut Warnings) -> Resolution {
    let exponent = u32::from(value & 0x7f);
    let units = if value & 0x80 != 0 { 1u128.checked_shl(exponent) } else { 10u128.checked_pow(exponent) };
    match units {
        Some(1_000_000) => Resolution::Microseconds,
        Some(1_000_000_000) => Resolution::Nanoseconds,
        Some(units) if units > 0 => Resolution::Other(units),
        _ => {
            warnings.push(offset, format!("time resolution {value:#04x} is out of range; read as microseconds"));
            Resolution::Microseconds
        }
    }
}
