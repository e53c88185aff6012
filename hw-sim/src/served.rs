//! The model as a vfio-user device: what one client's messages do to it.
//!
//! Place: between `weir_vfio_user::wire`, which carries messages, and the [`Simulator`]. No sockets here: a message comes whole,
//! its answer is appended to a buffer; so the same is fuzzed as is served.
//!
//! Invariants: the device reaches what the client has mapped, as it was mapped, and nothing after it was unmapped or the
//! client has gone; memory that its owner could shrink is refused; what a client may make the server keep is bounded (mappings,
//! files, one eventfd per vector); no message blocks.

mod memory;

use crate::function::Simulator;
use memory::Files;
use rustix::fs::{FileType, OFlags};
use std::os::fd::OwnedFd;
use std::time::Duration;
use weir_contract::constants as c;
use weir_device::{MapError, PciFunction};
use weir_vfio_user::message::{self as m, Bad, Command, Header, Reply, Request};
use weir_vfio_user::version;
use weir_vfio_user::wire::Message;

/// errno of Linux for what is refused.
mod errno {
    pub const PERMISSION: u32 = 1;
    pub const EXISTS: u32 = 17;
    pub const INVALID: u32 = 22;
    pub const NO_SPACE: u32 = 28;
}

/// A client's hold on the model; it ends with a reset of the model and nothing mapped.
pub struct Session {
    model: Simulator,
    negotiated: Option<version::Capabilities>,
    files: Files,
    vectors: Vec<Option<OwnedFd>>,
}

/// A refusal, as a number for the client and as words for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    errno: u32,
    /// What was refused, and why.
    pub why: String,
}

fn refuse<T>(errno: u32, why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { errno, why: why.into() })
}

impl From<Bad> for Refusal {
    fn from(bad: Bad) -> Self {
        Refusal { errno: bad.errno(), why: bad.to_string() }
    }
}

impl Session {
    /// A client has come.
    pub fn new(model: Simulator) -> Self {
        let vectors = (0..model.vectors()).map(|_| None).collect();
        let mut session = Session { model, negotiated: None, files: Files::default(), vectors };
        session.clear();
        session
    }

    fn clear(&mut self) {
        // (A model in the same process cannot fail to be reset.)
        let _ = self.model.reset();
        self.model.with_dma(|table| table.clear());
        self.files = Files::default();
    }

    /// Does what a message says and appends the answer to `out`, unless none is wanted. What was refused is told beside it,
    /// for the log.
    pub fn answer(&mut self, message: Message, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let Message { header, body, fds } = message;
        let start = out.len();
        let result = self.act(&header, &body, fds, out);
        if let Err(refusal) = &result {
            out.truncate(start);
            m::encode_error(header.id, header.command, refusal.errno, out);
        }
        if header.no_reply {
            out.truncate(start);
        }
        result
    }

    fn act(&mut self, header: &Header, body: &[u8], fds: Vec<OwnedFd>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        if header.reply {
            return refuse(errno::INVALID, "a reply, where the server has asked nothing");
        }
        let request = Request::decode(header.command, body)?;
        let takes = matches!(request, Request::DmaMap { .. } | Request::SetIrqs { .. });
        if !fds.is_empty() && !takes {
            return refuse(errno::INVALID, format!("{:?} with a file descriptor", request.command()));
        }
        if self.negotiated.is_some() == (request.command() == Command::Version) {
            return refuse(errno::INVALID, format!("{:?} out of turn", request.command()));
        }
        let fd = fds.into_iter().next();
        let reply = match request {
            Request::Version { major, minor, text } => return self.version(header, major, minor, text, out),
            Request::DmaMap { flags, offset, iova, size } => self.map(flags, offset, iova, size, fd)?,
            Request::DmaUnmap { flags, iova, size } => {
                let size = self.model.with_dma(|table| match flags {
                    m::UNMAP_ALL => table.clear(),
                    _ => table.unmap_range(iova, size),
                });
                self.files.forget_unused();
                Reply::DmaUnmap { flags, iova, size }
            }
            Request::GetInfo => {
                Reply::Info { flags: m::DEVICE_PCI | m::DEVICE_RESET, regions: m::REGIONS, irqs: m::IRQS }
            }
            Request::GetRegionInfo { index, .. } if index < m::REGIONS => {
                let size = region_size(index);
                let flags = if size > 0 { m::REGION_READ | m::REGION_WRITE } else { 0 };
                Reply::RegionInfo { flags, index, size, offset: 0 }
            }
            Request::GetIrqInfo { index } if index < m::IRQS => match index {
                m::IRQ_MSIX => Reply::IrqInfo {
                    flags: m::IRQ_EVENTFD | m::IRQ_NORESIZE,
                    index,
                    count: self.vectors.len() as u32,
                },
                _ => Reply::IrqInfo { flags: 0, index, count: 0 },
            },
            Request::GetRegionInfo { index, .. } | Request::GetIrqInfo { index } => {
                return refuse(errno::INVALID, format!("there is no {index} among regions or interrupts"));
            }
            Request::SetIrqs { flags, index, start, count, .. } => self.set_irqs(flags, index, start, count, fd)?,
            Request::RegionRead { offset, region, count } => {
                let most = self.negotiated.map_or(0, |other| other.max_data_xfer_size);
                let mut data = Vec::new();
                if u64::from(count) > most {
                    return refuse(errno::INVALID, format!("{count} bytes are more than the client takes"));
                }
                self.read(region, offset, count, &mut data)?;
                Reply::RegionRead { offset, region, data: &data }.encode(header.id, out);
                return Ok(());
            }
            Request::RegionWrite { offset, region, data } => {
                self.write(region, offset, data)?;
                Reply::RegionWrite { offset, region, count: data.len() as u32 }
            }
            Request::Reset => {
                let _ = self.model.reset();
                Reply::Done(Command::Reset)
            }
        };
        reply.encode(header.id, out);
        Ok(())
    }

    fn version(&mut self, header: &Header, major: u16, minor: u16, text: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        if major != version::MAJOR {
            return refuse(errno::INVALID, format!("protocol {major}.{minor}"));
        }
        self.negotiated = Some(version::decode(text)?);
        let text = version::encode(version::OWN);
        Reply::Version { major, minor: minor.min(version::MINOR), text: &text }.encode(header.id, out);
        Ok(())
    }

    fn map(&mut self, flags: u32, offset: u64, iova: u64, size: u64, fd: Option<OwnedFd>) -> Result<Reply<'static>, Refusal> {
        // Without a file the range is known and cannot be reached: ROMs, and BARs of others.
        let target = match fd {
            Some(fd) => match self.files.memory(fd) {
                Ok(memory) => Some((memory, offset)),
                Err(error) => {
                    return refuse(errno::PERMISSION, format!("memory for {iova:#x}: {error}; with QEMU use memory-backend-memfd,share=on"));
                }
            },
            None => None,
        };
        let (read, write) = (flags & m::MAP_READ != 0, flags & m::MAP_WRITE != 0);
        let result = self.model.with_dma(|table| table.map_at(weir_device::Map { iova, length: size, target, read, write }));
        match result {
            Ok(()) => Ok(Reply::Done(Command::DmaMap)),
            Err(error) => {
                self.files.forget_unused();
                let errno = match error {
                    MapError::Range => errno::INVALID,
                    MapError::Overlap => errno::EXISTS,
                    MapError::Full => errno::NO_SPACE,
                };
                refuse(errno, format!("mapping {iova:#x}, {size} bytes: {error}"))
            }
        }
    }

    fn set_irqs(&mut self, flags: u32, index: u32, start: u32, count: u32, fd: Option<OwnedFd>) -> Result<Reply<'static>, Refusal> {
        let done = Ok(Reply::Done(Command::SetIrqs));
        if index != m::IRQ_MSIX && index < m::IRQS && count == 0 && fd.is_none() {
            // There is none to disable.
            return done;
        }
        let range = start as usize..start as usize + count as usize;
        let Some(vectors) = self.vectors.get_mut(range).filter(|_| index == m::IRQ_MSIX) else {
            return refuse(errno::INVALID, format!("there are no interrupts {start}, {count} of kind {index}"));
        };
        match (flags, fd) {
            (flags, None) if flags == m::IRQ_DATA_NONE | m::IRQ_TRIGGER => {
                if count == 0 {
                    self.vectors.iter_mut().for_each(|vector| *vector = None);
                } else {
                    vectors.iter().flatten().for_each(signal);
                }
            }
            (flags, None) if flags == m::IRQ_DATA_EVENTFD | m::IRQ_TRIGGER => {
                vectors.iter_mut().for_each(|vector| *vector = None);
            }
            (flags, Some(fd)) if flags == m::IRQ_DATA_EVENTFD | m::IRQ_TRIGGER => {
                let [vector] = vectors else {
                    return refuse(errno::INVALID, format!("one eventfd for {count} vectors"));
                };
                *vector = Some(eventfd(fd)?);
            }
            _ => return refuse(errno::INVALID, format!("interrupts with flags {flags:#x}")),
        }
        done
    }

    fn read(&mut self, region: u32, offset: u64, count: u32, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let (from, to) = placed(region, offset, count)?;
        let mut at = from & !3;
        while at < to {
            let word = self.read_word(region, at)?.to_le_bytes();
            let inside = (at..).zip(word).filter(|(at, _)| (from..to).contains(at));
            out.extend(inside.map(|(_, byte)| byte));
            at += 4;
        }
        Ok(())
    }

    fn read_word(&mut self, region: u32, at: u32) -> Result<u32, Refusal> {
        let read = match region {
            m::REGION_CONFIG => self.model.config_read(at as u16),
            bar => self.model.read32(bar as u8, at),
        };
        read.or_else(|error| refuse(errno::INVALID, error.to_string()))
    }

    fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Refusal> {
        let (from, to) = placed(region, offset, data.len() as u32)?;
        if region != m::REGION_CONFIG && (from % 4 != 0 || to % 4 != 0) {
            return refuse(errno::INVALID, format!("registers are written as words, not {} bytes at {from:#x}", data.len()));
        }
        let mut at = from & !3;
        while at < to {
            // Bytes of a word that are not written keep their value: bits of configuration space that a write would clear
            // there are none.
            let mut word = if at < from || to < at + 4 { self.read_word(region, at)? } else { 0 }.to_le_bytes();
            for (at, byte) in (at..).zip(&mut word).filter(|(at, _)| (from..to).contains(at)) {
                *byte = data.get((at - from) as usize).copied().unwrap_or(0);
            }
            let value = u32::from_le_bytes(word);
            let written = match region {
                m::REGION_CONFIG => self.model.config_write(at as u16, value),
                bar => self.model.write32(bar as u8, at, value),
            };
            written.or_else(|error| refuse(errno::INVALID, error.to_string()))?;
            at += 4;
        }
        Ok(())
    }

    /// Tells the client of the vectors that the model has raised. One that has no eventfd yet stays raised.
    pub fn raise(&mut self) {
        for (number, fd) in (0..).zip(&self.vectors) {
            if let Some(fd) = fd
                && self.model.interrupt(number, Duration::ZERO).unwrap_or(false)
            {
                signal(fd);
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.clear();
    }
}

fn region_size(region: u32) -> u64 {
    match u8::try_from(region) {
        Ok(c::BAR_REGISTERS) => c::BAR_REGISTERS_SIZE,
        Ok(c::BAR_MSIX) => c::BAR_MSIX_SIZE,
        _ if region == m::REGION_CONFIG => c::PCI_CONFIG_SIZE as u64,
        _ => 0,
    }
}

/// First byte of an access, and the first behind it, inside of a region.
fn placed(region: u32, offset: u64, count: u32) -> Result<(u32, u32), Refusal> {
    let end = offset.checked_add(count.into()).filter(|end| *end <= region_size(region));
    match (u32::try_from(offset), end.map(u32::try_from)) {
        (Ok(from), Some(Ok(to))) => Ok((from, to)),
        _ => refuse(errno::INVALID, format!("region {region} has no {count} bytes at {offset:#x}")),
    }
}

/// A descriptor that may be written to at any time: an eventfd, and one that never blocks.
fn eventfd(fd: OwnedFd) -> Result<OwnedFd, Refusal> {
    let kind = rustix::fs::fstat(&fd).map(|stat| FileType::from_raw_mode(stat.st_mode));
    // (Files without a place in a file system have no type.)
    if !matches!(kind, Ok(FileType::Unknown)) {
        return refuse(errno::INVALID, "what is to be told of an interrupt is no eventfd");
    }
    let flags = rustix::fs::fcntl_getfl(&fd);
    match flags.and_then(|flags| rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)) {
        Ok(()) => Ok(fd),
        Err(error) => refuse(errno::INVALID, format!("eventfd: {error}")),
    }
}

/// A counter that is full has not been read since long: one more tells nothing new.
fn signal(fd: &OwnedFd) {
    let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
}

#[cfg(test)]
mod tests;
