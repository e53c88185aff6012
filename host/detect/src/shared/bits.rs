//! xbits and hostbits: named bits of an address or a pair of addresses, with an expiry.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use weir_ir::{BitOperation, Track};
use weir_packet::Time;

/// Most bits kept.
const CAPACITY: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Host(u32, IpAddr),
    Pair(u32, IpAddr, IpAddr),
}

/// All bits.
#[derive(Debug, Default)]
pub struct HostBits {
    names: HashMap<Arc<str>, u32>,
    map: Vec<u32>,
    program: u64,
    set: HashMap<Key, Time>,
    evicted: u64,
}

impl HostBits {
    /// Translate the name indices of a program.
    pub fn attach(&mut self, program: u64, names: &[Arc<str>]) {
        if self.program == program {
            return;
        }
        self.program = program;
        self.map.clear();
        for name in names {
            let next = self.names.len() as u32;
            let id = *self.names.entry(name.clone()).or_insert(next);
            self.map.push(id);
        }
    }

    /// Entries that had to make room.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn key(&self, name: u32, track: Track, source: IpAddr, destination: IpAddr) -> Option<Key> {
        let id = *self.map.get(name as usize)?;
        Some(match track {
            Track::Source => Key::Host(id, source),
            Track::Destination => Key::Host(id, destination),
            _ => Key::Pair(id, source.min(destination), source.max(destination)),
        })
    }

    /// The bit is set and has not expired.
    pub fn is_set(&self, name: u32, track: Track, source: IpAddr, destination: IpAddr, now: Time) -> bool {
        self.key(name, track, source, destination)
            .and_then(|key| self.set.get(&key))
            .is_some_and(|expiry| *expiry >= now)
    }

    /// `set`, `unset`, `toggle`; the tests do nothing here.
    #[allow(clippy::too_many_arguments)]
    pub fn apply(
        &mut self,
        operation: BitOperation,
        name: u32,
        track: Track,
        source: IpAddr,
        destination: IpAddr,
        expire: u32,
        now: Time,
    ) {
        let Some(key) = self.key(name, track, source, destination) else { return };
        let set = match operation {
            BitOperation::Set => true,
            BitOperation::Unset => false,
            BitOperation::Toggle => !self.is_set(name, track, source, destination, now),
            BitOperation::IsSet | BitOperation::IsNotSet => return,
        };
        if !set {
            self.set.remove(&key);
            return;
        }
        if self.set.len() >= CAPACITY && !self.set.contains_key(&key) {
            self.set.retain(|_, expiry| *expiry >= now);
            if self.set.len() >= CAPACITY {
                if let Some(victim) = self.set.iter().min_by_key(|(_, expiry)| **expiry).map(|(k, _)| *k) {
                    self.set.remove(&victim);
                    self.evicted += 1;
                }
            }
        }
        self.set.insert(key, Time(now.0.saturating_add(u64::from(expire) * 1_000_000_000)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_and_pairs() {
        let mut bits = HostBits::default();
        bits.attach(1, &["a".into(), "b".into()]);
        let (x, y) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let second = |s: u64| Time(s * 1_000_000_000);
        bits.apply(BitOperation::Set, 0, Track::Both, x, y, 10, second(100));
        assert!(bits.is_set(0, Track::Both, y, x, second(110)));
        assert!(!bits.is_set(0, Track::Both, y, x, second(111)));
        assert!(!bits.is_set(1, Track::Both, y, x, second(101)));
        bits.apply(BitOperation::Set, 1, Track::Source, x, y, 10, second(100));
        assert!(bits.is_set(1, Track::Destination, y, x, second(101)));
        // A reload with the names in another order keeps the bits.
        bits.attach(2, &["b".into()]);
        assert!(bits.is_set(0, Track::Source, x, y, second(101)));
    }
}
