//! Messages: a header of 16 bytes and a body whose shape the command gives. Little-endian throughout (the host's order, on
//! the machines that Weir runs on).
//!
//! Decoding takes a whole body and gives a view of it: every length is checked against what is there, every flag against
//! those that are known.

/// Bytes of a header.
pub const HEADER: usize = 16;
/// Most bytes of data in one message; said in the version message.
pub const DATA_MAX: usize = 64 << 10;
/// Most bytes of a message.
pub const MESSAGE_MAX: usize = HEADER + REGION_ACCESS + DATA_MAX;
/// Most file descriptors with one message; said in the version message.
pub const FDS_MAX: usize = 1;

/// Offset, region and count of an access.
const REGION_ACCESS: usize = 16;
/// Bits of a header's flags: type, no reply wanted, error.
const TYPE: u32 = 0xf;
const REPLY: u32 = 1;
const NO_REPLY: u32 = 1 << 4;
const ERROR: u32 = 1 << 5;

/// DMA_MAP: the device may read.
pub const MAP_READ: u32 = 1;
/// DMA_MAP: the device may write.
pub const MAP_WRITE: u32 = 2;
/// DMA_UNMAP: everything.
pub const UNMAP_ALL: u32 = 2;
/// GET_INFO: the device can be reset.
pub const DEVICE_RESET: u32 = 1;
/// GET_INFO: the device is a PCI function.
pub const DEVICE_PCI: u32 = 2;
/// GET_REGION_INFO: can be read.
pub const REGION_READ: u32 = 1;
/// GET_REGION_INFO: can be written.
pub const REGION_WRITE: u32 = 2;
/// GET_IRQ_INFO: told by eventfd.
pub const IRQ_EVENTFD: u32 = 1;
/// GET_IRQ_INFO: vectors are set as a block.
pub const IRQ_NORESIZE: u32 = 8;
/// SET_IRQS: no data.
pub const IRQ_DATA_NONE: u32 = 1;
/// SET_IRQS: a byte for each vector.
pub const IRQ_DATA_BOOL: u32 = 2;
/// SET_IRQS: a file descriptor for each vector, or none to disarm.
pub const IRQ_DATA_EVENTFD: u32 = 4;
/// SET_IRQS: mask.
pub const IRQ_MASK: u32 = 8;
/// SET_IRQS: unmask.
pub const IRQ_UNMASK: u32 = 16;
/// SET_IRQS: trigger, or set what triggers.
pub const IRQ_TRIGGER: u32 = 32;

/// Region of configuration space (VFIO_PCI_CONFIG_REGION_INDEX); below it are the BARs and the ROM.
pub const REGION_CONFIG: u32 = 7;
/// Regions of a PCI function.
pub const REGIONS: u32 = 9;
/// MSI-X among the interrupts of a PCI function.
pub const IRQ_MSIX: u32 = 2;
/// Kinds of interrupts of a PCI function.
pub const IRQS: u32 = 5;

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// Size in the header.
    #[error("a message of {0} bytes (16 to {MESSAGE_MAX} are possible)")]
    Size(u32),
    /// Flags in the header.
    #[error("header flags {0:#x}")]
    HeaderFlags(u32),
    /// Command.
    #[error("command {0}, which is not spoken here")]
    Command(u16),
    /// Body shorter or longer than the command's.
    #[error("a body of {0} bytes, which is not its command's")]
    Body(usize),
    /// argsz says less than the structure is.
    #[error("argsz {0}")]
    ArgumentSize(u32),
    /// Flags that are unknown or contradict each other.
    #[error("flags {0:#x}")]
    Flags(u32),
    /// A count that is not that of the data, or beyond the limits.
    #[error("count {0}")]
    Count(u32),
    /// An address range that is empty, unaligned, or beyond all addresses.
    #[error("an impossible range at {0:#x}")]
    Range(u64),
    /// Text of a version message.
    #[error("a version message without its text")]
    Version,
    /// A reply that is not to this request.
    #[error("an answer to something else")]
    Answer,
}

impl Bad {
    /// Number for the error reply (errno of Linux).
    pub fn errno(self) -> u32 {
        match self {
            // ENOSYS, EMSGSIZE, EINVAL.
            Bad::Command(_) => 38,
            Bad::Size(_) => 90,
            _ => 22,
        }
    }
}

/// Commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs)]
pub enum Command {
    Version = 1,
    DmaMap = 2,
    DmaUnmap = 3,
    GetInfo = 4,
    GetRegionInfo = 5,
    GetIrqInfo = 7,
    SetIrqs = 8,
    RegionRead = 9,
    RegionWrite = 10,
    Reset = 13,
}

impl Command {
    /// Of its number.
    pub fn from_raw(raw: u16) -> Option<Command> {
        use Command as C;
        const ALL: [Command; 10] = [
            C::Version,
            C::DmaMap,
            C::DmaUnmap,
            C::GetInfo,
            C::GetRegionInfo,
            C::GetIrqInfo,
            C::SetIrqs,
            C::RegionRead,
            C::RegionWrite,
            C::Reset,
        ];
        ALL.into_iter().find(|command| *command as u16 == raw)
    }
}

/// A header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Number of the request, repeated in its reply.
    pub id: u16,
    /// Command, known or not.
    pub command: u16,
    /// Bytes behind the header.
    pub body: usize,
    /// A reply.
    pub reply: bool,
    /// The sender wants no reply.
    pub no_reply: bool,
    /// An error reply's errno.
    pub error: Option<u32>,
}

impl Header {
    /// Of its bytes.
    pub fn decode(bytes: &[u8; HEADER]) -> Result<Header, Bad> {
        let mut input = Input(bytes);
        let (id, command, size, flags, errno) =
            (input.u16()?, input.u16()?, input.u32()?, input.u32()?, input.u32()?);
        let body = (size as usize).checked_sub(HEADER).filter(|_| size as usize <= MESSAGE_MAX).ok_or(Bad::Size(size))?;
        let reply = flags & TYPE == REPLY;
        if flags & !(TYPE | NO_REPLY | ERROR) != 0 || flags & TYPE > REPLY || !reply && flags & ERROR != 0 {
            return Err(Bad::HeaderFlags(flags));
        }
        Ok(Header {
            id,
            command,
            body,
            reply,
            no_reply: flags & NO_REPLY != 0,
            error: (flags & ERROR != 0).then_some(errno),
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let flags = u32::from(self.reply)
            | if self.no_reply { NO_REPLY } else { 0 }
            | if self.error.is_some() { ERROR } else { 0 };
        out.extend(self.id.to_le_bytes());
        out.extend(self.command.to_le_bytes());
        out.extend(((HEADER + self.body) as u32).to_le_bytes());
        out.extend(flags.to_le_bytes());
        out.extend(self.error.unwrap_or(0).to_le_bytes());
    }
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Request<'a> {
    /// Text: JSON, without its NUL.
    Version { major: u16, minor: u16, text: &'a [u8] },
    /// `offset` is that in the file that comes along, if one does.
    DmaMap { flags: u32, offset: u64, iova: u64, size: u64 },
    DmaUnmap { flags: u32, iova: u64, size: u64 },
    GetInfo,
    /// `room`: bytes of the answer that the other side has room for.
    GetRegionInfo { room: u32, index: u32 },
    GetIrqInfo { index: u32 },
    SetIrqs { flags: u32, index: u32, start: u32, count: u32, data: &'a [u8] },
    RegionRead { offset: u64, region: u32, count: u32 },
    RegionWrite { offset: u64, region: u32, data: &'a [u8] },
    Reset,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reply<'a> {
    Version { major: u16, minor: u16, text: &'a [u8] },
    /// DMA_MAP, SET_IRQS, DEVICE_RESET.
    Done(Command),
    DmaUnmap { flags: u32, iova: u64, size: u64 },
    Info { flags: u32, regions: u32, irqs: u32 },
    RegionInfo { flags: u32, index: u32, size: u64, offset: u64 },
    IrqInfo { flags: u32, index: u32, count: u32 },
    RegionRead { offset: u64, region: u32, data: &'a [u8] },
    RegionWrite { offset: u64, region: u32, count: u32 },
}

/// What is left of a body.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        let (first, rest) = self.0.split_first_chunk::<N>().ok_or(Bad::Body(self.0.len()))?;
        self.0 = rest;
        Ok(*first)
    }

    fn u16(&mut self) -> Result<u16, Bad> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Bad> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Bad> {
        self.take().map(u64::from_le_bytes)
    }

    /// The first field of many structures: how large the sender's is, and how much it has room for.
    fn argument_size(&mut self, least: u32) -> Result<u32, Bad> {
        match self.u32()? {
            size if size < least => Err(Bad::ArgumentSize(size)),
            size => Ok(size),
        }
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Text up to its NUL, which ends the message.
    fn text(&mut self) -> Result<&'a [u8], Bad> {
        match self.rest() {
            [text @ .., 0] if !text.contains(&0) => Ok(text),
            _ => Err(Bad::Version),
        }
    }

    fn end<T>(self, value: T) -> Result<T, Bad> {
        if self.0.is_empty() { Ok(value) } else { Err(Bad::Body(self.0.len())) }
    }
}

/// Data of an access: as long as it says.
fn counted(data: &[u8], count: u32) -> Result<&[u8], Bad> {
    if data.len() == count as usize && data.len() <= DATA_MAX { Ok(data) } else { Err(Bad::Count(count)) }
}

impl<'a> Request<'a> {
    /// The command.
    pub fn command(&self) -> Command {
        match self {
            Request::Version { .. } => Command::Version,
            Request::DmaMap { .. } => Command::DmaMap,
            Request::DmaUnmap { .. } => Command::DmaUnmap,
            Request::GetInfo => Command::GetInfo,
            Request::GetRegionInfo { .. } => Command::GetRegionInfo,
            Request::GetIrqInfo { .. } => Command::GetIrqInfo,
            Request::SetIrqs { .. } => Command::SetIrqs,
            Request::RegionRead { .. } => Command::RegionRead,
            Request::RegionWrite { .. } => Command::RegionWrite,
            Request::Reset => Command::Reset,
        }
    }

    /// Of its body, which is whole.
    pub fn decode(command: u16, body: &'a [u8]) -> Result<Request<'a>, Bad> {
        let mut input = Input(body);
        let request = match Command::from_raw(command).ok_or(Bad::Command(command))? {
            Command::Version => Request::Version { major: input.u16()?, minor: input.u16()?, text: input.text()? },
            Command::DmaMap => {
                input.argument_size(32)?;
                let (flags, offset, iova, size) = (input.u32()?, input.u64()?, input.u64()?, input.u64()?);
                if flags & !(MAP_READ | MAP_WRITE) != 0 || flags == 0 {
                    return Err(Bad::Flags(flags));
                }
                range(iova, size)?;
                range(offset, size)?;
                Request::DmaMap { flags, offset, iova, size }
            }
            Command::DmaUnmap => {
                input.argument_size(24)?;
                let (flags, iova, size) = (input.u32()?, input.u64()?, input.u64()?);
                match flags {
                    // Up to the very last address: what is to be taken back is never refused for being large.
                    0 if size > 0 && iova.checked_add(size - 1).is_some() => {}
                    0 => return Err(Bad::Range(iova)),
                    UNMAP_ALL if (iova, size) == (0, 0) => {}
                    _ => return Err(Bad::Flags(flags)),
                }
                Request::DmaUnmap { flags, iova, size }
            }
            Command::GetInfo => {
                input.argument_size(16)?;
                // Flags and counts are the answer's.
                let _: [u8; 12] = input.take()?;
                Request::GetInfo
            }
            Command::GetRegionInfo => {
                let room = input.argument_size(32)?;
                let _flags = input.u32()?;
                let index = input.u32()?;
                let _: [u8; 20] = input.take()?;
                Request::GetRegionInfo { room, index }
            }
            Command::GetIrqInfo => {
                input.argument_size(16)?;
                let _flags = input.u32()?;
                let index = input.u32()?;
                let _count = input.u32()?;
                Request::GetIrqInfo { index }
            }
            Command::SetIrqs => {
                input.argument_size(20)?;
                let (flags, index, start, count) = (input.u32()?, input.u32()?, input.u32()?, input.u32()?);
                let data = input.rest();
                let (kind, action) = (flags & 7, flags & !7);
                if !matches!(kind, IRQ_DATA_NONE | IRQ_DATA_BOOL | IRQ_DATA_EVENTFD)
                    || !matches!(action, IRQ_MASK | IRQ_UNMASK | IRQ_TRIGGER)
                {
                    return Err(Bad::Flags(flags));
                }
                let wanted = if kind == IRQ_DATA_BOOL { count as usize } else { 0 };
                if data.len() != wanted || start.checked_add(count).is_none() {
                    return Err(Bad::Count(count));
                }
                Request::SetIrqs { flags, index, start, count, data }
            }
            Command::RegionRead => {
                let (offset, region, count) = (input.u64()?, input.u32()?, input.u32()?);
                access(offset, count)?;
                Request::RegionRead { offset, region, count }
            }
            Command::RegionWrite => {
                let (offset, region, count) = (input.u64()?, input.u32()?, input.u32()?);
                access(offset, count)?;
                Request::RegionWrite { offset, region, data: counted(input.rest(), count)? }
            }
            Command::Reset => Request::Reset,
        };
        input.end(request)
    }

    /// Appends the message.
    pub fn encode(&self, id: u16, no_reply: bool, out: &mut Vec<u8>) {
        let at = out.len();
        let command = self.command() as u16;
        Header { id, command, body: 0, reply: false, no_reply, error: None }.encode(out);
        let mut words = |words: &[u32]| words.iter().for_each(|word| out.extend(word.to_le_bytes()));
        match *self {
            Request::Version { major, minor, text } => version(major, minor, text, out),
            Request::DmaMap { flags, offset, iova, size } => {
                words(&[32, flags]);
                [offset, iova, size].iter().for_each(|word| out.extend(word.to_le_bytes()));
            }
            Request::DmaUnmap { flags, iova, size } => {
                words(&[24, flags]);
                [iova, size].iter().for_each(|word| out.extend(word.to_le_bytes()));
            }
            Request::GetInfo => words(&[16, 0, 0, 0]),
            Request::GetRegionInfo { room, index } => words(&[room, 0, index, 0, 0, 0, 0, 0]),
            Request::GetIrqInfo { index } => words(&[16, 0, index, 0]),
            Request::SetIrqs { flags, index, start, count, data } => {
                words(&[20 + data.len() as u32, flags, index, start, count]);
                out.extend(data);
            }
            Request::RegionRead { offset, region, count } => accessed(offset, region, count, out),
            Request::RegionWrite { offset, region, data } => {
                accessed(offset, region, data.len() as u32, out);
                out.extend(data);
            }
            Request::Reset => {}
        }
        set_size(out, at);
    }
}

impl<'a> Reply<'a> {
    /// The command that is answered.
    pub fn command(&self) -> Command {
        match self {
            Reply::Version { .. } => Command::Version,
            Reply::Done(command) => *command,
            Reply::DmaUnmap { .. } => Command::DmaUnmap,
            Reply::Info { .. } => Command::GetInfo,
            Reply::RegionInfo { .. } => Command::GetRegionInfo,
            Reply::IrqInfo { .. } => Command::GetIrqInfo,
            Reply::RegionRead { .. } => Command::RegionRead,
            Reply::RegionWrite { .. } => Command::RegionWrite,
        }
    }

    /// Of its body, which is whole.
    pub fn decode(command: Command, body: &'a [u8]) -> Result<Reply<'a>, Bad> {
        let mut input = Input(body);
        let reply = match command {
            Command::Version => Reply::Version { major: input.u16()?, minor: input.u16()?, text: input.text()? },
            Command::DmaMap | Command::SetIrqs | Command::Reset => Reply::Done(command),
            Command::DmaUnmap => {
                input.argument_size(24)?;
                Reply::DmaUnmap { flags: input.u32()?, iova: input.u64()?, size: input.u64()? }
            }
            Command::GetInfo => {
                input.argument_size(16)?;
                Reply::Info { flags: input.u32()?, regions: input.u32()?, irqs: input.u32()? }
            }
            Command::GetRegionInfo => {
                input.argument_size(32)?;
                let (flags, index, _capabilities) = (input.u32()?, input.u32()?, input.u32()?);
                let (size, offset) = (input.u64()?, input.u64()?);
                // Capabilities (parts that can be mapped) may follow: what is read and written goes by messages.
                input.rest();
                Reply::RegionInfo { flags, index, size, offset }
            }
            Command::GetIrqInfo => {
                input.argument_size(16)?;
                Reply::IrqInfo { flags: input.u32()?, index: input.u32()?, count: input.u32()? }
            }
            Command::RegionRead => {
                let (offset, region, count) = (input.u64()?, input.u32()?, input.u32()?);
                Reply::RegionRead { offset, region, data: counted(input.rest(), count)? }
            }
            Command::RegionWrite => {
                Reply::RegionWrite { offset: input.u64()?, region: input.u32()?, count: input.u32()? }
            }
        };
        input.end(reply)
    }

    /// Appends the message.
    pub fn encode(&self, id: u16, out: &mut Vec<u8>) {
        let at = out.len();
        let command = self.command() as u16;
        Header { id, command, body: 0, reply: true, no_reply: false, error: None }.encode(out);
        let mut words = |words: &[u32]| words.iter().for_each(|word| out.extend(word.to_le_bytes()));
        match *self {
            Reply::Version { major, minor, text } => version(major, minor, text, out),
            Reply::Done(_) => {}
            Reply::DmaUnmap { flags, iova, size } => {
                words(&[24, flags]);
                [iova, size].iter().for_each(|word| out.extend(word.to_le_bytes()));
            }
            Reply::Info { flags, regions, irqs } => words(&[16, flags, regions, irqs]),
            Reply::RegionInfo { flags, index, size, offset } => {
                words(&[32, flags, index, 0]);
                [size, offset].iter().for_each(|word| out.extend(word.to_le_bytes()));
            }
            Reply::IrqInfo { flags, index, count } => words(&[16, flags, index, count]),
            Reply::RegionRead { offset, region, data } => {
                accessed(offset, region, data.len() as u32, out);
                out.extend(data);
            }
            Reply::RegionWrite { offset, region, count } => accessed(offset, region, count, out),
        }
        set_size(out, at);
    }
}

/// Appends an error reply.
pub fn encode_error(id: u16, command: u16, errno: u32, out: &mut Vec<u8>) {
    Header { id, command, body: 0, reply: true, no_reply: false, error: Some(errno) }.encode(out);
}

fn version(major: u16, minor: u16, text: &[u8], out: &mut Vec<u8>) {
    out.extend(major.to_le_bytes());
    out.extend(minor.to_le_bytes());
    out.extend(text);
    out.push(0);
}

fn accessed(offset: u64, region: u32, count: u32, out: &mut Vec<u8>) {
    out.extend(offset.to_le_bytes());
    out.extend(region.to_le_bytes());
    out.extend(count.to_le_bytes());
}

fn set_size(out: &mut [u8], at: usize) {
    let size = (out.len() - at) as u32;
    if let Some(place) = out.get_mut(at + 4..at + 8) {
        place.copy_from_slice(&size.to_le_bytes());
    }
}

/// Not empty, and it ends within all addresses.
fn range(start: u64, size: u64) -> Result<(), Bad> {
    if size > 0 && start.checked_add(size).is_some() { Ok(()) } else { Err(Bad::Range(start)) }
}

fn access(offset: u64, count: u32) -> Result<(), Bad> {
    if count == 0 || count as usize > DATA_MAX {
        return Err(Bad::Count(count));
    }
    range(offset, count.into())
}

#[cfg(test)]
mod tests;
