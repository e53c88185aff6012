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

/// Where as many transactions as `limit` live, half of them make room for a new one, the oldest first. Gives how many. None
/// goes that has changed since it was inspected: [`crate::AppLayerFlow`] gives parsers no more at a time than there is room
/// for, and what one record brings beyond that lives until the next inspection.
pub(crate) fn make_room<E>(transactions: &mut Vec<Transaction>, exchanges: &mut Vec<E>, limit: usize) -> u64 {
    if transactions.len() < limit {
        return 0;
    }
    let mut room = (limit / 2).max(1);
    let stays: Vec<bool> = transactions
        .iter()
        .map(|t| {
            let goes = room > 0 && t.changed == [false; 2];
            room -= usize::from(goes);
            !goes
        })
        .collect();
    let before = transactions.len();
    let (mut one, mut other) = (stays.iter(), stays.iter());
    transactions.retain(|_| one.next().is_none_or(|stays| *stays));
    exchanges.retain(|_| other.next().is_none_or(|stays| *stays));
    (before - transactions.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_inspected_makes_room() {
        let transaction = |id| Transaction { id, progress: [0; 2], changed: [id % 3 == 0, false], events: Vec::new() };
        let (mut transactions, mut exchanges): (Vec<_>, Vec<_>) = (0..8).map(|id| (transaction(id), id)).unzip();
        assert_eq!(make_room(&mut transactions, &mut exchanges, 9), 0);
        assert_eq!(make_room(&mut transactions, &mut exchanges, 8), 4);
        assert_eq!(exchanges, [0, 3, 6, 7]);
        assert!(transactions.iter().map(|t| t.id).eq(exchanges.iter().copied()));
        transactions.iter_mut().for_each(|t| t.changed[1] = true);
        assert_eq!(make_room(&mut transactions, &mut exchanges, 1), 0);
    }
}
