//! Reading of external data representation (RFC 4506), from the front.

/// Longest name or handle that is read.
const SHORT_MAX: usize = 1024;

/// What is left of a message.
#[derive(Debug, Clone, Copy)]
pub struct Xdr<'a>(pub &'a [u8]);

impl<'a> Xdr<'a> {
    /// So many bytes.
    pub fn fixed(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub fn word(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.fixed(4)?.try_into().ok()?))
    }

    pub fn long(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.fixed(8)?.try_into().ok()?))
    }

    /// A short opaque value, behind its length, padded to words.
    pub fn short(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.word()?).ok().filter(|n| *n <= SHORT_MAX)?;
        let bytes = self.fixed(length)?;
        self.fixed(length.wrapping_neg() % 4)?;
        Some(bytes)
    }

    /// Data, as far as it is there, and how long it should be.
    pub fn data(&mut self) -> Option<(&'a [u8], u32)> {
        let length = self.word()?;
        let there = self.0.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        let bytes = self.fixed(there)?;
        self.0 = self.0.get((there.wrapping_neg()) % 4..).unwrap_or(&[]);
        Some((bytes, length))
    }

    /// A bitmap, or an array of words.
    pub fn words(&mut self) -> Option<()> {
        let count = usize::try_from(self.word()?).ok().filter(|n| *n <= 64)?;
        self.fixed(4 * count).map(|_| ())
    }
}
