//! The ring of a packet socket in shared memory, in its two forms.
//!
//! Blocks (TPACKET_V3) are handed over when they are full or some milliseconds old: few wake-ups and no waste of room, for
//! a tap. Slots (TPACKET_V2) are handed over one by one: a frame that somebody waits for is seen at once, for inline use
//! (decision 0023). Invariant: memory is read or written only between an acquiring load that found it ours and the releasing
//! store that gives it back; offsets that the kernel tells are checked against the mapping like anyone else's.

use super::{check, option, set};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

const STATUS_KERNEL: u32 = 0;
const STATUS_USER: u32 = 1;
const STATUS_COPY: u32 = 1 << 1;
const STATUS_VLAN: u32 = 1 << 4;
const STATUS_VLAN_TPID: u32 = 1 << 6;
const VERSION_2: i32 = 1;
const VERSION_3: i32 = 2;
/// Bytes of `struct tpacket2_hdr` and of `struct tpacket3_hdr`; the address follows both.
const HEADER_2: usize = 32;
const HEADER_3: usize = 48;
/// Offset of `sll_pkttype` in `struct sockaddr_ll`, and its value for frames that leave.
const PACKET_TYPE: usize = 10;
const OUTGOING: u8 = 4;
/// Bytes of `struct virtio_net_hdr`, in front of the frame.
const OFFLOAD_HEADER: usize = 10;
/// Header, address, offload header, alignment in front of a frame: less than this.
const ROOM: usize = 128;
/// A VLAN tag.
const TAG: usize = 4;
const BLOCK: usize = 1 << 20;
/// Milliseconds after which a block is handed over though it is not full.
const BLOCK_AGE: u32 = 4;

/// Form of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// TPACKET_V3.
    Blocks,
    /// TPACKET_V2.
    Slots,
}

/// A frame in the ring, ours until the call that was given it returns.
pub struct Received<'a> {
    /// The frame from `start` on; at least four bytes before it are free, for a tag.
    pub buffer: &'a mut [u8],
    /// Where the frame begins.
    pub start: usize,
    /// Its length when it came.
    pub wire_length: u32,
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// Tag that was taken out: protocol, control information.
    pub vlan: Option<(u16, u16)>,
    /// `struct virtio_net_hdr`.
    pub offload: [u8; OFFLOAD_HEADER],
    /// It leaves by the interface.
    pub outgoing: bool,
    /// It was too long for its slot: all of it waits in the socket's queue.
    pub queued: bool,
}

/// Where the next frame is.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Of the frame's header, in the mapping.
    header: usize,
    /// End of its slot or block.
    end: usize,
    time: u64,
}

/// A ring, mapped.
pub struct Ring {
    base: NonNull<u8>,
    length: usize,
    kind: Kind,
    /// Bytes of a slot or block.
    unit: usize,
    units: usize,
    /// Unit at hand.
    at: usize,
    /// Blocks: frames left in the one at hand, and offset of the next.
    left: u32,
    next: usize,
}

// SAFETY: the mapping belongs to the ring alone; nothing in it is bound to a thread.
unsafe impl Send for Ring {}

impl Ring {
    /// Sets a ring of about so many bytes up, for frames of at most `frame` bytes. The socket must not be bound yet.
    pub fn new(fd: &OwnedFd, kind: Kind, bytes: usize, frame: usize) -> io::Result<Ring> {
        let slot = (frame + ROOM).next_power_of_two().max(2048);
        let (version, block, unit) = match kind {
            Kind::Blocks => (VERSION_3, BLOCK, BLOCK),
            Kind::Slots => (VERSION_2, slot.max(1 << 16), slot),
        };
        super::set_packet(fd, option::VERSION, version)?;
        super::set_packet(fd, option::VNET_HDR, 1)?;
        if kind == Kind::Slots {
            super::set_packet(fd, option::COPY_THRESH, 1)?;
        }
        let blocks = (bytes / block).max(2);
        let length = blocks * block;
        // struct tpacket_req3; a ring of slots takes the first four numbers.
        let request = [block as u32, blocks as u32, slot as u32, (length / slot) as u32, BLOCK_AGE, 0, 0];
        match kind {
            Kind::Blocks => set(fd, super::SOL_PACKET, option::RX_RING, &request)?,
            Kind::Slots => set(fd, super::SOL_PACKET, option::RX_RING, &[request[0], request[1], request[2], request[3]])?,
        }
        // SAFETY: a new mapping at an address that the kernel chooses.
        let base = unsafe {
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd.as_raw_fd(), 0)
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let Some(base) = NonNull::new(base.cast()) else { return Err(io::Error::from_raw_os_error(libc::ENOMEM)) };
        Ok(Ring { base, length, kind, unit, units: length / unit, at: 0, left: 0, next: 0 })
    }

    /// A word by which ownership goes to and fro.
    fn status(&self, offset: usize) -> &AtomicU32 {
        debug_assert!(offset + 4 <= self.length && offset % 4 == 0);
        // SAFETY: the offset is that of a unit's status, inside the mapping and aligned; both sides access it as a whole.
        unsafe { &*self.base.as_ptr().add(offset).cast::<AtomicU32>() }
    }

    /// Bytes of the unit at hand, which is ours.
    fn bytes(&self, offset: usize, length: usize) -> Option<&[u8]> {
        let end = offset.checked_add(length)?;
        let unit = self.at * self.unit;
        if offset < unit || end > unit + self.unit {
            return None;
        }
        // SAFETY: inside the mapping, in a unit that the kernel has handed over.
        Some(unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(offset), length) })
    }

    fn word(&self, offset: usize) -> Option<u32> {
        self.bytes(offset, 4).and_then(|b| b.first_chunk()).map(|b| u32::from_ne_bytes(*b))
    }

    fn half(&self, offset: usize) -> Option<u16> {
        self.bytes(offset, 2).and_then(|b| b.first_chunk()).map(|b| u16::from_ne_bytes(*b))
    }

    fn time(&self, seconds: usize) -> Option<u64> {
        Some(u64::from(self.word(seconds)?) * 1_000_000_000 + u64::from(self.word(seconds + 4)?))
    }

    /// The unit at hand goes back to the kernel.
    fn give_back(&mut self) {
        let status = self.at * self.unit + if self.kind == Kind::Blocks { 8 } else { 0 };
        self.status(status).store(STATUS_KERNEL, Ordering::Release);
        self.at = (self.at + 1) % self.units;
    }

    fn place(&mut self) -> Option<Place> {
        let unit = self.at * self.unit;
        match self.kind {
            Kind::Slots => {
                if self.status(unit).load(Ordering::Acquire) & STATUS_USER == 0 {
                    return None;
                }
                Some(Place { header: unit, end: unit + self.unit, time: self.time(unit + 16)? })
            }
            Kind::Blocks => {
                // struct tpacket_block_desc: version, offset of the private area, status, frames, offset of the first.
                for _ in 0..self.units {
                    let unit = self.at * self.unit;
                    if self.left == 0 {
                        if self.status(unit + 8).load(Ordering::Acquire) & STATUS_USER == 0 {
                            return None;
                        }
                        self.left = self.word(unit + 12)?;
                        self.next = unit + self.word(unit + 16)? as usize;
                    }
                    match self.time(self.next + 4).filter(|_| self.left > 0) {
                        Some(time) => return Some(Place { header: self.next, end: unit + self.unit, time }),
                        None => {
                            self.left = 0;
                            self.give_back();
                        }
                    }
                }
                None
            }
        }
    }

    /// Time of the next frame, if there is one.
    pub fn peek(&mut self) -> Option<u64> {
        self.place().map(|place| place.time)
    }

    /// Hands the next frame to `take`, then gives its memory back.
    pub fn next<R>(&mut self, take: impl FnOnce(Received<'_>) -> R) -> Option<R> {
        let place = self.place()?;
        let result = self.read(&place).map(take);
        match self.kind {
            Kind::Slots => self.give_back(),
            Kind::Blocks => {
                self.left -= 1;
                let step = self.word(place.header).unwrap_or(0) as usize;
                self.next = place.header + step;
                if self.left == 0 || step == 0 {
                    self.left = 0;
                    self.give_back();
                }
            }
        }
        result
    }

    fn read(&mut self, place: &Place) -> Option<Received<'_>> {
        let at = place.header;
        let (status, length, captured, mac, tag, protocol, header) = match self.kind {
            // status, length, captured, offset of the frame, of its network header, seconds, nanoseconds, tag, its protocol
            Kind::Slots => (at, at + 4, at + 8, at + 12, self.half(at + 24)?, self.half(at + 26)?, HEADER_2),
            // next, seconds, nanoseconds, captured, length, status, offset of the frame, of its network header, hash, tag, its
            // protocol
            Kind::Blocks => (at + 20, at + 16, at + 12, at + 24, self.word(at + 32)? as u16, self.half(at + 36)?, HEADER_3),
        };
        let status = self.word(status)?;
        let (wire_length, captured) = (self.word(length)?, self.word(captured)? as usize);
        let start = at + usize::from(self.half(mac)?);
        let outgoing = *self.bytes(at + header + PACKET_TYPE, 1)?.first()? == OUTGOING;
        let offload = *self.bytes(start.checked_sub(OFFLOAD_HEADER)?, OFFLOAD_HEADER)?.first_chunk()?;
        let end = start.checked_add(captured)?;
        if end > place.end || start < at + header + TAG {
            return None;
        }
        let vlan = (status & STATUS_VLAN != 0)
            .then(|| (if status & STATUS_VLAN_TPID != 0 { protocol } else { 0x8100 }, tag));
        // SAFETY: inside the mapping, behind the header, in a unit that is ours until it is given back; the exclusive borrow of
        // the ring lasts as long as the slice.
        let buffer = unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr().add(start - TAG), TAG + captured) };
        Some(Received {
            buffer,
            start: TAG,
            wire_length,
            time: place.time,
            vlan,
            offload,
            outgoing,
            queued: status & STATUS_COPY != 0,
        })
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length, and nothing points into it any more.
        let _ = check(unsafe { libc::munmap(self.base.as_ptr().cast(), self.length) });
    }
}
