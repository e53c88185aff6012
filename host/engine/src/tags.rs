//! Tagged packets: what follows an alert of a rule with `tag`, of its flow or of one of its hosts.

use std::collections::HashMap;
use std::net::IpAddr;
use weir_ir::{Tag, TagMetric};

/// Most flows and hosts that are tagged at a time; more are not.
const TAGS_MAX: usize = 1 << 16;

/// Whose packets are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Whose {
    /// The flow's, by its number.
    Flow(u64),
    /// A host's.
    Host(IpAddr),
}

/// A tag that is in force.
#[derive(Debug, Clone, Copy)]
pub struct Running {
    tag: Tag,
    /// Frame of the alert, which is not told again, and its time.
    began: (u64, u64),
    /// Packets and bytes so far, the alert's included.
    packets: u64,
    bytes: u64,
}

impl Running {
    /// From the alert's packet on.
    pub fn new(tag: Tag, frame: u64, time: u64, bytes: usize) -> Running {
        Running { tag, began: (frame, time), packets: 1, bytes: bytes as u64 }
    }

    /// One more packet: whether it is told; none when the tag is over.
    fn packet(&mut self, frame: u64, time: u64, bytes: usize) -> Option<bool> {
        if frame == self.began.0 {
            return Some(false);
        }
        self.packets += 1;
        self.bytes += bytes as u64;
        let count = u64::from(self.tag.count);
        let within = match self.tag.metric {
            TagMetric::Packets => self.packets <= count,
            TagMetric::Bytes => self.bytes <= count,
            TagMetric::Seconds => time.saturating_sub(self.began.1) / 1_000_000_000 <= count,
        };
        within.then_some(true)
    }
}

/// Tags of a flow and of hosts.
#[derive(Debug, Default)]
pub struct Tags {
    running: HashMap<Whose, Running>,
}

impl Tags {
    /// Tags a flow or host, unless it is.
    pub fn begin(&mut self, whose: Whose, running: Running) {
        if self.running.len() < TAGS_MAX || self.running.contains_key(&whose) {
            self.running.entry(whose).or_insert(running);
        }
    }

    /// A packet is told for its flow's tag, or for that of one of its ends.
    pub fn tells(
        &mut self,
        flow: Option<u64>,
        ends: Option<(IpAddr, IpAddr)>,
        (frame, time, bytes): (u64, u64, usize),
    ) -> bool {
        if self.running.is_empty() {
            return false;
        }
        let hosts = ends.into_iter().flat_map(|(source, destination)| [source, destination]).map(Whose::Host);
        let mut told = false;
        for whose in flow.map(Whose::Flow).into_iter().chain(hosts) {
            match self.running.get_mut(&whose).map(|running| running.packet(frame, time, bytes)) {
                Some(Some(tells)) => told |= tells,
                Some(None) => {
                    self.running.remove(&whose);
                }
                None => {}
            }
        }
        told
    }

    /// The flow's tag is not over, as far as its packets have told.
    pub fn is_running(&self, flow: u64) -> bool {
        !self.running.is_empty() && self.running.contains_key(&Whose::Flow(flow))
    }

    /// A flow has ended.
    pub fn end(&mut self, flow: u64) {
        self.running.remove(&Whose::Flow(flow));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_ir::TagWho;

    /// A tunnel's flow and the one within it begin with the same frame.
    #[test]
    fn tags_of_flows_and_hosts_are_apart() {
        let tag = Tag { who: TagWho::Session, count: 9, metric: TagMetric::Packets };
        let hosts: (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let (outer, inner) = (7 << 8, 7 << 8 | 1);
        let mut tags = Tags::default();
        tags.begin(Whose::Flow(inner), Running::new(tag, 7, 0, 60));
        assert!(tags.is_running(inner) && !tags.is_running(outer));
        assert!(!tags.tells(Some(outer), Some(hosts), (8, 0, 60)));
        assert!(tags.tells(Some(inner), Some(hosts), (8, 0, 60)));
        tags.end(outer);
        assert!(tags.tells(Some(inner), Some(hosts), (9, 0, 60)));
        tags.end(inner);
        assert!(!tags.tells(Some(inner), Some(hosts), (10, 0, 60)));
    }

    #[test]
    fn a_tag_ends_with_its_count() {
        let host: IpAddr = [10, 0, 0, 1].into();
        let other: IpAddr = [10, 0, 0, 2].into();
        let tag = Tag { who: TagWho::Source, count: 3, metric: TagMetric::Packets };
        let mut tags = Tags::default();
        tags.begin(Whose::Host(host), Running::new(tag, 1, 0, 60));
        let told: Vec<bool> =
            (1..6).map(|n| tags.tells(None, Some((other, host)), (n, n * 1_000_000_000, 60))).collect();
        assert_eq!(told, [false, true, true, false, false]);
        assert!(tags.running.is_empty());
    }
}
