//! Messages of the kernel's packet queues (`nfnetlink_queue`): those that are sent, and those that come.
//!
//! Pure functions of bytes; layouts and numbers are those of the kernel's `netlink.h`, `nfnetlink.h` and `nfnetlink_queue.h`. Numbers
//! of netlink are in the byte order of the machine, those of the queue big-endian. What is not known is skipped, what does not
//! fit is refused, and nothing is allocated by what a message claims.

/// Subsystem of queues, in the upper byte of a message's type.
const SUBSYSTEM: u16 = 3;
const PACKET: u16 = SUBSYSTEM << 8;
const VERDICT: u16 = PACKET | 1;
const CONFIG: u16 = PACKET | 2;
const VERDICT_BATCH: u16 = PACKET | 3;
const ERROR: u16 = 2;
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;

/// Bytes of `struct nlmsghdr` and of `struct nfgenmsg`.
const HEADER: usize = 16;
const GENERIC: usize = 4;
/// Bits of an attribute's type that are none of its number: nested, byte order.
const TYPE_MASK: u16 = 0x3fff;

mod attribute {
    pub const PACKET_HEADER: u16 = 1;
    pub const VERDICT_HEADER: u16 = 2;
    pub const MARK: u16 = 3;
    pub const PAYLOAD: u16 = 10;
    pub const CAPTURED_LENGTH: u16 = 13;
    pub const COMMAND: u16 = 1;
    pub const PARAMETERS: u16 = 2;
    pub const LENGTH: u16 = 3;
    pub const MASK: u16 = 4;
    pub const FLAGS: u16 = 5;
}

/// Most bytes of a packet that are asked for: all of them.
const COPY_RANGE: u32 = 0xffff;
const COPY_PACKET: u8 = 2;
const FAIL_OPEN: u32 = 1;

/// A packet that waits for its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Number of the queue.
    pub queue: u16,
    /// What the kernel calls it there.
    pub id: u32,
    /// EtherType.
    pub protocol: u16,
    /// Packet mark.
    pub mark: u32,
    /// From the network header on.
    pub payload: &'a [u8],
    /// How long it is.
    pub length: u32,
}

/// What the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A packet.
    Packet(Packet<'a>),
    /// What became of the request with this number: 0, or an error number of the system.
    Answer {
        /// Number of the request.
        request: u32,
        /// Error number.
        code: i32,
    },
    /// Something else.
    Other,
}

/// A message that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of the kernel's packet queue cannot be read: {0}")]
pub struct Malformed(pub &'static str);

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_ne_bytes(*b))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_ne_bytes(*b))
}

fn big_word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|b| u32::from_be_bytes(*b))
}

/// Hands each message of a datagram to `take`; the first that cannot be read ends it.
pub fn decode<'a>(datagram: &'a [u8], take: &mut dyn FnMut(Message<'a>)) -> Result<(), Malformed> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let length = word(rest, 0).ok_or(Malformed("a header is cut off"))? as usize;
        let message = rest.get(..length).filter(|m| m.len() >= HEADER).ok_or(Malformed("its length is not that of what came"))?;
        take(one(message)?);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}

fn one(message: &[u8]) -> Result<Message<'_>, Malformed> {
    let cut = Malformed("a header is cut off");
    let kind = half(message, 4).ok_or(cut)?;
    let body = message.get(HEADER..).ok_or(cut)?;
    match kind {
        // The code is negative; the header of the request follows.
        ERROR => {
            let code = word(body, 0).ok_or(cut)?.cast_signed();
            let request = word(body, 4 + 8).ok_or(cut)?;
            Ok(Message::Answer { request, code: code.wrapping_neg() })
        }
        PACKET => packet(body).map(Message::Packet),
        _ => Ok(Message::Other),
    }
}

fn packet(body: &[u8]) -> Result<Packet<'_>, Malformed> {
    let cut = Malformed("a packet's header is cut off");
    let (generic, mut rest) = body.split_first_chunk::<GENERIC>().ok_or(cut)?;
    let queue = u16::from_be_bytes([generic[2], generic[3]]);
    let (mut header, mut mark, mut payload, mut captured) = (None, 0, &[][..], None);
    while let (Some(length), Some(kind)) = (half(rest, 0), half(rest, 2)) {
        let length = usize::from(length);
        let value = rest.get(4..length).ok_or(Malformed("an attribute is longer than its message"))?;
        match kind & TYPE_MASK {
            attribute::PACKET_HEADER => header = value.first_chunk::<7>(),
            attribute::MARK => mark = big_word(value).ok_or(cut)?,
            attribute::PAYLOAD => payload = value,
            attribute::CAPTURED_LENGTH => captured = big_word(value),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    let header = header.ok_or(Malformed("a packet without a number"))?;
    let id = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
    let protocol = u16::from_be_bytes([header[4], header[5]]);
    // (The kernel tells the length only where it has cut the packet.)
    Ok(Packet { queue, id, protocol, mark, payload, length: captured.unwrap_or(payload.len() as u32) })
}

/// Appends a message: `attributes` puts what is in it.
fn message(out: &mut Vec<u8>, kind: u16, flags: u16, request: u32, queue: u16, attributes: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    out.extend(kind.to_ne_bytes());
    out.extend((REQUEST | flags).to_ne_bytes());
    out.extend(request.to_ne_bytes());
    out.extend([0; 4]);
    // Any address family, version 0.
    out.extend([0, 0]);
    out.extend(queue.to_be_bytes());
    attributes(out);
    let length = (out.len() - start) as u32;
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&length.to_ne_bytes());
    }
}

fn put(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend((4 + value.len() as u16).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Become the owner of a queue.
pub fn bind(out: &mut Vec<u8>, request: u32, queue: u16) {
    message(out, CONFIG, ACKNOWLEDGE, request, queue, |out| put(out, attribute::COMMAND, &[1, 0, 0, 0]));
}

/// How many packets may wait in the queue, and whether those beyond pass. The kernel is not asked for unsegmented packets: it cuts them
/// and completes their checksums before they come, so what is judged is what goes on.
pub fn limit(out: &mut Vec<u8>, request: u32, queue: u16, packets: u32, fail_open: bool) {
    message(out, CONFIG, ACKNOWLEDGE, request, queue, |out| {
        put(out, attribute::LENGTH, &packets.to_be_bytes());
        put(out, attribute::FLAGS, &(if fail_open { FAIL_OPEN } else { 0 }).to_be_bytes());
        put(out, attribute::MASK, &FAIL_OPEN.to_be_bytes());
    });
}

/// From now on its packets come, whole.
pub fn start(out: &mut Vec<u8>, request: u32, queue: u16) {
    let [a, b, c, d] = COPY_RANGE.to_be_bytes();
    message(out, CONFIG, 0, request, queue, |out| put(out, attribute::PARAMETERS, &[a, b, c, d, COPY_PACKET]));
}

/// A verdict: of one packet, or (`all`) of all up to it that have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Number of the queue.
    pub queue: u16,
    /// The packet, or the last of them.
    pub id: u32,
    /// All that came before it as well.
    pub all: bool,
    /// It goes on.
    pub accept: bool,
    /// Its mark from now on; none: as it was.
    pub mark: Option<u32>,
}

impl Verdict {
    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>, request: u32) {
        let kind = if self.all { VERDICT_BATCH } else { VERDICT };
        message(out, kind, 0, request, self.queue, |out| {
            let [a, b, c, d] = self.id.to_be_bytes();
            put(out, attribute::VERDICT_HEADER, &[0, 0, 0, u8::from(self.accept), a, b, c, d]);
            if let Some(mark) = self.mark {
                put(out, attribute::MARK, &mark.to_be_bytes());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet_message(queue: u16, id: u32, mark: Option<u32>, payload: &[u8], captured: Option<u32>) -> Vec<u8> {
        let mut out = Vec::new();
        message(&mut out, PACKET, 0, 0, queue, |out| {
            let [a, b, c, d] = id.to_be_bytes();
            put(out, attribute::PACKET_HEADER, &[a, b, c, d, 8, 0, 1]);
            if let Some(mark) = mark {
                put(out, attribute::MARK, &mark.to_be_bytes());
            }
            put(out, 5, &[0, 0, 0, 3]);
            put(out, attribute::PAYLOAD, payload);
            if let Some(captured) = captured {
                put(out, attribute::CAPTURED_LENGTH, &captured.to_be_bytes());
            }
        });
        out
    }

    fn all(datagram: &[u8]) -> Result<Vec<Message<'_>>, Malformed> {
        let mut found = Vec::new();
        decode(datagram, &mut |message| found.push(message)).map(|()| found)
    }

    #[test]
    fn packets_are_read() {
        let mut datagram = packet_message(7, 0x0102_0304, Some(5), b"hello", None);
        datagram.resize(datagram.len().next_multiple_of(4), 0);
        datagram.extend(packet_message(7, 9, None, b"", Some(70_000)));
        let expected = [
            Packet { queue: 7, id: 0x0102_0304, protocol: 0x0800, mark: 5, payload: b"hello", length: 5 },
            Packet { queue: 7, id: 9, protocol: 0x0800, mark: 0, payload: b"", length: 70_000 },
        ];
        assert_eq!(all(&datagram).unwrap(), expected.map(Message::Packet));
    }

    #[test]
    fn answers_are_read() {
        let mut request = Vec::new();
        bind(&mut request, 77, 3);
        let mut answer = Vec::new();
        answer.extend((HEADER as u32 + 4 + HEADER as u32).to_ne_bytes());
        answer.extend(ERROR.to_ne_bytes());
        answer.extend([0; 10]);
        answer.extend((-16i32).to_ne_bytes());
        answer.extend(&request[..HEADER]);
        assert_eq!(all(&answer).unwrap(), [Message::Answer { request: 77, code: 16 }]);
    }

    /// Byte for byte what libnetfilter_queue sends on a little-endian machine.
    #[cfg(target_endian = "little")]
    #[test]
    fn requests_are_those_of_the_kernel() {
        let mut out = Vec::new();
        Verdict { queue: 258, id: 5, all: false, accept: true, mark: Some(1) }.encode(&mut out, 6);
        let expected: &[u8] = &[
            40, 0, 0, 0, 1, 3, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 12, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 5, 8, 0, 3, 0, 0, 0, 0, 1,
        ];
        assert_eq!(out, expected);
        out.clear();
        start(&mut out, 1, 0);
        assert_eq!(out, [32, 0, 0, 0, 2, 3, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 0, 0, 0, 0xff, 0xff, 2, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = all(&bytes);
        }

        #[test]
        fn damage_is_refused_or_read(at in 0usize..80, value: u8, length in 0usize..80) {
            let mut datagram = packet_message(1, 2, Some(3), b"payload", None);
            if let Some(byte) = datagram.get_mut(at) {
                *byte = value;
            }
            datagram.truncate(length);
            let _ = all(&datagram);
        }
    }
}
