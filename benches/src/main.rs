//! Measuring programs that `cargo xtask bench` starts, one a process: what cannot be measured from outside of `weir`.
//!
//! Place: beside the command line, which it uses as a library. Each command prints one JSON object to stdout. It does
//! not compare and does not draw: that is `xtask`.
#![forbid(unsafe_code)]

mod memory;
mod model;
mod synthetic;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use weir::exit::Failure;
use weir_capture::CaptureReader;
use weir_management::Config;

/// Measuring programs of `cargo xtask bench`.
#[derive(Debug, Parser)]
#[command(name = "weir-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Offer a capture to the device model alone: its host takes every descriptor, forwards the frame and releases the
    /// flow without looking at it.
    Model(Workload),
    /// Peak memory of each capture of a list on stdin, rules and tables loaded once. One JSON object a capture.
    Memory(MemoryArguments),
    /// Count frames of a capture and their bytes.
    Size {
        /// Capture.
        pcap: PathBuf,
    },
    /// Write a capture of made-up traffic.
    Synthetic {
        /// Kind of traffic.
        #[arg(long, value_enum)]
        kind: synthetic::Kind,
        /// File to write.
        #[arg(long)]
        out: PathBuf,
        /// Captured bytes, about.
        #[arg(long)]
        bytes: u64,
    },
}

/// Rules and a capture.
#[derive(Debug, clap::Args)]
struct Workload {
    /// Rule files or directories.
    #[arg(long, num_args = 1.., required = true)]
    rules: Vec<PathBuf>,
    /// Capture.
    #[arg(long)]
    pcap: PathBuf,
    /// Configuration keys on top of the defaults.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct MemoryArguments {
    /// Rule files or directories.
    #[arg(long, num_args = 1.., required = true)]
    rules: Vec<PathBuf>,
    /// Behind the simulated device.
    #[arg(long)]
    sim: bool,
    /// Configuration keys on top of the defaults.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Model(workload) => model::run(&workload.rules, &workload.pcap, &configuration(&workload.set)?),
        Command::Memory(m) => memory::run(&m.rules, m.sim, &configuration(&m.set)?),
        Command::Size { pcap } => size(&pcap),
        Command::Synthetic { kind, out, bytes } => synthetic::write(kind, &out, bytes),
    }
}

fn configuration(set: &[String]) -> Result<Config> {
    let mut config = Config::default();
    for argument in set {
        config.set_argument(argument).map_err(|error| anyhow::anyhow!("--set {argument}: {error}"))?;
    }
    Ok(config)
}

fn size(path: &Path) -> Result<()> {
    let mut reader = CaptureReader::open(path)?;
    let (mut frames, mut bytes) = (0u64, 0u64);
    while let Some(frame) = reader.next_frame()? {
        frames += 1;
        bytes += frame.data.len() as u64;
    }
    println!("{}", serde_json::json!({ "frames": frames, "bytes": bytes }));
    Ok(())
}

/// A failure of the command line as an error of this program.
fn failed(failure: Failure) -> anyhow::Error {
    anyhow::anyhow!("{failure}")
}

/// A number of `/proc/self/status`, in bytes.
fn status_bytes(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}
