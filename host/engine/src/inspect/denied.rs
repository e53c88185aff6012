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
pub struct Denied {
    datagrams: VecDeque<(u64, Datagram)>,
    /// Of the last fragment: a datagram made of it does not show its number any more.
    last: Option<Datagram>,
}

impl Denied {
    /// A packet was dropped.
    pub fn note(&mut self, packet: &Packet<'_>) {
        let made = packet.ip.as_ref().is_some_and(|ip| ip.reassembled);
        let Some(datagram) = self.last.filter(|_| made) else { return };
        if self.datagrams.len() >= DENIED_MAX {
            self.datagrams.pop_front();
        }
        self.datagrams.push_back((packet.time.0, datagram));
    }

    /// A packet has come; it is a fragment of such a datagram.
    pub fn holds(&mut self, packet: &Packet<'_>) -> bool {
        let Some(ip) = packet.ip.as_ref().filter(|ip| ip.is_fragment) else { return false };
        let datagram = Datagram::of(ip);
        self.last = Some(datagram);
        while self.datagrams.front().is_some_and(|(time, _)| packet.time.0.saturating_sub(*time) > KEPT) {
            self.datagrams.pop_front();
        }
        self.datagrams.iter().any(|(_, denied)| *denied == datagram)
    }
}
