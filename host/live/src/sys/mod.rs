//! What the kernel is asked for: packet sockets, their options and rings, netlink, properties of interfaces.
//!
//! The one module of this crate with `unsafe`: system calls on buffers of known size, and a ring that the kernel shares.
//! Everything it gives out is safe to use.
#![allow(unsafe_code)]

pub mod netlink;
pub mod privileges;
mod ring;
pub mod xdp;

pub use ring::{Kind, Received, Ring};

use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Options of packet sockets, from the kernel's `if_packet.h`.
pub mod option {
    pub const ADD_MEMBERSHIP: i32 = 1;
    pub const RX_RING: i32 = 5;
    pub const STATISTICS: i32 = 6;
    pub const COPY_THRESH: i32 = 7;
    pub const VERSION: i32 = 10;
    pub const VNET_HDR: i32 = 15;
    pub const IGNORE_OUTGOING: i32 = 23;
}
const SOL_PACKET: i32 = 263;
const MEMBERSHIP_PROMISCUOUS: u16 = 1;
const ETH_P_ALL: u16 = 3;

/// ETHTOOL_GCHANNELS of the kernel's `ethtool.h`.
const GET_CHANNELS: u32 = 0x3c;

/// Commands of the ethtool ioctl that take one number, from the kernel's `ethtool.h`: get, set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature(pub u32, pub u32);

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A packet socket that is bound to nothing yet: it gets no frames.
pub fn packet_socket() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) })?;
    // SAFETY: the descriptor was just made and belongs to no one else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn any_socket() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the descriptor was just made and belongs to no one else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Plain numbers without padding: may be passed to the kernel as bytes.
trait Plain: Copy {}
impl Plain for i32 {}
impl Plain for [u32; 4] {}
impl Plain for [u32; 7] {}
impl Plain for [u64; 4] {}

fn set<T: Plain>(fd: &OwnedFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: `value` lives through the call and its size is told.
    let result = unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), size_of::<T>() as libc::socklen_t)
    };
    check(result).map(|_| ())
}

/// Sets a number of a packet socket.
pub fn set_packet(fd: &OwnedFd, name: i32, value: i32) -> io::Result<()> {
    set(fd, SOL_PACKET, name, &value)
}

/// Asks for so much memory for frames that go by the socket's queue. (More than the system's limit needs a privilege; less will
/// do.)
pub fn set_receive_buffer(fd: &OwnedFd, bytes: i32) {
    if set(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &bytes).is_err() {
        let _ = set(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &bytes);
    }
}

/// All frames of the interface, whatever their address, as long as the socket lives.
pub fn promiscuous(fd: &OwnedFd, index: i32) -> io::Result<()> {
    // struct packet_mreq: index, type and length of an address that is not used, eight bytes of it.
    let kind = u32::from_ne_bytes([MEMBERSHIP_PROMISCUOUS.to_ne_bytes()[0], MEMBERSHIP_PROMISCUOUS.to_ne_bytes()[1], 0, 0]);
    set(fd, SOL_PACKET, option::ADD_MEMBERSHIP, &[index as u32, kind, 0, 0])
}

/// Binds to an interface; `receive`: for all its frames, else for none (a socket that sends).
pub fn bind(fd: &OwnedFd, index: i32, receive: bool) -> io::Result<()> {
    let protocol = if receive { ETH_P_ALL.to_be() } else { 0 };
    // SAFETY: a structure of numbers, for which zeros are valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = index;
    // SAFETY: `address` lives through the call and its size is told.
    let result = unsafe {
        libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as libc::socklen_t)
    };
    check(result).map(|_| ())
}

fn get<const N: usize>(fd: &OwnedFd, level: i32, name: i32) -> io::Result<[u32; N]> {
    let mut value = [0u32; N];
    let mut length = size_of::<[u32; N]>() as libc::socklen_t;
    // SAFETY: `value` has the size that is told, and any bytes are numbers.
    let result = unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &mut length) };
    check(result).map(|_| value)
}

/// Frames that came (lost ones too) and those lost for want of room, since the last call.
pub fn statistics(fd: &OwnedFd) -> io::Result<(u32, u32)> {
    // A ring with blocks has a third number.
    let [packets, drops, _] = get::<3>(fd, SOL_PACKET, option::STATISTICS)?;
    Ok((packets, drops))
}

/// The error that waits at a socket, taken.
pub fn socket_error(fd: &OwnedFd) -> Option<io::Error> {
    let [code] = get::<1>(fd, libc::SOL_SOCKET, libc::SO_ERROR).ok()?;
    (code != 0).then(|| io::Error::from_raw_os_error(code as i32))
}

/// The next frame of the socket's queue, behind the header that tells of offloads; gives its bytes, or how many there would be.
pub fn receive(fd: &OwnedFd, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `into` has the size that is told.
    let n = unsafe { libc::recv(fd.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT | libc::MSG_TRUNC) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Frames given to the kernel in one call.
pub const SEND_MAX: usize = 64;

/// Sends frames by a bound socket, in order; gives how many went. The first that did not is the error, if it is the first of
/// all.
pub fn send_all<'a>(fd: &OwnedFd, frames: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
    // SAFETY: structures of numbers and pointers, for which zeros are valid.
    let (mut parts, mut messages): ([libc::iovec; SEND_MAX], [libc::mmsghdr; SEND_MAX]) = unsafe { std::mem::zeroed() };
    let mut count = 0;
    for ((frame, part), message) in frames.zip(&mut parts).zip(&mut messages) {
        part.iov_base = frame.as_ptr().cast_mut().cast();
        part.iov_len = frame.len();
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
        count += 1;
    }
    if count == 0 {
        return Ok(0);
    }
    // SAFETY: `count` messages are filled in; the frames and the parts they point to live through the call, and the kernel only
    // reads them.
    let sent = unsafe { libc::sendmmsg(fd.as_raw_fd(), messages.as_mut_ptr(), count as u32, libc::MSG_DONTWAIT) };
    check(sent).map(|n| n as usize)
}

/// Waits until something can be read, or written where `write` is set; gives for each socket whether it has news or an error.
pub fn wait<const N: usize>(fds: &[RawFd], write: bool, milliseconds: i32, ready: &mut [bool; N]) -> io::Result<bool> {
    let mut polls: [libc::pollfd; N] =
        std::array::from_fn(|n| libc::pollfd { fd: fds.get(n).copied().unwrap_or(-1), events: if write { libc::POLLOUT } else { libc::POLLIN }, revents: 0 });
    // SAFETY: `polls` has N entries; negative descriptors are ignored.
    let n = unsafe { libc::poll(polls.as_mut_ptr(), N as libc::nfds_t, milliseconds) };
    if n < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) };
    }
    *ready = polls.map(|poll| poll.revents != 0);
    Ok(n > 0)
}

/// `struct ifreq`: the name, and a union of 24 bytes.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    value: [u64; 3],
}

impl Request {
    fn of(name: &str) -> io::Result<Request> {
        let mut request = Request { name: [0; libc::IFNAMSIZ], value: [0; 3] };
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains('\0') {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        Ok(request)
    }

    fn ask(&mut self, what: u64) -> io::Result<()> {
        let socket = any_socket()?;
        // SAFETY: the request has the layout and size of `struct ifreq`, and lives through the call. Where its union is a
        // pointer, `ethtool` has made it point to what the command wants.
        check(unsafe { libc::ioctl(socket.as_raw_fd(), what as _, &raw mut *self) }).map(|_| ())
    }

    fn first(&self) -> i32 {
        self.value[0].to_ne_bytes().first_chunk::<4>().map_or(0, |b| i32::from_ne_bytes(*b))
    }
}

/// Number of an interface.
pub fn index(name: &str) -> io::Result<i32> {
    let mut request = Request::of(name)?;
    request.ask(0x8933)?;
    Ok(request.first())
}

/// Largest packet of an interface, without its Ethernet header.
pub fn mtu(name: &str) -> io::Result<u32> {
    let mut request = Request::of(name)?;
    request.ask(libc::SIOCGIFMTU as u64)?;
    Ok(request.first() as u32)
}

/// Whether an interface is up, and has a carrier.
pub fn is_up(name: &str) -> io::Result<(bool, bool)> {
    let mut request = Request::of(name)?;
    request.ask(libc::SIOCGIFFLAGS as u64)?;
    let flags = request.first();
    Ok((flags & libc::IFF_UP != 0, flags & libc::IFF_RUNNING != 0))
}

/// Hardware type of an interface (ARPHRD_*).
pub fn hardware(name: &str) -> io::Result<u16> {
    let mut request = Request::of(name)?;
    request.ask(libc::SIOCGIFHWADDR as u64)?;
    Ok(request.first() as u16)
}

/// How many queues an interface receives by. (What `/sys` shows may be another network namespace's.)
pub fn receive_queues(name: &str) -> usize {
    // struct ethtool_channels: the command, four maxima, then how many there are: receive, transmit, other, combined.
    if let Ok([.., receive, _, _, combined]) = ethtool(name, [GET_CHANNELS, 0, 0, 0, 0, 0, 0, 0, 0])
        && receive.saturating_add(combined) > 0
    {
        return receive.saturating_add(combined) as usize;
    }
    let all = std::fs::read_dir(format!("/sys/class/net/{name}/queues")).into_iter().flatten().flatten();
    all.filter(|entry| entry.file_name().to_string_lossy().starts_with("rx-")).count().max(1)
}

/// There is no hardware behind an interface.
pub fn is_virtual(name: &str) -> bool {
    !std::path::Path::new("/sys/class/net").join(name).join("device").exists()
}

/// The interface has an IPv4 address of its own.
pub fn has_address(name: &str) -> bool {
    Request::of(name).and_then(|mut request| request.ask(libc::SIOCGIFADDR as u64)).is_ok()
}

/// Names of all interfaces.
pub fn names() -> Vec<String> {
    let mut names = Vec::new();
    // SAFETY: the list is ended by an entry with index 0; each name before is a string. It is freed once.
    unsafe {
        let list = libc::if_nameindex();
        let mut at = list;
        while !at.is_null() && (*at).if_index != 0 {
            names.push(CStr::from_ptr((*at).if_name).to_string_lossy().into_owned());
            at = at.add(1);
        }
        if !list.is_null() {
            libc::if_freenameindex(list);
        }
    }
    names
}

/// A command and what it takes, as many numbers as its structure has; gives them as the kernel left them.
fn ethtool<const N: usize>(name: &str, mut data: [u32; N]) -> io::Result<[u32; N]> {
    let mut request = Request::of(name)?;
    request.value[0] = (&raw mut data).expose_provenance() as u64;
    request.ask(libc::SIOCETHTOOL as u64)?;
    Ok(data)
}

/// Value of a feature; none where the interface does not have it.
pub fn feature(name: &str, feature: Feature) -> Option<u32> {
    // struct ethtool_value
    ethtool(name, [feature.0, 0]).ok().map(|[_, value]| value)
}

/// Sets a feature.
pub fn set_feature(name: &str, feature: Feature, value: u32) -> io::Result<()> {
    ethtool(name, [feature.1, value]).map(|_| ())
}
