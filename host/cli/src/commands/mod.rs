//! One module per command.

mod audit;
mod config;
mod explain;
mod rules;
mod run;
mod version;

use crate::args::{Arguments, Command, ConfigArguments};
use crate::exit::{Failure, OrExit};
use weir_management::Config;

/// Runs a command; the answer is the exit code.
pub fn run(arguments: &Arguments) -> Result<u8, Failure> {
    match &arguments.command {
        Command::Config(command) => config::run(command),
        Command::Audit(command) => audit::run(command),
        Command::Run(arguments) => run::run(arguments),
        Command::Rules(command) => rules::run(command),
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
