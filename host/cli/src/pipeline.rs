//! Rules, engine and source put together: what `run`, `audit`, scenarios and measurements share.

use crate::exchange::{Done, Exchanges, Going};
use crate::exit::{Failure, INTERNAL, OrExit};
use crate::live::{self, Live};
use crate::planning::Planning;
use crate::ruleset;
use crate::settings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use weir_capture::CaptureReader;
use weir_detect::{CompileError, CompileOptions, ConfigEntry, Program, RuleProfile};
use weir_engine::Engine;
use weir_management::{Checksums, Config};
use weir_output::{EventSink, RuleTotals, RunTotals};
use weir_packet::Frame;
use weir_rules::Ruleset;

/// Rules ready to run.
pub struct Loaded {
    /// For the engine.
    pub program: Arc<Program>,
    /// Counts.
    pub totals: RuleTotals,
    /// Rules that the engine refused, besides those the compiler did.
    pub refused: Vec<CompileError>,
    /// What the compiler said; its rules have moved into the program.
    pub ruleset: Ruleset,
    /// Seconds it took.
    pub seconds: f64,
    /// How they are planned.
    pub planning: Planning,
}

/// Loads rule files and compiles them for the engine.
pub fn load(paths: &[PathBuf], config: &Config) -> Result<Loaded, Failure> {
    let start = Instant::now();
    let set = ruleset::load_rules(paths, config, None)?;
    Ok(compile(set, config, start))
}

/// Compiles loaded rules for the engine.
pub fn compile(mut set: Ruleset, config: &Config, start: Instant) -> Loaded {
    let rules = std::mem::take(&mut set.rules);
    let options = CompileOptions { thresholds: thresholds(&set), limits: settings::limits(config), actions: settings::actions(config), firewall: settings::firewall(config) };
    let (program, refused) = Program::compile(rules, options);
    let mut rejected_by_cause: BTreeMap<String, u64> = ruleset::rejected_by_cause(&set);
    if !refused.is_empty() {
        rejected_by_cause.insert("engine".to_owned(), refused.len() as u64);
    }
    let totals = RuleTotals {
        total: set.total as u64,
        loaded: program.len() as u64,
        rejected: (set.rejected.len() + refused.len()) as u64,
        by_class: BTreeMap::new(),
        rejected_by_cause,
    };
    for error in &refused {
        tracing::info!("{error}");
    }
    Loaded { program: Arc::new(program), totals, refused, ruleset: set, seconds: start.elapsed().as_secs_f64(), planning: Planning::default() }
}

fn thresholds(set: &Ruleset) -> Vec<ConfigEntry> {
    let suppressions = set.suppressions.iter().map(|s| ConfigEntry::Suppress {
        gid: s.scope.gid,
        sid: s.scope.sid,
        addresses: s.addresses.as_ref().map(|(track, set)| (*track, (**set).clone())),
    });
    let thresholds = set.thresholds.iter().map(|t| match t.rate {
        None => ConfigEntry::Threshold { gid: t.scope.gid, sid: t.scope.sid, threshold: t.threshold },
        Some((action, timeout)) => ConfigEntry::RateFilter(weir_detect::shared::threshold::RateFilter {
            gid: t.scope.gid,
            sid: t.scope.sid,
            track: t.threshold.track,
            count: t.threshold.count,
            seconds: t.threshold.seconds,
            action,
            timeout,
        }),
    });
    suppressions.chain(thresholds).collect()
}

/// Frames that are looked at to decide about checksums.
const CHECKSUM_SAMPLE: usize = 1000;

/// A rule tags hosts: packets of theirs are told whatever their flow. (A flow that is tagged itself stays with the host of a
/// device; nothing else is needed for it.)
pub fn tags_hosts(loaded: &Loaded) -> bool {
    loaded.program.sources().iter().any(|rule| rule.tag.is_some_and(|tag| tag.who != weir_ir::TagWho::Session))
}

/// Whether to validate transport checksums of a capture. `auto` decodes its first frames.
pub fn validates_checksums(config: &Config, open: &dyn Fn() -> Result<Source, Failure>) -> Result<bool, Failure> {
    match config.capture.checksums {
        Checksums::Validate => return Ok(true),
        Checksums::Ignore => return Ok(false),
        Checksums::Auto => {}
    }
    let mut decoder = weir_packet::Decoder::new(settings::engine(config, true).decoder);
    let (mut packets, mut bad) = (0u64, 0u64);
    let mut source = open()?;
    for _ in 0..CHECKSUM_SAMPLE {
        let more = source.next(&mut |frame| {
            decoder.decode(frame, &mut |packet| {
                packets += 1;
                bad += u64::from(packet.checksum_bad);
            });
        })?;
        if !more {
            break;
        }
    }
    let validate = bad * 10 <= packets;
    tracing::info!(
        "{bad} of the first {packets} packets have a wrong checksum: checksums are {}",
        if validate { "validated" } else { "ignored" }
    );
    Ok(validate)
}

/// Where frames come from.
pub enum Source {
    /// A capture file.
    File(Box<CaptureReader>),
    /// Frames in memory.
    Memory(weir_synth::Capture, usize),
    /// Several capture files, one after the other; frames are numbered through.
    Files(Box<Files>),
    /// One source again and again, and no faster than wanted.
    Replay(Box<Replay>),
    /// Network interfaces.
    Live(Box<Live>),
    /// A device that has frames of its own.
    Attached(Box<crate::attached::Attached>),
}

/// A source that is played again and again.
pub struct Replay {
    open: Box<dyn Fn() -> Result<Source, Failure>>,
    source: Source,
    /// Passes to come; none: no end.
    left: Option<u64>,
    /// Frames and frame time, of passes before.
    frames: u64,
    offset: u64,
    /// First frame of the source, and the greatest so far.
    times: Option<(u64, u64)>,
    pace: Option<Pace>,
}

/// Frames a second.
pub(crate) struct Pace {
    rate: u64,
    begin: Instant,
    frames: u64,
}

/// Frame time between two passes: longer than any time-out.
const BETWEEN_PASSES: u64 = 3_600_000_000_000;

impl Replay {
    fn next(&mut self, take: &mut dyn FnMut(&Frame<'_>)) -> Result<bool, Failure> {
        if let Some(pace) = &mut self.pace {
            pace.wait();
        }
        loop {
            let (frames, offset) = (&mut self.frames, self.offset);
            let times = &mut self.times;
            let more = self.source.next(&mut |frame| {
                *frames += 1;
                let (_, last) = times.get_or_insert((frame.time.0, frame.time.0));
                *last = (*last).max(frame.time.0);
                let time = weir_packet::Time(frame.time.0.saturating_add(offset));
                take(&Frame { number: *frames, time, ..*frame });
            })?;
            if more {
                return Ok(true);
            }
            // An empty source stays empty.
            let (Some((first, last)), false) = (self.times, self.left == Some(0)) else { return Ok(false) };
            if let Some(left) = &mut self.left {
                *left -= 1;
            }
            self.offset = self.offset.saturating_add(last - first).saturating_add(BETWEEN_PASSES);
            self.source = (self.open)()?;
        }
    }
}

impl Pace {
    /// So many, from now on.
    pub(crate) fn new(rate: u64) -> Self {
        Pace { rate, begin: Instant::now(), frames: 0 }
    }

    /// How long before the next frame is due; none: it is, and counts as played.
    pub(crate) fn early(&mut self) -> Option<std::time::Duration> {
        let due = self.begin + std::time::Duration::from_secs_f64(self.frames as f64 / self.rate as f64);
        let now = Instant::now();
        match due.checked_duration_since(now) {
            // Short sleeps are longer than they say.
            Some(early) if early.as_micros() > 1000 => return Some(early),
            Some(_) => {}
            // What was missed is not made up for at once.
            None if now.duration_since(due).as_secs() >= 1 => (self.begin, self.frames) = (now, 0),
            None => {}
        }
        self.frames += 1;
        None
    }

    /// Until the next frame is due.
    fn wait(&mut self) {
        while let Some(early) = self.early() {
            std::thread::sleep(early);
        }
    }
}

/// Capture files that are read one after the other.
pub struct Files {
    reader: CaptureReader,
    rest: std::collections::VecDeque<PathBuf>,
    frames: u64,
    before: u64,
    /// Number of the first frame of each file behind the first.
    starts: Arc<Mutex<Vec<u64>>>,
}

impl Source {
    /// Opens a capture file.
    pub fn open(path: &Path) -> Result<Source, Failure> {
        CaptureReader::open(path).map(|reader| Source::File(Box::new(reader))).or_input()
    }

    /// Opens capture files that are read one after the other.
    pub fn open_all(paths: &[PathBuf]) -> Result<Source, Failure> {
        match paths {
            [one] => Source::open(one),
            [first, rest @ ..] => Ok(Source::Files(Box::new(Files {
                reader: CaptureReader::open(first).or_input()?,
                rest: rest.iter().cloned().collect(),
                frames: 0,
                before: 0,
                starts: Arc::default(),
            }))),
            [] => Ok(Source::memory(weir_synth::Capture::default())),
        }
    }

    /// Where each file behind the first begins, as far as they have been opened.
    pub fn starts(&self) -> Arc<Mutex<Vec<u64>>> {
        match self {
            Source::Files(files) => Arc::clone(&files.starts),
            _ => Arc::default(),
        }
    }

    /// Plays what `open` gives so many times (0: without end), an hour of frame time after each other, with at most so many
    /// frames a second.
    pub fn replay(
        open: Box<dyn Fn() -> Result<Source, Failure>>,
        passes: u64,
        rate: Option<u64>,
    ) -> Result<Source, Failure> {
        let source = open()?;
        let left = passes.checked_sub(1);
        let pace = rate.map(Pace::new);
        Ok(Source::Replay(Box::new(Replay { open, source, left, frames: 0, offset: 0, times: None, pace })))
    }

    /// Frames that were made.
    pub fn memory(capture: weir_synth::Capture) -> Source {
        Source::Memory(capture, 0)
    }

    /// Hands the next frame to `take`; false at the end. (Live, none may have come for a while: see `live_mut`.)
    pub fn next(&mut self, take: &mut dyn FnMut(&Frame<'_>)) -> Result<bool, Failure> {
        match self {
            Source::File(reader) => {
                let frame = reader.next_frame().or_input()?;
                Ok(frame.map(|frame| take(&frame)).is_some())
            }
            Source::Files(files) => loop {
                if let Some(frame) = files.reader.next_frame().or_input()? {
                    files.frames += 1;
                    take(&Frame { number: files.frames, ..frame });
                    return Ok(true);
                }
                let Some(next) = files.rest.pop_front() else { return Ok(false) };
                files.before += files.reader.position();
                files.reader = CaptureReader::open(&next).or_input()?;
                let mut starts = files.starts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                starts.push(files.frames + 1);
            },
            Source::Replay(replay) => replay.next(take),
            Source::Live(live) => live.next(take),
            Source::Attached(_) => Ok(false),
            Source::Memory(capture, at) => {
                let Some(frame) = capture.frames.get(*at) else { return Ok(false) };
                *at += 1;
                take(&Frame {
                    number: *at as u64,
                    time: weir_packet::Time(frame.time),
                    link: capture.link,
                    data: &frame.bytes,
                    wire_length: frame.wire_length,
                });
                Ok(true)
            }
        }
    }

    /// Network interfaces, if it is those.
    pub fn live_mut(&mut self) -> Option<&mut Live> {
        if let Source::Live(live) = self { Some(live) } else { None }
    }

    /// Whether to ask for the next frame: an interrupted run ends, but what has come by an interface is still taken.
    pub(crate) fn goes_on(&mut self, stop: &AtomicBool) -> bool {
        match (stop.load(Ordering::Relaxed), self.live_mut()) {
            (true, Some(live)) => {
                live.drain();
                true
            }
            (stopped, _) => !stopped,
        }
    }

    /// Bytes consumed, and in all.
    pub fn progress(&self) -> (u64, u64) {
        match self {
            Source::File(reader) => (reader.position(), reader.size().unwrap_or(0)),
            Source::Files(files) => (files.before + files.reader.position(), 0),
            Source::Replay(replay) => replay.source.progress(),
            Source::Live(live) => live.progress(),
            Source::Attached(_) => (0, 0),
            Source::Memory(capture, at) => (*at as u64, capture.frames.len() as u64),
        }
    }

    /// What was odd about it, for people.
    pub fn remarks(&mut self) -> Vec<String> {
        let reader = match self {
            Source::File(reader) => reader,
            Source::Replay(replay) => return replay.source.remarks(),
            Source::Live(live) => return live.remarks(),
            Source::Attached(attached) => return attached.remarks(),
            Source::Files(_) | Source::Memory(..) => return Vec::new(),
        };
        let end = reader
            .end()
            .filter(|end| **end != weir_capture::CaptureEnd::Complete)
            .map(|end| format!("the capture is {end}"));
        let odd = (reader.warning_count() > 0)
            .then(|| format!("the capture holds {} oddities (-v lists the first)", reader.warning_count()));
        for warning in reader.warnings() {
            tracing::info!("at byte {}: {}", warning.offset, warning.message);
        }
        end.into_iter().chain(odd).collect()
    }
}

/// Seen now and then during a run.
pub struct Tick {
    /// Bytes consumed, and in all.
    pub progress: (u64, u64),
    /// Frames so far.
    pub frames: u64,
    /// Alerts so far.
    pub alerts: u64,
}

/// What a run may be told and tells.
pub struct RunControl<'a> {
    /// Set to end the run after the current frame.
    pub stop: &'a AtomicBool,
    /// Called every few thousand frames.
    pub tick: &'a mut dyn FnMut(Tick),
    /// Where to put what rules cost; measured if there is a place for it.
    pub profile: Option<&'a mut RuleProfile>,
    /// Rules that take over during the run.
    pub exchanges: Option<&'a mut dyn Exchanges>,
}

impl<'a> RunControl<'a> {
    /// A run that is only watched.
    pub fn new(stop: &'a AtomicBool, tick: &'a mut dyn FnMut(Tick)) -> Self {
        RunControl { stop, tick, profile: None, exchanges: None }
    }
}

/// Frames between two looks at how a run is going.
pub(crate) const GOING_FRAMES: u64 = 256;

pub(crate) const TICK_FRAMES: u64 = 4096;

/// Inspects every frame with the full engine: `--device none`.
pub fn run_full(
    loaded: &Loaded,
    config: &Config,
    validate: bool,
    source: &mut Source,
    sink: &mut dyn EventSink,
    control: &mut RunControl<'_>,
) -> Result<RunTotals, Failure> {
    let start = Instant::now();
    let cpu = cpu_seconds();
    let wire = source.live_mut().and_then(|live| live.wire());
    let mut engine =
        Engine::new(settings::engine(config, validate), Arc::clone(&loaded.program)).ok_or_else(out_of_memory)?;
    if wire.is_some() {
        engine.set_inline();
    }
    if control.profile.is_some() {
        engine.profile_rules();
    }
    let mut last_time = 0;
    let mut frames = 0u64;
    let mut rules = loaded.totals.clone();
    let mut judge = None;
    if let Some(live) = source.live_mut() {
        live.announce("no device: the engine inspects every packet");
    }
    while source.goes_on(control.stop) {
        let more = source.next(&mut |frame| {
            // Time never runs backwards (reference semantics, section 1).
            last_time = last_time.max(frame.time.0);
            engine.frame(&Frame { time: weir_packet::Time(last_time), ..*frame }, sink);
            if let Some(wire) = &wire {
                live::carry_out(&mut engine, wire, frame, live::inline(config));
            }
        })?;
        if !more {
            break;
        }
        match source.live_mut().and_then(|live| live.idle()) {
            Some(now) => {
                last_time = last_time.max(now);
                engine.pass_time(last_time, sink);
            }
            None => frames += 1,
        }
        if let Some(exchanges) = control.exchanges.as_deref_mut() {
            if let Some(leaving) = exchanges.leaving() {
                leaving.refuse_local();
            }
            if let Some(due) = exchanges.due(frames) {
                let begin = Instant::now();
                let before = (engine.epoch(), engine.set_program(Arc::clone(&due.ready.loaded.program), due.epoch));
                rules = due.ready.loaded.totals.clone();
                exchanges.retired(before.0, before.1, judge.replace(due.ready));
                let (load, switch) = (std::time::Duration::ZERO, begin.elapsed());
                exchanges.done(Done { epoch: due.epoch, frames, load, switch, result: Ok(()) });
            }
            if frames.is_multiple_of(GOING_FRAMES) {
                exchanges.going(&|| Going {
                    frames,
                    time: last_time,
                    alerts: engine.counters().alerts,
                    epoch: engine.epoch(),
                    flows: engine.flows_by_epoch().to_vec(),
                });
            }
        }
        if frames.is_multiple_of(TICK_FRAMES) {
            (control.tick)(Tick { progress: source.progress(), frames, alerts: engine.counters().alerts });
        }
    }
    engine.finish(last_time, sink);
    if let Some(live) = source.live_mut() {
        live.check(0)?;
    }
    if let (Some(place), Some(profile)) = (&mut control.profile, engine.rule_profile()) {
        place.clone_from(profile);
    }
    let counters = engine.counters();
    (control.tick)(Tick { progress: source.progress(), frames, alerts: counters.alerts });
    let mut totals = RunTotals { rules, last_time, ..RunTotals::default() };
    totals.host.packets = counters.frames;
    totals.host.bytes = counters.bytes;
    totals.host.flows = counters.flows;
    totals.host.alerts = counters.alerts;
    totals.named = engine.statistics();
    totals.datasets = engine.saved_datasets();
    totals.host.cpu_seconds = cpu_seconds() - cpu;
    totals.host.limits = counters.limits().map(|(name, n)| (name.to_owned(), n)).collect();
    totals.seconds.load = loaded.seconds;
    totals.seconds.run = start.elapsed().as_secs_f64();
    totals.interfaces = source.live_mut().map(|live| live.totals()).unwrap_or_default();
    totals.compute_shares();
    Ok(totals)
}

pub(crate) fn out_of_memory() -> Failure {
    Failure { code: INTERNAL, error: anyhow::anyhow!("there is not enough memory for an engine"), remedy: None }
}

/// CPU time of the process so far, from /proc (0 where there is none).
pub fn cpu_seconds() -> f64 {
    // Fields 14 and 15 of proc(5) stat, behind the command name in parentheses; ticks of 1/100 s on Linux.
    let Ok(text) = std::fs::read_to_string("/proc/self/stat") else { return 0.0 };
    let Some((_, rest)) = text.rsplit_once(')') else { return 0.0 };
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}
