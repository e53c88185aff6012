//! `weir config`

use super::configuration;
use crate::args::ConfigCommand;
use crate::exit::{Failure, OK};

pub fn run(command: &ConfigCommand) -> Result<u8, Failure> {
    match command {
        ConfigCommand::Check(arguments) => {
            configuration(arguments)?;
            match &arguments.config {
                Some(path) => println!("{}: no problems", path.display()),
                None => println!("no problems (no file given; see --config)"),
            }
        }
        ConfigCommand::Show(arguments) => print!("{}", weir_management::show(&configuration(arguments)?)),
        ConfigCommand::Docs => print!("{}", weir_management::reference_page()),
        ConfigCommand::Starter => print!("{}", weir_management::STARTER),
    }
    Ok(OK)
}
