//! Base64 for what is written: records, files of data sets. The decoders, which have to accept
//! what traffic brings, stand with what they decode.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The digits of `bytes` with padding (RFC 4648 section 4).
pub fn encode(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes.chunks(3).flat_map(|three| {
        let at = |n: usize| u32::from(three.get(n).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        let digit = |n: usize| if n <= three.len() { DIGITS[(word >> (18 - 6 * n) & 63) as usize] } else { b'=' };
        [digit(0), digit(1), digit(2), digit(3)]
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn rfc4648_section_10() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in cases {
            assert_eq!(super::encode(plain.as_bytes()).map(char::from).collect::<String>(), encoded);
        }
    }
}
