//! Conversations as inputs: what a flow's two directions bring, in order of arrival.
//!
//! Layout: eight bytes that seed how a target cuts the stream; then for each step its kind u8, length u16 (little endian)
//! and, for data, so many bytes. Kind, low three bits: 0 and 1 data to server and client, 2 and 3 a gap of that length, 4 and
//! 5 the end of the direction, 6 and 7 again data. Any bytes are a conversation.

use crate::mutate::mutate_bytes;
use crate::random::{Bytes, Random};
use std::ops::Range;

/// One arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Stream bytes, or a datagram.
    Data(usize, Vec<u8>),
    /// Bytes that are lost.
    Gap(usize, u16),
    /// The direction ends.
    End(usize),
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conversation {
    /// Seed of the cuts.
    pub seed: u64,
    /// What arrives.
    pub steps: Vec<Step>,
}

const HEAD: usize = 8;

impl Conversation {
    /// Any bytes are a conversation.
    pub fn decode(bytes: &[u8]) -> Conversation {
        let mut rest = Bytes(bytes);
        let mut found = Conversation { seed: rest.u64(), steps: Vec::new() };
        while !rest.is_empty() {
            let (kind, length) = (rest.u8(), rest.u16());
            let direction = usize::from(kind & 1);
            found.steps.push(match kind & 7 {
                2 | 3 => Step::Gap(direction, length),
                4 | 5 => Step::End(direction),
                _ => Step::Data(direction, rest.take(length.into()).to_vec()),
            });
        }
        found
    }

    /// The bytes of a conversation.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.seed.to_le_bytes().to_vec();
        for step in &self.steps {
            match step {
                Step::Data(direction, bytes) => {
                    let length = bytes.len().min(usize::from(u16::MAX));
                    out.push(*direction as u8);
                    out.extend((length as u16).to_le_bytes());
                    out.extend_from_slice(bytes.get(..length).unwrap_or_default());
                }
                Step::Gap(direction, length) => {
                    out.push(2 | *direction as u8);
                    out.extend(length.to_le_bytes());
                }
                Step::End(direction) => out.extend([4 | *direction as u8, 0, 0]),
            }
        }
        out
    }

    /// From messages, to server first.
    pub fn seed_of(messages: &[(usize, &[u8])]) -> Vec<u8> {
        let steps = messages.iter().map(|(direction, bytes)| Step::Data(*direction, bytes.to_vec())).collect();
        Conversation { seed: 1, steps }.encode()
    }
}

/// Parts that can be left out: single steps.
pub fn parts(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = HEAD;
    while at < bytes.len() {
        let length = bytes.get(at + 1..at + 3).map_or(0, |b| usize::from(u16::from_le_bytes([b[0], b[1]])));
        let data = !(2..6).contains(&(bytes[at] & 7));
        let end = (at + 3 + if data { length } else { 0 }).min(bytes.len());
        found.push(at..end);
        at = end;
    }
    found
}

/// A few mutations of a conversation, with words of its protocol.
pub fn mutate(bytes: &mut Vec<u8>, other: &[u8], words: &[&[u8]], random: &mut Random) {
    let mut own = Conversation::decode(bytes);
    let other = Conversation::decode(other);
    own.seed = random.next();
    for _ in 0..1 + random.below(5) {
        once(&mut own, &other, words, random);
    }
    *bytes = own.encode();
}

fn once(own: &mut Conversation, other: &Conversation, words: &[&[u8]], random: &mut Random) {
    let count = own.steps.len();
    if count == 0 {
        own.steps.clone_from(&other.steps);
        return;
    }
    let at = random.below(count);
    match random.below(12) {
        0 => drop(own.steps.remove(at)),
        1 => {
            let copy = own.steps[at].clone();
            own.steps.insert(random.below(count + 1), copy);
        }
        2 => own.steps.swap(at, (at + 1) % count),
        3 => {
            let from = random.below(other.steps.len().max(1));
            let run: Vec<Step> = other.steps.iter().skip(from).take(random.length(4)).cloned().collect();
            own.steps.splice(at..at, run);
        }
        4 => own.steps.insert(at, Step::Gap(random.below(2), random.length(2000) as u16)),
        5 => own.steps.insert(at, Step::End(random.below(2))),
        6 => {
            // In two, so that a gap or the other direction can come between.
            let Step::Data(direction, bytes) = &mut own.steps[at] else { return };
            let direction = *direction;
            let tail = bytes.split_off(random.below(bytes.len() + 1));
            own.steps.insert(at + 1, Step::Data(direction, tail));
        }
        _ => {
            let splice = match random.pick(&other.steps) {
                Some(Step::Data(_, bytes)) => bytes.as_slice(),
                _ => &[],
            };
            if let Step::Data(_, bytes) = &mut own.steps[at] {
                mutate_bytes(bytes, splice, words, random);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_a_conversation() {
        let mut random = Random::new(9);
        for length in 0..300 {
            let bytes: Vec<u8> = (0..length).map(|_| random.byte()).collect();
            let one = Conversation::decode(&bytes);
            assert_eq!(Conversation::decode(&one.encode()), one);
            let mut changed = bytes.clone();
            mutate(&mut changed, &bytes, &[b"word"], &mut random);
            assert!(parts(&changed).len() == Conversation::decode(&changed).steps.len());
        }
    }
}
