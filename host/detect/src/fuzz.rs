//! Entry point for fuzzing: rules and traffic from arbitrary bytes.

/// Filled in below.
pub fn fuzz_inspect(_data: &[u8]) {}
