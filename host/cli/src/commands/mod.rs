//! One module per command.

pub mod audit;
mod config;
mod cost;
mod device;
mod device_flows;
mod explain;
mod image_view;
mod mix;
mod profile;
mod rules;
mod rules_test;
pub(crate) mod run;
mod selftest;
pub mod swaps;
mod tables;
mod tables_deploy;
mod tables_diff;
mod tables_verify;
mod version;

use crate::args::{Arguments, Command, ConfigArguments, SimCommand};
use crate::exit::{Failure, OrExit};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};
use weir_management::Config;

/// Runs a command; the answer is the exit code.
pub fn run(arguments: &Arguments) -> Result<u8, Failure> {
    match &arguments.command {
        Command::Config(command) => config::run(command),
        Command::Audit(command) => audit::run(command),
        Command::Tables(command) => tables::run(command),
        Command::Device(command) => device::run(command),
        Command::Sim(SimCommand::Serve(arguments)) => crate::serve::run(arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Rules(command) => rules::run(command),
        Command::Suricata(arguments) => crate::suricata::run(arguments),
        Command::RestoreOffloads { offloads } => crate::privileges::restore(offloads),
        Command::Version => version::run(),
    }
}

/// The configuration of `--config` and `--set`.
pub fn configuration(arguments: &ConfigArguments) -> Result<Config, Failure> {
    let mut config = match &arguments.config {
        Some(path) => Config::load(path).or_usage()?,
        None => Config::default(),
    };
    for argument in &arguments.set {
        config.set_argument(argument).or_usage()?;
    }
    Ok(config)
}

/// A table with this header.
fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(header);
    table
}

/// A cell for a number.
fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}
