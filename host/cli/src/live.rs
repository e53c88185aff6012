//! Live traffic: which interfaces, and what becomes of their frames.
//!
//! Place: between [`weir_live`], which receives and sends, and the run loops, which know a [`Source`](crate::pipeline::Source).
//! Behind a device the device transmits; without one the engine's decision is carried out here.

use crate::args::RunArguments;
use crate::exit::{Failure, INTERNAL, USAGE, accounted};
use crate::privileges::{self, Keep, Restorer};
use std::time::Duration;
use weir_engine::{Engine, Inline};
use weir_live::privileges::User;
use weir_live::{Link, LinkConfig, LiveError, Mode, Next, QueueConfig, Wire};
use weir_management::{Config, Offloads, RejectTold};
use weir_output::InterfaceTotals;
use weir_packet::Frame;
use weir_response::{End, answers};

/// Whose fault it is when frames of interfaces are not accounted for.
pub(crate) const FAULT: &str = "this is a fault of Weir: please report it";

/// The interfaces of a run; none: it reads captures.
pub fn config(arguments: &RunArguments, config: &Config) -> Option<LinkConfig> {
    let live = &config.live;
    let named = arguments.pcap.is_some() || arguments.example;
    let (mode, interfaces) = match (&*arguments.inline, &*arguments.tap) {
        (inline @ [_, ..], _) => (Mode::Inline, inline.to_vec()),
        (_, tap @ [_, ..]) => (Mode::Tap, tap.to_vec()),
        _ if named => return None,
        _ if !live.inline.is_empty() => (Mode::Inline, live.inline.clone()),
        _ if !live.tap.is_empty() => (Mode::Tap, live.tap.clone()),
        _ => return None,
    };
    let limits = (arguments.frames, arguments.seconds.map(Duration::from_secs));
    Some(link(mode, interfaces, config, limits))
}

/// How interfaces are used; `limits`: in frames, and in time.
pub fn link(mode: Mode, interfaces: Vec<String>, config: &Config, limits: (Option<u64>, Option<Duration>)) -> LinkConfig {
    let live = &config.live;
    LinkConfig {
        mode,
        interfaces,
        ring: live.ring_size.bytes(),
        promiscuous: live.promiscuous,
        offloads: match live.offloads {
            Offloads::Off => weir_live::Offloads::Off,
            Offloads::Refuse => weir_live::Offloads::Refuse,
            Offloads::Keep => weir_live::Offloads::Keep,
        },
        queues: QueueConfig { length: live.queue_length, fail_open: live.queue_fail_open, mark: live.queue_mark },
        idle: Duration::from_millis(live.idle.into()),
        frames: limits.0,
        duration: limits.1,
    }
}

/// How verdicts are carried out.
pub fn inline(config: &Config) -> Inline {
    let drop_time = config.inline.drop_time.nanoseconds();
    Inline { reject_both: config.inline.reject == RejectTold::Both, drop_time }
}

/// Interfaces as a source of frames.
pub struct Live {
    link: Link,
    interfaces: Vec<String>,
    idle: Option<u64>,
}

pub(crate) fn failure(error: LiveError) -> Failure {
    let remedy = error.remedy();
    let code = if matches!(error, LiveError::System { .. } | LiveError::Lost { .. }) { INTERNAL } else { USAGE };
    Failure { code, error: error.into(), remedy: Some(remedy) }
}

/// Opens interfaces.
pub fn open(config: LinkConfig) -> Result<Link, Failure> {
    let queues = config.interfaces.len() == 1 && config.interfaces.iter().all(|name| name.starts_with("nfqueue:"));
    if config.mode == Mode::Inline && config.interfaces.len() != 2 && !queues {
        return Err(Failure {
            code: USAGE,
            error: anyhow::anyhow!("--inline needs two interfaces, not {}", config.interfaces.len()),
            remedy: Some("name both: --inline eth1,eth2; or a queue of the firewall: --inline nfqueue:0".to_owned()),
        });
    }
    Link::open(config).map_err(failure)
}

/// Gives privileges up that were needed to open a link. While what this gives lives, and no longer, offloads stay off.
pub(crate) fn give_up(link: &mut Link, user: Option<&User>, config: &Config) -> Result<Option<Restorer>, Failure> {
    let goes = config.system.drop_privileges || user.is_some();
    let restorer = if goes { privileges::restorer(link) } else { None };
    privileges::drop(user, if link.has_queues() { Keep::Queues } else { Keep::Nothing }, config)?;
    Ok(restorer)
}

impl Live {
    /// Opens the interfaces.
    pub fn open(config: LinkConfig) -> Result<Live, Failure> {
        let interfaces = config.interfaces.clone();
        Ok(Live { link: open(config)?, interfaces, idle: None })
    }

    /// Gives privileges up. While what this gives lives, and no longer, offloads stay off.
    pub fn give_up(&mut self, user: Option<&User>, config: &Config) -> Result<Option<Restorer>, Failure> {
        give_up(&mut self.link, user, config)
    }

    /// Says what runs from now on.
    pub fn announce(&self, device: &str) {
        let how = match (self.link.is_inline(), self.interfaces.len()) {
            (true, 1) => "inline at",
            (true, _) => "inline between",
            (false, _) => "listening to",
        };
        eprintln!("Weir is {how} {}; {device}.", self.interfaces.join(if self.link.is_inline() { " and " } else { ", " }));
        for remark in self.link.remarks() {
            eprintln!("note: {remark}");
        }
    }

    /// Waits for a frame a while; `false` at the end.
    pub fn next(&mut self, take: &mut dyn FnMut(&Frame<'_>)) -> Result<bool, Failure> {
        let next = self.link.next(take).map_err(failure)?;
        self.idle = if let Next::Idle(time) = next { Some(time) } else { None };
        Ok(next != Next::End)
    }

    /// The last wait has brought no frame, and it is this time.
    pub fn idle(&self) -> Option<u64> {
        self.idle
    }

    /// Where frames are sent; none on a tap.
    pub fn wire(&self) -> Option<Wire> {
        self.link.is_inline().then(|| self.link.wire())
    }

    /// Only what has come already is still taken.
    pub fn drain(&mut self) {
        self.link.drain();
    }

    /// Frames so far, and those wanted.
    pub fn progress(&self) -> (u64, u64) {
        self.link.progress()
    }

    /// What the operator should know at the end.
    pub fn remarks(&mut self) -> Vec<String> {
        remarks(&mut self.link)
    }

    /// Totals by interface.
    pub fn totals(&mut self) -> Vec<InterfaceTotals> {
        totals(&mut self.link)
    }

    /// Frames that are not accounted for are an error. `dropped`: by the device and its host, where there is one.
    pub fn check(&mut self, dropped: u64) -> Result<(), Failure> {
        let wire = self.link.wire();
        wire.flush();
        wire.drop_frames(dropped);
        accounted(self.link.imbalance(), FAULT)
    }
}

/// What the operator should know at the end.
pub(crate) fn remarks(link: &mut Link) -> Vec<String> {
    let mut remarks = Vec::new();
    for (name, of) in link.counters() {
        if of.lost > 0 {
            remarks.push(format!("{name}: {} frames were lost because Weir was too slow for them; a larger live.ring-size bridges bursts", of.lost));
        }
        if of.unsegmented > 0 {
            remarks.push(format!(
                "{name}: {} frames came as the sender's stack left them to a card, and were cut into {}; `ethtool -K PEER tso off gso off` at the other end spares that",
                of.unsegmented, of.segments
            ));
        }
        if of.overruns > 0 {
            remarks.push(format!("{name}: the kernel found no room for packets {} times; a larger live.ring-size bridges bursts", of.overruns));
        }
        for (why, n) in &of.refused {
            remarks.push(format!("{name}: {n} frames were not sent: {why}"));
        }
    }
    remarks
}

/// Totals by interface.
fn totals(link: &mut Link) -> Vec<InterfaceTotals> {
    let counters = link.counters();
    let totals = counters.into_iter().map(|(name, of)| InterfaceTotals {
        name,
        received_packets: of.received,
        received_bytes: of.received_bytes,
        lost_packets: of.lost,
        truncated_packets: of.truncated,
        unsegmented_packets: of.unsegmented,
        segments: of.segments,
        completed_checksums: of.checksums,
        restored_tags: of.tags,
        sent_packets: of.sent,
        sent_bytes: of.sent_bytes,
        refused_packets: of.refused.into_iter().map(|(why, n)| (why.to_owned(), n)).collect(),
        waits: of.waits,
        downs: of.downs,
        overruns: of.overruns,
        own_packets: of.own,
    });
    totals.collect()
}

/// Without a device: what the engine has decided about the frame at hand.
pub fn carry_out(engine: &mut Engine, wire: &Wire, frame: &Frame<'_>, inline: Inline) {
    let decision = engine.take_decision();
    if !decision.dropped {
        return wire.forward(frame.data);
    }
    wire.drop_frame();
    if let Some(target) = decision.reject {
        let ingress = wire.ingress();
        answers(frame.link, frame.data, inline.ends(target), &mut |end, bytes| {
            wire.inject(if end == End::Sender { ingress } else { u8::from(ingress == 0) }, bytes);
        });
    }
}
