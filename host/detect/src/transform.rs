//! Transforms of buffers before matching.
//!
//! Place: between the protocol's buffer and prefilter/chains. Invariants: output is bounded by the input or by the
//! given limit; nothing fails: what cannot be transformed becomes empty, or stays as it is where Suricata leaves it.

use crate::pcre::ffi;
use md5::Digest;
use std::io::Read;
use weir_ir::Transform;

/// A transform, ready to run.
#[derive(Debug)]
pub enum Step {
    /// As in the rule.
    Plain(Transform),
    /// `pcrexform`
    Pcre(ffi::Code),
}

/// Most bytes a decompressing transform puts out.
const MAX_OUTPUT: usize = 100 * 1024;

/// Prepare a list of transforms.
pub fn compile(transforms: &[Transform]) -> Result<Vec<Step>, String> {
    transforms
        .iter()
        .map(|t| match t {
            Transform::PcreExtract(pattern) => crate::pcre::compile_plain(pattern)
                .map(Step::Pcre)
                .map_err(|e| format!("pcrexform \"{pattern}\": {e}")),
            Transform::Domain | Transform::Tld => {
                Err("transforms domain and tld need the public suffix list, which this build does not hold".into())
            }
            other => Ok(Step::Plain(other.clone())),
        })
        .collect()
}

/// Run `steps` on `input`; the result is in `output`. `spare` is scratch space.
pub fn apply(steps: &[Step], input: &[u8], pcre: &mut ffi::Matcher, output: &mut Vec<u8>, spare: &mut Vec<u8>) {
    output.clear();
    output.extend_from_slice(input);
    for step in steps {
        spare.clear();
        match step {
            Step::Pcre(code) => {
                if let Some(found) = pcre.group(code, output, 1).and_then(|(low, high)| output.get(low..high)) {
                    spare.extend_from_slice(found);
                } else {
                    spare.extend_from_slice(output);
                }
            }
            Step::Plain(transform) => plain(transform, output, spare),
        }
        std::mem::swap(output, spare);
    }
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn plain(transform: &Transform, input: &[u8], out: &mut Vec<u8>) {
    match transform {
        Transform::DotPrefix => {
            out.push(b'.');
            out.extend_from_slice(input);
        }
        Transform::StripWhitespace => out.extend(input.iter().copied().filter(|&b| !is_space(b))),
        Transform::CompressWhitespace => {
            for (i, &b) in input.iter().enumerate() {
                if !(is_space(b) && input.get(i + 1).is_some_and(|&next| is_space(next))) {
                    out.push(b);
                }
            }
        }
        Transform::ToMd5 => out.extend_from_slice(&md5::Md5::digest(input)),
        Transform::ToSha1 => out.extend_from_slice(&sha1::Sha1::digest(input)),
        Transform::ToSha256 => out.extend_from_slice(&sha2::Sha256::digest(input)),
        Transform::UrlDecode => url_decode(input, out),
        Transform::Xor(key) if !key.is_empty() => {
            out.extend(input.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b));
        }
        Transform::HeaderLowercase => header_lowercase(input, out),
        Transform::StripPseudoHeaders => {
            for line in input.split_inclusive(|&b| b == b'\n') {
                if line.first() != Some(&b':') {
                    out.extend_from_slice(line);
                }
            }
        }
        Transform::ToLowercase => out.extend(input.iter().map(u8::to_ascii_lowercase)),
        Transform::ToUppercase => out.extend(input.iter().map(u8::to_ascii_uppercase)),
        Transform::FromBase64(bytes, offset, mode) => {
            let input = input.get(*offset as usize..).unwrap_or(&[]);
            let input = if *bytes == 0 { input } else { input.get(..*bytes as usize).unwrap_or(input) };
            let mode = match mode {
                1 => Base64Mode::Skip,
                2 => Base64Mode::Strict,
                _ => Base64Mode::Stop,
            };
            base64(input, mode, usize::MAX, out);
        }
        Transform::Gunzip(limit) => inflate(flate2::read::MultiGzDecoder::new(input), *limit, out),
        Transform::ZlibInflate(limit) => inflate(flate2::read::ZlibDecoder::new(input), *limit, out),
        // Rejected by `compile`, or without effect.
        Transform::Xor(_) | Transform::PcreExtract(_) | Transform::Domain | Transform::Tld => {
            out.extend_from_slice(input);
        }
    }
}

fn inflate(reader: impl Read, limit: u32, out: &mut Vec<u8>) {
    let limit = (limit as usize).clamp(1, MAX_OUTPUT);
    // An error keeps what was decoded before it.
    let _ = reader.take(limit as u64).read_to_end(out);
}

fn hex(b: u8) -> Option<u8> {
    (b as char).to_digit(16).map(|d| d as u8)
}

fn url_decode(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        match (b, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(h), Some(l)) => {
                    out.push(h << 4 | l);
                    rest = after;
                }
                _ => out.push(b),
            },
            _ => out.push(b),
        }
    }
}

fn header_lowercase(input: &[u8], out: &mut Vec<u8>) {
    for line in input.split_inclusive(|&b| b == b'\n') {
        // A pseudo header begins with a colon of its own.
        let from = usize::from(line.first() == Some(&b':'));
        let name_end = line.get(from..).and_then(|l| l.iter().position(|&b| b == b':')).map_or(line.len(), |p| p + from);
        for (i, &b) in line.iter().enumerate() {
            out.push(if i < name_end { b.to_ascii_lowercase() } else { b });
        }
    }
}

/// What to do with characters outside of the alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base64Mode {
    /// RFC 4648: decode up to the first.
    Stop,
    /// RFC 2045: leave them out.
    Skip,
    /// Any makes the output empty.
    Strict,
}

/// Decode; what remains of an incomplete group gives the bytes it determines.
pub fn base64(input: &[u8], mode: Base64Mode, limit: usize, out: &mut Vec<u8>) {
    let start = out.len();
    let mut group = 0u32;
    let mut bits = 0;
    for &b in input {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => match mode {
                Base64Mode::Stop => break,
                Base64Mode::Skip => continue,
                Base64Mode::Strict => {
                    out.truncate(start);
                    return;
                }
            },
        };
        group = group << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            if out.len() - start >= limit {
                return;
            }
            out.push((group >> bits) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(transforms: &[Transform], input: &[u8]) -> Vec<u8> {
        let steps = compile(transforms).unwrap();
        let mut pcre = ffi::Matcher::new(Default::default()).unwrap();
        let (mut output, mut spare) = (vec![], vec![]);
        apply(&steps, input, &mut pcre, &mut output, &mut spare);
        output
    }

    #[test]
    fn table() {
        let cases: &[(&[Transform], &[u8], &[u8])] = &[
            (&[Transform::DotPrefix], b"a.b", b".a.b"),
            (&[Transform::StripWhitespace], b" a\t b\r\n", b"ab"),
            (&[Transform::CompressWhitespace], b"a  \t b c", b"a b c"),
            (&[Transform::UrlDecode], b"a%41+%zz%4", b"aA %zz%4"),
            (&[Transform::Xor((*b"\x01\x02").into())], b"\x01\x02\x03", b"\0\0\x02"),
            (&[Transform::PcreExtract("a(.)c".into())], b"xabc", b"b"),
            (&[Transform::PcreExtract("a(.)c".into())], b"xyz", b"xyz"),
            (&[Transform::HeaderLowercase], b"Host: A\r\n:Method: G\n", b"host: A\r\n:method: G\n"),
            (&[Transform::StripPseudoHeaders], b":m: G\nhost: a\n", b"host: a\n"),
            (&[Transform::ToUppercase, Transform::DotPrefix], b"ab", b".AB"),
            (&[Transform::FromBase64(0, 0, 0)], b"YWJj", b"abc"),
            (&[Transform::FromBase64(0, 1, 1)], b"xYW Jj", b"abc"),
            (&[Transform::FromBase64(0, 0, 2)], b"YW Jj", b""),
            (&[Transform::FromBase64(0, 0, 0)], b"YWJjZA==", b"abcd"),
        ];
        for (transforms, input, expected) in cases {
            assert_eq!(run(transforms, input), *expected, "{transforms:?}");
        }
    }

    #[test]
    fn digests() {
        assert_eq!(run(&[Transform::ToMd5], b"")[..4], [0xd4, 0x1d, 0x8c, 0xd9]);
        assert_eq!(run(&[Transform::ToSha1], b"")[..4], [0xda, 0x39, 0xa3, 0xee]);
        assert_eq!(run(&[Transform::ToSha256], b"")[..4], [0xe3, 0xb0, 0xc4, 0x42]);
    }

    #[test]
    fn broken_gzip_is_empty() {
        assert_eq!(run(&[Transform::Gunzip(100)], b"nonsense"), b"");
    }
}
