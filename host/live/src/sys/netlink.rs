//! Netlink sockets of netfilter, and sockets for IP packets that are complete.

use super::check;
use std::io;
use std::mem::size_of;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Datagrams taken in one call.
pub const RECEIVE_MAX: usize = 16;

/// A socket that talks with netfilter.
pub fn netfilter_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_NETFILTER) })?;
    // SAFETY: the descriptor was just made and belongs to no one else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: a structure of numbers, for which zeros are valid.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as u16;
    // SAFETY: `address` lives through the call and its size is told.
    let result = unsafe {
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_nl>() as libc::socklen_t)
    };
    check(result).map(|_| socket)
}

/// The number by which the kernel knows a netlink socket.
pub fn port(fd: &OwnedFd) -> io::Result<u32> {
    // SAFETY: a structure of numbers, for which zeros are valid.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // SAFETY: `address` lives through the call and its size is told.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut address).cast(), &mut length) })?;
    Ok(address.nl_pid)
}

/// Sends a datagram to the kernel.
pub fn send(fd: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: `bytes` has the size that is told and is only read. Without an address it goes to the kernel.
    let n = unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes datagrams that have come: each into a slot of `buffer` of so many bytes, its length to `lengths`. Those that the kernel did not
/// send, or that do not fit, have length 0. Gives how many there are.
pub fn receive_all(fd: &OwnedFd, buffer: &mut [u8], slot: usize, lengths: &mut [usize; RECEIVE_MAX]) -> io::Result<usize> {
    // SAFETY: structures of numbers and pointers, for which zeros are valid.
    let (mut parts, mut messages, mut from): (
        [libc::iovec; RECEIVE_MAX],
        [libc::mmsghdr; RECEIVE_MAX],
        [libc::sockaddr_nl; RECEIVE_MAX],
    ) = unsafe { std::mem::zeroed() };
    let mut count = 0;
    for (((slot, part), message), from) in buffer.chunks_exact_mut(slot).zip(&mut parts).zip(&mut messages).zip(&mut from) {
        part.iov_base = slot.as_mut_ptr().cast();
        part.iov_len = slot.len();
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
        message.msg_hdr.msg_name = (&raw mut *from).cast();
        message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        count += 1;
    }
    // SAFETY: `count` messages are filled in; each points to a slot of its own and an address of its own, which live through
    // the call.
    let n = unsafe {
        libc::recvmmsg(fd.as_raw_fd(), messages.as_mut_ptr(), count, libc::MSG_DONTWAIT, std::ptr::null_mut())
    };
    let n = check(n)? as usize;
    for ((message, from), length) in messages.iter().zip(&from).zip(lengths.iter_mut()).take(n) {
        let whole = message.msg_hdr.msg_flags & libc::MSG_TRUNC == 0 && from.nl_pid == 0;
        *length = if whole { message.msg_len as usize } else { 0 };
    }
    Ok(n)
}

/// A socket for IP packets with their headers; they carry this mark.
pub fn ip_socket(v6: bool, mark: u32) -> io::Result<OwnedFd> {
    let family = if v6 { libc::AF_INET6 } else { libc::AF_INET };
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::socket(family, kind, libc::IPPROTO_RAW) })?;
    // SAFETY: the descriptor was just made and belongs to no one else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    super::set(&socket, libc::SOL_SOCKET, libc::SO_MARK, &mark.cast_signed())?;
    Ok(socket)
}

/// Sends a packet with its header to an address.
pub fn send_ip(fd: &OwnedFd, to: IpAddr, packet: &[u8]) -> io::Result<()> {
    let send = |address: *const libc::sockaddr, length: usize| {
        // SAFETY: `packet` and the address have the sizes that are told, live through the call, and are only read.
        let n = unsafe {
            libc::sendto(fd.as_raw_fd(), packet.as_ptr().cast(), packet.len(), libc::MSG_DONTWAIT, address, length as libc::socklen_t)
        };
        if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    match to {
        IpAddr::V4(to) => {
            // SAFETY: a structure of numbers, for which zeros are valid.
            let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            address.sin_family = libc::AF_INET as u16;
            address.sin_addr.s_addr = u32::from_ne_bytes(to.octets());
            send((&raw const address).cast(), size_of::<libc::sockaddr_in>())
        }
        IpAddr::V6(to) => {
            // SAFETY: a structure of numbers, for which zeros are valid.
            let mut address: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
            address.sin6_family = libc::AF_INET6 as u16;
            address.sin6_addr.s6_addr = to.octets();
            send((&raw const address).cast(), size_of::<libc::sockaddr_in6>())
        }
    }
}
