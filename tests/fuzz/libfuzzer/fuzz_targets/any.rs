//! Any target of weir-fuzz under libFuzzer; `WEIR_FUZZ_TARGET` names it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static RUN: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let run = RUN.get_or_init(|| {
        let name = std::env::var("WEIR_FUZZ_TARGET").expect("WEIR_FUZZ_TARGET names a target of weir-fuzz");
        weir_fuzz::targets::find(&name).expect("WEIR_FUZZ_TARGET names no target; see weir-fuzz --list").run
    });
    run(bytes);
});
