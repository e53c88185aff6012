//! The border to the verilated module: a clock cycle at a time, and what its flat ports mean (`weir_tb_core.sv`).
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr::NonNull;

/// Bytes of a beat: 16, 32 or 64, as the build script was told.
pub const BEAT: usize = match env!("WEIR_RTL_BYTES").as_bytes() {
    b"64" => 64,
    b"32" => 32,
    _ => 16,
};
/// Queues that are built.
pub const QUEUES: usize = 4;
/// Flow entries that are built.
pub const FLOW_ENTRIES: u32 = 1 << 13;
/// Descriptors of a ring, at most, and diverted frames without a verdict.
pub const DESCRIPTORS_MAX: u32 = 1 << 15;
/// Counters of the contract, then those of the guards.
pub const COUNTERS: usize = weir_contract::counters::Counter::COUNT + weir_contract::constants::GUARDS_MAX as usize;

const IN: usize = 248;
const OUT: usize = 272;
const SETTINGS: usize = 464;
const QUEUE_SETTINGS: usize = 72;
const DOORBELLS: usize = QUEUES * 16;

#[cfg(rtl_core)]
unsafe extern "C" {
    fn weir_core_new() -> *mut c_void;
    fn weir_core_free(core: *mut c_void);
    fn weir_core_settings(core: *mut c_void, settings: *const u8, length: usize) -> bool;
    fn weir_core_doorbells(core: *mut c_void, doorbells: *const u8, length: usize) -> bool;
    fn weir_core_cycle(
        core: *mut c_void,
        input: *const u8,
        in_length: usize,
        out: *mut u8,
        out_length: usize,
        load_alone: bool,
    ) -> bool;
    fn weir_core_counters(core: *mut c_void, counters: *mut u8, length: usize) -> bool;
}

/// What goes in for one cycle.
#[derive(Clone)]
pub struct Input([u8; IN]);

/// A one-bit input.
#[derive(Debug, Clone, Copy)]
pub enum Pin {
    Reset = 0,
    Valid,
    Last,
    Lossy,
    Heartbeat,
    Flush,
    Over,
    TimeValid,
    StoreReady,
    EgressReady,
    ReadValid,
    ReadFault,
    Load,
    Hold,
    Activate,
    LoadReady,
}

impl Default for Input {
    fn default() -> Self {
        Input([0; IN])
    }
}

impl Input {
    /// Sets a one-bit input.
    pub fn set(&mut self, pin: Pin, value: bool) {
        let n = pin as usize;
        let bit = 1 << (n % 8);
        self.0[n / 8] = self.0[n / 8] & !bit | if value { bit } else { 0 };
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// What belongs to a frame, with each of its beats.
    pub fn frame(&mut self, number: u64, time: u64, link: u16, wire_length: u32) {
        self.put(8, &link.to_le_bytes());
        self.put(12, &wire_length.to_le_bytes());
        self.put(24, &number.to_le_bytes());
        self.put(32, &time.to_le_bytes());
    }

    /// A beat of a frame.
    pub fn beat(&mut self, bytes: &[u8], last: bool) {
        self.0[2] = bytes.len() as u8;
        self.put(48, bytes);
        self.0[48 + bytes.len()..48 + BEAT].fill(0);
        self.set(Pin::Valid, true);
        self.set(Pin::Last, last);
    }

    /// Frame time that goes on by itself.
    pub fn time(&mut self, time: u64) {
        self.put(40, &time.to_le_bytes());
    }

    /// What host memory answered.
    pub fn read_data(&mut self, bytes: &[u8; 64]) {
        self.put(112, bytes);
    }

    /// What host memory answers the loader: 64 bytes, nothing of them where there was a fault.
    pub fn load_data(&mut self, answer: Option<Option<[u8; 64]>>) {
        self.0[3] = self.0[3] & 4 | u8::from(answer.is_some()) | u8::from(answer == Some(None)) << 1;
        if let Some(Some(bytes)) = answer {
            self.put(184, &bytes);
        }
    }

    /// Resets the loader and what it has loaded.
    pub fn load_reset(&mut self, reset: bool) {
        self.0[3] = self.0[3] & 3 | u8::from(reset) << 2;
    }

    /// Where the table image lies.
    pub fn image(&mut self, address: u64, length: u64) {
        self.put(16, &address.to_le_bytes());
        self.put(176, &length.to_le_bytes());
    }

    /// EPOCH, for Pin::Activate.
    pub fn epoch(&mut self, epoch: u32) {
        self.put(4, &epoch.to_le_bytes());
    }
}

/// What came out in one cycle.
#[derive(Clone)]
pub struct Output([u8; OUT]);

/// Of the frame that leaves by the port, a word.
#[derive(Debug, Clone, Copy)]
pub struct Egress<'a> {
    /// 0 passed, 1 forwarded, 2 injected.
    pub kind: u8,
    pub port: u8,
    pub number: u64,
    pub last: bool,
    pub bytes: &'a [u8],
}

impl Output {
    fn bit(&self, n: usize) -> bool {
        self.0[n / 8] >> (n % 8) & 1 != 0
    }

    fn number(&self, at: usize) -> u64 {
        self.0[at..].first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b))
    }

    fn word(&self, at: usize) -> u32 {
        self.0[at..].first_chunk::<4>().map_or(0, |b| u32::from_le_bytes(*b))
    }

    /// A frame's first beat, or the next one, is taken.
    pub fn ready(&self) -> bool {
        self.bit(0)
    }

    /// A frame has its fate.
    pub fn taken(&self) -> bool {
        self.bit(1)
    }

    /// A frame waits for the host.
    pub fn waits(&self) -> bool {
        self.bit(2)
    }

    /// A command or an ending waits for the host.
    pub fn stalled(&self) -> bool {
        self.bit(3)
    }

    /// Nothing goes on but what waits.
    pub fn rests(&self) -> bool {
        self.bit(4)
    }

    /// Nothing goes on, or what goes on waits for the host.
    pub fn rests_or_stalls(&self) -> bool {
        self.rests() || self.stalled()
    }

    /// A flush, or the end of the source, is over.
    pub fn ended(&self) -> bool {
        self.bit(5)
    }

    /// The watchdog has expired.
    pub fn expired(&self) -> bool {
        self.bit(6)
    }

    /// A store to host memory.
    pub fn store(&self) -> Option<(u64, &[u8])> {
        self.bit(7).then(|| (self.number(40), &self.0[56..56 + usize::from(self.0[48]).min(64)]))
    }

    /// A read of host memory: where, and how many bytes.
    pub fn read(&self) -> Option<(u64, usize)> {
        self.bit(8).then(|| (self.number(120), usize::from(self.0[128]).min(64)))
    }

    /// A word that leaves by the port.
    pub fn egress(&self) -> Option<Egress<'_>> {
        self.bit(9).then(|| Egress {
            kind: self.0[1] >> 4 & 3,
            port: self.0[3],
            number: self.number(32),
            last: self.bit(10),
            bytes: &self.0[136..136 + usize::from(self.0[2]).min(64)],
        })
    }

    /// An error: code and detail.
    pub fn error(&self) -> Option<(u32, u64)> {
        self.bit(11).then(|| (self.word(4), self.number(24)))
    }

    /// Number of the last frame taken.
    pub fn frame_number(&self) -> u64 {
        self.number(8)
    }

    /// Greatest frame time.
    pub fn frame_time(&self) -> u64 {
        self.number(16)
    }

    /// A read of host memory for the loader: where, and how many bytes.
    pub fn load_read(&self) -> Option<(u64, usize)> {
        self.bit(8 * 267 + 5).then(|| (self.number(216), usize::from(self.0[264]).min(64)))
    }

    /// The loader writes a word of a bank.
    pub fn load_writes(&self) -> bool {
        self.bit(8 * 267 + 6)
    }

    /// An image was loaded or refused.
    pub fn loaded(&self) -> bool {
        self.bit(8 * 267)
    }

    /// Error, block and offset of an image that was refused.
    pub fn refusal(&self) -> Option<(u32, u32, u64)> {
        let block = u32::from(self.0[260]) | u32::from(self.0[261]) << 8;
        self.bit(8 * 267 + 1).then(|| (self.0[265].into(), block, self.word(256).into()))
    }

    /// EPOCH has another value.
    pub fn epoch_changed(&self) -> bool {
        self.bit(8 * 267 + 2)
    }

    /// EPOCH was written with what is not resident.
    pub fn epoch_unknown(&self) -> bool {
        self.bit(8 * 267 + 3)
    }

    /// What the registers say of tables.
    pub fn tables(&self) -> Tables {
        Tables {
            active: self.bit(8 * 267 + 4),
            epoch: self.word(252),
            shadow: self.word(248),
            previous: self.word(244),
            crc: self.word(240),
            identity: [self.number(224), self.number(232)],
        }
    }

    /// TX entries taken of a queue.
    pub fn tx_consumer(&self, queue: usize) -> u32 {
        self.word(200 + 4 * (queue & 3))
    }
}

/// What the registers say of tables.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tables {
    /// Some judge.
    pub active: bool,
    pub epoch: u32,
    pub shadow: u32,
    pub previous: u32,
    pub crc: u32,
    pub identity: [u64; 2],
}

/// What registers hold while the device is enabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub tunnel_ports: [u16; 8],
    pub flow_hash: [u64; 6],
    pub timeouts: [u64; 8],
    pub margin: u64,
    pub report_interval: u64,
    pub watchdog_time: u64,
    pub watchdog_frames: u32,
    pub window: u32,
    pub checksums: bool,
    pub vlan_key: bool,
    pub midstream: bool,
    pub source_waits: bool,
    pub fail_closed: bool,
    pub queue_mask: u8,
    pub queues: [QueueSettings; QUEUES],
}

/// Of one queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueSettings {
    pub descriptor_entries: u32,
    pub flow_record_entries: u32,
    pub tx_entries: u32,
    pub history_base: u64,
    pub history_size: u64,
    pub history_margin: u64,
    pub descriptor_base: u64,
    pub flow_record_base: u64,
    pub status_base: u64,
    pub tx_base: u64,
}

/// How far the host is in a queue's rings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Doorbells {
    pub descriptor_consumer: u32,
    pub flow_record_consumer: u32,
    pub tx_producer: u32,
}

impl Settings {
    fn to_bytes(&self) -> [u8; SETTINGS] {
        let mut out = Vec::with_capacity(SETTINGS);
        self.tunnel_ports.iter().for_each(|v| out.extend(v.to_le_bytes()));
        let longs = self.flow_hash.iter().chain(&self.timeouts);
        longs.chain(&[self.margin, self.report_interval, self.watchdog_time]).for_each(|v| out.extend(v.to_le_bytes()));
        out.extend([self.checksums, self.vlan_key, self.midstream, self.source_waits].map(u8::from));
        out.extend(self.watchdog_frames.to_le_bytes());
        out.extend([u8::from(self.fail_closed), 0, 0, self.queue_mask]);
        out.extend([0; 4]);
        out.extend(self.window.to_le_bytes());
        out.extend([0; 4]);
        for q in &self.queues {
            let begin = out.len();
            [q.descriptor_entries, q.flow_record_entries, q.tx_entries, 0]
                .iter()
                .for_each(|v| out.extend(v.to_le_bytes()));
            let longs = [q.history_base, q.history_size, q.history_margin, q.descriptor_base];
            longs.iter().for_each(|v| out.extend(v.to_le_bytes()));
            [q.flow_record_base, q.status_base, q.tx_base].iter().for_each(|v| out.extend(v.to_le_bytes()));
            debug_assert_eq!(out.len() - begin, QUEUE_SETTINGS);
        }
        out.resize(SETTINGS, 0);
        let mut bytes = [0; SETTINGS];
        bytes.copy_from_slice(&out);
        bytes
    }
}

/// A running module.
pub struct Core(NonNull<c_void>);

impl Core {
    /// A module; none where it was not built.
    pub fn new() -> Option<Core> {
        #[cfg(rtl_core)]
        // SAFETY: no arguments; the result is owned by this value alone until `free`.
        return NonNull::new(unsafe { weir_core_new() }).map(Core);
        #[cfg(not(rtl_core))]
        None
    }

    /// Settings from the next cycle on.
    pub fn settings(&mut self, settings: &Settings) {
        let bytes = settings.to_bytes();
        #[cfg(rtl_core)]
        // SAFETY: the pointer is of `SETTINGS` bytes, which the other side checks, reads and does not keep.
        assert!(unsafe { weir_core_settings(self.0.as_ptr(), bytes.as_ptr(), bytes.len()) }, "settings fit their port");
        #[cfg(not(rtl_core))]
        let _ = bytes;
    }

    /// Doorbells from the next cycle on.
    pub fn doorbells(&mut self, doorbells: &[Doorbells; QUEUES]) {
        let mut bytes = [0u8; DOORBELLS];
        for (place, d) in bytes.chunks_exact_mut(16).zip(doorbells) {
            for (word, value) in
                place.chunks_exact_mut(4).zip([d.descriptor_consumer, d.flow_record_consumer, d.tx_producer])
            {
                word.copy_from_slice(&value.to_le_bytes());
            }
        }
        #[cfg(rtl_core)]
        // SAFETY: the pointer is of `DOORBELLS` bytes, which the other side checks, reads and does not keep.
        assert!(
            unsafe { weir_core_doorbells(self.0.as_ptr(), bytes.as_ptr(), bytes.len()) },
            "doorbells fit their port"
        );
    }

    /// One clock cycle.
    #[inline]
    pub fn cycle(&mut self, input: &Input) -> Output {
        self.step(input, false)
    }

    /// One clock cycle while the frame path rests: it has none of its own unless the loader writes ([`Output::load_writes`]).
    pub fn load_cycle(&mut self, input: &Input) -> Output {
        self.step(input, true)
    }

    fn step(&mut self, input: &Input, load_alone: bool) -> Output {
        #[allow(unused_mut)]
        let mut out = Output([0; OUT]);
        #[cfg(rtl_core)]
        // SAFETY: `input` is of `IN` bytes that are read, `out` of `OUT` bytes that are written; the other side checks both
        // lengths against its ports and keeps neither pointer.
        let fits = unsafe { weir_core_cycle(self.0.as_ptr(), input.0.as_ptr(), IN, out.0.as_mut_ptr(), OUT, load_alone) };
        #[cfg(not(rtl_core))]
        let fits = input.0.is_empty() || load_alone;
        assert!(fits, "beats fit their ports");
        out
    }

    /// All counters.
    pub fn counters(&self) -> [u64; COUNTERS] {
        #[allow(unused_mut)]
        let mut bytes = [0u8; COUNTERS * 8];
        #[cfg(rtl_core)]
        // SAFETY: the pointer is of as many bytes as the port has, which the other side checks, writes and does not keep.
        assert!(
            unsafe { weir_core_counters(self.0.as_ptr(), bytes.as_mut_ptr(), bytes.len()) },
            "counters fit their port"
        );
        let (words, _) = bytes.as_chunks::<8>();
        std::array::from_fn(|n| u64::from_le_bytes(words[n]))
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        #[cfg(rtl_core)]
        // SAFETY: made by `new`, freed once.
        unsafe {
            weir_core_free(self.0.as_ptr());
        }
    }
}
