//! By which traffic rules are planned: profiles, learned behind the simulated device or read from files.

use crate::args::ProfileArguments;
use crate::commands::audit;
use crate::device::{self, Behind, Tables};
use crate::exit::{Failure, INPUT, OrExit};
use crate::pipeline::{self, Loaded, RunControl, Source, Tick};
use crate::progress;
use std::cell::RefCell;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use weir_contract::flow_key::Address;
use weir_management::Config;
use weir_output::summary::{group, percent};
use weir_output::{Cause, NullSink, RunTotals};
use weir_rules::plan::cost::Statistics;
use weir_rules::plan::{Options, candidates};
use weir_rules::profile::estimate::{Estimator, Expected};
use weir_rules::profile::learn::{Learner, Seen};
use weir_rules::profile::{Measured, Part, Profile, ProfileError, is_profile};
use weir_sim::{Judging, Watcher};

/// How rules are planned.
#[derive(Debug, Clone, Default)]
pub struct Planning {
    /// Traffic that rates are taken from; none: the built-in statistics.
    pub profile: Option<Arc<Profile>>,
    /// Per cent of the frames that may be expected at the host.
    pub most: Option<f64>,
}

/// Largest profile that is read.
const PROFILE_MAX: u64 = 64 << 20;

impl Planning {
    /// As the arguments say: profiles are read, captures learned from, with the rules as they are loaded.
    pub fn read(
        arguments: &ProfileArguments,
        loaded: &Loaded,
        config: &Config,
        quiet: bool,
    ) -> Result<Planning, Failure> {
        let Some(first) = arguments.profile.first() else { return Ok(Planning::default()) };
        let profile = match &arguments.profile[..] {
            [one] if starts_as_profile(one)? => decode(one)?,
            all => {
                if let Some(path) = all.iter().find(|path| starts_as_profile(path).unwrap_or(false)) {
                    return Err(Failure {
                        code: crate::exit::USAGE,
                        error: anyhow::anyhow!("{}: profiles cannot be added to other traffic", path.display()),
                        remedy: Some("name the profile alone, or the captures it was learned from".to_owned()),
                    });
                }
                let name = first.file_name().unwrap_or_default().to_string_lossy().into_owned();
                learn(loaded, config, &audit::captures(all)?, &name, quiet)?
            }
        };
        if let Some(path) = &arguments.save_profile {
            std::fs::write(path, profile.encode())
                .map_err(|error| anyhow::anyhow!("cannot write {}: {error}", path.display()))
                .or_internal()?;
        }
        Ok(Planning { profile: Some(Arc::new(profile)), most: None })
    }

    /// What the rules are planned by, for people.
    pub fn describe(&self) -> String {
        match &self.profile {
            None => "the built-in statistics".to_owned(),
            Some(profile) => {
                let head = &profile.head;
                format!("profile {} ({}, {} frames)", profile.digest, head.source, group(head.frames))
            }
        }
    }

    /// Answers questions about what a plan costs.
    pub fn estimator(&self) -> Estimator {
        let profile = self.profile.clone().unwrap_or_else(|| Arc::clone(Profile::built_in()));
        Estimator::new(profile, Statistics::new(self.profile.clone()))
    }

    /// The same of these tables, with the words that they load.
    pub fn estimator_of(&self, tables: &Tables) -> Estimator {
        self.estimator().with_words(tables.plan.words.rates)
    }

    /// What tables are expected to send to the host.
    pub fn expected(&self, tables: &Tables) -> Expected {
        self.estimator_of(tables).tables(&tables.image.tables, &tables.plan.sets)
    }
}

fn starts_as_profile(path: &Path) -> Result<bool, Failure> {
    if path.is_dir() {
        return Ok(false);
    }
    let mut start = [0; 8];
    let file = std::fs::File::open(path);
    let read = file.and_then(|mut file| std::io::Read::read(&mut file, &mut start));
    let read = read.map_err(|error| anyhow::anyhow!("cannot read {}: {error}", path.display())).or_input()?;
    Ok(is_profile(start.get(..read).unwrap_or_default()))
}

fn decode(path: &Path) -> Result<Profile, Failure> {
    let bytes = weir_rules::load::read_limited(path, PROFILE_MAX).or_input()?;
    Profile::decode(&bytes).map_err(|error: ProfileError| {
        let remedy = error.remedy();
        Failure {
            code: INPUT,
            error: anyhow::Error::new(error).context(path.display().to_string()),
            remedy: Some(remedy.to_owned()),
        }
    })
}

fn seen<'a>(judging: &Judging<'a>) -> Seen<'a> {
    Seen {
        facts: judging.facts,
        ends: judging.ends.map(|(a, b)| (ip(a), ip(b))),
        ports: judging.ports,
        guards: judging.guards,
        tail: judging.tail,
        payload: judging.payload,
        parameters: judging.parameters,
        length: u32::try_from(judging.length).unwrap_or(u32::MAX),
    }
}

fn ip(address: Address) -> IpAddr {
    match address {
        Address::V4(a) => a.into(),
        Address::V6(a) => a.into(),
    }
}

/// Runs captures behind the simulated device with tables of the built-in plan, and keeps what the device says of each frame.
pub fn learn(
    loaded: &Loaded,
    config: &Config,
    captures: &[PathBuf],
    name: &str,
    quiet: bool,
) -> Result<Profile, Failure> {
    let options = Options { everything: device::needs_everything(config), ..Options::default() };
    let windows = candidates(loaded.program.sources(), &options);
    tracing::info!("profile: {} windows are counted", windows.len());
    let tables = device::tables_with(loaded, &options)?;
    let behind = Watched { loaded, tables: &tables, config, captures, label: "profile", quiet };
    let mut sum = Sum::default();
    let (learner, read) = behind.run(
        Learner::new(windows),
        |learner, judging| learner.frame(&seen(judging)),
        |learner, totals| {
            learner.capture();
            sum.add(totals);
        },
    )?;
    let source = match captures {
        [_] => name.to_owned(),
        _ => format!("{name}, {read} captures"),
    };
    let mut profile = learner.finish(source, crate::bundle::now(), sum.measured());
    // What would have been expected of these tables, so that it can be corrected by what came.
    let shared = Arc::new(profile.clone());
    let statistics = Statistics::new(Some(Arc::clone(&shared)));
    let estimator = Estimator::new(shared, statistics).with_words(tables.plan.words.rates);
    profile.head.measured.expected = estimator.tables(&tables.image.tables, &tables.plan.sets).by_sample;
    profile.digest = Profile::decode(&profile.encode()).or_internal()?.digest;
    if !quiet {
        let (head, m) = (&profile.head, &profile.head.measured);
        eprintln!(
            "Profile {}: {} frames of {} captures; by the built-in statistics {} flagged, {} diverted, {} at the host",
            profile.digest,
            group(head.frames),
            group(head.captures),
            percent(m.flagged.frames),
            percent(m.diverted.frames),
            percent(m.host.frames)
        );
    }
    Ok(profile)
}

/// Captures that are run behind the simulated device, while something is told of every frame that it judges.
pub struct Watched<'a> {
    /// Rules.
    pub loaded: &'a Loaded,
    /// Their tables.
    pub tables: &'a Tables,
    /// Configuration.
    pub config: &'a Config,
    /// One after the other.
    pub captures: &'a [PathBuf],
    /// What it is for, beside the progress bar.
    pub label: &'static str,
    /// No progress bar.
    pub quiet: bool,
}

impl Watched<'_> {
    /// `frame` tells `state` of each frame, `capture` of each capture that was read. Gives it back, and how many were read: what
    /// cannot be is named and left out, unless it is all of them.
    pub fn run<S: 'static>(
        &self,
        state: S,
        frame: fn(&mut S, &Judging<'_>),
        mut capture: impl FnMut(&mut S, &RunTotals),
    ) -> Result<(S, usize), Failure> {
        let state = Rc::new(RefCell::new(state));
        let all = self.captures.len() as u64;
        let bar = if self.quiet { indicatif::ProgressBar::hidden() } else { progress::bytes(all, self.label) };
        let (mut read, mut first) = (0, None);
        for path in self.captures {
            bar.inc(1);
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let mut tick = |tick: Tick| bar.set_message(format!("{file}: {} packets", group(tick.frames)));
            let told = Rc::clone(&state);
            let watcher = Box::new(move |judging: &Judging<'_>| frame(&mut told.borrow_mut(), judging));
            match self.one(path, watcher, &mut tick) {
                Ok(totals) => {
                    read += 1;
                    capture(&mut state.borrow_mut(), &totals);
                }
                Err(failure) if failure.code == INPUT => {
                    bar.suspend(|| eprintln!("note: {}: left out: {}", path.display(), failure.error));
                    first.get_or_insert(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        bar.finish_and_clear();
        if let Some(failure) = first.filter(|_| read == 0) {
            return Err(failure);
        }
        let state = Rc::try_unwrap(state).map_err(|_| anyhow::anyhow!("the device is still watched")).or_internal()?;
        Ok((state.into_inner(), read))
    }

    fn one(&self, path: &Path, watcher: Watcher, tick: &mut dyn FnMut(Tick)) -> Result<RunTotals, Failure> {
        let open = || Source::open(path);
        let Watched { loaded, tables, config, .. } = *self;
        let validate = pipeline::validates_checksums(config, &open)?;
        let model = device::simulator(config);
        model.on_judge(Some(watcher));
        let stop = AtomicBool::new(false);
        let mut control = RunControl::new(&stop, tick);
        let totals = Behind { loaded, tables, config, validate }.run_on(&model, &mut open()?, &mut NullSink, &mut control);
        model.on_judge(None);
        totals
    }
}

/// What reached the host of all captures.
#[derive(Default)]
struct Sum {
    received: Cause,
    flagged: Cause,
    diverted: Cause,
    host: Cause,
}

impl Sum {
    fn add(&mut self, totals: &RunTotals) {
        let (device, host) = (&totals.device, &totals.host);
        self.received += Cause { packets: device.received_packets, bytes: device.received_bytes };
        self.diverted += Cause { packets: device.diverted_packets, bytes: device.diverted_bytes };
        self.host += Cause { packets: host.packets, bytes: host.bytes };
        for (_, amount) in host.by_cause.iter().filter(|(name, _)| is_flag(name)) {
            self.flagged += *amount;
        }
    }

    fn measured(&self) -> Measured {
        let part = |amount: &Cause| Part {
            frames: (amount.packets as f64 / self.received.packets.max(1) as f64).min(1.0),
            bytes: (amount.bytes as f64 / self.received.bytes.max(1) as f64).min(1.0),
        };
        Measured {
            flagged: part(&self.flagged),
            diverted: part(&self.diverted),
            host: part(&self.host),
            expected: Part::default(),
        }
    }
}

/// A cause of `stats.json` that is a record which held.
pub fn is_flag(cause: &str) -> bool {
    !matches!(cause, "sticky" | "history" | "handover")
}
