//! `weir device`: what stands in front of the host, and what it counted.

use super::{configuration, right, table};
use crate::args::{CountersArguments, Device, DeviceCommand, DeviceInfoArguments};
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
use weir_contract::enums::CapabilityType;
use weir_contract::guards::Guard;
use weir_contract::layouts::Capability;
use weir_device::Driver;
use weir_output::NullSink;
use weir_output::summary::group;

pub fn run(command: &DeviceCommand) -> Result<u8, Failure> {
    match command {
        DeviceCommand::Info(arguments) => info(arguments),
        DeviceCommand::Counters(arguments) => counters(arguments),
        DeviceCommand::Flows(arguments) => super::device_flows::run(arguments),
    }
}

fn needs_a_device(device: Device) -> Result<(), Failure> {
    match device {
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
    needs_a_device(arguments.device)?;
    let config = configuration(&arguments.config)?;
    let mut driver = Driver::probe(device::simulator(&config)).or_internal()?;
    let (major, minor) = driver.version();
    let kind = driver.kind().or_internal()?.map_or_else(|| "unknown".to_owned(), |kind| format!("{kind:?}"));
    let capabilities = driver.capabilities().to_vec();
    if arguments.json {
        let value = json!({
            "kind": kind,
            "simulated": true,
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
    outln!("{kind} ({SIMULATED})");
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
        Some(T::Guards) => format!("{} of {} guards", cap.value0.count_ones(), Guard::ALL.len()),
        None => format!("{a}, {b}"),
    }
}

fn counters(arguments: &CountersArguments) -> Result<u8, Failure> {
    needs_a_device(arguments.device)?;
    let config = configuration(&arguments.config)?;
    let open = || match &arguments.pcap {
        Some(path) => Source::open(path),
        None => Ok(example::traffic()),
    };
    let loaded = match &arguments.pcap {
        Some(_) => pipeline::load(&ruleset::paths(&arguments.rules, &config)?, &config)?,
        None => pipeline::compile(ruleset::load_sources(&example::rules(), None, &config)?, &config, Instant::now()),
    };
    let tables = device::tables(&loaded)?;
    let validate = pipeline::validates_checksums(&config, &open)?;
    let stop = AtomicBool::new(false);
    let mut tick = |_| {};
    let mut control = RunControl::new(&stop, &mut tick);
    let model = device::simulator(&config);
    let behind = device::Behind { loaded: &loaded, tables: &tables, config: &config, validate };
    behind.run_unchecked(&model, &mut open()?, &mut NullSink, &mut control)?;
    // Through the registers, as from any device: a latched snapshot of all counters at one moment.
    let mut driver = Driver::attach(model).or_internal()?;
    let values = driver.counters().or_internal()?;
    let guards = driver.guard_counters().or_internal()?;
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
        outln!("{:#}", json!({ "simulated": true, "counters": all, "guards": guards, "identities": identities }));
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
        outln!(
            "From the {SIMULATED}, after {}.",
            arguments.pcap.as_ref().map_or_else(|| "the bundled example".to_owned(), |path| path.display().to_string())
        );
        outln!("{} of {} conservation identities hold.", checked.len() - broken, checked.len());
    }
    Ok(if broken == 0 { OK } else { FINDINGS })
}
