//! A host that lags behind its device: sources that have had more than their share of its work are answered without
//! inspection.

use super::budget::Budget;
use super::DeviceRuntime;
use std::net::IpAddr;
use weir_contract::constants as c;
use weir_contract::enums::{FrameFlags, TxCommand, TxFlags};
use weir_contract::layouts::{Descriptor, TxEntry};
use weir_device::{DeviceError, HistoryFrame, PciFunction, answer_to};
use weir_packet::{ether_types, link_types};

/// What the host does about sources that take too much while it lags.
#[derive(Debug)]
pub struct Overload {
    budget: Budget,
    /// What is not inspected passes; else it is dropped.
    fail_open: bool,
    lags: bool,
}

impl Overload {
    /// With a budget; `fail_open`: frames beyond it pass.
    pub fn new(budget: Budget, fail_open: bool) -> Self {
        Overload { budget, fail_open, lags: false }
    }
}

impl<P: PciFunction> DeviceRuntime<P> {
    /// From now on sources share the host when it lags. (A source of frames that waits for the host needs none: nothing is lost.)
    pub fn set_overload(&mut self, overload: Overload) {
        self.overload = Some(overload);
    }

    /// The host lags from a ring that is half full on, until none is more than an eighth full.
    fn lags(&mut self) -> bool {
        let fullest = (0..self.queues.len()).map(|queue| self.driver.backlog(queue));
        let (half, eighth) = fullest.fold((false, true), |(half, eighth), (used, entries)| {
            (half || used >= entries / 2, eighth && used <= entries / 8)
        });
        let Some(overload) = &mut self.overload else { return false };
        overload.lags = half || overload.lags && !eighth;
        overload.lags
    }

    /// The frame may be inspected; if not, it has been answered. (A host that keeps up need not look who sent it.)
    pub(super) fn admit(&mut self, queue: usize, descriptor: &Descriptor) -> Result<bool, DeviceError> {
        if descriptor.position == c::POSITION_NONE || !self.lags() {
            return Ok(true);
        }
        let mut frame = std::mem::take(&mut self.frame);
        let read = self.driver.read_frame(queue, descriptor.position, &mut frame);
        self.frame = frame;
        // What cannot be read is met again by whoever inspects.
        let (Ok(()), Some(overload)) = (read, &self.overload) else { return Ok(true) };
        if source_of(&self.frame, descriptor).is_none_or(|source| overload.budget.allows(source)) {
            return Ok(true);
        }
        let fail_open = overload.fail_open;
        self.counters.over_budget.add(self.frame.data.len());
        self.pass_over(queue, descriptor, fail_open)?;
        Ok(false)
    }

    /// A frame has been inspected: work for its source.
    pub(super) fn count_work(&mut self, frame: &HistoryFrame, descriptor: &Descriptor) {
        if let Some(overload) = &mut self.overload
            && let Some(source) = source_of(frame, descriptor)
        {
            overload.budget.count(source, frame.data.len());
        }
    }

    /// The answer to a frame that is not inspected.
    fn pass_over(&mut self, queue: usize, descriptor: &Descriptor, fail_open: bool) -> Result<(), DeviceError> {
        if fail_open {
            let entry = answer_to(descriptor, TxCommand::Forward);
            return match self.inline {
                Some(_) => self.driver.send(queue, &entry, &self.frame.data),
                None => self.driver.command(queue, &entry),
            };
        }
        let flags = if descriptor.flow_index == c::FLOW_NONE { TxFlags::FLOWLESS.0 } else { 0 };
        self.driver.command(queue, &TxEntry { flags, ..answer_to(descriptor, TxCommand::Drop) })
    }
}

/// Who began the flow of an Ethernet frame, as far as the device knows: who is to blame for the work.
fn source_of(frame: &HistoryFrame, descriptor: &Descriptor) -> Option<IpAddr> {
    let to_client = descriptor.flags & FrameFlags::TO_CLIENT.0 != 0;
    if frame.link != link_types::ETHERNET {
        return None;
    }
    let half = |at: usize| frame.data.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b));
    let (mut at, mut kind) = (14, half(12)?);
    for _ in 0..3 {
        if matches!(kind, ether_types::VLAN | ether_types::PROVIDER_BRIDGE | ether_types::QINQ_OLD) {
            (kind, at) = (half(at + 2)?, at + 4);
        }
    }
    let bytes = |at: usize| frame.data.get(at..);
    match kind {
        ether_types::IPV4 => {
            let from = at + if to_client { 16 } else { 12 };
            bytes(from)?.first_chunk::<4>().map(|b| IpAddr::from(*b))
        }
        ether_types::IPV6 => {
            let from = at + if to_client { 24 } else { 8 };
            bytes(from)?.first_chunk::<16>().map(|b| IpAddr::from(*b))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_who_began() {
        let of = |data: Vec<u8>, to_client| {
            let flags = if to_client { FrameFlags::TO_CLIENT.0 } else { 0 };
            let frame = HistoryFrame { link: link_types::ETHERNET, data, ..HistoryFrame::default() };
            source_of(&frame, &Descriptor { flags, ..Descriptor::ZERO }).map(|a| a.to_string())
        };
        let v4 = |tags: &[u8]| {
            let ip = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1];
            [&[0; 12][..], tags, &[8, 0], &ip].concat()
        };
        assert_eq!(of(v4(&[]), false).unwrap(), "192.0.2.1");
        assert_eq!(of(v4(&[]), true).unwrap(), "198.51.100.1");
        assert_eq!(of(v4(&[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2]), false).unwrap(), "192.0.2.1");
        assert_eq!(of(v4(&[])[..30].to_vec(), true), None);
        let v6 = [&[0; 12][..], &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 59, 1], &[0x20; 16], &[0x30; 16]].concat();
        assert_eq!(of(v6.clone(), false).unwrap(), "2020:2020:2020:2020:2020:2020:2020:2020");
        assert_eq!(of(v6, true).unwrap(), "3030:3030:3030:3030:3030:3030:3030:3030");
        assert_eq!(of(vec![0; 60], false), None);
    }
}
