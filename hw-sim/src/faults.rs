//! Faults on purpose: what a test arms, the device meets once (or for a number of times) and must survive with every
//! frame accounted for.

/// A countdown: skip `after` accesses, then fail `times`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Countdown {
    after: u64,
    times: u64,
}

impl Countdown {
    /// Fail `times` accesses after `after` good ones.
    pub const fn new(after: u64, times: u64) -> Self {
        Countdown { after, times }
    }

    #[inline]
    fn fires(&mut self) -> bool {
        if self.times == 0 {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}

/// Armed faults.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    dma_write: Countdown,
    dma_read: Countdown,
    truncate: Option<usize>,
    corrupt_image: Option<usize>,
    full_table: bool,
    deaf: u64,
}

impl Faults {
    /// DMA writes fail.
    pub fn fail_writes(&mut self, countdown: Countdown) {
        self.dma_write = countdown;
    }

    /// DMA reads fail.
    pub fn fail_reads(&mut self, countdown: Countdown) {
        self.dma_read = countdown;
    }

    /// Every following frame is cut to this many bytes (its length on the wire stays).
    pub fn truncate_frames(&mut self, length: Option<usize>) {
        self.truncate = length;
    }

    /// One byte of the next table image is changed on its way.
    pub fn corrupt_image(&mut self, at: usize) {
        self.corrupt_image = Some(at);
    }

    /// No flow entry is free.
    pub fn full_table(&mut self, full: bool) {
        self.full_table = full;
    }

    /// These guards (bits by number) never fire: what a device would miss that does not see them.
    pub fn deafen(&mut self, guards: u64) {
        self.deaf = guards;
    }

    #[inline]
    pub(crate) fn heard(&self, guards: u64) -> u64 {
        guards & !self.deaf
    }

    #[inline]
    pub(crate) fn dma_write(&mut self) -> bool {
        self.dma_write.fires()
    }

    pub(crate) fn dma_read(&mut self) -> bool {
        self.dma_read.fires()
    }

    #[inline]
    pub(crate) fn cut<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        match self.truncate {
            Some(length) => frame.get(..length).unwrap_or(frame),
            None => frame,
        }
    }

    /// Which byte of the table image that is loaded next gets bit 4 changed; it is told once.
    pub fn take_corrupt_image(&mut self) -> Option<usize> {
        self.corrupt_image.take()
    }

    pub(crate) fn touch_image(&mut self, image: &mut [u8]) {
        if let Some(byte) = self.take_corrupt_image().and_then(|at| image.get_mut(at)) {
            *byte ^= 0x10;
        }
    }

    #[inline]
    pub(crate) fn table_is_full(&self) -> bool {
        self.full_table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countdown() {
        let mut c = Countdown::new(1, 2);
        assert_eq!([c.fires(), c.fires(), c.fires(), c.fires()], [false, true, true, false]);
    }
}
