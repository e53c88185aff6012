//! Datagrams that were dropped as their last fragment came: their ends hold the fragments before it, so that one more copy of
//! the last would complete them.

use std::collections::VecDeque;
use std::net::IpAddr;
use weir_packet::{Ip, Packet};

/// Datagrams that are remembered; the oldest makes room.
const DENIED_MAX: usize = 1024;
/// Nanoseconds for which hosts keep fragments (Linux 30 s, others up to 60 s: RFC 8200 section 4.5).
const KEPT: u64 = 60_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Datagram {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    id: u16,
}

impl Datagram {
    fn of(ip: &Ip<'_>) -> Datagram {
        Datagram { source: ip.source, destination: ip.destination, protocol: ip.protocol, id: ip.id }
    }
}

/// See above.
#[derive(Debug, Default)]
pub struct Denied(VecDeque<(u64, Datagram)>);

impl Denied {
    /// A packet was dropped.
    pub fn note(&mut self, packet: &Packet<'_>) {
        let Some(ip) = packet.ip.as_ref().filter(|ip| ip.reassembled) else { return };
        if self.0.len() >= DENIED_MAX {
            self.0.pop_front();
        }
        self.0.push_back((packet.time.0, Datagram::of(ip)));
    }

    /// A packet is a fragment of such a datagram.
    pub fn holds(&mut self, packet: &Packet<'_>) -> bool {
        let Some(ip) = packet.ip.as_ref().filter(|ip| ip.is_fragment && !self.0.is_empty()) else { return false };
        while self.0.front().is_some_and(|(time, _)| packet.time.0.saturating_sub(*time) > KEPT) {
            self.0.pop_front();
        }
        let datagram = Datagram::of(ip);
        self.0.iter().any(|(_, denied)| *denied == datagram)
    }
}
