//! What a match leaves for records: captured bytes, values that data sets know more about, entropies.

use std::sync::Arc;

/// Where it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// With the alert.
    Alert,
    /// With the packet's alert, among its variables.
    Packet,
    /// With all records of the flow from now on.
    Flow,
    /// The same, as the entropy of a buffer.
    Entropy,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Bytes.
    Bytes(Box<[u8]>),
    /// A JSON value.
    Json(Arc<str>),
    /// A number.
    Real(f64),
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// Where.
    pub place: Place,
    /// Name.
    pub key: Arc<str>,
    /// Value.
    pub value: Value,
}

/// Most that one match, or one flow, keeps.
pub(crate) const MAX_NOTES: usize = 64;
/// Most bytes of a captured value.
pub(crate) const MAX_BYTES: usize = 4096;

/// Adds to a list, in place of what has the same name.
pub(crate) fn remember(list: &mut Vec<Note>, note: Note) {
    match list.iter().position(|known| known.place == note.place && known.key == note.key) {
        Some(at) => list[at] = note,
        None if list.len() < MAX_NOTES => list.push(note),
        None => {}
    }
}

/// Shannon's entropy of the bytes, in bits a byte.
pub(crate) fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0u64; 256];
    bytes.iter().for_each(|b| counts[usize::from(*b)] += 1);
    let all = bytes.len() as f64;
    counts
        .iter()
        .filter(|n| **n > 0)
        .map(|&n| {
            let share = n as f64 / all;
            -share * share.log2()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropies() {
        assert_eq!(entropy(b""), 0.0);
        assert_eq!(entropy(b"aaaa"), 0.0);
        assert_eq!(entropy(b"abab"), 1.0);
        assert_eq!(entropy(&(0..=255).collect::<Vec<u8>>()), 8.0);
    }

    #[test]
    fn the_last_value_of_a_name_counts() {
        let note = |n: f64| Note { place: Place::Flow, key: "x".into(), value: Value::Real(n) };
        let mut list = Vec::new();
        remember(&mut list, note(1.0));
        remember(&mut list, note(2.0));
        assert_eq!(list, [note(2.0)]);
    }
}
