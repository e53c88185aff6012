//! When a table record holds: the one definition, for model, RTL tests and the planner's tests.
//!
//! Place: behind every way that leads to a record (literal hit, guard, header table). Invariant: a fact the device does
//! not know for sure satisfies the predicate (direction, class, stream position); only what is known narrows.

use crate::enums::{DirectionMask, IpMask, RecordFlags, Scopes, StateMask, TransportMask};
use crate::layouts::Record;
use crate::protocol::CLASS_UNKNOWN;

/// Some frame can satisfy the record, wherever its position. (One that none can would be a silent miss.)
pub fn can_hold(r: &Record) -> bool {
    r.scopes & Scopes::ALL.0 != 0
        && r.transports & TransportMask::ALL.0 != 0
        && r.versions & IpMask::ALL.0 != 0
        && r.directions & DirectionMask::ALL.0 != 0
        && r.states & StateMask::ALL.0 != 0
        && r.class_mask != 0
        && r.payload_min <= r.payload_max
        && r.icmp_type_min <= r.icmp_type_max
        && r.icmp_code_min <= r.icmp_code_max
        && r.protocol_min <= r.protocol_max
        && r.position_min <= r.position_max
        && r.tcp_flags_value & !r.tcp_flags_mask == 0
}

/// Facts of one frame, as far as records ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameFacts {
    /// One bit of `TransportMask`.
    pub transport: u8,
    /// One bit of `IpMask`.
    pub version: u8,
    /// `DirectionMask`: one bit if the direction is sure, else both. Flowless: both.
    pub directions: u8,
    /// `StateMask` bits of the flow before and after the frame; DECIDING if it decides the class; FLOWLESS without a flow.
    pub states: u8,
    /// Protocol classes the flow may have, bit n = class n: *unknown* alone while detection waits for more bytes, all ones
    /// where bytes of a start were lost or the entry is not intact.
    pub classes: u64,
    /// IP protocol behind extension headers; none if there is no IP packet.
    pub protocol: Option<u8>,
    /// TCP flags; none for other transports.
    pub tcp_flags: Option<u8>,
    /// Type and code of ICMP and ICMPv6; none for other transports.
    pub icmp: Option<(u8, u8)>,
    /// Bytes of payload (0 where there is no transport payload).
    pub payload_length: u32,
    /// First payload bytes of the packet, and how many there are (at most 16).
    pub packet_first: ([u8; 16], u8),
    /// First bytes of the stream direction, this frame included, and how many are known; `None`: the stream's start is
    /// not known (midstream), or the frame has no stream.
    pub stream_first: Option<([u8; 16], u8)>,
    /// Where a stream is tracked but its first bytes are not known: anchors on the stream hold.
    pub stream_start_lost: bool,
    /// Bytes of the direction's stream before this payload; `None`: not known, any position satisfies the range.
    pub stream_offset: Option<u64>,
    /// Stream bytes of the other direction before the frame; `None`: not known for sure, any bound holds.
    pub reverse_bytes: Option<u32>,
    /// Classes of source and destination address.
    pub address_classes: (u16, u16),
    /// Classes of source and destination port.
    pub port_classes: (u16, u16),
    /// Scopes that can still match (settle mask; all ones if not settled or flowless).
    pub scopes: u8,
}

/// A hit of the literal filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Position of the window's first byte relative to the payload's start; negative: in the tail.
    pub position: i32,
}

/// Set × class matrices of the loaded tables.
pub trait ClassSets {
    /// Port class `class` belongs to port set `set`. Out of range: true (fails toward the host).
    fn port(&self, set: u16, class: u16) -> bool;
    /// Address class `class` belongs to address set `set`. Out of range: true.
    fn address(&self, set: u16, class: u16) -> bool;
}

/// The record holds for a frame; `hit` is none where a guard or the header table leads to it (then the position range
/// is not asked).
pub fn holds(record: &Record, facts: &FrameFacts, hit: Option<Hit>, sets: &impl ClassSets) -> bool {
    scopes_open(record, facts)
        && record.transports & facts.transport != 0
        && record.versions & facts.version != 0
        && record.directions & facts.directions != 0
        && record.states & facts.states != 0
        && record.class_mask & facts.classes != 0
        && tcp_flags(record, facts)
        && icmp(record, facts)
        && protocol(record, facts)
        && payload_length(record, facts)
        && reverse(record, facts)
        && hit.is_none_or(|hit| position(record, facts, hit))
        && anchor(record, facts)
        && sets.port(record.source_ports, facts.port_classes.0)
        && sets.port(record.destination_ports, facts.port_classes.1)
        && sets.address(record.source_addresses, facts.address_classes.0)
        && sets.address(record.destination_addresses, facts.address_classes.1)
}

/// Scope part: ALWAYS is never masked.
pub fn scopes_open(record: &Record, facts: &FrameFacts) -> bool {
    record.scopes & (facts.scopes | Scopes::ALWAYS.0) != 0
}

fn tcp_flags(record: &Record, facts: &FrameFacts) -> bool {
    record.tcp_flags_mask == 0 || facts.tcp_flags.is_some_and(|f| f & record.tcp_flags_mask == record.tcp_flags_value)
}

fn icmp(record: &Record, facts: &FrameFacts) -> bool {
    let all =
        (record.icmp_type_min, record.icmp_type_max, record.icmp_code_min, record.icmp_code_max) == (0, 255, 0, 255);
    all || facts.icmp.is_some_and(|(kind, code)| {
        (record.icmp_type_min..=record.icmp_type_max).contains(&kind)
            && (record.icmp_code_min..=record.icmp_code_max).contains(&code)
    })
}

fn protocol(record: &Record, facts: &FrameFacts) -> bool {
    let all = (record.protocol_min, record.protocol_max) == (0, 255);
    all || facts.protocol.is_some_and(|p| (record.protocol_min..=record.protocol_max).contains(&p))
}

fn payload_length(record: &Record, facts: &FrameFacts) -> bool {
    facts.payload_length >= u32::from(record.payload_min)
        && (record.payload_max == u16::MAX || facts.payload_length <= u32::from(record.payload_max))
}

/// The other direction has not had more than so many stream bytes.
#[inline]
pub fn reverse(record: &Record, facts: &FrameFacts) -> bool {
    record.reverse_max == u16::MAX || facts.reverse_bytes.is_none_or(|bytes| bytes <= u32::from(record.reverse_max))
}

fn position(record: &Record, facts: &FrameFacts, hit: Hit) -> bool {
    let flags = RecordFlags(record.flags);
    let range = i64::from(record.position_min)..=i64::from(record.position_max);
    let packet = flags.contains(RecordFlags::POSITION_PACKET);
    let stream = flags.contains(RecordFlags::POSITION_STREAM);
    let in_stream = || match facts.stream_offset {
        None => true,
        Some(offset) => i64::try_from(offset)
            .ok()
            .and_then(|o| o.checked_add(i64::from(hit.position)))
            .is_none_or(|p| range.contains(&p)),
    };
    !packet && !stream || packet && range.contains(&i64::from(hit.position)) || stream && in_stream()
}

fn anchor(record: &Record, facts: &FrameFacts) -> bool {
    let flags = RecordFlags(record.flags);
    let packet = flags.contains(RecordFlags::ANCHOR_PACKET);
    let stream = flags.contains(RecordFlags::ANCHOR_STREAM);
    if !packet && !stream {
        return true;
    }
    let equal = |(bytes, known): ([u8; 16], u8)| {
        let known = usize::from(known).min(16);
        (0..16).all(|i| {
            let mask = record.anchor_mask[i];
            mask == 0 || i < known && (bytes[i] ^ record.anchor_value[i]) & mask == 0
        })
    };
    packet && equal(facts.packet_first) || stream && (facts.stream_start_lost || facts.stream_first.is_some_and(equal))
}

impl Record {
    /// The record that holds for every frame.
    pub const ALWAYS: Record = Record {
        class_mask: u64::MAX,
        scopes: Scopes::ALWAYS.0,
        transports: u8::MAX,
        versions: u8::MAX,
        directions: u8::MAX,
        states: u8::MAX,
        payload_max: u16::MAX,
        reverse_max: u16::MAX,
        icmp_type_max: u8::MAX,
        icmp_code_max: u8::MAX,
        protocol_max: u8::MAX,
        position_min: i32::MIN,
        position_max: i32::MAX,
        ..Record::ZERO
    };

    /// The record holds for every frame, whatever is settled: what guards with `always` need.
    pub fn is_always(&self) -> bool {
        let neutral = Record { group: self.group, scopes: self.scopes, ..Record::ALWAYS };
        Scopes(self.scopes).contains(Scopes::ALWAYS) && self.normal() == neutral
    }

    /// The record that holds for every frame of a flow whose payload can still match: what guards with
    /// [`Guard::rests_once_encrypted`](crate::guards::Guard::rests_once_encrypted) need.
    pub const UNLESS_ENCRYPTED: Record = Record { scopes: Scopes::PACKET.0, ..Record::ALWAYS };

    /// The record that holds for every frame of a flow whose protocol is not decided, as far as is known: what
    /// [`Guard::SequenceGap`](crate::guards::Guard::SequenceGap) needs.
    pub const WHILE_UNDECIDED: Record = Record { class_mask: 1 << CLASS_UNKNOWN, ..Record::UNLESS_ENCRYPTED };

    /// The record holds at least where [`Record::WHILE_UNDECIDED`] does.
    pub fn is_always_while_undecided(&self) -> bool {
        let wide = Record { class_mask: u64::MAX, ..*self };
        self.class_mask & 1 << CLASS_UNKNOWN != 0 && wide.is_always_unless_encrypted()
    }

    /// The record holds at least where [`Record::UNLESS_ENCRYPTED`] does.
    pub fn is_always_unless_encrypted(&self) -> bool {
        let wide = Record { scopes: self.scopes | Scopes::ALWAYS.0, ..*self };
        Scopes(self.scopes).contains(Scopes::PACKET) && wide.is_always() || self.is_always()
    }

    /// Bits that mean nothing set as in [`Record::ALWAYS`], so that records can be compared.
    pub fn normal(&self) -> Record {
        let known_transports = crate::enums::TransportMask::ALL.0;
        let known_versions = crate::enums::IpMask::ALL.0;
        let known_directions = crate::enums::DirectionMask::ALL.0;
        let known_states = crate::enums::StateMask::ALL.0;
        Record {
            transports: self.transports | !known_transports,
            versions: self.versions | !known_versions,
            directions: self.directions | !known_directions,
            states: self.states | !known_states,
            reserved1: [0; 16],
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enums::{DirectionMask, IpMask, StateMask, TransportMask};

    struct Sets;
    impl ClassSets for Sets {
        fn port(&self, set: u16, class: u16) -> bool {
            set == 0 || set == class
        }
        fn address(&self, set: u16, class: u16) -> bool {
            set == 0 || set == class
        }
    }

    fn facts() -> FrameFacts {
        FrameFacts {
            transport: TransportMask::TCP.0,
            version: IpMask::V4.0,
            directions: DirectionMask::TO_SERVER.0,
            states: StateMask::ESTABLISHED.0,
            classes: 1 << 1,
            protocol: Some(6),
            tcp_flags: Some(0x18),
            icmp: None,
            payload_length: 20,
            packet_first: (*b"GET /index.html ", 16),
            stream_first: Some((*b"POST /a HTTP/1.1", 16)),
            stream_start_lost: false,
            stream_offset: Some(100),
            reverse_bytes: Some(7),
            address_classes: (1, 2),
            port_classes: (3, 4),
            scopes: u8::MAX,
        }
    }

    #[test]
    fn each_field_narrows() {
        let f = facts();
        let hit = Some(Hit { position: 4 });
        let holds = |change: &dyn Fn(&mut Record)| {
            let mut record = Record { scopes: Scopes::PACKET.0, ..Record::ALWAYS };
            change(&mut record);
            super::holds(&record, &f, hit, &Sets)
        };
        assert!(holds(&|_| ()));
        assert!(!holds(&|r| r.transports = TransportMask::UDP.0));
        assert!(!holds(&|r| r.versions = IpMask::V6.0));
        assert!(!holds(&|r| r.directions = DirectionMask::TO_CLIENT.0));
        assert!(!holds(&|r| r.states = StateMask::NEW.0));
        assert!(!holds(&|r| r.class_mask = 1 << 4));
        assert!(holds(&|r| (r.tcp_flags_mask, r.tcp_flags_value) = (0x12, 0x10)));
        assert!(!holds(&|r| (r.tcp_flags_mask, r.tcp_flags_value) = (0x12, 0x12)));
        assert!(!holds(&|r| r.icmp_type_min = 8), "an ICMP condition asks for ICMP");
        assert!(!holds(&|r| r.protocol_min = 7));
        assert!(!holds(&|r| r.payload_min = 21));
        assert!(!holds(&|r| r.payload_max = 19));
        assert!(holds(&|r| r.reverse_max = 7) && !holds(&|r| r.reverse_max = 6));
        assert!(holds(&|r| (r.source_ports, r.destination_ports) = (3, 4)));
        assert!(!holds(&|r| r.source_ports = 4));
        assert!(!holds(&|r| r.destination_addresses = 1));
    }

    #[test]
    fn positions_count_from_packet_or_stream() {
        let mut r = Record { position_min: 100, position_max: 110, ..Record::ALWAYS };
        let hit = |position| Some(Hit { position });
        assert!(holds(&r, &facts(), hit(4), &Sets), "no base: no range");
        r.flags = RecordFlags::POSITION_PACKET.0;
        assert!(!holds(&r, &facts(), hit(4), &Sets));
        assert!(holds(&r, &facts(), hit(104), &Sets));
        r.flags = RecordFlags::POSITION_STREAM.0;
        assert!(holds(&r, &facts(), hit(4), &Sets));
        assert!(!holds(&r, &facts(), hit(-3), &Sets));
        assert!(holds(&r, &FrameFacts { stream_offset: None, ..facts() }, hit(4000), &Sets), "unknown never narrows");
        assert!(holds(&r, &facts(), None, &Sets), "guards have no position");
    }

    #[test]
    fn anchors() {
        let mut r = Record { anchor_value: *b"GET\0\0\0\0\0\0\0\0\0\0\0\0\0", ..Record::ALWAYS };
        r.anchor_mask[..3].fill(0xff);
        let hold = |flags: RecordFlags, facts: &FrameFacts| holds(&Record { flags: flags.0, ..r }, facts, None, &Sets);
        assert!(hold(RecordFlags::ANCHOR_PACKET, &facts()));
        assert!(!hold(RecordFlags::ANCHOR_STREAM, &facts()));
        assert!(hold(RecordFlags::ANCHOR_STREAM, &FrameFacts { stream_start_lost: true, ..facts() }));
        assert!(!hold(RecordFlags::ANCHOR_PACKET, &FrameFacts { packet_first: (*b"GET /index.html ", 2), ..facts() }));
    }

    #[test]
    fn settle_masks_scopes() {
        let settled = FrameFacts { scopes: Scopes::PACKET.0, ..facts() };
        let of = |scopes: Scopes| Record { scopes: scopes.0, ..Record::ALWAYS };
        assert!(holds(&of(Scopes::PACKET), &settled, None, &Sets));
        assert!(!holds(&of(Scopes::APP), &settled, None, &Sets));
        assert!(holds(&of(Scopes::ALWAYS), &settled, None, &Sets));
        assert!(Record::ALWAYS.is_always() && !of(Scopes::PACKET).is_always());
        assert!(Record { group: 7, directions: 3, ..Record::ALWAYS }.is_always());
        assert!(!Record { payload_min: 1, ..Record::ALWAYS }.is_always());
        let unless = Record::UNLESS_ENCRYPTED;
        assert!(unless.is_always_unless_encrypted() && Record::ALWAYS.is_always_unless_encrypted() && !unless.is_always());
        assert!(!of(Scopes::HEADER).is_always_unless_encrypted());
        assert!(!Record { payload_min: 1, ..unless }.is_always_unless_encrypted());
        let encrypted = FrameFacts { scopes: Scopes::HEADER.0 | Scopes::APP.0, ..facts() };
        assert!(!holds(&unless, &encrypted, None, &Sets) && holds(&unless, &facts(), None, &Sets));
    }
}
