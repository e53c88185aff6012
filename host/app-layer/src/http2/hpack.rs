//! HPACK (RFC 7541): one direction's decoder.
//!
//! Memory: the dynamic table, at most [`TABLE_MAX`] bytes by the RFC's own count (32 for each entry besides its bytes),
//! whatever the endpoints agreed on. What one representation may be long is the caller's bound.

use super::huffman;
use std::collections::VecDeque;

/// Largest dynamic table kept. Endpoints that agree on a larger one are read up to this.
pub const TABLE_MAX: usize = 64 * 1024;
/// Size before any update (section 4.2 with RFC 9113 section 6.5.2).
const TABLE_DEFAULT: usize = 4096;
/// What an entry counts for besides its bytes (section 4.1).
const ENTRY_OVERHEAD: usize = 32;

/// Appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
];

/// What a representation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A field; its bytes are in the decoder, see [`Decoder::name`] and [`Decoder::value`].
    Field,
    /// A size update (section 6.3).
    Size(u64),
    /// A reference to an entry that is not there; `Field` is what could be read.
    NoEntry,
    /// A string that is not Huffman-coded text; what came before the fault is in the decoder.
    BadString,
}

/// Why nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// More bytes are needed.
    More,
    /// An integer is too large: nothing behind it can be read.
    Overflow,
}

/// A decoder.
#[derive(Debug)]
pub struct Decoder {
    /// Newest first: name length, name and value.
    table: VecDeque<(u32, Box<[u8]>)>,
    size: usize,
    limit: usize,
    /// The field last decoded.
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder { table: VecDeque::new(), size: 0, limit: TABLE_DEFAULT, name: Vec::new(), value: Vec::new() }
    }
}

impl Decoder {
    /// Name of the field last decoded.
    pub fn name(&self) -> &[u8] {
        &self.name
    }
    /// Its value.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Take one representation from the start of `bytes`: what it is and how long. Strings longer than `limit` once decoded
    /// are cut.
    pub fn step(&mut self, bytes: &[u8], limit: usize) -> Result<(Step, usize), Stop> {
        let first = *bytes.first().ok_or(Stop::More)?;
        if first & 0x80 != 0 {
            let (index, at) = integer(bytes, 7)?;
            let found = self.load(index, true);
            return Ok((if found { Step::Field } else { Step::NoEntry }, at));
        }
        if first & 0xe0 == 0x20 {
            let (size, at) = integer(bytes, 5)?;
            self.limit = usize::try_from(size).unwrap_or(usize::MAX).min(TABLE_MAX);
            self.shrink(self.limit);
            return Ok((Step::Size(size), at));
        }
        let keep = first & 0xc0 == 0x40;
        let (index, mut at) = integer(bytes, if keep { 6 } else { 4 })?;
        let name = if index == 0 {
            let (text, next) = string(bytes, at)?;
            at = next;
            Some(text)
        } else {
            None
        };
        let (value, at) = string(bytes, at)?;
        let mut found = true;
        let mut sound = true;
        match name {
            Some(text) => sound = text.read(limit, &mut self.name),
            None => found = self.load(index, false),
        }
        sound &= value.read(limit, &mut self.value);
        if keep {
            self.insert();
        }
        let step = match (found, sound) {
            (false, _) => Step::NoEntry,
            (_, false) => Step::BadString,
            _ => Step::Field,
        };
        Ok((step, at))
    }

    /// Load an entry as the current field, or its name alone.
    fn load(&mut self, index: u64, value: bool) -> bool {
        self.name.clear();
        if value {
            self.value.clear();
        }
        let Some(at) = usize::try_from(index).ok().and_then(|n| n.checked_sub(1)) else { return false };
        let (name, text): (&[u8], &[u8]) = match (STATIC.get(at), self.table.get(at.wrapping_sub(STATIC.len()))) {
            (Some((name, text)), _) => (name.as_bytes(), text.as_bytes()),
            (None, Some((length, bytes))) => bytes.split_at((*length as usize).min(bytes.len())),
            (None, None) => return false,
        };
        self.name.extend_from_slice(name);
        if value {
            self.value.extend_from_slice(text);
        }
        true
    }

    fn insert(&mut self) {
        let size = self.name.len() + self.value.len() + ENTRY_OVERHEAD;
        self.shrink(self.limit.saturating_sub(size));
        // An entry larger than the table empties it (section 4.4).
        if size <= self.limit {
            self.table.push_front((self.name.len() as u32, [&self.name[..], &self.value[..]].concat().into()));
            self.size += size;
        }
    }

    fn shrink(&mut self, to: usize) {
        while self.size > to {
            let Some((_, bytes)) = self.table.pop_back() else { return };
            self.size -= bytes.len() + ENTRY_OVERHEAD;
        }
    }
}

/// An integer with a prefix of so many bits (section 5.1).
fn integer(bytes: &[u8], prefix: u32) -> Result<(u64, usize), Stop> {
    let most = (1u64 << prefix) - 1;
    let first = u64::from(*bytes.first().ok_or(Stop::More)?) & most;
    if first < most {
        return Ok((first, 1));
    }
    let mut value = most;
    for n in 0..9 {
        let b = *bytes.get(1 + n).ok_or(Stop::More)?;
        value = value.saturating_add(u64::from(b & 0x7f) << (7 * n));
        if b & 0x80 == 0 {
            return if value > u64::from(u32::MAX) { Err(Stop::Overflow) } else { Ok((value, 2 + n)) };
        }
    }
    Err(Stop::Overflow)
}

struct Text<'a> {
    bytes: &'a [u8],
    huffman: bool,
}

impl Text<'_> {
    fn read(&self, limit: usize, out: &mut Vec<u8>) -> bool {
        out.clear();
        if self.huffman {
            return huffman::decode(self.bytes, limit, out);
        }
        out.extend_from_slice(self.bytes.get(..limit).unwrap_or(self.bytes));
        true
    }
}

/// A string (section 5.2) at `at`.
fn string(bytes: &[u8], at: usize) -> Result<(Text<'_>, usize), Stop> {
    let rest = bytes.get(at..).ok_or(Stop::More)?;
    let (length, used) = integer(rest, 7)?;
    let end = usize::try_from(length).ok().and_then(|n| n.checked_add(used)).ok_or(Stop::Overflow)?;
    let text = rest.get(used..end).ok_or(Stop::More)?;
    Ok((Text { bytes: text, huffman: rest.first().is_some_and(|b| b & 0x80 != 0) }, at + end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).map(|b| (b as char).to_digit(16).unwrap() as u8).collect();
        digits.chunks(2).map(|p| p[0] << 4 | p[1]).collect()
    }

    fn fields(decoder: &mut Decoder, block: &str) -> Vec<String> {
        let block = hex(block);
        let mut at = 0;
        let mut out = Vec::new();
        while at < block.len() {
            let (step, used) = decoder.step(&block[at..], 1 << 16).unwrap();
            assert_eq!(step, Step::Field);
            out.push(format!("{}: {}", String::from_utf8_lossy(decoder.name()), String::from_utf8_lossy(decoder.value())));
            at += used;
        }
        out
    }

    /// RFC 7541 appendix C.1.
    #[test]
    fn integers() {
        assert_eq!(integer(&[0b0000_1010], 5), Ok((10, 1)));
        assert_eq!(integer(&[0b0001_1111, 0b1001_1010, 0b0000_1010], 5), Ok((1337, 3)));
        assert_eq!(integer(&[42], 8), Ok((42, 1)));
        assert_eq!(integer(&[0x1f, 0x9a], 5), Err(Stop::More));
        assert_eq!(integer(&[0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 5), Err(Stop::Overflow));
        assert_eq!(integer(&[0x1f, 0xff, 0xff, 0xff, 0xff, 0x7f], 5), Err(Stop::Overflow));
    }

    /// RFC 7541 appendices C.3 and C.4.
    #[test]
    fn requests() {
        let first = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
        let second = [first.as_slice(), &["cache-control: no-cache"]].concat();
        let third = [":method: GET", ":scheme: https", ":path: /index.html", ":authority: www.example.com", "custom-key: custom-value"];
        for blocks in [
            [
                "828684410f7777772e6578616d706c652e636f6d",
                "828684be58086e6f2d6361636865",
                "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
            ],
            ["828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf", "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"],
        ] {
            let mut decoder = Decoder::default();
            assert_eq!(fields(&mut decoder, blocks[0]), first);
            assert_eq!(decoder.size, 57);
            assert_eq!(fields(&mut decoder, blocks[1]), second);
            assert_eq!(decoder.size, 110);
            assert_eq!(fields(&mut decoder, blocks[2]), third);
            assert_eq!(decoder.size, 164);
        }
    }

    /// RFC 7541 appendix C.6: a table of 256 bytes, with evictions.
    #[test]
    fn responses() {
        let mut decoder = Decoder { limit: 256, ..Decoder::default() };
        let first = fields(
            &mut decoder,
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        );
        assert_eq!(first, [
            ":status: 302",
            "cache-control: private",
            "date: Mon, 21 Oct 2013 20:13:21 GMT",
            "location: https://www.example.com",
        ]);
        assert_eq!(decoder.size, 222);
        assert_eq!(fields(&mut decoder, "4883640effc1c0bf")[0], ":status: 307");
        let third = fields(
            &mut decoder,
            "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        );
        assert_eq!(third[4], "content-encoding: gzip");
        assert_eq!(third[5], "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
        assert_eq!(decoder.size, 215);
        assert_eq!(decoder.table.len(), 3);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut decoder = Decoder::default();
        // A size update to four gigabytes, then as many entries as fit and more.
        assert_eq!(decoder.step(&[0x3f, 0xe0, 0xff, 0xff, 0xff, 0x0f], 100), Ok((Step::Size(0xffff_ffff), 6)));
        for _ in 0..100_000 {
            assert_eq!(decoder.step(b"\x40\x01a\x00", 100), Ok((Step::Field, 4)));
        }
        assert!(decoder.size <= TABLE_MAX && decoder.table.len() <= TABLE_MAX / ENTRY_OVERHEAD);
        // One entry larger than the table empties it.
        let mut big = vec![0x40, 1, b'a', 0x7f, 0x81, 0xff, 0x03];
        big.extend(vec![b'x'; 65_536]);
        assert_eq!(decoder.step(&big, 1 << 20).map(|s| s.0), Ok(Step::Field));
        assert_eq!((decoder.size, decoder.table.len()), (0, 0));
        assert_eq!(decoder.step(&[0xbe], 100), Ok((Step::NoEntry, 1)));
        assert_eq!(decoder.step(&[0x80], 100), Ok((Step::NoEntry, 1)));
        assert_eq!(decoder.step(&[0x20], 100), Ok((Step::Size(0), 1)));
    }
}
