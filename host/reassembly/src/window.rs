//! The raw inspection window: the last delivered bytes of a direction.

/// Keeps at least the last `keep` delivered bytes contiguous, with amortised copying: bytes are moved to the front
/// only once per `SLACK` delivered bytes.
#[derive(Debug, Default)]
pub struct RawWindow(Option<Box<Window>>);

#[derive(Debug, Default)]
struct Window {
    buffer: Vec<u8>,
    /// Stream offset of `buffer[0]`.
    start: u64,
}

/// Bytes that may pile up beyond what must be kept before they are moved.
const SLACK: usize = 6 * 1024;

impl RawWindow {
    /// Append a delivery at stream offset `offset`; if that is not where the window ends, it restarts there. Returns the
    /// window `(bytes, offset of its first byte, index of the first new byte)`.
    pub fn push(&mut self, keep: usize, offset: u64, bytes: &[u8]) -> (&[u8], u64, usize) {
        let w = self.0.get_or_insert_default();
        if offset != w.start + w.buffer.len() as u64 {
            w.buffer.clear();
            w.start = offset;
        }
        if w.buffer.len() > keep + SLACK {
            let cut = w.buffer.len() - keep;
            w.buffer.copy_within(cut.., 0);
            w.buffer.truncate(keep);
            w.start += cut as u64;
        }
        let old = w.buffer.len();
        w.buffer.extend_from_slice(bytes);
        let from = old.saturating_sub(keep);
        (&w.buffer[from..], w.start + from as u64, old - from)
    }

    /// What is kept: (bytes, offset of the first).
    pub fn kept(&self) -> (&[u8], u64) {
        self.0.as_ref().map_or((&[], 0), |w| (&w.buffer, w.start))
    }

    /// Give the memory back (the stream ended or is settled).
    pub fn release(&mut self) {
        if let Some(w) = &mut self.0 {
            w.start += w.buffer.len() as u64;
            w.buffer = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_it_must_and_no_more() {
        let mut w = RawWindow::default();
        let all: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
        let mut at = 0;
        for n in [1usize, 100, 1460, 1460, 5000, 3].iter().cycle().take(60) {
            let n = (*n).min(all.len() - at);
            if n == 0 {
                break;
            }
            let (bytes, offset, new) = w.push(2560, at as u64, &all[at..at + n]);
            assert_eq!(new, at.min(2560));
            assert_eq!(bytes, &all[at - new..at + n]);
            assert_eq!(offset as usize, at - new);
            at += n;
        }
        assert!(w.0.unwrap().buffer.capacity() < 64 * 1024);
    }

    #[test]
    fn a_gap_restarts() {
        let mut w = RawWindow::default();
        w.push(10, 0, b"abc");
        let (bytes, offset, new) = w.push(10, 100, b"xyz");
        assert_eq!((bytes, offset, new), (&b"xyz"[..], 100, 0));
    }
}
