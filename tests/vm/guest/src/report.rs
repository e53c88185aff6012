//! What the guest tells the host: lines of a kind, a tab and a text; files as a length and their bytes.

use anyhow::{Context, Result};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// The serial line to the host.
pub struct Report(File);

impl Report {
    /// At a terminal; line ends become two bytes there, which the host undoes.
    pub fn open(path: &Path) -> Result<Report> {
        OpenOptions::new().write(true).open(path).map(Report).with_context(|| path.display().to_string())
    }

    /// A line.
    pub fn line(&mut self, kind: &str, text: &str) -> Result<()> {
        let text = text.replace('\n', " ");
        writeln!(self.0, "{kind}\t{text}")?;
        Ok(())
    }

    /// Something that holds, or does not.
    pub fn check(&mut self, what: &str, holds: bool, why: &str) -> Result<()> {
        self.line(if holds { "holds" } else { "broken" }, &if holds { what.to_owned() } else { format!("{what}: {why}") })
    }

    /// A file.
    pub fn file(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        // Text alone goes over the line as it is.
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().count();
        self.line("file", &format!("{name}\t{lines}"))?;
        for line in text.lines() {
            writeln!(self.0, "{line}")?;
        }
        Ok(())
    }
}
