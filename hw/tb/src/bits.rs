//! Fields of a packed structure, first field in the lowest bits.

/// Reads fields one behind the other.
#[derive(Debug, Clone, Copy)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    /// From the lowest bit on.
    pub fn new(bytes: &'a [u8]) -> Self {
        BitReader { bytes, at: 0 }
    }

    /// The next `bits` (at most 64) as a number.
    pub fn number(&mut self, bits: usize) -> u64 {
        let mut value = 0;
        for n in 0..bits {
            let at = self.at + n;
            value |= u64::from(self.bytes[at / 8] >> (at % 8) & 1) << n;
        }
        self.at += bits;
        value
    }

    /// The next bit.
    pub fn flag(&mut self) -> bool {
        self.number(1) != 0
    }

    /// The next `N` bytes, lowest first.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.number(8) as u8)
    }
}

/// Writes fields one behind the other.
#[derive(Debug, Clone, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    at: usize,
}

impl BitWriter {
    /// The lowest `bits` of a number.
    pub fn number(&mut self, value: u64, bits: usize) -> &mut Self {
        for n in 0..bits {
            if self.at.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> n & 1) as u8) << (self.at % 8);
            }
            self.at += 1;
        }
        self
    }

    /// Bytes, lowest first.
    pub fn array(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            self.number(u64::from(*byte), 8);
        }
        self
    }

    /// Filled up to `length` bytes.
    pub fn into_bytes(mut self, length: usize) -> Vec<u8> {
        assert!(self.bytes.len() <= length);
        self.bytes.resize(length, 0);
        self.bytes
    }
}
