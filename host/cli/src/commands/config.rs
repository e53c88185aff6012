//! `weir config`

use super::configuration;
use crate::args::ConfigCommand;
use crate::exit::{Failure, OK};
use crate::out::{out, outln};

pub fn run(command: &ConfigCommand) -> Result<u8, Failure> {
    match command {
        ConfigCommand::Check(arguments) => {
            configuration(arguments)?;
            match &arguments.config {
                Some(path) => outln!("{}: no problems", path.display()),
                None => outln!("no problems (no file given; see --config)"),
            }
        }
        ConfigCommand::Show(arguments) => out!("{}", weir_management::show(&configuration(arguments)?)),
        ConfigCommand::Docs => out!("{}", weir_management::reference_page()),
        ConfigCommand::Starter => out!("{}", weir_management::STARTER),
    }
    Ok(OK)
}
