//! The flow table: set-associative, full keys, ageing by frame time.
//!
//! An entry has two halves that are written by two pipeline stages: [`ParseState`] by the parse stage, [`VerdictState`]
//! by the in-order verdict stage.

use weir_contract::constants as c;
use weir_contract::enums::FlowState;
use weir_contract::hash::flow_hash;
use weir_contract::layouts::FlowKey;
use weir_contract::protocol::Detector;
use weir_contract::sequence::SequenceState;

/// Entries of a bucket.
pub const WAYS: usize = 4;

/// Written by the parse stage.
#[derive(Debug, Clone)]
pub struct ParseState {
    /// Endpoint `lower` of the key began the flow.
    pub initiator_lower: bool,
    /// Direction is sure: begun by a SYN, or no TCP, and never stale.
    pub sure: bool,
    /// TCP without SYN.
    pub midstream: bool,
    /// Idle beyond the host's shortest time-out at least once.
    pub stale: bool,
    /// The sequence function.
    pub sequence: SequenceState,
    /// Protocol detection.
    pub detector: Detector,
    /// Detection must not be used (trouble before it decided, upgrade).
    pub class_lost: bool,
    /// Last payload bytes per direction, and how many.
    pub tail: [([u8; c::TAIL_LENGTH], u8); 2],
    /// Stream bytes before the next payload; none once unknown.
    pub stream_offset: [Option<u64>; 2],
    /// State.
    pub state: FlowState,
    /// FIN seen by direction, RST seen.
    pub fin: [bool; 2],
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
}

/// Written by the verdict stage.
#[derive(Debug, Clone, Copy)]
pub struct VerdictState {
    /// Every frame goes to the host.
    pub sticky: bool,
    /// Number of the last frame with trouble.
    pub last_trouble: u64,
    /// Scopes that can still match.
    pub scopes: u8,
    /// Settled: frames are not recorded.
    pub settled: bool,
    /// Newest record of the chain.
    pub chain_head: u64,
    /// Oldest record of the chain.
    pub chain_first: u64,
    /// Records of the chain.
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
            scopes: 0xff,
            settled: false,
            chain_head: c::POSITION_NONE,
            chain_first: c::POSITION_NONE,
            chain_count: 0,
            hole: false,
            bypassed: false,
            blocked: false,
            diverted: false,
        }
    }
}

/// One entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Full key.
    pub key: FlowKey,
    /// Incremented each time the slot is taken.
    pub generation: u32,
    /// Queue of the flow.
    pub queue: usize,
    /// Parse stage.
    pub parse: ParseState,
    /// Verdict stage.
    pub verdict: VerdictState,
    /// Header-table records whose static part holds, by direction, and the epoch they are of.
    pub header: [Option<Box<[u32]>>; 2],
    /// Epoch of `header`.
    pub header_epoch: u32,
    /// Address and port classes of (lower, upper).
    pub classes: ((u16, u16), (u16, u16)),
}

/// The table.
#[derive(Debug)]
pub struct FlowTable {
    slots: Vec<Option<Box<Entry>>>,
    generations: Vec<u32>,
    buckets: usize,
    sweep: usize,
    used: usize,
}

/// Time-outs of the host in ns: TCP new, established, closed; UDP new, established; ICMP; other new, established.
#[derive(Debug, Clone, Copy)]
pub struct HostTimeouts {
    /// The eight registers, ns.
    pub host: [u64; 8],
    /// Added to the longest of a transport.
    pub margin: u64,
}

impl HostTimeouts {
    /// Idle time after which an entry is freed: later than any rule of the host would end the flow.
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
    pub fn shortest(&self, entry: &Entry) -> u64 {
        let h = &self.host;
        match entry.key.protocol {
            6 => {
                let p = &entry.parse;
                let clean = p.state == FlowState::Established && !p.reset && p.fin == [false; 2] && !entry.verdict.diverted;
                if clean { h[1] } else { h[0].min(h[1]).min(h[2]) }
            }
            17 => h[3].min(h[4]),
            1 | 58 => h[5],
            _ => h[6].min(h[7]),
        }
    }
}

impl FlowTable {
    /// A table of `entries` slots (rounded up to whole buckets, a power of two of them).
    pub fn new(entries: usize) -> Self {
        let buckets = entries.div_ceil(WAYS).next_power_of_two().max(1);
        let slots = buckets * WAYS;
        let mut table = FlowTable { slots: Vec::new(), generations: vec![0; slots], buckets, sweep: 0, used: 0 };
        table.slots.resize_with(slots, || None);
        table
    }

    /// Slots.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Entries in use.
    pub fn used(&self) -> usize {
        self.used
    }

    fn bucket(&self, key: &FlowKey, hash: &[u64; 6]) -> usize {
        (flow_hash(key, hash) >> 16) as usize & (self.buckets - 1)
    }

    /// The entry of a key.
    pub fn find(&self, key: &FlowKey, hash: &[u64; 6]) -> Option<u32> {
        let base = self.bucket(key, hash) * WAYS;
        (base..base + WAYS).find(|i| self.slots[*i].as_ref().is_some_and(|e| e.key == *key)).map(|i| i as u32)
    }

    /// A free slot of the key's bucket, in fixed order.
    pub fn free_slot(&self, key: &FlowKey, hash: &[u64; 6]) -> Option<u32> {
        let base = self.bucket(key, hash) * WAYS;
        (base..base + WAYS).find(|i| self.slots[*i].is_none()).map(|i| i as u32)
    }

    /// Entries of the key's bucket that have been idle too long.
    pub fn aged_in_bucket(&self, key: &FlowKey, hash: &[u64; 6], now: u64, timeouts: &HostTimeouts) -> Option<u32> {
        let base = self.bucket(key, hash) * WAYS;
        (base..base + WAYS).find(|i| self.is_aged(*i, now, timeouts)).map(|i| i as u32)
    }

    fn is_aged(&self, slot: usize, now: u64, timeouts: &HostTimeouts) -> bool {
        self.slots.get(slot).and_then(Option::as_ref).is_some_and(|e| {
            now.saturating_sub(e.parse.last.1) > timeouts.device(e.key.protocol)
        })
    }

    /// Next slot of the background sweep, if its entry has aged.
    pub fn sweep_one(&mut self, now: u64, timeouts: &HostTimeouts) -> Option<u32> {
        self.sweep = (self.sweep + 1) % self.slots.len();
        self.is_aged(self.sweep, now, timeouts).then_some(self.sweep as u32)
    }

    /// Fill a free slot.
    pub fn insert(&mut self, slot: u32, key: FlowKey, queue: usize, parse: ParseState) -> u32 {
        let i = slot as usize;
        self.generations[i] = self.generations[i].wrapping_add(1);
        let generation = self.generations[i];
        self.slots[i] = Some(Box::new(Entry {
            key,
            generation,
            queue,
            parse,
            verdict: VerdictState::default(),
            header: [None, None],
            header_epoch: 0,
            classes: Default::default(),
        }));
        self.used += 1;
        generation
    }

    /// Free a slot.
    pub fn remove(&mut self, slot: u32) -> Option<Box<Entry>> {
        let entry = self.slots.get_mut(slot as usize)?.take();
        self.used -= usize::from(entry.is_some());
        entry
    }

    /// Entry of a slot.
    pub fn get(&self, slot: u32) -> Option<&Entry> {
        self.slots.get(slot as usize)?.as_deref()
    }

    /// Entry of a slot.
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        self.slots.get_mut(slot as usize)?.as_deref_mut()
    }

    /// Entry of a slot, if the generation is right.
    pub fn named(&mut self, slot: u32, generation: u32) -> Option<&mut Entry> {
        self.get_mut(slot).filter(|e| e.generation == generation)
    }

    /// Slots in use, in order.
    pub fn slots_in_use(&self) -> Vec<u32> {
        (0..self.slots.len() as u32).filter(|i| self.slots[*i as usize].is_some()).collect()
    }
}
