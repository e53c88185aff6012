//! Devices that have frames of their own: a simulated NIC that another process serves, or a PCI function behind VFIO.
//!
//! Place: beside `device`, which steps a model in this process frame by frame. Here frames come when they come: the run
//! takes what is in the rings, sleeps until a vector is raised, and ends when the device says that its source is over (a
//! wire never is) or when it is interrupted.

use crate::args::Device;
use crate::device::{Behind, TX_BYTES, Times, driver_config, overload};
use crate::epochs::Epochs;
use crate::exit::{Failure, INTERNAL, OrExit, USAGE, accounted};
use crate::handover::{self, Gone, Leaving};
use crate::pipeline::{RunControl, Tick, cpu_seconds};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use weir_contract::counters::Counter;
use weir_contract::enums::{CapabilityType, DeviceKind};
use weir_contract::guards::Guard;
use weir_device::driver::{DeviceInfo, imbalances};
use weir_device::{DeviceError, Driver, DriverConfig, PciFunction};
use weir_engine::DeviceRuntime;
use weir_device_vfio::VfioFunction;
use weir_output::{EventSink, RunTotals};
use weir_vfio_user::UserFunction;

/// Longest sleep: how late an interrupt or a device that has gone is noticed.
const SLEEP: Duration = Duration::from_millis(20);
/// Between two looks at how the run is going.
const LOOK: Duration = Duration::from_millis(100);
/// Frame time without a sign of the host until frames meet the fail mode, where they wait for it and nothing else is set.
const WATCHDOG: u64 = 1_000_000_000;
/// Longest that a device may take to end its flows.
const ENDING: Duration = Duration::from_secs(30);

/// What `--device` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceName {
    /// A device of this process, or none.
    Local(Device),
    /// Behind the socket of a vfio-user server.
    User(PathBuf),
    /// At a PCI address.
    Pci(String),
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("vfio-user", socket)) if !socket.is_empty() => Ok(DeviceName::User(socket.into())),
            Some(("vfio", address)) if !address.is_empty() => Ok(DeviceName::Pci(address.to_owned())),
            _ => <Device as clap::ValueEnum>::from_str(text, false).map(DeviceName::Local).map_err(|_| {
                "possible are sim, rtl, none, vfio-user:SOCKET and vfio:ADDRESS (`weir device list` shows addresses)".to_owned()
            }),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceName::Local(Device::Sim) => f.write_str("sim"),
            DeviceName::Local(Device::Rtl) => f.write_str("rtl"),
            DeviceName::Local(Device::None) => f.write_str("none"),
            DeviceName::User(socket) => write!(f, "vfio-user:{}", socket.display()),
            DeviceName::Pci(address) => write!(f, "vfio:{address}"),
        }
    }
}

impl DeviceName {
    /// It has frames of its own.
    pub fn is_attached(&self) -> bool {
        !matches!(self, DeviceName::Local(_))
    }

    /// The device of this process; for one that is attached, that which stands for all behind the same contract.
    pub fn local(&self) -> Device {
        match self {
            DeviceName::Local(device) => *device,
            DeviceName::User(_) | DeviceName::Pci(_) => Device::Sim,
        }
    }

    /// The function, if it is one that is attached.
    pub fn open(&self) -> Result<Option<Box<dyn PciFunction>>, Failure> {
        Ok(match self {
            DeviceName::Local(_) => None,
            DeviceName::User(socket) => Some(Box::new(UserFunction::open(socket).or_input()?)),
            DeviceName::Pci(address) => Some(Box::new(VfioFunction::open(address).or_input()?)),
        })
    }

    /// Opens it, if it is one that is attached, and asks what it is.
    pub fn attach(&self) -> Result<Option<Attached>, Failure> {
        let Some(function) = self.open()? else { return Ok(None) };
        let mut driver = Driver::attach(function).or_input()?;
        let info = driver.info().or_input()?;
        Ok(Some(Attached { name: self.to_string(), driver: Some(driver), info: Some(info), last: None, faults: 0, replaces: None, silent: None }))
    }

    /// One that will be taken over from the Weir that listens at this control socket, once tables are ready; `then`: what can
    /// be done only after that.
    pub fn replace(&self, control: PathBuf, then: Box<dyn FnOnce()>) -> Result<Attached, Failure> {
        if !matches!(self, DeviceName::User(_)) {
            return Err(Failure {
                code: USAGE,
                error: anyhow::anyhow!("--replace takes over a device of another process, and --device {self} is none"),
                remedy: Some("name that of the running Weir: --device vfio-user:SOCKET".to_owned()),
            });
        }
        let replaces = Some(Replaces { control, then });
        Ok(Attached { name: self.to_string(), driver: None, info: None, last: None, faults: 0, replaces, silent: None })
    }
}

/// What a device is, for people.
pub fn what(name: &str, kind: Option<DeviceKind>) -> String {
    match kind {
        Some(DeviceKind::Model) => format!("{name} is a simulated NIC: a bit-exact software model, no hardware is involved"),
        Some(DeviceKind::Rtl) => format!("{name} is the RTL in a simulator: no hardware is involved"),
        Some(DeviceKind::Card) => format!("{name} is a card"),
        None => format!("{name} is of a kind that this driver does not know"),
    }
}

/// Counters and guard counters of one moment.
pub type Snapshot = (Vec<(Counter, u64)>, Vec<u64>);

/// What a device had counted when a run let it go, and number and time of its last frame.
type Left = (Snapshot, (u64, u64));

/// The Weir before, and what can be done only once the device is ours.
struct Replaces {
    control: PathBuf,
    then: Box<dyn FnOnce()>,
}

/// A driver that has been made ready to run.
struct Opened {
    driver: Driver<Box<dyn PciFunction>>,
    /// What the device calls the tables.
    epoch: u32,
    /// What it had counted before.
    before: Snapshot,
    /// Since when it has been without a host, ns since the epoch; taken over from one that gave it away.
    since: Option<u64>,
}

/// A device that is attached.
pub struct Attached {
    name: String,
    driver: Option<Driver<Box<dyn PciFunction>>>,
    info: Option<DeviceInfo>,
    last: Option<Snapshot>,
    faults: u64,
    replaces: Option<Replaces>,
    /// How long the device was without a host when it was taken over.
    silent: Option<Duration>,
}

impl Attached {
    /// What it holds.
    pub fn capabilities(&self) -> &[(CapabilityType, u64, u64)] {
        self.info.as_ref().map_or(&[], |info| &info.capabilities)
    }

    /// What kind it says it is.
    pub fn kind(&self) -> Option<DeviceKind> {
        self.info.as_ref().and_then(|info| info.kind)
    }

    /// What it counted until the end of the run.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.last.as_ref()
    }

    /// Reads what it has counted until now, and leaves it as it is.
    pub fn read(&mut self) -> Result<Snapshot, Failure> {
        let in_use = || Failure { code: INTERNAL, error: anyhow::anyhow!("{} is in use", self.name), remedy: None };
        let driver = self.driver.as_mut().ok_or_else(in_use)?;
        Ok((driver.counters().or_internal()?, driver.guard_counters().or_internal()?))
    }

    /// What it is, for people.
    pub fn what(&self) -> String {
        what(&self.name, self.kind())
    }

    /// Takes a device that a host before has left, or gives away.
    fn open(&mut self, behind: &Behind<'_>, settings: &DriverConfig) -> Result<Opened, Failure> {
        let image = &*behind.tables.image.bytes;
        let inline = behind.config.device.inline;
        if let Some(Replaces { control, then }) = self.replaces.take() {
            let taken = handover::take(&control, image)?;
            let function = UserFunction::adopt(taken.device, taken.addresses, &self.name).or_input()?;
            let (mut driver, _) = Driver::resume(Box::new(function) as Box<dyn PciFunction>).or_input()?;
            driver.set_up(settings).or_usage()?;
            driver.activate(taken.epoch).or_internal()?;
            then();
            return Ok(Opened { driver, epoch: taken.epoch, before: taken.counted, since: Some(taken.since) });
        }
        let Some(driver) = self.driver.take() else {
            return Err(Failure { code: INTERNAL, error: anyhow::anyhow!("{} is in use", self.name), remedy: None });
        };
        // A wire was there before this host; what a capture did before is nothing to this run.
        let mut driver = match inline {
            true => {
                let (driver, kept) = driver.take_over().or_input()?;
                tracing::info!("{}: {}", self.name, if kept { "taken over, with what the host before had blocked" } else { "reset" });
                driver
            }
            false => driver.restart().or_input()?,
        };
        let before = (driver.counters().or_internal()?, driver.guard_counters().or_internal()?);
        driver.set_up(settings).or_usage()?;
        let epoch = driver.load_tables(image).or_input()?;
        driver.activate(epoch).or_internal()?;
        Ok(Opened { driver, epoch, before, since: None })
    }

    /// For the end of a run.
    pub fn remarks(&self) -> Vec<String> {
        let faults = (self.faults > 0).then(|| format!("the device reported {} errors (-v lists them)", self.faults));
        let silent = self.silent.map(|silent| {
            format!("taken over from the Weir before: the device was without a host for {:.1} ms", silent.as_secs_f64() * 1e3)
        });
        std::iter::once(self.what()).chain(silent).chain(faults).collect()
    }

    /// Gives the device to another Weir: its tables are loaded while this one judges; then what is in flight is answered, and the
    /// device is the other's. None where it was refused. Gives what the device had counted until this one let it go, and its last frame.
    fn give(
        &mut self,
        leaving: Leaving,
        runtime: &mut DeviceRuntime<Box<dyn PciFunction>>,
        sink: &mut dyn EventSink,
    ) -> Result<Option<(Gone, Left)>, Failure> {
        let Some((epoch, leaving)) = leaving.load(runtime.driver()) else { return Ok(None) };
        runtime.poll(sink).or_internal()?;
        self.faults += report(runtime.driver())?;
        // (Reading takes longer than all the rest. What is counted from here on is the other's.)
        let counted = (runtime.driver().counters().or_internal()?, runtime.driver().guard_counters().or_internal()?);
        let at = runtime.driver().frame().or_internal()?;
        runtime.poll(sink).or_internal()?;
        let since = handover::now();
        runtime.driver().disable().or_internal()?;
        runtime.poll(sink).or_internal()?;
        let gone = leaving.give(runtime.driver(), epoch, &counted, since).or_internal()?;
        Ok(Some((gone, (counted, at))))
    }

    /// The end of a run that keeps its device: what that has counted, and its last frame.
    fn stop(
        &mut self,
        runtime: &mut DeviceRuntime<Box<dyn PciFunction>>,
        epochs: &mut Epochs<'_>,
        sink: &mut dyn EventSink,
        ended: bool,
    ) -> Result<Left, Failure> {
        if !ended {
            runtime.driver().disable().or_internal()?;
        }
        runtime.poll(sink).or_internal()?;
        epochs.settle(runtime);
        let frame = runtime.driver().frame().or_internal()?;
        runtime.finish(frame.1, sink).or_internal()?;
        if ended {
            // Entries end and are reported.
            runtime.driver().flush().or_internal()?;
            let begin = Instant::now();
            while runtime.driver().is_flushing().or_internal()? {
                runtime.poll(sink).or_internal()?;
                if begin.elapsed() > ENDING {
                    return Err(DeviceError::Timeout { what: "CONTROL.FLUSH does not clear" }).or_internal();
                }
            }
        }
        runtime.poll(sink).or_internal()?;
        self.faults += report(runtime.driver())?;
        let counted = (runtime.driver().counters().or_internal()?, runtime.driver().guard_counters().or_internal()?);
        Ok((counted, frame))
    }

    /// Inspects what comes until the source ends or the run is interrupted. Frames that are not accounted for are an error.
    pub fn run(
        &mut self,
        behind: &Behind<'_>,
        sink: &mut dyn EventSink,
        control: &mut RunControl<'_>,
    ) -> Result<RunTotals, Failure> {
        let start = Instant::now();
        let mut settings = driver_config(behind.config, behind.validate);
        let inline = behind.config.device.inline;
        // A capture that is played can wait for the host, a wire cannot.
        settings.source_waits = self.kind() != Some(DeviceKind::Card) && !inline;
        settings.tx_bytes = if inline { TX_BYTES } else { 0 };
        if inline && (settings.watchdog_frames, settings.watchdog_time) == (0, 0) {
            settings.watchdog_time = WATCHDOG;
        }
        // What takes time is done while the device may still have another host.
        let prepared = behind.prepare(control.profile.is_some(), inline)?;
        let Opened { mut driver, epoch, before, since } = self.open(behind, &settings)?;
        driver.interrupt_after(1).or_internal()?;
        driver.enable(inline).or_internal()?;
        self.silent = since.map(|since| Duration::from_nanos(handover::now().saturating_sub(since)));
        if let Some(silent) = self.silent {
            tracing::info!("{}: without a host for {silent:?}", self.name);
            self.info = Some(driver.info().or_internal()?);
        }
        let load = start.elapsed().as_secs_f64();
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let mut runtime = behind.join(prepared, driver, epoch, settings.vlan_key);
        if !settings.source_waits {
            runtime.set_overload(overload(behind.config));
        }
        let mut epochs = Epochs::new(behind.loaded, behind.tables);
        if inline {
            eprintln!("Weir is inline; {}.", self.what());
        }
        let mut frame = (0, 0);
        let mut looked = Instant::now();
        let mut ended = false;
        let mut given = None;
        while !ended && given.is_none() && !control.stop.load(Ordering::Relaxed) {
            let raised = runtime.driver().wait(SLEEP).or_internal()?;
            runtime.poll(sink).or_internal()?;
            if !raised {
                ended = runtime.driver().source_ended().or_internal()?;
            }
            let look = looked.elapsed() >= LOOK;
            if look {
                looked = Instant::now();
                frame = runtime.driver().frame().or_internal()?;
                runtime.driver().is_at_work().or_internal()?;
                self.faults += report(runtime.driver())?;
                let alerts = runtime.engine().counters().alerts;
                (control.tick)(Tick { progress: (0, 0), frames: frame.0, alerts });
                runtime.expire_drops(frame.1).or_internal()?;
            }
            if let Some(exchanges) = control.exchanges.as_deref_mut() {
                epochs.step(&mut runtime, sink, exchanges, frame, look)?;
                if let Some(leaving) = exchanges.leaving() {
                    given = self.give(leaving, &mut runtime, sink)?;
                }
                if let Some(asked) = exchanges.asked() {
                    asked.answer(&mut runtime, frame.1);
                }
            }
        }
        let stopped = match given {
            Some((gone, left)) => {
                epochs.settle(&mut runtime);
                runtime.engine_mut().finish(left.1.1, sink);
                gone.wait();
                eprintln!("note: another Weir has taken {} over", self.name);
                left
            }
            None => self.stop(&mut runtime, &mut epochs, sink, ended)?,
        };
        let ((counters, guards), (frames, last)) = stopped;
        let run = start.elapsed().as_secs_f64();
        if let (Some(place), Some(profile)) = (&mut control.profile, runtime.engine().rule_profile()) {
            place.clone_from(profile);
        }
        (control.tick)(Tick { progress: (0, 0), frames, alerts: runtime.engine().counters().alerts });
        let broken = imbalances(&counters);
        let of = |all: &[(Counter, u64)], counter: Counter| all.iter().find(|(known, _)| *known == counter).map_or(0, |(_, n)| *n);
        let of_guard = |all: &[u64], guard: Guard| all.get(guard as usize).copied().unwrap_or(0);
        let value = |counter: Counter| of(&counters, counter).saturating_sub(of(&before.0, counter));
        let guard = |guard: Guard| of_guard(&guards, guard).saturating_sub(of_guard(&before.1, guard));
        let times = Times { last, load, run, cpu: cpu_seconds() - cpu };
        let totals = behind.totals(&runtime, epochs, (&value, &guard), times);
        self.last = Some((counters, guards));
        accounted(broken, "this is a fault of Weir or of the device: please report it")?;
        Ok(totals)
    }
}

/// An error that the device reports is no end: what it means for frames is counted. One that it does not survive is.
fn report<P: PciFunction>(driver: &mut Driver<P>) -> Result<u64, Failure> {
    match driver.check() {
        Ok(()) => Ok(0),
        Err(error @ DeviceError::Reported { .. }) => {
            tracing::info!("{error}");
            Ok(1)
        }
        Err(error) => Err(error).or_internal(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for text in ["sim", "rtl", "none", "vfio-user:/run/a:b.sock", "vfio:0000:03:00.0"] {
            assert_eq!(text.parse::<DeviceName>().unwrap().to_string(), text);
        }
        assert!(!"sim".parse::<DeviceName>().unwrap().is_attached());
        for text in ["", "card", "vfio", "vfio:", "vfio-user:", "user:/x"] {
            assert!(text.parse::<DeviceName>().unwrap_err().contains("vfio-user:SOCKET"), "{text}");
        }
    }

    /// Somebody resets the device in the middle of a run: no frame would come any more, and nobody would know.
    #[test]
    fn a_reset_under_the_host_is_noticed() {
        let mut config = weir_management::Config::default();
        config.device.inline = true;
        let source = weir_rules::RuleSource::from_text("a.rules", weir_device::selftest::RULE);
        let set = crate::ruleset::load_sources(&[source], None, &config).unwrap();
        let loaded = crate::pipeline::compile(set, &config, Instant::now());
        let tables = crate::device::tables(&loaded).unwrap();
        for reset in [true, false] {
            let (code, error) = disturbed(&config, &loaded, &tables, reset);
            assert!(code == INTERNAL && error.contains(if reset { "no longer answers" } else { "reset or stopped" }), "{error}");
        }
    }

    /// How a run ends whose device another resets, or stops by its register.
    fn disturbed(config: &weir_management::Config, loaded: &crate::pipeline::Loaded, tables: &crate::device::Tables, reset: bool) -> (u8, String) {
        let model = crate::device::simulator(config);
        let mut driver = Driver::attach(Box::new(model.clone()) as Box<dyn PciFunction>).unwrap();
        let info = driver.info().unwrap();
        let mut attached =
            Attached { name: "model".to_owned(), driver: Some(driver), info: Some(info), last: None, faults: 0, replaces: None, silent: None };
        let stop = std::sync::atomic::AtomicBool::new(false);
        let mut other = model.clone();
        let mut tick = |_: Tick| match reset {
            true => other.reset().unwrap(),
            false => other.write32(0, weir_contract::registers::CONTROL, 0).unwrap(),
        };
        let mut control = RunControl::new(&stop, &mut tick);
        let behind = Behind { loaded, tables, config, validate: true };
        let begin = Instant::now();
        let failure = attached.run(&behind, &mut weir_output::NullSink, &mut control).unwrap_err();
        assert!(begin.elapsed() < Duration::from_secs(5));
        (failure.code, failure.to_string())
    }

    #[test]
    fn what_is_not_there_is_named_with_its_remedy() {
        let error = |name: &str| name.parse::<DeviceName>().unwrap().attach().err().unwrap().to_string();
        assert!(error("vfio-user:/nonexistent/socket").contains("weir sim serve --socket /nonexistent/socket"));
        assert!(error("vfio:ffff:ff:1f.7").contains("weir device list"));
    }
}
