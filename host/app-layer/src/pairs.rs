//! Transactions of a request and its responses.

use crate::{COMPLETE, Direction, Transaction};

/// Most bytes that the transactions of a flow hold together; beyond it the oldest is closed.
const KEPT_MAX: usize = 1 << 20;
/// Most events of a transaction.
const EVENTS_MAX: usize = 32;

/// A request, if it was seen, and what answered it.
#[derive(Debug)]
pub(crate) struct Pair<Q, R> {
    pub request: Option<Q>,
    pub responses: Vec<R>,
    kept: usize,
}

/// The exchanges of a flow that are not inspected yet.
#[derive(Debug)]
pub(crate) struct Pairs<Q, R> {
    pub transactions: Vec<Transaction>,
    pairs: Vec<Pair<Q, R>>,
    next: u64,
    limit: usize,
    kept: usize,
}

impl<Q, R> Pairs<Q, R> {
    /// None yet; at most `limit` at a time.
    pub fn new(limit: usize) -> Self {
        Pairs { transactions: Vec::new(), pairs: Vec::new(), next: 0, limit, kept: 0 }
    }

    /// A new exchange. Where there are too many, the oldest that are inspected make room.
    fn open(&mut self, d: usize) -> usize {
        if crate::messages::make_room(&mut self.transactions, &mut self.pairs, self.limit) > 0 {
            self.kept = self.pairs.iter().map(|pair| pair.kept).sum();
        }
        let mut changed = [false; 2];
        changed[d] = true;
        self.transactions.push(Transaction { id: self.next, progress: [0; 2], changed, events: Vec::new() });
        self.pairs.push(Pair { request: None, responses: Vec::new(), kept: 0 });
        self.next += 1;
        self.pairs.len() - 1
    }

    fn close_oldest(&mut self) {
        if let Some(index) = self.transactions.iter().position(|t| t.progress != [COMPLETE; 2]) {
            self.close(index);
        }
    }

    /// A request that holds so many bytes.
    pub fn request(&mut self, request: Q, kept: usize) -> usize {
        let index = self.open(0);
        self.pairs[index].request = Some(request);
        self.transactions[index].progress[0] = COMPLETE;
        self.keep(index, kept);
        index
    }

    /// A response that holds so many bytes, to the exchange at `index`; a new one without request if there is none.
    pub fn response(&mut self, index: Option<usize>, response: R, kept: usize) -> usize {
        let index = match index {
            Some(index) => index,
            None => {
                let index = self.open(1);
                self.close(index);
                self.transactions[index].changed = [false, true];
                index
            }
        };
        self.pairs[index].responses.push(response);
        self.transactions[index].changed[1] = true;
        self.keep(index, kept);
        index
    }

    fn keep(&mut self, index: usize, kept: usize) {
        self.pairs[index].kept += kept;
        self.kept += kept;
        if self.kept > KEPT_MAX {
            self.close_oldest();
        }
    }

    /// Nothing will be added to an exchange.
    pub fn close(&mut self, index: usize) {
        if let Some(t) = self.transactions.get_mut(index) {
            for d in 0..2 {
                t.changed[d] |= t.progress[d] != COMPLETE;
                t.progress[d] = COMPLETE;
            }
        }
    }

    /// Nothing will be added at all.
    pub fn close_all(&mut self) {
        (0..self.pairs.len()).for_each(|index| self.close(index));
    }

    /// The oldest exchange that waits for a response, and whose request is one of these.
    pub fn waiting(&self, mut is: impl FnMut(&Q) -> bool) -> Option<usize> {
        self.pairs.iter().zip(&self.transactions).position(|(pair, t)| {
            t.progress[1] != COMPLETE && pair.request.as_ref().is_some_and(&mut is)
        })
    }

    /// The exchange at `index`.
    pub fn get(&self, index: usize) -> Option<&Pair<Q, R>> {
        self.pairs.get(index)
    }

    /// The exchange at `index`.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Pair<Q, R>> {
        self.pairs.get_mut(index)
    }

    /// The responses of an exchange are all there.
    pub fn is_answered(&self, index: usize) -> bool {
        self.transactions.get(index).is_none_or(|t| t.progress[1] == COMPLETE)
    }

    /// An event of the exchange at `index`.
    pub fn event(&mut self, index: usize, direction: Direction, event: u16) {
        if let Some(t) = self.transactions.get_mut(index)
            && !t.events.contains(&event)
            && t.events.len() < EVENTS_MAX
        {
            t.events.push(event);
            t.changed[direction as usize] = true;
        }
    }

    /// An event of the newest exchange; one of its own if there is none.
    pub fn event_alone(&mut self, direction: Direction, event: u16) {
        let index = self.open(direction as usize);
        self.close(index);
        self.event(index, direction, event);
    }

    /// All changes are inspected: what is complete goes.
    pub fn release(&mut self) {
        let mut at = 0;
        while at < self.transactions.len() {
            self.transactions[at].changed = [false; 2];
            if self.transactions[at].progress == [COMPLETE; 2] {
                self.transactions.remove(at);
                self.kept -= self.pairs.remove(at).kept;
            } else {
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanges() {
        let mut pairs: Pairs<u8, u8> = Pairs::new(3);
        assert_eq!((pairs.request(1, 10), pairs.request(2, 10)), (0, 1));
        assert_eq!(pairs.waiting(|q| *q == 2), Some(1));
        assert_eq!(pairs.response(Some(1), 20, 5), 1);
        assert!(!pairs.is_answered(1));
        pairs.close(1);
        assert_eq!((pairs.waiting(|q| *q == 2), pairs.response(None, 30, 5)), (None, 2));
        assert_eq!(pairs.request(4, 1), 3, "none of them is inspected");
        pairs.release();
        assert_eq!((pairs.transactions.len(), pairs.kept), (2, 11));
        assert_eq!((pairs.request(5, 1), pairs.request(6, 1)), (2, 2), "the oldest gives way");
        assert_eq!(pairs.kept, 3);
        pairs.close_all();
        pairs.release();
        for n in 0..1000 {
            pairs.request(n as u8, 1 << 19);
            pairs.release();
        }
        assert!(pairs.kept <= KEPT_MAX);
    }
}
