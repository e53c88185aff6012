//! The encapsulation (volume 2, chapter 2): header, commands, items.

use super::cip::{self, Cip};
use crate::wire::{le16, le32, le64};

/// Bytes of the header.
pub const HEADER: usize = 24;
/// Most items of a message.
const ITEMS_MAX: usize = 16;

/// What a device says it is (volume 2, section 2-4.2.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    pub protocol_version: u16,
    pub vendor: u16,
    pub device_type: u16,
    pub product_code: u16,
    /// Major and minor.
    pub revision: [u8; 2],
    pub status: u16,
    pub serial: u32,
    pub product_name: Vec<u8>,
    pub state: u8,
}

/// What a service is (section 2-4.4.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    pub protocol_version: u16,
    pub capabilities: u16,
    pub name: Vec<u8>,
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    pub command: u16,
    pub session: u32,
    pub status: u32,
    pub context: u64,
    /// Of a session that begins: version and options.
    pub session_data: Option<(u16, u16)>,
    pub identity: Option<Identity>,
    pub service: Option<Service>,
    /// Number of a message of a connection.
    pub sequence: Option<u16>,
    pub cip: Option<Cip>,
    /// The data contradicts itself.
    pub malformed: bool,
}

/// The command is one that is assigned (table 2-3.2).
pub fn is_command(command: u16) -> bool {
    matches!(command, 0x00 | 0x01 | 0x04 | 0x05 | 0x63 | 0x64 | 0x65 | 0x66 | 0x6f | 0x70 | 0x72 | 0x73)
}

/// Read a whole message.
pub fn read(bytes: &[u8]) -> Option<Message> {
    let mut m = Message {
        command: le16(bytes, 0)?,
        session: le32(bytes, 4)?,
        status: le32(bytes, 8)?,
        context: le64(bytes, 12)?,
        ..Message::default()
    };
    let data = bytes.get(HEADER..)?;
    m.malformed = !is_command(m.command) || (!data.is_empty() && body(&mut m, data).is_none());
    Some(m)
}

fn body(m: &mut Message, data: &[u8]) -> Option<()> {
    match m.command {
        0x65 => m.session_data = Some((le16(data, 0)?, le16(data, 2)?)),
        0x04 | 0x63 | 0x64 => items(m, data)?,
        // Interface handle and time-out come before the items.
        0x6f | 0x70 => items(m, data.get(6..)?)?,
        _ => {}
    }
    Some(())
}

fn items(m: &mut Message, data: &[u8]) -> Option<()> {
    let count = usize::from(le16(data, 0)?).min(ITEMS_MAX);
    let mut rest = data.get(2..)?;
    for _ in 0..count {
        let (kind, length) = (le16(rest, 0)?, usize::from(le16(rest, 2)?));
        let item = rest.get(4..4 + length)?;
        rest = &rest[4 + length..];
        match kind {
            0x0c => m.identity = Some(identity(item)?),
            0x100 => {
                let name = item.get(4..)?;
                let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
                m.service = Some(Service {
                    protocol_version: le16(item, 0)?,
                    capabilities: le16(item, 2)?,
                    name: name[..end.min(64)].to_vec(),
                });
            }
            // Connected data begins with a number, unconnected with the message.
            0xb1 => {
                m.sequence = Some(le16(item, 0)?);
                m.cip = item.get(2..).and_then(cip::read);
            }
            0xb2 => m.cip = cip::read(item),
            _ => {}
        }
    }
    Some(())
}

fn identity(item: &[u8]) -> Option<Identity> {
    let name_length = usize::from(*item.get(32)?);
    Some(Identity {
        protocol_version: le16(item, 0)?,
        vendor: le16(item, 18)?,
        device_type: le16(item, 20)?,
        product_code: le16(item, 22)?,
        revision: [*item.get(24)?, *item.get(25)?],
        status: le16(item, 26)?,
        serial: le32(item, 28)?,
        product_name: item.get(33..33 + name_length)?.to_vec(),
        state: item.get(33 + name_length).copied().unwrap_or(0),
    })
}
