//! The client: a PCI function that a server in another process answers for.
//!
//! Memory is a sealed memfd that the server maps; interrupts are eventfds. Every access is a request that is answered before
//! the call returns, so that a doorbell has had its effect. An error ends nothing by itself; when the server is gone, every
//! call says so.

use crate::message::{self as m, Command, Reply, Request};
use crate::version;
use crate::wire::{Wire, WireError, timespec};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use weir_contract::constants as c;
use weir_device::{DeviceError, DmaMemory, IovaSpace, PciFunction, Permission};

/// Longest that the server may take to answer. (It checks a table image within one answer.)
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Addresses that mappings are given.
const ADDRESSES: std::ops::Range<u64> = 0..1 << 47;
/// EBUSY of Linux.
const BUSY: u32 = 16;

/// A PCI function behind a vfio-user socket.
#[derive(Debug)]
pub struct UserFunction {
    wire: Wire,
    name: String,
    id: u16,
    vectors: Vec<OwnedFd>,
    space: IovaSpace,
    addresses: std::ops::Range<u64>,
    mappings: BTreeMap<u64, DmaMemory>,
    out: Vec<u8>,
    gone: bool,
}

impl UserFunction {
    /// Attach to the server that listens at `socket`.
    pub fn open(socket: &Path) -> Result<UserFunction, DeviceError> {
        let name = format!("vfio-user:{}", socket.display());
        let stream = UnixStream::connect(socket).map_err(|source| {
            let what = match source.kind() {
                io::ErrorKind::NotFound => format!("{name}: there is no such socket; start `weir sim serve --socket {}`", socket.display()),
                io::ErrorKind::ConnectionRefused => {
                    format!("{name}: nobody listens there any more; start `weir sim serve --socket {}`", socket.display())
                }
                io::ErrorKind::PermissionDenied => format!("{name}: only the user that runs the server may attach"),
                _ => name.clone(),
            };
            DeviceError::Io { what, source }
        })?;
        let wire = Wire::new(stream).map_err(|source| DeviceError::Io { what: name.clone(), source })?;
        let mut function = UserFunction::over(wire, name);
        function.negotiate()?;
        function.enable_vectors()?;
        Ok(function)
    }

    /// Go on with a connection that another process has handed over, with mappings from this IOVA on ([`PciFunction::hand_over`]).
    pub fn adopt(connection: OwnedFd, addresses: u64, name: &str) -> Result<UserFunction, DeviceError> {
        let failed = |source| DeviceError::Io { what: name.to_owned(), source };
        let wire = Wire::new(UnixStream::from(connection)).map_err(failed)?;
        let mut function = UserFunction::over(wire, name.to_owned());
        function.addresses.start = addresses.min(ADDRESSES.end / 2).next_multiple_of(4096);
        function.enable_vectors()?;
        Ok(function)
    }

    fn over(wire: Wire, name: String) -> UserFunction {
        UserFunction {
            wire,
            name,
            id: 0,
            vectors: Vec::new(),
            space: IovaSpace::default(),
            addresses: ADDRESSES,
            mappings: BTreeMap::new(),
            out: Vec::new(),
            gone: false,
        }
    }

    fn negotiate(&mut self) -> Result<(), DeviceError> {
        let text = version::encode(version::OWN);
        let request = Request::Version { major: version::MAJOR, minor: version::MINOR, text: &text };
        let body = self.call(&request, &[])?;
        match Reply::decode(Command::Version, &body) {
            Ok(Reply::Version { major: version::MAJOR, text, .. }) => {
                version::decode(text).map_err(|bad| self.wrong(&bad.to_string()))?;
            }
            Ok(Reply::Version { major, minor, .. }) => return Err(self.wrong(&format!("protocol {major}.{minor}"))),
            _ => return Err(self.wrong("its version")),
        }
        let body = self.call(&Request::GetInfo, &[])?;
        match Reply::decode(Command::GetInfo, &body) {
            Ok(Reply::Info { flags, regions, irqs })
                if flags & m::DEVICE_PCI != 0 && regions > m::REGION_CONFIG && irqs > m::IRQ_MSIX => {}
            _ => return Err(self.wrong("a device that is no PCI function")),
        }
        for (region, least) in [(u32::from(c::BAR_REGISTERS), c::BAR_REGISTERS_SIZE), (m::REGION_CONFIG, 256)] {
            let body = self.call(&Request::GetRegionInfo { room: 32, index: region }, &[])?;
            match Reply::decode(Command::GetRegionInfo, &body) {
                Ok(Reply::RegionInfo { size, .. }) if size >= least => {}
                _ => return Err(self.wrong(&format!("no region {region} of {least} bytes"))),
            }
        }
        Ok(())
    }

    fn enable_vectors(&mut self) -> Result<(), DeviceError> {
        let body = self.call(&Request::GetIrqInfo { index: m::IRQ_MSIX }, &[])?;
        let Ok(Reply::IrqInfo { count, .. }) = Reply::decode(Command::GetIrqInfo, &body) else {
            return Err(self.wrong("its interrupts"));
        };
        for start in 0..count.min(u32::from(c::QUEUES_MAX as u16) + 1) {
            let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map_err(|e| DeviceError::Io { what: format!("{}: creating an eventfd", self.name), source: e.into() })?;
            let flags = m::IRQ_DATA_EVENTFD | m::IRQ_TRIGGER;
            let request = Request::SetIrqs { flags, index: m::IRQ_MSIX, start, count: 1, data: &[] };
            self.call(&request, &[fd.as_fd()])?;
            self.vectors.push(fd);
        }
        Ok(())
    }

    fn wrong(&self, what: &str) -> DeviceError {
        DeviceError::Backend(format!("{}: the server answers {what}; it is no `weir sim serve` of this version", self.name))
    }

    fn lost(&mut self, error: WireError) -> DeviceError {
        self.gone = true;
        DeviceError::Backend(format!(
            "{}: the server of the simulated device is gone ({error}); start it and the run again",
            self.name
        ))
    }

    /// A request, and the body of the answer to it.
    fn call(&mut self, request: &Request<'_>, fds: &[BorrowedFd<'_>]) -> Result<Vec<u8>, DeviceError> {
        if self.gone {
            return Err(self.lost(WireError::Closed));
        }
        self.id = self.id.wrapping_add(1);
        self.out.clear();
        request.encode(self.id, false, &mut self.out);
        let sent = self.wire.send(&self.out, fds, PATIENCE);
        let message = match sent.and_then(|()| self.wire.receive(PATIENCE)) {
            Ok(message) => message,
            Err(error) => return Err(self.lost(error)),
        };
        let header = message.header;
        if !header.reply || header.id != self.id || header.command != request.command() as u16 {
            return Err(self.lost(WireError::Bad(m::Bad::Answer)));
        }
        match header.error {
            None => Ok(message.body),
            Some(BUSY) if request.command() == Command::Version => Err(DeviceError::Backend(format!(
                "{}: the device is attached to another process; one at a time",
                self.name
            ))),
            Some(errno) => Err(DeviceError::Io {
                what: format!("{}: the server refuses {:?}", self.name, request.command()),
                source: io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or(0)),
            }),
        }
    }

    fn read_region(&mut self, region: u32, offset: u64) -> Result<u32, DeviceError> {
        let body = self.call(&Request::RegionRead { offset, region, count: 4 }, &[])?;
        match Reply::decode(Command::RegionRead, &body) {
            Ok(Reply::RegionRead { data, .. }) if data.len() == 4 => {
                Ok(data.first_chunk().map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes)))
            }
            _ => Err(self.wrong("a read with other bytes")),
        }
    }

    fn write_region(&mut self, region: u32, offset: u64, value: u32) -> Result<(), DeviceError> {
        let body = self.call(&Request::RegionWrite { offset, region, data: &value.to_le_bytes() }, &[])?;
        match Reply::decode(Command::RegionWrite, &body) {
            Ok(Reply::RegionWrite { count: 4, .. }) => Ok(()),
            _ => Err(self.wrong("a write of other bytes")),
        }
    }

    /// Wait until one of the vectors from `first` on, or the connection, has something to say; which vectors did.
    fn listen(&mut self, vectors: std::ops::Range<usize>, timeout: Duration) -> Result<bool, DeviceError> {
        let mut raised = false;
        let result = {
            let listened = self.vectors.get(vectors.clone()).unwrap_or_default();
            let mut polled: Vec<PollFd<'_>> = listened.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
            polled.push(PollFd::new(&self.wire, PollFlags::IN));
            let result = poll(&mut polled, Some(&timespec(timeout)));
            let spoken = polled.pop().is_some_and(|wire| !wire.revents().is_empty());
            for (fd, polled) in listened.iter().zip(&polled) {
                if polled.revents().contains(PollFlags::IN) {
                    // What is counted is told at once.
                    raised |= rustix::io::read(fd, &mut [0u8; 8]).is_ok();
                }
            }
            result.map(|_| spoken)
        };
        match result {
            Ok(false) | Err(Errno::INTR) => Ok(raised),
            // Between two calls the server has nothing to say: it is gone.
            Ok(true) => match self.wire.try_receive() {
                Ok(_) => Err(self.lost(WireError::Bad(m::Bad::Answer))),
                Err(error) => Err(self.lost(error)),
            },
            Err(error) => Err(DeviceError::Io { what: format!("{}: waiting for an interrupt", self.name), source: error.into() }),
        }
    }
}

impl PciFunction for UserFunction {
    fn config_read(&mut self, offset: u16) -> Result<u32, DeviceError> {
        self.read_region(m::REGION_CONFIG, offset.into())
    }

    fn config_write(&mut self, offset: u16, value: u32) -> Result<(), DeviceError> {
        self.write_region(m::REGION_CONFIG, offset.into(), value)
    }

    fn read32(&mut self, bar: u8, offset: u32) -> Result<u32, DeviceError> {
        self.read_region(bar.into(), offset.into())
    }

    fn write32(&mut self, bar: u8, offset: u32, value: u32) -> Result<(), DeviceError> {
        self.write_region(bar.into(), offset.into(), value)
    }

    fn allocate(&mut self, length: usize) -> io::Result<DmaMemory> {
        DmaMemory::shared(length)
    }

    fn map(&mut self, memory: &DmaMemory, permission: Permission) -> Result<u64, DeviceError> {
        let size = memory.len() as u64;
        let Some(iova) = self.space.take(std::slice::from_ref(&self.addresses), size, 4096) else {
            return Err(DeviceError::Mapping(format!("there is no room for {size} bytes")));
        };
        let flags = match permission {
            Permission::Read => m::MAP_READ,
            Permission::Write => m::MAP_READ | m::MAP_WRITE,
        };
        let request = Request::DmaMap { flags, offset: 0, iova, size };
        let result = match memory.file() {
            Some(file) => self.call(&request, &[file]).map(|_| ()),
            None => Err(DeviceError::Mapping("this memory cannot be shared with another process".into())),
        };
        match result {
            Ok(()) => {
                self.mappings.insert(iova, memory.clone());
                Ok(iova)
            }
            Err(error) => {
                self.space.give(iova);
                Err(error)
            }
        }
    }

    fn unmap(&mut self, iova: u64) -> Result<(), DeviceError> {
        let Some(memory) = self.mappings.get(&iova) else {
            return Err(DeviceError::Mapping(format!("nothing is mapped at IOVA {iova:#x}")));
        };
        let size = memory.len() as u64;
        let body = self.call(&Request::DmaUnmap { flags: 0, iova, size }, &[])?;
        match Reply::decode(Command::DmaUnmap, &body) {
            Ok(Reply::DmaUnmap { iova: at, .. }) if at == iova => {}
            _ => return Err(self.wrong("an unmapping of something else")),
        }
        self.mappings.remove(&iova);
        self.space.give(iova);
        Ok(())
    }

    fn interrupt(&mut self, vector: u16, timeout: Duration) -> Result<bool, DeviceError> {
        let vector = usize::from(vector);
        if vector >= self.vectors.len() {
            return Err(DeviceError::Backend(format!(
                "{} has {} MSI-X vectors, no vector {vector}",
                self.name,
                self.vectors.len()
            )));
        }
        self.listen(vector..vector + 1, timeout)
    }

    fn wait(&mut self, timeout: Duration) -> Result<bool, DeviceError> {
        self.listen(0..self.vectors.len(), timeout)
    }

    fn reset(&mut self) -> Result<(), DeviceError> {
        self.call(&Request::Reset, &[]).map(|_| ())
    }

    fn can_hand_over(&self) -> bool {
        !self.gone
    }

    fn hand_over(&mut self) -> Result<(OwnedFd, u64), DeviceError> {
        // Behind what is mapped, or from the beginning where that leaves little.
        let behind = self.mappings.iter().map(|(iova, memory)| iova + memory.len() as u64).max().unwrap_or(0);
        let next = if behind >= ADDRESSES.end / 2 { 0 } else { behind };
        let mapped: Vec<u64> = self.mappings.keys().copied().collect();
        mapped.into_iter().try_for_each(|iova| self.unmap(iova))?;
        let connection = self.wire.as_fd().try_clone_to_owned();
        let connection = connection.map_err(|source| DeviceError::Io { what: self.name.clone(), source })?;
        // It is the other's from here on.
        self.gone = true;
        Ok((connection, next))
    }
}
