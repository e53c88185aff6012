//! A frame of a sample: what records ask of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Facts of a frame, without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampledFrame {
    /// One bit of `TransportMask`.
    pub transport: u8,
    /// One bit of `IpMask`.
    pub version: u8,
    /// `DirectionMask`.
    pub directions: u8,
    /// `StateMask`.
    pub states: u8,
    /// Scopes that could still match.
    pub scopes: u8,
    /// Kind of traffic that fragments are looked for in; [`SampledFrame::NO_KIND`]: no payload, or an encrypted one.
    pub kind: u8,
    /// Protocol classes.
    pub classes: u64,
    /// Guards that fired.
    pub guards: u64,
    /// IP protocol.
    pub protocol: Option<u8>,
    /// TCP flags.
    pub tcp_flags: Option<u8>,
    /// ICMP type and code.
    pub icmp: Option<(u8, u8)>,
    /// Stream bytes of the other direction.
    pub reverse: Option<u32>,
    /// Bytes of payload.
    pub payload: u32,
    /// Bytes of the frame.
    pub length: u32,
    /// Ports.
    pub ports: (u16, u16),
    /// Networks of the addresses, their first address.
    pub networks: Option<(IpAddr, IpAddr)>,
}

/// Bytes of a stored frame.
pub(super) const STORED: usize = 72;

impl SampledFrame {
    /// Fragments are looked for in nothing.
    pub const NO_KIND: u8 = u8::MAX;

    /// The network that stands for an address: its first address behind the network's own.
    pub fn network(address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from(u32::from(a) & !0xff | 1)),
            IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from(u128::from(a) >> 80 << 80 | 1)),
        }
    }

    pub(super) fn store(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend([self.transport, self.version, self.directions, self.states, self.scopes, self.kind]);
        let present = u8::from(self.protocol.is_some())
            | u8::from(self.tcp_flags.is_some()) << 1
            | u8::from(self.icmp.is_some()) << 2
            | u8::from(self.reverse.is_some()) << 3
            | match self.networks {
                None => 0,
                Some((IpAddr::V4(_), _)) => 1 << 4,
                Some((IpAddr::V6(_), _)) => 2 << 4,
            };
        let icmp = self.icmp.unwrap_or_default();
        out.extend([present, self.protocol.unwrap_or(0), self.tcp_flags.unwrap_or(0), icmp.0, icmp.1, 0]);
        out.extend(self.classes.to_le_bytes());
        out.extend(self.guards.to_le_bytes());
        out.extend(self.reverse.unwrap_or(0).to_le_bytes());
        out.extend(self.payload.to_le_bytes());
        out.extend(self.length.to_le_bytes());
        out.extend(self.ports.0.to_le_bytes());
        out.extend(self.ports.1.to_le_bytes());
        if let Some((a, b)) = self.networks {
            for address in [a, b] {
                // The host part is always the same.
                match address {
                    IpAddr::V4(a) => out.extend(a.octets()),
                    IpAddr::V6(a) => out.extend(a.octets().iter().take(14)),
                }
            }
        }
        out.resize(begin + STORED, 0);
    }

    /// From stored bytes; none: they say nothing that could be.
    pub(super) fn read(bytes: &[u8; STORED]) -> Option<SampledFrame> {
        let word = |at: usize| bytes.get(at..).and_then(|b| b.first_chunk()).copied().map(u32::from_le_bytes);
        let long = |at: usize| bytes.get(at..).and_then(|b| b.first_chunk()).copied().map(u64::from_le_bytes);
        let half = |at: usize| bytes.get(at..).and_then(|b| b.first_chunk()).copied().map(u16::from_le_bytes);
        let present = bytes[6];
        let has = |bit: u8| present >> bit & 1 != 0;
        let networks = match present >> 4 {
            0 => None,
            1 => {
                let four = |at: usize| bytes.get(at..).and_then(|b| b.first_chunk::<4>()).map(|b| IpAddr::from(*b));
                Some((four(44)?, four(48)?))
            }
            2 => {
                let six = |at: usize| {
                    let mut whole = [0; 16];
                    whole.get_mut(..14)?.copy_from_slice(bytes.get(at..at + 14)?);
                    whole[15] = 1;
                    Some(IpAddr::from(whole))
                };
                Some((six(44)?, six(58)?))
            }
            _ => return None,
        };
        Some(SampledFrame {
            transport: bytes[0],
            version: bytes[1],
            directions: bytes[2],
            states: bytes[3],
            scopes: bytes[4],
            kind: bytes[5],
            protocol: has(0).then_some(bytes[7]),
            tcp_flags: has(1).then_some(bytes[8]),
            icmp: has(2).then_some((bytes[9], bytes[10])),
            classes: long(12)?,
            guards: long(20)?,
            reverse: has(3).then_some(word(28)?),
            payload: word(32)?,
            length: word(36)?,
            ports: (half(40)?, half(42)?),
            networks,
        })
    }
}
