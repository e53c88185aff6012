//! Data sets as files: one value a line, in the order in which Suricata writes a set with `--no-random`, which is that of
//! its hash table (4096 lists, Bob Jenkins' lookup3, public domain), so that files can be compared.

use super::datasets::Datasets;
use std::fmt::Write;

const LISTS: u32 = 4096;

impl Datasets {
    /// The content of a set's file.
    pub fn saved(&self, name: &str, kind: &str) -> String {
        let mut values: Vec<(u32, &[u8])> =
            self.entries(name).into_iter().flatten().map(|value| (place(value), value)).collect();
        values.sort_unstable();
        let mut out = String::new();
        for (_, value) in values {
            line(value, kind, &mut out);
        }
        out
    }
}

fn place(value: &[u8]) -> u32 {
    hash(value) % LISTS
}

/// Strings in base64, digests in hexadecimal, addresses as text.
fn line(value: &[u8], kind: &str, out: &mut String) {
    match (kind, value) {
        ("string", _) => out.extend(weir_ir::base64::encode(value).map(char::from)),
        ("ipv4" | "ip", &[a, b, c, d]) => {
            let _ = write!(out, "{a}.{b}.{c}.{d}");
        }
        ("ipv6" | "ip", _) if value.len() == 16 => {
            for (n, pair) in value.chunks(2).enumerate() {
                let _ = write!(out, "{}{:02x}{:02x}", if n > 0 { ":" } else { "" }, pair[0], pair[1]);
            }
        }
        ("md5" | "sha256", _) => value.iter().for_each(|byte| {
            let _ = write!(out, "{byte:02x}");
        }),
        _ => return,
    }
    out.push('\n');
}

fn mix([mut a, mut b, mut c]: [u32; 3]) -> [u32; 3] {
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    [a, b, c]
}

fn last([mut a, mut b, mut c]: [u32; 3]) -> u32 {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}

/// lookup3 without seed.
fn hash(mut rest: &[u8]) -> u32 {
    let mut state = [0xdead_beefu32.wrapping_add(rest.len() as u32); 3];
    let add = |state: &mut [u32; 3], twelve: &[u8]| {
        for (n, byte) in twelve.iter().enumerate() {
            state[n / 4] = state[n / 4].wrapping_add(u32::from(*byte) << (8 * (n % 4)));
        }
    };
    while rest.len() > 12 {
        add(&mut state, &rest[..12]);
        state = mix(state);
        rest = &rest[12..];
    }
    if rest.is_empty() {
        return state[2];
    }
    add(&mut state, rest);
    last(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_of_the_hash() {
        // Those that the function's author gives.
        assert_eq!(hash(b""), 0xdead_beef);
        assert_eq!(hash(b"Four score and seven years ago"), 0x1777_0551);
    }

    #[test]
    fn lines() {
        let text = |value: &[u8], kind: &str| {
            let mut out = String::new();
            line(value, kind, &mut out);
            out
        };
        assert_eq!(text(b"google.com", "string"), "Z29vZ2xlLmNvbQ==\n");
        assert_eq!(text(&[10, 0, 0, 1], "ip"), "10.0.0.1\n");
        assert_eq!(text(&[0xab; 16], "md5"), "ab".repeat(16) + "\n");
        assert_eq!(
            text(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], "ipv6"),
            "0001:0000:0000:0000:0000:0000:0000:0002\n"
        );
    }
}
