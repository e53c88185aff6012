//! One interface that is listened to.

use crate::LiveError;
use crate::offload::{Offloads, Policy};
use crate::sys::{self, Kind, Ring, option};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// ARPHRD_ETHER and ARPHRD_LOOPBACK: frames have an Ethernet header.
const ETHERNET: [u16; 2] = [1, 772];
/// Longest Ethernet header: two tags that stay in the frame.
const HEADER: usize = 14 + 8;
/// Memory for frames that are longer than a slot.
const QUEUE_BYTES: i32 = 8 << 20;

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

pub(crate) struct Receiver {
    pub name: String,
    pub socket: OwnedFd,
    pub ring: Ring,
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

/// A socket that sends by an interface.
pub(crate) fn sender(interface: &str, index: i32) -> Result<OwnedFd, LiveError> {
    let socket = sys::packet_socket().map_err(system(interface, "packet socket"))?;
    sys::bind(&socket, index, false).map_err(system(interface, "bind"))?;
    Ok(socket)
}

impl Receiver {
    pub fn open(name: &str, settings: Settings) -> Result<Receiver, LiveError> {
        let index = sys::index(name)
            .map_err(|_| LiveError::Absent { interface: name.to_owned(), known: sys::names().join(", ") })?;
        let hardware = sys::hardware(name).map_err(system(name, "hardware type"))?;
        if !ETHERNET.contains(&hardware) {
            return Err(LiveError::Hardware { interface: name.to_owned(), hardware });
        }
        if !sys::is_up(name).map_err(system(name, "flags"))?.0 {
            return Err(LiveError::Down { interface: name.to_owned() });
        }
        let socket = sys::packet_socket().map_err(system(name, "packet socket"))?;
        let offloads = Offloads::settle(name, settings.offloads, settings.inline)?;
        let mtu = sys::mtu(name).map_err(system(name, "MTU"))?;
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
        Ok(Receiver {
            name: name.to_owned(),
            socket,
            ring,
            counters: InterfaceCounters::default(),
            state: State::Up,
            mtu,
            offloads,
            index,
            settings,
        })
    }

    pub fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub fn index(&self) -> i32 {
        self.index
    }

    /// Takes the kernel's counters over.
    pub fn count(&mut self) {
        if let Ok((_, drops)) = sys::statistics(&self.socket) {
            self.counters.lost += u64::from(drops);
        }
    }

    /// Looks how the interface is. Gives whether it is another one under the old name, opened now.
    pub fn look(&mut self) -> bool {
        let _ = sys::socket_error(&self.socket);
        let seen = match sys::index(&self.name) {
            Err(_) => State::Gone,
            Ok(index) if index == self.index => match sys::is_up(&self.name) {
                Ok((true, _)) => State::Up,
                Ok(_) => State::Down,
                Err(_) => State::Gone,
            },
            Ok(_) => match Receiver::open(&self.name, self.settings) {
                Ok(mut fresh) => {
                    self.count();
                    // What was switched off belonged to the interface that is gone.
                    fresh.counters = std::mem::take(&mut self.counters);
                    tracing::warn!("interface {} is there again", self.name);
                    *self = fresh;
                    return true;
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
        false
    }
}
