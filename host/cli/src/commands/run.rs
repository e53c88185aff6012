//! `weir run`

use super::{configuration, profile};
use crate::args::{Device, RunArguments};
use crate::attached::DeviceName;
use crate::deployment::socket::Socket;
use crate::deployment::{Deployment, Kept, Live, Terms};
use crate::example;
use crate::live::{self, Live as Interfaces};
use crate::exchange::Exchanges;
use crate::exit::{Failure, OK, OrExit, USAGE};
use crate::out::{out, outln};
use crate::pipeline::{self, Loaded, RunControl, Source, Tick};
use crate::planning::Planning;
use crate::privileges::{self, Keep};
use crate::{bundle, device, progress, ruleset, settings};
use std::io::IsTerminal;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use weir_detect::RuleProfile;
use weir_bundle::Capacity;
use weir_management::{Checksums, Config};
use weir_output::summary::group;
use weir_rules::plan::Options;
use weir_output::{AlertCollector, EveOptions, EveWriter, EventSink, NullSink, OutputFile, ReferencePrefixes, RunTotals, Summary};

pub fn run(arguments: &RunArguments) -> Result<u8, Failure> {
    let config = configuration(&arguments.config)?;
    let planned = !arguments.profile.profile.is_empty() || arguments.max_host_share.is_some();
    if planned && (arguments.device == DeviceName::Local(Device::None) || arguments.bundle.is_some()) {
        return Err(Failure {
            code: USAGE,
            error: anyhow::anyhow!("--profile and --max-host-share are for rules that this run plans for a device"),
            remedy: Some("leave them out; a bundle is planned by `weir tables build --profile`".to_owned()),
        });
    }
    let user = privileges::user(arguments.user.as_deref(), &config)?;
    let socket = arguments.control.clone().or_else(|| config.control.socket.clone());
    // Opened once the path is free: with --replace when the one before has given its device away.
    let control = Rc::new(RefCell::new(None::<Control>));
    let attached = match (&socket, arguments.replace) {
        (_, false) => arguments.device.attach()?,
        (None, true) => {
            return Err(Failure {
                code: USAGE,
                error: anyhow::anyhow!("--replace asks the running Weir by its control socket, and none is named"),
                remedy: Some("name that which it was started with: --control SOCKET".to_owned()),
            });
        }
        (Some(socket), true) => {
            let control = Rc::clone(&control);
            let listen = move || {
                let opened = control.borrow_mut().as_mut().map_or(Ok(()), Control::open);
                if let Err(failure) = opened {
                    tracing::error!("nobody can ask this Weir: {failure}");
                }
            };
            Some(arguments.device.replace(socket.clone(), Box::new(listen))?)
        }
    };
    let interfaces = live::config(arguments, &config);
    let sources = [attached.is_some(), interfaces.is_some(), arguments.pcap.is_some() || arguments.example];
    if sources.iter().filter(|there| **there).count() != 1 {
        return Err(no_source(arguments));
    }
    // (What the device of the one before holds is checked when it loads the tables.)
    let held = attached.as_ref().filter(|_| !arguments.replace).map(|attached| bundle::capacity(attached.capabilities()));
    let (mut made, mut first) = (None, None);
    let loaded = match (&arguments.bundle, &arguments.public_key) {
        (Some(bundle), Some(key)) => {
            let (started, bytes) = start(arguments, bundle, key, held, &config)?;
            first = socket.is_some().then(|| Kept {
                bytes: bytes.into(),
                file: bundle.clone(),
                version: started.version,
                digest: started.digest,
                rules: started.loaded.totals.loaded,
            });
            made = Some((started.tables, started.everything));
            started.loaded
        }
        _ => {
            let mut loaded = load(arguments, &config)?;
            loaded.planning = Planning::read(&arguments.profile, &loaded, &config, arguments.quiet)?;
            loaded.planning.most = arguments.max_host_share;
            loaded
        }
    };
    let image = made.as_ref().map_or(0, |(tables, _)| tables.image.bytes.len() as u64);
    let made = made.as_ref().map(|(tables, everything)| (tables, *everything));
    let path = arguments.pcap.clone();
    let open = move || match &path {
        Some(path) => Source::open(path),
        None => Ok(example::traffic()),
    };
    let stands_between = attached.is_some() && config.device.inline;
    let links = interfaces.is_some() || stands_between;
    let inline = stands_between || interfaces.as_ref().is_some_and(|link| link.mode == weir_live::Mode::Inline);
    let (validate, mut source) = match (attached, interfaces) {
        // Its frames have not come yet: nothing says that their checksums are left to a card.
        (Some(attached), None) => (config.capture.checksums != Checksums::Ignore, Source::Attached(Box::new(attached))),
        // What senders left to their cards is completed.
        (None, Some(link)) => (config.capture.checksums != Checksums::Ignore, Source::Live(Box::new(Interfaces::open(link)?))),
        _ => {
            let validate = pipeline::validates_checksums(&config, &open)?;
            let source = match (arguments.passes, arguments.rate) {
                (1, None) => open()?,
                (passes, rate) => Source::replay(Box::new(open), passes, rate)?,
            };
            (validate, source)
        }
    };
    // (Before there are other threads: capabilities belong to threads.)
    let _offloads = match &mut source {
        Source::Live(live) => live.give_up(user.as_ref(), &config)?,
        Source::Attached(_) => {
            privileges::drop(user.as_ref(), Keep::Nothing, &config)?;
            None
        }
        _ => None,
    };
    let device = arguments.device.local();
    let stop = interruptible();
    let mut counts = AlertCollector::counting();
    let mut profile = arguments.profile_rules.then(RuleProfile::default);
    let place = profile.as_mut();
    let deployment = match &socket {
        Some(_) => Some(Deployment::new(terms(arguments, held, &config)?, first, &loaded, image)),
        None => None,
    };
    let mut live = deployment.as_ref().map(Deployment::exchanges);
    if let (Some(path), Some(deployment)) = (&socket, &deployment) {
        let mut ready = Control { path: path.clone(), deployment: Arc::clone(deployment), listening: None };
        if !arguments.replace {
            ready.open()?;
        }
        *control.borrow_mut() = Some(ready);
    }
    let (totals, eve) = {
        OutputFile::create_directory(&arguments.log_dir).or_internal()?;
        if config.output.eve {
            let file = OutputFile::create(&arguments.log_dir.join(&config.output.eve_file)).or_internal()?;
            // Frames of a link do not wait for a disk.
            let file = file.waits(!links);
            let options = settings::eve(&config, references(&loaded));
            // Where rules can be exchanged, alerts say whose they are.
            let options = EveOptions { epoch: socket.is_some(), inline: options.inline || inline, ..options };
            let mut eve = EveWriter::new(file, options);
            let mut sinks = (&mut eve, &mut counts);
            let totals = inspect_with(device, arguments.quiet, &loaded, &config, validate, &mut source, &mut sinks, &stop, place, made, live.as_mut())?;
            eve.stats(totals.last_time, &totals);
            (totals, eve.finish())
        } else {
            let mut sinks = (NullSink, &mut counts);
            (inspect_with(device, arguments.quiet, &loaded, &config, validate, &mut source, &mut sinks, &stop, place, made, live.as_mut())?, Ok(()))
        }
    };
    drop(live);
    drop(control.take());
    totals.write(&arguments.log_dir.join(&config.output.stats_file)).or_internal()?;
    let profile_file = arguments.log_dir.join(profile::FILE);
    if let Some(profile) = &profile {
        profile::write(profile, &loaded.program, &profile_file)?;
    }
    for remark in source.remarks() {
        eprintln!("note: {remark}");
    }
    if !arguments.quiet {
        let mut summary = Summary::new(&totals, &counts);
        summary.styled = std::io::stdout().is_terminal();
        out!("{summary}");
        if config.output.eve {
            outln!("Events: {}", arguments.log_dir.join(&config.output.eve_file).display());
        }
        if let Some(profile) = &profile {
            profile::print(profile, &loaded.program);
            outln!("What all rules cost: {}", profile_file.display());
        }
        if matches!(arguments.device, crate::attached::DeviceName::Local(Device::Sim)) {
            outln!("The NIC is simulated: a software model in this process, no hardware is involved.");
        }
        if stop.load(Ordering::Relaxed) {
            outln!("The run was interrupted; the numbers are those of the frames until then.");
        }
        if arguments.example {
            outln!("\n{}", example::NEXT);
        }
    }
    eve.or_internal()?;
    Ok(OK)
}

/// The control socket.
struct Control {
    path: PathBuf,
    deployment: Arc<Deployment>,
    listening: Option<Socket>,
}

impl Control {
    fn open(&mut self) -> Result<(), Failure> {
        let (answers, gives) = (Arc::clone(&self.deployment), Arc::clone(&self.deployment));
        let answer = Arc::new(move |command| answers.answer(command));
        self.listening = Some(Socket::open(&self.path, answer, Arc::new(move |image| gives.hand_over_device(image)))?);
        Ok(())
    }
}

/// Frames come from one place.
fn no_source(arguments: &RunArguments) -> Failure {
    let (error, remedy) = match &arguments.device {
        name if name.is_attached() => (
            format!("--device {name} has frames of its own, and --pcap, --tap, --inline or --example others"),
            "leave those out here; `weir sim serve` has --pcap and others for what comes into the device",
        ),
        _ => (
            "there is nothing to inspect".to_owned(),
            "name a capture (--pcap), interfaces (--tap, --inline, or live.tap, live.inline), or --example",
        ),
    };
    Failure { code: USAGE, error: anyhow::anyhow!(error), remedy: Some(remedy.to_owned()) }
}

/// Rules and tables of a bundle; it is noted as accepted once it can be used.
fn start(arguments: &RunArguments, path: &Path, key: &Path, held: Option<Capacity>, config: &Config) -> Result<(bundle::Started, Vec<u8>), Failure> {
    let public = weir_bundle::PublicKey::read(key).map_err(bundle::bad_key)?;
    let state = arguments.bundle_state.clone().unwrap_or_else(|| bundle::state_file(key));
    let history = weir_bundle::History::read(&state).or_input()?;
    let (begin, cpu) = (Instant::now(), pipeline::cpu_seconds());
    let capacity = capacity(arguments.device.local(), held, config)?;
    let (started, accepted, bytes) = bundle::start(path, &public, &history, capacity.as_ref(), config)?;
    accepted.write(&state).or_internal()?;
    let (wall, cpu) = (begin.elapsed().as_secs_f64(), pipeline::cpu_seconds() - cpu);
    tracing::info!("bundle version {}: ready in {wall:.2} s, {cpu:.2} s of a core", started.version);
    Ok((started, bytes))
}

/// What bundles that are deployed during the run are checked against.
fn terms(arguments: &RunArguments, held: Option<Capacity>, config: &Config) -> Result<Terms, Failure> {
    let key = arguments.public_key.as_deref().map(weir_bundle::PublicKey::read).transpose().map_err(bundle::bad_key)?;
    let of_key = || arguments.public_key.as_deref().map(bundle::state_file);
    let notes = arguments.bundle_state.clone().or_else(of_key).unwrap_or_default();
    let capacity = capacity(arguments.device.local(), held, config)?;
    let device = arguments.device.local() != Device::None;
    Ok(Terms { key, notes, config: config.clone(), capacity, device })
}

/// What the device holds (`held`: that of one that is attached); none without one.
fn capacity(device: Device, held: Option<Capacity>, config: &Config) -> Result<Option<Capacity>, Failure> {
    if held.is_some() {
        return Ok(held);
    }
    let capabilities = match device {
        Device::None => None,
        Device::Sim => Some(device::capabilities(device::simulator(config))?),
        #[cfg(feature = "rtl")]
        Device::Rtl => Some(device::capabilities(device::rtl()?)?),
        #[cfg(not(feature = "rtl"))]
        Device::Rtl => None,
    };
    Ok(capabilities.as_deref().map(bundle::capacity))
}

fn load(arguments: &RunArguments, config: &Config) -> Result<Loaded, Failure> {
    let start = Instant::now();
    let set = if arguments.example {
        ruleset::load_sources(&example::rules(), None, config)?
    } else {
        ruleset::load_rules(&ruleset::paths(&arguments.rules, config)?, config, None)?
    };
    for notice in set.warnings.iter().filter(|w| w.severity == weir_rules::Severity::Notice) {
        tracing::info!("{}", notice.message);
    }
    Ok(pipeline::compile(set, config, start))
}

#[allow(clippy::too_many_arguments)]
pub(crate) fn inspect(
    device: Device,
    quiet: bool,
    loaded: &Loaded,
    config: &Config,
    validate: bool,
    source: &mut Source,
    sink: &mut dyn EventSink,
    stop: &AtomicBool,
) -> Result<RunTotals, Failure> {
    inspect_with(device, quiet, loaded, config, validate, source, sink, stop, None, None, None)
}

/// [`inspect`], with a place for what rules cost.
#[allow(clippy::too_many_arguments)]
fn inspect_with(
    device: Device,
    quiet: bool,
    loaded: &Loaded,
    config: &Config,
    validate: bool,
    source: &mut Source,
    sink: &mut dyn EventSink,
    stop: &AtomicBool,
    profile: Option<&mut RuleProfile>,
    made: Option<(&device::Tables, bool)>,
    live: Option<&mut Live>,
) -> Result<RunTotals, Failure> {
    let bar = if quiet {
        indicatif::ProgressBar::hidden()
    } else if matches!(source, Source::Attached(_)) {
        progress::spinner("inspect")
    } else {
        progress::bytes(source.progress().1, "inspect")
    };
    let start = Instant::now();
    let mut tick = |tick: Tick| {
        bar.set_position(tick.progress.0);
        let rate = tick.frames as f64 / start.elapsed().as_secs_f64().max(1e-6);
        bar.set_message(format!(
            "{} packets, {} packets/s, {} alerts",
            group(tick.frames),
            group(rate as u64),
            group(tick.alerts)
        ));
    };
    if let Some(live) = &live {
        live.set_needs(wants_everything(loaded, config, sink), sink.wants_tagged());
    }
    let mut control = RunControl { profile, exchanges: live.map(|live| live as &mut dyn Exchanges), ..RunControl::new(stop, &mut tick) };
    let totals = match device {
        Device::None => pipeline::run_full(loaded, config, validate, source, sink, &mut control),
        Device::Sim | Device::Rtl => {
            let everything = wants_everything(loaded, config, sink);
            let fresh;
            let tables = match made {
                Some((_, false)) if everything => {
                    return Err(Failure {
                        code: USAGE,
                        error: anyhow::anyhow!("this run logs or decides about frames that no rule asks for, and the bundle's tables do not send them"),
                        remedy: Some("make the bundle with --everything, or turn off the logs of flows, transactions and frames".to_owned()),
                    });
                }
                Some((tables, _)) => tables,
                None => {
                    fresh = device::tables_with(loaded, &Options { everything, ..Options::default() })?;
                    super::cost::enforce(loaded.planning.most, loaded, &fresh, false)?;
                    &fresh
                }
            };
            device::Behind { loaded, tables, config, validate }.run_behind(device, source, sink, &mut control)
        }
    };
    bar.finish_and_clear();
    totals
}

/// A log that is on is a demand on the device, as a rule is: records of transactions, files, anomalies, flows and frames tell of
/// frames that no rule asks for, and so does a run that carries its decisions out.
fn wants_everything(loaded: &Loaded, config: &Config, sink: &dyn EventSink) -> bool {
    sink.wants_tagged() && pipeline::tags_hosts(loaded)
        || sink.wants_log()
        || sink.wants_anomalies()
        || sink.wants_flows()
        || sink.wants_frames()
        || device::needs_everything(config)
}

/// Prefixes of references: those of reference.config, for the systems that the rules use.
pub(crate) fn references(loaded: &Loaded) -> ReferencePrefixes {
    let mut prefixes = ReferencePrefixes::default();
    let used = loaded.program.sources().iter().flat_map(|rule| &rule.meta.references);
    for (system, _) in used {
        if let Some(prefix) = loaded.ruleset.references.get(system) {
            prefixes.insert(system, prefix);
        }
    }
    prefixes
}

/// Set by the first Ctrl-C; the second one ends the process.
pub(crate) fn interruptible() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let set = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    if let Err(error) = set {
        tracing::warn!("Ctrl-C will end the run without a summary: {error}");
    }
    stop
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_output::AlertRecord;
    use weir_rules::RuleSource;

    #[derive(Default)]
    struct Sink {
        tagged: bool,
        frames: bool,
    }

    impl EventSink for Sink {
        fn alert(&mut self, _: &AlertRecord<'_>) {}
        fn wants_tagged(&self) -> bool {
            self.tagged
        }
        fn wants_frames(&self) -> bool {
            self.frames
        }
    }

    /// Rule sets in the field have a few rules with `tag:session`.
    #[test]
    fn tags_of_hosts_ask_for_every_frame_where_they_are_written() {
        let wants = |rule, tagged| {
            let config = Config::default();
            let set = ruleset::load_sources(&[RuleSource::from_text("x.rules", rule)], None, &config).unwrap();
            assert!(set.rejected.is_empty());
            let loaded = pipeline::compile(set, &config, Instant::now());
            wants_everything(&loaded, &config, &Sink { tagged, ..Sink::default() })
        };
        let host = r#"alert tcp any any -> any any (content:"x"; tag:host,5,packets,src; sid:1;)"#;
        let session = r#"alert tcp any any -> any any (content:"x"; tag:session,5,packets; sid:1;)"#;
        let plain = r#"alert tcp any any -> any any (content:"x"; sid:1;)"#;
        assert!(wants(host, true) && !wants(host, false));
        assert!(!wants(session, true) && !wants(plain, true));
    }

    #[test]
    fn records_of_frames_ask_for_every_frame() {
        let config = Config::default();
        let set = ruleset::load_sources(&[], None, &config).unwrap();
        let loaded = pipeline::compile(set, &config, Instant::now());
        let wants = |frames| wants_everything(&loaded, &config, &Sink { frames, ..Sink::default() });
        assert!(wants(true) && !wants(false));
    }
}
