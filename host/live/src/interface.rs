//! One interface that is listened to.

use crate::LiveError;
use crate::offload::{Offloads, Policy};
use crate::repair;
use crate::sys::xdp::{self, FRAME_MAX};
use crate::sys::{self, Kind, Received, Ring, option};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// ARPHRD_ETHER and ARPHRD_LOOPBACK: frames have an Ethernet header.
const ETHERNET: [u16; 2] = [1, 772];
/// Longest Ethernet header: two tags that stay in the frame.
const HEADER: usize = 14 + 8;
/// Memory for frames that are longer than a slot.
const QUEUE_BYTES: i32 = 8 << 20;

/// Before an interface's name: its frames come and go by AF_XDP.
const XDP: &str = "xdp:";
/// Most receive queues of an interface.
const QUEUES_MAX: usize = 64;

/// The interface that is named.
pub(crate) fn base_name(name: &str) -> &str {
    name.strip_prefix(XDP).unwrap_or(name)
}

/// What an interface counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InterfaceCounters {
    /// Frames that were read.
    pub received: u64,
    /// Their bytes, as inspected.
    pub received_bytes: u64,
    /// Frames lost because the ring was full: the kernel's number.
    pub lost: u64,
    /// Frames of which not all bytes came; inline they are not forwarded.
    pub truncated: u64,
    /// Frames longer than the link takes that a sender's stack left to a card to cut.
    pub unsegmented: u64,
    /// Frames that were cut out of those.
    pub segments: u64,
    /// Checksums that a sender's stack left to a card, completed.
    pub checksums: u64,
    /// Tags that the card had taken out, put back.
    pub tags: u64,
    /// Frames sent.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Frames that the interface did not take, by cause.
    pub refused: BTreeMap<&'static str, u64>,
    /// Times that it had to be waited for until it took more.
    pub waits: u64,
    /// Times it went down or away.
    pub downs: u64,
    /// Times the kernel found no room for a queue's packets on their way here.
    pub overruns: u64,
    /// Answers of Weir that came by again, and were let go.
    pub own: u64,
}

impl InterfaceCounters {
    /// Frames that were to be sent and were not.
    pub fn refused_frames(&self) -> u64 {
        self.refused.values().sum()
    }

    /// What the sending side has counted.
    pub(crate) fn take_sent(&mut self, of: &InterfaceCounters) {
        (self.sent, self.sent_bytes, self.waits) = (of.sent, of.sent_bytes, of.waits);
        self.refused.clone_from(&of.refused);
    }
}

/// How an interface is used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub kind: Kind,
    /// By AF_XDP.
    pub xdp: bool,
    pub ring: usize,
    pub promiscuous: bool,
    pub offloads: Policy,
    /// Frames go out by it, and its own are not listened to.
    pub inline: bool,
}

/// Whether frames may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Up,
    Down,
    Gone,
}

/// Frames of an interface, and where they come from.
pub(crate) enum Frames {
    /// AF_PACKET.
    Packet { socket: OwnedFd, ring: Ring },
    /// AF_XDP.
    Xdp {
        /// One for each receive queue.
        queues: Vec<xdp::Receive>,
        /// Ready when one of them is.
        any: OwnedFd,
        /// The driver runs the program.
        native: bool,
        /// Checksums may be open: there is no card that would have completed them.
        open_checksums: bool,
        /// Keeps the interface listening to all addresses.
        _promiscuous: Option<OwnedFd>,
        _program: xdp::Program,
    },
}

impl Frames {
    /// Time of the next frame, if there is one.
    pub fn peek(&mut self, now: impl Fn() -> u64) -> Option<u64> {
        match self {
            Frames::Packet { ring, .. } => ring.peek(),
            Frames::Xdp { queues, .. } => queues.iter_mut().filter_map(|queue| queue.peek(&now)).min(),
        }
    }

    /// Hands the next frame to `take` with the socket that has what did not fit, then gives its memory back.
    pub fn next<R>(&mut self, take: impl FnOnce(Received<'_>, Option<&OwnedFd>) -> R) -> Option<R> {
        match self {
            Frames::Packet { socket, ring } => ring.next(|received| take(received, Some(socket))),
            Frames::Xdp { queues, open_checksums, .. } => {
                let times = queues.iter_mut().enumerate().filter_map(|(n, queue)| Some((queue.peek(|| 0)?, n)));
                let (_, oldest) = times.min()?;
                queues.get_mut(oldest)?.next(|mut received| {
                    let frame = received.buffer.get(received.start..).unwrap_or_default();
                    if let Some(at) = repair::open_checksum(frame).filter(|_| *open_checksums) {
                        received.offload = repair::left_open(at);
                    }
                    take(received, None)
                })
            }
        }
    }

    /// Frames lost for want of room, since the last call.
    fn lost(&mut self) -> u64 {
        match self {
            Frames::Packet { socket, .. } => sys::statistics(socket).map_or(0, |(_, drops)| drops.into()),
            Frames::Xdp { queues, .. } => queues.iter_mut().map(xdp::Receive::lost).sum(),
        }
    }

    /// The error that waits, taken.
    pub fn error(&self) -> Option<io::Error> {
        match self {
            Frames::Packet { socket, .. } => sys::socket_error(socket),
            Frames::Xdp { queues, .. } => queues.iter().find_map(|queue| sys::socket_error(queue.socket())),
        }
    }
}

impl AsFd for Frames {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Frames::Packet { socket, .. } => socket.as_fd(),
            Frames::Xdp { any, .. } => any.as_fd(),
        }
    }
}

/// How frames go out by an interface.
pub(crate) enum Egress {
    /// AF_PACKET.
    Packet(OwnedFd),
    /// AF_XDP.
    Xdp(xdp::Send),
}

impl Egress {
    /// Sends frames in order; gives how many went. The first that did not is the error, if it is the first of all.
    pub fn send_all<'a>(&mut self, frames: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
        match self {
            Egress::Packet(socket) => sys::send_all(socket, frames),
            Egress::Xdp(queue) => queue.all(frames),
        }
    }

    pub fn descriptor(&self) -> RawFd {
        match self {
            Egress::Packet(socket) => socket.as_raw_fd(),
            Egress::Xdp(queue) => queue.socket().as_raw_fd(),
        }
    }
}

pub(crate) struct Receiver {
    pub name: String,
    pub frames: Frames,
    pub counters: InterfaceCounters,
    pub state: State,
    pub mtu: u32,
    pub offloads: Offloads,
    index: i32,
    settings: Settings,
}

fn system(interface: &str, what: &'static str) -> impl FnOnce(io::Error) -> LiveError {
    move |source| match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => LiveError::Privilege { interface: interface.to_owned(), needs: "CAP_NET_RAW" },
        _ => LiveError::System { interface: interface.to_owned(), what, source },
    }
}

/// A packet socket that sends by an interface.
pub(crate) fn sender(interface: &str, index: i32) -> Result<OwnedFd, LiveError> {
    let socket = sys::packet_socket().map_err(system(interface, "packet socket"))?;
    sys::bind(&socket, index, false).map_err(system(interface, "bind"))?;
    Ok(socket)
}

/// A socket with a ring, and one that sends.
fn by_packet_socket(name: &str, index: i32, mtu: u32, settings: Settings) -> Result<(Frames, Option<Egress>), LiveError> {
    let socket = sys::packet_socket().map_err(system(name, "packet socket"))?;
    let ring = Ring::new(&socket, settings.kind, settings.ring, mtu as usize + HEADER).map_err(system(name, "ring"))?;
    sys::set_receive_buffer(&socket, QUEUE_BYTES);
    if settings.inline {
        // What Weir sends must not come back. (Kernels before 4.20 do not know it: frames that leave are skipped as well.)
        let _ = sys::set_packet(&socket, option::IGNORE_OUTGOING, 1);
    }
    if settings.promiscuous {
        sys::promiscuous(&socket, index).map_err(system(name, "promiscuous mode"))?;
    }
    sys::bind(&socket, index, true).map_err(system(name, "bind"))?;
    let egress = if settings.inline { Some(Egress::Packet(sender(name, index)?)) } else { None };
    Ok((Frames::Packet { socket, ring }, egress))
}

/// A socket for each receive queue; frames go out by the first.
fn by_xdp_sockets(name: &str, index: i32, mtu: u32, settings: Settings) -> Result<(Frames, Option<Egress>), LiveError> {
    if mtu as usize + HEADER > FRAME_MAX {
        return Err(LiveError::XdpFrame { interface: name.to_owned(), mtu, most: FRAME_MAX - HEADER });
    }
    // Frames of a queue without a socket would go to the host's stack, unseen.
    let count = sys::receive_queues(name);
    if count > QUEUES_MAX {
        return Err(LiveError::XdpQueues { interface: name.to_owned(), queues: count, most: QUEUES_MAX });
    }
    let promiscuous = match settings.promiscuous {
        true => {
            let socket = sys::packet_socket().map_err(system(name, "packet socket"))?;
            sys::promiscuous(&socket, index).map_err(system(name, "promiscuous mode"))?;
            Some(socket)
        }
        false => None,
    };
    let (mut queues, mut egress) = (Vec::new(), None);
    for queue in 0..count as u32 {
        let (receive, send) = xdp::socket(index, queue, settings.ring / count).map_err(system_xdp(name, "AF_XDP socket"))?;
        queues.push(receive);
        egress.get_or_insert(Egress::Xdp(send));
    }
    let program = xdp::Program::attach(index, queues.iter().map(xdp::Receive::socket).collect::<Vec<_>>().into_iter())
        .map_err(system_xdp(name, "XDP program"))?;
    let any = xdp::any_of(queues.iter().map(xdp::Receive::socket)).map_err(system(name, "epoll"))?;
    let frames = Frames::Xdp {
        queues,
        any,
        native: program.native,
        open_checksums: sys::is_virtual(name),
        _promiscuous: promiscuous,
        _program: program,
    };
    Ok((frames, egress))
}

fn system_xdp(interface: &str, what: &'static str) -> impl FnOnce(io::Error) -> LiveError {
    move |source| match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            LiveError::Privilege { interface: interface.to_owned(), needs: "CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF" }
        }
        _ => LiveError::Xdp { interface: interface.to_owned(), what, source },
    }
}

impl Receiver {
    /// Opens an interface (`xdp:` before its name: by AF_XDP), and the way out by it where it stands between.
    pub fn open(name: &str, settings: Settings) -> Result<(Receiver, Option<Egress>), LiveError> {
        let (name, by_xdp) = name.strip_prefix(XDP).map_or((name, settings.xdp), |name| (name, true));
        let settings = Settings { xdp: by_xdp, ..settings };
        let index = sys::index(name)
            .map_err(|_| LiveError::Absent { interface: name.to_owned(), known: sys::names().join(", ") })?;
        let hardware = sys::hardware(name).map_err(system(name, "hardware type"))?;
        if !ETHERNET.contains(&hardware) {
            return Err(LiveError::Hardware { interface: name.to_owned(), hardware });
        }
        if !sys::is_up(name).map_err(system(name, "flags"))?.0 {
            return Err(LiveError::Down { interface: name.to_owned() });
        }
        let offloads = Offloads::settle(name, settings.offloads, settings.inline)?;
        let mtu = sys::mtu(name).map_err(system(name, "MTU"))?;
        let (frames, egress) = if by_xdp { by_xdp_sockets(name, index, mtu, settings)? } else { by_packet_socket(name, index, mtu, settings)? };
        let receiver = Receiver {
            name: name.to_owned(),
            frames,
            counters: InterfaceCounters::default(),
            state: State::Up,
            mtu,
            offloads,
            index,
            settings,
        };
        Ok((receiver, egress.filter(|_| settings.inline)))
    }

    pub fn descriptor(&self) -> RawFd {
        self.frames.as_fd().as_raw_fd()
    }

    /// Takes the kernel's counters over.
    pub fn count(&mut self) {
        self.counters.lost += self.frames.lost();
    }

    /// Looks how the interface is. Gives the way out by another one under the old name, opened now.
    pub fn look(&mut self) -> Result<Option<Egress>, LiveError> {
        let _ = self.frames.error();
        let seen = match sys::index(&self.name) {
            Err(_) => State::Gone,
            Ok(index) if index == self.index => match sys::is_up(&self.name) {
                Ok((true, _)) => State::Up,
                Ok(_) => State::Down,
                Err(_) => State::Gone,
            },
            Ok(_) => match Receiver::open(&self.name, self.settings) {
                Ok((mut fresh, egress)) => {
                    self.count();
                    // What was switched off belonged to the interface that is gone.
                    fresh.counters = std::mem::take(&mut self.counters);
                    tracing::warn!("interface {} is there again", self.name);
                    *self = fresh;
                    return Ok(egress);
                }
                Err(error @ LiveError::Offloads { .. }) if self.settings.offloads == Policy::Refuse => return Err(error),
                Err(LiveError::Privilege { .. } | LiveError::Offloads { .. }) => {
                    return Err(LiveError::Lost { interface: self.name.clone() });
                }
                Err(_) => State::Gone,
            },
        };
        if seen != self.state {
            match seen {
                State::Up => tracing::warn!("interface {} is up again", self.name),
                State::Down => tracing::warn!("interface {} went down: its frames are awaited", self.name),
                State::Gone => tracing::warn!("interface {} is gone: it is awaited", self.name),
            }
            self.counters.downs += u64::from(self.state == State::Up);
            self.state = seen;
        }
        Ok(None)
    }
}
