//! Digests as text.

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

/// Hexadecimal MD5.
pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

/// The digests of a file, as its bytes come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Digests {
    md5: Md5,
    sha1: Sha1,
    sha256: Sha256,
}

/// MD5, SHA-1 and SHA-256 of a whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sums {
    pub md5: [u8; 16],
    pub sha1: [u8; 20],
    pub sha256: [u8; 32],
}

impl Digests {
    /// More bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.sha1.update(bytes);
        self.sha256.update(bytes);
    }

    /// The file is over.
    pub fn finish(self) -> Sums {
        Sums { md5: self.md5.finalize().into(), sha1: self.sha1.finalize().into(), sha256: self.sha256.finalize().into() }
    }
}

impl Sums {
    /// The digest that a buffer is.
    pub fn of(&self, buffer: weir_ir::Buffer) -> Option<&[u8]> {
        match buffer {
            weir_ir::Buffer::FileMd5 => Some(&self.md5),
            weir_ir::Buffer::FileSha1 => Some(&self.sha1),
            weir_ir::Buffer::FileSha256 => Some(&self.sha256),
            _ => None,
        }
    }
}

/// The cyclic redundancy check of Ethernet (IEEE 802.3), of short values.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, b| {
        (0..8).fold(crc ^ u32::from(*b), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(b"0123456789abcdef"[usize::from(n & 15)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn md5() {
        // RFC 1321, appendix A.5.
        assert_eq!(super::md5_hex(b"abc"), "900150983cd24fb0d6963f7d28e17f72");
        let mut digests = super::Digests::default();
        digests.push(b"a");
        digests.push(b"bc");
        let sums = digests.finish();
        assert_eq!(super::hex(&sums.md5), super::md5_hex(b"abc"));
        // FIPS 180-4, examples.
        assert_eq!(super::hex(&sums.sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert!(super::hex(&sums.sha256).starts_with("ba7816bf8f01cfea414140de5dae2223"));
    }
}
