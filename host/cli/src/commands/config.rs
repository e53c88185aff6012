//! `weir config`

use super::configuration;
use crate::args::ConfigCommand;
use crate::exit::{Failure, OK, OrExit};
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
        ConfigCommand::Import { file } => import(file)?,
        ConfigCommand::Starter => out!("{}", weir_management::STARTER),
    }
    Ok(OK)
}

/// Translates a suricata.yaml.
fn import(file: &std::path::Path) -> Result<(), Failure> {
    let root = crate::suricata::tree::Node::load(file).or_usage()?;
    let directory = file.parent().unwrap_or(std::path::Path::new(""));
    let imported = crate::suricata::import::import(&root, directory, false).map_err(|message| anyhow::anyhow!(message)).or_usage()?;
    let (config, outputs) = imported.into_own();
    out!("{}", weir_management::show_changed(&config));
    for remark in &outputs {
        eprintln!("not taken over: {remark}");
    }
    Ok(())
}
