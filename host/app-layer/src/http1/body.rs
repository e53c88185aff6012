//! A message body: content codings undone as bytes arrive, kept up to the inspection limit.

use super::decode::Chain;
use super::text::contains_fold;
use crate::digest::{Digests, Sums};

/// A growing body.
#[derive(Default)]
pub struct Body {
    /// Decoded bytes so far, at most the limit.
    pub data: Vec<u8>,
    /// Bytes seen on the wire, without transfer coding.
    pub received: u64,
    /// Nothing will be added.
    pub complete: bool,
    /// Bytes are missing in it.
    pub holed: bool,
    /// More came when the limit was reached already.
    pub overflowed: bool,
    chain: Option<Box<Chain>>,
    limit: usize,
    /// Digests of what is kept, where that is not the whole.
    kept: Option<Box<Sums>>,
    digests: Option<Box<Digests>>,
    sums: Option<Box<Sums>>,
}

/// What Content-Encoding asked for that cannot be had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CodingOddities {
    /// More codings than layers allowed.
    pub too_many: bool,
    /// A coding that is unknown or oddly written.
    pub abnormal: bool,
}

/// A content coding (RFC 9110 section 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`, `x-gzip`
    Gzip,
    /// `deflate`, with or without the zlib wrapper
    Deflate,
    /// `br`
    Brotli,
}

/// The codings of a Content-Encoding value in the order they were applied.
fn codings(value: &[u8], layers: usize, oddities: &mut CodingOddities) -> Vec<Coding> {
    let mut out = Vec::new();
    for (n, name) in value.split(|b| matches!(b, b',' | b' ' | b'\t')).filter(|name| !name.is_empty()).enumerate() {
        if n >= layers {
            oddities.too_many = true;
            break;
        }
        let exact = |names: [&[u8]; 2]| names.iter().any(|n| name.eq_ignore_ascii_case(n));
        if contains_fold(name, b"gzip") {
            oddities.abnormal |= !exact([b"gzip", b"x-gzip"]);
            out.push(Coding::Gzip);
        } else if contains_fold(name, b"deflate") {
            oddities.abnormal |= !exact([b"deflate", b"x-deflate"]);
            out.push(Coding::Deflate);
        } else if name.eq_ignore_ascii_case(b"br") {
            out.push(Coding::Brotli);
        } else if !exact([b"identity", b"none"]) && !name.eq_ignore_ascii_case(b"inflate") {
            oddities.abnormal = true;
        }
    }
    out
}

impl Body {
    /// Begin a body that keeps `limit` bytes; memory of an earlier one is used again.
    pub fn begin(&mut self, limit: usize, inflate_limit: usize, layers: usize, encoding: Option<&[u8]>) -> CodingOddities {
        let mut data = std::mem::take(&mut self.data);
        data.clear();
        let mut oddities = CodingOddities::default();
        let applied = encoding.map(|value| codings(value, layers, &mut oddities)).unwrap_or_default();
        let limit = if applied.is_empty() { limit } else { limit.min(inflate_limit) };
        let chain = (!applied.is_empty()).then(|| Box::new(Chain::new(&applied, limit)));
        *self = Body { data, limit, chain, ..Body::default() };
        oddities
    }

    /// Forget everything, keeping a moderate amount of memory.
    pub fn clear(&mut self) {
        self.begin(0, 0, 0, None);
        if self.data.capacity() > 16 * 1024 {
            self.data = Vec::new();
        }
    }

    /// Compute digests of the decoded body.
    pub fn with_digests(&mut self) {
        self.digests = Some(Box::default());
    }

    /// A digest of the whole body, once it is complete and nothing of it is lost or undecoded.
    pub fn sum(&self, buffer: weir_ir::Buffer) -> Option<&[u8]> {
        self.sums.as_ref()?.of(buffer)
    }

    /// More bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.received += bytes.len() as u64;
        if let (Some(digests), None) = (&mut self.digests, &self.chain) {
            digests.push(bytes);
        }
        if self.full() {
            if !bytes.is_empty() && !self.overflowed {
                self.overflowed = true;
                self.sum_kept();
            }
            return;
        }
        match &mut self.chain {
            None => {
                let room = self.limit.saturating_sub(self.data.len());
                self.data.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Some(chain) => chain.push(bytes, &mut self.data),
        }
    }

    /// What is kept is all that files tell of the body.
    fn sum_kept(&mut self) {
        if self.digests.is_some() && self.kept.is_none() {
            let mut digests = Digests::default();
            digests.push(&self.data);
            self.kept = Some(Box::new(digests.finish()));
        }
    }

    /// A digest of what is kept of the body.
    pub fn kept_sum(&self, buffer: weir_ir::Buffer) -> Option<&[u8]> {
        self.kept.as_ref().map_or_else(|| self.sum(buffer), |sums| sums.of(buffer))
    }

    /// The end of the body: whatever a decoder holds back comes out.
    pub fn finish(&mut self) {
        if !self.complete {
            self.complete = true;
            if let Some(chain) = &mut self.chain {
                chain.finish(&mut self.data);
            }
            if self.full() && self.size() > self.data.len() as u64 {
                self.sum_kept();
            }
            let whole = !self.holed && (self.chain.is_none() || !self.full());
            if let Some(mut digests) = self.digests.take().filter(|_| whole) {
                if self.chain.is_some() {
                    digests.push(&self.data);
                }
                self.sums = Some(Box::new(digests.finish()));
            }
        }
    }

    /// So many bytes are lost: decoding cannot go on, plain bytes can.
    pub fn gap(&mut self, length: u64) {
        self.received += length;
        self.holed = true;
        if let Some(chain) = &mut self.chain {
            chain.finish(&mut self.data);
            chain.stop();
        }
    }

    /// It is what came, without codings.
    pub fn is_plain(&self) -> bool {
        self.chain.is_none()
    }

    /// It could not be decoded.
    pub fn failed(&self) -> bool {
        self.chain.as_ref().is_some_and(|chain| chain.failed())
    }

    /// Bytes of the decoded body so far; of a coded one those that are kept.
    pub fn size(&self) -> u64 {
        if self.chain.is_some() { self.data.len() as u64 } else { self.received }
    }

    /// The inspection limit is reached.
    pub fn full(&self) -> bool {
        self.data.len() >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn decoded(encoding: &[u8], packed: &[u8], cut: usize, limit: usize) -> Body {
        let mut body = Body::default();
        body.begin(limit, limit, 4, Some(encoding));
        packed.chunks(cut).for_each(|c| body.push(c));
        body.finish();
        body
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_in_any_cut() {
        let text: Vec<u8> = (0..5000u32).flat_map(|i| i.to_string().into_bytes()).collect();
        let packed = gzip(&text);
        for cut in [1, 7, 100, 1000, packed.len()] {
            let body = decoded(b"gzip", &packed, cut, 1 << 20);
            assert!(body.data == text && !body.failed(), "cut {cut}");
            assert_eq!(decoded(b"x-gzip", &packed, cut, 100).data, &text[..100]);
        }
    }

    #[test]
    fn what_comes_behind_a_reached_limit_ends_the_file() {
        use weir_ir::Buffer::FileMd5;
        let body = |pieces: &[&[u8]]| {
            let mut body = Body::default();
            body.begin(4, 4, 4, None);
            body.with_digests();
            pieces.iter().for_each(|piece| body.push(piece));
            body.finish();
            body
        };
        for (pieces, overflowed) in [(&[&b"abcd"[..], b""][..], false), (&[b"abcdef"], false), (&[b"abc", b"def", b"g"], true)] {
            let body = body(pieces);
            assert_eq!((body.overflowed, body.data.as_slice()), (overflowed, &b"abcd"[..]));
            assert_eq!(body.kept_sum(FileMd5).map(crate::digest::hex), Some(crate::digest::md5_hex(b"abcd")));
            assert_eq!(body.sum(FileMd5).map(crate::digest::hex), Some(crate::digest::md5_hex(&pieces.concat())));
        }
    }

    #[test]
    fn a_fault_behind_the_limit_is_not_seen_in_any_cut() {
        let mut packed = gzip(&b"some text that is long enough to be broken ".repeat(40));
        let last = packed.len() - 12;
        packed[last..].fill(0xff);
        let whole = decoded(b"gzip", &packed, packed.len(), 30);
        assert_eq!(whole.data, b"some text that is long enough ");
        for cut in 1..packed.len() {
            assert_eq!(decoded(b"gzip", &packed, cut, 30).failed(), whole.failed(), "cut {cut}");
        }
        assert!(!whole.failed());
    }

    #[test]
    fn layers_and_members() {
        let text = b"layered ".repeat(100);
        let packed = gzip(&gzip(&text));
        assert_eq!(decoded(b"gzip, gzip", &packed, 5, 1 << 20).data, text);
        let mut two = gzip(b"one ");
        two.extend(gzip(b"two"));
        assert_eq!(decoded(b"gzip", &two, 3, 1 << 20).data, b"one two");
        let mut body = Body::default();
        assert!(body.begin(9, 9, 4, Some(b"gzip,gzip,gzip,gzip,gzip")).too_many);
        assert!(body.begin(9, 9, 4, Some(b"foo")).abnormal);
        assert!(!body.begin(9, 9, 4, Some(b"identity")).abnormal);
    }

    #[test]
    fn deflate_with_and_without_wrapper() {
        let text = b"hello hello hello".repeat(20);
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(&text).unwrap();
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        raw.write_all(&text).unwrap();
        for packed in [zlib.finish().unwrap(), raw.finish().unwrap()] {
            for cut in [1, 2, 1000] {
                assert_eq!(decoded(b"deflate", &packed, cut, 1 << 20).data, text);
            }
        }
    }

    #[test]
    fn brotli() {
        // "hello brotli" as an uncompressed meta-block: WBITS 16, then MLEN 12, stored (RFC 7932 section 9).
        let packed = [0x8b, 0x05, 0x80, b'h', b'e', b'l', b'l', b'o', b' ', b'b', b'r', b'o', b't', b'l', b'i', 0x03];
        for cut in [1, 3, 100] {
            assert_eq!(decoded(b"br", &packed, cut, 1 << 20).data, b"hello brotli", "cut {cut}");
        }
    }

    #[test]
    fn what_is_not_encoded_is_kept_as_it_is() {
        for cut in [1, 4, 100] {
            let body = decoded(b"gzip", b"not gzip at all", cut, 100);
            assert!(body.failed());
            assert_eq!(body.data, b"not gzip at all");
            assert_eq!(decoded(b"zz", b"opaque", cut, 100).data, b"opaque");
        }
        // A stored block whose length and its complement disagree (RFC 1951 section 3.2.4), found with the fifth byte.
        for cut in [1, 2, 4, 5, 100] {
            assert_eq!(decoded(b"deflate", b"\0\0\0\0\0 and more", cut, 100).data, b"\0\0\0\0\0 and more", "cut {cut}");
        }
        // A broken stream: what came before the fault is kept.
        let mut packed = gzip(&b"some text that is long enough to be broken ".repeat(40));
        let middle = packed.len() / 2;
        packed[middle] ^= 0xff;
        packed[middle + 1] ^= 0xff;
        let mut before = None;
        for cut in [1, 9, 1000] {
            let body = decoded(b"gzip", &packed, cut, 1 << 20);
            let now = (body.data.clone(), body.failed());
            assert_eq!(*before.get_or_insert(now.clone()), now);
        }
    }
}
