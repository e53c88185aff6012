//! Input that waits until detection has seen the transactions before it, in order of arrival.

use super::detecting::{Detecting, Lazy};
use super::{AppLayerFlow, Phase};
use crate::frames::FRAMES_MAX;
use crate::{Direction, Input, Upgrade};
use std::collections::VecDeque;
use weir_contract::protocol::{AppProtocol, Carrier};

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

impl AppLayerFlow {
    /// Detection has seen the transactions as they are now. A protocol change that the parser declared takes effect, so
    /// that its last transactions are inspected first, and the parser goes on with what was held. True when that was
    /// anything: there is something to inspect again.
    #[must_use = "what the parser goes on with has to be inspected, too"]
    pub fn mark_inspected(&mut self, frame: u64) -> bool {
        let Phase::Parsing(state) = &mut self.phase else { return false };
        state.mark_inspected();
        if let Some(frames) = &mut self.frames {
            frames.release();
        }
        self.fed = false;
        let mut queue = self.held.take();
        if state.pauses() {
            let upgrade = state.upgrade();
            let rest = self.take_rest();
            let queue = queue.get_or_insert_default();
            rest.into_iter().rev().for_each(|item| queue.push_front(item));
            if let Some(upgrade) = upgrade {
                // The protocol's successor has seen nothing yet.
                queue.iter_mut().for_each(|item| item.watched = false);
                self.change_protocol(upgrade);
            }
        }
        let Some(mut queue) = queue.filter(|queue| !queue.is_empty()) else { return false };
        while self.held.is_none() {
            let Some(mut item) = queue.pop_front() else { break };
            if !item.watched {
                self.take_in(item.direction, item.input(), frame);
            } else if let Some(parsed) = self.parse(item.direction, item.input(), frame) {
                item.advance(parsed);
                queue.push_front(item);
                break;
            }
        }
        match &mut self.held {
            Some(held) => held.append(&mut queue),
            None if queue.is_empty() => {}
            held => *held = Some(queue),
        }
        true
    }

    /// What a parser that pauses has kept.
    fn take_rest(&mut self) -> Vec<Item> {
        let Phase::Parsing(state) = &mut self.phase else { return Vec::new() };
        let mut kept = Vec::new();
        // Bytes to the client make parsers pause: what is kept of the other direction came before them.
        for direction in [Direction::ToServer, Direction::ToClient] {
            let rest = state.take_rest(direction);
            if !rest.is_empty() {
                kept.push(Item::new(direction, Input::Data(&rest), true));
            }
            let lost = state.take_lost(direction);
            if lost > 0 {
                kept.push(Item::new(direction, Input::Gap(lost), true));
            }
            if self.ended[direction as usize] {
                kept.push(Item::new(direction, Input::End, true));
            }
        }
        kept
    }

    /// The parser's protocol ends.
    fn change_protocol(&mut self, upgrade: Upgrade) {
        let Phase::Parsing(state) = &mut self.phase else { return };
        let before = state.protocol();
        let successor = state.take_successor();
        self.upgraded = true;
        self.parser = self.parser.wrapping_add(1);
        self.original.get_or_insert(before);
        self.watch = None;
        self.by_side = [None; 2];
        self.side_failed = [false; 2];
        self.frames = None;
        if let Some(protocol) = upgrade.protocol.filter(|p| *p != AppProtocol::Tls) {
            self.cut_frames(protocol);
        }
        self.phase = match upgrade.protocol {
            // What was announced must still be what comes.
            Some(AppProtocol::Tls) => Phase::Detecting(Lazy(Some(Box::new(Detecting {
                expected: Some(AppProtocol::Tls),
                ..Detecting::default()
            })))),
            Some(protocol) => match successor.or_else(|| crate::parser_of(protocol, &self.config, self.carrier)) {
                Some(state) => Phase::Parsing(state),
                None => Phase::Opaque(Some(protocol)),
            },
            None => Phase::Detecting(Lazy(Some(Box::new(Detecting { empty_lines: [true; 2], ..Detecting::default() })))),
        };
    }

    pub(super) fn hold(&mut self, item: Item) {
        self.held.get_or_insert_default().push_back(item);
    }

    /// Give the parser an input that detection has seen, or hold what it cannot have yet.
    pub(super) fn parse_or_hold(&mut self, direction: Direction, input: Input<'_>, frame: u64) {
        let parsed = if self.held.is_some() { Some(0) } else { self.parse(direction, input, frame) };
        if let Some(parsed) = parsed {
            let rest = match input {
                Input::Data(bytes) => Input::Data(bytes.get(parsed..).unwrap_or(&[])),
                other => other,
            };
            self.hold(Item::new(direction, rest, true));
        }
    }

    /// Give the parser an input. If its transactions must be inspected before it can have all of it: how many bytes it
    /// has taken.
    fn parse(&mut self, direction: Direction, input: Input<'_>, frame: u64) -> Option<usize> {
        let Phase::Parsing(state) = &mut self.phase else { return None };
        let most = self.config.transactions;
        let stream = self.carrier == Some(Carrier::Tcp);
        let mut parsed = 0;
        loop {
            let frames = self.frames.as_ref().map_or(0, |frames| frames.waiting());
            // Where nothing has changed there is nothing to inspect, however many wait for more.
            let full = || {
                let live = state.transactions();
                frames >= FRAMES_MAX || live.len() >= most / 2 && live.iter().any(|t| t.changed != [false; 2])
            };
            if state.pauses() || (self.fed && stream && full()) {
                return Some(parsed);
            }
            self.fed = true;
            let (Input::Data(bytes), true) = (input, stream) else {
                state.feed(direction, input, frame);
                if let Some(frames) = &mut self.frames {
                    frames.feed_in(direction, input, state.transactions().last().map(|t| t.id));
                }
                return None;
            };
            // A byte that cannot begin a message makes a transaction for its event: no more can begin in a piece than it
            // has bytes.
            let room = most.saturating_sub(state.transactions().len()).max(1);
            let left = bytes.get(parsed..).unwrap_or(&[]);
            let piece = left.get(..room).unwrap_or(left);
            let kept = state.kept(direction);
            state.feed(direction, Input::Data(piece), frame);
            // What the parser keeps for later, or for another protocol, comes again.
            let later = usize::try_from(state.kept(direction).saturating_sub(kept)).unwrap_or(usize::MAX);
            let now = piece.get(..piece.len().saturating_sub(later)).unwrap_or(piece);
            if let Some(frames) = self.frames.as_mut().filter(|_| !now.is_empty()) {
                frames.feed_in(direction, Input::Data(now), state.transactions().last().map(|t| t.id));
            }
            parsed += piece.len();
            if parsed >= bytes.len() {
                return None;
            }
        }
    }
}
