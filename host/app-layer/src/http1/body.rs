//! A message body: content decodings undone as bytes arrive, kept up to the inspection limit.

use flate2::{Decompress, FlushDecompress, Status};

/// One content coding (RFC 9110 section 8.4.1).
enum Coding {
    Inflate { state: Box<Decompress>, tried_raw: bool, kind: Kind, first: Vec<u8> },
    /// Not undone: the bytes are kept as they are.
    Opaque,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gzip,
    Deflate,
}

/// A growing body.
#[derive(Default)]
pub struct Body {
    /// Decoded bytes so far, at most the limit.
    pub data: Vec<u8>,
    /// Raw bytes seen.
    pub received: u64,
    /// Nothing will be added.
    pub complete: bool,
    /// A coding could not be undone.
    pub undecodable: bool,
    coding: Option<Coding>,
    limit: usize,
    started: bool,
}

impl Body {
    /// An empty body that keeps `limit` bytes; `encoding` is the Content-Encoding value.
    pub fn new(limit: usize, encoding: Option<&[u8]>) -> Body {
        let coding = encoding.and_then(|value| {
            let lower = value.to_ascii_lowercase();
            let has = |name: &[u8]| lower.windows(name.len()).any(|w| w == name);
            if has(b"gzip") {
                Some(inflate(Kind::Gzip))
            } else if has(b"deflate") {
                Some(inflate(Kind::Deflate))
            } else if lower.is_empty() || has(b"identity") {
                None
            } else {
                Some(Coding::Opaque)
            }
        });
        Body { limit, undecodable: matches!(coding, Some(Coding::Opaque)), coding, ..Body::default() }
    }

    /// More raw bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.received += bytes.len() as u64;
        self.started = true;
        match self.coding.take() {
            None | Some(Coding::Opaque) => self.keep(bytes),
            Some(coding) => self.inflate(coding, bytes),
        }
    }

    /// The limit is reached.
    pub fn full(&self) -> bool {
        self.data.len() >= self.limit
    }

    /// Any byte came.
    pub fn started(&self) -> bool {
        self.started
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.data.len());
        self.data.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn inflate(&mut self, coding: Coding, bytes: &[u8]) {
        let Coding::Inflate { mut state, mut tried_raw, kind, mut first } = coding else { return };
        if self.full() {
            self.coding = Some(Coding::Inflate { state, tried_raw, kind, first });
            return;
        }
        if first.len() < 64 && self.data.is_empty() {
            first.extend_from_slice(&bytes[..bytes.len().min(64 - first.len())]);
        }
        let mut input = bytes;
        let mut chunk = [0u8; 8192];
        loop {
            let before_in = state.total_in();
            let before_out = state.total_out();
            let result = state.decompress(input, &mut chunk, FlushDecompress::None);
            let used = (state.total_in() - before_in) as usize;
            let made = (state.total_out() - before_out) as usize;
            self.keep(&chunk[..made.min(chunk.len())]);
            input = input.get(used..).unwrap_or(&[]);
            match result {
                Ok(Status::StreamEnd) => {
                    // What follows the stream's end is kept as it is, as browsers that ignore it never see it and
                    // those that do not do.
                    self.keep(input);
                    self.coding = None;
                    return;
                }
                Ok(_) if self.full() || (used == 0 && made == 0) || (input.is_empty() && made < chunk.len()) => break,
                Ok(_) => {}
                Err(_) if kind == Kind::Deflate && !tried_raw && self.data.is_empty() && first.len() < 64 => {
                    // "deflate" without the zlib wrapper is common.
                    tried_raw = true;
                    state = Box::new(Decompress::new(false));
                    let again = std::mem::take(&mut first);
                    self.inflate(Coding::Inflate { state, tried_raw, kind, first: vec![0; 64] }, &again);
                    return;
                }
                Err(_) => {
                    self.undecodable = true;
                    self.keep(input);
                    self.coding = Some(Coding::Opaque);
                    return;
                }
            }
        }
        self.coding = Some(Coding::Inflate { state, tried_raw, kind, first });
    }
}

fn inflate(kind: Kind) -> Coding {
    let state = match kind {
        Kind::Gzip => Decompress::new_gzip(15),
        Kind::Deflate => Decompress::new(true),
    };
    Coding::Inflate { state: Box::new(state), tried_raw: false, kind, first: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn gzip_in_any_cut() {
        let text: Vec<u8> = (0..5000u32).flat_map(|i| i.to_string().into_bytes()).collect();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&text).unwrap();
        let packed = encoder.finish().unwrap();
        for cut in [1, 7, 100, 1000, packed.len()] {
            let mut body = Body::new(1 << 20, Some(b"gzip"));
            packed.chunks(cut).for_each(|c| body.push(c));
            assert!(body.data == text && !body.undecodable, "cut {cut}");
        }
        let mut body = Body::new(100, Some(b"x-gzip"));
        body.push(&packed);
        assert_eq!(body.data, &text[..100]);
    }

    #[test]
    fn deflate_with_and_without_wrapper() {
        let text = b"hello hello hello".repeat(20);
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(&text).unwrap();
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        raw.write_all(&text).unwrap();
        for packed in [zlib.finish().unwrap(), raw.finish().unwrap()] {
            let mut body = Body::new(1 << 20, Some(b"deflate"));
            body.push(&packed);
            assert_eq!(body.data, text);
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_kept_as_it_is() {
        let mut body = Body::new(100, Some(b"gzip"));
        body.push(b"not gzip at all");
        assert!(body.undecodable);
        let mut body = Body::new(100, Some(b"zz"));
        body.push(b"opaque");
        assert_eq!(body.data, b"opaque");
    }
}
