//! The flow table of one worker.

use crate::key::{FlowKey, KeySecret};
use hashbrown::HashTable;

/// Handle of a live flow; valid until the flow is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(u32);

/// What time-out applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlowPhase {
    /// One direction seen / handshake not complete.
    #[default]
    New,
    /// Both directions seen / handshake complete.
    Established,
    /// TCP session over.
    Closed,
}

/// Idle time-outs, nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// TCP: new, established, closed.
    pub tcp: [u64; 3],
    /// UDP: new, established.
    pub udp: [u64; 2],
    /// ICMP and ICMPv6: new, established.
    pub icmp: [u64; 2],
    /// Everything else: new, established.
    pub other: [u64; 2],
}

impl Default for Timeouts {
    fn default() -> Self {
        const S: u64 = 1_000_000_000;
        Timeouts { tcp: [60 * S, 600 * S, 60 * S], udp: [30 * S, 300 * S], icmp: [30 * S, 30 * S], other: [30 * S, 300 * S] }
    }
}

impl Timeouts {
    /// Idle time after which a flow has ended.
    pub fn of(&self, protocol: u8, phase: FlowPhase) -> u64 {
        let row: &[u64] = match protocol {
            6 => &self.tcp,
            17 => &self.udp,
            1 | 58 => &self.icmp,
            _ => &self.other,
        };
        row[(phase as usize).min(row.len() - 1)]
    }
}

/// One flow.
#[derive(Debug)]
pub struct Flow<T> {
    /// Its key.
    pub key: FlowKey,
    hash: u64,
    /// The initiator is the key's endpoint `a`.
    pub initiator_is_a: bool,
    /// Number of the first frame.
    pub first_frame: u64,
    /// Time of the first frame, ns.
    pub first_time: u64,
    /// Number of the latest frame.
    pub last_frame: u64,
    /// Time of the latest frame, ns.
    pub last_time: u64,
    /// Packets by direction (0 = from the initiator).
    pub packets: [u64; 2],
    /// Bytes by direction, frame lengths.
    pub bytes: [u64; 2],
    /// For the time-out.
    pub phase: FlowPhase,
    /// The user's state.
    pub data: T,
}

/// Result of a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// A live flow.
    Existing(FlowId),
    /// The flow of this key has timed out: remove it, then look up again.
    Expired(FlowId),
    /// No flow has this key.
    Absent,
}

/// Seconds between two looks of the sweep at a flow that lives.
const SWEEP_AGAIN: u32 = 10;

fn seconds(time: u64) -> u32 {
    u32::try_from(time / 1_000_000_000).unwrap_or(u32::MAX)
}

/// Flows of one worker.
#[derive(Debug)]
pub struct FlowTable<T> {
    index: HashTable<u32>,
    slots: Vec<Option<Flow<T>>>,
    /// By slot: second from which the sweep looks at the flow. Four bytes instead of a cache line a slot.
    due: Vec<u32>,
    free: Vec<u32>,
    secret: KeySecret,
    timeouts: Timeouts,
    capacity: usize,
    sweep: usize,
}

impl<T> FlowTable<T> {
    /// A table for at most `capacity` flows.
    pub fn new(timeouts: Timeouts, capacity: usize) -> Self {
        FlowTable {
            index: HashTable::new(),
            slots: Vec::new(),
            due: Vec::new(),
            free: Vec::new(),
            secret: KeySecret::random(),
            timeouts,
            capacity: capacity.clamp(1, u32::MAX as usize / 2),
            sweep: 0,
        }
    }

    /// Idle time-outs.
    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// Live flows.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// No live flow.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Find the flow of `key` as of time `now`.
    pub fn lookup(&self, key: &FlowKey, now: u64) -> Lookup {
        let hash = self.secret.hash(key);
        let slots = &self.slots;
        match self.index.find(hash, |&i| slots[i as usize].as_ref().is_some_and(|f| f.key == *key)) {
            None => Lookup::Absent,
            Some(&i) => match &slots[i as usize] {
                Some(flow) if self.has_ended(flow, now) => Lookup::Expired(FlowId(i)),
                _ => Lookup::Existing(FlowId(i)),
            },
        }
    }

    /// The flow's idle time-out has passed at `now`.
    pub fn has_ended(&self, flow: &Flow<T>, now: u64) -> bool {
        now.saturating_sub(flow.last_time) > self.timeouts.of(flow.key.protocol, flow.phase)
    }

    /// Add a flow; its key must be absent. `None` if the table is full.
    pub fn insert(&mut self, key: FlowKey, initiator_is_a: bool, frame: u64, now: u64, data: T) -> Option<FlowId> {
        if self.index.len() >= self.capacity {
            return None;
        }
        let hash = self.secret.hash(&key);
        let flow = Flow {
            key,
            hash,
            initiator_is_a,
            first_frame: frame,
            first_time: now,
            last_frame: frame,
            last_time: now,
            packets: [0; 2],
            bytes: [0; 2],
            phase: FlowPhase::New,
            data,
        };
        let due = seconds(now.saturating_add(self.timeouts.of(flow.key.protocol, flow.phase)));
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(flow);
                self.due[slot as usize] = due;
                slot
            }
            None => {
                self.slots.push(Some(flow));
                self.due.push(due);
                (self.slots.len() - 1) as u32
            }
        };
        let slots = &self.slots;
        self.index.insert_unique(hash, slot, |&i| slots[i as usize].as_ref().map_or(0, |f| f.hash));
        Some(FlowId(slot))
    }

    /// The flow, if still there.
    pub fn get(&self, id: FlowId) -> Option<&Flow<T>> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    /// The flow, if still there.
    pub fn get_mut(&mut self, id: FlowId) -> Option<&mut Flow<T>> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
    }

    /// Remove a flow.
    pub fn remove(&mut self, id: FlowId) -> Option<Flow<T>> {
        let flow = self.slots.get_mut(id.0 as usize)?.take()?;
        if let Ok(entry) = self.index.find_entry(flow.hash, |&i| i == id.0) {
            entry.remove();
        }
        self.free.push(id.0);
        Some(flow)
    }

    /// Look at `budget` slots and give the ids of ended flows for which `may` agrees (flows a device still holds
    /// must not be reclaimed by the host's clock). Bounded work, to be called every few packets.
    pub fn sweep(&mut self, now: u64, budget: usize, mut may: impl FnMut(&Flow<T>) -> bool, ended: &mut Vec<FlowId>) {
        if self.slots.is_empty() {
            return;
        }
        let clock = seconds(now);
        for _ in 0..budget.min(self.slots.len()) {
            self.sweep += 1;
            if self.sweep >= self.slots.len() {
                self.sweep = 0;
            }
            if self.due[self.sweep] > clock {
                continue;
            }
            let Some(flow) = &self.slots[self.sweep] else {
                self.due[self.sweep] = u32::MAX;
                continue;
            };
            if !self.has_ended(flow, now) {
                // A later phase may have a shorter time-out: look again before the shortest has passed.
                self.due[self.sweep] = clock.saturating_add(SWEEP_AGAIN);
            } else if may(flow) {
                ended.push(FlowId(self.sweep as u32));
            }
        }
    }

    /// All live flows.
    pub fn iter(&self) -> impl Iterator<Item = (FlowId, &Flow<T>)> {
        self.slots.iter().enumerate().filter_map(|(i, f)| f.as_ref().map(|f| (FlowId(i as u32), f)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u16) -> FlowKey {
        FlowKey::new(("10.0.0.1".parse().unwrap(), n), ("10.0.0.2".parse().unwrap(), 80), 17, 0, [0, 0]).0
    }

    #[test]
    fn life_of_a_flow() {
        let mut table = FlowTable::new(Timeouts::default(), 2);
        let s = 1_000_000_000;
        let id = table.insert(key(1), true, 1, 0, "one").unwrap();
        assert_eq!(table.lookup(&key(1), 30 * s), Lookup::Existing(id));
        assert_eq!(table.lookup(&key(1), 30 * s + 1), Lookup::Expired(id));
        assert_eq!(table.lookup(&key(2), 0), Lookup::Absent);
        table.insert(key(2), true, 2, 0, "two").unwrap();
        assert!(table.insert(key(3), true, 3, 0, "three").is_none(), "full");
        table.remove(id);
        assert_eq!(table.lookup(&key(1), 0), Lookup::Absent);
        let again = table.insert(key(3), true, 3, 0, "three").unwrap();
        assert_eq!(table.get(again).unwrap().data, "three");
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn sweep_is_bounded_and_asks() {
        let mut table = FlowTable::new(Timeouts::default(), 100);
        for n in 0..50 {
            table.insert(key(n), true, u64::from(n), 0, n).unwrap();
        }
        let mut ended = Vec::new();
        table.sweep(u64::MAX, 10, |_| true, &mut ended);
        assert_eq!(ended.len(), 10);
        ended.clear();
        table.sweep(u64::MAX, 1000, |f| f.data % 2 == 0, &mut ended);
        assert_eq!(ended.len(), 25);
        ended.clear();
        table.sweep(30_000_000_000, 1000, |_| true, &mut ended);
        assert!(ended.is_empty(), "not yet");
        table.sweep(41_000_000_000, 1000, |_| true, &mut ended);
        assert_eq!(ended.len(), 50);
    }
}
