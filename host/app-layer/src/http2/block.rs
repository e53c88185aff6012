//! A header block (RFC 9113 section 4.3), decoded as its fragments come.

use super::events::Event;
use super::fields::Fields;
use super::frame::Frame;
use super::hpack::{Decoder, Step, Stop};

/// Most size updates that are noted of a block.
const SIZES_MAX: usize = 16;

/// A block under way.
pub struct Block {
    /// Stream that the frames are of; a promised one is another.
    pub stream: u32,
    /// Transaction.
    pub id: Option<u64>,
    /// It is a request's.
    pub request: bool,
    /// The stream ends with it.
    pub ends_stream: bool,
    /// What was decoded.
    pub fields: Fields,
    /// What was odd since these were taken.
    pub events: Vec<Event>,
    /// Size updates since these were taken.
    pub sizes: Vec<u64>,
    noted: usize,
    partial: Vec<u8>,
    broken: bool,
}

impl Block {
    /// The block that a frame begins.
    pub fn new(frame: Frame, id: Option<u64>, request: bool) -> Block {
        Block {
            stream: frame.stream,
            id,
            request,
            ends_stream: frame.ends_stream(),
            fields: Fields::default(),
            events: Vec::new(),
            sizes: Vec::new(),
            noted: 0,
            partial: Vec::new(),
            broken: false,
        }
    }

    /// Bytes without meaning are at its end.
    pub fn has_rest(&self) -> bool {
        !self.partial.is_empty()
    }

    fn event(&mut self, event: Event) {
        if !self.events.contains(&event) {
            self.events.push(event);
        }
    }

    fn stop(&mut self, event: Event) {
        self.event(event);
        self.broken = true;
        self.partial = Vec::new();
    }

    /// A fragment. A field representation longer than `limit` ends the block's reading; fields beyond `limit` together are
    /// left out.
    pub fn push(&mut self, decoder: &mut Decoder, bytes: &[u8], limit: usize) {
        if self.broken {
            return;
        }
        let mut partial = std::mem::take(&mut self.partial);
        partial.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            match decoder.step(&partial[at..], limit) {
                Err(Stop::More) => break,
                Err(Stop::Overflow) => return self.stop(Event::HeaderIntegerOverflow),
                Ok((_, used)) if used > limit => return self.stop(Event::ReassemblyLimitReached),
                Ok((step, used)) => {
                    at += used;
                    match step {
                        Step::Size(size) if self.noted < SIZES_MAX => {
                            self.noted += 1;
                            self.sizes.push(size);
                        }
                        Step::Size(_) => {}
                        Step::NoEntry | Step::BadString => self.event(Event::InvalidHeader),
                        Step::Field => {}
                    }
                    if !matches!(step, Step::Size(_) | Step::NoEntry)
                        && !self.fields.push(decoder.name(), decoder.value(), limit)
                    {
                        self.event(Event::ReassemblyLimitReached);
                    }
                }
            }
        }
        partial.drain(..at);
        if partial.len() > limit {
            return self.stop(Event::ReassemblyLimitReached);
        }
        self.partial = partial;
    }
}
