//! An initramfs: a cpio archive of the kind "newc" (Documentation/driver-api/early-userspace/buffer-format.rst of Linux).

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// An archive under construction.
pub struct Archive {
    bytes: Vec<u8>,
    number: u32,
    there: BTreeSet<String>,
}

impl Archive {
    /// Empty.
    pub fn new() -> Archive {
        Archive { bytes: Vec::new(), number: 0, there: BTreeSet::new() }
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), data: &[u8]) {
        let name = path.trim_start_matches('/');
        if !self.there.insert(name.to_owned()) {
            return;
        }
        self.number += 1;
        let fields = [
            self.number, mode, 0, 0, 1, 0, data.len() as u32, 0, 0, device.0, device.1, name.len() as u32 + 1, 0,
        ];
        self.bytes.extend(b"070701");
        fields.iter().for_each(|field| self.bytes.extend(format!("{field:08x}").bytes()));
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// A folder, and those above it.
    pub fn folder(&mut self, path: &str) {
        if let Some((above, _)) = path.rsplit_once('/').filter(|(above, _)| !above.is_empty()) {
            self.folder(above);
        }
        self.entry(path, DIRECTORY, (0, 0), &[]);
    }

    /// A file.
    pub fn file(&mut self, path: &str, data: &[u8], program: bool) {
        if let Some((above, _)) = path.rsplit_once('/').filter(|(above, _)| !above.is_empty()) {
            self.folder(above);
        }
        self.entry(path, if program { PROGRAM } else { FILE }, (0, 0), data);
    }

    /// /dev/console, which the first process has as its output.
    pub fn console(&mut self) {
        self.entry("/dev/console", CHARACTER_DEVICE, (5, 1), &[]);
    }

    /// A program without its debugging information, and the libraries that its loader would load.
    pub fn program(&mut self, path: &str, from: &Path) -> Result<()> {
        let stripped = from.with_extension("stripped");
        let status = Command::new("strip").arg("-o").arg(&stripped).arg(from).status();
        let source = if status.is_ok_and(|status| status.success()) { stripped.as_path() } else { from };
        let data = fs::read(source).with_context(|| source.display().to_string())?;
        let _ = fs::remove_file(&stripped);
        self.file(path, &data, true);
        let loaded = Command::new("ldd").arg(from).output().context("ldd")?;
        ensure!(loaded.status.success(), "ldd {}", from.display());
        for line in String::from_utf8_lossy(&loaded.stdout).lines() {
            // "name => /path (address)" or "/path (address)".
            let place = line.rsplit("=> ").next().unwrap_or(line).trim();
            let Some((library, _)) = place.split_once(" (").filter(|(library, _)| library.starts_with('/')) else { continue };
            self.file(library, &fs::read(library).with_context(|| library.to_owned())?, true);
        }
        Ok(())
    }

    /// The whole.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_folders_come_first() {
        let mut archive = Archive::new();
        archive.file("/a/b", b"xyz", false);
        archive.file("/a/b", b"twice", false);
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.matches("070701").count(), 3, "a folder, a file, the end");
        assert!(text.find("a\0").unwrap() < text.find("a/b\0").unwrap() && text.contains("xyz") && !text.contains("twice"));
        assert!(text.contains("00000003"), "its length");
    }
}
