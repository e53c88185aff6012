//! Extracted files, named by their SHA-256, so that each content is there once.

use crate::OutputError;
use crate::eve::{self, EveOptions};
use crate::record::{AlertRecord, EventSink, FileRecord, Storing};
use crate::tee::Log;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Writes files below a directory: `ab/ab…`, and beside each, if asked for, `ab….SECONDS.NUMBER.json`.
#[derive(Debug)]
pub struct FileStore {
    directory: PathBuf,
    all: bool,
    describe: bool,
    failed: u64,
    first_error: Option<OutputError>,
}

impl FileStore {
    /// Below `directory`; `all` files or those that rules ask for; `describe`: with a record beside each.
    pub fn new(directory: PathBuf, all: bool, describe: bool) -> Self {
        FileStore { directory, all, describe, failed: 0, first_error: None }
    }

    fn store(&self, record: &FileRecord<'_>, digest: &[u8]) -> Result<(), (PathBuf, std::io::Error)> {
        let name: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        let directory = self.directory.join(name.get(..2).unwrap_or_default());
        std::fs::create_dir_all(&directory).map_err(|error| (directory.clone(), error))?;
        let path = directory.join(&name);
        if !path.exists() {
            write(&path, record.content).map_err(|error| (path.clone(), error))?;
        }
        if self.describe {
            let number = record.stored.unwrap_or(0);
            let seconds = record.packet.time / 1_000_000_000;
            let path = directory.join(format!("{name}.{seconds}.{number}.json"));
            let mut line = Vec::new();
            eve::file(&mut line, &EveOptions { file_magic: true, ..EveOptions::default() }, record);
            write(&path, &line).map_err(|error| (path.clone(), error))?;
        }
        Ok(())
    }
}

fn write(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(path)?;
    file.write_all(bytes)
}

impl EventSink for FileStore {
    fn alert(&mut self, _: &AlertRecord<'_>) {}

    fn file(&mut self, record: &FileRecord<'_>) {
        let (Some(_), Some(digest)) = (record.stored, record.digests[2]) else { return };
        if let Err((path, source)) = self.store(record, digest) {
            self.failed += 1;
            self.first_error.get_or_insert(OutputError::Create { path, source });
        }
    }

    fn wants_files(&self) -> bool {
        true
    }

    fn wants_log(&self) -> bool {
        true
    }

    fn storing(&self) -> Storing {
        if self.all { Storing::All } else { Storing::Asked }
    }

    fn finish(&mut self) -> Result<(), OutputError> {
        self.first_error.take().map_or(Ok(()), Err)
    }
}

impl Log for FileStore {}
