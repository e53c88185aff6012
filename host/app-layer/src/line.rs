//! Lines of text protocols, cut from a stream without holding more than a bound.

/// A line, or as much of it as the bound allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// It begins the line.
    pub starts: bool,
    /// It ends the line: a line feed was seen, or the stream ended.
    pub ends: bool,
    /// The line end as sent; empty where there is none.
    pub end: &'static [u8],
}

/// Splitter of one direction. A line ends with LF, and a CR before it belongs to the end (RFC 5321 section 2.3.8 asks for
/// CR LF; receivers take LF alone as well). What is longer than the bound comes in pieces of that size, wherever the
/// deliveries were cut.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    held: Vec<u8>,
    inside: bool,
    skipping: bool,
}

impl Lines {
    /// The next piece of at most `limit` bytes into `line`, without line end; none if more input is needed.
    pub fn next(&mut self, input: &mut &[u8], limit: usize, line: &mut Vec<u8>) -> Option<Piece> {
        if self.skipping {
            let Some(lf) = memchr::memchr(b'\n', input) else {
                *input = &[];
                return None;
            };
            *input = input.get(lf + 1..).unwrap_or(&[]);
            self.skipping = false;
        }
        let room = limit.saturating_sub(self.held.len());
        let (now, ends) = match memchr::memchr(b'\n', input) {
            Some(lf) if lf <= room => (lf, true),
            _ if input.len() > room => (room, false),
            _ => {
                self.held.extend_from_slice(input);
                *input = &[];
                return None;
            }
        };
        self.held.extend_from_slice(input.get(..now).unwrap_or(&[]));
        *input = input.get(now + usize::from(ends)..).unwrap_or(&[]);
        line.clear();
        std::mem::swap(line, &mut self.held);
        let mut end: &[u8] = if ends { b"\n" } else { b"" };
        if ends && line.last() == Some(&b'\r') {
            line.pop();
            end = b"\r\n";
        }
        let starts = !self.inside;
        self.inside = !ends;
        Some(Piece { starts, ends, end })
    }

    /// What an end of the stream leaves: the last line, which no line feed ended.
    pub fn finish(&mut self, line: &mut Vec<u8>) -> Option<Piece> {
        if self.held.is_empty() || self.skipping {
            return None;
        }
        line.clear();
        std::mem::swap(line, &mut self.held);
        let starts = !std::mem::take(&mut self.inside);
        Some(Piece { starts, ends: true, end: b"" })
    }

    /// Bytes are missing, or the line is not wanted: go on behind the next line feed.
    pub fn skip(&mut self) {
        self.held = Vec::new();
        self.inside = false;
        self.skipping = true;
    }

    /// Whether a line has begun.
    pub fn is_open(&self) -> bool {
        !self.held.is_empty() || self.inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &[u8], limit: usize, step: usize) -> Vec<(Vec<u8>, bool, bool)> {
        let (mut lines, mut line, mut out) = (Lines::default(), Vec::new(), Vec::new());
        for mut input in text.chunks(step) {
            while let Some(p) = lines.next(&mut input, limit, &mut line) {
                out.push((line.clone(), p.starts, p.ends));
            }
            assert!(input.is_empty());
        }
        if let Some(p) = lines.finish(&mut line) {
            out.push((line.clone(), p.starts, p.ends));
        }
        out
    }

    #[test]
    fn lines_do_not_depend_on_the_cut() {
        let text = b"one\r\ntwo\n\r\nlonger than it may be\r\nlast";
        let whole = cut(text, 8, text.len());
        assert_eq!(whole[0], (b"one".to_vec(), true, true));
        assert_eq!(whole[1], (b"two".to_vec(), true, true));
        assert_eq!(whole[2], (b"".to_vec(), true, true));
        assert_eq!(whole[3], (b"longer t".to_vec(), true, false));
        assert_eq!(whole[4], (b"han it m".to_vec(), false, false));
        assert_eq!(whole[5], (b"ay be".to_vec(), false, true));
        assert_eq!(whole[6], (b"last".to_vec(), true, true));
        for step in 1..12 {
            assert_eq!(cut(text, 8, step), whole, "{step}");
        }
    }

    #[test]
    fn skipping_ends_at_a_line_feed() {
        let (mut lines, mut line) = (Lines::default(), Vec::new());
        let mut input = &b"abc"[..];
        assert_eq!(lines.next(&mut input, 100, &mut line), None);
        lines.skip();
        input = b"rest\nnew\n";
        assert_eq!(lines.next(&mut input, 100, &mut line), Some(Piece { starts: true, ends: true, end: b"\n" }));
        assert_eq!(line, b"new");
    }
}
