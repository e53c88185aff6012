//! Search for one literal, with or without case.

use crate::prefilter::rarity::probability;
use memchr::{memchr, memchr2};

/// A literal, prepared for searching by its rarest byte.
#[derive(Debug, Clone)]
pub struct Needle {
    /// Bytes; folded to lower case when `nocase`.
    pub bytes: Box<[u8]>,
    /// Compare without case.
    pub nocase: bool,
    rare: u32,
}

impl Needle {
    /// Prepare.
    pub fn new(bytes: &[u8], nocase: bool) -> Needle {
        let nocase = nocase && bytes.iter().any(u8::is_ascii_alphabetic);
        let bytes: Box<[u8]> = if nocase { bytes.to_ascii_lowercase().into() } else { bytes.into() };
        let weight = |b: u8| probability(b.to_ascii_lowercase()) * if nocase && b.is_ascii_alphabetic() { 1.3 } else { 1.0 };
        let rare = bytes
            .iter()
            .enumerate()
            .min_by(|(_, a), (_, b)| weight(**a).total_cmp(&weight(**b)))
            .map_or(0, |(i, _)| i as u32);
        Needle { bytes, nocase, rare }
    }

    /// Number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// No byte (never produced by lowering).
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The literal stands at `position`.
    #[inline]
    pub fn stands_at(&self, haystack: &[u8], position: usize) -> bool {
        let Some(found) = position.checked_add(self.bytes.len()).and_then(|end| haystack.get(position..end)) else {
            return false;
        };
        if self.nocase { found.eq_ignore_ascii_case(&self.bytes) } else { *found == *self.bytes }
    }

    /// First start in `haystack[low..high]` with the whole literal inside.
    pub fn find(&self, haystack: &[u8], low: usize, high: usize) -> Option<usize> {
        let high = high.min(haystack.len());
        let room = high.checked_sub(low)?;
        let slack = room.checked_sub(self.bytes.len())?;
        if self.bytes.is_empty() {
            return Some(low);
        }
        if slack == 0 {
            return self.stands_at(haystack, low).then_some(low);
        }
        let rare = self.rare as usize;
        let byte = *self.bytes.get(rare)?;
        // Positions of the rare byte: from low + rare to low + rare + slack.
        let field = haystack.get(low + rare..=low + rare + slack)?;
        let mut at = 0;
        while let Some(rest) = field.get(at..) {
            let found = if self.nocase && byte.is_ascii_alphabetic() {
                memchr2(byte, byte.to_ascii_uppercase(), rest)?
            } else {
                memchr(byte, rest)?
            };
            let start = low + at + found;
            if self.stands_at(haystack, start) {
                return Some(start);
            }
            at += found + 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_windows(
            needle in prop::collection::vec(prop::sample::select(&b"abAB"[..]), 1..5),
            haystack in prop::collection::vec(prop::sample::select(&b"abAB"[..]), 0..40),
            low in 0usize..45, high in 0usize..45, nocase: bool,
        ) {
            let expected = (low..high.min(haystack.len())).find(|&s| {
                let Some(f) = haystack.get(s..s + needle.len()) else { return false };
                s + needle.len() <= high && if nocase { f.eq_ignore_ascii_case(&needle) } else { f == needle }
            });
            prop_assert_eq!(Needle::new(&needle, nocase).find(&haystack, low, high), expected);
        }
    }
}
