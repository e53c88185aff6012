//! Connections that another connection announced (FTP data).
//!
//! Place: the engine keeps one table; parsers announce into it, and a flow asks at its first bytes. Invariants: an
//! announcement counts for bytes of later frames only, and asking changes nothing, so the answer depends on frame
//! numbers and never on when a flow's frames reach the host (behind a device they may come late). Bounded; the oldest
//! announcements go first.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use weir_contract::protocol::AppProtocol;

/// What an expected connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A file from the FTP server to its client.
    Retrieved,
    /// A file to the server.
    Stored,
    /// A listing, from the server.
    Listing(Listing),
}

/// The command that asks for a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// LIST
    List,
    /// NLST: names alone.
    Names,
    /// MLSD (RFC 3659).
    Machine,
}

/// A file that an expected connection carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTransfer {
    /// Name as the command gave it.
    pub name: Vec<u8>,
    /// What the bytes are.
    pub content: Content,
    /// The bytes go from the initiator of the data connection to its responder.
    pub to_server: bool,
}

/// An announced connection between the ends of the announcing one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its protocol.
    pub protocol: AppProtocol,
    /// Port of its responder.
    pub port: u16,
    /// What it carries.
    pub file: FileTransfer,
    /// Number, in records, of the flow that announced it; 0 until the engine says.
    pub announced_by: u64,
}

/// The two ends, whoever initiates, and where they were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pair {
    ends: [IpAddr; 2],
    vlan: [u16; 2],
    depth: u8,
    epoch: u32,
}

impl Pair {
    /// Of two addresses, the VLANs and the tunnel depth of their flows.
    pub fn new(a: IpAddr, b: IpAddr, vlan: [u16; 2], depth: u8) -> Pair {
        Pair { ends: if a <= b { [a, b] } else { [b, a] }, vlan, depth, epoch: 0 }
    }

    /// In an epoch of the rules: what was announced in another one does not count.
    #[must_use]
    pub fn in_epoch(self, epoch: u32) -> Pair {
        Pair { epoch, ..self }
    }
}

/// An announcement holds so long, in nanoseconds.
const LIFETIME: u64 = 30_000_000_000;
/// Most announcements kept.
const ENTRIES_MAX: usize = 8192;
/// Most announcements kept of one pair and port.
const SAME_MAX: usize = 16;

#[derive(Debug)]
struct Entry {
    frame: u64,
    time: u64,
    expected: Expected,
}

/// The announcements of one engine.
#[derive(Debug, Default)]
pub struct Expectations {
    entries: HashMap<(Pair, u16), VecDeque<Entry>>,
    order: VecDeque<(Pair, u16)>,
}

impl Expectations {
    /// Announce, by a frame and at its time.
    pub fn announce(&mut self, pair: Pair, frame: u64, time: u64, expected: Expected) {
        if self.order.len() >= ENTRIES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.drop_oldest(oldest);
        }
        let key = (pair, expected.port);
        let same = self.entries.entry(key).or_default();
        same.push_back(Entry { frame, time, expected });
        if same.len() > SAME_MAX {
            same.pop_front();
            if let Some(at) = self.order.iter().position(|k| *k == key) {
                self.order.remove(at);
            }
        }
        self.order.push_back(key);
    }

    fn drop_oldest(&mut self, key: (Pair, u16)) {
        if let Some(same) = self.entries.get_mut(&key) {
            same.pop_front();
            if same.is_empty() {
                self.entries.remove(&key);
            }
        }
    }

    /// What was announced for a connection to `port` whose first bytes come with `frame`: the last word before it.
    pub fn find(&self, pair: Pair, port: u16, frame: u64, time: u64) -> Option<&Expected> {
        if self.entries.is_empty() {
            return None;
        }
        let same = self.entries.get(&(pair, port))?;
        let entry = same.iter().rev().find(|e| e.frame < frame)?;
        (time.saturating_sub(entry.time) <= LIFETIME).then_some(&entry.expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(port: u16, name: &[u8]) -> Expected {
        let file = FileTransfer { name: name.to_vec(), content: Content::Retrieved, to_server: false };
        Expected { protocol: AppProtocol::FtpData, port, file, announced_by: 0 }
    }

    fn pair(n: u8) -> Pair {
        Pair::new(IpAddr::from([10, 0, 0, n]), IpAddr::from([10, 0, 0, 1]), [0, 0], 0)
    }

    #[test]
    fn the_answer_depends_on_frames_only() {
        let mut e = Expectations::default();
        e.announce(pair(2), 10, 0, expected(1025, b"a"));
        e.announce(pair(2), 20, 0, expected(1025, b"b"));
        let name = |frame, time| e.find(pair(2), 1025, frame, time).map(|x| x.file.name.clone());
        assert_eq!(name(10, 0), None);
        assert_eq!(name(11, 0), Some(b"a".to_vec()));
        assert_eq!(name(21, 0), Some(b"b".to_vec()));
        assert_eq!(name(11, 0), Some(b"a".to_vec()));
        assert_eq!(name(21, LIFETIME + 1), None);
        assert_eq!(e.find(pair(3), 1025, 21, 0), None);
        let turned = Pair::new(IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]), [0, 0], 0);
        assert!(e.find(turned, 1025, 21, 0).is_some());
    }

    #[test]
    fn memory_is_bounded() {
        let mut e = Expectations::default();
        for n in 0..50_000u32 {
            e.announce(pair((n % 7) as u8), u64::from(n), 0, expected((n % 20_000) as u16, b""));
        }
        assert!(e.order.len() <= ENTRIES_MAX);
        assert_eq!(e.entries.values().map(VecDeque::len).sum::<usize>(), e.order.len());
        for n in 0..100 {
            e.announce(pair(9), n, 0, expected(1, b""));
        }
        assert_eq!(e.entries[&(pair(9), 1)].len(), SAME_MAX);
        assert_eq!(e.entries.values().map(VecDeque::len).sum::<usize>(), e.order.len());
    }
}
