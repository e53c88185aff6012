//! The command line of Weir.
//!
//! Place: outermost. Thin: it reads arguments, calls the rooms, and shows what they say. Every command answers with an
//! exit code of [`exit`]; every error is printed with its causes and, where there is one, its remedy.
#![forbid(unsafe_code)]

pub mod args;
pub mod attached;
pub mod bundle;
mod bundle_normal;
pub mod cost;
/// The commands; tests call some of them as functions.
pub mod commands;
pub mod deployment;
pub mod device;
pub mod dropped;
mod epochs;
pub mod evidence;
pub mod exchange;
mod firewall;
mod handover;
mod example;
pub mod exit;
pub mod live;
pub mod measured;
mod out;
pub mod pipeline;
pub mod planning;
mod privileges;
pub mod progress;
pub mod ruleset;
mod serve;
pub mod settings;
pub mod suricata;

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
    start_log(arguments.verbose);
    match commands::run(&arguments) {
        Ok(code) => code.into(),
        Err(failure) => {
            eprintln!("{failure}");
            failure.code.into()
        }
    }
}

/// Log lines go to stderr; `WEIR_LOG` overrules `-v`.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("WEIR_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().try_init();
}
