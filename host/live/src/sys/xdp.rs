//! AF_XDP sockets: memory and rings shared with the kernel, and the program that leads frames into them.
//!
//! An interface has one [`Socket`] for each of its receive queues, in two halves that use different frames of one memory: [`Receive`] (the
//! rings of frames to fill and of frames that came) and [`Send`] (frames to send, and sent). Invariants: a frame of the memory is
//! in one place at a time, ours, in a ring, or the kernel's; descriptors that the kernel writes are checked against the memory like
//! anyone else's; indices are published with release and read with acquire. Layouts are those of the kernel's `if_xdp.h`.

use super::ring::Received;
use super::{check, set};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Bytes of a frame's place. The kernel allows no more than a page.
const CHUNK: usize = 4096;
/// What the kernel keeps free in front of a frame (XDP_PACKET_HEADROOM).
const HEADROOM: usize = 256;
/// Longest frame.
pub const FRAME_MAX: usize = CHUNK - HEADROOM;
/// Places of frames to send.
const SEND_PLACES: u32 = 1024;
/// So long another socket may have a queue that is ours to be.
const BUSY: Duration = Duration::from_secs(2);
/// A VLAN tag, put back before a frame.
const TAG: usize = 4;

/// A part of memory, mapped.
struct Mapping {
    base: NonNull<u8>,
    length: usize,
}

impl Mapping {
    fn new(length: usize, shared: Option<(&OwnedFd, i64)>) -> io::Result<Mapping> {
        let (flags, fd, offset) = match shared {
            Some((fd, offset)) => (libc::MAP_SHARED | libc::MAP_POPULATE, fd.as_raw_fd(), offset),
            None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0),
        };
        // SAFETY: a new mapping at an address that the kernel chooses.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, fd, offset) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { base, length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length, and nothing points into it any more.
        let _ = check(unsafe { libc::munmap(self.base.as_ptr().cast(), self.length) });
    }
}

/// An entry of a ring: any bytes are one.
trait Entry: Copy {}
impl Entry for u64 {}
impl Entry for libc::xdp_desc {}

/// A ring with one producer and one consumer, of which we are one.
struct Ring<T: Entry> {
    mapping: Mapping,
    producer: usize,
    consumer: usize,
    entries: usize,
    size: u32,
    kind: std::marker::PhantomData<T>,
}

impl<T: Entry> Ring<T> {
    /// Maps a ring that the socket has been given; `size` is a power of two.
    fn new(fd: &OwnedFd, offset: u64, at: &libc::xdp_ring_offset, size: u32) -> io::Result<Ring<T>> {
        let (producer, consumer, entries) = (at.producer as usize, at.consumer as usize, at.desc as usize);
        let length = entries + size as usize * size_of::<T>();
        let inside = |word: usize| word.is_multiple_of(4) && word + 4 <= length;
        if !inside(producer) || !inside(consumer) || !entries.is_multiple_of(align_of::<T>()) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let offset = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidData)?;
        let mapping = Mapping::new(length, Some((fd, offset)))?;
        Ok(Ring { mapping, producer, consumer, entries, size, kind: std::marker::PhantomData })
    }

    fn index(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: `new` has checked that the word lies aligned in the mapping; both sides access it as a whole.
        unsafe { &*self.mapping.base.as_ptr().add(offset).cast::<AtomicU32>() }
    }

    /// Entries that the other side has produced and we have not consumed.
    fn filled(&self) -> u32 {
        let produced = self.index(self.producer).load(Ordering::Acquire);
        produced.wrapping_sub(self.index(self.consumer).load(Ordering::Relaxed)).min(self.size)
    }

    /// Entries that we have produced and the other side has not consumed.
    fn pending(&self) -> u32 {
        let consumed = self.index(self.consumer).load(Ordering::Acquire);
        self.index(self.producer).load(Ordering::Relaxed).wrapping_sub(consumed)
    }

    fn entry(&self, index: u32) -> *mut T {
        let at = self.entries + (index & (self.size - 1)) as usize * size_of::<T>();
        // SAFETY: the mapping holds `size` entries from `entries` on.
        unsafe { self.mapping.base.as_ptr().add(at).cast() }
    }

    /// The next entry that was produced.
    fn front(&self) -> Option<T> {
        let at = self.index(self.consumer).load(Ordering::Relaxed);
        // SAFETY: the entry lies aligned in the mapping, is ours until it is consumed, and any bytes are one.
        (self.filled() > 0).then(|| unsafe { self.entry(at).read() })
    }

    /// It may be used again.
    fn consume(&self) {
        let consumer = self.index(self.consumer);
        consumer.store(consumer.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// `false`: the ring is full.
    fn produce(&self, value: T) -> bool {
        let producer = self.index(self.producer);
        let at = producer.load(Ordering::Relaxed);
        if self.pending() >= self.size {
            return false;
        }
        // SAFETY: the entry lies aligned in the mapping and is ours until it is produced.
        unsafe { self.entry(at).write(value) };
        producer.store(at.wrapping_add(1), Ordering::Release);
        true
    }
}

/// What both halves need as long as one lives.
struct Shared {
    /// Before the memory: the kernel lets go of it first.
    socket: OwnedFd,
    memory: Mapping,
}

impl Shared {
    /// Bytes of a frame's place; none where it does not lie in the memory.
    fn place(&self, at: usize, length: usize) -> Option<NonNull<u8>> {
        let end = at.checked_add(length)?;
        if end > self.memory.length {
            return None;
        }
        // SAFETY: inside the mapping.
        NonNull::new(unsafe { self.memory.base.as_ptr().add(at) })
    }
}

/// Frames that come by a queue of an interface.
pub struct Receive {
    shared: Rc<Shared>,
    fill: Ring<u64>,
    ring: Ring<libc::xdp_desc>,
    /// When the frames that wait were first seen, and how many are left of them.
    seen: (u64, u32),
    lost: u64,
}

/// Frames that go out by a queue of an interface.
pub struct Send {
    shared: Rc<Shared>,
    ring: Ring<libc::xdp_desc>,
    done: Ring<u64>,
    free: Vec<u64>,
}

fn option<const N: usize>(fd: &OwnedFd, name: i32, what: &mut [u64; N]) -> io::Result<()> {
    let mut length = size_of::<[u64; N]>() as libc::socklen_t;
    // SAFETY: `what` has the size that is told, and any bytes are numbers.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), libc::SOL_XDP, name, what.as_mut_ptr().cast(), &mut length) })?;
    Ok(())
}

/// Socket of a queue of an interface, with about so many bytes for frames that wait. It gets none before it is in a [`Program`]'s map.
pub fn socket(index: i32, queue: u32, bytes: usize) -> io::Result<(Receive, Send)> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the descriptor was just made and belongs to no one else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let places = ((bytes / CHUNK).clamp(64, 1 << 16) as u32 + 1).next_power_of_two() / 2;
    let memory = Mapping::new((places + SEND_PLACES) as usize * CHUNK, None)?;
    // struct xdp_umem_reg: address, length, bytes of a place, of room before the kernel's own, flags.
    let register = [memory.base.as_ptr().expose_provenance() as u64, memory.length as u64, pair(CHUNK as u64, 0), 0];
    set(&socket, libc::SOL_XDP, libc::XDP_UMEM_REG, &register)?;
    let sizes = [
        (libc::XDP_UMEM_FILL_RING, places),
        (libc::XDP_UMEM_COMPLETION_RING, SEND_PLACES),
        (libc::XDP_RX_RING, places),
        (libc::XDP_TX_RING, SEND_PLACES),
    ];
    for (name, size) in sizes {
        set(&socket, libc::SOL_XDP, name, &size.cast_signed())?;
    }
    let mut offsets = [0u64; 16];
    option(&socket, libc::XDP_MMAP_OFFSETS, &mut offsets)?;
    let at = |n: usize| libc::xdp_ring_offset {
        producer: offsets[4 * n],
        consumer: offsets[4 * n + 1],
        desc: offsets[4 * n + 2],
        flags: offsets[4 * n + 3],
    };
    let ring = Ring::new(&socket, libc::XDP_PGOFF_RX_RING as u64, &at(0), places)?;
    let send = Ring::new(&socket, libc::XDP_PGOFF_TX_RING as u64, &at(1), SEND_PLACES)?;
    let fill = Ring::new(&socket, libc::XDP_UMEM_PGOFF_FILL_RING, &at(2), places)?;
    let done = Ring::new(&socket, libc::XDP_UMEM_PGOFF_COMPLETION_RING, &at(3), SEND_PLACES)?;
    for place in 0..places {
        fill.produce(u64::from(place) * CHUNK as u64);
    }
    // SAFETY: a structure of numbers, for which zeros are valid. Without flags the kernel copies where the driver cannot do without.
    let mut address: libc::sockaddr_xdp = unsafe { std::mem::zeroed() };
    address.sxdp_family = libc::AF_XDP as u16;
    address.sxdp_ifindex = index.cast_unsigned();
    address.sxdp_queue_id = queue;
    let begin = Instant::now();
    loop {
        // SAFETY: `address` lives through the call and its size is told.
        let bound = unsafe {
            let size = size_of::<libc::sockaddr_xdp>() as libc::socklen_t;
            libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size)
        };
        match check(bound) {
            // The kernel takes the memory of a socket that was closed off the queue some time later, in a worker of its own: that of the
            // program before this one, when Weir is started again.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && begin.elapsed() < BUSY => {
                std::thread::sleep(BUSY / 100);
            }
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    let free = (places..places + SEND_PLACES).map(|place| u64::from(place) * CHUNK as u64).collect();
    let shared = Rc::new(Shared { socket, memory });
    let receive = Receive { shared: Rc::clone(&shared), fill, ring, seen: (0, 0), lost: 0 };
    Ok((receive, Send { shared, ring: send, done, free }))
}

impl Receive {
    pub fn socket(&self) -> &OwnedFd {
        &self.shared.socket
    }

    /// Time of the next frame, if there is one: that at which it was first seen. (The kernel gives none.)
    pub fn peek(&mut self, now: impl FnOnce() -> u64) -> Option<u64> {
        if self.seen.1 == 0 {
            self.seen.1 = self.ring.filled();
            if self.seen.1 > 0 {
                self.seen.0 = now();
            }
        }
        (self.seen.1 > 0).then_some(self.seen.0)
    }

    /// Hands the next frame to `take`, then gives its place back.
    pub fn next<R>(&mut self, take: impl FnOnce(Received<'_>) -> R) -> Option<R> {
        let frame = self.ring.front()?;
        self.ring.consume();
        self.seen.1 = self.seen.1.saturating_sub(1);
        let (at, length) = (usize::try_from(frame.addr).ok()?, frame.len as usize);
        let place = at / CHUNK * CHUNK;
        let inside = at - place >= TAG && at - place + length <= CHUNK;
        let bytes = self.shared.place(at.wrapping_sub(TAG), TAG + length).filter(|_| inside);
        let result = bytes.map(|bytes| {
            // SAFETY: inside the memory and its place, which is ours from the ring on until it is filled anew below; the
            // exclusive borrow lasts as long as the slice.
            let buffer = unsafe { std::slice::from_raw_parts_mut(bytes.as_ptr(), TAG + length) };
            take(Received {
                buffer,
                start: TAG,
                wire_length: frame.len,
                time: self.seen.0,
                vlan: None,
                offload: [0; 10],
                outgoing: false,
                queued: false,
            })
        });
        // It has room for all places.
        self.fill.produce(place as u64);
        result
    }

    /// Frames lost for want of room, since the last call.
    pub fn lost(&mut self) -> u64 {
        // struct xdp_statistics: dropped, invalid (received, to send), ring of received frames full, none to fill, none to send.
        let mut all = [0; 6];
        if option(&self.shared.socket, libc::XDP_STATISTICS, &mut all).is_err() {
            return 0;
        }
        let lost = all[0] + all[3];
        let fresh = lost.saturating_sub(self.lost);
        self.lost = lost;
        fresh
    }
}

impl Send {
    pub fn socket(&self) -> &OwnedFd {
        &self.shared.socket
    }

    /// Tells the kernel that there are frames to send.
    fn kick(&self) -> io::Result<()> {
        let fd = self.shared.socket.as_raw_fd();
        // SAFETY: nothing is passed.
        let n = unsafe { libc::sendto(fd, std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0) };
        if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Sends frames in order; gives how many the kernel has taken. The first that it did not take is the error, if it is the first
    /// of all. What it took and could not send at once (the interface went down just then) goes first the next time.
    pub fn all<'a>(&mut self, frames: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
        while let Some(place) = self.done.front() {
            self.done.consume();
            // (Where the frame was, in its place.)
            self.free.push(place / CHUNK as u64 * CHUNK as u64);
        }
        if self.ring.pending() > 0 {
            self.kick()?;
        }
        let mut count = 0;
        for frame in frames {
            if frame.len() > CHUNK {
                match count {
                    0 => return Err(io::Error::from_raw_os_error(libc::EMSGSIZE)),
                    _ => break,
                }
            }
            let Some(place) = self.free.pop() else { break };
            let Some(bytes) = self.shared.place(place as usize, CHUNK) else { break };
            // SAFETY: inside the memory, in a place that is in no ring; the frame is no longer than it.
            unsafe { std::ptr::copy_nonoverlapping(frame.as_ptr(), bytes.as_ptr(), frame.len()) };
            let entry = libc::xdp_desc { addr: place, len: frame.len() as u32, options: 0 };
            if !self.ring.produce(entry) {
                self.free.push(place);
                break;
            }
            count += 1;
        }
        if count == 0 {
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        // The kernel takes some at a time, and says so.
        while self.ring.pending() > 0 {
            match self.kick() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
                Ok(()) if self.ring.pending() > 0 => break,
                Ok(()) => {}
            }
        }
        Ok(count)
    }
}

/// A program at an interface that leads frames to sockets by the queue they came by, as long as it lives.
pub struct Program {
    /// Whether the driver runs it, or the kernel behind the driver.
    pub native: bool,
    _map: OwnedFd,
    _link: OwnedFd,
}

const MAP_CREATE: i32 = 0;
const MAP_UPDATE: i32 = 2;
const PROGRAM_LOAD: i32 = 5;
const LINK_CREATE: i32 = 28;
const MAP_TYPE_XSKMAP: u64 = 17;
const PROGRAM_TYPE_XDP: u64 = 6;
const ATTACH_XDP: u64 = 37;
const GENERIC_MODE: u64 = 2;
const DRIVER_MODE: u64 = 4;
const PASS: i32 = 2;
const REDIRECT_MAP: i32 = 51;

/// bpf(2); words of `union bpf_attr`.
fn bpf<const N: usize>(command: i32, attributes: &[u64; N]) -> io::Result<i64> {
    // SAFETY: the attributes live through the call and their size is told; what they point to is the caller's to keep alive, and is
    // only read.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of::<[u64; N]>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn descriptor(result: i64) -> OwnedFd {
    // SAFETY: the kernel has just made it, and it belongs to no one else.
    unsafe { OwnedFd::from_raw_fd(result as i32) }
}

/// Two words of 32 bits as they lie in memory.
fn pair(first: u64, second: u64) -> u64 {
    let [a, b] = [first as u32, second as u32].map(u32::to_ne_bytes);
    u64::from_ne_bytes([a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]])
}

/// An instruction: operation, registers (destination, source), offset, number.
fn instruction(operation: u8, (to, from): (u8, u8), offset: i16, number: i32) -> [u8; 8] {
    let registers = if cfg!(target_endian = "little") { from << 4 | to } else { to << 4 | from };
    let [a, b] = offset.to_ne_bytes();
    let [c, d, e, f] = number.to_ne_bytes();
    [operation, registers, a, b, c, d, e, f]
}

/// `return bpf_redirect_map(&map, context->rx_queue_index, XDP_PASS)`: a frame of a queue without a socket goes on to the
/// host's stack.
fn program(map: &OwnedFd) -> [[u8; 8]; 6] {
    [
        instruction(0x61, (2, 1), 16, 0),
        instruction(0x18, (1, 1), 0, map.as_raw_fd()),
        instruction(0, (0, 0), 0, 0),
        instruction(0xb7, (3, 0), 0, PASS),
        instruction(0x85, (0, 0), 0, REDIRECT_MAP),
        instruction(0x95, (0, 0), 0, 0),
    ]
}

impl Program {
    /// Leads the frames of an interface to these sockets: queue 0, 1, ...
    pub fn attach<'a>(index: i32, sockets: impl ExactSizeIterator<Item = &'a OwnedFd>) -> io::Result<Program> {
        // Type and size of keys; size of values and number of entries.
        let map = descriptor(bpf(MAP_CREATE, &[pair(MAP_TYPE_XSKMAP, 4), pair(4, sockets.len() as u64), 0])?);
        for (queue, socket) in (0u32..).zip(sockets) {
            let value = socket.as_raw_fd();
            let at = |word: *const u8| word.expose_provenance() as u64;
            let (key, value) = (at((&raw const queue).cast()), at((&raw const value).cast()));
            bpf(MAP_UPDATE, &[pair(map.as_raw_fd() as u64, 0), key, value, 0])?;
        }
        let (code, license) = (program(&map), c"Apache-2.0");
        let at = code.as_ptr().expose_provenance() as u64;
        let license = license.as_ptr().expose_provenance() as u64;
        // Type and instructions; code; license; log; version, flags; name; interface, kind of attachment.
        let load = [pair(PROGRAM_TYPE_XDP, code.len() as u64), at, license, 0, 0, 0, 0, 0, pair(0, ATTACH_XDP)];
        let loaded = descriptor(bpf(PROGRAM_LOAD, &load)?);
        let attach = |mode| bpf(LINK_CREATE, &[pair(loaded.as_raw_fd() as u64, index as u64), pair(ATTACH_XDP, mode)]);
        let (link, native) = match attach(DRIVER_MODE) {
            Ok(link) => (link, true),
            // Another program is there: it stays.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => return Err(error),
            Err(_) => (attach(GENERIC_MODE)?, false),
        };
        Ok(Program { native, _map: map, _link: descriptor(link) })
    }
}

/// A descriptor that is ready when one of these is.
pub fn any_of<'a>(sockets: impl Iterator<Item = &'a OwnedFd>) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: the descriptor was just made and belongs to no one else.
    let all = unsafe { OwnedFd::from_raw_fd(fd) };
    for socket in sockets {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        // SAFETY: `event` lives through the call.
        check(unsafe { libc::epoll_ctl(all.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &mut event) })?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_what_it_says() {
        let map = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let code = program(&map);
        if cfg!(target_endian = "little") {
            assert_eq!(code[0], [0x61, 0x12, 16, 0, 0, 0, 0, 0]);
            assert_eq!(code[1][..4], [0x18, 0x11, 0, 0]);
            assert_eq!(code[4], [0x85, 0, 0, 0, 51, 0, 0, 0]);
        }
        assert_eq!(pair(1, 2).to_ne_bytes(), [1u32.to_ne_bytes(), 2u32.to_ne_bytes()].concat()[..]);
    }
}
