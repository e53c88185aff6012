//! The Internet checksum (RFC 1071), for IPv4, TCP, UDP and ICMP.

use std::net::IpAddr;

/// Running one's complement sum over parts of even length (the last may be odd).
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum(u64);

impl Sum {
    /// Add bytes. Only the last part may have an odd length.
    #[inline]
    #[must_use]
    pub fn with(self, data: &[u8]) -> Sum {
        // Summed in native order and swapped at the end: the sum commutes with a byte swap (RFC 1071, section 2B).
        let mut total = self.0;
        let (words, rest) = data.as_chunks::<4>();
        for word in words {
            total += u64::from(u32::from_ne_bytes(*word));
        }
        let (halves, last) = rest.as_chunks::<2>();
        for half in halves {
            total += u64::from(u16::from_ne_bytes(*half));
        }
        if let [byte] = last {
            total += u64::from(u16::from_ne_bytes([*byte, 0]));
        }
        Sum(total)
    }

    /// Add the pseudo header of a transport protocol.
    #[inline]
    #[must_use]
    pub fn with_pseudo_header(self, source: IpAddr, destination: IpAddr, protocol: u8, length: u32) -> Sum {
        let sum = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => self.with(&source.octets()).with(&destination.octets()),
            (IpAddr::V6(source), IpAddr::V6(destination)) => self.with(&source.octets()).with(&destination.octets()),
            _ => self,
        };
        sum.with(&length.to_be_bytes()).with(&[0, protocol])
    }

    /// The folded sum; of data that holds a right checksum it is 0xffff.
    #[inline]
    pub fn fold(self) -> u16 {
        let mut total = self.0;
        while total > 0xffff {
            total = (total & 0xffff) + (total >> 16);
        }
        (total as u16).to_be()
    }

    /// The checksum field that makes the data right.
    pub fn checksum(self) -> u16 {
        !self.fold()
    }

    /// The data summed includes a right checksum field.
    #[inline]
    pub fn is_valid(self) -> bool {
        self.fold() == 0xffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_of_rfc_1071() {
        let sum = Sum::default().with(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.fold(), 0xddf2);
        assert_eq!(Sum::default().with(&[0x00, 0x01, 0xf2]).with(&[]).fold(), 0xf201);
    }

    #[test]
    fn a_right_header_is_valid() {
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8,
            0x00, 0xc7,
        ];
        assert!(Sum::default().with(&header).is_valid());
        assert!(!Sum::default().with(&header[1..]).is_valid());
    }
}
