//! `weir device`: what stands in front of the host, and what it counted.

use super::{configuration, right, selftest, table};
use crate::args::{CountersArguments, Device, DeviceCommand, DeviceInfoArguments, DeviceListArguments};
use crate::attached::{Attached, DeviceName, Snapshot};
use crate::commands::run::interruptible;
use crate::exit::{FINDINGS, Failure, OK, OrExit, USAGE};
use crate::out::outln;
use crate::pipeline::{self, RunControl, Source};
use crate::{device, example, ruleset};
use comfy_table::Cell;
use serde_json::json;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use weir_contract::constants as c;
use weir_contract::counters::{Counter, IDENTITIES};
use weir_contract::enums::{CapabilityType, DeviceKind};
use weir_contract::guards::Guard;
use weir_contract::layouts::Capability;
use weir_device::{Driver, PciFunction};
use weir_management::{Checksums, Config};
use weir_output::NullSink;
use weir_output::summary::group;

pub fn run(command: &DeviceCommand) -> Result<u8, Failure> {
    match command {
        DeviceCommand::List(arguments) => list(arguments),
        DeviceCommand::Info(arguments) => info(arguments),
        DeviceCommand::Counters(arguments) => counters(arguments),
        DeviceCommand::Flows(arguments) => super::device_flows::run(arguments),
        DeviceCommand::Selftest(arguments) => selftest::run(arguments),
    }
}

/// What this machine has, and what keeps it from being used.
fn list(arguments: &DeviceListArguments) -> Result<u8, Failure> {
    let found = weir_device_vfio::list();
    if arguments.json {
        let functions: Vec<_> = found
            .iter()
            .map(|f| {
                json!({
                    "address": f.address, "driver": f.driver, "iommu_group": f.group,
                    "ready": f.obstacle.is_none(), "obstacle": f.obstacle,
                })
            })
            .collect();
        outln!("{:#}", json!(functions));
        return Ok(OK);
    }
    if found.is_empty() {
        outln!(
            "There is no PCI function {:04x}:{:04x} on this machine. `weir sim serve` serves a simulated one, --device sim needs none.",
            c::PCI_VENDOR,
            c::PCI_DEVICE
        );
        return Ok(OK);
    }
    let mut rows = table(&["address", "driver", "IOMMU group", "what to do"]);
    for f in &found {
        let todo = f.obstacle.clone().unwrap_or_else(|| format!("nothing: use --device vfio:{}", f.address));
        let group = f.group.map_or_else(|| "none".to_owned(), |group| group.to_string());
        rows.add_row([f.address.clone(), f.driver.clone().unwrap_or_else(|| "none".to_owned()), group, todo]);
    }
    outln!("{rows}");
    Ok(OK)
}

fn needs_a_device(device: &DeviceName) -> Result<(), Failure> {
    match device.local() {
        Device::Sim => Ok(()),
        Device::Rtl => Err(Failure {
            code: USAGE,
            error: anyhow::anyhow!("`weir device` looks at the simulated NIC"),
            remedy: Some("use --device sim; `weir run` and `weir audit equivalence` take --device rtl".to_owned()),
        }),
        Device::None => Err(Failure {
            code: USAGE,
            error: anyhow::anyhow!("`--device none` has nothing to show: the engine works without a device"),
            remedy: Some("use --device sim".to_owned()),
        }),
    }
}

const SIMULATED: &str = "simulated NIC: a bit-exact software model, no hardware is involved";

fn info(arguments: &DeviceInfoArguments) -> Result<u8, Failure> {
    needs_a_device(&arguments.device)?;
    let config = configuration(&arguments.config)?;
    let attached = arguments.device.open()?;
    let function: Box<dyn PciFunction> = attached.unwrap_or_else(|| Box::new(device::simulator(&config)));
    let mut driver = Driver::attach(function).or_input()?;
    let (major, minor) = driver.version();
    let kind = driver.kind().or_internal()?;
    let simulated = kind != Some(DeviceKind::Card);
    let kind = kind.map_or_else(|| "unknown".to_owned(), |kind| format!("{kind:?}"));
    let capabilities = driver.capabilities().to_vec();
    if arguments.json {
        let value = json!({
            "name": arguments.device.to_string(),
            "kind": kind,
            "simulated": simulated,
            "vendor": format!("{:#06x}", c::PCI_VENDOR),
            "device": format!("{:#06x}", c::PCI_DEVICE),
            "contract": format!("{major}.{minor}"),
            "driver_contract": format!("{}.{}", c::CONTRACT_MAJOR, c::CONTRACT_MINOR),
            "capabilities": capabilities.iter().map(|cap| json!({
                "name": name(cap), "value0": cap.value0, "value1": cap.value1, "required": cap.required != 0,
            })).collect::<Vec<_>>(),
        });
        outln!("{value:#}");
        return Ok(OK);
    }
    match simulated {
        true => outln!("{kind} ({SIMULATED})"),
        false => outln!("{kind} at {}", arguments.device),
    }
    outln!("PCI {:04x}:{:04x}, contract {major}.{minor}", c::PCI_VENDOR, c::PCI_DEVICE);
    let mut rows = table(&["capability", "value"]);
    for cap in &capabilities {
        rows.add_row([name(cap), meaning(cap)]);
    }
    outln!("{rows}");
    Ok(OK)
}

fn name(cap: &Capability) -> String {
    CapabilityType::from_raw(cap.kind).map_or_else(|| format!("type {}", cap.kind), |kind| format!("{kind:?}"))
}

fn meaning(cap: &Capability) -> String {
    use CapabilityType as T;
    let (a, b) = (group(cap.value0), group(cap.value1));
    let halves = |v: u64| format!("{} classes, {} sets", group(v & 0xffff_ffff), group(v >> 32));
    match CapabilityType::from_raw(cap.kind) {
        Some(T::Queues) => format!("{a} queues, {b} interrupt vectors"),
        Some(T::FlowTable) => format!("{a} entries, {b} ways per bucket"),
        Some(T::Literals) => {
            let lengths: Vec<_> = (0..64).filter(|n| cap.value0 >> n & 1 == 1).map(|n| n.to_string()).collect();
            format!("windows of {} bytes, {b} bytes per cycle", lengths.join(", "))
        }
        Some(T::BloomBits) => format!("at most 2^{a} bits a partition, {b} partitions"),
        Some(T::ExactEntries) => format!("{a} entries per length, {b} ways"),
        Some(T::Lists) => format!("{a} entries"),
        Some(T::Records) => format!("{a} records, {b} in the header table"),
        Some(T::Classes) => format!("ports: {}; addresses: {}", halves(cap.value0), halves(cap.value1)),
        Some(T::Prefixes) => format!("{a} of IPv4, {b} of IPv6"),
        Some(T::Banks) => format!("{a}"),
        Some(T::History) => format!("at most {a} bytes a ring"),
        Some(T::Ports) => {
            let known = ["Ethernet", "raw IP", "Linux cooked", "null/loop"];
            let links: Vec<_> =
                known.iter().enumerate().filter(|(n, _)| cap.value1 >> n & 1 == 1).map(|(_, l)| *l).collect();
            format!("{a}; link types: {}", links.join(", "))
        }
        Some(T::Inline) => if cap.value0 == 1 { "two ports can be joined" } else { "tap only" }.to_owned(),
        Some(T::Takeover) => if cap.value0 & 1 == 1 { "blocks and fail mode outlive the host" } else { "none" }.to_owned(),
        Some(T::Guards) => format!("{} of {} guards", cap.value0.count_ones(), Guard::ALL.len()),
        None => format!("{a}, {b}"),
    }
}

/// A capture through a model of this process, and a snapshot of its counters.
fn count(arguments: &CountersArguments, config: &Config) -> Result<Snapshot, Failure> {
    let open = || match &arguments.pcap {
        Some(path) => Source::open(path),
        None => Ok(example::traffic()),
    };
    let loaded = match &arguments.pcap {
        Some(_) => pipeline::load(&ruleset::paths(&arguments.rules, config)?, config)?,
        None => pipeline::compile(ruleset::load_sources(&example::rules(), None, config)?, config, Instant::now()),
    };
    let tables = device::tables(&loaded)?;
    let validate = pipeline::validates_checksums(config, &open)?;
    let stop = AtomicBool::new(false);
    let mut tick = |_| {};
    let mut control = RunControl::new(&stop, &mut tick);
    let model = device::simulator(config);
    let behind = device::Behind { loaded: &loaded, tables: &tables, config, validate };
    behind.run_unchecked(&model, &mut open()?, &mut NullSink, &mut control)?;
    // Through the registers, as from any device: a latched snapshot of all counters at one moment.
    let mut driver = Driver::attach(model).or_internal()?;
    Ok((driver.counters().or_internal()?, driver.guard_counters().or_internal()?))
}

/// The frames that a device has of its own, until its source ends or Ctrl-C, and a snapshot of its counters.
fn count_attached(mut attached: Attached, arguments: &CountersArguments, config: &Config) -> Result<Snapshot, Failure> {
    if arguments.pcap.is_some() {
        return Err(Failure {
            code: USAGE,
            error: anyhow::anyhow!("--device {} has frames of its own, and --pcap others", arguments.device),
            remedy: Some("leave --pcap out here; `weir sim serve --pcap FILE` plays it into the device".to_owned()),
        });
    }
    let loaded = pipeline::load(&ruleset::paths(&arguments.rules, config)?, config)?;
    let tables = device::tables(&loaded)?;
    let stop = interruptible();
    let mut tick = |_| {};
    let mut control = RunControl::new(&stop, &mut tick);
    let validate = config.capture.checksums != Checksums::Ignore;
    let behind = device::Behind { loaded: &loaded, tables: &tables, config, validate };
    let result = attached.run(&behind, &mut NullSink, &mut control);
    match attached.snapshot() {
        // Identities that do not hold are what is asked about here.
        Some(snapshot) => Ok(snapshot.clone()),
        None => Err(result.err().unwrap_or_else(|| Failure { code: USAGE, error: anyhow::anyhow!("no counters"), remedy: None })),
    }
}

fn counters(arguments: &CountersArguments) -> Result<u8, Failure> {
    needs_a_device(&arguments.device)?;
    let config = configuration(&arguments.config)?;
    let attached = arguments.device.attach()?;
    let simulated = attached.as_ref().is_none_or(|attached| attached.kind() != Some(DeviceKind::Card));
    // Without rules nothing is run: what the device has counted until now is read.
    let reads = attached.is_some() && arguments.rules.rules.is_empty() && config.rules.files.is_empty();
    let (what, after) = match (&attached, &arguments.pcap) {
        (Some(attached), _) if reads => (attached.what(), "what it has counted so far".to_owned()),
        (Some(attached), _) => (attached.what(), "its own frames".to_owned()),
        (None, Some(path)) => (format!("From the {SIMULATED}"), path.display().to_string()),
        (None, None) => (format!("From the {SIMULATED}"), "the bundled example".to_owned()),
    };
    let (values, guards) = match attached {
        Some(mut attached) if reads => attached.read()?,
        Some(attached) => count_attached(attached, arguments, &config)?,
        None => count(arguments, &config)?,
    };
    let value = |counter: Counter| values.iter().find(|(c, _)| *c == counter).map_or(0, |(_, n)| *n);
    let sum = |side: &[Counter]| side.iter().fold(0u64, |sum, c| sum.wrapping_add(value(*c)));
    let checked: Vec<_> = IDENTITIES.iter().map(|i| (i.meaning, sum(i.left), sum(i.right))).collect();
    let broken = checked.iter().filter(|(_, left, right)| left != right).count();
    let named_guards: Vec<(&str, u64)> = Guard::ALL
        .iter()
        .map(|g| (g.name(), guards.get(*g as usize).copied().unwrap_or(0)))
        .filter(|(_, n)| *n > 0)
        .collect();
    if arguments.json {
        let all: serde_json::Map<String, serde_json::Value> =
            values.iter().map(|(counter, n)| (counter.name().to_owned(), (*n).into())).collect();
        let guards: serde_json::Map<String, serde_json::Value> =
            named_guards.iter().map(|(name, n)| ((*name).to_owned(), (*n).into())).collect();
        let identities: Vec<_> = checked
            .iter()
            .map(|(meaning, left, right)| json!({ "meaning": meaning, "left": left, "right": right, "holds": left == right }))
            .collect();
        outln!("{:#}", json!({ "simulated": simulated, "counters": all, "guards": guards, "identities": identities }));
    } else {
        if arguments.check {
            let mut rows = table(&["identity", "left", "right", ""]);
            for (meaning, left, right_side) in &checked {
                let holds = if left == right_side { "holds" } else { "BROKEN" };
                rows.add_row([Cell::new(meaning), right(group(*left)), right(group(*right_side)), Cell::new(holds)]);
            }
            outln!("{rows}");
        } else {
            let mut rows = table(&["counter", "value"]);
            for (counter, n) in values.iter().filter(|(_, n)| *n > 0 || arguments.all) {
                rows.add_row([Cell::new(counter.name()), right(group(*n))]);
            }
            outln!("{rows}");
            let mut rows = table(&["guard", "frames"]);
            for (name, n) in &named_guards {
                rows.add_row([Cell::new(name), right(group(*n))]);
            }
            outln!("{rows}");
        }
        outln!("{what}, after {after}.");
        outln!("{} of {} conservation identities hold.", checked.len() - broken, checked.len());
    }
    Ok(if broken == 0 { OK } else { FINDINGS })
}
