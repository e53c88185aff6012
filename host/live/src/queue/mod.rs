//! Packets that the firewall of this host hands over: the kernel's packet queues (NFQUEUE), as a source that stands between.
//!
//! Place: beside the interfaces of a [`Link`](crate::Link). A rule (`queue num N`, `-j NFQUEUE`) puts packets into a queue; they wait in the
//! kernel until the [`Verdicts`] say what becomes of them. They are IP packets without a link layer, already cut and with their
//! checksums, since the kernel is not asked for unsegmented ones. Invariants: each packet that came gets one verdict, in the order
//! of each queue where nothing waits; what the kernel lost or did not take is counted.

pub(crate) mod message;
mod verdicts;

pub(crate) use verdicts::{Fate, Verdicts};

use crate::LiveError;
use crate::interface::InterfaceCounters;
use crate::sys;
use message::{Message, decode};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Most queues at once.
const QUEUES_MAX: u16 = 16;
/// Bytes of the longest datagram: a packet of 64 KiB and what is said of it.
const SLOT: usize = (64 << 10) + 4096;
/// What the kernel counts of queues.
const COUNTERS: &str = "/proc/net/netfilter/nfnetlink_queue";
/// The mark of packets that Weir makes: answers to rejected ones. Rules can tell them by it; those that come by a queue are let go.
pub const ANSWER_MARK: u32 = 0x5765_6972;

/// How queues are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueConfig {
    /// Packets that may wait in each.
    pub length: u32,
    /// What finds no place goes on uninspected, and is not counted by the kernel; else it is dropped and counted.
    pub fail_open: bool,
    /// Bits that are set in the marks of packets that go on.
    pub mark: u32,
}

/// The queues that `nfqueue:N` or `nfqueue:N-M` names; none: it is the name of an interface.
pub(crate) fn named(name: &str) -> Option<Result<Range<u16>, LiveError>> {
    let text = name.strip_prefix("nfqueue:")?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = first.parse().ok().zip(last.parse().ok()).filter(|(first, last): &(u16, u16)| {
        first <= last && last - first < QUEUES_MAX && *last < u16::MAX
    });
    Some(range.map(|(first, last)| first..last + 1).ok_or_else(|| LiveError::Queue { name: name.to_owned() }))
}

/// A packet that was received and not yet taken.
struct Held {
    time: u64,
    port: usize,
    id: u32,
    mark: u32,
    length: u32,
    payload: Range<usize>,
}

struct Counted {
    name: String,
    number: u16,
    counters: InterfaceCounters,
    /// What the kernel had lost when that was last looked at.
    lost: u64,
}

/// What was taken off the queues' socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Which queue, from 0.
    pub port: usize,
    pub id: u32,
    pub mark: u32,
    pub time: u64,
    /// All its bytes came.
    pub whole: bool,
}

/// Queues in use.
pub(crate) struct Queues {
    socket: OwnedFd,
    port: u32,
    queues: Vec<Counted>,
    buffer: Vec<u8>,
    held: VecDeque<Held>,
    /// What became of requests, for the verdicts.
    answers: Vec<(u32, i32)>,
    kernel: Option<File>,
    /// Times that the kernel found the socket's buffer full.
    overruns: u64,
}

fn system(name: &str, what: &'static str) -> impl FnOnce(io::Error) -> LiveError {
    move |source| match source.raw_os_error() {
        // The kernel says the same of a queue that is another's and of a privilege that is missing.
        Some(libc::EPERM) if named(name).is_some_and(|numbers| numbers.is_ok_and(has_owner)) => {
            LiveError::Taken { name: name.to_owned() }
        }
        Some(libc::EPERM | libc::EACCES) => LiveError::Privilege { interface: name.to_owned(), needs: "CAP_NET_ADMIN and CAP_NET_RAW" },
        Some(libc::EBUSY) => LiveError::Taken { name: name.to_owned() },
        _ => LiveError::System { interface: name.to_owned(), what, source },
    }
}

/// One of these queues has an owner.
fn has_owner(mut numbers: Range<u16>) -> bool {
    let text = std::fs::read_to_string(COUNTERS).unwrap_or_default();
    let owned: Vec<u16> = text.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    numbers.any(|number| owned.contains(&number))
}

/// Asks and waits for the answer.
fn ask(socket: &OwnedFd, request: u32, bytes: &[u8]) -> io::Result<()> {
    sys::netlink::send(socket, bytes)?;
    let mut buffer = vec![0; sys::netlink::RECEIVE_MAX * 512];
    for _ in 0..100 {
        let mut lengths = [0; sys::netlink::RECEIVE_MAX];
        let count = match sys::netlink::receive_all(socket, &mut buffer, 512, &mut lengths) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sys::wait(&[socket.as_raw_fd()], false, 10, &mut [false])?;
                continue;
            }
            other => other?,
        };
        let mut code = None;
        for (slot, length) in buffer.chunks_exact(512).zip(lengths).take(count) {
            let _ = decode(&slot[..length], &mut |message| match message {
                Message::Answer { request: of, code: what } if of == request => code = Some(what),
                _ => {}
            });
        }
        match code {
            Some(0) => return Ok(()),
            Some(code) => return Err(io::Error::from_raw_os_error(code)),
            None => {}
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

impl Queues {
    /// Becomes the owner of queues, with room for so many bytes of packets on their way here.
    pub fn open(name: &str, numbers: Range<u16>, config: QueueConfig, room: usize) -> Result<(Queues, Verdicts), LiveError> {
        let socket = sys::netlink::netfilter_socket().map_err(system(name, "netlink socket"))?;
        sys::set_receive_buffer(&socket, i32::try_from(room).unwrap_or(i32::MAX));
        let port = sys::netlink::port(&socket).map_err(system(name, "netlink socket"))?;
        let (mut bytes, mut request) = (Vec::new(), 0);
        let mut queues = Vec::new();
        for number in numbers {
            let name = format!("nfqueue:{number}");
            for what in ["becoming the owner of the queue", "setting its length"] {
                bytes.clear();
                request += 1;
                match request % 2 {
                    1 => message::bind(&mut bytes, request, number),
                    _ => message::limit(&mut bytes, request, number, config.length, config.fail_open),
                }
                ask(&socket, request, &bytes).map_err(system(&name, what))?;
            }
            queues.push(Counted { name, number, counters: InterfaceCounters::default(), lost: 0 });
        }
        let verdicts = Verdicts::open(&socket, queues.iter().map(|queue| queue.number).collect(), config.mark)
            .map_err(system(name, "sockets for verdicts and answers"))?;
        // Packets come from here on. (Numbers of requests below those of verdicts.)
        for queue in &queues {
            bytes.clear();
            message::start(&mut bytes, 0, queue.number);
            sys::netlink::send(&socket, &bytes).map_err(system(&queue.name, "asking for its packets"))?;
        }
        let kernel = File::open(COUNTERS).ok();
        let buffer = vec![0; sys::netlink::RECEIVE_MAX * SLOT];
        let queues = Queues { socket, port, queues, buffer, held: VecDeque::new(), answers: Vec::new(), kernel, overruns: 0 };
        Ok((queues, verdicts))
    }

    pub fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Time of the next packet, if there is one.
    pub fn peek(&mut self, now: impl Fn() -> u64) -> Option<(u64, usize)> {
        // (Each round takes something, or ends it.)
        while self.held.is_empty() && self.fill(&now) {}
        self.held.front().map(|held| (held.time, held.port))
    }

    /// Takes what has come; `false`: nothing has.
    fn fill(&mut self, now: &impl Fn() -> u64) -> bool {
        let mut lengths = [0; sys::netlink::RECEIVE_MAX];
        let count = match sys::netlink::receive_all(&self.socket, &mut self.buffer, SLOT, &mut lengths) {
            Ok(count) => count,
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                self.overruns += 1;
                return true;
            }
            Err(_) => return false,
        };
        let time = now();
        let Queues { queues, buffer, held, answers, .. } = self;
        let base = buffer.as_ptr().addr();
        for (slot, length) in buffer.chunks_exact(SLOT).zip(lengths).take(count) {
            let read = decode(slot.get(..length).unwrap_or_default(), &mut |message| match message {
                Message::Packet(packet) => {
                    let Some(port) = queues.iter().position(|queue| queue.number == packet.queue) else { return };
                    let start = packet.payload.as_ptr().addr().saturating_sub(base);
                    let payload = if packet.payload.is_empty() { 0..0 } else { start..start + packet.payload.len() };
                    let (id, mark, length) = (packet.id, packet.mark, packet.length);
                    held.push_back(Held { time, port, id, mark, length, payload });
                }
                Message::Answer { request, code } => answers.push((request, code)),
                Message::Other => {}
            });
            if let Err(malformed) = read {
                tracing::warn!("{malformed}");
            }
        }
        count > 0
    }

    /// Takes the next packet: what it is, and its bytes.
    pub fn take(&mut self) -> Option<(Taken, &[u8])> {
        let held = self.held.pop_front()?;
        let bytes = self.buffer.get(held.payload).unwrap_or_default();
        let counters = &mut self.queues.get_mut(held.port)?.counters;
        let own = held.mark == ANSWER_MARK;
        let whole = bytes.len() >= held.length as usize && !bytes.is_empty();
        if own {
            counters.own += 1;
        } else {
            counters.received += 1;
            counters.received_bytes += bytes.len() as u64;
            counters.truncated += u64::from(!whole);
        }
        Some((Taken { port: held.port, id: held.id, mark: held.mark, time: held.time, whole }, bytes))
    }

    /// What became of requests since the last call.
    pub fn answers(&mut self) -> impl Iterator<Item = (u32, i32)> {
        self.answers.drain(..)
    }

    /// Takes the kernel's counters over.
    pub fn count(&mut self) {
        let mut text = String::new();
        if let Some(file) = &mut self.kernel
            && file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text)).is_ok()
        {
            for (number, lost) in losses(&text, self.port) {
                if let Some(queue) = self.queues.iter_mut().find(|queue| queue.number == number) {
                    // (The kernel's numbers are of 32 bits.)
                    queue.counters.lost += u64::from((lost as u32).wrapping_sub(queue.lost as u32));
                    queue.lost = lost;
                }
            }
        }
        if let Some(first) = self.queues.first_mut() {
            first.counters.overruns = self.overruns;
        }
    }

    /// Names, and what was counted.
    pub fn counters(&mut self) -> impl Iterator<Item = (&str, &mut InterfaceCounters)> {
        self.queues.iter_mut().map(|queue| (&*queue.name, &mut queue.counters))
    }
}

/// By queue of this owner, packets that found no place in the queue or in the socket's buffer.
fn losses(text: &str, port: u32) -> impl Iterator<Item = (u16, u64)> + '_ {
    text.lines().filter_map(move |line| {
        // Queue, owner, waiting, mode and range of copies, lost in the queue, lost on the way, last number.
        let numbers: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [queue, owner, _, _, _, in_queue, on_the_way, ..] = *numbers else { return None };
        (owner == u64::from(port)).then(|| Some((u16::try_from(queue).ok()?, in_queue + on_the_way))).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_queues() {
        assert!(named("eth0").is_none());
        assert_eq!(named("nfqueue:3").unwrap().unwrap(), 3..4);
        assert_eq!(named("nfqueue:0-3").unwrap().unwrap(), 0..4);
        for bad in ["nfqueue:", "nfqueue:x", "nfqueue:3-1", "nfqueue:0-16", "nfqueue:65535", "nfqueue:-1"] {
            assert!(matches!(named(bad), Some(Err(LiveError::Queue { .. }))), "{bad}");
        }
    }

    #[test]
    fn the_kernels_counters_are_read() {
        let text = "    0  12345     0 2 65531     7     2       40  1\n    1    999     0 2 65531     9     9       40  1\nodd line\n";
        assert_eq!(losses(text, 12345).collect::<Vec<_>>(), [(0, 9)]);
    }
}
