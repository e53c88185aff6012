//! The device model by itself.
//!
//! The host behind it is a stub: it forwards each diverted frame and releases its flow at once, without a look. So the
//! time is that of parse, flow look-up, literal filter, verdict, history and rings, and of reading the capture.

use crate::{failed, status_bytes};
use anyhow::{Result, bail};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;
use weir::pipeline::{self, Source, cpu_seconds};
use weir_contract::counters::Counter;
use weir_contract::enums::{DescriptorKind, TxCommand};
use weir_device::Driver;
use weir_management::Config;
use weir_sim::{Frame, Offer, SimConfig, Simulator};

/// What a run measured.
#[derive(Debug, Serialize)]
struct Measured {
    frames: u64,
    bytes: u64,
    diverted: u64,
    cpu_seconds: f64,
    wall_seconds: f64,
    load_seconds: f64,
    load_cpu_seconds: f64,
    peak_bytes: u64,
}

pub fn run(rules: &[PathBuf], pcap: &Path, config: &Config) -> Result<()> {
    let start = Instant::now();
    let loaded = pipeline::load(rules, config).map_err(failed)?;
    let tables = weir::device::tables(&loaded).map_err(failed)?;
    let open = || Source::open(pcap);
    let validate = pipeline::validates_checksums(config, &open).map_err(failed)?;
    let model = Simulator::new(SimConfig { queues: config.device.queues, flow_entries: config.device.flow_entries });
    let mut driver = Driver::probe(model.clone())?;
    driver.set_up(&weir::device::driver_config(config, validate))?;
    let epoch = driver.load_tables(&tables.image.bytes)?;
    driver.activate(epoch)?;
    driver.enable(false)?;
    let (load_seconds, load_cpu_seconds) = (start.elapsed().as_secs_f64(), cpu_seconds());
    let mut source = open().map_err(failed)?;
    let start = Instant::now();
    let frames = inspect(&model, &mut driver, &mut source, u64::from(config.device.batch))?;
    let wall_seconds = start.elapsed().as_secs_f64();
    let received = model.counter(Counter::ReceivedFrames);
    if received != frames {
        bail!("the model received {received} of {frames} frames");
    }
    let measured = Measured {
        frames,
        bytes: model.counter(Counter::ReceivedBytes),
        diverted: model.counter(Counter::DivertedFrames),
        cpu_seconds: cpu_seconds() - load_cpu_seconds,
        wall_seconds,
        load_seconds,
        load_cpu_seconds,
        peak_bytes: status_bytes("VmHWM"),
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// Offers every frame; gives how many there were. Not inlined, so that a profiler can tell it from loading.
#[inline(never)]
fn inspect(model: &Simulator, driver: &mut Driver<Simulator>, source: &mut Source, batch: u64) -> Result<u64> {
    let (mut frames, mut last_time) = (0u64, 0u64);
    loop {
        let mut result = Ok(());
        let more = source
            .next(&mut |frame| {
                last_time = last_time.max(frame.time.0);
                let offered = Frame {
                    number: frame.number,
                    time: last_time,
                    link: frame.link,
                    data: frame.data,
                    wire_length: frame.wire_length,
                };
                let mut waits = 0;
                while model.offer(&offered) == Offer::Wait {
                    result = answer(driver);
                    waits += 1;
                    if result.is_err() || waits > 10_000 {
                        break;
                    }
                }
                if waits > 10_000 {
                    result = Err(anyhow::anyhow!("frame {}: the rings stay full", frame.number));
                }
            })
            .map_err(failed)?;
        result?;
        if !more {
            break;
        }
        frames += 1;
        if frames.is_multiple_of(batch) {
            answer(driver)?;
        }
    }
    answer(driver)?;
    Ok(frames)
}

/// Takes all descriptors and flow records; forwards and releases.
fn answer(driver: &mut Driver<Simulator>) -> Result<()> {
    for queue in 0..driver.queues() {
        while let Some(descriptor) = driver.next_descriptor(queue)? {
            if descriptor.kind == DescriptorKind::Handover as u8 {
                continue;
            }
            let flow = (descriptor.flow_index, descriptor.flow_generation);
            driver.flow_command(queue, TxCommand::Forward, flow, descriptor.frame_number, 0)?;
            if descriptor.flow_index != weir_contract::constants::FLOW_NONE {
                driver.flow_command(queue, TxCommand::Release, flow, descriptor.frame_number, 0)?;
            }
        }
        driver.done(queue)?;
        driver.ring(queue)?;
        while driver.next_flow_record(queue)?.is_some() {}
    }
    driver.heartbeat()?;
    Ok(())
}
