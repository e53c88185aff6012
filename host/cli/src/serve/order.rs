//! Frames of a flow leave the ports in the order in which they came, though the host of the model is another process.
//!
//! Place: between the model and the interfaces. A host lets a flow go after a frame that it has judged; others of the flow may be on their way to it
//! then, and the model passes those that come behind at once. They wait here for the verdict of the newest of the flow that the host
//! has (decision 0010: parking). Invariants: a frame that waits is sent, once; what waits is bounded in bytes and in time, and what goes out
//! of order for that is counted. Flows are told apart by addresses and ports alone: two that look alike wait needlessly.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// Bytes of frames that may wait.
const BYTES_MAX: usize = 8 << 20;
/// Longest that a frame waits, in ns of frame time: a host that stands still must not stop what is not its own.
const WAIT_MAX: u64 = 100_000_000;

struct Flow {
    /// The newest frame of the flow that the host has.
    newest: u64,
    /// When the first of those that wait came.
    since: u64,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    number: u64,
    /// For this one's verdict.
    behind: u64,
    bytes: Vec<u8>,
}

/// What waits, and for what.
pub struct Order {
    hash: RandomState,
    /// Frames that the host has, by number: their flow.
    held: HashMap<u64, u64>,
    flows: HashMap<u64, Flow>,
    /// Flows with frames that wait, the one that has waited longest first.
    queue: VecDeque<(u64, u64)>,
    bytes: usize,
    waited: u64,
    overtook: u64,
}

/// Sends a frame by its number.
pub type Send<'a> = &'a mut dyn FnMut(u64, &[u8]);

impl Order {
    /// Nothing waits.
    pub fn new() -> Order {
        Order {
            hash: RandomState::new(),
            held: HashMap::new(),
            flows: HashMap::new(),
            queue: VecDeque::new(),
            bytes: 0,
            waited: 0,
            overtook: 0,
        }
    }

    /// Names the flow of an Ethernet frame; none where it is in none.
    pub fn flow(&self, frame: &[u8]) -> Option<u64> {
        let (protocol, one, other) = ends(frame)?;
        // The same in both directions.
        Some(self.hash.hash_one(if one <= other { (protocol, one, other) } else { (protocol, other, one) }))
    }

    /// The host has got a frame.
    pub fn diverted(&mut self, number: u64, flow: u64) {
        self.held.insert(number, flow);
        let entry = self.flows.entry(flow).or_insert_with(|| Flow { newest: number, since: 0, waiting: VecDeque::new() });
        entry.newest = number;
    }

    /// A frame may leave: `true`, at once; else it waits here.
    pub fn leaves(&mut self, number: u64, flow: u64, now: u64, bytes: &[u8], send: Send<'_>) -> bool {
        let Some(entry) = self.flows.get_mut(&flow) else { return true };
        if self.bytes + bytes.len() > BYTES_MAX {
            self.give_up(flow, send);
            self.overtook += 1;
            return true;
        }
        if entry.waiting.is_empty() {
            entry.since = now;
            self.queue.push_back((now, flow));
        }
        entry.waiting.push_back(Waiting { number, behind: entry.newest, bytes: bytes.to_vec() });
        self.bytes += bytes.len();
        self.waited += 1;
        false
    }

    /// A frame that the host had has left, or will not.
    pub fn answered(&mut self, number: u64, send: Send<'_>) {
        let Some(flow) = self.held.remove(&number) else { return };
        let Some(entry) = self.flows.get_mut(&flow) else { return };
        if entry.newest == number {
            return self.release(flow, send);
        }
        // Those before one that the host has got since go before it. (Verdicts on a flow come in its order.)
        while let Some(waiting) = entry.waiting.pop_front_if(|waiting| waiting.behind <= number) {
            self.bytes -= waiting.bytes.len();
            send(waiting.number, &waiting.bytes);
        }
    }

    /// It is this time: nothing waits longer than it may.
    pub fn pass_time(&mut self, now: u64, send: Send<'_>) {
        while let Some((since, flow)) = self.queue.front().copied().filter(|(since, _)| since.saturating_add(WAIT_MAX) <= now) {
            self.queue.pop_front();
            if self.flows.get(&flow).is_some_and(|entry| entry.since == since && !entry.waiting.is_empty()) {
                self.give_up(flow, send);
            }
        }
    }

    /// Its frames go before those that the host has.
    fn give_up(&mut self, flow: u64, send: Send<'_>) {
        self.overtook += self.flows.get(&flow).map_or(0, |entry| entry.waiting.len() as u64);
        self.release(flow, send);
    }

    fn release(&mut self, flow: u64, send: Send<'_>) {
        let Some(entry) = self.flows.remove(&flow) else { return };
        for waiting in entry.waiting {
            self.bytes -= waiting.bytes.len();
            send(waiting.number, &waiting.bytes);
        }
    }

    /// Frames that have waited, and those that left before earlier ones of their flow.
    pub fn counts(&self) -> (u64, u64) {
        (self.waited, self.overtook)
    }
}

/// Protocol, and address and port of both ends.
fn ends(frame: &[u8]) -> Option<(u8, (&[u8], u16), (&[u8], u16))> {
    let half = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    let (mut at, mut kind) = (14, half(12)?);
    for _ in 0..3 {
        if matches!(kind, 0x8100 | 0x88a8 | 0x9100) {
            kind = half(at + 2)?;
            at += 4;
        }
    }
    let (protocol, source, destination, transport) = match kind {
        0x0800 => {
            let header = usize::from(frame.get(at)? & 0xf) * 4;
            (*frame.get(at + 9)?, frame.get(at + 12..at + 16)?, frame.get(at + 16..at + 20)?, at + header)
        }
        // (Behind extension headers the ports are not looked for: such flows look alike.)
        0x86dd => (*frame.get(at + 6)?, frame.get(at + 8..at + 24)?, frame.get(at + 24..at + 40)?, at + 40),
        _ => return None,
    };
    let ports = match protocol {
        6 | 17 | 132 => (half(transport).unwrap_or(0), half(transport + 2).unwrap_or(0)),
        _ => (0, 0),
    };
    Some((protocol, (source, ports.0), (destination, ports.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(from: u8, to: u8, ports: [u8; 2]) -> Vec<u8> {
        let mut frame = [&[2; 12][..], &[8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, from, 10, 0, 0, to]].concat();
        frame.extend([0, ports[0], 0, ports[1], 0, 8, 0, 0]);
        frame
    }

    #[test]
    fn flows_are_the_same_in_both_directions() {
        let order = Order::new();
        let flow = order.flow(&frame(1, 2, [7, 9])).unwrap();
        assert_eq!(order.flow(&frame(2, 1, [9, 7])), Some(flow));
        assert!(order.flow(&frame(1, 2, [9, 7])) != Some(flow) && order.flow(&frame(1, 3, [7, 9])) != Some(flow));
        let mut tagged = frame(1, 2, [7, 9]);
        tagged.splice(12..12, [0x81, 0, 0, 5]);
        assert_eq!(order.flow(&tagged), Some(flow));
        for bytes in [&[][..], &[2; 14], &frame(1, 2, [7, 9])[..20]] {
            assert_eq!(order.flow(bytes), None);
        }
    }

    #[test]
    fn what_passes_waits_for_the_newest_that_the_host_has() {
        let mut order = Order::new();
        let sent = std::cell::RefCell::new(Vec::new());
        let mut send = |number: u64, _: &[u8]| sent.borrow_mut().push(number);
        order.diverted(1, 77);
        order.diverted(2, 77);
        assert!(!order.leaves(3, 77, 10, b"x", &mut send));
        assert!(order.leaves(4, 78, 10, b"x", &mut send), "another flow");
        order.answered(1, &mut send);
        assert!(!order.leaves(5, 77, 11, b"x", &mut send));
        // One that is flagged behind those that wait: they go before it.
        order.diverted(6, 77);
        assert!(!order.leaves(7, 77, 12, b"x", &mut send));
        order.answered(2, &mut send);
        assert_eq!(*sent.borrow(), [3, 5]);
        order.answered(6, &mut send);
        assert!(order.leaves(8, 77, 13, b"x", &mut send));
        order.answered(99, &mut send);
        assert_eq!((sent.take(), order.counts(), order.bytes, order.held.len(), order.flows.len()), (vec![3, 5, 7], (3, 0), 0, 0, 0));
    }

    #[test]
    fn nothing_waits_for_ever_or_without_bounds() {
        let mut order = Order::new();
        let mut sent = Vec::new();
        order.diverted(1, 77);
        assert!(!order.leaves(2, 77, 1000, b"x", &mut |number, _| sent.push(number)));
        order.pass_time(1000 + WAIT_MAX - 1, &mut |number, _| sent.push(number));
        assert!(sent.is_empty());
        order.pass_time(1000 + WAIT_MAX, &mut |number, _| sent.push(number));
        assert_eq!((&*sent, order.counts()), (&[2][..], (1, 1)));
        assert!(order.leaves(3, 77, 2000, b"x", &mut |_, _| ()), "its order is lost already");
        order.answered(1, &mut |_, _| ());
        order.diverted(4, 77);
        let long = vec![0; BYTES_MAX / 2];
        let mut count = 0;
        for number in 5..8 {
            if order.leaves(number, 77, 3000, &long, &mut |_, _| count += 1) {
                count += 1;
            }
        }
        assert_eq!((count, order.bytes), (3, 0));
    }
}
