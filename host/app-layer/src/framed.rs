//! Streams of messages that say their length, cut into messages.

/// What the beginning of a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Not enough yet.
    More,
    /// Length of the message, at least one byte.
    Length(usize),
    /// Not a message: the stream cannot be followed any more.
    Lost,
}

#[derive(Debug, Default)]
struct Side {
    held: Vec<u8>,
    /// Bytes of a message too long that are still to come.
    skip: u64,
    lost: bool,
}

/// Both directions of a stream.
#[derive(Debug)]
pub(crate) struct Framed {
    sides: [Side; 2],
    limit: usize,
}

/// What a stream gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A message.
    Whole(&'a [u8]),
    /// The beginning of one longer than what is kept.
    Beginning(&'a [u8]),
    /// Something else; nothing follows.
    Lost,
}

impl Framed {
    /// Messages up to `limit` bytes are given whole.
    pub fn new(limit: usize) -> Framed {
        Framed { sides: Default::default(), limit }
    }

    /// The next bytes of a direction. `each` says false to stop; what follows the message is then kept for [`Self::rest`].
    pub fn push(&mut self, d: usize, bytes: &[u8], cut: impl Fn(&[u8]) -> Cut, mut each: impl FnMut(Piece<'_>) -> bool) {
        let side = &mut self.sides[d];
        if side.lost {
            return;
        }
        let jump = usize::try_from(side.skip).unwrap_or(usize::MAX).min(bytes.len());
        side.skip -= jump as u64;
        let mut held = std::mem::take(&mut side.held);
        held.extend_from_slice(&bytes[jump..]);
        let mut at = 0;
        while at < held.len() {
            let rest = &held[at..];
            match cut(rest) {
                Cut::Length(length) if length > 0 && length <= self.limit => {
                    let Some(message) = rest.get(..length) else { break };
                    at += length;
                    if !each(Piece::Whole(message)) {
                        break;
                    }
                }
                Cut::Length(length) if length > 0 => {
                    let Some(message) = rest.get(..self.limit) else { break };
                    let go_on = each(Piece::Beginning(message));
                    let take = length.min(rest.len());
                    side.skip = (length - take) as u64;
                    at += take;
                    if !go_on {
                        break;
                    }
                }
                Cut::More if rest.len() < self.limit => break,
                _ => {
                    side.lost = true;
                    each(Piece::Lost);
                    return;
                }
            }
        }
        held.drain(..at);
        side.held = held;
    }

    /// So many bytes are lost. False: where the next message begins is not known.
    pub fn gap(&mut self, d: usize, length: u64) -> bool {
        let side = &mut self.sides[d];
        let known = length <= side.skip;
        if known {
            side.skip -= length;
        } else {
            *side = Side { lost: true, ..Side::default() };
        }
        known
    }

    /// Bytes behind a message that [`Self::push`] stopped at: they are not looked at.
    pub fn keep(&mut self, d: usize, bytes: &[u8]) {
        self.sides[d].held.extend_from_slice(bytes);
    }

    /// Bytes that wait for the rest of their message, or were [kept](Self::keep).
    pub fn rest(&mut self, d: usize) -> Vec<u8> {
        std::mem::take(&mut self.sides[d].held)
    }

    /// How many bytes [`Self::rest`] would give.
    pub fn held(&self, d: usize) -> u64 {
        self.sides[d].held.len() as u64
    }

    /// The byte that the next message begins with, where it has come and its message has not.
    pub fn peek(&self, d: usize) -> Option<u8> {
        self.sides[d].held.first().copied()
    }

    /// A message is under way.
    pub fn is_open(&self, d: usize) -> bool {
        !self.sides[d].held.is_empty() || self.sides[d].skip > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(bytes: &[u8]) -> Cut {
        match bytes {
            [] => Cut::More,
            [0xff, ..] => Cut::Lost,
            [n, ..] => Cut::Length(usize::from(*n) + 1),
        }
    }

    fn run(input: &[u8], step: usize) -> Vec<String> {
        let mut framed = Framed::new(4);
        let mut out = Vec::new();
        for part in input.chunks(step) {
            framed.push(0, part, cut, |piece| {
                out.push(format!("{piece:?}"));
                true
            });
        }
        out
    }

    #[test]
    fn any_cut() {
        let input = b"\x02ab\x00\x06abcdef\x01x\xffrest";
        let whole = run(input, 100);
        assert_eq!(whole.len(), 5, "{whole:?}");
        assert!(whole[2].starts_with("Beginning") && whole[4] == "Lost");
        (1..10).for_each(|step| assert_eq!(run(input, step), whole));
    }

    #[test]
    fn gaps() {
        let mut framed = Framed::new(4);
        framed.push(0, b"\x20abcde", cut, |_| true);
        assert!(framed.is_open(0) && framed.gap(0, 20) && !framed.gap(0, 100) && !framed.is_open(0));
        framed.push(0, b"\x01x", cut, |_| panic!("lost"));
    }
}
