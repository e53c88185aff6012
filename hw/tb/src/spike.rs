//! The border to the flow spike and the layout testbench.
#![allow(unsafe_code)]

use crate::Stalls;

/// One beat into the flow spike.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beat {
    /// 0 frame, 1 release, 2 divert, 3 forget.
    pub op: u8,
    /// Entry.
    pub flow: u8,
    /// Direction of a frame.
    pub direction: u8,
    /// TCP flags.
    pub flags: u8,
    /// The match found a record that holds.
    pub hit: u8,
    /// 0
    pub reserved: u8,
    /// Payload bytes.
    pub payload: u16,
    /// TCP sequence number.
    pub number: u32,
    /// TCP acknowledgement number.
    pub acknowledgement: u32,
    /// Generation a command is for.
    pub generation: u32,
    /// 0
    pub reserved2: u32,
    /// Release: k.
    pub bound: u64,
}

/// One result of the flow spike.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Result {
    /// As in the beat.
    pub op: u8,
    /// Segment class: 0 empty, 1 in order, 2 acknowledged, 3 untracked, 8 + trouble.
    pub kind: u8,
    /// Frame: to the host. Command: took effect.
    pub divert: u8,
    /// Sticky before the beat.
    pub sticky: u8,
    /// Command for another generation.
    pub stale: u8,
    /// 0
    pub reserved: [u8; 3],
    /// Generation of the entry before the beat.
    pub generation: u32,
    /// Next expected sequence number of the direction.
    pub next: u32,
    /// Frame number (command: of the last frame before it).
    pub frame: u64,
    /// History position.
    pub position: u64,
    /// Newest record not given to the host.
    pub chain_head: u64,
    /// Records not given to the host.
    pub chain_count: u32,
    /// 0
    pub reserved2: u32,
}

#[cfg(rtl_flow_spike)]
unsafe extern "C" {
    fn weir_flow_spike_run(
        beats: *const Beat,
        count: usize,
        results: *mut Result,
        seed: u64,
        stall_in: u32,
        stall_match: u32,
        stall_out: u32,
        cycle_limit: u64,
        cycles: *mut u64,
    ) -> usize;
}

#[cfg(rtl_layout)]
unsafe extern "C" {
    fn weir_layout_run() -> i32;
}

/// The RTL of the spike was built.
pub const fn available() -> bool {
    cfg!(rtl_flow_spike)
}

/// Run beats through the flow spike; the results (fewer than beats if it hung) and the cycles used.
#[cfg(rtl_flow_spike)]
pub fn flow_spike(beats: &[Beat], seed: u64, stalls: Stalls) -> (Vec<Result>, u64) {
    let mut results = vec![Result::default(); beats.len()];
    let mut cycles = 0;
    let limit = 1000 + beats.len() as u64 * 40;
    // SAFETY: both arrays have `beats.len()` elements of the layouts that the C++ side asserts by size (repr(C), integers
    // only, any bytes valid); it reads `beats[..count]`, writes at most `count` results, and keeps no pointer.
    let done = unsafe {
        weir_flow_spike_run(
            beats.as_ptr(),
            beats.len(),
            results.as_mut_ptr(),
            seed,
            stalls.input,
            stalls.matching,
            stalls.output,
            limit,
            &mut cycles,
        )
    };
    results.truncate(done);
    (results, cycles)
}

/// No RTL: nothing.
#[cfg(not(rtl_flow_spike))]
pub fn flow_spike(_beats: &[Beat], _seed: u64, _stalls: Stalls) -> (Vec<Result>, u64) {
    (Vec::new(), 0)
}

/// Run the layout testbench: it reached its end. A difference aborts the process with the field's name.
pub fn layout() -> bool {
    #[cfg(rtl_layout)]
    // SAFETY: no arguments, no state outside of the call.
    return unsafe { weir_layout_run() } == 0;
    #[cfg(not(rtl_layout))]
    false
}
