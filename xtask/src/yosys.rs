//! Yosys and ABC, out of the Python wheel of hw/requirements.txt.

use crate::rtl;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct Tools {
    root: PathBuf,
    /// Has the wheels of hw/requirements.txt.
    pub python: PathBuf,
    /// All of the RTL, in the order of its file list.
    pub sources: Vec<String>,
}

/// A virtual environment in this folder with these wheels; installed unless it is there.
pub fn wheels(root: &Path, folder: &str, list: &str) -> Result<PathBuf> {
    let venv = root.join(folder);
    let status =
        Command::new("sh").arg("hw/tools/install-python").arg(&venv).arg(root.join(list)).current_dir(root).status()?;
    ensure!(status.success(), "hw/tools/install-python failed for {list}");
    Ok(venv)
}

impl Tools {
    /// WEIR_YOSYS names a Python that has pyosys; else one is installed below target/hdl.
    pub fn new(root: &Path) -> Result<Tools> {
        let python = match std::env::var_os("WEIR_YOSYS") {
            Some(program) => PathBuf::from(program),
            None => {
                let venv = wheels(root, "target/hdl", "hw/requirements.txt");
                venv.context("WEIR_YOSYS may name a Python with pyosys")?.join("bin/python")
            }
        };
        Ok(Tools { root: root.to_owned(), python, sources: rtl::sources(root)? })
    }

    /// Runs commands, a line each; what they say goes to the log.
    pub fn yosys(&self, commands: &str, log: &Path) -> Result<()> {
        let status = Command::new(&self.python)
            .args(["hw/tools/yosys", "-l"])
            .arg(log)
            .args(["-p", commands])
            .current_dir(&self.root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .with_context(|| self.python.display().to_string())?;
        if !status.success() {
            let text = fs::read_to_string(log).unwrap_or_default();
            let error = text.lines().rev().find(|line| line.contains("ERROR") || line.contains("error:"));
            bail!("{} ({})", error.unwrap_or("no message"), log.display());
        }
        Ok(())
    }

    /// What ABC says to commands.
    pub fn abc(&self, commands: &str) -> Result<String> {
        let place = "import pyosys, os; print(os.path.join(os.path.dirname(pyosys.__file__), 'yosys-abc'))";
        let out = Command::new(&self.python).args(["-c", place]).output()?;
        let program = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        let out = Command::new(&program).args(["-c", commands]).output().with_context(|| program.clone())?;
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Sources of a module and of what it names, whatever stands between. (What is left as a box is still elaborated.)
    pub fn needed(&self, module: &str) -> Result<Vec<String>> {
        rtl::needed(&self.root, &self.sources, module)
    }
}
