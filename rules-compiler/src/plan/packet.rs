//! Conditions on the packet as predicates of the device.
//!
//! Each condition narrows the record only if the device's fact is the engine's fact for every packet; what the record
//! cannot say is left open (a superset). Packets the device cannot read reach the host by guards.

use weir_contract::enums::{IpMask, TransportMask};
use weir_contract::layouts::Record;
use weir_ir::condition::TcpFlagsMode;
use weir_ir::{Comparison, PacketCondition, Rule};

/// Closed interval that contains every value for which the comparison holds.
pub fn interval(c: Comparison, max: u64) -> (u64, u64) {
    let (low, high) = match c {
        Comparison::Equal(n) => (n, n),
        Comparison::Less(n) => (0, n.saturating_sub(1)),
        Comparison::LessEqual(n) => (0, n),
        Comparison::Greater(n) => (n.saturating_add(1), max),
        Comparison::GreaterEqual(n) => (n, max),
        Comparison::Between(a, b) => (a.saturating_add(1), b.saturating_sub(1)),
        Comparison::Within(a, b) => (a, b),
        Comparison::NotEqual(_)
        | Comparison::Outside(..)
        | Comparison::AnyBit(_)
        | Comparison::NoBit(_)
        | Comparison::Bits(..)
        | Comparison::OtherBits(..) => (0, max),
    };
    // An empty interval (the rule cannot match) stays open: ranges of records are never inverted.
    if low > high { (0, max) } else { (low.min(max), high.min(max)) }
}

/// Narrow `record` by the rule's packet conditions. Returns how many conditions narrowed it.
pub fn narrow(rule: &Rule, record: &mut Record) -> usize {
    let mut used = 0;
    for condition in &rule.packet {
        used += usize::from(narrow_one(condition, record));
    }
    used
}

fn narrow_one(condition: &PacketCondition, record: &mut Record) -> bool {
    match condition {
        PacketCondition::PayloadSize(c) => {
            let (low, high) = interval(*c, u64::MAX);
            record.payload_min = record.payload_min.max(u16::try_from(low).unwrap_or(u16::MAX - 1).min(u16::MAX - 1));
            if let Ok(high) = u16::try_from(high) {
                record.payload_max = record.payload_max.min(high);
            }
            (low, high) != (0, u64::MAX)
        }
        PacketCondition::TcpFlags(f) => {
            record.transports &= TransportMask::TCP.0;
            let (mask, value) = match f.mode {
                // CWR and ECE are the two reserved bits of old; they are compared as the rule says.
                TcpFlagsMode::Exact => (!f.ignore, f.flags & !f.ignore),
                TcpFlagsMode::All => (f.flags & !f.ignore, f.flags & !f.ignore),
                TcpFlagsMode::Not if f.flags.count_ones() == 1 => (f.flags, 0),
                TcpFlagsMode::Any if f.flags.count_ones() == 1 => (f.flags, f.flags),
                TcpFlagsMode::Any | TcpFlagsMode::Not => (0, 0),
            };
            if record.tcp_flags_mask & mask & (record.tcp_flags_value ^ value) == 0 {
                record.tcp_flags_mask |= mask;
                record.tcp_flags_value |= value;
            }
            true
        }
        PacketCondition::TcpSequence(_)
        | PacketCondition::TcpAck(_)
        | PacketCondition::TcpWindow(..)
        | PacketCondition::TcpMss(_)
        | PacketCondition::TcpWindowScale(_) => {
            record.transports &= TransportMask::TCP.0;
            false
        }
        PacketCondition::IcmpType(c) => {
            narrow_icmp(record);
            let (low, high) = interval(*c, 255);
            record.icmp_type_min = record.icmp_type_min.max(low as u8);
            record.icmp_type_max = record.icmp_type_max.min(high as u8);
            true
        }
        PacketCondition::IcmpCode(c) => {
            narrow_icmp(record);
            let (low, high) = interval(*c, 255);
            record.icmp_code_min = record.icmp_code_min.max(low as u8);
            record.icmp_code_max = record.icmp_code_max.min(high as u8);
            true
        }
        PacketCondition::IcmpId(_) | PacketCondition::IcmpSequence(_) => {
            narrow_icmp(record);
            false
        }
        PacketCondition::Icmpv6Mtu(_) => {
            record.transports &= TransportMask::ICMPV6.0;
            false
        }
        PacketCondition::IpProtocol(c) => {
            let (low, high) = interval(*c, 255);
            record.protocol_min = record.protocol_min.max(low as u8);
            record.protocol_max = record.protocol_max.min(high as u8);
            (low, high) != (0, 255)
        }
        PacketCondition::IpId(_) | PacketCondition::IpOption(_) | PacketCondition::FragmentBits(..) => {
            record.versions &= IpMask::V4.0;
            false
        }
        PacketCondition::Ttl(_)
        | PacketCondition::Tos(_)
        | PacketCondition::SameIp
        | PacketCondition::FragmentOffset(_)
        | PacketCondition::Address { .. }
        | PacketCondition::StreamSize(_)
        | PacketCondition::FlowAge(_)
        | PacketCondition::FlowPackets(..)
        | PacketCondition::FlowBytes(..)
        | PacketCondition::VlanId(..)
        | PacketCondition::VlanLayers(_)
        | PacketCondition::Isset(_)
        | PacketCondition::Rpc(..)
        | PacketCondition::FtpBounce
        | PacketCondition::Asn1(_) => false,
        #[allow(unreachable_patterns)]
        _ => false,
    }
}

fn narrow_icmp(record: &mut Record) {
    record.transports &= TransportMask::ICMPV4.0 | TransportMask::ICMPV6.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The interval contains every value that the comparison accepts.
    #[test]
    fn intervals_contain_what_holds() {
        for c in [
            Comparison::Equal(7),
            Comparison::NotEqual(7),
            Comparison::Less(7),
            Comparison::LessEqual(7),
            Comparison::Greater(7),
            Comparison::GreaterEqual(7),
            Comparison::Between(3, 9),
            Comparison::Within(3, 9),
            Comparison::Outside(3, 9),
            Comparison::AnyBit(4),
            Comparison::NoBit(4),
            Comparison::Less(0),
            Comparison::Greater(300),
        ] {
            let (low, high) = interval(c, 255);
            for v in 0..=255 {
                assert!(!c.holds(v) || (low..=high).contains(&v), "{c:?} {v}");
            }
        }
    }
}
