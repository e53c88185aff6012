//! Runs a target over many inputs and keeps what fails.
//!
//! An input fails when the target panics, takes longer than it may, or allocates more than it may. A watchdog ends the
//! process when an input does not come back at all. What kills the process (a stack overflow) is found by the parent
//! process of the command line, from the number that `before` was told.

use crate::minimise::minimise;
use crate::{Target, allocation, mutate};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, OnceLock};
use std::time::{Duration, Instant};

/// How a run goes.
#[derive(Debug, Clone)]
pub struct Options {
    /// Wall-clock time.
    pub time: Duration,
    /// Most inputs.
    pub cases: u64,
    /// Seed of the run.
    pub seed: u64,
    /// Number of the first input.
    pub first: u64,
    /// Times the target's own limit that an input may take (slow builds).
    pub patience: u32,
    /// Time for making a failing input smaller.
    pub minimise: Duration,
    /// Different failures after which a run ends.
    pub failures: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            time: Duration::from_secs(10),
            cases: u64::MAX,
            seed: 1,
            first: 0,
            patience: 1,
            minimise: Duration::from_secs(20),
            failures: 20,
        }
    }
}

/// How an input fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The target panicked: place, message.
    Panic(String, String),
    /// It took so long.
    Slow(Duration),
    /// It had so many bytes allocated at a time.
    Memory(usize),
}

impl Failure {
    /// Failures of one cause have one signature.
    pub fn signature(&self) -> String {
        match self {
            Failure::Panic(place, message) => {
                let letters: String = message.chars().filter(char::is_ascii_alphabetic).take(40).collect();
                format!("{place} {letters}")
            }
            Failure::Slow(_) => "slow".to_owned(),
            Failure::Memory(_) => "memory".to_owned(),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Panic(place, message) => write!(f, "panic at {place}: {message}"),
            Failure::Slow(time) => write!(f, "takes {:.2} s", time.as_secs_f64()),
            Failure::Memory(bytes) => write!(f, "allocates {} KiB at a time", bytes >> 10),
        }
    }
}

/// An input that fails, made small.
#[derive(Debug, Clone)]
pub struct Finding {
    /// How.
    pub failure: Failure,
    /// Number of the input in its run.
    pub case: u64,
    /// The input, minimised.
    pub input: Vec<u8>,
}

/// What a run did.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Inputs run.
    pub cases: u64,
    /// Time taken.
    pub time: Duration,
    /// What failed; each cause once.
    pub findings: Vec<Finding>,
    /// Slowest input.
    pub slowest: Duration,
    /// Most bytes allocated by an input.
    pub memory: usize,
    /// Bytes that stayed allocated over the run, its first thousand inputs not counted (caches fill up).
    pub grown: usize,
}

thread_local! {
    static PANIC: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
    static QUIET: RefCell<bool> = const { RefCell::new(false) };
}

/// Panics of targets are kept for the report instead of printed.
fn catch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.with(|quiet| *quiet.borrow()) {
                return before(info);
            }
            let place = info.location().map_or_else(String::new, |l| format!("{}:{}", l.file(), l.line()));
            let message = info
                .payload()
                .downcast_ref::<&str>()
                .map(|s| (*s).to_owned())
                .or_else(|| info.payload().downcast_ref::<String>().cloned())
                .unwrap_or_default();
            PANIC.with(|panic| *panic.borrow_mut() = Some((place, message)));
        }));
    });
}

/// Longer than this, and the process ends.
const HANG: Duration = Duration::from_secs(60);

/// What the watchdog looks at: milliseconds since the process began at which the input began, 0 between inputs.
static BEGAN: AtomicU64 = AtomicU64::new(0);
static RUNNING: Mutex<(&str, Vec<u8>)> = Mutex::new(("", Vec::new()));

fn clock() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1
}

fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::thread::spawn(|| {
            loop {
                std::thread::sleep(Duration::from_millis(500));
                let began = BEGAN.load(Ordering::Relaxed);
                if began == 0 || clock().saturating_sub(began) < HANG.as_millis() as u64 {
                    continue;
                }
                let running = RUNNING.lock().map(|r| r.clone()).unwrap_or_default();
                let path = std::env::temp_dir().join(format!("weir-fuzz-hang-{}", running.0));
                let written = std::fs::write(&path, &running.1);
                eprintln!("{}: an input does not come back; it is in {} ({written:?})", running.0, path.display());
                std::process::exit(HANG_CODE);
            }
        });
    });
}

/// Exit code of a process that the watchdog ended.
pub const HANG_CODE: i32 = 86;

/// Run one input; gives how it fails, the time it took and the bytes it allocated.
pub fn check(target: &Target, input: &[u8], patience: u32) -> (Option<Failure>, Duration, usize) {
    catch_panics();
    watch();
    if let Ok(mut running) = RUNNING.lock() {
        running.0 = target.name;
        running.1.clear();
        running.1.extend_from_slice(input);
    }
    let base = allocation::current();
    allocation::reset_peak();
    BEGAN.store(clock(), Ordering::Relaxed);
    QUIET.with(|quiet| *quiet.borrow_mut() = true);
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let time = start.elapsed();
    QUIET.with(|quiet| *quiet.borrow_mut() = false);
    BEGAN.store(0, Ordering::Relaxed);
    let memory = allocation::peak().saturating_sub(base);
    let failure = if result.is_err() {
        let (place, message) = PANIC.with(|panic| panic.borrow_mut().take()).unwrap_or_default();
        Some(Failure::Panic(place, message))
    } else if time > target.slow * patience {
        Some(Failure::Slow(time))
    } else if memory > target.memory {
        Some(Failure::Memory(memory))
    } else {
        None
    };
    (failure, time, memory)
}

/// Like [`check`]; a failure that depends on the machine's load, or on what was allocated once and for all, must repeat.
fn check_twice(target: &Target, input: &[u8], patience: u32) -> (Option<Failure>, Duration, usize) {
    match check(target, input, patience) {
        (Some(Failure::Slow(_) | Failure::Memory(_)), ..) => check(target, input, patience),
        other => other,
    }
}

/// Inputs after which what stays allocated is growth.
const WARM: u64 = 1000;

/// Run a target. `before` is told the number of each input before it runs; `progress` the outcome so far, each second.
pub fn run(
    target: &Target,
    seeds: &[Vec<u8>],
    options: &Options,
    before: &mut dyn FnMut(u64),
    progress: &mut dyn FnMut(&Outcome),
) -> Outcome {
    let start = Instant::now();
    let mut outcome = Outcome::default();
    let mut known = BTreeSet::new();
    let mut told = start;
    let mut warm = None;
    let mut n = options.first;
    while outcome.cases < options.cases && start.elapsed() < options.time && known.len() < options.failures {
        before(n);
        let input = mutate::input(target, seeds, options.seed, n);
        let (failure, time, memory) = check_twice(target, &input, options.patience);
        outcome.cases += 1;
        outcome.slowest = outcome.slowest.max(time);
        outcome.memory = outcome.memory.max(memory);
        if let Some(failure) = failure {
            let signature = failure.signature();
            if known.insert(signature.clone()) {
                let input = minimise(target, &input, options.minimise, &mut |bytes| {
                    check(target, bytes, options.patience).0.is_some_and(|f| f.signature() == signature)
                });
                let failure = check(target, &input, options.patience).0.unwrap_or(failure);
                outcome.findings.push(Finding { failure, case: n, input });
            }
        }
        n += 1;
        if outcome.cases == WARM {
            warm = Some(allocation::current());
        }
        if told.elapsed() > Duration::from_secs(1) {
            told = Instant::now();
            outcome.time = start.elapsed();
            progress(&outcome);
        }
    }
    outcome.time = start.elapsed();
    outcome.grown = warm.map_or(0, |warm| allocation::current().saturating_sub(warm));
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick() -> Options {
        Options { cases: 5000, time: Duration::from_secs(20), minimise: Duration::from_secs(2), ..Options::default() }
    }

    #[test]
    fn a_panic_is_found_and_made_small() {
        let run_it = |bytes: &[u8]| assert!(!bytes.windows(2).any(|w| w == [0xff, 0xff]), "two of them in {bytes:?}");
        let target = Target::new("t", "", run_it, || vec![b"some seed of twenty bytes".to_vec()]);
        let outcome = run(&target, &(target.seeds)(), &quick(), &mut |_| {}, &mut |_| {});
        assert_eq!(outcome.findings.len(), 1);
        assert_eq!(outcome.findings[0].input, [0xff, 0xff]);
        assert!(matches!(&outcome.findings[0].failure, Failure::Panic(place, _) if place.contains("runner.rs")));
    }

    #[test]
    fn a_slow_input_is_found() {
        let run_it = |bytes: &[u8]| {
            if bytes.first() == Some(&0) {
                std::thread::sleep(Duration::from_millis(30));
            }
        };
        let mut target = Target::new("t", "", run_it, || vec![b"x".to_vec()]);
        target.slow = Duration::from_millis(20);
        let outcome = run(&target, &(target.seeds)(), &quick(), &mut |_| {}, &mut |_| {});
        assert!(matches!(outcome.findings.first().map(|f| &f.failure), Some(Failure::Slow(_))));
        assert_eq!(outcome.findings[0].input, [0]);
    }
}
