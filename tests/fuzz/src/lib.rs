//! Fuzz targets for every parser of Weir, and a deterministic mutational runner in stable Rust.
//!
//! A [`Target`] is a plain function of bytes that panics when a property does not hold. The [`runner`] makes its inputs from
//! seeds (our own, and files of the shared data where they are), one at a time: input `n` is a function of the seeds, the
//! seed of the run and `n` alone. The same functions can be driven by libFuzzer (`tests/fuzz/libfuzzer`). What each target
//! asserts stands beside its name in [`targets`]; `docs/fuzzing.md` says how to run them and what they found.
#![deny(unsafe_code)]

pub mod allocation;
pub mod frames;
pub mod messages;
pub mod minimise;
pub mod mutate;
pub mod random;
pub mod runner;
pub mod seeds;
pub mod target;
pub mod targets;

pub use target::Target;
