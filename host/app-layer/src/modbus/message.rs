//! A message: the header, then what its function says.

use super::function;
use crate::wire::be16;

/// Length of the header, up to the length field.
pub const HEADER: usize = 6;
/// Most bytes of a data unit behind the header (Messaging on TCP/IP, section 4.1: 253, and the unit's identifier).
pub const LENGTH_MAX: usize = 254;

/// A value does not fit what it stands for.
pub const BAD_VALUE: u8 = 1;
/// Lengths contradict each other.
pub const BAD_LENGTH: u8 = 1 << 1;
/// The exception is not assigned.
pub const BAD_EXCEPTION: u8 = 1 << 2;
/// The function is none.
pub const BAD_FUNCTION: u8 = 1 << 3;
/// The protocol is not Modbus.
pub const BAD_PROTOCOL: u8 = 1 << 4;

/// What a function reads or writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Area {
    pub address: u16,
    pub quantity: u16,
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// Of one coil or register, or the number in a response.
    One(u16),
    Several(Vec<u8>),
    Mask { and: u16, or: u16 },
}

/// What a message carries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    pub transaction: u16,
    pub protocol: u16,
    pub unit: u8,
    /// As it stands in the message.
    pub function: u8,
    pub response: bool,
    pub read: Option<Area>,
    pub read_data: Option<Vec<u8>>,
    pub write: Option<(Area, Written)>,
    /// Subfunction of diagnostics, or type of the encapsulated interface.
    pub sub: Option<u16>,
    pub exception: Option<u8>,
    pub data: Option<Vec<u8>>,
    /// [`BAD_VALUE`] and its like.
    pub errors: u8,
}

impl Message {
    /// The function, without the bit that makes it an exception.
    pub fn code(&self) -> u8 {
        self.function & 0x7f
    }

    pub fn access(&self) -> u64 {
        function::describe(self.code()).1
    }

    pub fn category(&self) -> u64 {
        function::category(self.function, self.sub)
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        let written = match &self.write {
            Some((_, Written::Several(data))) => data.len(),
            _ => 0,
        };
        256 + written + [&self.data, &self.read_data].into_iter().flatten().map(Vec::len).sum::<usize>()
    }

    /// Values written, by their number, which begins at one (section 4.4).
    pub fn values(&self) -> Vec<(u64, u64)> {
        let Some((area, written)) = &self.write else { return Vec::new() };
        let first = u64::from(area.address) + 1;
        match written {
            Written::One(value) => vec![(first, (*value).into())],
            Written::Mask { .. } => Vec::new(),
            Written::Several(data) if self.access() & function::COILS != 0 => (0..u64::from(area.quantity))
                .map_while(|n| Some((first + n, u64::from(data.get(n as usize / 8)? >> (n % 8) & 1))))
                .collect(),
            Written::Several(data) => {
                let values = data.chunks_exact(2).map(|pair| u64::from(u16::from_be_bytes([pair[0], pair[1]])));
                values.take(area.quantity.into()).enumerate().map(|(n, value)| (first + n as u64, value)).collect()
            }
        }
    }

    /// First and last number of what is read or written.
    pub fn addresses(&self) -> impl Iterator<Item = (u64, u64)> {
        let range = |area: &Area| {
            let first = u64::from(area.address) + 1;
            (first, first + u64::from(area.quantity.max(1)) - 1)
        };
        [self.read.as_ref().map(range), self.write.as_ref().map(|(area, _)| range(area))].into_iter().flatten()
    }
}

/// Read a message, header included. What is cut short is marked.
pub fn read(bytes: &[u8], response: bool) -> Option<Message> {
    let mut m = Message {
        transaction: be16(bytes, 0)?,
        protocol: be16(bytes, 2)?,
        unit: *bytes.get(6)?,
        function: *bytes.get(7)?,
        response,
        ..Message::default()
    };
    if m.protocol != 0 {
        m.errors |= BAD_PROTOCOL;
    }
    if usize::from(be16(bytes, 4)?) > LENGTH_MAX {
        m.errors |= BAD_LENGTH;
    }
    let data = bytes.get(8..).unwrap_or(&[]);
    if m.function & 0x80 != 0 {
        match data.first() {
            Some(code) if response => {
                m.exception = Some(*code);
                if function::exception(*code) == "Unknown" {
                    m.errors |= BAD_EXCEPTION;
                }
            }
            Some(_) => m.errors |= BAD_FUNCTION,
            None => m.errors |= BAD_LENGTH,
        }
        return Some(m);
    }
    if m.function == 0 {
        m.errors |= BAD_FUNCTION;
    }
    if body(&mut m, data).is_none() {
        m.errors |= BAD_LENGTH;
    }
    Some(m)
}

/// Behind a count of bytes.
fn counted(data: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(*data.get(at)?);
    data.get(at + 1..at + 1 + length)
}

fn area(m: &mut Message, data: &[u8], at: usize, most: u16) -> Option<Area> {
    let area = Area { address: be16(data, at)?, quantity: be16(data, at + 2)? };
    if !(1..=most).contains(&area.quantity) {
        m.errors |= BAD_VALUE;
    }
    Some(area)
}

fn body(m: &mut Message, data: &[u8]) -> Option<()> {
    match (m.function, m.response) {
        (1..=4, false) => m.read = Some(area(m, data, 0, if m.function <= 2 { 2000 } else { 125 })?),
        (1..=4 | 23, true) => m.read_data = Some(counted(data, 0)?.to_vec()),
        (5 | 6, _) => {
            let value = be16(data, 2)?;
            if m.function == 5 && !matches!(value, 0 | 0xff00) {
                m.errors |= BAD_VALUE;
            }
            m.write = Some((Area { address: be16(data, 0)?, quantity: 1 }, Written::One(value)));
        }
        (15 | 16, true) => m.write = Some((Area { address: be16(data, 0)?, quantity: 1 }, Written::One(be16(data, 2)?))),
        (15 | 16, false) => {
            let area = area(m, data, 0, if m.function == 15 { 1968 } else { 123 })?;
            several(m, area, counted(data, 4)?);
        }
        (22, _) => {
            let area = Area { address: be16(data, 0)?, quantity: 1 };
            m.write = Some((area, Written::Mask { and: be16(data, 2)?, or: be16(data, 4)? }));
        }
        (23, false) => {
            m.read = Some(area(m, data, 0, 125)?);
            let area = area(m, data, 4, 121)?;
            several(m, area, counted(data, 8)?);
        }
        (8, _) => {
            m.sub = Some(be16(data, 0)?);
            m.data = Some(data.get(2..)?.to_vec());
        }
        (43, _) => {
            m.sub = Some((*data.first()?).into());
            m.data = Some(data.get(1..)?.to_vec());
        }
        _ => m.data = Some(data.to_vec()),
    }
    Some(())
}

fn several(m: &mut Message, area: Area, data: &[u8]) {
    let needed = if m.function == 15 { usize::from(area.quantity).div_ceil(8) } else { 2 * usize::from(area.quantity) };
    if needed != data.len() {
        m.errors |= BAD_VALUE;
    }
    m.write = Some((area, Written::Several(data.to_vec())));
}

/// The response is one to the request: what it echoes is the same, and it has as much data as was asked for.
pub fn agree(request: &Message, response: &Message) -> bool {
    if request.unit != response.unit || request.code() != response.code() {
        return false;
    }
    if response.exception.is_some() {
        return true;
    }
    if let (Some(area), Some(data)) = (&request.read, &response.read_data) {
        let quantity = usize::from(area.quantity);
        let bits = request.access() & (function::COILS | function::DISCRETES) != 0;
        let length = if bits { quantity.div_ceil(8) } else { 2 * quantity };
        return data.len() == length;
    }
    if let (Some((asked, written)), Some((told, echo))) = (&request.write, &response.write) {
        let same = match (written, echo) {
            (Written::Several(_), Written::One(quantity)) => *quantity == asked.quantity,
            (written, echo) => written == echo,
        };
        return asked.address == told.address && same;
    }
    request.sub == response.sub
}
