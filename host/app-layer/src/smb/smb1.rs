//! Messages of SMB 1 (MS-CIFS section 2.2, MS-SMB section 2.2).

use super::message::{Data, Details, Handle, Key, Meaning, Message};
use crate::wire::{le16, le32, le64, utf16};

const HEADER: usize = 32;
const FLAG_RESPONSE: u8 = 0x80;
const FLAGS2_UNICODE: u16 = 0x8000;
/// The status is one of NT.
const FLAGS2_NT_STATUS: u16 = 0x4000;
/// Commands (MS-CIFS section 2.2.2.1).
mod commands {
    pub const CLOSE: u8 = 0x04;
    pub const READ: u8 = 0x0a;
    pub const WRITE: u8 = 0x0b;
    pub const TRANSACTION: u8 = 0x25;
    pub const OPEN_ANDX: u8 = 0x2d;
    pub const READ_ANDX: u8 = 0x2e;
    pub const WRITE_ANDX: u8 = 0x2f;
    pub const TRANSACTION2: u8 = 0x32;
    pub const NEGOTIATE: u8 = 0x72;
    pub const SESSION_SETUP_ANDX: u8 = 0x73;
    pub const LOGOFF_ANDX: u8 = 0x74;
    pub const TREE_CONNECT_ANDX: u8 = 0x75;
    pub const NT_CREATE_ANDX: u8 = 0xa2;
    pub const NONE: u8 = 0xff;
}
/// TRANS_TRANSACT_NMPIPE (section 2.2.5.6).
const TRANSACT_PIPE: u16 = 0x26;
/// Most commands of one message.
const CHAIN_MAX: usize = 16;

/// The block of a command within a message: its words and bytes.
struct Block<'a> {
    message: &'a [u8],
    words: &'a [u8],
    /// Where the bytes begin in the message.
    start: usize,
    bytes: &'a [u8],
    unicode: bool,
}

/// The commands of a record, one for each command of a chain, and whether all of it was readable.
pub(super) fn messages(record: &[u8], total: usize) -> (Vec<Message>, bool) {
    let mut out = Vec::new();
    let Some(head) = record.get(..HEADER) else { return (out, false) };
    let response = head[9] & FLAG_RESPONSE != 0;
    let word = |at| le16(head, at).unwrap_or(0);
    let status = if response { le32(head, 5).unwrap_or(0) } else { 0 };
    let unicode = word(10) & FLAGS2_UNICODE != 0;
    let mut command = head[4];
    let mut at = HEADER;
    loop {
        let number = u64::from(word(30)) | u64::from(word(26)) << 16 | (out.len() as u64) << 32;
        let block = block(record, at, unicode);
        let meaning = match &block {
            Some(block) => meaning(command, response, status, block).unwrap_or(Meaning::Malformed),
            None => Meaning::Malformed,
        };
        let malformed = meaning == Meaning::Malformed;
        let mut details = block.as_ref().map(|block| details(command, response, block)).unwrap_or_default();
        details.dos = response && status != 0 && word(10) & FLAGS2_NT_STATUS == 0;
        out.push(Message {
            details,
            session: word(28).into(),
            version: 1,
            command: command.into(),
            response,
            status,
            interim: false,
            // The user's number changes with the answer to a session setup, the tree's with that to a tree connect.
            key: Key { session: 0, message: number },
            tree: word(24).into(),
            meaning,
        });
        if malformed {
            return (out, record.len() < total);
        }
        let Some(block) = block.filter(|_| chains(command)) else { return (out, true) };
        let (next, offset) = (block.words.first().copied().unwrap_or(commands::NONE), le16(block.words, 2).unwrap_or(0));
        // A chain only goes forward.
        if next == commands::NONE || usize::from(offset) <= at || out.len() >= CHAIN_MAX {
            return (out, true);
        }
        (command, at) = (next, usize::from(offset));
    }
}

fn chains(command: u8) -> bool {
    use commands::*;
    matches!(
        command,
        SESSION_SETUP_ANDX | LOGOFF_ANDX | TREE_CONNECT_ANDX | NT_CREATE_ANDX | OPEN_ANDX | READ_ANDX | WRITE_ANDX | 0x24
    )
}

fn block(message: &[u8], at: usize, unicode: bool) -> Option<Block<'_>> {
    let count = usize::from(*message.get(at)?) * 2;
    let words = message.get(at + 1..at + 1 + count)?;
    let start = at + 1 + count + 2;
    // The count of bytes is 16 bits, and wrong where a write is larger; what is there counts.
    Some(Block { message, words, start, bytes: message.get(start..).unwrap_or(&[]), unicode })
}

/// What logs say of a command (MS-CIFS section 2.2.4.52, MS-SMB sections 2.2.4.5 and 2.2.4.9).
fn details(command: u8, response: bool, block: &Block<'_>) -> Details {
    let words = block.words;
    let mut d = Details::default();
    match (command, response) {
        (commands::NEGOTIATE, true) => {
            d.dialect = le16(words, 0);
            // With extended security the server's identifier stands before its token.
            let extended = le32(words, 19).is_some_and(|capabilities| capabilities >> 31 == 1);
            d.server_guid = block.bytes.get(..16).filter(|_| extended).and_then(|guid| guid.try_into().ok());
        }
        (commands::SESSION_SETUP_ANDX, _) => d.native[usize::from(response)] = native(response, block),
        (commands::NT_CREATE_ANDX, false) => {
            d.create = le32(words, 35).and_then(|disposition| Some((disposition, le32(words, 39)?)));
        }
        (commands::NT_CREATE_ANDX, true) => {
            let times = (|| Some([le64(words, 11)?, le64(words, 19)?, le64(words, 27)?, le64(words, 35)?]))();
            d.times = times.and_then(|times| Some((times, le64(words, 55)?)));
        }
        (commands::TREE_CONNECT_ANDX, false) => {
            // Password, share, service (MS-CIFS section 2.2.4.55.1); the service is never UTF-16.
            let end = block.bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
            let begin = block.bytes[..end].iter().rposition(|b| *b == 0).map_or(0, |at| at + 1);
            d.service[0] = Some(block.bytes[begin..end].to_vec());
        }
        (commands::TREE_CONNECT_ANDX, true) => {
            d.service[1] = memchr::memchr(0, block.bytes).map(|end| block.bytes[..end].to_vec());
        }
        _ => {}
    }
    d
}

/// Longest name that is kept.
const NATIVE_MAX: usize = 256;

/// Operating system and LAN manager, behind the token or the names before it (MS-SMB sections 2.2.4.6.1 and 2.2.4.6.2,
/// MS-CIFS section 2.2.4.53).
fn native(response: bool, block: &Block<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let words = block.words;
    let length = |at: usize| le16(words, at).map(usize::from);
    let (mut at, names) = match (response, words.len()) {
        (false, 24) => (length(14)?, 0),
        (true, 8) => (length(6)?, 0),
        // Passwords, account and domain.
        (false, 26) => (length(14)? + length(16)?, 2),
        (true, 6) => (0, 0),
        _ => return None,
    };
    for _ in 0..names {
        (_, at) = block.string(at)?;
    }
    let (mut system, at) = block.string(at)?;
    let mut manager = block.string(at).map_or(Vec::new(), |(name, _)| name);
    system.truncate(NATIVE_MAX);
    manager.truncate(NATIVE_MAX);
    Some((system, manager))
}

fn fid(words: &[u8], at: usize) -> Option<Handle> {
    let [a, b] = le16(words, at)?.to_le_bytes();
    let mut out = [0; 16];
    (out[0], out[1]) = (a, b);
    Some(out)
}

impl Block<'_> {
    /// A string at a place of the bytes; in Unicode it is aligned within the message.
    fn text(&self, at: usize) -> Option<Vec<u8>> {
        if self.unicode {
            let at = at + (self.start + at) % 2;
            return Some(utf16(self.bytes.get(at..)?));
        }
        let rest = self.bytes.get(at..)?;
        Some(rest.get(..memchr::memchr(0, rest).unwrap_or(rest.len()))?.to_vec())
    }

    /// A string at a place of the bytes, and where what follows it begins.
    fn string(&self, at: usize) -> Option<(Vec<u8>, usize)> {
        if self.unicode {
            let at = at + (self.start + at) % 2;
            let rest = self.bytes.get(at..)?;
            let units = rest.chunks_exact(2).position(|unit| unit == [0, 0]).unwrap_or(rest.len() / 2);
            return Some((utf16(&rest[..2 * units]), (at + 2 * units + 2).min(self.bytes.len())));
        }
        let rest = self.bytes.get(at..)?;
        let length = memchr::memchr(0, rest).unwrap_or(rest.len());
        Some((rest[..length].to_vec(), (at + length + 1).min(self.bytes.len())))
    }

    fn data(&self, start: usize, length: usize, offset: u64) -> Data {
        let _ = self.message;
        Data { start, length, offset }
    }
}

fn meaning(command: u8, response: bool, status: u32, b: &Block<'_>) -> Option<Meaning> {
    let w = b.words;
    // An answer that refuses has no words.
    if response && w.is_empty() {
        return Some(Meaning::Other);
    }
    let failed = response && status >> 30 == 3;
    Some(match (command, response) {
        (commands::NEGOTIATE, false) => {
            let count = usize::from(le16(b.message, b.start - 2)?);
            let list = b.bytes.get(..count).unwrap_or(b.bytes);
            // Each name follows a 2 and ends with a NUL (section 2.2.4.52.1).
            let names: Vec<_> = list.split(|c| *c == 0).filter(|n| !n.is_empty()).collect();
            let whole = !names.is_empty() && list.last() == Some(&0) && names.iter().all(|n| n.first() == Some(&2));
            Meaning::Negotiate(names.iter().map(|n| n.strip_prefix(&[2]).unwrap_or(n).to_vec()).collect(), whole)
        }
        (commands::SESSION_SETUP_ANDX, false) => match w.len() / 2 {
            12 => {
                let length = usize::from(le16(w, 14)?);
                Meaning::SessionSetup(b.bytes.get(..length).unwrap_or(b.bytes).to_vec())
            }
            _ => Meaning::Other,
        },
        (commands::TREE_CONNECT_ANDX, false) => Meaning::TreeConnect(b.text(usize::from(le16(w, 6)?))?),
        (commands::TREE_CONNECT_ANDX, true) if !failed => {
            let service = b.bytes.get(..memchr::memchr(0, b.bytes)?)?;
            Meaning::TreeConnected(service.eq_ignore_ascii_case(b"IPC"))
        }
        (commands::NT_CREATE_ANDX, false) => {
            le16(w, 5)?;
            Meaning::Create(b.text(0)?)
        }
        (commands::OPEN_ANDX, false) => Meaning::Create(b.text(0)?),
        (commands::NT_CREATE_ANDX, true) if !failed => Meaning::Created(fid(w, 5)?),
        (commands::OPEN_ANDX, true) if !failed => Meaning::Created(fid(w, 4)?),
        (commands::CLOSE, false) => Meaning::Close(fid(w, 0)?),
        (commands::WRITE, false) => {
            let length = usize::from(le16(w, 2)?);
            Meaning::Write(fid(w, 0)?, b.data(b.start + 3, length, le32(w, 4)?.into()))
        }
        (commands::READ, false) => Meaning::Read(fid(w, 0)?, le32(w, 4)?.into()),
        (commands::READ, true) if !failed => Meaning::ReadData(b.data(b.start + 3, usize::from(le16(w, 0)?), 0)),
        (commands::WRITE_ANDX, false) => {
            let length = usize::from(le16(w, 20)?) | usize::from(le16(w, 18)?) << 16;
            let offset = u64::from(le32(w, 6)?) | u64::from(le32(w, 24).unwrap_or(0)) << 32;
            Meaning::Write(fid(w, 4)?, b.data(usize::from(le16(w, 22)?), length, offset))
        }
        (commands::READ_ANDX, false) => {
            Meaning::Read(fid(w, 4)?, u64::from(le32(w, 6)?) | u64::from(le32(w, 20).unwrap_or(0)) << 32)
        }
        (commands::READ_ANDX, true) if !failed => {
            let length = usize::from(le16(w, 10)?) | usize::from(le16(w, 14)?) << 16;
            Meaning::ReadData(b.data(usize::from(le16(w, 12)?), length, 0))
        }
        (commands::TRANSACTION, false) => {
            let pipe = w.get(26) > Some(&0) && le16(w, 28) == Some(TRANSACT_PIPE);
            let data = b.data(usize::from(le16(w, 24)?), usize::from(le16(w, 22)?), 0);
            if pipe { Meaning::PipeRequest(fid(w, 30), data) } else { Meaning::Quiet }
        }
        (commands::TRANSACTION, true) if !failed => {
            Meaning::PipeResponse(b.data(usize::from(le16(w, 14)?), usize::from(le16(w, 12)?), 0))
        }
        (commands::TRANSACTION2, false) => Meaning::Quiet,
        _ => Meaning::Other,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A message of one command.
    pub fn message(command: u8, response: bool, number: u16, words: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![0; HEADER];
        out[..4].copy_from_slice(b"\xffSMB");
        out[4] = command;
        out[9] = if response { FLAG_RESPONSE } else { 0 };
        out[30..32].copy_from_slice(&number.to_le_bytes());
        out.push((words.len() / 2) as u8);
        out.extend_from_slice(words);
        out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
        out.extend_from_slice(bytes);
        out
    }

    fn meanings(record: &[u8]) -> Vec<Meaning> {
        messages(record, record.len()).0.into_iter().map(|m| m.meaning).collect()
    }

    #[test]
    fn chained_commands() {
        let mut record = message(commands::SESSION_SETUP_ANDX, false, 3, &[0; 24], b"token");
        let next = record.len() as u16;
        record[33] = commands::TREE_CONNECT_ANDX;
        record[35..37].copy_from_slice(&next.to_le_bytes());
        record[33 + 14..33 + 16].copy_from_slice(&5u16.to_le_bytes());
        let tree = message(commands::TREE_CONNECT_ANDX, false, 3, &[0xff, 0, 0, 0, 0, 0, 1, 0], b"\0\\\\h\\IPC$\0?????\0");
        record.extend_from_slice(&tree[HEADER..]);
        assert_eq!(meanings(&record), [Meaning::SessionSetup(b"token".to_vec()), Meaning::TreeConnect(b"\\\\h\\IPC$".to_vec())]);
        // A chain that goes back ends.
        record[35..37].copy_from_slice(&32u16.to_le_bytes());
        assert_eq!(meanings(&record).len(), 1);
    }

    #[test]
    fn native_names() {
        let wide = |text: &str| text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let words = [0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let bytes = [&b"tok"[..], &wide("Unix"), &wide("Samba")].concat();
        // The bytes begin at an even place, and so do the strings behind the token of three.
        let block = Block { message: &[], words: &words, start: 59, bytes: &bytes, unicode: true };
        assert_eq!(native(false, &block), Some((b"Unix".to_vec(), b"Samba".to_vec())));
        let plain = Block { message: &[], words: &words[..6], start: 41, bytes: b"Unix\0Samba\0", unicode: false };
        assert_eq!(native(true, &plain), Some((b"Unix".to_vec(), b"Samba".to_vec())));
        assert_eq!(native(false, &Block { words: &words[..10], ..plain }), None);
    }

    #[test]
    fn dialects() {
        assert_eq!(
            meanings(&message(commands::NEGOTIATE, false, 1, &[], b"\x02LANMAN1.0\0\x02NT LM 0.12\0")),
            [Meaning::Negotiate(vec![b"LANMAN1.0".to_vec(), b"NT LM 0.12".to_vec()], true)]
        );
        assert!(matches!(&meanings(&message(commands::NEGOTIATE, false, 1, &[], b"\x02A\0B"))[..], [Meaning::Negotiate(_, false)]));
    }

    #[test]
    fn what_is_too_short_is_malformed_and_never_read_beyond() {
        for command in 0..=255 {
            for response in [false, true] {
                for words in [0, 2, 4, 6, 8, 24, 28, 48, 84] {
                    let record = message(command, response, 1, &vec![0xee; words], &[0xee; 9]);
                    for length in 0..=record.len() {
                        let _ = messages(&record[..length], length);
                    }
                }
            }
        }
        assert_eq!(meanings(&message(commands::WRITE_ANDX, false, 1, &[0; 8], b"")), [Meaning::Malformed]);
    }
}
