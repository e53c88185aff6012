//! Messages of SMB 2 and 3 (MS-SMB2 section 2.2).

use super::message::{Change, Data, Details, Handle, Key, Meaning, Message};
use crate::wire::{le16, le32, le64, utf16};

const HEADER: usize = 64;
const FLAG_RESPONSE: u32 = 1;
const FLAG_ASYNC: u32 = 2;
const STATUS_PENDING: u32 = 0x103;
/// Commands (section 2.2.1.2).
pub(super) mod commands {
    pub const NEGOTIATE: u16 = 0;
    pub const SESSION_SETUP: u16 = 1;
    pub const TREE_CONNECT: u16 = 3;
    pub const CREATE: u16 = 5;
    pub const CLOSE: u16 = 6;
    pub const READ: u16 = 8;
    pub const WRITE: u16 = 9;
    pub const IOCTL: u16 = 11;
    pub const QUERY_INFO: u16 = 16;
    pub const SET_INFO: u16 = 17;
}
const FSCTL_PIPE_TRANSCEIVE: u32 = 0x0011_c017;
/// Most messages of one compound (section 3.2.4.1.4).
const COMPOUND_MAX: usize = 64;

/// The messages of a record, and whether all of it was readable.
pub(super) fn messages(record: &[u8], total: usize) -> (Vec<Message>, bool) {
    let (mut out, mut at) = (Vec::new(), 0usize);
    loop {
        let Some(bytes) = record.get(at..) else { return (out, false) };
        let Some((mut message, next)) = header(bytes) else { return (out, false) };
        let end = if next == 0 { bytes.len() } else { next.min(bytes.len()) };
        let last = next == 0;
        message.meaning = meaning(&message, bytes.get(..end).unwrap_or(bytes), at).unwrap_or(Meaning::Malformed);
        message.details = details(&message, bytes.get(..end).unwrap_or(bytes)).unwrap_or_default();
        let malformed = message.meaning == Meaning::Malformed;
        out.push(message);
        // What is cut off by the bound on records is not malformed.
        if malformed && record.len() == total {
            return (out, false);
        }
        if last || out.len() >= COMPOUND_MAX {
            return (out, true);
        }
        at += next;
        if at >= record.len() {
            return (out, record.len() < total);
        }
    }
}

fn header(bytes: &[u8]) -> Option<(Message, usize)> {
    let flags = le32(bytes, 16)?;
    let response = flags & FLAG_RESPONSE != 0;
    let status = le32(bytes, 8)?;
    let message = Message {
        details: Details::default(),
        session: le64(bytes, 40)?,
        version: 2,
        command: le16(bytes, 12)?,
        response,
        status: if response { status } else { 0 },
        interim: response && status == STATUS_PENDING,
        key: Key { session: le64(bytes, 40)?, message: le64(bytes, 24)? },
        // An asynchronous answer has another number at this place.
        tree: if flags & FLAG_ASYNC != 0 { 0 } else { le32(bytes, 36)? },
        meaning: Meaning::Other,
    };
    (bytes.len() >= HEADER).then_some((message, le32(bytes, 20)? as usize))
}

fn handle(bytes: &[u8], at: usize) -> Option<Handle> {
    bytes.get(at..at.checked_add(16)?)?.try_into().ok()
}


fn data(base: usize, start: usize, length: usize, offset: u64) -> Data {
    Data { start: base.saturating_add(start), length, offset }
}

/// Meaning of the body behind the header; `base` is the message's place in its record.
fn meaning(message: &Message, m: &[u8], base: usize) -> Option<Meaning> {
    let span = |offset: usize, length: usize| m.get(offset..offset.checked_add(length)?);
    let b = HEADER;
    // Severity error; a warning (STATUS_BUFFER_OVERFLOW) still carries data (MS-ERREF section 2.3).
    let failed = message.response && message.status >> 30 == 3;
    Some(match (message.command, message.response) {
        (commands::NEGOTIATE, false) => {
            let count = usize::from(le16(m, b + 2)?);
            let dialects: Vec<_> = (0..count).map_while(|n| le16(m, b + 36 + 2 * n)).map(dialect).collect();
            let whole = dialects.len() == count;
            Meaning::Negotiate(dialects, whole && count > 0)
        }
        (commands::SESSION_SETUP, false) => {
            Meaning::SessionSetup(span(usize::from(le16(m, b + 12)?), usize::from(le16(m, b + 14)?))?.to_vec())
        }
        (commands::TREE_CONNECT, false) => {
            Meaning::TreeConnect(utf16(span(usize::from(le16(m, b + 4)?), usize::from(le16(m, b + 6)?))?))
        }
        (commands::TREE_CONNECT, true) if !failed => Meaning::TreeConnected(*m.get(b + 2)? == 2),
        (commands::CREATE, false) => {
            Meaning::Create(utf16(span(usize::from(le16(m, b + 44)?), usize::from(le16(m, b + 46)?))?))
        }
        (commands::CREATE, true) if !failed => Meaning::Created(handle(m, b + 64)?),
        (commands::CLOSE, false) => Meaning::Close(handle(m, b + 8)?),
        (commands::READ, false) => Meaning::Read(handle(m, b + 16)?, le64(m, b + 8)?),
        (commands::READ, true) if !failed => {
            Meaning::ReadData(data(base, usize::from(*m.get(b + 2)?), le32(m, b + 4)? as usize, 0))
        }
        (commands::WRITE, false) => {
            let (start, length) = (usize::from(le16(m, b + 2)?), le32(m, b + 4)? as usize);
            Meaning::Write(handle(m, b + 16)?, data(base, start, length, le64(m, b + 8)?))
        }
        (commands::IOCTL, false) if le32(m, b + 4)? == FSCTL_PIPE_TRANSCEIVE => {
            let (start, length) = (le32(m, b + 24)? as usize, le32(m, b + 28)? as usize);
            Meaning::PipeRequest(Some(handle(m, b + 8)?), data(base, start, length, 0))
        }
        (commands::IOCTL, true) if !failed && le32(m, b + 4)? == FSCTL_PIPE_TRANSCEIVE => {
            let (start, length) = (le32(m, b + 32)? as usize, le32(m, b + 36)? as usize);
            Meaning::PipeResponse(data(base, start, length, 0))
        }
        (commands::QUERY_INFO, false) => Meaning::Quiet,
        // Renaming and deleting are transactions (MS-FSCC section 2.4).
        (commands::SET_INFO, false) if !matches!(m.get(b + 3), Some(10 | 13)) => Meaning::Quiet,
        _ => Meaning::Other,
    })
}

/// What logs say of the body.
fn details(message: &Message, m: &[u8]) -> Option<Details> {
    let b = HEADER;
    let guid = |at: usize| m.get(at..at + 16)?.try_into().ok();
    let failed = message.response && message.status >> 30 == 3;
    let mut d = Details::default();
    match (message.command, message.response) {
        (commands::NEGOTIATE, false) => d.client_guid = guid(b + 12),
        (commands::NEGOTIATE, true) if !failed => {
            d.dialect = le16(m, b + 4);
            d.server_guid = guid(b + 8);
            d.sizes = Some((le32(m, b + 32)?, le32(m, b + 36)?));
        }
        (commands::TREE_CONNECT, true) if !failed => d.share_type = m.get(b + 2).copied(),
        (commands::CREATE, false) => d.create = Some((le32(m, b + 36)?, le32(m, b + 40)?)),
        (commands::CREATE, true) if !failed => {
            d.times = Some(([le64(m, b + 8)?, le64(m, b + 16)?, le64(m, b + 24)?, le64(m, b + 32)?], le64(m, b + 48)?));
        }
        (commands::SESSION_SETUP, false) => {
            let (start, length) = (usize::from(le16(m, b + 12)?), usize::from(le16(m, b + 14)?));
            d.ticket = m.get(start..start.checked_add(length)?).and_then(super::ntlmssp::ticket);
        }
        (commands::IOCTL, false) => d.function = le32(m, b + 4),
        (commands::SET_INFO, false) => {
            let (kind, class) = (*m.get(b + 2)?, *m.get(b + 3)?);
            let (length, start) = (le32(m, b + 4)? as usize, usize::from(le16(m, b + 8)?));
            let input = m.get(start..start.checked_add(length)?)?;
            let change = match (kind, class) {
                // FileDispositionInformation, FileRenameInformation (MS-FSCC sections 2.4.11 and 2.4.42.2).
                (1, 13) => Some(Change::Delete(*input.first()? != 0)),
                (1, 10) => {
                    let length = le32(input, 16)? as usize;
                    Some(Change::Rename(utf16(input.get(20..)?.get(..length)?)))
                }
                _ => None,
            };
            d.change = change.zip(handle(m, b + 16)).map(|(change, handle)| (handle, change));
        }
        _ => {}
    }
    Some(d)
}

/// Names of dialects (section 2.2.3).
pub(super) fn dialect(number: u16) -> Vec<u8> {
    let name: &[u8] = match number {
        0x0202 => b"2.02",
        0x0210 => b"2.10",
        0x0222 => b"2.22",
        0x0224 => b"2.24",
        0x02ff => b"2.??",
        0x0300 => b"3.00",
        0x0302 => b"3.02",
        0x0310 => b"3.10",
        0x0311 => b"3.11",
        _ => b"unknown",
    };
    name.to_vec()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A message with a body behind its header.
    pub fn message(command: u16, response: bool, status: u32, number: u64, tree: u32, body: &[u8]) -> Vec<u8> {
        let mut out = vec![0; HEADER];
        out[..4].copy_from_slice(b"\xfeSMB");
        out[4] = 64;
        out[8..12].copy_from_slice(&status.to_le_bytes());
        out[12..14].copy_from_slice(&command.to_le_bytes());
        out[16] = u8::from(response);
        out[24..32].copy_from_slice(&number.to_le_bytes());
        out[36..40].copy_from_slice(&tree.to_le_bytes());
        out.extend_from_slice(body);
        out
    }

    pub fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn compounds() {
        let mut create = vec![0; 56];
        create[44..46].copy_from_slice(&120u16.to_le_bytes());
        create[46..48].copy_from_slice(&2u16.to_le_bytes());
        create.extend_from_slice(&wide("a"));
        let mut first = message(commands::CREATE, false, 0, 5, 1, &create);
        first.resize(128, 0);
        first[20] = 128;
        let second = message(commands::CLOSE, false, 0, 6, 1, &[7; 24]);
        let record = [first, second].concat();
        let (all, whole) = messages(&record, record.len());
        assert!(whole);
        assert_eq!(all.iter().map(|m| m.meaning.clone()).collect::<Vec<_>>(), [Meaning::Create(b"a".to_vec()), Meaning::Close([7; 16])]);
        assert_eq!(all[1].key.message, 6);
        assert!(!messages(&record[..100], 100).1);
    }

    #[test]
    fn what_is_too_short_is_malformed_and_never_read_beyond() {
        for command in 0..20 {
            for response in [false, true] {
                for length in 0..80 {
                    let record = message(command, response, 0, 1, 1, &vec![0xff; length]);
                    let _ = messages(&record, record.len());
                    let _ = messages(&record[..length], length);
                }
            }
        }
        let record = message(commands::CREATE, false, 0, 1, 1, &[0xff; 50]);
        assert_eq!(messages(&record, record.len()).0[0].meaning, Meaning::Malformed);
    }
}
