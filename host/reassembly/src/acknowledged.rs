//! Delivery when the other side has acknowledged ([`Delivery::Acknowledged`]).
//!
//! Every payload waits in the direction's queue, where the overlap policy decides between copies of a byte until it is
//! acknowledged. What is acknowledged and missing is lost; what waits at the session's end is delivered then, and what is
//! missing then is no gap that anybody acknowledged: it raises no event. Bounded: beyond `queue_limit` waiting bytes a
//! direction is delivered without acknowledgement.

use super::{Session, SessionConfig, State, Stream, StreamSink, deliver};
use crate::event::{StreamEvent, StreamEvents};
use crate::queue::Queue;
use weir_contract::sequence::distance;

impl Session {
    /// Takes payload that waits for its acknowledgement; returns whether it is of the stream.
    pub(super) fn keep(
        &mut self,
        config: &SessionConfig,
        d: usize,
        sequence: u32,
        payload: &[u8],
        events: &mut StreamEvents,
        sink: &mut impl StreamSink,
    ) -> bool {
        let old = self.repeated(d, sequence, payload, events, sink);
        let s = &mut self.streams[d];
        let relative = distance(sequence, s.base);
        let offset = s.delivered + u64::try_from(relative).unwrap_or(0);
        let Some(new) = payload.get(old..).filter(|new| !new.is_empty()) else { return false };
        if s.ended || s.depth_reached || offset >= config.depth {
            return false;
        }
        let queue = s.queue.get_or_insert_with(|| Box::new(Queue::new(&config.memory)));
        if queue.insert(config.policy, offset, new) {
            events.insert(StreamEvent::ReassemblyOverlapDifferentData);
        }
        if queue.exceeds(config.queue_limit) {
            queue.count_pressure();
            self.drain(config, d, events, sink);
            self.declare_gap(config, d, u64::MAX, events, sink);
        }
        true
    }

    /// Delivers what the other side has acknowledged of direction `d`.
    pub(super) fn deliver_acknowledged(
        &mut self,
        config: &SessionConfig,
        d: usize,
        events: &mut StreamEvents,
        sink: &mut impl StreamSink,
    ) {
        let Some(acknowledged) = self.streams[1 - d].last_ack else { return };
        let s = &mut self.streams[d];
        let Ok(ahead) = u64::try_from(distance(acknowledged, s.base)) else { return };
        if s.tracked && s.queue.is_some() {
            let missing = deliver_until(s, config, d, s.delivered + ahead, events, sink);
            if missing {
                events.insert(StreamEvent::ReassemblySeqGap);
            }
        }
    }

    /// The session is over: whatever waits in direction `d` is delivered, and the direction ends.
    pub fn deliver_rest(&mut self, config: &SessionConfig, direction: usize, sink: &mut impl StreamSink) {
        let d = direction & 1;
        // What came with a SYN that was not answered, or before a refusal, is of no stream.
        let was = if self.state == State::Closed && self.before_reset != State::None { self.before_reset } else { self.state };
        let s = &mut self.streams[d];
        if s.tracked && s.queue.is_some() && was >= State::Established {
            deliver_until(s, config, d, u64::MAX, &mut StreamEvents::default(), sink);
        }
        self.tell_end(d, sink);
    }

    /// Bytes of the direction wait.
    pub fn waits(&self, direction: usize) -> bool {
        self.streams[direction & 1].queue.as_ref().is_some_and(|queue| !queue.is_empty())
    }
}

/// Delivers what waits before stream offset `end`, and gives up on what is missing there. Whether something was.
fn deliver_until(
    s: &mut Stream,
    config: &SessionConfig,
    d: usize,
    end: u64,
    events: &mut StreamEvents,
    sink: &mut impl StreamSink,
) -> bool {
    let mut missing = false;
    while let Some(first) = s.queue.as_ref().and_then(|queue| queue.first()).filter(|first| *first < end) {
        if first > s.delivered {
            let lost = first - s.delivered;
            missing = true;
            sink.gap(d, s.delivered, lost);
            s.delivered = first;
            s.base = s.base.wrapping_add(lost as u32);
        }
        let Some((start, bytes)) = s.queue.as_mut().and_then(|queue| queue.take_before(s.delivered, end)) else { break };
        let skip = s.delivered.saturating_sub(start) as usize;
        if let Some(rest) = bytes.get(skip..).filter(|rest| !rest.is_empty()) {
            deliver(s, config, d, rest, events, sink);
        }
    }
    if s.queue.as_ref().is_some_and(|queue| queue.is_empty()) {
        s.queue = None;
    }
    missing
}

#[cfg(test)]
#[path = "acknowledged_tests.rs"]
mod tests;
