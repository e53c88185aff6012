//! Input that waits until detection has seen the transactions before it, in order of arrival.

use crate::{Direction, Input};
use std::collections::VecDeque;

#[derive(Debug)]
enum What {
    /// Bytes, of which those before the offset are parsed.
    Data(Vec<u8>, usize),
    Gap(u64),
    End,
}

/// One input that waits.
#[derive(Debug)]
pub(super) struct Item {
    pub direction: Direction,
    /// Detection of the direction's own protocol has seen it.
    pub watched: bool,
    what: What,
}

impl Item {
    /// A copy of an input.
    pub fn new(direction: Direction, input: Input<'_>, watched: bool) -> Item {
        let what = match input {
            Input::Data(bytes) => What::Data(bytes.to_vec(), 0),
            Input::Gap(length) => What::Gap(length),
            Input::End => What::End,
        };
        Item { direction, watched, what }
    }

    /// The input, as far as it is not parsed.
    pub fn input(&self) -> Input<'_> {
        match &self.what {
            What::Data(bytes, from) => Input::Data(bytes.get(*from..).unwrap_or(&[])),
            What::Gap(length) => Input::Gap(*length),
            What::End => Input::End,
        }
    }

    /// So many more bytes are parsed.
    pub fn advance(&mut self, parsed: usize) {
        if let What::Data(_, from) = &mut self.what {
            *from += parsed;
        }
    }
}

/// The queue. It holds what came with one packet: it is emptied before the next one.
pub(super) type Held = VecDeque<Item>;
