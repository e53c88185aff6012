//! An output file that only its owner and group may read, written by a thread of its own.
//!
//! Who writes records never waits for a disk, unless it may ([`OutputFile::waits`]: captures). A file that was renamed or
//! removed is made anew within a second (log rotation needs no signal). When writing fails, what waits is kept up to
//! [`WAITING_MAX`] and tried again every second; lines beyond are counted and lost.

use crate::OutputError;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes that are written at once, if they come before [`GATHER`] is over.
const BATCH: usize = 1 << 16;
/// Longest time that a line waits to be written with others.
const GATHER: Duration = Duration::from_millis(200);
/// Most bytes that wait while the file takes none.
pub const WAITING_MAX: usize = 4 << 20;
/// Between two tries to write to a file that takes nothing, and between two looks whether it is still the file of its path.
const RETRY: Duration = Duration::from_secs(1);

/// A file of lines.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    waits: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write, or to end.
    work: Condvar,
    /// Something was written, or given up.
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Everything is wanted in the file now; what does not go is lost.
    flush: bool,
    end: bool,
    /// The last try failed.
    failing: bool,
    /// Lines that are in no file, and why the first of them is not.
    lost: u64,
    error: Option<std::io::Error>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole whoever panicked: no step leaves it half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutputFile {
    /// Creates the file (mode 0640), or empties it.
    pub fn create(path: &Path) -> Result<Self, OutputError> {
        let failed = |source| OutputError::Create { path: path.to_owned(), source };
        let file = open(path).map_err(failed)?;
        // (A device or a pipe has no length.)
        if file.metadata().is_ok_and(|about| about.is_file()) {
            file.set_len(0).map_err(failed)?;
        }
        let shared = Arc::new(Shared::default());
        let writer = Writer { path: path.to_owned(), file, rest: Vec::new(), looked: Instant::now() };
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("output".to_owned()).spawn(move || writer.run(&of_thread)).map_err(failed)?;
        Ok(OutputFile { path: path.to_owned(), shared, thread: Some(thread), waits: true })
    }

    /// Whether a record waits for room while the file takes bytes (the default: a capture can wait), or is counted and lost
    /// (frames of a link do not wait).
    #[must_use]
    pub fn waits(mut self, waits: bool) -> Self {
        self.waits = waits;
        self
    }

    /// Creates the directory and its parents.
    pub fn create_directory(path: &Path) -> Result<(), OutputError> {
        std::fs::create_dir_all(path).map_err(|source| OutputError::Directory { path: path.to_owned(), source })
    }

    /// Appends one record: lines.
    pub fn write(&mut self, record: &[u8]) {
        let mut state = self.shared.state();
        let full = |state: &State| !state.waiting.is_empty() && state.waiting.len() + record.len() > WAITING_MAX;
        while self.waits && full(&state) && !state.failing {
            self.shared.work.notify_one();
            state = self.shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if full(&state) {
            state.lost += lines(record);
            return;
        }
        let before = state.waiting.len();
        state.waiting.extend_from_slice(record);
        if before == 0 || before < BATCH && state.waiting.len() >= BATCH {
            self.shared.work.notify_one();
        }
    }

    /// Hands everything to the operating system and returns the first error, if there was one since the last call.
    pub fn finish(&mut self) -> Result<(), OutputError> {
        let mut state = self.shared.state();
        state.flush = true;
        while state.flush {
            self.shared.work.notify_one();
            state = self.shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let lost = std::mem::take(&mut state.lost);
        match state.error.take() {
            Some(source) if lost > 0 => Err(OutputError::Write { path: self.path.clone(), lost, source }),
            None if lost > 0 => {
                let source = std::io::Error::other("lines came faster than it takes them");
                Err(OutputError::Write { path: self.path.clone(), lost, source })
            }
            _ => Ok(()),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        self.shared.state().end = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|b| **b == b'\n').count() as u64
}

/// What the thread owns.
struct Writer {
    path: PathBuf,
    file: File,
    /// Taken, and not in the file yet.
    rest: Vec<u8>,
    looked: Instant,
}

impl Writer {
    fn run(mut self, shared: &Shared) {
        let mut spare = Vec::new();
        loop {
            let mut state = shared.state();
            while state.waiting.is_empty() && self.rest.is_empty() && !state.flush && !state.end {
                state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let (patience, enough) = if state.failing { (RETRY, usize::MAX) } else { (GATHER, BATCH) };
            let gathers = |state: &mut State| state.waiting.len() < enough && !state.flush && !state.end;
            (state, _) = shared.work.wait_timeout_while(state, patience, gathers).unwrap_or_else(PoisonError::into_inner);
            if self.rest.is_empty() {
                std::mem::swap(&mut state.waiting, &mut spare);
                std::mem::swap(&mut self.rest, &mut spare);
            }
            let (last, ends) = (state.flush || state.end, state.end);
            drop(state);
            shared.room.notify_all();

            let result = self.write_out();

            let mut state = shared.state();
            match result {
                Ok(()) => {
                    if std::mem::take(&mut state.failing) {
                        tracing::info!("{} takes records again; {} were lost", self.path.display(), state.lost);
                    }
                    if state.waiting.is_empty() {
                        state.flush = false;
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut state.failing, true) {
                        tracing::error!(
                            "cannot write {}: {error}; up to {} MiB of records wait, more are lost; free space, or move the file",
                            self.path.display(),
                            WAITING_MAX >> 20
                        );
                    }
                    state.error.get_or_insert(error);
                    if last {
                        state.lost += lines(&self.rest) + lines(&state.waiting);
                        self.rest.clear();
                        state.waiting.clear();
                        state.flush = false;
                    }
                }
            }
            let done = ends && self.rest.is_empty() && state.waiting.is_empty();
            drop(state);
            shared.room.notify_all();
            if done {
                return;
            }
        }
    }

    /// Writes what was taken; what did not go stays, so that no line is cut in two.
    fn write_out(&mut self) -> std::io::Result<()> {
        if self.looked.elapsed() >= RETRY {
            self.looked = Instant::now();
            self.look()?;
        }
        let mut written = 0;
        let result = loop {
            match self.file.write(&self.rest[written..]) {
                _ if written == self.rest.len() => break Ok(()),
                Ok(0) => break Err(std::io::ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.rest.drain(..written);
        result
    }

    /// The path names another file by now, or none: go on there. A line that was begun in the old file is ended there if it
    /// can be.
    fn look(&mut self) -> std::io::Result<()> {
        let of = |about: std::fs::Metadata| (about.dev(), about.ino());
        let ours = self.file.metadata().map(of)?;
        if std::fs::metadata(&self.path).map(of).is_ok_and(|there| there == ours) {
            return Ok(());
        }
        self.file = open(&self.path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("weir-output-{name}-{}", std::process::id()));
            OutputFile::create_directory(&path).unwrap();
            Directory(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn until(mut holds: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !holds() {
            assert!(begin.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn mode_and_content() {
        let directory = Directory::new("mode");
        let path = directory.0.join("eve.json");
        std::fs::write(&path, b"old\n").unwrap();
        let mut file = OutputFile::create(&path).unwrap();
        file.write(b"a\n");
        file.finish().unwrap();
        file.write(b"b\n");
        file.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"a\nb\n");
        file.write(b"c\n");
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"a\nb\nc\n");
        std::fs::remove_file(&path).unwrap();
        drop(OutputFile::create(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o007, 0);
    }

    /// A person who follows a quiet log sees an alert when it is raised.
    #[test]
    fn a_line_is_in_the_file_soon() {
        let directory = Directory::new("soon");
        let path = directory.0.join("eve.json");
        let mut file = OutputFile::create(&path).unwrap();
        file.write(b"alert\n");
        until(|| std::fs::read(&path).unwrap() == b"alert\n");
    }

    #[test]
    fn all_lines_are_there_in_order_where_the_source_waits() {
        let directory = Directory::new("order");
        let path = directory.0.join("eve.json");
        let mut file = OutputFile::create(&path).unwrap();
        let mut expected = Vec::new();
        for n in 0..200_000u32 {
            let line = format!("{n} {}\n", "x".repeat(n as usize % 97));
            expected.extend_from_slice(line.as_bytes());
            file.write(line.as_bytes());
        }
        file.finish().unwrap();
        assert!(std::fs::read(&path).unwrap() == expected);
    }

    #[test]
    fn a_full_disk_is_reported_with_its_path() {
        if !Path::new("/dev/full").exists() {
            return;
        }
        let mut file = OutputFile::create(Path::new("/dev/full")).unwrap();
        for _ in 0..100 {
            file.write(&[b'\n'; 4096]);
        }
        let message = file.finish().unwrap_err().to_string();
        assert!(message.contains("/dev/full") && message.contains(&format!("{} events were lost", 100 * 4096)), "{message}");
    }

    /// What a file that takes nothing costs is bounded, counted, and over when there is another file.
    #[test]
    fn lines_wait_for_a_disk_that_is_full_and_go_to_the_next() {
        if !Path::new("/dev/full").exists() {
            return;
        }
        let directory = Directory::new("recovers");
        let path = directory.0.join("eve.json");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut file = OutputFile::create(&path).unwrap();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        file.write(&line);
        until(|| file.shared.state().failing);
        let sent = 3 * WAITING_MAX / line.len();
        (1..sent).for_each(|_| file.write(&line));
        let lost = file.shared.state().lost;
        assert!(lost as usize >= sent - 2 * WAITING_MAX / line.len() && (lost as usize) < sent, "{lost} of {sent}");
        std::fs::remove_file(&path).unwrap();
        until(|| !file.shared.state().failing);
        file.write(b"after\n");
        let message = file.finish().unwrap_err().to_string();
        assert!(message.contains(&format!("{lost} events were lost")), "{message}");
        let there = std::fs::read(&path).unwrap();
        assert_eq!(lines(&there) + lost, sent as u64 + 1);
        assert!(there.ends_with(b"x\nafter\n") && there.split(|b| *b == b'\n').all(|l| [0, 5, 1023].contains(&l.len())));
    }

    #[test]
    fn a_file_that_was_renamed_is_made_anew() {
        let directory = Directory::new("rotates");
        let path = directory.0.join("eve.json");
        let mut file = OutputFile::create(&path).unwrap();
        file.write(b"1\n");
        file.finish().unwrap();
        let old = directory.0.join("eve.json.1");
        std::fs::rename(&path, &old).unwrap();
        std::thread::sleep(RETRY);
        file.write(b"2\n");
        file.finish().unwrap();
        assert_eq!((std::fs::read(&old).unwrap(), std::fs::read(&path).unwrap()), (b"1\n".to_vec(), b"2\n".to_vec()));
    }

    #[test]
    fn a_missing_directory_names_the_option() {
        let error = OutputFile::create(Path::new("/nonexistent/eve.json")).unwrap_err();
        assert!(error.to_string().contains("--log-dir"), "{error}");
    }
}
