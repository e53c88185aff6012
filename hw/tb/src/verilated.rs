//! The border to the verilated modules: whole batches of items in and out.
#![allow(unsafe_code)]

use crate::Stalls;
use std::ffi::c_void;
use std::ptr::NonNull;

/// `weir::Batch` of cpp/harness.hpp.
#[repr(C)]
struct Batch {
    input: *const u8,
    in_count: usize,
    in_stride: usize,
    in_cycles: *mut u64,
    out: *mut u8,
    out_expected: usize,
    out_room: usize,
    out_stride: usize,
    out_cycles: *mut u64,
    out_count: usize,
    seed: u64,
    stall_in: u32,
    stall_out: u32,
    drain: u64,
    cycle_limit: u64,
}

/// Functions of a model that was built.
struct Functions {
    new: unsafe extern "C" fn() -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void),
    run: unsafe extern "C" fn(*mut c_void, *mut Batch) -> bool,
}

macro_rules! models {
    ($($variant:ident $cfg:ident $name:literal $new:ident $free:ident $run:ident,)*) => {
        /// A module under test.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Model {
            $(#[doc = concat!("Model `", $name, "` of build.rs.")] $variant,)*
        }

        $(
            #[cfg($cfg)]
            unsafe extern "C" {
                fn $new() -> *mut c_void;
                fn $free(harness: *mut c_void);
                fn $run(harness: *mut c_void, batch: *mut Batch) -> bool;
            }
        )*

        fn functions(model: Model) -> Option<Functions> {
            match model {
                $(
                    #[cfg($cfg)]
                    Model::$variant => Some(Functions { new: $new, free: $free, run: $run }),
                    #[cfg(not($cfg))]
                    Model::$variant => None,
                )*
            }
        }
    };
}

models! {
    Parse rtl_parse "parse" weir_parse_new weir_parse_free weir_parse_run,
    ParseNarrow rtl_parse_narrow "parse_narrow" weir_parse_narrow_new weir_parse_narrow_free weir_parse_narrow_run,
    Literal rtl_literal "literal" weir_literal_new weir_literal_free weir_literal_run,
    LiteralNarrow rtl_literal_narrow "literal_narrow" weir_literal_narrow_new weir_literal_narrow_free weir_literal_narrow_run,
    Facts rtl_facts "facts" weir_facts_new weir_facts_free weir_facts_run,
    FactsNarrow rtl_facts_narrow "facts_narrow" weir_facts_narrow_new weir_facts_narrow_free weir_facts_narrow_run,
    MessageFacts rtl_message_facts "message_facts" weir_message_facts_new weir_message_facts_free weir_message_facts_run,
    Flow rtl_flow "flow" weir_flow_new weir_flow_free weir_flow_run,
    FlowTable rtl_flow_table "flow_table" weir_flow_table_new weir_flow_table_free weir_flow_table_run,
    QueueWriter rtl_queue_writer "queue_writer" weir_queue_writer_new weir_queue_writer_free weir_queue_writer_run,
    Verdict rtl_verdict "verdict" weir_verdict_new weir_verdict_free weir_verdict_run,
    Judge rtl_judge "judge" weir_judge_new weir_judge_free weir_judge_run,
    RangeSearch rtl_range_search "range_search" weir_range_search_new weir_range_search_free weir_range_search_run,
    RangeSearch4 rtl_range_search4 "range_search4" weir_range_search4_new weir_range_search4_free weir_range_search4_run,
}

/// What a run gave.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Results, one behind the other.
    pub out: Vec<u8>,
    /// Clock cycle in which each input was taken.
    pub in_cycles: Vec<u64>,
    /// Clock cycle in which each result was taken.
    pub out_cycles: Vec<u64>,
}

/// A running model; keeps its state from run to run.
pub struct Harness {
    functions: Functions,
    state: NonNull<c_void>,
}

/// Cycles without input after the last expected result, in which no other may come.
const DRAIN: u64 = 200;

impl Harness {
    /// A model after reset; none where it was not built.
    pub fn new(model: Model) -> Option<Harness> {
        let functions = functions(model)?;
        // SAFETY: no arguments; the result is owned by this value alone until `free`.
        let state = NonNull::new(unsafe { (functions.new)() })?;
        Some(Harness { functions, state })
    }

    /// As [`Self::new`]; where it was not built, the test `who` says that it is skipped, and why.
    pub fn or_skip(model: Model, who: &str) -> Option<Harness> {
        let harness = Harness::new(model);
        if harness.is_none() {
            eprintln!("SKIPPED: {who}: the model {model:?} was not built (hw/tools/install brings Verilator)");
        }
        harness
    }

    /// Offer items of `in_stride` bytes until `expected` results of `out_stride` bytes have come, and some cycles more:
    /// a result too many shows in `out`. `patience`: cycles per item before giving up.
    pub fn run(
        &mut self,
        input: &[u8],
        in_stride: usize,
        expected: usize,
        out_stride: usize,
        seed: u64,
        stalls: Stalls,
        patience: u64,
    ) -> Run {
        assert!(in_stride > 0 && input.len().is_multiple_of(in_stride));
        let count = input.len() / in_stride;
        let room = expected + 16;
        let mut run = Run { out: vec![0; room * out_stride], in_cycles: vec![0; count], out_cycles: vec![0; room] };
        let mut batch = Batch {
            input: input.as_ptr(),
            in_count: count,
            in_stride,
            in_cycles: run.in_cycles.as_mut_ptr(),
            out: run.out.as_mut_ptr(),
            out_expected: expected,
            out_room: room,
            out_stride,
            out_cycles: run.out_cycles.as_mut_ptr(),
            out_count: 0,
            seed,
            stall_in: stalls.input,
            stall_out: stalls.output,
            drain: DRAIN,
            cycle_limit: 1000 + (count + expected) as u64 * patience,
        };
        // SAFETY: the pointers are of arrays with `in_count` items of `in_stride` bytes, `in_count` cycles, `out_room`
        // results of `out_stride` bytes and `out_room` cycles, as the other side bounds its accesses; it keeps none.
        let right = unsafe { (self.functions.run)(self.state.as_ptr(), &mut batch) };
        assert!(right, "strides {in_stride} and {out_stride} are not those of the model's ports");
        run.out.truncate(batch.out_count * out_stride);
        run.out_cycles.truncate(batch.out_count);
        run
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once.
        unsafe { (self.functions.free)(self.state.as_ptr()) }
    }
}
