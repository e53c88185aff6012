//! A buffered output file that only its owner and group may read.

use crate::OutputError;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file of records. After the first failed write, further records are counted and thrown away.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    writer: BufWriter<File>,
    error: Option<std::io::Error>,
    lost: u64,
}

impl OutputFile {
    /// Creates the file (mode 0640), or empties it.
    pub fn create(path: &Path) -> Result<Self, OutputError> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o640)
            .open(path)
            .map_err(|source| OutputError::Create { path: path.to_owned(), source })?;
        Ok(OutputFile { path: path.to_owned(), writer: BufWriter::with_capacity(1 << 16, file), error: None, lost: 0 })
    }

    /// Creates the directory and its parents.
    pub fn create_directory(path: &Path) -> Result<(), OutputError> {
        std::fs::create_dir_all(path).map_err(|source| OutputError::Directory { path: path.to_owned(), source })
    }

    /// Appends one record.
    pub fn write(&mut self, record: &[u8]) {
        if self.error.is_some() {
            self.lost += 1;
        } else if let Err(error) = self.writer.write_all(record) {
            self.error = Some(error);
            self.lost = 1;
        }
    }

    /// Hands everything to the operating system and returns the first error.
    pub fn finish(&mut self) -> Result<(), OutputError> {
        if self.error.is_none() {
            self.error = self.writer.flush().err();
        }
        match self.error.take() {
            None => Ok(()),
            Some(source) => Err(OutputError::Write { path: self.path.clone(), lost: self.lost, source }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn mode_and_content() {
        let directory = std::env::temp_dir().join(format!("weir-output-{}", std::process::id()));
        OutputFile::create_directory(&directory).unwrap();
        let path = directory.join("eve.json");
        let mut file = OutputFile::create(&path).unwrap();
        file.write(b"a\n");
        file.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"a\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o007, 0);
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_full_disk_is_reported_with_its_path() {
        if !Path::new("/dev/full").exists() {
            return;
        }
        let mut file = OutputFile::create(Path::new("/dev/full")).unwrap();
        for _ in 0..100 {
            file.write(&[b'x'; 4096]);
        }
        let message = file.finish().unwrap_err().to_string();
        assert!(message.contains("/dev/full") && message.contains("events were lost"), "{message}");
    }

    #[test]
    fn a_missing_directory_names_the_option() {
        let error = OutputFile::create(Path::new("/nonexistent/eve.json")).unwrap_err();
        assert!(error.to_string().contains("--log-dir"), "{error}");
    }
}
