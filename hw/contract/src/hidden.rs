//! What can hide a fragment of a normalised request target from the wire: guards and escape set.
//!
//! Place: between the host's normaliser (path: escapes, `%u`, separators, dot segments, UTF-8 to one byte by best fit;
//! query: escapes) and the planner. The property *a fragment of the normal form that is not on the wire, folded, raises
//! one of these guards* is tested against the normaliser itself (`host/app-layer/tests/uri_guards.rs`).

use crate::guards::Guard;

/// Guards and escape set of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hiding {
    /// Guards to lead to the fragment's records.
    pub guards: u64,
    /// Bytes to put into the uri_percent_set.
    pub escapes: [u64; 4],
}

/// First bytes of UTF-8 sequences (overlong ones included) that become an ASCII byte, and which: bit n = byte n.
const LEADS: [(u8, u128); 21] = [
    (0xc0, 0x0000000000000000ffffffffffffffff),
    (0xc1, 0xffffffffffffffff0000000000000000),
    (0xc4, 0x00001fba00001fba0000000000000000),
    (0xc5, 0x06bcd00006bcd0000000000000000000),
    (0xc6, 0x04309004003082000000000000000000),
    (0xc7, 0x10208e8200208a820000000200000000),
    (0xc9, 0x00000080000000000000000000000000),
    (0xca, 0x00000000000000000000008400000000),
    (0xcb, 0x00000001c00000000000008000000000),
    (0xcc, 0x40000001c00000000000000400000000),
    (0xcd, 0x00000000000000000800000000000000),
    (0xce, 0x00000032001880c00000000000000000),
    (0xcf, 0x00190040000000000000000000000000),
    (0xd2, 0x00000100000000000000000000000000),
    (0xd6, 0x00000000000000000400000000000000),
    (0xd9, 0x00000000000000000000002000000000),
    (0xe0, 0xffffffffffffffffffffffffffffffff),
    (0xe2, 0x5040d1a1d4077b6c77ffaf8100000000),
    (0xe3, 0x00000000280000005000000100000000),
    (0xef, 0x7fffffffffffffff7ffffffe00000000),
    (0xf0, 0xffffffffffffffffffffffffffffffff),
];

/// What can hide `fragment` in the normal form of a request target.
///
/// Fragments with `%`, white space, control bytes, `\` or bytes above 0x7e should not be chosen at all: they are
/// what normalisation makes or removes.
pub fn uri(fragment: &[u8]) -> Hiding {
    let mut guards =
        Guard::UriPercentEscape.bit() | Guard::UriPercentOdd.bit() | Guard::UriHighByte.bit();
    let mut escapes = [0u64; 4];
    let mut escape = |byte: u8| {
        if let Some(word) = escapes.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    };
    for &byte in fragment {
        let cases = [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()];
        for byte in cases {
            escape(byte);
            for (lead, makes) in LEADS {
                if byte < 0x80 && makes >> byte & 1 != 0 {
                    escape(lead);
                }
            }
        }
        if byte == b'?' {
            // What has no place in ASCII or is no UTF-8 becomes a question mark.
            (0x80..=0xff).for_each(&mut escape);
        }
    }
    // Segments are joined, or taken away, before a slash and before the query.
    if fragment.iter().any(|byte| matches!(byte, b'/' | b'?')) {
        b"/\\.".iter().for_each(|&byte| escape(byte));
        // What best fit turns into a slash is joined with its neighbours as one.
        for (lead, makes) in LEADS {
            if makes >> b'.' & 1 != 0 || makes >> b'/' & 1 != 0 {
                escape(lead);
            }
        }
        guards |= Guard::UriDoubleSlash.bit() | Guard::UriDotSegment.bit() | Guard::UriBackslash.bit();
    }
    if fragment.windows(2).any(|pair| pair == b":/") {
        guards |= Guard::UriAbsolute.bit();
    }
    Hiding { guards, escapes }
}
