//! The flow table: two-choice set-associative, full keys, generations, ageing by frame time.
//!
//! An entry has two halves that two pipeline stages write: [`ParseState`] the parse stage, [`VerdictState`] the in-order
//! verdict stage. Invariants: whether an entry lives depends on frame time alone (one whose time is up has ended for every
//! look-up, command and flush, however far the background sweep has come); it is never freed by TCP flags and never evicted
//! for another.

use crate::literal::product;
use weir_contract::constants as c;
use weir_contract::enums::FlowState;
use weir_contract::layouts::FlowKey;
use weir_contract::protocol::{Detection, Detector};
use weir_contract::sequence::SequenceState;

/// Ways of a bucket; a key has two buckets.
pub const WAYS: usize = 8;
/// Fewest entries of a table.
pub const ENTRIES_MIN: u32 = 64;

/// How the host reads streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostStreams {
    /// It follows those without SYN.
    pub midstream: bool,
    /// Delivered bytes that payload contents still see.
    pub window: u32,
}

/// Written by the parse stage.
#[derive(Debug, Clone)]
pub struct ParseState {
    /// Endpoint `lower` of the key began the flow.
    pub initiator_lower: bool,
    /// Direction and class are what the host's are: begun by a SYN (or no TCP), never stale, no second SYN.
    pub intact: bool,
    /// TCP without SYN.
    pub midstream: bool,
    /// Idle beyond the host's shortest time-out at least once.
    pub stale: bool,
    /// The host may see another state than the device: odd handshake, RST, midstream.
    pub state_unsure: bool,
    /// The sequence function.
    pub sequence: SequenceState,
    /// Protocol detection.
    pub detector: Detector,
    /// Its answer, where it came while no byte of either direction's beginning was lost: what is lost later does not
    /// change it.
    pub decided: Detection,
    /// First bytes of a direction were lost before they were complete.
    pub start_lost: [bool; 2],
    /// Last folded bytes by direction, and how many.
    pub tail: [([u8; c::TAIL_LENGTH], u8); 2],
    /// Greatest timestamp option, by direction.
    pub timestamp: [Option<u32>; 2],
    /// Stream bytes before the next payload; none where not known.
    pub stream_offset: [Option<u64>; 2],
    /// By direction: stream bytes that the host has for sure, the last number known; never goes down.
    pub stream_least: [u32; 2],
    /// State.
    pub state: FlowState,
    /// Steps of the handshake seen: SYN, SYN+ACK, ACK.
    pub handshake: u8,
    /// The host has seen the same handshake: it counts from the same initial sequence numbers.
    pub anchored: bool,
    /// Initial sequence numbers of the handshake.
    pub initial: [u32; 2],
    /// Sequence number of the FIN, by direction.
    pub fin: [Option<u32>; 2],
    /// A RST was seen.
    pub reset: bool,
    /// OR of TCP flags by direction.
    pub tcp_flags: [u8; 2],
    /// Frames by direction.
    pub packets: [u64; 2],
    /// Captured bytes by direction.
    pub bytes: [u64; 2],
    /// First frame: number, time.
    pub first: (u64, u64),
    /// Last frame: number, time.
    pub last: (u64, u64),
    /// Time of the last report.
    pub reported: u64,
    /// (address, port) classes of lower and upper endpoint, and the epoch they are of.
    pub classes: [(u16, u16); 2],
    /// Epoch of `classes`; 0 before the first frame.
    pub classes_epoch: u32,
}

/// Written by the verdict stage.
#[derive(Debug, Clone, Copy)]
pub struct VerdictState {
    /// Every frame goes to the host.
    pub sticky: bool,
    /// Number of the last frame with trouble.
    pub last_trouble: u64,
    /// Scopes that can still match; 0xff: all.
    pub scopes: u8,
    /// Protocol class that the host has told; 0: none.
    pub told_class: u8,
    /// Frames are not recorded.
    pub unrecorded: bool,
    /// Position of the flow's newest record.
    pub previous: u64,
    /// Oldest record of the chain.
    pub chain_first: u64,
    /// Records of the chain; its newest is `previous`.
    pub chain_count: u32,
    /// A record is missing from history.
    pub hole: bool,
    /// Passed without inspection.
    pub bypassed: bool,
    /// Dropped as a whole.
    pub blocked: bool,
    /// Diverted at least once.
    pub diverted: bool,
}

impl Default for VerdictState {
    fn default() -> Self {
        VerdictState {
            sticky: false,
            last_trouble: 0,
            scopes: u8::MAX,
            told_class: 0,
            unrecorded: false,
            previous: c::POSITION_NONE,
            chain_first: c::POSITION_NONE,
            chain_count: 0,
            hole: false,
            bypassed: false,
            blocked: false,
            diverted: false,
        }
    }
}

impl VerdictState {
    /// Frames are not recorded.
    pub fn is_settled(&self) -> bool {
        self.unrecorded
    }

    /// A frame of the flow, judged: whether it goes to the host and to history. `placed`: there is room for its record.
    pub fn admit(&mut self, number: u64, trouble: bool, placed: bool) -> Admitted {
        let admitted = Admitted {
            sticky: self.sticky,
            divert: trouble || self.sticky,
            recorded: !self.is_settled(),
            newly: trouble && !self.sticky,
        };
        if trouble {
            self.sticky = true;
            self.diverted = true;
            self.last_trouble = number;
        }
        if (admitted.recorded || admitted.divert) && !placed {
            self.miss(number);
        }
        admitted
    }

    /// The host does not have what frame `number` held.
    pub fn miss(&mut self, number: u64) {
        self.hole = true;
        self.last_trouble = number;
    }

    /// A record that the host was not given joins the chain.
    pub fn link(&mut self, position: u64) {
        self.previous = position;
        if self.chain_count == 0 {
            self.chain_first = position;
        }
        self.chain_count += 1;
    }

    /// The host was given a frame with its record (none: there is none), and the chain before it.
    pub fn give(&mut self, position: Option<u64>) {
        self.take_chain();
        if let Some(position) = position {
            self.previous = position;
        }
    }

    /// RELEASE: nothing the host has not processed was trouble.
    pub fn release(&mut self, bound: u64) -> bool {
        let free = self.sticky && self.last_trouble <= bound;
        if free {
            self.sticky = false;
            self.hole = false;
        }
        free
    }

    /// SETTLE.
    pub fn settle(&mut self, scopes: u8, told_class: u8, keep_history: bool) {
        self.scopes = scopes;
        self.told_class = told_class & 63;
        self.unrecorded = scopes != u8::MAX && !keep_history;
        if self.is_settled() {
            self.take_chain();
        }
    }

    /// BYPASS.
    pub fn bypass(&mut self) {
        self.bypassed = true;
        self.take_chain();
    }

    /// DIVERT behind frame `number`: whether the flow was not sticky before.
    pub fn divert(&mut self, number: u64) -> bool {
        self.diverted = true;
        self.bypassed = false;
        self.last_trouble = self.last_trouble.max(number);
        !std::mem::replace(&mut self.sticky, true)
    }

    /// Newest record of the chain, how many, and the oldest.
    pub fn chain(&self) -> Chain {
        Chain {
            head: if self.chain_count > 0 { self.previous } else { c::POSITION_NONE },
            count: self.chain_count,
            oldest: self.chain_first,
        }
    }

    /// The chain; it is empty afterwards.
    pub fn take_chain(&mut self) -> Chain {
        let chain = self.chain();
        self.chain_count = 0;
        self.chain_first = c::POSITION_NONE;
        chain
    }
}

/// What [`VerdictState::admit`] says of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// The flow was diverted before.
    pub sticky: bool,
    /// To the host.
    pub divert: bool,
    /// To history, diverted or not.
    pub recorded: bool,
    /// The flow is diverted from here on.
    pub newly: bool,
}

/// Records of a flow that the host was not given yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// Newest.
    pub head: u64,
    /// How many.
    pub count: u32,
    /// Oldest.
    pub oldest: u64,
}

/// A memoised header list: for which facts, and where (see `tables::header`).
#[derive(Debug, Clone, Copy, Default)]
pub struct HeaderMemo {
    /// Stamp of the cache.
    pub stamp: u32,
    /// Facts that change during a flow.
    pub facts: u32,
    /// List.
    pub list: u32,
}

/// One entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Full key.
    pub key: FlowKey,
    /// Hash of the key.
    pub hash: u64,
    /// Parse stage.
    pub parse: ParseState,
    /// Verdict stage.
    pub verdict: VerdictState,
    /// By direction.
    pub header: [HeaderMemo; 2],
}

/// Flow hash of the contract (`weir_contract::hash::flow_hash`), with the processor's multiplication.
pub fn hash(key: &FlowKey, constants: &[u64; 6]) -> u64 {
    let bytes = key.to_bytes();
    let mut words = [0u64; 6];
    let (whole, rest) = bytes.as_chunks::<8>();
    for (word, chunk) in words.iter_mut().zip(whole) {
        *word = u64::from_le_bytes(*chunk);
    }
    words[5] = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let sum = words.iter().zip(constants).fold(0u128, |sum, (word, constant)| sum ^ product(*word, *constant));
    (sum >> 32) as u64
}

/// The table.
#[derive(Debug)]
pub struct FlowTable {
    /// Of each slot: 0 free, else sixteen hash bits, never 0.
    tags: Vec<u16>,
    /// Of each slot: last frame's time plus time-out.
    expiry: Vec<u64>,
    generations: Vec<u32>,
    /// Of each slot: where its entry lies.
    places: Vec<u32>,
    entries: Vec<Option<Entry>>,
    free_places: Vec<u32>,
    buckets: usize,
    sweep: usize,
    used: usize,
}

/// Result of looking for a free slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Free slot.
    Free(u32),
    /// None free, but this entry's time is up.
    Expired(u32),
    /// None.
    None,
}

impl FlowTable {
    /// A table of at most `entries` slots, a power of two of them, at least [`ENTRIES_MIN`].
    pub fn new(entries: u32) -> Self {
        let slots = 1usize << entries.max(ENTRIES_MIN).ilog2();
        FlowTable {
            tags: vec![0; slots],
            expiry: vec![0; slots],
            generations: vec![0; slots],
            places: vec![0; slots],
            entries: Vec::new(),
            free_places: Vec::new(),
            buckets: slots / WAYS,
            sweep: 0,
            used: 0,
        }
    }

    /// Slots.
    pub fn capacity(&self) -> usize {
        self.tags.len()
    }

    /// Entries in use.
    pub fn used(&self) -> usize {
        self.used
    }

    fn bases(&self, hash: u64) -> [usize; 2] {
        let mask = self.buckets - 1;
        [((hash >> 6) as usize & mask) * WAYS, ((hash >> 31) as usize & mask) * WAYS]
    }

    fn tag(hash: u64) -> u16 {
        (hash >> 48) as u16 | 1
    }

    /// Slots of a key, in probe order.
    fn slots(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let [first, second] = self.bases(hash);
        let both = if first == second { 0..0 } else { second..second + WAYS };
        (first..first + WAYS).chain(both)
    }

    /// The entry of a key, also one whose time is up and that is still to be ended.
    #[inline]
    pub fn find(&self, hash: u64, key: &FlowKey) -> Option<u32> {
        let tag = Self::tag(hash);
        self.slots(hash)
            .find(|slot| self.tags.get(*slot) == Some(&tag) && self.get(*slot as u32).is_some_and(|e| e.key == *key))
            .map(|slot| slot as u32)
    }

    /// Room for a key: the bucket with fewer live entries, the first on a tie; lowest way. An entry whose time is up
    /// counts as free, so that the place does not depend on how far the sweep has come.
    pub fn room(&self, hash: u64, now: u64) -> Room {
        let is_free = |slot: &usize| self.tags.get(*slot) == Some(&0);
        let is_open = |slot: &usize| is_free(slot) || self.is_expired(*slot as u32, now);
        let [first, second] = self.bases(hash).map(|base| base..base + WAYS);
        let open = |bucket: &std::ops::Range<usize>| bucket.clone().filter(is_open).count();
        let bucket = if open(&second) > open(&first) { second } else { first };
        match bucket.clone().find(is_open) {
            Some(slot) if is_free(&slot) => Room::Free(slot as u32),
            Some(slot) => Room::Expired(slot as u32),
            None => Room::None,
        }
    }

    /// The entry's time is up.
    #[inline]
    pub fn is_expired(&self, slot: u32, now: u64) -> bool {
        let slot = slot as usize;
        self.tags.get(slot).is_some_and(|tag| *tag != 0) && self.expiry.get(slot).is_some_and(|at| now > *at)
    }

    /// The entry lives until this time.
    #[inline]
    pub fn set_expiry(&mut self, slot: u32, at: u64) {
        if let Some(expiry) = self.expiry.get_mut(slot as usize) {
            *expiry = at;
        }
    }

    /// Next slot of the background sweep that is expired, looking at no more than `budget` slots; gives how many were
    /// looked at.
    pub fn sweep(&mut self, now: u64, budget: usize) -> (Option<u32>, usize) {
        for looked in 1..=budget {
            let slot = self.sweep as u32;
            self.sweep = (self.sweep + 1) & (self.tags.len() - 1);
            if self.is_expired(slot, now) {
                return (Some(slot), looked);
            }
        }
        (None, budget)
    }

    /// Take the sweep back to a slot whose entry could not be ended.
    pub fn sweep_again(&mut self, slot: u32) {
        self.sweep = slot as usize & (self.tags.len() - 1);
    }

    /// Fill a free slot; gives the generation.
    pub fn insert(&mut self, slot: u32, hash: u64, key: FlowKey, parse: ParseState) -> u32 {
        let entry = Entry { key, hash, parse, verdict: VerdictState::default(), header: [HeaderMemo::default(); 2] };
        let place = match self.free_places.pop() {
            Some(place) => place,
            None => {
                self.entries.push(None);
                self.entries.len() as u32 - 1
            }
        };
        if let Some(slot) = self.entries.get_mut(place as usize) {
            *slot = Some(entry);
        }
        let i = slot as usize & (self.tags.len() - 1);
        self.tags[i] = Self::tag(hash);
        self.places[i] = place;
        self.generations[i] = self.generations[i].wrapping_add(1);
        self.used += 1;
        self.generations[i]
    }

    /// Free a slot.
    pub fn remove(&mut self, slot: u32) -> Option<Entry> {
        let i = slot as usize;
        if self.tags.get(i).is_none_or(|tag| *tag == 0) {
            return None;
        }
        let place = self.places[i];
        let entry = self.entries.get_mut(place as usize)?.take()?;
        self.tags[i] = 0;
        self.free_places.push(place);
        self.used -= 1;
        Some(entry)
    }

    /// Generation of a slot.
    pub fn generation(&self, slot: u32) -> u32 {
        self.generations.get(slot as usize).copied().unwrap_or(0)
    }

    /// Entry of a slot.
    #[inline]
    pub fn get(&self, slot: u32) -> Option<&Entry> {
        let i = slot as usize;
        if self.tags.get(i).is_none_or(|tag| *tag == 0) {
            return None;
        }
        self.entries.get(*self.places.get(i)? as usize)?.as_ref()
    }

    /// Entry of a slot.
    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        let i = slot as usize;
        if self.tags.get(i).is_none_or(|tag| *tag == 0) {
            return None;
        }
        self.entries.get_mut(*self.places.get(i)? as usize)?.as_mut()
    }

    /// Entry of a slot, if the generation is right and its time is not up.
    #[inline]
    pub fn named(&mut self, slot: u32, generation: u32, now: u64) -> Option<&mut Entry> {
        if self.generation(slot) != generation || self.is_expired(slot, now) {
            return None;
        }
        self.get_mut(slot)
    }

    /// First slot in use at or behind `from`.
    pub fn next_used(&self, from: u32) -> Option<u32> {
        let at = from as usize;
        self.tags.get(at..)?.iter().position(|tag| *tag != 0).map(|n| (at + n) as u32)
    }
}

/// Time-outs of the host in ns.
#[derive(Debug, Clone, Copy)]
pub struct HostTimeouts {
    /// TCP new, established, closed; UDP new, established; ICMP; other new, established.
    pub host: [u64; 8],
    /// Added to the longest of a transport.
    pub margin: u64,
}

impl HostTimeouts {
    /// Idle time after which an entry is free: later than any rule of the host would end the flow.
    pub fn device(&self, protocol: u8) -> u64 {
        let h = &self.host;
        let longest = match protocol {
            6 => h[0].max(h[1]).max(h[2]),
            17 => h[3].max(h[4]),
            1 | 58 => h[5],
            _ => h[6].max(h[7]),
        };
        longest.saturating_add(self.margin)
    }

    /// Idle time after which the host may have begun another flow in the entry.
    pub fn shortest(&self, protocol: u8, parse: &ParseState) -> u64 {
        let h = &self.host;
        let established = parse.state == FlowState::Established && !parse.state_unsure;
        match protocol {
            6 if established && !parse.reset && parse.fin == [None; 2] => h[1],
            6 => h[0].min(h[1]).min(h[2]),
            17 if established => h[4],
            17 => h[3].min(h[4]),
            1 | 58 => h[5],
            _ if established => h[7],
            _ => h[6].min(h[7]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_contract::hash::{flow_hash, splitmix64};

    fn key(n: u32) -> FlowKey {
        let mut key = FlowKey { protocol: 17, version: 4, lower_port: n as u16, ..FlowKey::ZERO };
        key.upper_address[..4].copy_from_slice(&n.to_be_bytes());
        key
    }

    pub(crate) fn parse_state() -> ParseState {
        ParseState {
            initiator_lower: true,
            intact: true,
            midstream: false,
            stale: false,
            state_unsure: false,
            sequence: SequenceState::default(),
            detector: Detector::default(),
            decided: Detection::Unknown,
            start_lost: [false; 2],
            tail: [([0; c::TAIL_LENGTH], 0); 2],
            stream_offset: [None; 2],
            stream_least: [0; 2],
            timestamp: [None; 2],
            state: FlowState::New,
            handshake: 0,
            anchored: false,
            initial: [0; 2],
            fin: [None; 2],
            reset: false,
            tcp_flags: [0; 2],
            packets: [0; 2],
            bytes: [0; 2],
            first: (0, 0),
            last: (0, 0),
            reported: 0,
            classes: [(0, 0); 2],
            classes_epoch: 0,
        }
    }

    #[test]
    fn hash_is_the_contract_s() {
        let mut state = 1;
        for _ in 0..200 {
            let constants = std::array::from_fn(|_| splitmix64(&mut state));
            let mut raw = [0u8; FlowKey::SIZE];
            raw.iter_mut().for_each(|byte| *byte = splitmix64(&mut state) as u8);
            let key = FlowKey::from_bytes(&raw);
            assert_eq!(hash(&key, &constants), flow_hash(&key, &constants));
        }
    }

    /// Against a list of what was put in and taken out.
    #[test]
    fn equals_a_list() {
        let constants = [3, 5, 7, 11, 13, 17].map(|n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut table = FlowTable::new(64);
        assert_eq!(table.capacity(), 64);
        let mut model: Vec<(FlowKey, u32, u32)> = Vec::new();
        let mut state = 4;
        let mut full = 0;
        for _ in 0..20_000 {
            let key = key(splitmix64(&mut state) as u32 % 200);
            let h = hash(&key, &constants);
            let known = model.iter().position(|(k, ..)| *k == key);
            assert_eq!(table.find(h, &key), known.map(|n| model[n].1));
            match (known, splitmix64(&mut state) % 3) {
                (Some(n), 0) => {
                    let (_, slot, generation) = model.remove(n);
                    assert!(table.named(slot, generation.wrapping_add(1), 10).is_none());
                    assert!(table.named(slot, generation, 10).is_some(), "it lives until then");
                    assert!(table.named(slot, generation, 11).is_none(), "swept or not");
                    assert_eq!(table.remove(slot).map(|e| e.key), Some(key));
                    assert!(table.named(slot, generation, 10).is_none() && table.remove(slot).is_none());
                }
                (None, 1 | 2) => match table.room(h, 0) {
                    Room::Free(slot) => {
                        let generation = table.insert(slot, h, key, parse_state());
                        assert!(model.iter().all(|m| m.1 != slot));
                        table.set_expiry(slot, 10);
                        model.push((key, slot, generation));
                    }
                    room => {
                        full += 1;
                        assert_eq!(room, Room::None);
                        assert!(matches!(table.room(h, 11), Room::Expired(_)));
                    }
                },
                _ => {}
            }
            assert_eq!(table.used(), model.len());
        }
        assert!(full > 0, "the table must fill up");
        let mut expired = 0;
        while let (Some(slot), _) = table.sweep(11, 64) {
            table.remove(slot);
            expired += 1;
        }
        assert_eq!((expired, table.used(), table.next_used(0)), (model.len(), 0, None));
    }

    #[test]
    fn timeouts_outlive_the_host() {
        let t = HostTimeouts { host: [60, 600, 60, 30, 300, 30, 30, 300], margin: 5 };
        assert_eq!([6, 17, 1, 58, 132].map(|p| t.device(p)), [605, 305, 35, 35, 305]);
        let mut p = parse_state();
        assert_eq!([6, 17, 1, 132].map(|n| t.shortest(n, &p)), [60, 30, 30, 30]);
        p.state = FlowState::Established;
        assert_eq!([6, 17, 1, 132].map(|n| t.shortest(n, &p)), [600, 300, 30, 300]);
        p.fin[0] = Some(1);
        assert_eq!(t.shortest(6, &p), 60);
        (p.fin[0], p.state_unsure) = (None, true);
        assert_eq!([6, 17, 1, 132].map(|n| t.shortest(n, &p)), [60, 30, 30, 30]);
    }
}
