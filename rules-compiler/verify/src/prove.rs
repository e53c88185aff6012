//! Records against needs: is every frame of a box caught by what the tables lead to?

use crate::image::Bits;
use crate::need::{BOTH, Need, TCP, read_by};
use crate::place::{Cell, FAR};
use crate::sets::{ListId, Lists};
use std::cell::RefCell;
use std::collections::HashMap;
use weir_contract::constants::PATTERN_REST;
use weir_contract::enums::{DirectionMask, RecordFlags, Scopes, StateMask, TransportMask};
use weir_contract::layouts::Record;
use weir_contract::protocol::{AppProtocol as P, CLASS_FAILED, CLASS_UNKNOWN};

/// What a position in the payload counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The packet's payload.
    Packet,
    /// The direction's stream.
    Stream,
    /// Neither: a message.
    Message,
}

/// Bits of the first sixteen bytes that are certain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    value: [u8; 16],
    mask: [u8; 16],
}

impl Known {
    /// One more: `byte` under `mask` at `at`.
    pub fn fix(&mut self, at: i64, byte: u8, mask: u8) {
        if let Some(i) = usize::try_from(at).ok().filter(|i| *i < 16) {
            let fresh = mask & !self.mask[i];
            self.mask[i] |= fresh;
            self.value[i] |= byte & fresh;
        }
    }

    /// Only what lies before `end`.
    pub fn before(mut self, end: i64) -> Known {
        for i in 0..16 {
            if i as i64 >= end {
                (self.value[i], self.mask[i]) = (0, 0);
            }
        }
        self
    }

    /// Nothing of this byte is fixed.
    pub fn is_open(&self, at: usize) -> bool {
        self.mask.get(at).is_some_and(|mask| *mask == 0)
    }

    /// Values that the byte can have.
    pub fn values(&self, at: usize) -> Vec<u8> {
        let (Some(value), Some(mask)) = (self.value.get(at), self.mask.get(at)) else { return (0..=255).collect() };
        (0..=255).filter(|byte| (byte ^ value) & mask == 0).collect()
    }
}

/// Four to eight bytes that are certain to be on the wire.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    bytes: [u8; 8],
    exact: u8,
    length: u8,
    /// Where they can begin, in the unit.
    pub at: Option<(i64, i64)>,
    /// They stand near enough to the end of what the host itself looks for in streams.
    pub waits: bool,
}

impl Window {
    /// Of so many cells.
    pub fn new(cells: &[Cell], at: Option<(i64, i64)>) -> Option<Window> {
        if !(4..=8).contains(&cells.len()) {
            return None;
        }
        let mut out = Window { bytes: [0; 8], exact: 0, length: cells.len() as u8, at, waits: false };
        for (i, (slot, cell)) in out.bytes.iter_mut().zip(cells).enumerate() {
            *slot = cell.byte;
            out.exact |= u8::from(cell.exact) << i;
        }
        Some(out)
    }

    /// Literal bytes in any case.
    pub fn folded(bytes: &[u8]) -> Option<Window> {
        let cells: Vec<Cell> = bytes.iter().map(|&byte| Cell { byte, exact: false }).collect();
        Window::new(&cells, None)
    }

    /// Bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }

    /// The key under which the filter finds it.
    pub fn key(&self) -> (usize, u64) {
        (usize::from(self.length), u64::from_le_bytes(self.bytes.map(|b| b.to_ascii_lowercase())))
    }

    /// Says whether the host knows that the rule waits for more: `pattern` is what it looks for.
    pub fn in_pattern(mut self, pattern: Option<&[u8]>, contents: &[&[u8]]) -> Window {
        let own = self.bytes().to_ascii_lowercase();
        let holds = |text: &[u8], part: &[u8]| text.windows(part.len().max(1)).any(|w| w.eq_ignore_ascii_case(part));
        self.waits = pattern.is_some_and(|pattern| {
            let near = pattern
                .windows(own.len())
                .enumerate()
                .any(|(at, w)| w.eq_ignore_ascii_case(&own) && pattern.len() - at - own.len() <= PATTERN_REST);
            let mut with = contents.iter().filter(|content| holds(content, &own));
            near && with.next().is_some_and(|content| holds(content, pattern)) && with.next().is_none()
        });
        self
    }
}

/// States of a flow, one of which every frame has.
const STATES: u8 = StateMask::ALL.0 & !StateMask::DECIDING.0;
/// The class of streams that are not decided.
const UNKNOWN: u64 = 1 << CLASS_UNKNOWN;

/// Classes that are caught, by scope.
type Cover = [u64; 8];

/// How a frame comes to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// A window; `true`: the host knows whether the rule waits for more of the stream.
    Window(bool),
    /// A guard.
    Guard,
    /// Every frame.
    Frame,
}

/// The tables, and the lists that rules ask for.
pub struct Tables<'a> {
    /// The image.
    pub bits: &'a Bits,
    /// Lists.
    pub lists: Lists,
    /// What is caught of the frames that decide, by versions, directions, ports and addresses of the streams.
    decided: RefCell<HashMap<Ends, Decided>>,
}

/// What is caught of the frames that decide, and the part of it that is caught in every later frame as well.
type Decided = (Cover, Cover);
type Ends = (u8, u8, (ListId, ListId), (ListId, ListId));

impl<'a> Tables<'a> {
    /// Of an image.
    pub fn new(bits: &'a Bits) -> Self {
        Tables { bits, lists: Lists::default(), decided: RefCell::default() }
    }
}

impl Tables<'_> {
    /// The record holds for every frame of the need, but for class and scope.
    fn satisfies(&self, r: &Record, need: &Need, unit: Unit, at: Option<(i64, i64)>, known: &Known) -> bool {
        let within = |low: i64, high: i64, (from, to): (i64, i64)| low <= from && to <= high;
        let subset = |inner: u8, outer: u8| inner & !outer == 0;
        let icmp = need.transport & (TransportMask::ICMPV4.0 | TransportMask::ICMPV6.0) != 0;
        let icmp_all = (r.icmp_type_min, r.icmp_type_max, r.icmp_code_min, r.icmp_code_max) == (0, 255, 0, 255);
        r.transports & need.transport != 0
            && subset(need.directions, r.directions)
            && subset(need.versions, r.versions)
            && (subset(STATES, r.states) || need.deciding && r.states & StateMask::DECIDING.0 != 0)
            && self.lists.port_row_holds(need.ports.0, r.source_ports)
            && self.lists.port_row_holds(need.ports.1, r.destination_ports)
            && self.lists.address_row_holds(need.addresses.0, r.source_addresses)
            && self.lists.address_row_holds(need.addresses.1, r.destination_addresses)
            && i64::from(r.payload_min) <= need.payload.0
            && (r.payload_max == u16::MAX || need.payload.1 <= i64::from(r.payload_max))
            && (r.reverse_max == u16::MAX || need.reverse <= u64::from(r.reverse_max))
            && (r.tcp_flags_mask == 0
                || need.transport == TCP
                    && subset(r.tcp_flags_mask, need.flags.0)
                    && need.flags.1 & r.tcp_flags_mask == r.tcp_flags_value)
            && (icmp_all
                || icmp
                    && r.icmp_type_min <= need.icmp_type.0
                    && need.icmp_type.1 <= r.icmp_type_max
                    && r.icmp_code_min <= need.icmp_code.0
                    && need.icmp_code.1 <= r.icmp_code_max)
            && ((r.protocol_min, r.protocol_max) == (0, 255)
                || r.protocol_min <= need.protocol.0 && need.protocol.1 <= r.protocol_max)
            && position(r, unit, at, within)
            && anchor(r, unit, known)
            && r.flags & !RecordFlags::ALL.0 == 0
            && r.reserved1 == [0; 16]
    }

    fn add(&self, cover: &mut Cover, ids: &[u32], need: &Need, unit: Unit, at: Option<(i64, i64)>, known: &Known) {
        for id in ids {
            let Some(r) = self.bits.records.get(*id as usize) else { continue };
            if r.class_mask & need.classes != 0 && self.satisfies(r, need, unit, at, known) {
                for (bit, classes) in cover.iter_mut().enumerate() {
                    if r.scopes >> bit & 1 != 0 {
                        *classes |= r.class_mask;
                    }
                }
            }
        }
    }

    /// What is caught of the frames with which streams get their class, whichever end sends them.
    fn deciding(&self, need: &Need) -> Decided {
        let key = (need.versions, need.directions, need.ports, need.addresses);
        if let Some(known) = self.decided.borrow().get(&key) {
            return *known;
        }
        let exchanged = if need.directions == BOTH { BOTH } else { BOTH & !need.directions };
        let own =
            Need { deciding: true, classes: u64::MAX, payload: (1, FAR), flags: (0, 0), reverse: u64::MAX, ..*need };
        let by = |deciding| {
            let mut caught = [u64::MAX; 8];
            for need in [own, Need { directions: exchanged, ..own.turned() }] {
                let mut cover = Cover::default();
                let need = Need { deciding, ..need };
                self.add(&mut cover, &self.bits.header, &need, Unit::Message, None, &Known::default());
                caught.iter_mut().zip(cover).for_each(|(all, of_one)| *all &= of_one);
            }
            caught
        };
        let decided = (by(true), by(false));
        self.decided.borrow_mut().insert(key, decided);
        decided
    }

    /// Classes of the need: those of a protocol's streams may be undecided when the frame comes.
    fn wanted(need: &Need) -> u64 {
        let of_protocol = need.transport == TCP && need.classes & 1 << CLASS_FAILED == 0;
        need.classes | if of_protocol { UNKNOWN } else { 0 }
    }

    /// A stream is of no protocol before the frame that decides: no rule on one matches before it, and the host reads what
    /// came before with it. So undecided streams are caught where that frame is, in every class that they may get. `by`: what
    /// `cover` is made of.
    fn add_undecided(&self, cover: &mut Cover, need: &Need, by: By) {
        if need.transport != TCP || need.classes & 1 << CLASS_FAILED != 0 {
            return;
        }
        let (mut caught, always) = self.deciding(need);
        // There is one such frame: what holds for it alone is not compared anew with the next, unless every frame of the class
        // that it decides is.
        let at = |scope: Scopes| scope.0.trailing_zeros() as usize;
        let anew = by == By::Frame && need.classes & !UNKNOWN & !cover[at(Scopes::PACKET)] == 0;
        if need.scopes & Scopes::STREAM.0 != 0 && !anew {
            caught[at(Scopes::PACKET)] &= caught[at(Scopes::STREAM)] | always[at(Scopes::PACKET)];
        }
        for (classes, deciding) in cover.iter_mut().zip(caught) {
            *classes |= if need.classes & !UNKNOWN & !deciding == 0 { UNKNOWN } else { 0 };
        }
    }

    /// Every class of the need is caught in every scope of it.
    fn enough(need: &Need, cover: &Cover, by: By) -> bool {
        let of = |scope: Scopes| cover.get(scope.0.trailing_zeros() as usize).copied().unwrap_or(0);
        Scopes::NAMES.iter().filter(|(bit, _)| need.scopes & bit != 0).all(|(bit, _)| {
            let mut caught = of(Scopes(*bit));
            if *bit == Scopes::STREAM.0 {
                match by {
                    // What every frame is compared with is compared anew with the next one.
                    By::Frame => caught |= of(Scopes::PACKET),
                    By::Window(true) => caught |= of(Scopes::STREAM_PATTERN),
                    By::Window(false) | By::Guard => {}
                }
            }
            if by == By::Frame || by == By::Guard {
                caught |= of(Scopes::ALWAYS);
            }
            Self::wanted(need) & !caught == 0
        })
    }

    /// Some entry has these bytes. (What has none is caught by the header table, or not at all.)
    pub fn found(&self, window: &Window) -> bool {
        let (length, folded) = window.key();
        !self.bits.entries(length, folded).is_empty()
    }

    /// Every frame of the need is caught by the header table.
    pub fn frames(&self, need: &Need, unit: Unit, known: &Known) -> bool {
        let mut cover = Cover::default();
        self.add(&mut cover, &self.bits.header, need, unit, None, known);
        self.add_undecided(&mut cover, need, By::Frame);
        Self::enough(need, &cover, By::Frame)
    }

    /// What remains of a need for messages of a server's TLS handshake where every payload frame of its clients is caught:
    /// the frames before which the client has sent nothing.
    ///
    /// If the device has seen bytes of the client, the frame that carried them was caught in scope HANDSHAKE, and the host
    /// keeps a flow caught in this scope until no handshake message can be read. (A client whose flow was of another class
    /// changes protocol, which is caught by itself.) Nothing but a record in this very scope counts.
    pub fn behind_hello(&self, need: &Need) -> Need {
        let classes = read_by(P::Tls) | 1 << CLASS_UNKNOWN;
        let of_server = need.transport == TCP
            && need.scopes == Scopes::HANDSHAKE.0
            && need.directions == DirectionMask::TO_CLIENT.0
            && need.classes & !classes == 0;
        if !of_server || need.reverse == 0 {
            return *need;
        }
        let hello = Need {
            directions: BOTH & !need.directions,
            classes,
            payload: (1, FAR),
            flags: (0, 0),
            reverse: u64::MAX,
            ..need.turned()
        };
        let mut cover = Cover::default();
        self.add(&mut cover, &self.bits.header, &hello, Unit::Message, None, &Known::default());
        self.add_undecided(&mut cover, &hello, By::Frame);
        let caught = cover.get(Scopes::HANDSHAKE.0.trailing_zeros() as usize).copied().unwrap_or(0);
        if classes & !caught == 0 { Need { reverse: 0, ..*need } } else { *need }
    }

    /// Every frame of the need with this guard is caught.
    pub fn guard(&self, guard: u8, need: &Need, unit: Unit, known: &Known) -> bool {
        let mut cover = Cover::default();
        self.add(&mut cover, self.bits.guard(guard), need, unit, None, known);
        if Self::enough(need, &cover, By::Guard) {
            return true;
        }
        self.add(&mut cover, &self.bits.header, need, unit, None, known);
        self.add_undecided(&mut cover, need, By::Guard);
        Self::enough(need, &cover, By::Guard)
    }

    /// Every frame of the need with this window is caught.
    pub fn window(&self, window: &Window, need: &Need, unit: Unit, known: &Known) -> bool {
        let (length, folded) = window.key();
        let entries = self.bits.entries(length, folded);
        let mut cover = Cover::default();
        for entry in entries {
            // The entry asks for no case that the rule leaves open, and for the case that it wants.
            let different = entry.value ^ u64::from_le_bytes(window.bytes);
            let same = (0..length).all(|i| {
                entry.case_mask >> i & 1 == 0 || window.exact >> i & 1 != 0 && (different >> (8 * i)) as u8 == 0
            });
            if same {
                self.add(&mut cover, self.bits.list(entry.start, entry.count), need, unit, window.at, known);
            }
        }
        let by = By::Window(window.waits);
        if Self::enough(need, &cover, by) {
            return true;
        }
        // Records that the header table makes needless are left out of lists.
        self.add(&mut cover, &self.bits.header, need, unit, None, known);
        self.add_undecided(&mut cover, need, by);
        Self::enough(need, &cover, by)
    }
}

fn position(r: &Record, unit: Unit, at: Option<(i64, i64)>, within: impl Fn(i64, i64, (i64, i64)) -> bool) -> bool {
    let flags = RecordFlags(r.flags);
    let bounded = |high: i32| if high == i32::MAX { i64::MAX } else { i64::from(high) };
    let inside = at.is_some_and(|at| within(i64::from(r.position_min), bounded(r.position_max), (at.0, at.1.min(FAR))));
    let none = !flags.contains(RecordFlags::POSITION_PACKET) && !flags.contains(RecordFlags::POSITION_STREAM);
    none || match unit {
        Unit::Packet => flags.contains(RecordFlags::POSITION_PACKET) && inside,
        Unit::Stream => flags.contains(RecordFlags::POSITION_STREAM) && inside,
        Unit::Message => false,
    }
}

fn anchor(r: &Record, unit: Unit, known: &Known) -> bool {
    let flags = RecordFlags(r.flags);
    let equal = || {
        (0..16).all(|i| {
            r.anchor_mask[i] & !known.mask[i] == 0 && (r.anchor_value[i] ^ known.value[i]) & r.anchor_mask[i] == 0
        })
    };
    let none = !flags.contains(RecordFlags::ANCHOR_PACKET) && !flags.contains(RecordFlags::ANCHOR_STREAM);
    none || match unit {
        Unit::Packet => flags.contains(RecordFlags::ANCHOR_PACKET) && equal(),
        Unit::Stream => flags.contains(RecordFlags::ANCHOR_STREAM) && equal(),
        Unit::Message => false,
    }
}
