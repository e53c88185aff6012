//! The handshake's stream of one direction, from CRYPTO frames in any order.

/// Bytes of a handshake that are put together.
pub const STREAM_MAX: usize = 65_535;
/// Pieces that wait for what comes before them.
const PIECES_MAX: usize = 256;

/// A stream.
#[derive(Debug, Default)]
pub struct Stream {
    whole: Vec<u8>,
    /// By offset.
    waiting: Vec<(usize, Vec<u8>)>,
    waiting_bytes: usize,
}

impl Stream {
    /// A piece. False: it lies beyond what is kept, or too much waits.
    #[must_use]
    pub fn push(&mut self, offset: u64, data: &[u8]) -> bool {
        let end = usize::try_from(offset).ok().and_then(|n| n.checked_add(data.len())).filter(|end| *end <= STREAM_MAX);
        let Some(end) = end else { return false };
        let start = end - data.len();
        if start > self.whole.len() {
            if self.waiting.len() >= PIECES_MAX || self.waiting_bytes + data.len() > STREAM_MAX {
                return false;
            }
            let at = self.waiting.partition_point(|(other, _)| *other <= start);
            self.waiting.insert(at, (start, data.to_vec()));
            self.waiting_bytes += data.len();
            return true;
        }
        self.append(start, data);
        while self.waiting.first().is_some_and(|(start, _)| *start <= self.whole.len()) {
            let (start, data) = self.waiting.remove(0);
            self.waiting_bytes -= data.len();
            self.append(start, &data);
        }
        true
    }

    /// Bytes that came first stay.
    fn append(&mut self, start: usize, data: &[u8]) {
        let known = self.whole.len() - start;
        self.whole.extend_from_slice(data.get(known..).unwrap_or(&[]));
    }

    /// The body of the first message, if it is whole and of this type (RFC 8446 section 4).
    pub fn message(&self, kind: u8) -> Option<&[u8]> {
        let &[first, a, b, c] = self.whole.first_chunk()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        self.whole.get(4..4 + length).filter(|_| first == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_any_order() {
        let message = b"\x01\x00\x00\x06abcdef";
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            let mut stream = Stream::default();
            let pieces = [(0, &message[..3]), (2, &message[2..7]), (7, &message[7..])];
            for n in order {
                assert!(stream.message(1).is_none());
                let (offset, data) = pieces[n];
                assert!(stream.push(offset, data));
            }
            assert_eq!(stream.message(1), Some(&b"abcdef"[..]));
            assert_eq!(stream.message(2), None);
            assert_eq!(stream.waiting_bytes, 0);
        }
    }

    #[test]
    fn bounds() {
        let mut stream = Stream::default();
        assert!(!stream.push(u64::MAX, b"x") && !stream.push(65_535, b"x"));
        let kept = (0..10_000u64).filter(|n| stream.push(10 + 2 * n, b"x")).count();
        assert_eq!(kept, PIECES_MAX);
        let mut stream = Stream::default();
        assert!(stream.push(1, &[0; 60_000]) && !stream.push(2, &[0; 60_000]));
        assert!(stream.whole.is_empty() && stream.waiting_bytes <= STREAM_MAX);
    }
}
