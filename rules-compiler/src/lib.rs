//! The rules compiler.
#![forbid(unsafe_code)]

pub mod diag;
pub mod syntax;
pub mod vars;
