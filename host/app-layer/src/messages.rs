//! Transactions of protocols whose messages stand for themselves: each message is one, complete when it has come.

use crate::{COMPLETE, Direction, Transaction};

/// The messages of a flow that are not inspected yet.
#[derive(Debug)]
pub(crate) struct Messages<M> {
    pub transactions: Vec<Transaction>,
    messages: Vec<(Direction, M)>,
    next: u64,
    limit: usize,
}

impl<M> Messages<M> {
    /// None yet; at most `limit` at a time.
    pub fn new(limit: usize) -> Messages<M> {
        Messages { transactions: Vec::new(), messages: Vec::new(), next: 0, limit }
    }

    /// A message came, with these events. Beyond the limit the newest is left out: that many in one packet are no use.
    pub fn push(&mut self, direction: Direction, message: M, events: Vec<u16>) {
        if self.transactions.len() >= self.limit {
            return;
        }
        let mut changed = [false; 2];
        changed[direction as usize] = true;
        self.transactions.push(Transaction { id: self.next, progress: [COMPLETE; 2], changed, events });
        self.messages.push((direction, message));
        self.next += 1;
    }

    /// The message at `index`, if it is of this direction.
    pub fn of(&self, index: usize, direction: Direction) -> Option<&M> {
        self.messages.get(index).filter(|(d, _)| *d == direction).map(|(_, m)| m)
    }

    /// The message at `index`.
    pub fn get(&self, index: usize) -> Option<&(Direction, M)> {
        self.messages.get(index)
    }

    /// All are inspected.
    pub fn clear(&mut self) {
        self.transactions.clear();
        self.messages.clear();
    }
}

/// Where as many transactions as `limit` live, half of them make room for a new one, the oldest first. Gives how many.
/// Those are open and have been inspected: [`crate::AppLayerFlow`] gives no parser more at a time than there is room for.
pub(crate) fn make_room<E>(transactions: &mut Vec<Transaction>, exchanges: &mut Vec<E>, limit: usize) -> u64 {
    let live = transactions.len().min(exchanges.len());
    if live < limit {
        return 0;
    }
    let gone = (limit / 2).max(1).min(live);
    transactions.drain(..gone);
    exchanges.drain(..gone);
    gone as u64
}
