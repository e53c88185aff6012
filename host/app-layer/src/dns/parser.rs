//! One DNS message, tolerant: what can be read is kept, what cannot is an event.

/// Most records of one section that are kept.
const RECORDS_MAX: usize = 256;
/// Most bytes of an expanded name; RFC 1035 allows 255 on the wire.
const NAME_MAX: usize = 1025;
/// Most pointers followed in one name.
const POINTERS_MAX: usize = 64;

/// A question or resource record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Labels joined with dots, bytes as they are.
    pub name: Vec<u8>,
    /// Type.
    pub kind: u16,
    /// Class.
    pub class: u16,
    /// TTL; 0 for questions.
    pub ttl: u32,
    /// RDATA; empty for questions.
    pub data: Vec<u8>,
    /// The name was longer than what is kept.
    pub truncated: bool,
    /// The name that RDATA holds, of types that have one; of SOA the first.
    pub target: Vec<u8>,
    /// The second name of SOA.
    pub second: Vec<u8>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Identifier.
    pub id: u16,
    /// Flags word.
    pub flags: u16,
    /// Questions.
    pub questions: Vec<Record>,
    /// Answers.
    pub answers: Vec<Record>,
    /// Authority section.
    pub authorities: Vec<Record>,
    /// Additional section.
    pub additionals: Vec<Record>,
    /// The message could not be read to its end.
    pub malformed: bool,
    /// A name used more pointers than allowed.
    pub infinite_loop: bool,
    /// A name was longer than what is kept.
    pub name_too_long: bool,
}

impl Message {
    /// It is a response.
    pub fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }
    /// Opcode.
    pub fn opcode(&self) -> u8 {
        (self.flags >> 11 & 0xf) as u8
    }
    /// Response code, without extension.
    pub fn rcode(&self) -> u8 {
        (self.flags & 0xf) as u8
    }
    /// The Z bit is set.
    pub fn z(&self) -> bool {
        self.flags & 0x40 != 0
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// Read a message. `None` if not even the header is there.
pub fn parse_message(bytes: &[u8]) -> Option<Message> {
    let mut message = Message { id: u16_at(bytes, 0)?, flags: u16_at(bytes, 2)?, ..Message::default() };
    let counts = [u16_at(bytes, 4)?, u16_at(bytes, 6)?, u16_at(bytes, 8)?, u16_at(bytes, 10)?];
    let mut at = 12;
    for (section, &count) in counts.iter().enumerate() {
        for n in 0..usize::from(count) {
            match record(bytes, at, section == 0, &mut message) {
                Some((record, next)) => {
                    at = next;
                    if n < RECORDS_MAX {
                        match section {
                            0 => message.questions.push(record),
                            1 => message.answers.push(record),
                            2 => message.authorities.push(record),
                            _ => message.additionals.push(record),
                        }
                    }
                }
                None => {
                    message.malformed = true;
                    return Some(message);
                }
            }
        }
    }
    Some(message)
}

fn record(bytes: &[u8], at: usize, question: bool, message: &mut Message) -> Option<(Record, usize)> {
    let before = std::mem::take(&mut message.name_too_long);
    let (name, at) = expand(bytes, at, message)?;
    let truncated = message.name_too_long;
    message.name_too_long |= before;
    let kind = u16_at(bytes, at)?;
    let class = u16_at(bytes, at + 2)?;
    if question {
        let record = Record { name, kind, class, truncated, ..Record::default() };
        return Some((record, at + 4));
    }
    let ttl = u32::from(u16_at(bytes, at + 4)?) << 16 | u32::from(u16_at(bytes, at + 6)?);
    let length = usize::from(u16_at(bytes, at + 8)?);
    let data = bytes.get(at + 10..at + 10 + length)?.to_vec();
    let mut record = Record { name, kind, class, ttl, data, truncated, ..Record::default() };
    // Where the name begins within RDATA (RFC 1035 section 3.3, RFC 2782).
    let skip = match kind {
        2 | 5 | 6 | 12 | 39 => Some(0),
        15 => Some(2),
        33 => Some(6),
        _ => None,
    };
    if let Some((target, next)) = skip.and_then(|skip| expand(bytes, at + 10 + skip, &mut Message::default())) {
        record.target = target;
        if kind == 6 {
            record.second = expand(bytes, next, &mut Message::default()).map(|(name, _)| name).unwrap_or_default();
        }
    }
    Some((record, at + 10 + length))
}

/// Expand a name at `start`; gives the name and where reading goes on.
fn expand(bytes: &[u8], start: usize, message: &mut Message) -> Option<(Vec<u8>, usize)> {
    let mut out = Vec::new();
    let mut at = start;
    let mut after = None;
    let mut pointers = 0;
    loop {
        let length = *bytes.get(at)?;
        match length {
            0 => {
                at += 1;
                break;
            }
            1..=63 => {
                let label = bytes.get(at + 1..at + 1 + usize::from(length))?;
                if out.len() + label.len() < NAME_MAX {
                    if !out.is_empty() {
                        out.push(b'.');
                    }
                    out.extend_from_slice(label);
                } else {
                    message.name_too_long = true;
                }
                at += 1 + usize::from(length);
            }
            0xc0..=0xff => {
                let target = usize::from(u16_at(bytes, at)? & 0x3fff);
                after.get_or_insert(at + 2);
                pointers += 1;
                if pointers > POINTERS_MAX {
                    message.infinite_loop = true;
                    break;
                }
                at = target;
            }
            _ => return None,
        }
    }
    Some((out, after.unwrap_or(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01";

    #[test]
    fn a_query() {
        let m = parse_message(QUERY).unwrap();
        assert!(!m.is_response() && !m.malformed);
        assert_eq!(m.questions[0].name, b"www.example.com");
        assert_eq!(m.questions[0].kind, 1);
    }

    #[test]
    fn a_response_with_pointers() {
        let mut r = QUERY.to_vec();
        r[2] = 0x81;
        r[7] = 1;
        r.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x01\x02\x03\x04");
        let m = parse_message(&r).unwrap();
        assert!(m.is_response() && !m.malformed);
        assert_eq!(m.answers[0].name, b"www.example.com");
        assert_eq!(m.answers[0].data, [1, 2, 3, 4]);
        assert_eq!(m.answers[0].ttl, 60);
    }

    #[test]
    fn loops_and_truncation_end() {
        let m = parse_message(b"\0\0\0\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\x01\0\x01").unwrap();
        assert!(m.infinite_loop);
        for n in 0..QUERY.len() {
            let _ = parse_message(&QUERY[..n]);
        }
        assert!(parse_message(&QUERY[..20]).unwrap().malformed);
    }
}
