//! `weir device selftest`: what a device must do before it is trusted with a link.
//!
//! Each step is one promise of the contract that can be tried from the host: registers, tables by DMA, interrupts, and, where
//! frames can be put into a port (a simulated device), the frame path. The device is reset before and after.

use super::{BAR, Driver, DriverConfig, HistoryFrame, QueueConfig, answer_to, imbalances};
use crate::error::DeviceError;
use crate::pci::PciFunction;
use std::time::{Duration, Instant};
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::enums::{CapabilityType, DescriptorKind, Error, InterruptCause, Status, TxCommand};
use weir_contract::layouts::ImageHeader;
use weir_contract::registers as r;

/// The rule whose tables the steps load: its fragment is in frames that must be diverted, and in no others.
pub const RULE: &str = concat!(
    r#"alert udp any any -> any any (msg:"selftest"; content:"weir-selftest"; sid:1; rev:1;)"#,
    "\n"
);
const FRAGMENT: &[u8] = b"weir-selftest";
/// Flows that the frame path is tried with: enough that each queue gets some.
const FLOWS: u16 = 256;
/// How long an interrupt may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should; what was seen.
    Passed(String),
    /// Not so.
    Failed(String),
    /// It could not be tried.
    Skipped(String),
}

/// One promise, tried.
#[derive(Debug, Clone)]
pub struct Step {
    /// Short name.
    pub name: &'static str,
    /// What must hold.
    pub promise: &'static str,
    /// Result.
    pub outcome: Outcome,
    /// Time it took.
    pub took: Duration,
}

/// Puts a frame into the device's port: number, time in nanoseconds, bytes.
pub type Port<'a> = &'a mut (dyn FnMut(u64, u64, &[u8]) + 'a);

type Tried = Result<Outcome, DeviceError>;

struct Bench<'a, 'p, P> {
    driver: Driver<P>,
    image: &'a [u8],
    port: Option<Port<'p>>,
    number: u64,
    time: u64,
}

/// Try everything on a device that no host uses. `image` are the tables of [`RULE`]. `seen` is told of each step when it ends.
/// Stops at the first failure: what comes after would only fail for it.
pub fn selftest<'p, P: PciFunction>(pci: P, image: &[u8], port: Option<Port<'p>>, seen: &mut dyn FnMut(&Step)) -> Vec<Step> {
    let mut steps = Vec::new();
    let begin = Instant::now();
    let mut tell = |name, promise, outcome: Tried, begin: Instant| {
        let outcome = outcome.unwrap_or_else(|error| Outcome::Failed(error.to_string()));
        let step = Step { name, promise, outcome, took: begin.elapsed() };
        seen(&step);
        let goes_on = !matches!(step.outcome, Outcome::Failed(_));
        steps.push(step);
        goes_on
    };
    let promise = "it is a Weir device, of this contract, and no host uses it";
    let mut driver = match Driver::attach(pci) {
        Ok(driver) => driver,
        Err(error) => {
            tell("identity", promise, Err(error), begin);
            return steps;
        }
    };
    if !tell("identity", promise, identity(&mut driver), begin) {
        return steps;
    }
    let mut bench = Bench { driver, image, port, number: 0, time: 1_000_000_000 };
    type Try<'a, 'p, P> = fn(&mut Bench<'a, 'p, P>) -> Tried;
    let tries: [(&str, &str, Try<'_, '_, P>); 11] = [
        ("reset", "a reset ends, and nothing is counted after it", Bench::reset),
        ("registers", "registers keep what is written, constants stay, an unknown one reads all ones", Bench::registers),
        ("capabilities", "the device says what it holds, and it is enough", Bench::capabilities),
        ("rings", "rings of all queues are taken", Bench::rings),
        ("tables", "tables come by DMA whole: their checksum reads back", Bench::tables),
        ("damaged tables", "a flipped bit is refused, and the tables before stay", Bench::damaged),
        ("rollback", "the tables before the last ones are a write away", Bench::rollback),
        ("interrupts", "a vector is raised for a cause that is asked for", Bench::interrupts),
        ("locks", "set-up registers are locked while frames are taken", Bench::locks),
        ("frames", "every frame of a flow with the fragment reaches the host, no other does, and all are accounted for", Bench::frames),
        ("fail mode", "frames meet the fail mode when the host stops beating, and no longer when it beats again", Bench::fail_mode),
    ];
    for (name, promise, step) in tries {
        let begin = Instant::now();
        let outcome = step(&mut bench);
        if !tell(name, promise, outcome, begin) {
            break;
        }
    }
    let begin = Instant::now();
    let end = bench.driver.reset().map(|()| Outcome::Passed("reset".to_owned()));
    tell("end", "the device is left as after power-on", end, begin);
    steps
}

fn fail(what: impl Into<String>) -> Tried {
    Ok(Outcome::Failed(what.into()))
}

fn pass(what: impl Into<String>) -> Tried {
    Ok(Outcome::Passed(what.into()))
}

fn identity<P: PciFunction>(driver: &mut Driver<P>) -> Tried {
    let status = driver.pci.read32(BAR, r::STATUS)?;
    if status & Status::ENABLED.0 != 0 {
        return fail("the device is enabled: a host uses it; end that one first, the test would reset the device under it");
    }
    let kind = driver.kind()?.map_or_else(|| "of an unknown kind".to_owned(), |kind| format!("{kind:?}"));
    let (major, minor) = driver.version();
    pass(format!("{kind}, contract {major}.{minor}"))
}

/// An Ethernet frame with a UDP datagram from 192.0.2.1 (RFC 5737) and this port.
fn frame(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = 28 + payload.len() as u16;
    let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1];
    ip[2..4].copy_from_slice(&length.to_be_bytes());
    let sum = ip.chunks(2).fold(0u32, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let folded = (sum & 0xffff) + (sum >> 16);
    ip[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    let mut out = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    out.extend_from_slice(&ip);
    for field in [port, 4999, length - 20, 0] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    out.extend_from_slice(payload);
    out
}

impl<P: PciFunction> Bench<'_, '_, P> {
    fn reset(&mut self) -> Tried {
        self.driver.reset()?;
        let counters = self.driver.counters()?;
        match counters.iter().find(|(_, n)| *n != 0) {
            Some((counter, n)) => fail(format!("{} is {n}", counter.name())),
            None => pass(format!("{} counters are 0", counters.len())),
        }
    }

    fn registers(&mut self) -> Tried {
        let pci = &mut self.driver.pci;
        for bit in 0..64 {
            for value in [1u64 << bit, !(1u64 << bit)] {
                pci.write64(BAR, r::TABLE_ADDRESS, value)?;
                let read = pci.read64(BAR, r::TABLE_ADDRESS)?;
                if read != value {
                    return fail(format!("TABLE_ADDRESS reads {read:#x} after {value:#x}"));
                }
            }
        }
        pci.write32(BAR, r::MAGIC, 0)?;
        if pci.read32(BAR, r::MAGIC)? != c::DEVICE_MAGIC {
            return fail("MAGIC can be written");
        }
        let unknown = pci.read32(BAR, (c::BAR_REGISTERS_SIZE - 4) as u32)?;
        if unknown != u32::MAX {
            return fail(format!("the last word of the BAR reads {unknown:#x}"));
        }
        pass("128 patterns of TABLE_ADDRESS read back")
    }

    fn capabilities(&mut self) -> Tried {
        use CapabilityType as T;
        for kind in [T::Queues, T::FlowTable, T::Literals, T::ExactEntries, T::Records, T::Banks, T::History] {
            if self.driver.capability(kind).is_none_or(|capability| capability.value0 == 0) {
                return fail(format!("{kind:?} is missing or 0"));
            }
        }
        pass(format!("{} capabilities", self.driver.capabilities.len()))
    }

    fn config(&self) -> DriverConfig {
        let queues = self.driver.capability(CapabilityType::Queues).map_or(1, |queues| queues.value0.clamp(1, 64));
        DriverConfig {
            queues: 1 << queues.ilog2(),
            queue: QueueConfig { history: 1 << 18, margin: 0, descriptors: 1 << 10, flow_records: 1 << 9, tx: 1 << 10 },
            validate_checksums: false,
            ..DriverConfig::default()
        }
    }

    fn rings(&mut self) -> Tried {
        let config = self.config();
        self.driver.set_up(&config)?;
        pass(format!("{} queues", config.queues))
    }

    fn load(&mut self) -> Result<u32, DeviceError> {
        let epoch = self.driver.load_tables(self.image)?;
        self.driver.activate(epoch)?;
        Ok(epoch)
    }

    fn tables(&mut self) -> Tried {
        let Some(header) = self.image.first_chunk().map(ImageHeader::from_bytes) else { return fail("the image is cut short") };
        let epoch = self.load()?;
        let crc = self.driver.pci.read32(BAR, r::TABLE_CRC)?;
        if crc != header.directory_crc {
            return fail(format!("TABLE_CRC reads {crc:#010x}, the image has {:#010x}", header.directory_crc));
        }
        if self.driver.info()?.identity != header.identity {
            return fail("TABLE_IDENTITY is not the image's");
        }
        pass(format!("{} bytes, epoch {epoch}, checksum {crc:#010x}", self.image.len()))
    }

    fn damaged(&mut self) -> Tried {
        let before = self.driver.epoch()?;
        let mut refused = 0;
        for at in [16, ImageHeader::SIZE, self.image.len() / 2, self.image.len() - 1] {
            let mut image = self.image.to_vec();
            let Some(byte) = image.get_mut(at) else { continue };
            *byte ^= 0x10;
            match self.driver.load_tables(&image) {
                Err(DeviceError::Table { .. }) => refused += 1,
                Ok(_) => return fail(format!("tables with a wrong bit at byte {at} are taken")),
                Err(other) => return Err(other),
            }
            if self.driver.epoch()? != before {
                return fail("the tables before are gone");
            }
        }
        pass(format!("{refused} refused, epoch {before} stays"))
    }

    fn rollback(&mut self) -> Tried {
        let before = self.driver.epoch()?;
        let after = self.load()?;
        if after == before {
            return fail("two epochs have one number");
        }
        match self.driver.rollback()? {
            epoch if epoch == before => pass(format!("epoch {after}, then {before} again")),
            epoch => fail(format!("epoch {epoch} instead of {before}")),
        }
    }

    fn interrupts(&mut self) -> Tried {
        self.driver.pci.write32(BAR, r::INTERRUPT_CAUSE, u32::MAX)?;
        self.driver.pci.write32(BAR, r::INTERRUPT_MASK, InterruptCause::TABLE.0)?;
        // What was raised before is of no account.
        self.driver.pci.interrupt(c::MSIX_VECTOR_CONTROL, Duration::ZERO)?;
        let begin = Instant::now();
        self.driver.load_tables(self.image)?;
        let raised = self.driver.pci.interrupt(c::MSIX_VECTOR_CONTROL, PATIENCE)?;
        let took = begin.elapsed();
        self.driver.pci.write32(BAR, r::INTERRUPT_MASK, 0)?;
        let cause = self.driver.pci.read32(BAR, r::INTERRUPT_CAUSE)?;
        if !raised || cause & InterruptCause::TABLE.0 == 0 {
            return fail(format!("loading tables raises {}, INTERRUPT_CAUSE {cause:#x}", if raised { "the vector" } else { "nothing" }));
        }
        pass(format!("vector {} within {} µs of a load", c::MSIX_VECTOR_CONTROL, took.as_micros()))
    }

    fn locks(&mut self) -> Tried {
        self.driver.enable(false)?;
        self.driver.pci.write32(BAR, r::QUEUE_COUNT, 1)?;
        let refused = self.driver.check();
        self.driver.disable()?;
        match refused {
            Err(DeviceError::Reported { code: Error::Locked, .. }) => pass("QUEUE_COUNT is refused"),
            Err(other) => Err(other),
            Ok(()) => fail("QUEUE_COUNT can be written"),
        }
    }

    fn offer(&mut self, bytes: &[u8]) -> u64 {
        self.number += 1;
        self.time += 1_000;
        if let Some(port) = &mut self.port {
            port(self.number, self.time, bytes);
        }
        self.number
    }

    fn frames(&mut self) -> Tried {
        if self.port.is_none() {
            return Ok(Outcome::Skipped("no frames can be put into this device's ports from here".to_owned()));
        }
        self.driver.enable(false)?;
        let queues = self.driver.queues();
        let mut of_queue = vec![0u32; queues];
        let mut history = HistoryFrame::default();
        for flow in 0..FLOWS {
            let earlier = [b"harmless ".as_slice(), &flow.to_be_bytes()].concat();
            let attack = [FRAGMENT, &flow.to_be_bytes()].concat();
            let (earlier, attack) = (frame(20_000 + flow, &earlier), frame(20_000 + flow, &attack));
            self.offer(&earlier);
            let number = if flow % 2 == 0 { Some(self.offer(&attack)) } else { None };
            let mut found = None;
            for (queue, count) in of_queue.iter_mut().enumerate() {
                while let Some(descriptor) = self.driver.next_descriptor(queue)? {
                    if descriptor.kind != DescriptorKind::Frame as u8 {
                        return fail(format!("flow {flow}: a HANDOVER of a ring that is nearly empty"));
                    }
                    let mut chain = Vec::new();
                    let (n, read) = self.driver.read_chain(queue, descriptor.chain_head, descriptor.chain_count, &mut chain);
                    read?;
                    self.driver.read_frame(queue, descriptor.position, &mut history)?;
                    if n != 1 || chain.first().is_none_or(|frame| frame.data != earlier) || history.data != attack {
                        return fail(format!("flow {flow}: {n} frames of history, or other bytes than were sent"));
                    }
                    *count += 1;
                    found = Some(descriptor.frame_number);
                    self.driver.command(queue, &answer_to(&descriptor, TxCommand::Forward))?;
                }
                self.driver.done(queue)?;
                self.driver.ring(queue)?;
            }
            if found != number {
                return fail(format!("flow {flow}: frame {number:?} was to be diverted, {found:?} was"));
            }
        }
        let counters = self.driver.counters()?;
        self.driver.disable()?;
        if let Some(broken) = imbalances(&counters).first() {
            return fail(broken.to_string());
        }
        let value = |counter| counters.iter().find(|(known, _)| *known == counter).map_or(0, |(_, n)| *n);
        let half = u64::from(FLOWS) / 2;
        let seen = [Counter::DivertedFrames, Counter::VerdictForward, Counter::InFlight].map(value);
        if seen != [half, half, 0] {
            return fail(format!("diverted, forwarded, in flight: {seen:?}"));
        }
        if queues > 1 && of_queue.contains(&0) {
            return fail(format!("frames by queue: {of_queue:?}"));
        }
        pass(format!("{half} of {FLOWS} flows diverted with their history, over {queues} queues"))
    }

    fn fail_mode(&mut self) -> Tried {
        if self.port.is_none() {
            return Ok(Outcome::Skipped("no frames can be put into this device's ports from here".to_owned()));
        }
        self.driver.pci.write32(BAR, r::WATCHDOG_FRAMES, 2)?;
        self.driver.enable(false)?;
        self.driver.heartbeat()?;
        let bypassed = |bench: &mut Self| -> Result<u64, DeviceError> {
            let counters = bench.driver.counters()?;
            Ok(counters.iter().find(|(known, _)| *known == Counter::BypassedFailOpen).map_or(0, |(_, n)| *n))
        };
        let before = bypassed(self)?;
        for _ in 0..4 {
            self.offer(&frame(1999, b"harmless"));
        }
        let (status, during) = (self.driver.pci.read32(BAR, r::STATUS)?, bypassed(self)? - before);
        self.driver.heartbeat()?;
        self.offer(&frame(1999, b"harmless"));
        let after = bypassed(self)? - before - during;
        self.driver.disable()?;
        self.driver.pci.write32(BAR, r::WATCHDOG_FRAMES, 0)?;
        if status & Status::FAIL_MODE.0 == 0 || (during, after) != (2, 0) {
            return fail(format!("of 4 frames, 2 allowed without a beat, {during} met the fail mode; {after} after a beat"));
        }
        pass("2 of 4 frames without a beat, none after one")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_whole() {
        let bytes = frame(2000, b"x");
        assert_eq!(bytes.len(), 14 + 20 + 8 + 1);
        let sum: u32 = bytes[14..34].chunks(2).map(|p| u32::from(u16::from_be_bytes([p[0], p[1]]))).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }
}
