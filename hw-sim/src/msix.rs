//! MSI-X: vector table, pending bits, and the vectors raised (PCI Local Bus 3.0 section 6.8.2).

use weir_contract::constants as c;

/// Vector control: masked.
const MASKED: u32 = 1;

#[derive(Debug, Clone, Copy)]
struct Vector {
    words: [u32; 4],
    pending: bool,
    raised: bool,
}

/// The table.
#[derive(Debug, Clone)]
pub struct Msix {
    vectors: Vec<Vector>,
}

impl Msix {
    /// Vectors come up masked.
    pub fn new(vectors: usize) -> Self {
        Msix { vectors: vec![Vector { words: [0, 0, 0, MASKED], pending: false, raised: false }; vectors] }
    }

    /// The device raises a vector: delivered at once, or pending while masked.
    pub fn raise(&mut self, vector: u16) {
        if let Some(v) = self.vectors.get_mut(usize::from(vector)) {
            if v.words[3] & MASKED != 0 { v.pending = true } else { v.raised = true }
        }
    }

    /// The back end listens to a vector (programs and unmasks it): was it raised since the last call?
    pub fn take(&mut self, vector: u16) -> bool {
        let Some(v) = self.vectors.get_mut(usize::from(vector)) else { return false };
        v.words[3] &= !MASKED;
        let pending = std::mem::take(&mut v.pending);
        std::mem::take(&mut v.raised) | pending
    }

    /// Read a word of the MSI-X BAR; none outside of table and pending bits.
    pub fn read(&self, offset: u32) -> Option<u32> {
        let table = offset.checked_sub(c::MSIX_TABLE_OFFSET)? as usize;
        if let Some(v) = self.vectors.get(table / 16) {
            return v.words.get(table % 16 / 4).copied();
        }
        let first = offset.checked_sub(c::MSIX_PBA_OFFSET)? as usize * 8;
        if first >= self.vectors.len().next_multiple_of(64) {
            return None;
        }
        let bits = (0..32).filter(|bit| self.vectors.get(first + bit).is_some_and(|v| v.pending));
        Some(bits.fold(0, |word, bit| word | 1 << bit))
    }

    /// Write a word of the vector table; `false` outside (pending bits are read-only).
    pub fn write(&mut self, offset: u32, value: u32) -> bool {
        let table = offset.wrapping_sub(c::MSIX_TABLE_OFFSET) as usize;
        let Some(v) = self.vectors.get_mut(table / 16) else { return false };
        let Some(word) = v.words.get_mut(table % 16 / 4) else { return false };
        *word = value;
        if v.words[3] & MASKED == 0 && std::mem::take(&mut v.pending) {
            v.raised = true;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_vectors_wait() {
        let mut m = Msix::new(70);
        m.raise(65);
        assert_eq!(m.read(c::MSIX_PBA_OFFSET + 8), Some(2));
        assert!(m.write(65 * 16 + 12, 0));
        assert_eq!(m.read(c::MSIX_PBA_OFFSET + 8), Some(0));
        assert!(m.take(65) && !m.take(65));
        m.raise(65);
        assert!(m.take(65));
        m.raise(200);
        assert!(!m.take(200) && !m.write(0x7fc, 1) && m.read(0x7fc).is_none());
    }
}
