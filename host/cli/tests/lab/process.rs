//! A process whose output is kept, ended with the test at the latest.

use rustix::process::{Pid, Signal, kill_process};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long it may take to say something, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Process {
    child: Child,
    out: Arc<Mutex<String>>,
    said: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// Keeps what comes, as it comes.
fn keep(mut from: impl Read + Send + 'static, all: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let all = Arc::clone(all);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            all.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    })
}

impl Process {
    pub fn start(mut command: Command) -> Process {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, said) = <(Arc<Mutex<String>>, Arc<Mutex<String>>)>::default();
        let readers = vec![keep(child.stdout.take().unwrap(), &out), keep(child.stderr.take().unwrap(), &said)];
        Process { child, out, said, readers }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Standard output so far.
    pub fn out(&self) -> String {
        self.out.lock().unwrap().clone()
    }

    /// Standard error so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has said something, on either.
    pub fn until(&mut self, what: &str) {
        let begin = Instant::now();
        while !self.out().contains(what) && !self.said().contains(what) {
            assert!(self.child.try_wait().unwrap().is_none(), "ended before it said {what:?}: {}", self.said());
            assert!(begin.elapsed() < PATIENCE, "does not say {what:?}: {}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Exit code, once it has ended and all it said is here; none: by a signal.
    pub fn ended(&mut self) -> Option<i32> {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        };
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        status.code()
    }

    /// Ends it as an operator does.
    pub fn end(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.ended()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
