//! Bundles deployed to a running Weir.
//!
//! Place: between the control socket and the loop that runs frames. A request's own thread reads, checks, compiles and
//! proves; the loop is handed what is ready and exchanges it between two frames; a thread of its own frees what judges no
//! more. Invariants: one deployment at a time; whatever is refused leaves everything as it was; the loop never waits.

pub mod socket;

use crate::bundle::{self, Started};
use crate::dropped::{Asked, Questions};
use crate::exchange::{Done, Due, Exchanges, Going, Ready};
use crate::exit::{Failure, INPUT, OrExit};
use crate::handover::{Departure, Given, Leaving};
use crate::pipeline::Loaded;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};
use weir_bundle::{Attempt, Bundle, Capacity, History, PublicKey};
use weir_detect::Program;
use weir_management::Config;
use weir_management::control::{Answer, Command, Refusal};
use weir_verify::Host;

/// Bundles before the active one that can come back.
const EARLIER_MAX: usize = 4;
/// Longest that the loop may take to come to a frame.
const PATIENCE: Duration = Duration::from_secs(60);

/// A bundle that was activated.
#[derive(Clone)]
pub struct Kept {
    /// Its bytes.
    pub bytes: Arc<Vec<u8>>,
    /// Where they came from.
    pub file: PathBuf,
    /// What it says of itself.
    pub version: u64,
    /// Names it.
    pub digest: String,
    /// Rules.
    pub rules: u64,
}

/// Rules that are in memory.
struct Held {
    epoch: u32,
    version: Option<u64>,
    /// Bytes by which the process grew while they were made ready.
    grown: u64,
    image: u64,
}

struct State {
    active: Option<Kept>,
    epoch: u32,
    since: u64,
    earlier: Vec<Kept>,
    held: Vec<Held>,
    refused: Option<Attempt>,
}

/// What a deployment is checked against.
pub struct Terms {
    /// Key that bundles must be signed with; none: nothing can be deployed.
    pub key: Option<PublicKey>,
    /// File that notes what was accepted and refused.
    pub notes: PathBuf,
    /// Settings.
    pub config: Config,
    /// What the device holds; none where there is no device.
    pub capacity: Option<Capacity>,
    /// A device is in front.
    pub device: bool,
}

/// Work for the one thread that makes bundles ready: what a thread allocates comes from the same part of the heap every time, so
/// memory does not grow with every thread that ever compiled rules.
type Job = (Command, mpsc::SyncSender<Result<Value, Failure>>);

/// Bundles of a running Weir.
pub struct Deployment {
    terms: Terms,
    jobs: Mutex<mpsc::Sender<Job>>,
    state: Mutex<State>,
    going: Mutex<Going>,
    /// One at a time.
    turn: Mutex<()>,
    /// For the loop: something is due.
    due: AtomicBool,
    slot: Mutex<Option<Due>>,
    done: Mutex<Option<Done>>,
    told: Condvar,
    ended: AtomicBool,
    /// The run needs every frame.
    everything: AtomicBool,
    /// Packets behind an alert are written.
    tagged: AtomicBool,
    questions: Questions,
    departure: Departure,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Resident bytes of the process, from /proc (0 where there is none).
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

impl Deployment {
    /// Of a run that begins with these rules, from a bundle or not.
    pub fn new(terms: Terms, first: Option<Kept>, loaded: &Loaded, image: u64) -> Arc<Self> {
        let version = first.as_ref().map(|kept| kept.version);
        let held = Held { epoch: 1, version, grown: resident(), image };
        tracing::debug!("{} rules judge in epoch 1", loaded.totals.loaded);
        let (jobs, taken) = mpsc::channel::<Job>();
        let deployment = Arc::new(Deployment {
            terms,
            jobs: Mutex::new(jobs),
            state: Mutex::new(State {
                active: first,
                epoch: 1,
                since: bundle::now(),
                earlier: Vec::new(),
                held: vec![held],
                refused: None,
            }),
            going: Mutex::default(),
            turn: Mutex::new(()),
            due: AtomicBool::new(false),
            slot: Mutex::new(None),
            done: Mutex::new(None),
            told: Condvar::new(),
            ended: AtomicBool::new(false),
            everything: AtomicBool::new(false),
            tagged: AtomicBool::new(false),
            questions: Questions::default(),
            departure: Departure::default(),
        });
        let worker = Arc::downgrade(&deployment);
        let work = move || {
            for (command, reply) in taken {
                let Some(deployment) = worker.upgrade() else { break };
                let _ = reply.send(match command {
                    Command::Rollback {} => deployment.roll_back(),
                    Command::Deploy { bundle } => deployment.deploy(&bundle),
                    Command::Status {} | Command::History {} | Command::Flows {} | Command::UndoDrop { .. } | Command::HandOver { .. } => Ok(Value::Null),
                });
            }
        };
        let thread = std::thread::Builder::new().name("deploy".to_owned());
        if let Err(error) = thread.spawn(work) {
            tracing::error!("no bundle can be deployed: {error}");
        }
        deployment
    }

    /// Lets the worker do it.
    fn work(&self, command: Command) -> Result<Value, Failure> {
        let _turn = self.turn()?;
        let (reply, done) = mpsc::sync_channel(1);
        lock(&self.jobs).send((command, reply)).or_internal()?;
        done.recv().or_internal()?
    }

    /// The loop's end of it. Dropping it says that the run is over.
    pub fn exchanges(self: &Arc<Self>) -> Live {
        let (free, freed) = mpsc::channel::<Box<dyn Send>>();
        // Freeing a program of 40 000 rules takes tens of milliseconds.
        let thread = std::thread::Builder::new().name("free".to_owned());
        let _ = thread.spawn(move || freed.into_iter().for_each(drop));
        Live { deployment: Arc::clone(self), free }
    }

    /// Gives the device to another Weir, which has tables ready.
    pub fn hand_over_device(&self, image: Vec<u8>) -> Result<Given, Failure> {
        let _turn = self.turn()?;
        self.departure.ask(image)
    }

    /// Answers a request.
    pub fn answer(&self, command: Command) -> Answer {
        let done = match command {
            Command::Deploy { .. } | Command::Rollback {} => self.work(command),
            Command::Status {} => Ok(self.status()),
            Command::History {} => self.history(),
            Command::Flows {} => self.questions.flows(self.terms.device),
            // (The socket asks for it itself: the answer is more than a line.)
            Command::HandOver { .. } => Err(Failure { code: INPUT, error: anyhow::anyhow!("nothing follows the line"), remedy: None }),
            Command::UndoDrop { flow } => self.questions.undo(self.terms.device, flow),
        };
        match done {
            Ok(value) => Answer::Done(value),
            Err(failure) => refusal(failure),
        }
    }

    fn turn(&self) -> Result<MutexGuard<'_, ()>, Failure> {
        match self.turn.try_lock() {
            Ok(turn) => Ok(turn),
            Err(std::sync::TryLockError::Poisoned(turn)) => Ok(turn.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => Err(Failure {
                code: INPUT,
                error: anyhow::anyhow!("another deployment is under way"),
                remedy: Some("wait for it: `weir tables status` tells when it is through".to_owned()),
            }),
        }
    }

    fn deploy(&self, file: &Path) -> Result<Value, Failure> {
        let read = weir_rules::load::read_limited(file, weir_bundle::BUNDLE_MAX).or_input();
        let read = read.map_err(|failure| failure.remedy("name a file that the running Weir can read"));
        let result = read.and_then(|bytes| self.take_over(Arc::new(bytes), file, true));
        if let Err(failure) = &result {
            self.note_refusal("deploy", file, failure);
        }
        result
    }

    fn roll_back(&self) -> Result<Value, Failure> {
        let Some(before) = lock(&self.state).earlier.last().cloned() else {
            return Err(Failure {
                code: INPUT,
                error: anyhow::anyhow!("there is no bundle before the active one in this run"),
                remedy: Some("deploy the bundle that you want".to_owned()),
            });
        };
        let result = self.take_over(Arc::clone(&before.bytes), &before.file, false);
        if let Err(failure) = &result {
            self.note_refusal("rollback", &before.file, failure);
        }
        result
    }

    /// Checks a bundle, makes it ready, and hands it to the loop. `forward`: no older one than those before.
    fn take_over(&self, bytes: Arc<Vec<u8>>, file: &Path, forward: bool) -> Result<Value, Failure> {
        let refused = |error| bundle::refused(file, error);
        let Some(key) = &self.terms.key else {
            return Err(Failure {
                code: INPUT,
                error: anyhow::anyhow!("this Weir was started without a key: it takes no bundles"),
                remedy: Some("start it with --public-key".to_owned()),
            });
        };
        let begin = Instant::now();
        let frames_before = lock(&self.going).frames;
        let before = resident();
        let mut notes = History::read(&self.terms.notes).or_input()?;
        let opened = Bundle::open(&bytes, key).map_err(refused)?;
        opened.usable(bundle::now()).map_err(refused)?;
        if forward {
            notes.allows(&opened).map_err(refused)?;
        }
        if let Some(capacity) = &self.terms.capacity {
            opened.manifest.needs.fit(capacity).map_err(refused)?;
        }
        let Started { loaded, tables, everything, .. } = bundle::unpack(file, &opened, &self.terms.config)?;
        let tagged = || self.tagged.load(Ordering::Relaxed) && crate::pipeline::tags_hosts(&loaded);
        let needed = self.everything.load(Ordering::Relaxed) || tagged();
        if self.terms.device && needed && !everything {
            return Err(Failure {
                code: INPUT,
                error: anyhow::anyhow!(
                    "{}: this run logs or decides about frames that no rule asks for, and the bundle's tables do not send them",
                    file.display()
                ),
                remedy: Some("make the bundle with --everything".to_owned()),
            });
        }
        // What comes back was proven when it was deployed, or started from.
        if forward && self.terms.device && self.terms.config.control.proof {
            prove(file, &loaded, &tables)?;
        }
        let image = tables.image.bytes.len() as u64;
        let rules = loaded.totals.loaded;
        let ready = Arc::new(Ready::new(loaded, self.terms.device.then_some(tables)));
        let made = begin.elapsed();
        let epoch = lock(&self.state).epoch + 1;
        let grown = resident().saturating_sub(before);
        let version = opened.manifest.version;
        lock(&self.state).held.push(Held { epoch, version: Some(version), grown, image });
        let done = match self.hand_over(Due { epoch, ready }) {
            Ok(done) => done,
            Err(failure) => {
                lock(&self.state).held.retain(|held| held.epoch != epoch);
                return Err(failure);
            }
        };
        if forward {
            notes.accept(&opened, bundle::now());
        } else {
            notes.roll_back(version).map_err(refused)?;
        }
        let digest = opened.digest.clone();
        notes.attempt(Attempt {
            at: bundle::now(),
            what: if forward { "deploy" } else { "rollback" }.to_owned(),
            file: file.display().to_string(),
            version: Some(version),
            epoch: Some(epoch),
            refused: None,
        });
        // It judges already: that it cannot be noted is told, and undone by nobody.
        let noted = notes.write(&self.terms.notes);
        if let Err(error) = &noted {
            tracing::error!("{error}");
        }
        let mut state = lock(&self.state);
        let left = state.active.replace(Kept {
            bytes: Arc::clone(&bytes),
            file: file.to_owned(),
            version,
            digest: digest.clone(),
            rules,
        });
        if forward {
            state.earlier.extend(left);
            let excess = state.earlier.len().saturating_sub(EARLIER_MAX);
            state.earlier.drain(..excess);
        } else {
            state.earlier.pop();
        }
        (state.epoch, state.since) = (epoch, bundle::now());
        let milliseconds = |took: Duration| took.as_secs_f64() * 1e3;
        Ok(json!({
            "epoch": epoch,
            "version": version,
            "digest": digest,
            "rules": rules,
            "frames": done.frames,
            "frames_meanwhile": done.frames.saturating_sub(frames_before),
            "proven": forward && self.terms.device && self.terms.config.control.proof,
            "ready_ms": milliseconds(made),
            "load_ms": milliseconds(done.load),
            "switch_ms": milliseconds(done.switch),
            "noted": noted.map_err(|error| error.to_string()).err(),
        }))
    }

    /// Waits until the loop has exchanged what is due, or says why not.
    fn hand_over(&self, due: Due) -> Result<Done, Failure> {
        let over = || Failure {
            code: INPUT,
            error: anyhow::anyhow!("the run is over, or no frame has come for {} s", PATIENCE.as_secs()),
            remedy: Some("deploy while frames come".to_owned()),
        };
        *lock(&self.done) = None;
        *lock(&self.slot) = Some(due);
        self.due.store(true, Ordering::Release);
        let end = Instant::now() + PATIENCE;
        let mut done = lock(&self.done);
        loop {
            if let Some(mut done) = done.take() {
                return std::mem::replace(&mut done.result, Ok(())).map(|()| done);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.ended.load(Ordering::Acquire) {
                // The loop may have taken it just now: then its word counts.
                if lock(&self.slot).take().is_some() {
                    self.due.store(false, Ordering::Release);
                    return Err(over());
                }
                if self.ended.load(Ordering::Acquire) {
                    return Err(over());
                }
            }
            let wait = left.clamp(Duration::from_millis(1), Duration::from_millis(200));
            done = self.told.wait_timeout(done, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn note_refusal(&self, what: &str, file: &Path, failure: &Failure) {
        let attempt = Attempt {
            at: bundle::now(),
            what: what.to_owned(),
            file: file.display().to_string(),
            version: None,
            epoch: None,
            refused: Some(format!("{:#}", failure.error)),
        };
        lock(&self.state).refused = Some(attempt.clone());
        let noted = History::read(&self.terms.notes).and_then(|mut notes| {
            notes.attempt(attempt);
            notes.write(&self.terms.notes)
        });
        if let Err(error) = noted {
            tracing::error!("{error}");
        }
    }

    fn status(&self) -> Value {
        let going = lock(&self.going).clone();
        let state = lock(&self.state);
        let kept = |kept: &Kept| json!({ "version": kept.version, "digest": kept.digest, "file": kept.file.display().to_string(), "rules": kept.rules });
        let held = |held: &Held| {
            let flows = going.flows.iter().find(|(epoch, _)| *epoch == held.epoch).map_or(0, |(_, flows)| *flows);
            json!({ "epoch": held.epoch, "version": held.version, "flows": flows, "image_bytes": held.image, "grown_bytes": held.grown })
        };
        let live: u64 = going.flows.iter().map(|(_, flows)| flows).sum();
        let of_held: u64 = going
            .flows
            .iter()
            .filter(|(epoch, _)| state.held.iter().any(|held| held.epoch == *epoch))
            .map(|(_, flows)| flows)
            .sum();
        json!({
            "epoch": state.epoch,
            "judging": going.epoch,
            "since": state.since,
            "bundle": state.active.as_ref().map(kept),
            "earlier": state.earlier.iter().rev().map(kept).collect::<Vec<_>>(),
            "programs": state.held.iter().map(held).collect::<Vec<_>>(),
            "flows": live,
            "flows_of_freed_epochs": live - of_held,
            "frames": going.frames,
            "alerts": going.alerts,
            "resident_bytes": resident(),
            "last_refusal": state.refused,
        })
    }

    fn history(&self) -> Result<Value, Failure> {
        let notes = History::read(&self.terms.notes).or_input()?;
        serde_json::to_value(notes).or_internal()
    }
}

/// A failure, as it is told to whoever asked.
fn refusal(failure: Failure) -> Answer {
    let error = failure.to_string();
    let error = error.lines().take_while(|line| !line.starts_with("  = ")).collect::<Vec<_>>().join("\n");
    let error = error.strip_prefix("error: ").unwrap_or(&error).to_owned();
    Answer::Refused(Refusal { code: failure.code, error, remedy: failure.remedy })
}

/// The tables lead every frame to the host that one of the rules could match in.
fn prove(file: &Path, loaded: &Loaded, tables: &crate::device::Tables) -> Result<(), Failure> {
    let rules = loaded.program.sources();
    let patterns = loaded.program.stream_patterns().collect();
    let gates = Some(tables.plan.gates.iter().map(|gate| gate.to_string()).collect());
    let not = |why: String| Failure {
        code: INPUT,
        error: anyhow::anyhow!("{}: part `{}`: {why}", file.display(), bundle::TABLES),
        remedy: Some("make the bundle anew; `weir tables verify` says more".to_owned()),
    };
    let report =
        weir_verify::verify(rules, &Host { patterns, gates }, &tables.image.bytes).map_err(|e| not(e.to_string()))?;
    if report.is_good() {
        return Ok(());
    }
    let first = report.missing.first().map(|m| format!("; the first, {}: {}", m.place, m.cause)).unwrap_or_default();
    Err(not(format!(
        "not proven: {} of {} rules, {} faults of the image, {} of the certificate{first}",
        report.missing.len(),
        report.rules,
        report.faults.len(),
        report.certificate.len()
    )))
}

/// The loop's end of a deployment.
pub struct Live {
    deployment: Arc<Deployment>,
    free: mpsc::Sender<Box<dyn Send>>,
}

impl Live {
    /// What the run's records ask for beside the rules.
    pub fn set_needs(&self, everything: bool, tagged: bool) {
        self.deployment.everything.store(everything, Ordering::Relaxed);
        self.deployment.tagged.store(tagged, Ordering::Relaxed);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.deployment.ended.store(true, Ordering::Release);
        self.deployment.told.notify_all();
    }
}

impl Exchanges for Live {
    fn due(&mut self, _: u64) -> Option<Due> {
        if !self.deployment.due.load(Ordering::Acquire) {
            return None;
        }
        self.deployment.due.store(false, Ordering::Release);
        lock(&self.deployment.slot).take()
    }

    fn done(&mut self, done: Done) {
        *lock(&self.deployment.done) = Some(done);
        self.deployment.told.notify_all();
    }

    fn retired(&mut self, epoch: u32, program: Arc<Program>, ready: Option<Arc<Ready>>) {
        lock(&self.deployment.state).held.retain(|held| held.epoch != epoch);
        let _ = self.free.send(Box::new((program, ready)));
    }

    fn leaving(&mut self) -> Option<Leaving> {
        self.deployment.departure.take()
    }

    fn asked(&mut self) -> Option<Asked> {
        self.deployment.questions.take()
    }

    fn going(&mut self, going: &dyn Fn() -> Going) {
        // Whoever reads it now gets the one before.
        if let Ok(mut place) = self.deployment.going.try_lock() {
            *place = going();
        }
    }
}

/// The last attempts, newest first, for people.
pub fn attempts(history: &Value) -> VecDeque<(u64, String, String, String)> {
    let list = history.get("attempts").and_then(Value::as_array);
    let text = |entry: &Value, name: &str| match entry.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let mut out = VecDeque::new();
    for entry in list.into_iter().flatten() {
        let result = match entry.get("refused").and_then(Value::as_str) {
            Some(why) => format!("refused: {why}"),
            None => format!("version {}, epoch {}", text(entry, "version"), text(entry, "epoch")),
        };
        let at = entry.get("at").and_then(Value::as_u64).unwrap_or(0);
        out.push_front((at, text(entry, "what"), text(entry, "file"), result));
    }
    out
}
