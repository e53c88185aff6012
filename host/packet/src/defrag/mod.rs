//! Defragmentation of IPv4 and IPv6, in frame order.
//!
//! Every fragment is offered once; the datagram comes out with the fragment that completes it. Which of two overlapping
//! fragments counts depends on the destination ([`OverlapPolicy`], as hosts differ: Novak, "Target-Based Fragmentation
//! Reassembly", 2005). Time is frame time; a collection older than the timeout is forgotten when it is looked up, so
//! when memory is reclaimed never changes a result. Collections and bytes are bounded; dropping one for want of room is
//! counted and raises `frag_ignored`.
//!
//! Trackers belong to (addresses, protocol (IPv4), identification, VLANs, tunnel depth).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use crate::checksum::Sum;
use crate::decoder::Fragment;
use crate::{DecoderEvent, Packet, Time};

mod pieces;
mod policy;

use pieces::Pieces;
pub use policy::{AddressPolicies, Network, OverlapPolicy};

/// Settings of the defragmenter.
#[derive(Debug, Clone)]
pub struct DefragConfig {
    /// Datagrams collected at the same time.
    pub max_trackers: usize,
    /// Bytes of waiting fragments, bookkeeping included.
    pub max_bytes: usize,
    /// Time after the last fragment until a collection is forgotten, nanoseconds.
    pub timeout: u64,
    /// Who wins where fragments overlap, by destination.
    pub policies: AddressPolicies<OverlapPolicy>,
}

impl Default for DefragConfig {
    fn default() -> Self {
        DefragConfig {
            max_trackers: 65_536,
            max_bytes: 32 << 20,
            timeout: 30_000_000_000,
            policies: AddressPolicies::new(OverlapPolicy::Bsd),
        }
    }
}

/// Counters of the defragmenter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DefragStats {
    /// Fragments offered.
    pub fragments: u64,
    /// Datagrams completed.
    pub completed: u64,
    /// Collections that timed out.
    pub timed_out: u64,
    /// Fragments that overlapped others.
    pub overlaps: u64,
    /// Fragments dropped because they reach beyond 64 KiB.
    pub too_large: u64,
    /// Collections dropped because the bound on trackers or bytes was reached.
    pub evicted: u64,
    /// Fragments dropped because their datagram has too many pieces.
    pub too_many_pieces: u64,
}

/// A datagram put together from fragments.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub version: u8,
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    id: u32,
    protocol: u8,
    depth: u8,
    vlan: [u16; 2],
}

struct Tracker {
    pieces: Pieces,
    policy: OverlapPolicy,
    /// Largest time seen.
    last: Time,
    /// Distinguishes collections of one key in the age queue.
    generation: u64,
    /// The header of the fragment at offset 0, and where its next-header byte is.
    header: Vec<u8>,
    next_header_at: usize,
    protocol: u8,
    /// Length of the fragmented part, once the last fragment was seen.
    total: Option<u32>,
}

/// Longest IP packet.
const MAX_PACKET: usize = 65_535;
/// Bookkeeping of a tracker, for the bound on bytes.
const TRACKER_COST: usize = 256;

/// Collects fragments.
pub(crate) struct Defragmenter {
    config: DefragConfig,
    trackers: HashMap<Key, Tracker>,
    /// Trackers by age of creation; stale entries are skipped by their generation.
    ages: VecDeque<(Key, u64)>,
    bytes: usize,
    generation: u64,
    pool: Vec<Vec<u8>>,
    stats: DefragStats,
}

impl Defragmenter {
    pub fn new(config: DefragConfig) -> Self {
        Defragmenter {
            config,
            trackers: HashMap::new(),
            ages: VecDeque::new(),
            bytes: 0,
            generation: 0,
            pool: Vec::new(),
            stats: DefragStats::default(),
        }
    }

    pub fn stats(&self) -> DefragStats {
        self.stats
    }

    /// Give a datagram's memory back.
    pub fn recycle(&mut self, datagram: Datagram) {
        if self.pool.len() < 4 {
            self.pool.push(datagram.bytes);
        }
    }

    /// Offer a fragment; sets events on its packet; the datagram, if this completes it.
    #[cold]
    pub fn insert(&mut self, packet: &mut Packet<'_>, fragment: &Fragment<'_>) -> Option<Datagram> {
        let ip = packet.ip?;
        self.stats.fragments += 1;
        let (too_large, overlap, ignored) = if ip.version == 4 {
            (DecoderEvent::IPV4_FRAG_PKT_TOO_LARGE, DecoderEvent::IPV4_FRAG_OVERLAP, DecoderEvent::IPV4_FRAG_IGNORED)
        } else {
            (DecoderEvent::IPV6_FRAG_PKT_TOO_LARGE, DecoderEvent::IPV6_FRAG_OVERLAP, DecoderEvent::IPV6_FRAG_IGNORED)
        };
        let end = fragment.offset as usize + fragment.data.len();
        let fixed = if ip.version == 4 { 20 } else { 0 };
        if end + fixed > MAX_PACKET {
            self.stats.too_large += 1;
            packet.events.insert(too_large);
            return None;
        }
        let key = Key {
            source: ip.source,
            destination: ip.destination,
            id: fragment.id,
            protocol: if ip.version == 4 { fragment.protocol } else { 0 },
            depth: packet.tunnel_depth,
            vlan: [packet.vlan[0], packet.vlan[1]],
        };
        if let Some(tracker) = self.trackers.get(&key)
            && packet.time.0 > tracker.last.0.saturating_add(self.config.timeout)
        {
            self.stats.timed_out += 1;
            self.remove(&key);
        }
        if !self.make_room(&key, packet.time, fragment.data.len() + TRACKER_COST) {
            packet.events.insert(ignored);
            return None;
        }
        if !self.trackers.contains_key(&key) {
            self.generation += 1;
            self.ages.push_back((key, self.generation));
            let policy = self.config.policies.of(ip.destination);
            self.trackers.insert(key, Tracker::new(policy, self.generation, packet.time));
            self.bytes += TRACKER_COST;
        }
        let tracker = self.trackers.get_mut(&key)?;
        tracker.last = tracker.last.max(packet.time);
        let before = tracker.pieces.cost();
        let inserted = tracker.pieces.insert(fragment.offset, fragment.data, tracker.policy);
        self.bytes += tracker.pieces.cost() - before;
        match inserted {
            pieces::Inserted::Clean => {}
            pieces::Inserted::Overlapping => {
                self.stats.overlaps += 1;
                packet.events.insert(overlap);
            }
            pieces::Inserted::TooMany => {
                self.stats.too_many_pieces += 1;
                packet.events.insert(ignored);
            }
        }
        if fragment.offset == 0 && tracker.header.is_empty() {
            tracker.header.extend_from_slice(fragment.unfragmentable);
            tracker.next_header_at = fragment.next_header_at;
            tracker.protocol = fragment.protocol;
        }
        if !fragment.more {
            tracker.total.get_or_insert(end as u32);
        }
        let total = tracker.total?;
        // Bytes behind the last fragment make the datagram inconsistent: hosts do not complete it.
        if tracker.header.is_empty() || tracker.pieces.end() > total || tracker.pieces.contiguous() < total {
            return None;
        }
        let tracker = self.remove(&key)?;
        let mut bytes = self.pool.pop().unwrap_or_default();
        bytes.clear();
        if !tracker.assemble(ip.version, total, &mut bytes) {
            self.stats.too_large += 1;
            packet.events.insert(too_large);
            return None;
        }
        self.stats.completed += 1;
        Some(Datagram { version: ip.version, bytes })
    }

    fn remove(&mut self, key: &Key) -> Option<Tracker> {
        let tracker = self.trackers.remove(key)?;
        self.bytes -= tracker.pieces.cost() + TRACKER_COST;
        Some(tracker)
    }

    /// Forget expired collections, then the oldest ones, until there is room; never the one of `key`.
    fn make_room(&mut self, key: &Key, now: Time, bytes: usize) -> bool {
        // Keep the queue from outgrowing the trackers: entries of removed trackers are dropped from its front.
        while let Some((oldest, generation)) = self.ages.front().copied() {
            let current = self.trackers.get(&oldest).filter(|tracker| tracker.generation == generation);
            let full = self.bytes + bytes > self.config.max_bytes
                || self.trackers.len() >= self.config.max_trackers && !self.trackers.contains_key(key);
            match current {
                None => {}
                Some(tracker) if now.0 > tracker.last.0.saturating_add(self.config.timeout) => {
                    self.stats.timed_out += 1;
                    self.remove(&oldest);
                }
                Some(_) if !full => break,
                Some(_) if oldest == *key => return self.bytes + bytes <= self.config.max_bytes,
                Some(_) => {
                    self.stats.evicted += 1;
                    self.remove(&oldest);
                }
            }
            self.ages.pop_front();
        }
        // A long-lived front hides stale entries behind it; sweep when they dominate.
        if self.ages.len() > 2 * self.trackers.len() + 64 {
            let trackers = &self.trackers;
            self.ages.retain(|(key, generation)| trackers.get(key).is_some_and(|t| t.generation == *generation));
        }
        self.bytes + bytes <= self.config.max_bytes
    }
}

impl Tracker {
    fn new(policy: OverlapPolicy, generation: u64, time: Time) -> Self {
        Tracker {
            pieces: Pieces::default(),
            policy,
            last: time,
            generation,
            header: Vec::new(),
            next_header_at: 0,
            protocol: 0,
            total: None,
        }
    }

    /// Write the datagram: header with length, fragment fields and next header set right, then the pieces. False if it
    /// does not fit an IP packet.
    fn assemble(&self, version: u8, total: u32, out: &mut Vec<u8>) -> bool {
        let length = self.header.len() + total as usize;
        if length > MAX_PACKET + if version == 4 { 0 } else { 40 } {
            return false;
        }
        out.reserve(length);
        out.extend_from_slice(&self.header);
        let patched = if version == 4 { self.patch_ipv4(length, out) } else { self.patch_ipv6(length, out) };
        if patched.is_none() {
            return false;
        }
        self.pieces.write(total, out);
        true
    }

    fn patch_ipv4(&self, length: usize, header: &mut [u8]) -> Option<()> {
        let old = Sum::default().with(header.get(2..4)?).with(header.get(6..8)?).fold();
        header.get_mut(2..4)?.copy_from_slice(&(length as u16).to_be_bytes());
        // Keep the reserved bit and DF.
        let flags = header.get_mut(6..8)?;
        flags.copy_from_slice(&[flags.first()? & 0xc0, 0]);
        let new = Sum::default().with(header.get(2..4)?).with(header.get(6..8)?).fold();
        // Adjusted, not recomputed (RFC 1624): a wrong header checksum stays wrong.
        let checksum = header.get_mut(10..12)?;
        let complement = !u16::from_be_bytes([*checksum.first()?, *checksum.get(1)?]);
        let sum = Sum::default().with(&complement.to_be_bytes()).with(&(!old).to_be_bytes()).with(&new.to_be_bytes());
        checksum.copy_from_slice(&sum.checksum().to_be_bytes());
        Some(())
    }

    fn patch_ipv6(&self, length: usize, header: &mut [u8]) -> Option<()> {
        let payload = u16::try_from(length.checked_sub(40)?).ok()?;
        header.get_mut(4..6)?.copy_from_slice(&payload.to_be_bytes());
        *header.get_mut(self.next_header_at)? = self.protocol;
        Some(())
    }
}
