//! Identification lines and packets before encryption.

/// Longest packet (RFC 4253 section 6.1).
pub(super) const PACKET_MAX: u32 = 35_000;
/// Messages (RFC 4250 section 4.1.2).
pub(super) const KEXINIT: u8 = 20;
pub(super) const NEWKEYS: u8 = 21;

/// `SSH-protoversion-softwareversion SP comments` (RFC 4253 section 4.2): protocol and software version.
pub(super) fn identification(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_prefix(b"SSH-")?;
    let dash = memchr::memchr(b'-', rest)?;
    let software = rest.get(dash + 1..)?;
    let end = memchr::memchr(b' ', software).unwrap_or(software.len());
    (dash > 0).then(|| (rest.get(..dash).unwrap_or(&[]), software.get(..end).unwrap_or(software)))
}

/// Length field and message number of a packet; none if there are not enough bytes.
pub(super) fn packet_head(bytes: &[u8]) -> Option<(u32, u8)> {
    let length = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
    Some((length, *bytes.get(5)?))
}

/// The name lists of a KEXINIT packet that fingerprints use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Algorithms<'a> {
    key_exchange: &'a [u8],
    encryption: [&'a [u8]; 2],
    mac: [&'a [u8]; 2],
    compression: [&'a [u8]; 2],
}

/// Take a KEXINIT packet apart, its head included (RFC 4253 section 7.1).
pub(super) fn algorithms(packet: &[u8]) -> Option<Algorithms<'_>> {
    // Length, padding length, message number, cookie.
    let mut rest = packet.get(4 + 1 + 1 + 16..)?;
    let mut list = || {
        let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?);
        let end = usize::try_from(length).ok()?.checked_add(4)?;
        let value = rest.get(4..end)?;
        rest = rest.get(end..)?;
        Some(value)
    };
    let key_exchange = list()?;
    let _host_key = list()?;
    Some(Algorithms {
        key_exchange,
        encryption: [list()?, list()?],
        mac: [list()?, list()?],
        compression: [list()?, list()?],
    })
}

impl Algorithms<'_> {
    /// The text of which HASSH is the MD5: what the sender of direction `d` offers for its own direction.
    pub fn fingerprint(&self, d: usize) -> Vec<u8> {
        let d = d & 1;
        [self.key_exchange, self.encryption[d], self.mac[d], self.compression[d]].join(&b';')
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A KEXINIT packet with these lists.
    pub fn kexinit(lists: [&str; 10]) -> Vec<u8> {
        let mut body = vec![4, KEXINIT];
        body.extend_from_slice(&[7; 16]);
        for list in lists {
            body.extend_from_slice(&(list.len() as u32).to_be_bytes());
            body.extend_from_slice(list.as_bytes());
        }
        body.extend_from_slice(&[0; 5 + 4]);
        [&(body.len() as u32).to_be_bytes()[..], &body].concat()
    }

    #[test]
    fn lines() {
        assert_eq!(identification(b"SSH-2.0-OpenSSH_9.2p1 Debian-2"), Some((&b"2.0"[..], &b"OpenSSH_9.2p1"[..])));
        assert_eq!(identification(b"SSH-1.99-x"), Some((&b"1.99"[..], &b"x"[..])));
        assert_eq!(identification(b"SSH-2.0"), None);
        assert_eq!(identification(b"SSH--x"), None);
        assert_eq!(identification(b"HTTP/1.1"), None);
    }

    #[test]
    fn fingerprints() {
        let packet = kexinit(["k1,k2", "h", "ec", "es", "mc", "ms", "cc", "cs", "", ""]);
        let a = algorithms(&packet).expect("whole");
        assert_eq!(a.fingerprint(0), b"k1,k2;ec;mc;cc");
        assert_eq!(a.fingerprint(1), b"k1,k2;es;ms;cs");
        for n in 0..packet.len() - 20 {
            assert_eq!(algorithms(&packet[..n]), None, "{n}");
        }
    }
}
