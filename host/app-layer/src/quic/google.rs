//! Google's QUIC before the standard: the first messages are clear, as tags and values ("QUIC Crypto", 2016).

use crate::digest::md5_hex;
use crate::tls::Reader;

/// Most tags of a message (the format's own limit).
const TAGS_MAX: usize = 128;
/// Bytes of the hash before the frames of a packet without encryption.
const HASH: usize = 12;

/// What a client says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hello {
    /// Server name.
    pub sni: Option<Vec<u8>>,
    /// User agent.
    pub user_agent: Option<Vec<u8>>,
    /// Tags in their order, as text.
    pub tags: Vec<String>,
}

impl Hello {
    /// The CYU string: version and tags.
    pub fn cyu(&self, version: u32) -> String {
        let [_, _, tens, ones] = version.to_be_bytes();
        format!("{}{},{}", char::from(tens), char::from(ones), self.tags.join("-"))
    }

    /// MD5 of the CYU string, in hexadecimal.
    pub fn cyu_hash(&self, version: u32) -> String {
        md5_hex(self.cyu(version).as_bytes())
    }
}

/// The client hello of a packet whose number begins at the start of `bytes`; the first byte of the packet says how long
/// the number is. `Err`: what is there is no such packet.
pub fn hello(first: u8, bytes: &[u8]) -> Result<Option<Hello>, ()> {
    let mut r = Reader(bytes);
    r.take(usize::from(first & 3) + 1 + HASH).ok_or(())?;
    while let Some(kind) = r.u8() {
        match kind {
            // PADDING to the end.
            0 => return Ok(None),
            // STREAM: fin, data length, offset length, stream id length.
            kind if kind & 0x80 != 0 => {
                let data = stream(&mut r, kind).ok_or(())?;
                if let Some(hello) = message(data) {
                    return Ok(Some(hello));
                }
            }
            // PING
            7 => {}
            // Others do not come before a hello.
            _ => return Ok(None),
        }
    }
    Ok(None)
}

fn stream<'a>(r: &mut Reader<'a>, kind: u8) -> Option<&'a [u8]> {
    r.take(usize::from(kind & 3) + 1)?;
    let offset = usize::from(kind >> 2 & 7);
    r.take(if offset == 0 { 0 } else { offset + 1 })?;
    if kind & 0x20 != 0 { r.vec16() } else { r.take(r.0.len()) }
}

/// A CHLO message.
fn message(data: &[u8]) -> Option<Hello> {
    let mut r = Reader(data);
    if r.take(4)? != b"CHLO" {
        return None;
    }
    let count = r.take(4).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])))?;
    if count > TAGS_MAX {
        return None;
    }
    let index = r.take(8 * count)?;
    let mut hello = Hello::default();
    let mut start = 0;
    for entry in index.chunks_exact(8) {
        let (tag, end) = entry.split_at(4);
        let end = u32::from_le_bytes(end.try_into().ok()?) as usize;
        let value = r.0.get(start..end)?;
        start = end;
        match tag {
            b"SNI\0" => hello.sni = Some(value.to_vec()),
            b"UAID" => hello.user_agent = Some(value.to_vec()),
            _ => {}
        }
        let text: Vec<u8> = tag.iter().copied().filter(u8::is_ascii_graphic).collect();
        hello.tags.push(String::from_utf8_lossy(&text).into_owned());
    }
    Some(hello)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_hello() {
        let entries: [(&[u8; 4], &[u8]); 3] = [(b"PAD\0", b"--"), (b"SNI\0", b"a.example"), (b"UAID", b"agent")];
        let mut chlo = b"CHLO\x03\0\0\0".to_vec();
        let mut end = 0u32;
        for (tag, value) in entries {
            end += value.len() as u32;
            chlo.extend_from_slice(tag);
            chlo.extend(end.to_le_bytes());
        }
        entries.iter().for_each(|(_, value)| chlo.extend_from_slice(value));
        let mut packet = vec![0, 0, 0, 1];
        packet.extend([0; HASH]);
        packet.extend([7, 0xa0, 1, 0, chlo.len() as u8]);
        packet.extend(&chlo);
        packet.extend([0; 20]);
        let found = hello(0xc3, &packet).unwrap().expect("a hello");
        assert_eq!((found.sni.as_deref(), found.user_agent.as_deref()), (Some(&b"a.example"[..]), Some(&b"agent"[..])));
        assert_eq!(found.cyu(0x5130_3436), "46,PAD-SNI-UAID");
        for n in 0..packet.len() {
            let _ = hello(0xc3, &packet[..n]);
        }
        assert_eq!(message(b"CHLO\xff\xff\0\0"), None);
    }
}
