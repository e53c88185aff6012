//! What becomes of packets that wait in the kernel's queues, and answers that are sent beside them.

use super::ANSWER_MARK;
use super::message::Verdict;
use crate::interface::InterfaceCounters;
use crate::sys;
use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

/// Verdicts that are gathered before they are sent.
const GATHERED: usize = 32;
/// Verdicts whose refusal by the kernel can still be told from others.
const REMEMBERED: usize = 1024;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Waits,
    Accepted,
    Dropped,
}

struct Waiting {
    number: u64,
    id: u32,
    mark: u32,
    bytes: u32,
    /// It was inspected: it counts.
    counts: bool,
    fate: Fate,
}

struct Queue {
    number: u16,
    waiting: VecDeque<Waiting>,
    counters: InterfaceCounters,
}

/// A verdict that was sent: number of the request, queue, packets that were accepted by it, their bytes.
struct Sent {
    request: u32,
    queue: usize,
    accepted: u64,
    bytes: u64,
}

/// Gives verdicts.
pub(crate) struct Verdicts {
    socket: OwnedFd,
    /// For answers: IPv4, IPv6 (where the system has it).
    answers: [Option<OwnedFd>; 2],
    queues: Vec<Queue>,
    mark: u32,
    undecided: usize,
    decided: usize,
    request: u32,
    sent: VecDeque<Sent>,
    out: Vec<u8>,
}

impl Verdicts {
    pub fn open(socket: &OwnedFd, numbers: Vec<u16>, mark: u32) -> io::Result<Verdicts> {
        // Only the socket that became the owner may give verdicts.
        let socket = socket.try_clone()?;
        let answers = [Some(sys::netlink::ip_socket(false, ANSWER_MARK)?), sys::netlink::ip_socket(true, ANSWER_MARK).ok()];
        Ok(Verdicts::new(socket, answers, numbers, mark))
    }

    fn new(socket: OwnedFd, answers: [Option<OwnedFd>; 2], numbers: Vec<u16>, mark: u32) -> Verdicts {
        let queue = |number| Queue { number, waiting: VecDeque::new(), counters: InterfaceCounters::default() };
        let queues = numbers.into_iter().map(queue).collect();
        Verdicts { socket, answers, queues, mark, undecided: 0, decided: 0, request: 1, sent: VecDeque::new(), out: Vec::new() }
    }

    /// A packet has come, and waits or not. `counts`: it is inspected.
    pub fn arrived(&mut self, queue: usize, number: u64, (id, mark): (u32, u32), bytes: usize, counts: bool, fate: Fate) {
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.waiting.push_back(Waiting { number, id, mark, bytes: bytes as u32, counts, fate });
            *(if fate == Fate::Waits { &mut self.undecided } else { &mut self.decided }) += 1;
        }
    }

    /// Says what becomes of one; `false`: it does not wait (any more).
    pub fn decide(&mut self, queue: usize, number: u64, fate: Fate) -> bool {
        let Some(queue) = self.queues.get_mut(queue) else { return false };
        let at = queue.waiting.partition_point(|waiting| waiting.number < number);
        let Some(waiting) = queue.waiting.get_mut(at).filter(|w| w.number == number && w.fate == Fate::Waits) else {
            return false;
        };
        waiting.fate = fate;
        self.undecided -= 1;
        self.decided += 1;
        if self.decided >= GATHERED {
            self.flush();
        }
        true
    }

    /// Packets that have no verdict.
    pub fn undecided(&self) -> usize {
        self.undecided
    }

    /// Gives what was decided to the kernel. What it does not take now is tried again with the next.
    pub fn flush(&mut self) {
        if self.decided == 0 {
            return;
        }
        for at in 0..self.queues.len() {
            while self.flush_run(at) {}
        }
    }

    /// A run of equal verdicts of a queue; `false`: there is none, or the kernel did not take it.
    fn flush_run(&mut self, at: usize) -> bool {
        let set = self.mark;
        let Some(queue) = self.queues.get_mut(at) else { return false };
        let Some(start) = queue.waiting.iter().position(|w| w.fate != Fate::Waits) else { return false };
        let mark_of = |w: &Waiting| (set != 0 && w.fate == Fate::Accepted && w.counts).then_some(w.mark | set);
        let Some(first) = queue.waiting.get(start) else { return false };
        let (fate, mark) = (first.fate, mark_of(first));
        // A verdict on all up to one is for the oldest only: behind packets that wait, each has its own.
        let run = match start {
            0 => queue.waiting.iter().take_while(|w| w.fate == fate && mark_of(w) == mark).count(),
            _ => 1,
        };
        let Some(last) = queue.waiting.get(start + run - 1) else { return false };
        self.request = self.request.wrapping_add(1).max(1);
        self.out.clear();
        let verdict = Verdict { queue: queue.number, id: last.id, all: run > 1, accept: fate == Fate::Accepted, mark };
        verdict.encode(&mut self.out, self.request);
        if let Err(error) = sys::netlink::send(&self.socket, &self.out) {
            queue.counters.waits += 1;
            tracing::debug!("verdicts of queue {} wait: {error}", queue.number);
            return false;
        }
        let (mut accepted, mut bytes) = (0, 0);
        for waiting in queue.waiting.drain(start..start + run).filter(|w| w.fate == Fate::Accepted && w.counts) {
            accepted += 1;
            bytes += u64::from(waiting.bytes);
        }
        queue.counters.sent += accepted;
        queue.counters.sent_bytes += bytes;
        self.decided -= run;
        if self.sent.len() >= REMEMBERED {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { request: self.request, queue: at, accepted, bytes });
        true
    }

    /// The kernel refused a verdict: the packets are gone (their interface went down, or the rule's table did).
    pub fn refused(&mut self, request: u32, code: i32) {
        if code == 0 {
            return;
        }
        let Some(at) = self.sent.iter().position(|sent| sent.request == request) else { return };
        let Some(sent) = self.sent.remove(at) else { return };
        if let Some(queue) = self.queues.get_mut(sent.queue) {
            queue.counters.sent -= sent.accepted;
            queue.counters.sent_bytes -= sent.bytes;
            let why = if code == libc::ENOENT { "packet gone from the queue" } else { "verdict refused" };
            *queue.counters.refused.entry(why).or_default() += sent.accepted;
        }
    }

    /// Sends a packet of the host's own by the system's routes.
    pub fn answer(&mut self, packet: &[u8]) {
        let to = match packet.first().map(|byte| byte >> 4) {
            Some(4) => packet.get(16..20).and_then(|b| b.first_chunk::<4>()).map(|b| IpAddr::from(*b)),
            Some(6) => packet.get(24..40).and_then(|b| b.first_chunk::<16>()).map(|b| IpAddr::from(*b)),
            _ => None,
        };
        let socket = to.and_then(|to| self.answers.get(usize::from(to.is_ipv6()))?.as_ref().map(|socket| (socket, to)));
        let result = match socket {
            Some((socket, to)) => sys::netlink::send_ip(socket, to, packet),
            None => Err(io::ErrorKind::Unsupported.into()),
        };
        let Some(queue) = self.queues.first_mut() else { return };
        match result {
            Ok(()) => {
                queue.counters.sent += 1;
                queue.counters.sent_bytes += packet.len() as u64;
            }
            Err(error) => {
                tracing::debug!("an answer was not sent: {error}");
                *queue.counters.refused.entry("answer without a route").or_default() += 1;
            }
        }
    }

    /// What was given back by a queue, added to what came from it.
    pub fn count(&self, queue: usize, counters: &mut InterfaceCounters) {
        if let Some(queue) = self.queues.get(queue) {
            counters.take_sent(&queue.counters);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    /// Requests in the place of the kernel: number, all up to it, accept, mark.
    fn sent(stream: &mut UnixStream) -> Vec<(u32, bool, bool, Option<u32>)> {
        let mut bytes = vec![0; 1 << 16];
        let n = stream.read(&mut bytes).unwrap_or(0);
        let (mut rest, mut all) = (&bytes[..n], Vec::new());
        while !rest.is_empty() {
            let length = u32::from_ne_bytes(*rest.first_chunk().unwrap()) as usize;
            let of = |at: usize| u32::from_be_bytes(*rest[at..].first_chunk().unwrap());
            all.push((of(28), rest[4] == 3, of(24) == 1, (length > 32).then(|| of(36))));
            rest = &rest[length..];
        }
        all
    }

    fn verdicts(mark: u32) -> (Verdicts, UnixStream) {
        let (ours, kernel) = UnixStream::pair().unwrap();
        kernel.set_nonblocking(true).unwrap();
        (Verdicts::new(ours.into(), [None, None], vec![5], mark), kernel)
    }

    #[test]
    fn runs_of_equal_verdicts_are_one() {
        let (mut all, mut kernel) = verdicts(0);
        for number in 1..=6 {
            all.arrived(0, number, (number as u32 + 100, 7), 10, true, Fate::Waits);
        }
        for (number, fate) in [(1, Fate::Accepted), (2, Fate::Accepted), (3, Fate::Dropped), (5, Fate::Accepted), (6, Fate::Accepted)] {
            assert!(all.decide(0, number, fate));
        }
        assert!(!all.decide(0, 3, Fate::Accepted), "it is decided");
        all.flush();
        // 4 waits: those behind it have verdicts of their own.
        let expected = [(102, true, true, None), (103, false, false, None), (105, false, true, None), (106, false, true, None)];
        assert_eq!(sent(&mut kernel), expected);
        assert_eq!(all.undecided(), 1);
        assert!(all.decide(0, 4, Fate::Accepted) && !all.decide(0, 7, Fate::Accepted));
        all.flush();
        assert_eq!(sent(&mut kernel), [(104, false, true, None)]);
        let mut counters = InterfaceCounters::default();
        all.count(0, &mut counters);
        assert_eq!((counters.sent, counters.sent_bytes), (5, 50));
    }

    #[test]
    fn marks_are_added_and_part_runs() {
        let (mut all, mut kernel) = verdicts(0x100);
        for (number, mark) in [(1, 1), (2, 1), (3, 2)] {
            all.arrived(0, number, (number as u32, mark), 10, true, Fate::Waits);
            all.decide(0, number, Fate::Accepted);
        }
        all.flush();
        assert_eq!(sent(&mut kernel), [(2, true, true, Some(0x101)), (3, false, true, Some(0x102))]);
    }

    #[test]
    fn what_the_kernel_refuses_was_not_sent() {
        let (mut all, _kernel) = verdicts(0);
        all.arrived(0, 1, (1, 0), 10, true, Fate::Waits);
        all.decide(0, 1, Fate::Accepted);
        all.flush();
        let request = all.request;
        all.refused(request, 0);
        all.refused(request, libc::ENOENT);
        all.refused(request, libc::ENOENT);
        let mut counters = InterfaceCounters::default();
        all.count(0, &mut counters);
        assert_eq!((counters.sent, counters.refused_frames()), (0, 1));
    }

    /// An answer of ours that comes by is let go, and counts nowhere as inspected.
    #[test]
    fn own_packets_are_let_go() {
        let (mut all, mut kernel) = verdicts(1);
        all.arrived(0, 1, (1, 0), 10, true, Fate::Waits);
        all.arrived(0, 1, (2, ANSWER_MARK), 40, false, Fate::Accepted);
        all.decide(0, 1, Fate::Dropped);
        all.flush();
        assert_eq!(sent(&mut kernel), [(1, false, false, None), (2, false, true, None)]);
    }
}
