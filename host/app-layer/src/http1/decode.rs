//! Streaming decoders for content codings, chained.
//!
//! Tolerant: checksums and lengths in trailers are not judged; data that is not what its label says passes as it is;
//! a stream that breaks yields what came out before it broke. Output is bounded by the chain's limit, work by that and
//! the input.

use super::body::Coding;
use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};

/// Decoders in the order in which they undo the codings.
pub struct Chain {
    layers: Vec<Layer>,
    limit: usize,
    out: usize,
    failed: bool,
    stopped: bool,
}

enum Layer {
    Gzip(Gzip),
    /// Waiting for two bytes that tell zlib from raw deflate.
    DeflateStart(Vec<u8>),
    Inflate(Box<Deflate>),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    /// The bytes pass as they are.
    Pass,
    /// The stream ended or broke: nothing passes.
    Done,
}

impl Chain {
    /// Undo `applied` (in order of application), putting out at most `limit` bytes.
    pub fn new(applied: &[Coding], limit: usize) -> Chain {
        let layers = applied
            .iter()
            .rev()
            .map(|coding| match coding {
                Coding::Gzip => Layer::Gzip(Gzip::default()),
                Coding::Deflate => Layer::DeflateStart(Vec::new()),
                Coding::Brotli => {
                    Layer::Brotli(Box::new(BrotliState::new(StandardAlloc::default(), StandardAlloc::default(), StandardAlloc::default())))
                }
            })
            .collect();
        Chain { layers, limit, out: 0, failed: false, stopped: false }
    }

    /// Decode `bytes` into `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if !self.stopped {
            run(&mut self.layers, bytes, &mut Sink { out, limit: self.limit, made: &mut self.out, failed: &mut self.failed });
        }
    }

    /// No more input: what waits for a decision passes as it is.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.stopped {
            return;
        }
        let mut sink = Sink { out, limit: self.limit, made: &mut self.out, failed: &mut self.failed };
        for at in 0..self.layers.len() {
            let (head, rest) = self.layers.split_at_mut(at + 1);
            let Some(layer) = head.last_mut() else { continue };
            let held = match layer {
                Layer::DeflateStart(held) => std::mem::take(held),
                Layer::Gzip(gzip) if gzip.members == 0 => std::mem::take(&mut gzip.held),
                _ => continue,
            };
            if !held.is_empty() {
                *sink.failed = true;
                run(rest, &held, &mut sink);
            }
        }
    }

    /// Put nothing more out.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// A layer could not decode.
    pub fn failed(&self) -> bool {
        self.failed
    }
}

struct Sink<'a> {
    out: &'a mut Vec<u8>,
    limit: usize,
    made: &'a mut usize,
    failed: &'a mut bool,
}

impl Sink<'_> {
    fn full(&self) -> bool {
        *self.made >= self.limit
    }

    /// A layer cannot go on. What lies behind the limit is not looked at, however much of it came at once.
    fn broken(&mut self) {
        *self.failed |= !self.full();
    }
}

/// Push bytes through the layers; the depth of the recursion is their number.
fn run(layers: &mut [Layer], bytes: &[u8], sink: &mut Sink<'_>) {
    if bytes.is_empty() || sink.full() {
        return;
    }
    let Some((layer, rest)) = layers.split_first_mut() else {
        let room = sink.limit - *sink.made;
        let take = bytes.len().min(room);
        sink.out.extend_from_slice(&bytes[..take]);
        *sink.made += take;
        return;
    };
    match layer {
        Layer::Pass => run(rest, bytes, sink),
        Layer::Done => {}
        Layer::DeflateStart(held) => {
            held.extend_from_slice(bytes);
            let &[cmf, flags, ..] = held.as_slice() else { return };
            // RFC 1950 section 2.2.
            let zlib = cmf & 0x0f == 8 && (u16::from(cmf) << 8 | u16::from(flags)) % 31 == 0;
            let input = std::mem::take(held);
            let mut deflate = Box::new(Deflate { state: Decompress::new(zlib), held: Vec::new(), doubt: DOUBT_MAX });
            *layer = deflate.push(&input, rest, sink).unwrap_or(Layer::Inflate(deflate));
        }
        Layer::Inflate(deflate) => {
            if let Some(next) = deflate.push(bytes, rest, sink) {
                *layer = next;
            }
        }
        Layer::Gzip(gzip) => {
            if let Some(next) = gzip.push(bytes, rest, sink) {
                *layer = next;
            }
        }
        Layer::Brotli(state) => {
            let mut left = bytes.len();
            let mut at = 0;
            let mut chunk = [0u8; 8192];
            loop {
                let mut room = chunk.len();
                let mut made = 0;
                let mut total = 0;
                let result =
                    BrotliDecompressStream(&mut left, &mut at, bytes, &mut room, &mut made, &mut chunk, &mut total, state);
                run(rest, &chunk[..made.min(chunk.len())], sink);
                match result {
                    BrotliResult::NeedsMoreOutput if !sink.full() => {}
                    BrotliResult::NeedsMoreInput => return,
                    BrotliResult::NeedsMoreOutput | BrotliResult::ResultSuccess => break,
                    BrotliResult::ResultFailure => {
                        sink.broken();
                        break;
                    }
                }
            }
            *layer = Layer::Done;
        }
    }
}

/// Deflate, with the zlib wrapper or without.
struct Deflate {
    state: Decompress,
    /// The input so far, while nothing has come out.
    held: Vec<u8>,
    /// So many more bytes without any output may show that it is not deflate at all.
    doubt: usize,
}

/// The first block of what is not deflate breaks within this many bytes.
const DOUBT_MAX: usize = 1024;

impl Deflate {
    /// Gives the layer that takes over, if any.
    fn push(&mut self, mut bytes: &[u8], rest: &mut [Layer], sink: &mut Sink<'_>) -> Option<Layer> {
        while self.doubt > 0 && !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.doubt));
            self.held.extend_from_slice(now);
            self.doubt -= now.len();
            bytes = later;
            let end = inflate(&mut self.state, now, rest, sink);
            let nothing = self.state.total_out() == 0;
            match end {
                End::More if nothing && self.doubt > 0 => {}
                End::More => {
                    self.doubt = 0;
                    self.held = Vec::new();
                }
                End::Broken if nothing => {
                    run(rest, &self.held, sink);
                    run(rest, bytes, sink);
                    return Some(Layer::Pass);
                }
                End::Over(_) | End::Broken => return Some(Layer::Done),
            }
        }
        if bytes.is_empty() {
            return None;
        }
        match inflate(&mut self.state, bytes, rest, sink) {
            End::More => None,
            End::Over(_) | End::Broken => Some(Layer::Done),
        }
    }
}

enum End {
    More,
    /// The stream ended; so many bytes of the input were not part of it.
    Over(usize),
    Broken,
}

/// Inflate `input` into the layers behind.
fn inflate(state: &mut Decompress, mut input: &[u8], rest: &mut [Layer], sink: &mut Sink<'_>) -> End {
    let mut chunk = [0u8; 8192];
    loop {
        let before = (state.total_in(), state.total_out());
        let result = state.decompress(input, &mut chunk, FlushDecompress::None);
        let used = usize::try_from(state.total_in() - before.0).unwrap_or(usize::MAX);
        let made = usize::try_from(state.total_out() - before.1).unwrap_or(usize::MAX);
        run(rest, &chunk[..made.min(chunk.len())], sink);
        input = input.get(used..).unwrap_or(&[]);
        match result {
            Ok(Status::StreamEnd) => return End::Over(input.len()),
            Ok(_) if sink.full() => return End::Broken,
            Ok(_) if (used == 0 && made == 0) || (input.is_empty() && made < chunk.len()) => return End::More,
            Ok(_) => {}
            Err(_) => {
                sink.broken();
                return End::Broken;
            }
        }
    }
}

/// gzip (RFC 1952): header, deflate, trailer, perhaps another member.
#[derive(Default)]
struct Gzip {
    /// Bytes of an incomplete header.
    held: Vec<u8>,
    inflate: Option<Box<Decompress>>,
    /// Bytes of the trailer still to skip.
    trailer: usize,
    /// Members begun.
    members: u32,
}

/// Most bytes of a gzip header; longer ones are not undone.
const HEADER_MAX: usize = 64 * 1024;

/// Most members of one gzip body.
const MEMBERS_MAX: u32 = 64;

impl Gzip {
    /// Gives the layer that takes over, if any.
    fn push(&mut self, mut bytes: &[u8], rest: &mut [Layer], sink: &mut Sink<'_>) -> Option<Layer> {
        if let Some(state) = &mut self.inflate {
            match inflate(state, bytes, rest, sink) {
                End::More => return None,
                End::Broken => return Some(Layer::Done),
                End::Over(left) => {
                    self.inflate = None;
                    self.trailer = 8;
                    bytes = &bytes[bytes.len() - left..];
                }
            }
        }
        // Between streams: trailer, header, first bytes of a member.
        let mut pending = std::mem::take(&mut self.held);
        pending.extend_from_slice(bytes);
        loop {
            let skip = self.trailer.min(pending.len());
            self.trailer -= skip;
            pending.drain(..skip);
            if pending.is_empty() {
                return None;
            }
            match header(&pending) {
                Header::Length(length) if self.members < MEMBERS_MAX => {
                    self.members += 1;
                    let mut state = Box::new(Decompress::new(false));
                    match inflate(&mut state, &pending[length..], rest, sink) {
                        End::More => {
                            self.inflate = Some(state);
                            return None;
                        }
                        End::Broken => return Some(Layer::Done),
                        End::Over(left) => {
                            self.trailer = 8;
                            pending.drain(..pending.len() - left);
                        }
                    }
                }
                Header::More if pending.len() < HEADER_MAX => {
                    self.held = pending;
                    return None;
                }
                _ if self.members == 0 => {
                    // Not gzip at all.
                    *sink.failed = true;
                    run(rest, &pending, sink);
                    return Some(Layer::Pass);
                }
                // Something else behind the last member.
                _ => return Some(Layer::Done),
            }
        }
    }
}

enum Header {
    More,
    Not,
    Length(usize),
}

/// Length of a gzip header (RFC 1952 section 2.3).
fn header(bytes: &[u8]) -> Header {
    let magic = [0x1f, 0x8b, 8];
    if bytes.iter().zip(magic).any(|(b, m)| *b != m) {
        return Header::Not;
    }
    let Some(&flags) = bytes.get(3) else { return Header::More };
    let mut at = 10;
    if flags & 4 != 0 {
        let (Some(low), Some(high)) = (bytes.get(at), bytes.get(at + 1)) else { return Header::More };
        at += 2 + (usize::from(*high) << 8 | usize::from(*low));
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            match bytes.get(at..).and_then(|rest| rest.iter().position(|b| *b == 0)) {
                Some(end) => at += end + 1,
                None => return Header::More,
            }
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    if bytes.len() < at { Header::More } else { Header::Length(at) }
}
