//! The Huffman code of HPACK (RFC 7541 appendix B). The code is canonical: the lengths alone say it.

use std::sync::LazyLock;

/// Bits of the code of each byte, and of the end of string.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];
const LONGEST: usize = 30;
const END: u16 = 256;

struct Code {
    /// By length: first code, and where its symbols begin.
    first: [u32; LONGEST + 2],
    from: [u16; LONGEST + 2],
    /// Symbols in the order of their codes.
    symbols: Vec<u16>,
}

static CODE: LazyLock<Code> = LazyLock::new(|| {
    let mut code = Code { first: [0; LONGEST + 2], from: [0; LONGEST + 2], symbols: Vec::with_capacity(257) };
    let mut next = 0u32;
    for length in 1..=LONGEST {
        next <<= 1;
        code.first[length] = next;
        code.from[length] = code.symbols.len() as u16;
        for (symbol, _) in LENGTHS.iter().enumerate().filter(|(_, l)| usize::from(**l) == length) {
            code.symbols.push(symbol as u16);
            next += 1;
        }
    }
    code.from[LONGEST + 1] = code.symbols.len() as u16;
    code
});

/// Decode a string into `out`, at most `limit` bytes of it. False: the string is none (RFC 7541 section 5.2: it holds the
/// end of string, or its padding is not the beginning of it, or is longer than seven bits).
pub fn decode(bytes: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
    let code = &*CODE;
    let start = out.len();
    let (mut word, mut length) = (0u32, 0usize);
    for bit in bytes.iter().flat_map(|b| (0..8).rev().map(move |n| u32::from(b >> n & 1))) {
        word = word << 1 | bit;
        length += 1;
        let offset = word.wrapping_sub(code.first[length]);
        let count = u32::from(code.from[length + 1] - code.from[length]);
        if offset < count {
            match code.symbols.get(usize::from(code.from[length]) + offset as usize) {
                Some(&END) | None => return false,
                Some(&symbol) if out.len() - start < limit => out.push(symbol as u8),
                Some(_) => {}
            }
            (word, length) = (0, 0);
        } else if length >= LONGEST {
            return false;
        }
    }
    length < 8 && word == (1 << length) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(bytes, 1000, &mut out).then_some(out)
    }

    #[test]
    fn the_code_is_complete() {
        let sum: f64 = LENGTHS.iter().map(|l| 0.5f64.powi(i32::from(*l))).sum();
        assert_eq!(sum, 1.0);
    }

    /// RFC 7541 appendices C.4 and C.6.
    #[test]
    fn examples() {
        assert_eq!(text(&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff]).as_deref(), Some(&b"www.example.com"[..]));
        assert_eq!(text(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).as_deref(), Some(&b"no-cache"[..]));
        assert_eq!(text(&[0x64, 0x02]).as_deref(), Some(&b"302"[..]));
        let date = [0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b, 0x81, 0x66, 0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff];
        assert_eq!(text(&date).as_deref(), Some(&b"Mon, 21 Oct 2013 20:13:21 GMT"[..]));
    }

    #[test]
    fn what_is_no_string() {
        assert_eq!(text(&[0xff, 0xff, 0xff, 0xfc]), None, "end of string");
        assert_eq!(text(&[0x00]), None, "padding of zeros");
        assert_eq!(text(&[0x64, 0x02, 0xff]), None, "a byte of padding");
        assert_eq!(text(&[]).as_deref(), Some(&b""[..]));
        let mut out = Vec::new();
        assert!(decode(&[0; 1000], 10, &mut out));
        assert_eq!(out, b"0000000000");
    }
}
