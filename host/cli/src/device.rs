//! Runs behind a device: rules to tables, the simulated NIC, and what a run adds up to.

use crate::args::Device;
use crate::evidence::{message_evidence, stream_evidence};
use crate::epochs::{Epochs, Sums};
use crate::exchange::Exchanges;
use crate::exit::{Failure, INTERNAL, OrExit, USAGE, accounted};
use crate::pipeline::{GOING_FRAMES, Loaded, RunControl, Source, TICK_FRAMES, Tick, cpu_seconds, out_of_memory};
use crate::{live, settings};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Instant;
use weir_contract::counters::Counter;
use weir_contract::enums::CapabilityType;
use weir_contract::guards::Guard;
use weir_contract::protocol::{CLASS_FAILED, CLASS_UNKNOWN};
use weir_device::{Driver, DriverConfig, PciFunction, QueueConfig};
use weir_engine::{
    Budget, DeviceRuntime, Engine, HostCause, Inline, MessageEvidence, Overload, RuntimeCounters, StreamEvidence,
};
use weir_management::{Config, ExceptionPolicy, FailMode, Inspection};
use weir_output::{Cause, EventSink, ProtocolTotals, RuleCost, RunTotals, Shares};
use weir_rules::image::{Image, ImageOptions, emit};
use weir_rules::plan::{Class, Options, Plan, plan};
use weir_live::Wire;
use weir_rules::show::PROTOCOLS;
use weir_sim::{Frame, Offer, SimConfig, Simulator, Transmitted};

/// Tables of a rule set, and the plan behind them.
pub struct Tables {
    /// The plan.
    pub plan: Plan,
    /// Its image.
    pub image: Image,
    /// Seconds to make them.
    pub seconds: f64,
}

/// Plans loaded rules and emits their tables.
pub fn tables(loaded: &Loaded) -> Result<Tables, Failure> {
    tables_with(loaded, &Options::default())
}

/// The run needs every frame, whatever rules ask for: decisions are carried out, or bytes wait for acknowledgements.
pub fn needs_everything(config: &Config) -> bool {
    config.inline.simulate
        || config.firewall.enabled
        || config.stream.midstream_policy != ExceptionPolicy::Ignore
        || config.stream.inspect == Inspection::Acknowledged
        || config.stream.async_oneside
}

/// Like [`tables`], with parts of the planner switched off (tests).
pub fn tables_with(loaded: &Loaded, options: &Options) -> Result<Tables, Failure> {
    // The simulated device meets no adversary who learns its hash from timing: a fixed seed keeps runs repeatable.
    tables_as(loaded, options, &ImageOptions::default())
}

/// Like [`tables_with`], with the image's options.
pub fn tables_as(loaded: &Loaded, options: &Options, image: &ImageOptions) -> Result<Tables, Failure> {
    let start = Instant::now();
    let rules = loaded.program.sources();
    let patterns = loaded.program.stream_patterns().map(|pattern| pattern.map(Into::into)).collect();
    let profile = options.profile.clone().or_else(|| loaded.planning.profile.clone());
    let mut plan = plan(rules, &Options { patterns, profile, ..options.clone() });
    let image = emit(rules, &mut plan, image).or_internal()?;
    Ok(Tables { plan, image, seconds: start.elapsed().as_secs_f64() })
}

/// Most bytes by which flows are handed over before their records are overwritten: 0.6 ms of a link of 100 Gbit/s.
const HISTORY_MARGIN_MAX: u64 = 8 << 20;

/// The margin where none is set: a quarter of small rings, for frames that take much of them; of large ones what the host
/// needs to read a chain. A flow that is handed over needlessly costs the host all its frames.
fn history_margin(size: u64, set: u64) -> u64 {
    if set == 0 && size / 4 > HISTORY_MARGIN_MAX { HISTORY_MARGIN_MAX } else { set }
}

/// Settings of the driver.
pub fn driver_config(config: &Config, validate: bool) -> DriverConfig {
    let d = &config.device;
    let f = &config.flow;
    let seconds = |s: weir_management::Seconds| u32::try_from(s.0).unwrap_or(u32::MAX);
    let c = &config.capture;
    let mut tunnel_ports: Vec<u16> =
        [&c.vxlan_ports, &c.geneve_ports, &c.teredo_ports, &c.gtp_ports].into_iter().flatten().copied().collect();
    tunnel_ports.sort_unstable();
    tunnel_ports.dedup();
    DriverConfig {
        queues: d.queues,
        queue: QueueConfig {
            history: d.history_size.0,
            margin: history_margin(d.history_size.0, d.history_margin.0),
            descriptors: d.descriptors,
            flow_records: d.flow_records,
            tx: d.transmit,
        },
        flow_entries: d.flow_entries,
        validate_checksums: validate,
        midstream: config.stream.midstream,
        stream_window: u32::try_from(config.stream.raw_window.bytes()).unwrap_or(u32::MAX),
        fail_open: d.fail_mode == FailMode::Open,
        watchdog_frames: d.watchdog_frames,
        watchdog_time: d.watchdog_time.nanoseconds(),
        timeouts: [
            f.tcp_new,
            f.tcp_established,
            f.tcp_closed,
            f.udp_new,
            f.udp_established,
            f.icmp,
            f.other_new,
            f.other_established,
        ]
        .map(seconds),
        tunnel_ports,
        report_interval: seconds(d.report_interval),
        ..DriverConfig::default()
    }
}

/// What becomes of sources that take too much of a host that cannot follow a link.
pub fn overload(config: &Config) -> Overload {
    let share = f64::from(config.device.source_share) / 100.0;
    // Who knew the hash could aim at the counters of others.
    let secret = RandomState::new().hash_one(0);
    Overload::new(Budget::new(share, secret), config.device.fail_mode == FailMode::Open)
}

/// Frame time that the host may lag behind the device: far less than TIMEOUT_MARGIN.
pub(crate) const LAG_MAX: u64 = 1_000_000_000;

/// Bytes of frames that wait in a TX ring.
pub(crate) const TX_BYTES: u64 = 4 << 20;

/// Times the host is asked to catch up for one frame before the run is given up.
const WAITS_MAX: u32 = 10_000;

/// What inspects in front of the host, in this process: the model, or the RTL under Verilator.
pub trait Nic: PciFunction + Clone {
    /// A frame arrives.
    fn offer(&self, frame: &Frame<'_>) -> Offer;
    /// The source has ended at this frame time; `false`: rings are full, call again when the host has caught up.
    fn finish(&self, time: u64) -> bool;
    /// Value of a counter.
    fn counter(&self, counter: Counter) -> u64;
    /// Frames on which a guard fired.
    fn guard_counter(&self, guard: Guard) -> u64;
    /// Conservation identities that do not hold.
    fn broken_identities(&self) -> Vec<String>;
    /// From now on what it transmits goes out by interfaces; `false`: it cannot.
    fn transmit_by(&self, _: Option<Wire>) -> bool {
        false
    }
    /// Frames offered from now on come from this port.
    fn from_port(&self, _: u8) {}
    /// Frame time goes on without a frame.
    fn pass_time(&self, _: u64) {}
    /// The host should look.
    fn has_work(&self) -> bool {
        true
    }
    /// The configuration as far as the device can follow it.
    fn fit(&self, config: DriverConfig) -> DriverConfig {
        config
    }
}

impl Nic for Simulator {
    fn offer(&self, frame: &Frame<'_>) -> Offer {
        Simulator::offer(self, frame)
    }

    fn finish(&self, time: u64) -> bool {
        Simulator::finish(self, time)
    }

    fn counter(&self, counter: Counter) -> u64 {
        Simulator::counter(self, counter)
    }

    fn guard_counter(&self, guard: Guard) -> u64 {
        Simulator::guard_counter(self, guard)
    }

    fn broken_identities(&self) -> Vec<String> {
        Simulator::broken_identities(self)
    }

    fn transmit_by(&self, wire: Option<Wire>) -> bool {
        let sink = wire.map(|wire| -> weir_sim::TransmitSink {
            Box::new(move |what| match what {
                Transmitted::Passed(frame) => wire.forward(frame),
                Transmitted::Forwarded(number, frame) => wire.forward_number(number, frame),
                Transmitted::Injected(port, frame) => wire.inject(port, frame),
                Transmitted::Withheld(number) => wire.withhold(number),
            })
        });
        self.on_transmit(sink);
        true
    }

    fn from_port(&self, port: u8) {
        Simulator::from_port(self, port);
    }

    fn pass_time(&self, time: u64) {
        Simulator::pass_time(self, time);
    }

    fn has_work(&self) -> bool {
        self.host_has_work()
    }
}

#[cfg(feature = "rtl")]
impl Nic for weir_rtl::RtlDevice {
    fn offer(&self, frame: &Frame<'_>) -> Offer {
        weir_rtl::RtlDevice::offer(self, frame)
    }

    fn finish(&self, time: u64) -> bool {
        weir_rtl::RtlDevice::finish(self, time)
    }

    fn counter(&self, counter: Counter) -> u64 {
        weir_rtl::RtlDevice::counter(self, counter)
    }

    fn guard_counter(&self, guard: Guard) -> u64 {
        weir_rtl::RtlDevice::guard_counter(self, guard)
    }

    fn broken_identities(&self) -> Vec<String> {
        weir_rtl::RtlDevice::broken_identities(self)
    }

    fn fit(&self, config: DriverConfig) -> DriverConfig {
        let queue = QueueConfig {
            descriptors: config.queue.descriptors.min(weir_rtl::DESCRIPTORS_MAX),
            ..config.queue
        };
        DriverConfig {
            queues: config.queues.min(weir_rtl::QUEUES as u32),
            flow_entries: config.flow_entries.min(weir_rtl::FLOW_ENTRIES),
            queue,
            ..config
        }
    }
}

/// The RTL under Verilator.
#[cfg(feature = "rtl")]
pub fn rtl() -> Result<weir_rtl::RtlDevice, Failure> {
    weir_rtl::RtlDevice::new(weir_rtl::RtlConfig::default()).ok_or_else(|| Failure {
        code: USAGE,
        error: anyhow::anyhow!("`--device rtl`: this weir was built without the RTL, for want of Verilator"),
        remedy: Some("install Verilator (hw/tools/install) and build again".to_owned()),
    })
}

/// The RTL is not part of this build.
#[cfg(not(feature = "rtl"))]
pub fn without_rtl() -> Failure {
    Failure {
        code: USAGE,
        error: anyhow::anyhow!("`--device rtl`: this weir was built without the RTL"),
        remedy: Some("build with `cargo build --release -p weir --features rtl`; it needs Verilator".to_owned()),
    }
}

/// What a device says that it holds.
pub fn capabilities<N: Nic>(nic: N) -> Result<Vec<(CapabilityType, u64, u64)>, Failure> {
    Ok(Driver::probe(nic).or_internal()?.info().or_internal()?.capabilities)
}

/// A simulated NIC of the configured size.
pub fn simulator(config: &Config) -> Simulator {
    Simulator::new(SimConfig { queues: config.device.queues, flow_entries: config.device.flow_entries })
}

/// What runs behind the simulated NIC have in common: `--device sim`.
#[derive(Clone, Copy)]
pub struct Behind<'a> {
    /// Rules.
    pub loaded: &'a Loaded,
    /// Their tables.
    pub tables: &'a Tables,
    /// Settings.
    pub config: &'a Config,
    /// Checksums are validated.
    pub validate: bool,
}

impl Behind<'_> {
    /// Inspects a source behind a NIC of its own.
    pub fn run(
        &self,
        source: &mut Source,
        sink: &mut dyn EventSink,
        control: &mut RunControl<'_>,
    ) -> Result<RunTotals, Failure> {
        self.run_on(&simulator(self.config), source, sink, control)
    }

    /// Inspects a source behind the chosen device.
    pub fn run_behind(
        &self,
        device: Device,
        source: &mut Source,
        sink: &mut dyn EventSink,
        control: &mut RunControl<'_>,
    ) -> Result<RunTotals, Failure> {
        if let Source::Attached(attached) = source {
            return attached.run(self, sink, control);
        }
        match device {
            Device::Sim => self.run(source, sink, control),
            #[cfg(feature = "rtl")]
            Device::Rtl => self.run_on(&rtl()?, source, sink, control),
            #[cfg(not(feature = "rtl"))]
            Device::Rtl => Err(without_rtl()),
            Device::None => Err(Failure {
                code: USAGE,
                error: anyhow::anyhow!("`--device none` is no device to compare with"),
                remedy: Some("use --device sim or --device rtl".to_owned()),
            }),
        }
    }

    /// Inspects behind this NIC, which tests may have given faults. Frames that are not accounted for at the end are an
    /// error.
    pub fn run_on<N: Nic>(
        &self,
        model: &N,
        source: &mut Source,
        sink: &mut dyn EventSink,
        control: &mut RunControl<'_>,
    ) -> Result<RunTotals, Failure> {
        let totals = self.run_unchecked(model, source, sink, control)?;
        accounted(model.broken_identities(), "this is a fault of Weir: please report it with the capture")?;
        Ok(totals)
    }

    /// Like [`Self::run_on`], for callers that look at the counters themselves.
    pub fn run_unchecked<N: Nic>(
        &self,
        model: &N,
        source: &mut Source,
        sink: &mut dyn EventSink,
        control: &mut RunControl<'_>,
    ) -> Result<RunTotals, Failure> {
        let Behind { loaded, tables, config, validate } = *self;
        let start = Instant::now();
        let wire = source.live_mut().and_then(|live| live.wire());
        let live_source = source.live_mut().is_some();
        let mut settings = model.fit(driver_config(config, validate));
        settings.tx_bytes = if wire.is_some() { TX_BYTES } else { 0 };
        if wire.is_some() && !model.transmit_by(wire.clone()) {
            return Err(Failure {
                code: USAGE,
                error: anyhow::anyhow!("this device does not send by interfaces of this host"),
                remedy: Some("use --device sim or --device none with --inline".to_owned()),
            });
        }
        let vlan_key = settings.vlan_key;
        let mut driver = Driver::probe(model.clone()).or_internal()?;
        driver.set_up(&settings).or_usage()?;
        let epoch = driver.load_tables(&tables.image.bytes).or_input()?;
        driver.activate(epoch).or_internal()?;
        driver.enable(wire.is_some()).or_internal()?;
        let load = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let cpu = cpu_seconds();
        let mut runtime = self.runtime(driver, epoch, vlan_key, control.profile.is_some(), wire.is_some())?;
        let mut epochs = Epochs::new(loaded, tables);
        let mut last_time = 0;
        let mut frames = 0u64;
        let mut taken_at = 0;
        let batch = u64::from(config.device.batch);
        let latency = u64::from(config.device.latency) * 1000;
        if let Some(live) = source.live_mut() {
            live.announce("behind a simulated NIC: a software model, no hardware is involved");
        }
        while source.goes_on(control.stop) {
            let mut result = Ok(());
            let more = source.next(&mut |frame| {
                last_time = last_time.max(frame.time.0);
                let offered = Frame {
                    number: frame.number,
                    time: last_time,
                    link: frame.link,
                    data: frame.data,
                    wire_length: frame.wire_length,
                };
                // The host answers within the latency of frame time, as on a link. (One that lags behind by more than the
                // margin of the device's time-outs would ask for flows that are gone; a capture jumps.)
                if last_time.saturating_sub(taken_at) >= latency.min(LAG_MAX) {
                    result = runtime.poll(sink).or_internal();
                    taken_at = last_time;
                }
                if let Some(wire) = &wire {
                    model.from_port(wire.ingress());
                }
                let mut waits = 0;
                while result.is_ok() && model.offer(&offered) == Offer::Wait {
                    result = runtime.poll(sink).or_internal();
                    waits += 1;
                    if waits > WAITS_MAX {
                        result = Err(Failure {
                            code: INTERNAL,
                            error: anyhow::anyhow!("the device does not take frame {}: its rings stay full", frame.number),
                            remedy: Some("enlarge device.history-size, device.descriptors or device.flow-records".into()),
                        });
                    }
                }
            })?;
            result?;
            if !more {
                break;
            }
            match source.live_mut().and_then(|live| live.idle()) {
                Some(now) => {
                    last_time = last_time.max(now);
                    model.pass_time(last_time);
                    runtime.poll(sink).or_internal()?;
                    runtime.engine_mut().pass_time(last_time, sink);
                    taken_at = last_time;
                }
                None => frames += 1,
            }
            runtime.expire_drops(last_time).or_internal()?;
            if let Some(leaving) = control.exchanges.as_deref_mut().and_then(Exchanges::leaving) {
                leaving.refuse_local();
            }
            if let Some(asked) = control.exchanges.as_deref_mut().and_then(Exchanges::asked) {
                asked.answer(&mut runtime, last_time);
            }
            // Somebody waits for a frame that the host has to judge.
            if live_source && model.has_work() {
                runtime.poll(sink).or_internal()?;
                taken_at = last_time;
            }
            if let Some(exchanges) = control.exchanges.as_deref_mut() {
                let tell = frames.is_multiple_of(GOING_FRAMES);
                epochs.step(&mut runtime, sink, exchanges, (frames, last_time), tell)?;
            }
            if frames.is_multiple_of(batch) {
                runtime.poll(sink).or_internal()?;
                taken_at = last_time;
            }
            if frames.is_multiple_of(TICK_FRAMES) {
                (control.tick)(Tick { progress: source.progress(), frames, alerts: runtime.engine().counters().alerts });
            }
        }
        runtime.poll(sink).or_internal()?;
        epochs.settle(&mut runtime);
        runtime.finish(last_time, sink).or_internal()?;
        while !model.finish(last_time) {
            runtime.poll(sink).or_internal()?;
        }
        runtime.poll(sink).or_internal()?;
        if let Some(live) = source.live_mut() {
            live.check(model.counter(Counter::DroppedFrames) + model.counter(Counter::VerdictDrop))?;
            model.transmit_by(None);
        }
        let seconds = start.elapsed().as_secs_f64();
        if let (Some(place), Some(profile)) = (&mut control.profile, runtime.engine().rule_profile()) {
            place.clone_from(profile);
        }
        (control.tick)(Tick { progress: source.progress(), frames, alerts: runtime.engine().counters().alerts });
        let times = Times { last: last_time, load, run: seconds, cpu: cpu_seconds() - cpu };
        let counter = |counter| model.counter(counter);
        let guard = |guard| model.guard_counter(guard);
        let mut totals = self.totals(&runtime, epochs, (&counter, &guard), times);
        totals.interfaces = source.live_mut().map(|live| live.totals()).unwrap_or_default();
        Ok(totals)
    }

    /// Engine and what the tables look for: what of a runtime takes time, and needs no device.
    pub(crate) fn prepare(&self, profile: bool, inline: bool) -> Result<Prepared, Failure> {
        let Behind { loaded, tables, config, validate } = *self;
        let mut engine_config = settings::engine(config, validate);
        engine_config.inline |= inline;
        let raw_window = engine_config.raw_window;
        let mut engine = Engine::new(engine_config, Arc::clone(&loaded.program)).ok_or_else(out_of_memory)?;
        if profile {
            engine.profile_rules();
        }
        let (streams, messages) = (stream_evidence(loaded, tables), message_evidence(loaded, tables));
        let inline = inline.then(|| live::inline(config));
        Ok(Prepared { engine, streams, messages, raw_window, inline })
    }

    /// Driver, engine and what the tables look for, together: `epoch` is what the device calls the tables; `inline`: verdicts are
    /// carried out.
    pub(crate) fn runtime<P: PciFunction>(
        &self,
        driver: Driver<P>,
        epoch: u32,
        vlan_key: bool,
        profile: bool,
        inline: bool,
    ) -> Result<DeviceRuntime<P>, Failure> {
        Ok(self.join(self.prepare(profile, inline)?, driver, epoch, vlan_key))
    }

    /// What was prepared, behind this driver.
    pub(crate) fn join<P: PciFunction>(&self, prepared: Prepared, driver: Driver<P>, epoch: u32, vlan_key: bool) -> DeviceRuntime<P> {
        let Prepared { engine, streams, messages, raw_window, inline } = prepared;
        let gates = self.tables.plan.gates.iter().map(|name| &**name);
        let mut runtime = DeviceRuntime::new(driver, engine, gates, streams, raw_window, vlan_key);
        runtime.set_messages(messages);
        runtime.set_epoch(epoch);
        if let Some(inline) = inline {
            runtime.set_inline(inline);
        }
        runtime
    }

    /// What a run adds up to; `device`: its counters.
    pub(crate) fn totals<P: PciFunction>(
        &self,
        runtime: &DeviceRuntime<P>,
        epochs: Epochs<'_>,
        device: (&dyn Fn(Counter) -> u64, &dyn Fn(Guard) -> u64),
        times: Times,
    ) -> RunTotals {
        epochs.last(|loaded, tables, sums| {
            let mut totals = RunTotals { rules: loaded.totals.clone(), last_time: times.last, ..RunTotals::default() };
            totals.rules.by_class =
                Class::ALL.iter().map(|&class| (class.letter().to_string(), tables.plan.count(class) as u64)).collect();
            device_totals(device.0, device.1, &mut totals);
            host_totals(loaded, runtime, tables, sums, &mut totals);
            totals.named = runtime.engine().statistics();
            totals.datasets = runtime.engine().saved_datasets();
            totals.protocols = protocols(runtime.counters());
            totals.host.cpu_seconds = times.cpu;
            totals.seconds.load = self.loaded.seconds + self.tables.seconds + times.load;
            totals.seconds.run = times.run;
            totals.compute_shares();
            totals
        })
    }
}

/// A runtime without its device.
pub(crate) struct Prepared {
    engine: Engine,
    streams: StreamEvidence,
    messages: MessageEvidence,
    raw_window: usize,
    inline: Option<Inline>,
}

/// Times of a run: frame time of the last frame; seconds to load, to run, and of the processor.
pub(crate) struct Times {
    pub(crate) last: u64,
    pub(crate) load: f64,
    pub(crate) run: f64,
    pub(crate) cpu: f64,
}

/// What reached the host by protocol, by the names of EVE.
fn protocols(counters: &RuntimeCounters) -> BTreeMap<String, ProtocolTotals> {
    let mut out: BTreeMap<String, ProtocolTotals> = BTreeMap::new();
    for (class, shares) in &counters.by_class {
        let name = match *class {
            None => "none".to_owned(),
            Some(CLASS_UNKNOWN) => "unknown".to_owned(),
            Some(CLASS_FAILED) => "failed".to_owned(),
            Some(class) => match PROTOCOLS.iter().find(|&&protocol| protocol as u8 == class) {
                Some(&protocol) => weir_app_layer::eve_name(protocol).to_owned(),
                None => format!("class {class}"),
            },
        };
        let totals = out.entry(name).or_default();
        for (sum, share) in [&mut totals.all, &mut totals.long].into_iter().zip(shares) {
            sum.add(&Shares { bytes: share.bytes, diverted: share.diverted, history: share.history });
        }
    }
    out
}

fn device_totals(counter: &dyn Fn(Counter) -> u64, guard_counter: &dyn Fn(Guard) -> u64, totals: &mut RunTotals) {
    let d = &mut totals.device;
    d.received_packets = counter(Counter::ReceivedFrames);
    d.received_bytes = counter(Counter::ReceivedBytes);
    d.passed_packets = counter(Counter::PassedFrames);
    d.diverted_packets = counter(Counter::DivertedFrames);
    d.diverted_bytes = counter(Counter::DivertedBytes);
    d.dropped_packets = counter(Counter::DroppedFrames);
    d.bypassed_packets = counter(Counter::BypassedFrames);
    d.denied_packets = counter(Counter::VerdictDrop);
    d.injected_packets = counter(Counter::InjectedFrames);
    d.flows = counter(Counter::FlowsCreated);
    d.settled = counter(Counter::Settles);
    d.released = counter(Counter::ReleaseDone);
    d.guards = Guard::ALL
        .iter()
        .map(|&guard| (guard.name().to_owned(), guard_counter(guard)))
        .filter(|(_, n)| *n > 0)
        .collect();
}

fn host_totals<P: PciFunction>(
    loaded: &Loaded,
    runtime: &DeviceRuntime<P>,
    tables: &Tables,
    mut sums: Sums,
    totals: &mut RunTotals,
) {
    let engine = runtime.engine().counters();
    let counted = runtime.counters();
    sums.add(loaded, tables, &counted.causes, &counted.records);
    let h = &mut totals.host;
    h.packets = engine.frames;
    h.bytes = engine.bytes;
    h.flows = engine.flows;
    h.alerts = engine.alerts;
    h.history_packets = counted.history.frames;
    h.history_bytes = counted.history.bytes;
    h.ended_packets = counted.ended.frames;
    h.history_truncated = counted.truncated;
    h.limits = engine.limits().map(|(name, n)| (name.to_owned(), n)).collect();
    if counted.over_budget.frames > 0 {
        h.limits.insert("device.source-share".to_owned(), counted.over_budget.frames);
    }
    h.by_cause = sums.by_cause;
    h.held = counted.held.iter().map(|(hold, amount)| (hold.name(), Cause::from(*amount))).collect();
    h.by_record = counted
        .causes
        .iter()
        .filter_map(|(cause, amount)| match cause {
            HostCause::Record(id) => Some((*id, Cause::from(*amount))),
            _ => None,
        })
        .collect();
    let mut costs: Vec<_> = sums.by_rule.into_iter().collect();
    costs.sort_by_key(|(identity, (_, _, cause))| (std::cmp::Reverse(cause.packets), *identity));
    costs.truncate(COSTS_MAX);
    let cost = |((gid, sid), (class, reason, cause)): ((u32, u32), (char, String, Cause))| RuleCost {
        gid,
        sid,
        class: class.to_string(),
        reason,
        packets: cause.packets,
        bytes: cause.bytes,
    };
    h.by_rule = costs.into_iter().map(cost).collect();
}

/// Rules listed in the totals.
const COSTS_MAX: usize = 20;
