//! Control packets (MQTT 5.0 section 2, MQTT 3.1.1 section 2).

use crate::wire::be16;

/// Most topics of one packet.
const TOPICS_MAX: usize = 256;

pub(super) mod kinds {
    pub const CONNECT: u8 = 1;
    pub const CONNACK: u8 = 2;
    pub const PUBLISH: u8 = 3;
    pub const PUBACK: u8 = 4;
    pub const PUBREC: u8 = 5;
    pub const PUBREL: u8 = 6;
    pub const PUBCOMP: u8 = 7;
    pub const SUBSCRIBE: u8 = 8;
    pub const SUBACK: u8 = 9;
    pub const UNSUBSCRIBE: u8 = 10;
    pub const UNSUBACK: u8 = 11;
    pub const PINGREQ: u8 = 12;
    pub const PINGRESP: u8 = 13;
    pub const DISCONNECT: u8 = 14;
    pub const AUTH: u8 = 15;
}

/// Fixed header: kind, flags, length of the rest, length of the header. `Err` if the length is malformed.
pub(super) fn header(bytes: &[u8]) -> Option<Result<(u8, u8, usize, usize), ()>> {
    let first = *bytes.first()?;
    match number(bytes.get(1..)?)? {
        Ok((length, octets)) => Some(Ok((first >> 4, first & 15, length, 1 + octets))),
        Err(()) => Some(Err(())),
    }
}

/// A variable byte integer (MQTT 5.0 section 1.5.5) and its length; none if it is not whole.
pub(super) fn number(bytes: &[u8]) -> Option<Result<(usize, usize), ()>> {
    let mut value = 0usize;
    for (n, b) in bytes.iter().enumerate().take(4) {
        value |= usize::from(b & 0x7f) << (7 * n);
        if b & 0x80 == 0 {
            return Some(Ok((value, n + 1)));
        }
    }
    (bytes.len() >= 4).then_some(Err(()))
}

/// A packet's content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Packet {
    pub kind: u8,
    pub flags: u8,
    pub id: Option<u16>,
    pub reason: Option<u8>,
    /// CONNACK.
    pub session_present: Option<bool>,
    /// CONNECT.
    pub version: u8,
    pub connect_flags: u8,
    pub protocol: Vec<u8>,
    pub client: Vec<u8>,
    pub will_topic: Vec<u8>,
    pub will_message: Vec<u8>,
    pub user: Vec<u8>,
    pub password: Vec<u8>,
    /// Properties of version 5, as they came; of the will as well.
    pub properties: Vec<u8>,
    pub will_properties: Vec<u8>,
    /// SUBSCRIBE: options of each topic.
    pub options: Vec<u8>,
    /// SUBACK, UNSUBACK: reason codes.
    pub reasons: Vec<u8>,
    /// PUBLISH: one; SUBSCRIBE, UNSUBSCRIBE: all.
    pub topics: Vec<Vec<u8>>,
    pub payload: Vec<u8>,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (now, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(now)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).and_then(|b| be16(b, 0))
    }

    /// A string or binary data: length and bytes.
    fn text(&mut self) -> Option<Vec<u8>> {
        let length = usize::from(self.u16()?);
        self.take(length).map(<[u8]>::to_vec)
    }

    /// The properties of version 5.
    fn properties(&mut self, version: u8) -> Option<Vec<u8>> {
        if version < 5 {
            return Some(Vec::new());
        }
        let (length, octets) = number(self.0)?.ok()?;
        self.take(octets)?;
        self.take(length).map(<[u8]>::to_vec)
    }

    /// One property (MQTT 5.0 section 2.2.2.2).
    fn property(&mut self) -> Option<()> {
        match self.u8()? {
            1 | 23 | 25 | 36 | 37 | 40..=42 => self.take(1).map(|_| ()),
            19 | 33..=35 => self.take(2).map(|_| ()),
            2 | 17 | 24 | 39 => self.take(4).map(|_| ()),
            11 => {
                let (_, octets) = number(self.0)?.ok()?;
                self.take(octets).map(|_| ())
            }
            3 | 8 | 9 | 18 | 21 | 22 | 26 | 28 | 31 => self.text().map(|_| ()),
            38 => self.text().and_then(|_| self.text()).map(|_| ()),
            _ => None,
        }
    }
}

/// Most properties of one packet without an event.
const PROPERTIES_MAX: usize = 256;

/// There are more properties than a packet has any use for.
pub(super) fn too_many(properties: &[u8]) -> bool {
    let mut rest = Reader(properties);
    (0..=PROPERTIES_MAX).all(|_| rest.property().is_some())
}

/// Take the content of a packet apart; `version` is that of the connection. None if it is malformed.
pub(super) fn packet(kind: u8, flags: u8, content: &[u8], version: u8) -> Option<Packet> {
    let mut r = Reader(content);
    let mut out = Packet { kind, flags, version, ..Packet::default() };
    match kind {
        kinds::CONNECT => {
            out.protocol = r.text()?;
            out.version = r.u8()?;
            out.connect_flags = r.u8()?;
            r.u16()?;
            out.properties = r.properties(out.version)?;
            out.client = r.text()?;
            if out.connect_flags & 0x04 != 0 {
                out.will_properties = r.properties(out.version)?;
                out.will_topic = r.text()?;
                out.will_message = r.text()?;
            }
            if out.connect_flags & 0x80 != 0 {
                out.user = r.text()?;
            }
            if out.connect_flags & 0x40 != 0 {
                out.password = r.text()?;
            }
        }
        kinds::CONNACK => {
            out.session_present = Some(r.u8()? & 1 != 0);
            out.reason = Some(r.u8()?);
            // Servers of older versions end here.
            out.properties = r.properties(version).unwrap_or_default();
        }
        kinds::PUBLISH => {
            out.topics.push(r.text()?);
            if flags >> 1 & 3 > 0 {
                out.id = Some(r.u16()?);
            }
            out.properties = r.properties(version)?;
            out.payload = r.0.to_vec();
        }
        kinds::PUBACK | kinds::PUBREC | kinds::PUBREL | kinds::PUBCOMP => {
            out.id = Some(r.u16()?);
            out.reason = if version >= 5 { Some(r.u8().unwrap_or(0)) } else { None };
            out.properties = r.properties(version).unwrap_or_default();
        }
        kinds::SUBSCRIBE | kinds::UNSUBSCRIBE => {
            out.id = Some(r.u16()?);
            out.properties = r.properties(version)?;
            while !r.0.is_empty() && out.topics.len() < TOPICS_MAX {
                out.topics.push(r.text()?);
                if kind == kinds::SUBSCRIBE {
                    out.options.push(r.u8()?);
                }
            }
        }
        kinds::SUBACK | kinds::UNSUBACK => {
            out.id = Some(r.u16()?);
            out.properties = r.properties(version)?;
            out.reasons = r.0.get(..TOPICS_MAX).unwrap_or(r.0).to_vec();
            out.reason = r.u8();
        }
        kinds::DISCONNECT | kinds::AUTH if version >= 5 => {
            let reason = r.u8().unwrap_or(0);
            // A disconnection with nothing behind the code is a normal one for Suricata, whatever the code.
            out.reason = Some(if kind == kinds::DISCONNECT && content.len() < 2 { 0 } else { reason });
            out.properties = r.properties(version).unwrap_or_default();
        }
        _ => {}
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        assert_eq!(header(&[0x10]), None);
        assert_eq!(header(&[0x32, 0x80]), None);
        assert_eq!(header(&[0x32, 0x80, 1]), Some(Ok((3, 2, 128, 3))));
        assert_eq!(header(&[0x32, 0xff, 0xff, 0xff, 0xff]), Some(Err(())));
    }

    #[test]
    fn packets() {
        let connect = b"\x00\x04MQTT\x05\xc6\0\0\0\0\x02id\0\0\x01t\0\x02wm\0\x02me\0\x02pw";
        let p = packet(kinds::CONNECT, 0, connect, 0).expect("whole");
        assert_eq!((p.version, p.client.as_slice(), p.will_topic.as_slice()), (5, &b"id"[..], &b"t"[..]));
        assert_eq!((p.will_message.as_slice(), p.user.as_slice(), p.password.as_slice()), (&b"wm"[..], &b"me"[..], &b"pw"[..]));
        let p = packet(kinds::PUBLISH, 2, b"\0\x03a/b\0\x07hello", 4).expect("whole");
        assert_eq!((p.id, p.topics, p.payload), (Some(7), vec![b"a/b".to_vec()], b"hello".to_vec()));
        let p = packet(kinds::SUBSCRIBE, 2, b"\0\x01\0\x01a\x00\0\x01#\x01", 4).expect("whole");
        assert_eq!(p.topics, [b"a", b"#"]);
        for n in 0..connect.len() {
            assert_eq!(packet(kinds::CONNECT, 0, &connect[..n], 0), None);
        }
    }
}
