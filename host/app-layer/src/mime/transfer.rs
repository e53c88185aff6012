//! Transfer encodings undone as bytes arrive (RFC 2045 sections 6.7 and 6.8).

/// Value of a hexadecimal digit.
pub(crate) fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

fn sextet(b: u8) -> Option<u8> {
    Some(match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// A base64 decoder. Characters outside of the alphabet are passed over, as receivers do; padding ends a group, and what
/// follows begins a new one.
#[derive(Debug, Default)]
pub(crate) struct Base64 {
    bits: u32,
    count: u8,
    /// A character outside of alphabet and white space was met.
    pub invalid: bool,
}

impl Base64 {
    /// Decode `input` to the end of `out`.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        for &b in input {
            match sextet(b) {
                Some(value) => {
                    self.bits = self.bits << 6 | u32::from(value);
                    self.count += 1;
                    if self.count == 4 {
                        out.extend_from_slice(&self.bits.to_be_bytes()[1..]);
                        (self.bits, self.count) = (0, 0);
                    }
                }
                None if b == b'=' => self.finish(out),
                None if b.is_ascii_whitespace() => {}
                None => self.invalid = true,
            }
        }
    }

    /// The bytes of an incomplete group.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match self.count {
            2 => out.push((self.bits >> 4) as u8),
            3 => out.extend_from_slice(&[(self.bits >> 10) as u8, (self.bits >> 2) as u8]),
            _ => {}
        }
        (self.bits, self.count) = (0, 0);
    }
}

/// Decode one line of quoted-printable text to the end of `out`. Gives whether the line goes on in the next one (a soft
/// line break), and whether an escape was wrong: it is kept as written.
pub(crate) fn quoted_printable(line: &[u8], out: &mut Vec<u8>) -> (bool, bool) {
    // White space at the end of an encoded line was added on the way.
    let mut rest = line.trim_ascii_end();
    let soft = rest.last() == Some(&b'=');
    if soft {
        rest = rest.get(..rest.len() - 1).unwrap_or(&[]);
    }
    let mut wrong = false;
    while let [first, behind @ ..] = rest {
        let pair = match (first, behind) {
            (b'=', [a, b, ..]) => hex(*a).zip(hex(*b)),
            _ => None,
        };
        wrong |= *first == b'=' && pair.is_none();
        out.push(pair.map_or(*first, |(a, b)| a << 4 | b));
        rest = if pair.is_some() { behind.get(2..).unwrap_or(&[]) } else { behind };
    }
    (soft, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64() {
        for (text, plain, invalid) in [
            (&b"aGVsbG8gd29ybGQ="[..], &b"hello world"[..], false),
            (b"aGVs bG8g\r\nd29ybGQ=", b"hello world", false),
            (b"aGVsbG8", b"hello", false),
            (b"aGVsbG8=aGVsbG8=", b"hellohello", false),
            (b"aG!Vs", b"hel", true),
            (b"a", b"", false),
        ] {
            for step in 1..text.len() + 1 {
                let (mut decoder, mut out) = (Base64::default(), Vec::new());
                text.chunks(step).for_each(|part| decoder.push(part, &mut out));
                decoder.finish(&mut out);
                assert_eq!((out.as_slice(), decoder.invalid), (plain, invalid));
            }
        }
    }

    #[test]
    fn quoted() {
        for (line, plain, soft, wrong) in [
            (&b"caf=C3=a9"[..], "café", false, false),
            (b"to be contin=", "to be contin", true, false),
            (b"blank  ", "blank", false, false),
            (b"a =zz", "a =zz", false, true),
            (b"50=3D50", "50=50", false, false),
        ] {
            let mut out = Vec::new();
            assert_eq!(quoted_printable(line, &mut out), (soft, wrong));
            assert_eq!(out, plain.as_bytes());
        }
    }
}
