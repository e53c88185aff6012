//! Requests that wait for their response in great number.
//!
//! A client may send any number of requests before the first response (RFC 9112 section 9.3.2). Each is inspected when it
//! is complete; beyond the limit on open transactions the oldest then make room, and of them is kept only what a response
//! needs to be framed. Their responses become transactions again, with the same ids, when they come.

use super::message::LineParts;
use super::state::{At, Http1State};
use crate::COMPLETE;
use std::collections::VecDeque;

/// Most forgotten requests that are remembered. A response to one beyond is framed as if it answered a GET.
const REMEMBERED_MAX: usize = 4096;

/// What makes a request's response end elsewhere (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Head,
    /// Without protocol: the response is a body without head.
    Version09,
}

/// Forgotten requests that are no usual ones, oldest first.
#[derive(Debug, Default)]
pub(super) struct Forgotten(VecDeque<(u64, Kind)>);

impl Http1State {
    /// When as many transactions live as may, half of them go: the oldest whose request is complete and inspected, and
    /// whose response has not begun.
    pub(super) fn make_room(&mut self) {
        let most = self.config.transactions;
        if self.transactions.len() < most {
            return;
        }
        let mut room = (most / 2).max(1);
        // A CONNECT waits for what its response says.
        let waiting = if self.sides[0].at == At::Wait { self.sides[0].next.checked_sub(1) } else { None };
        let busy = [self.sides[0].current, self.sides[1].current, waiting];
        let mut forgotten = std::mem::take(&mut self.forgotten);
        let kinds: Vec<Option<Kind>> = self
            .pairs
            .iter()
            .map(|pair| match pair.messages[0].first() {
                _ if pair.version_09 => Some(Kind::Version09),
                b"HEAD" => Some(Kind::Head),
                _ => None,
            })
            .collect();
        let mut kinds = kinds.into_iter();
        let mut gone = 0;
        self.remove(|t| {
            let kind = kinds.next().flatten();
            if room == 0
                || t.changed != [false; 2]
                || t.progress[0] != COMPLETE
                || t.progress[1] != 0
                || busy.contains(&Some(t.id))
            {
                return false;
            }
            if let Some(kind) = kind.filter(|_| forgotten.0.len() < REMEMBERED_MAX) {
                forgotten.0.push_back((t.id, kind));
            }
            room -= 1;
            gone += 1;
            true
        });
        self.forgotten = forgotten;
        self.limits.transactions += gone;
    }

    /// The response at `index` begins. If its request was forgotten: what is known of it.
    pub(super) fn recall(&mut self, index: usize) {
        let id = self.transactions[index].id;
        if id >= self.sides[0].next || self.transactions[index].progress[0] == COMPLETE {
            return;
        }
        self.transactions[index].progress[0] = COMPLETE;
        while let Some((known, kind)) = self.forgotten.0.front().copied().filter(|(known, _)| *known <= id) {
            self.forgotten.0.pop_front();
            let pair = &mut self.pairs[index];
            match kind {
                _ if known < id => {}
                Kind::Version09 => pair.version_09 = true,
                Kind::Head => {
                    let request = &mut pair.messages[0];
                    request.head.extend_from_slice(b"HEAD");
                    request.set_line(0..4, |line| LineParts { first: line, ..LineParts::default() });
                }
            }
        }
    }
}
