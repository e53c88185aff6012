//! The command line of Weir.
//!
//! Place: outermost. Thin: it reads arguments, calls the rooms, and shows what they say. Every command answers with an
//! exit code of [`exit`]; every error is printed with its causes and, where there is one, its remedy.
#![forbid(unsafe_code)]

mod args;
mod commands;
pub mod exit;

use clap::Parser;
use std::process::ExitCode;

/// Runs the command of the process's arguments.
pub fn main() -> ExitCode {
    let arguments = match args::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE.into() } else { exit::OK.into() };
        }
    };
    match commands::run(&arguments) {
        Ok(code) => code.into(),
        Err(failure) => {
            eprintln!("{failure}");
            failure.code.into()
        }
    }
}
