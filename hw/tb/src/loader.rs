//! The border to the verilated table loader: a clock cycle at a time, and what its flat ports mean (`weir_tb_loader.sv`).
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr::NonNull;

const IN: usize = 96;
const OUT: usize = 192;

#[cfg(rtl_loader)]
unsafe extern "C" {
    fn weir_loader_new() -> *mut c_void;
    fn weir_loader_free(loader: *mut c_void);
    fn weir_loader_cycle(
        loader: *mut c_void,
        input: *const u8,
        in_length: usize,
        out: *mut u8,
        out_length: usize,
    ) -> bool;
}

/// What goes in for one cycle.
#[derive(Debug, Clone)]
pub struct LoaderInput {
    /// Reset.
    pub reset: bool,
    /// TABLE_LOAD is written.
    pub load: bool,
    /// EPOCH is written, with this.
    pub epoch: Option<u32>,
    /// Host memory takes a read.
    pub ask_ready: bool,
    /// Host memory answers: 64 bytes, none for a fault.
    pub answer: Option<Option<[u8; 64]>>,
    /// Banks that frames have, bit n = bank n.
    pub in_use: u8,
    /// TABLE_ADDRESS.
    pub address: u64,
    /// TABLE_LENGTH.
    pub length: u64,
}

/// One word of a bank's tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableWrite {
    /// Which memory.
    pub table: u8,
    /// Which bank.
    pub bank: u8,
    /// Window length, 0 four bytes.
    pub length: u8,
    /// Part of a word or memory.
    pub part: u8,
    /// Word.
    pub address: u32,
    /// Its bits.
    pub data: [u8; 128],
}

/// What came out in one cycle.
#[derive(Clone)]
pub struct LoaderOutput([u8; OUT]);

impl LoaderOutput {
    fn bit(&self, n: usize) -> bool {
        self.0[0] >> n & 1 != 0
    }

    fn word(&self, at: usize) -> u32 {
        self.0[at..].first_chunk::<4>().map_or(0, |b| u32::from_le_bytes(*b))
    }

    /// An image was loaded or refused.
    pub fn ended(&self) -> bool {
        self.bit(0)
    }

    /// TABLE_ERROR, TABLE_ERROR_BLOCK, TABLE_ERROR_OFFSET of an image that was refused.
    pub fn refusal(&self) -> Option<(u32, u32, u64)> {
        self.bit(1).then(|| (self.0[2].into(), self.word(4), self.word(8).into()))
    }

    /// Bank and epoch that judge.
    pub fn active(&self) -> Option<(u8, u32)> {
        self.bit(2).then(|| (self.bit(3).into(), self.word(12)))
    }

    /// EPOCH made another bank judge.
    pub fn changed(&self) -> bool {
        self.bit(4)
    }

    /// EPOCH was not resident.
    pub fn unknown(&self) -> bool {
        self.bit(5)
    }

    /// A read of host memory: where, and how many bytes.
    pub fn ask(&self) -> Option<(u64, usize)> {
        let address = self.0[48..].first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b));
        self.bit(6).then(|| (address, self.0[3].into()))
    }

    /// A word that is written.
    pub fn write(&self) -> Option<TableWrite> {
        let [table, bank, length, part] = self.word(56).to_le_bytes();
        let data = self.0[64..].first_chunk::<128>().copied().unwrap_or([0; 128]);
        self.bit(7).then(|| TableWrite { table, bank, length, part, address: self.word(28), data })
    }

    /// TABLE_STATUS.
    pub fn state(&self) -> u32 {
        self.0[1].into()
    }

    /// EPOCH_SHADOW and EPOCH_PREVIOUS.
    pub fn resident(&self) -> (u32, u32) {
        (self.word(16), self.word(20))
    }

    /// TABLE_CRC and TABLE_IDENTITY.
    pub fn tables(&self) -> (u32, [u8; 16]) {
        (self.word(24), self.0[32..].first_chunk::<16>().copied().unwrap_or([0; 16]))
    }
}

/// A running loader.
#[derive(Debug)]
pub struct Loader(NonNull<c_void>);

impl Loader {
    /// A loader before its reset; none where it was not built.
    pub fn new() -> Option<Loader> {
        #[cfg(rtl_loader)]
        // SAFETY: no arguments; the result is owned by this value alone until `free`.
        return NonNull::new(unsafe { weir_loader_new() }).map(Loader);
        #[cfg(not(rtl_loader))]
        None
    }

    /// One clock cycle.
    pub fn cycle(&mut self, input: &LoaderInput) -> LoaderOutput {
        let mut bytes = [0u8; IN];
        let flags = [
            input.reset,
            input.load,
            input.epoch.is_some(),
            input.ask_ready,
            input.answer.is_some(),
            input.answer == Some(None),
            input.in_use & 1 != 0,
            input.in_use & 2 != 0,
        ];
        bytes[0] = flags.iter().enumerate().fold(0, |byte, (n, flag)| byte | u8::from(*flag) << n);
        bytes[4..8].copy_from_slice(&input.epoch.unwrap_or(0).to_le_bytes());
        bytes[8..16].copy_from_slice(&input.address.to_le_bytes());
        bytes[16..24].copy_from_slice(&input.length.to_le_bytes());
        if let Some(Some(line)) = &input.answer {
            bytes[32..].copy_from_slice(line);
        }
        #[allow(unused_mut)]
        let mut out = LoaderOutput([0; OUT]);
        #[cfg(rtl_loader)]
        // SAFETY: `bytes` is of `IN` bytes that are read, `out` of `OUT` bytes that are written; the other side checks both
        // lengths against its ports and keeps neither pointer.
        let fits = unsafe { weir_loader_cycle(self.0.as_ptr(), bytes.as_ptr(), IN, out.0.as_mut_ptr(), OUT) };
        #[cfg(not(rtl_loader))]
        let fits = bytes.is_empty();
        assert!(fits, "beats fit their ports");
        out
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        #[cfg(rtl_loader)]
        // SAFETY: made by `new`, freed once.
        unsafe {
            weir_loader_free(self.0.as_ptr());
        }
    }
}
