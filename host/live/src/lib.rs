//! Frames from and to network interfaces: AF_PACKET sockets with their rings, or AF_XDP sockets; packets from the kernel's queues (NFQUEUE).
//!
//! Place: the live twin of `weir_capture`; a room of its own because it needs privileges, system calls and `unsafe` (all of it
//! in [`sys`]), which whoever reads files does not. A [`Link`] listens to interfaces, numbers their frames in the order of
//! their times and hands them out as they would be on a wire; a [`Wire`] sends. Invariants: every frame that an interface
//! received or lost, and every frame that was to be sent, is counted; frames that go out by one interface keep their order. It
//! does not inspect and decides nothing.

mod sys;

mod interface;
mod link;
mod offload;
mod queue;
pub mod privileges;
pub mod repair;
mod wire;

pub use interface::InterfaceCounters;
pub use link::{Link, LinkConfig, Mode, Next};
pub use offload::{Policy as Offloads, restore as restore_offloads};
pub use queue::{ANSWER_MARK, QueueConfig};
pub use wire::{Fates, Wire};

use std::io;

/// What keeps an interface from being used.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// No such interface.
    #[error("there is no interface {interface}")]
    Absent {
        /// Name.
        interface: String,
        /// Those that there are.
        known: String,
    },
    /// It is down.
    #[error("interface {interface} is down")]
    Down {
        /// Name.
        interface: String,
    },
    /// Privileges are missing.
    #[error("{interface} needs the capability {needs}")]
    Privilege {
        /// Name.
        interface: String,
        /// Which.
        needs: &'static str,
    },
    /// No name of a queue.
    #[error("{name} names no queue")]
    Queue {
        /// As given.
        name: String,
    },
    /// Another process is the owner of a queue.
    #[error("{name} belongs to another process")]
    Taken {
        /// Name.
        name: String,
    },
    /// It carries no Ethernet frames.
    #[error("interface {interface} carries no Ethernet frames (hardware type {hardware})")]
    Hardware {
        /// Name.
        interface: String,
        /// ARPHRD_* value.
        hardware: u16,
    },
    /// Named twice.
    #[error("interface {interface} is named twice")]
    Twice {
        /// Name.
        interface: String,
    },
    /// Offloads are on.
    #[error("interface {interface} has offloads on that falsify inspection: {on}")]
    Offloads {
        /// Name.
        interface: String,
        /// Names of offloads.
        on: String,
        /// What switches them off.
        command: String,
    },
    /// Frames may be longer than AF_XDP takes them.
    #[error("interface {interface}: AF_XDP takes frames of an MTU of {most} at most, and it is {mtu}")]
    XdpFrame {
        /// Name.
        interface: String,
        /// Its MTU.
        mtu: u32,
        /// Largest that can be used.
        most: usize,
    },
    /// More receive queues than sockets are made for.
    #[error("interface {interface}: it has {queues} receive queues, and AF_XDP takes frames of {most} at most")]
    XdpQueues {
        /// Name.
        interface: String,
        /// Its receive queues.
        queues: usize,
        /// Most that can be used.
        most: usize,
    },
    /// AF_XDP cannot be used.
    #[error("interface {interface}: {what}: {source}")]
    Xdp {
        /// Name.
        interface: String,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// There is another interface under the name, and the privileges to open it were given up.
    #[error("interface {interface} was made anew, and Weir has given up the privileges to open it")]
    Lost {
        /// Name.
        interface: String,
    },
    /// A system call failed.
    #[error("interface {interface}: {what}: {source}")]
    System {
        /// Name.
        interface: String,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl LiveError {
    /// What the operator can do.
    pub fn remedy(&self) -> String {
        match self {
            LiveError::Absent { known, .. } => format!("interfaces here: {known}"),
            LiveError::Down { interface } => format!("ip link set {interface} up"),
            LiveError::Privilege { .. } => {
                "run as root, or once as root: setcap cap_net_raw,cap_net_admin+ep PATH-OF-WEIR (xdp: needs cap_bpf as well)".to_owned()
            }
            LiveError::Hardware { .. } => "name an Ethernet interface".to_owned(),
            LiveError::Queue { .. } => "nfqueue:N, or nfqueue:N-M for up to 16 queues, with --inline".to_owned(),
            LiveError::Taken { .. } => "end that process, or choose another queue, in the firewall's rule and here".to_owned(),
            LiveError::XdpFrame { interface, most, .. } => {
                format!("use AF_PACKET (leave `xdp:` out), or ip link set {interface} mtu {most}")
            }
            LiveError::XdpQueues { interface, most, .. } => {
                format!("use AF_PACKET (leave `xdp:` out), or ethtool -L {interface} combined {most}")
            }
            LiveError::Xdp { source, interface, .. } => match source.raw_os_error() {
                Some(libc::EBUSY) => format!("another program has XDP of {interface} (`ip link show {interface}`): take it off, or leave `xdp:` out"),
                Some(libc::ENOBUFS | libc::ENOMEM) => "make live.ring-size smaller, or the limit of locked memory larger (ulimit -l)".to_owned(),
                _ => "leave `xdp:` out: AF_PACKET needs less of kernel and driver".to_owned(),
            },
            LiveError::Lost { .. } => "start Weir again, as a supervisor does; or system.drop-privileges = false".to_owned(),
            LiveError::Twice { .. } => "name each interface once".to_owned(),
            LiveError::Offloads { command, .. } => {
                format!("{command}; or let Weir do it with CAP_NET_ADMIN and live.offloads = \"off\"")
            }
            LiveError::System { source, .. } if source.raw_os_error() == Some(libc::ENOMEM) => {
                "make live.ring-size smaller".to_owned()
            }
            LiveError::System { .. } => "`ip -s link` shows the interface's state".to_owned(),
        }
    }
}

/// For fuzzing: reads a datagram of a queue; gives how many packets were in it.
pub fn read_queue_datagram(bytes: &[u8]) -> Option<usize> {
    let mut packets = 0;
    let read = queue::message::decode(bytes, &mut |message| {
        if let queue::message::Message::Packet(packet) = message {
            // Slices lie in the datagram.
            packets += usize::from(packet.payload.len() <= bytes.len());
        }
    });
    read.ok().map(|()| packets)
}
