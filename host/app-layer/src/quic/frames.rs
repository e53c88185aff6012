//! Frames of Initial packets (RFC 9000 section 12.4): what is CRYPTO, and that the rest may be there.

use super::header::varint;
use crate::tls::Reader;

/// Most CRYPTO frames of one packet.
const CRYPTO_MAX: usize = 512;

/// Offset and data of each CRYPTO frame. False: something is no frame that an Initial packet has; what came before it is
/// given.
pub fn crypto<'a>(payload: &'a [u8], each: &mut dyn FnMut(u64, &'a [u8])) -> bool {
    let mut r = Reader(payload);
    let mut count = 0;
    while !r.0.is_empty() {
        if frame(&mut r, &mut count, each).is_none() {
            return false;
        }
    }
    true
}

fn frame<'a>(r: &mut Reader<'a>, count: &mut usize, each: &mut dyn FnMut(u64, &'a [u8])) -> Option<()> {
    match varint(r)? {
        // PADDING, PING
        0 | 1 => {}
        kind @ (2 | 3) => {
            // ACK: largest, delay, ranges, first range; counts of ECN.
            varint(r)?;
            varint(r)?;
            let ranges = varint(r)?;
            varint(r)?;
            for _ in 0..ranges {
                varint(r)?;
                varint(r)?;
            }
            if kind == 3 {
                for _ in 0..3 {
                    varint(r)?;
                }
            }
        }
        6 => {
            let offset = varint(r)?;
            let length = usize::try_from(varint(r)?).ok()?;
            let data = r.take(length)?;
            *count += 1;
            if *count <= CRYPTO_MAX {
                each(offset, data);
            }
        }
        // CONNECTION_CLOSE
        kind @ (0x1c | 0x1d) => {
            varint(r)?;
            if kind == 0x1c {
                varint(r)?;
            }
            let length = usize::try_from(varint(r)?).ok()?;
            r.take(length)?;
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(payload: &[u8]) -> (Vec<(u64, Vec<u8>)>, bool) {
        let mut out = Vec::new();
        let sound = crypto(payload, &mut |offset, data| out.push((offset, data.to_vec())));
        (out, sound)
    }

    #[test]
    fn frames() {
        let payload = [&[0, 1, 2, 5, 0, 1, 0, 1, 1], &[3, 5, 0, 0, 0, 1, 2, 3][..], &[6, 0x40, 10, 3], b"abc", &[0x1c, 1, 6, 2], b"no", &[0; 9]].concat();
        assert_eq!(all(&payload), (vec![(10, b"abc".to_vec())], true));
        assert_eq!(all(&[6, 0, 1, b'x', 8, 0]), (vec![(0, b"x".to_vec())], false));
        assert_eq!(all(&[6, 0, 9, b'x']), (vec![], false));
        assert!(!all(&[2, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]).1, "ranges without end");
    }
}
