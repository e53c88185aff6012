//! The control socket: who may speak, how long, and how many at a time.
//!
//! Invariants: the socket is never there with a mode other than 0600; only the user of the process and root are heard; every
//! connection is one request and one answer, bounded in bytes and time; at most [`CONNECTIONS_MAX`] at a time.

use super::refusal;
use crate::exit::{Failure, INPUT, INTERNAL, OrExit, USAGE};
use crate::handover::{Given, read_image, send};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use weir_management::control::{ANSWER_MAX, Answer, Command, ControlError, REQUEST_MAX, Refusal};

/// Connections at a time.
const CONNECTIONS_MAX: usize = 8;
/// Longest that a request may take to arrive, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest that a deployment may take.
const ANSWER_PATIENCE: Duration = Duration::from_secs(300);

/// Gives the device to another Weir, whose tables these are.
pub type Give = dyn Fn(Vec<u8>) -> Result<Given, Failure> + Send + Sync;

/// A socket that is listened to until it is dropped.
pub struct Socket {
    path: PathBuf,
    listener: Arc<UnixListener>,
    stop: Arc<AtomicBool>,
    /// The path is another's.
    left: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Socket {
    /// Listens at `path`. What a Weir that is gone has left there is replaced; one that lives is not.
    pub fn open(path: &Path, answer: Arc<dyn Fn(Command) -> Answer + Send + Sync>, give: Arc<Give>) -> Result<Self, Failure> {
        let listener = Arc::new(listen(path, "control socket")?);
        let listened = Arc::clone(&listener);
        let left = Arc::new(AtomicBool::new(false));
        let leave = {
            let (path, left) = (path.to_owned(), Arc::clone(&left));
            // The next Weir listens at the same path: it must be free before the device is given away.
            move || drop((!left.swap(true, Ordering::Relaxed)).then(|| std::fs::remove_file(&path)))
        };
        let leave: Arc<dyn Fn() + Send + Sync> = Arc::new(leave);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let serve = move || {
            let open = Arc::new(AtomicUsize::new(0));
            for stream in listened.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let Ok(stream) = stream else {
                    // (Out of descriptors, say: no reason to spin.)
                    std::thread::sleep(Duration::from_millis(100));
                    continue;
                };
                if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                    open.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let (counted, answer) = (Arc::clone(&open), Arc::clone(&answer));
                let (give, leave) = (Arc::clone(&give), Arc::clone(&leave));
                let serve = std::thread::Builder::new().name("control".to_owned()).spawn(move || {
                    serve(stream, &*answer, &*give, &*leave);
                    counted.fetch_sub(1, Ordering::Relaxed);
                });
                if serve.is_err() {
                    open.fetch_sub(1, Ordering::Relaxed);
                }
            }
        };
        let thread = std::thread::Builder::new().name("control-socket".to_owned()).spawn(serve).or_internal()?;
        Ok(Socket { path: path.to_owned(), listener, stop, left, thread: Some(thread) })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let woken = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both).is_ok();
        if !self.left.load(Ordering::Relaxed) {
            let _ = std::fs::remove_file(&self.path);
        }
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

/// Listens at `path`, as the user of this process alone: `what` it is for. What a process that is gone has left there is
/// replaced; one that lives is not.
pub(crate) fn listen(path: &Path, what: &str) -> Result<UnixListener, Failure> {
    let failure = |error: anyhow::Error, remedy: &str| Failure {
        code: USAGE,
        error: error.context(format!("{what} {}", path.display())),
        remedy: Some(remedy.to_owned()),
    };
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(failure(anyhow::anyhow!("there is a file of that name, and it is no socket"), "choose another name"));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(failure(anyhow::anyhow!("another process listens there"), "choose another name, or end the other Weir"));
        }
    }
    bind(path).map_err(|error| failure(error.into(), "choose a directory that can be written to"))
}

/// A socket that nobody else could reach before it has its mode: it is made in a directory of its own, and moved.
fn bind(path: &Path) -> std::io::Result<UnixListener> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let own = parent.join(format!(".weir-{}", std::process::id()));
    std::fs::DirBuilder::new().mode(0o700).create(&own)?;
    let made = own.join("s");
    let listener = UnixListener::bind(&made).and_then(|listener| {
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&made, path)?;
        Ok(listener)
    });
    let _ = std::fs::remove_file(&made);
    let _ = std::fs::remove_dir(&own);
    listener
}

fn refused(code: u8, error: &str, remedy: &str) -> Answer {
    Answer::Refused(Refusal { code, error: error.to_owned(), remedy: Some(remedy.to_owned()) })
}

/// The other end is the user that runs this process, or root.
pub(crate) fn is_allowed(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid();
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == own || peer.uid.is_root())
}

fn serve(mut stream: UnixStream, answer: &dyn Fn(Command) -> Answer, give: &Give, leave: &dyn Fn()) {
    let said = if is_allowed(&stream) {
        match read_line(&mut stream, REQUEST_MAX, PATIENCE).and_then(|(line, rest)| Ok((Command::decode(&line)?, rest))) {
            Ok((Command::HandOver { image }, rest)) => match read_image(&mut stream, rest, image) {
                Ok(image) => match give(image) {
                    Ok(given) => {
                        leave();
                        if let Err(error) = send(&mut stream, &given) {
                            tracing::error!("the device was given away, and nobody took it: {error}");
                        }
                        return;
                    }
                    Err(failure) => refusal(failure),
                },
                Err(error) => refused(USAGE, &format!("the image does not come: {error}"), "ask again"),
            },
            Ok((_, rest)) if !rest.is_empty() => refused(USAGE, "there are bytes behind the line end", "use the `weir tables` of this version"),
            Ok((command, _)) => answer(command),
            Err(error) => refused(USAGE, &error.to_string(), "use the `weir tables` of this version"),
        }
    } else {
        refused(USAGE, "the control socket hears the user that runs Weir, and root", "ask as that user")
    };
    let line = said.encode().or_else(|error| refused(INTERNAL, &error.to_string(), "ask for less").encode());
    if let (Ok(line), Ok(())) = (line, stream.set_write_timeout(Some(PATIENCE))) {
        let _ = stream.write_all(&line);
    }
}

/// Reads to the line end, at most so many bytes for at most so long; gives the line, and what came behind it.
pub(crate) fn read_line(stream: &mut UnixStream, most: usize, patience: Duration) -> Result<(Vec<u8>, Vec<u8>), ControlError> {
    let end = Instant::now() + patience;
    let mut line = Vec::new();
    let mut part = [0; 4096];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return Err(ControlError::Cut);
        }
        match stream.read(&mut part) {
            Ok(0) => return Err(ControlError::Cut),
            Ok(n) => line.extend_from_slice(part.get(..n).unwrap_or(&[])),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Err(ControlError::Cut),
        }
        let end = line.iter().position(|byte| *byte == b'\n');
        if end.map_or(line.len(), |end| end + 1) > most {
            return Err(ControlError::Long(most));
        }
        if let Some(end) = end {
            let rest = line.split_off(end + 1);
            return Ok((line, rest));
        }
    }
}

/// Asks the Weir that listens at `path`.
pub fn ask(path: &Path, command: &Command) -> Result<serde_json::Value, Failure> {
    let at = |error: anyhow::Error, remedy: &str| Failure {
        code: INPUT,
        error: error.context(format!("control socket {}", path.display())),
        remedy: Some(remedy.to_owned()),
    };
    let mut stream = UnixStream::connect(path).map_err(|error| {
        at(error.into(), "start `weir run` with --control, or control.socket in weir.toml, and name the same socket here")
    })?;
    let line = command.encode().or_usage()?;
    stream.set_write_timeout(Some(PATIENCE)).and_then(|()| stream.write_all(&line)).or_internal()?;
    let (line, _) = read_line(&mut stream, ANSWER_MAX, ANSWER_PATIENCE)
        .map_err(|error| at(error.into(), "ask again: Weir may have ended, or answers too many already"))?;
    match Answer::decode(&line).map_err(|error| at(error.into(), "use the `weir tables` of the version that runs"))? {
        Answer::Done(value) => Ok(value),
        Answer::Refused(refusal) => {
            Err(Failure { code: refusal.code, error: anyhow::anyhow!("{}", refusal.error), remedy: refusal.remedy })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("weir-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    fn send(path: &Path, bytes: &[u8]) -> Answer {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(bytes).unwrap();
        Answer::decode(&read_line(&mut stream, ANSWER_MAX, PATIENCE).unwrap().0).unwrap()
    }

    #[test]
    fn one_request_one_answer() {
        let path = place("control");
        let answer = |command: Command| Answer::Done(serde_json::json!(format!("{command:?}")));
        let give = |image: Vec<u8>| -> Result<Given, Failure> {
            Err(Failure { code: INPUT, error: anyhow::anyhow!("{} bytes", image.len()), remedy: None })
        };
        let socket = Socket::open(&path, Arc::new(answer), Arc::new(give)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(ask(&path, &Command::Status {}).unwrap(), "Status");
        let refused = |bytes: &[u8]| match send(&path, bytes) {
            Answer::Refused(refusal) => refusal.error,
            Answer::Done(value) => panic!("{value}"),
        };
        assert!(refused(b"{\"weir\":9,\"command\":\"status\"}\n").contains("version 9"));
        assert!(refused(&[b'x'; REQUEST_MAX + 1]).contains("longer"));
        assert!(refused(b"{\"weir\":1,\"command\":\"status\"}\nmore").contains("behind the line end"));
        assert_eq!(refused(b"{\"weir\":1,\"command\":\"hand-over\",\"image\":5}\nimage"), "5 bytes");
        assert!(refused(b"{\"weir\":1,\"command\":\"hand-over\",\"image\":4}\nimage").contains("does not come"));
        assert!(Socket::open(&path, Arc::new(answer), Arc::new(give)).is_err_and(|e| e.error.to_string().contains("control socket")));
        drop(socket);
        assert!(!path.exists());
        assert_eq!(ask(&path, &Command::Status {}).unwrap_err().code, INPUT);
        // What a process that is gone has left is replaced.
        drop(UnixListener::bind(&path).unwrap());
        drop(Socket::open(&path, Arc::new(answer), Arc::new(give)).unwrap());
        std::fs::write(&path, "no socket").unwrap();
        assert!(Socket::open(&path, Arc::new(answer), Arc::new(give)).is_err());
        std::fs::remove_file(&path).unwrap();
    }
}
