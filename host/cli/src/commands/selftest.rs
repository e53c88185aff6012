//! `weir device selftest`

use super::{configuration, table};
use crate::args::{Device, DeviceInfoArguments};
use crate::attached::{self, DeviceName};
use crate::device::{self, Nic};
use crate::exit::{FINDINGS, Failure, OK, USAGE};
use crate::out::outln;
use crate::{pipeline, ruleset};
use serde_json::json;
use std::time::Instant;
use weir_contract::enums::DeviceKind;
use weir_device::selftest::{self, Outcome, Step};
use weir_management::Config;
use weir_rules::RuleSource;
use weir_sim::Frame;

pub fn run(arguments: &DeviceInfoArguments) -> Result<u8, Failure> {
    let config = configuration(&arguments.config)?;
    let image = tables(&config)?;
    let (steps, what, simulated) = match &arguments.device {
        DeviceName::Local(Device::Sim) => {
            (on(&device::simulator(&config), &image), attached::what("sim", Some(DeviceKind::Model)), true)
        }
        #[cfg(feature = "rtl")]
        DeviceName::Local(Device::Rtl) => (on(&device::rtl()?, &image), attached::what("rtl", Some(DeviceKind::Rtl)), true),
        #[cfg(not(feature = "rtl"))]
        DeviceName::Local(Device::Rtl) => return Err(device::without_rtl()),
        DeviceName::Local(Device::None) => {
            return Err(Failure {
                code: USAGE,
                error: anyhow::anyhow!("`--device none` has nothing to test: the engine works without a device"),
                remedy: Some("use --device sim".to_owned()),
            });
        }
        name @ (DeviceName::User(_) | DeviceName::Pci(_)) => {
            let kind = name.attach()?.and_then(|attached| attached.kind());
            let steps = name.open()?.map(|function| selftest::selftest(function, &image, None, &mut tell)).unwrap_or_default();
            (steps, attached::what(&name.to_string(), kind), kind != Some(DeviceKind::Card))
        }
    };
    let failed = steps.iter().filter(|step| matches!(step.outcome, Outcome::Failed(_))).count();
    if arguments.json {
        let all: Vec<_> = steps.iter().map(value).collect();
        outln!("{:#}", json!({ "device": what, "simulated": simulated, "steps": all, "failed": failed }));
    } else {
        let mut rows = table(&["step", "", "what was seen", "ms"]);
        for step in &steps {
            let (mark, text) = said(&step.outcome);
            let text = if mark == "FAILED" { format!("{text} (promised: {})", step.promise) } else { text.to_owned() };
            rows.add_row([step.name, mark, &text, &format!("{:.1}", step.took.as_secs_f64() * 1e3)]);
        }
        outln!("{rows}");
        let skipped = steps.iter().filter(|step| matches!(step.outcome, Outcome::Skipped(_))).count();
        outln!("{what}.\n{} steps: {failed} failed, {skipped} skipped.", steps.len());
    }
    Ok(if failed == 0 { OK } else { FINDINGS })
}

fn tables(config: &Config) -> Result<Vec<u8>, Failure> {
    let source = RuleSource::from_text("selftest.rules", selftest::RULE);
    let loaded = pipeline::compile(ruleset::load_sources(&[source], None, config)?, config, Instant::now());
    Ok(device::tables(&loaded)?.image.bytes)
}

/// On a device whose port this process feeds.
fn on<N: Nic>(nic: &N, image: &[u8]) -> Vec<Step> {
    let port = nic.clone();
    let mut feed = |number, time, data: &[u8]| {
        let frame = Frame { number, time, link: weir_packet::link_types::ETHERNET, data, wire_length: data.len() as u32 };
        port.offer(&frame);
    };
    selftest::selftest(nic.clone(), image, Some(&mut feed), &mut tell)
}

fn tell(step: &Step) {
    tracing::info!("{}: {:?}", step.name, step.outcome);
}

fn said(outcome: &Outcome) -> (&'static str, &str) {
    match outcome {
        Outcome::Passed(text) => ("ok", text),
        Outcome::Failed(text) => ("FAILED", text),
        Outcome::Skipped(text) => ("skipped", text),
    }
}

fn value(step: &Step) -> serde_json::Value {
    let (mark, text) = said(&step.outcome);
    json!({ "name": step.name, "promise": step.promise, "result": mark.to_lowercase(), "seen": text, "seconds": step.took.as_secs_f64() })
}
