//! Interfaces that are listened to together.

use crate::interface::{Frames, InterfaceCounters, Receiver, Settings, State, base_name};
use crate::offload::Policy;
use crate::queue::{self, Fate, QueueConfig, Queues};
use crate::repair::{self, Offload};
use crate::sys::{self, Kind};
use crate::wire::{Fates, Wire};
use crate::LiveError;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use weir_packet::{Frame, Time, link_types};

/// Most interfaces of a tap.
const INTERFACES_MAX: usize = 16;
/// Between two looks at the interfaces' state and counters.
const LOOK: Duration = Duration::from_millis(100);
/// Frames between two looks at the clock for that.
const LOOK_FRAMES: u32 = 256;
/// Longest frame that goes by a socket's queue: a stack hands over no more at once.
const QUEUED_MAX: usize = 256 << 10;

/// How interfaces are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Frames are looked at.
    Tap,
    /// Frames go from one to the other.
    Inline,
}

/// Settings.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    /// Use.
    pub mode: Mode,
    /// Names; two inline, or queues (`nfqueue:N`, `nfqueue:N-M`).
    pub interfaces: Vec<String>,
    /// Bytes of each ring.
    pub ring: usize,
    /// Frames of any address.
    pub promiscuous: bool,
    /// What to do about offloads.
    pub offloads: Policy,
    /// How queues are used.
    pub queues: QueueConfig,
    /// How long to wait for a frame before time goes on without one.
    pub idle: Duration,
    /// End after so many frames.
    pub frames: Option<u64>,
    /// End after so long.
    pub duration: Option<Duration>,
}

/// What a wait for a frame has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A frame.
    Frame,
    /// None: it is this time now.
    Idle(u64),
    /// None will come.
    End,
}

/// A frame cut out of a longer one.
struct Segment {
    port: u8,
    time: u64,
    bytes: Vec<u8>,
}

/// Interfaces in use.
pub struct Link {
    config: LinkConfig,
    receivers: Vec<Receiver>,
    /// In the place of interfaces.
    queues: Option<Queues>,
    wire: Wire,
    segments: VecDeque<Segment>,
    scratch: Vec<u8>,
    number: u64,
    begin: Instant,
    looked: Instant,
    until_look: u32,
    /// Frames that came until then are still taken.
    draining: Option<u64>,
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

impl Link {
    /// Opens the interfaces. Nothing is sent before the first frame is asked for.
    pub fn open(config: LinkConfig) -> Result<Link, LiveError> {
        let inline = config.mode == Mode::Inline;
        if let [name, others @ ..] = &*config.interfaces
            && let Some(numbers) = queue::named(name)
        {
            if !inline || !others.is_empty() {
                return Err(LiveError::Queue { name: config.interfaces.join(",") });
            }
            let (queues, verdicts) = Queues::open(name, numbers?, config.queues, config.ring)?;
            return Ok(Link::of(config, Vec::new(), Some(queues), Wire::by_verdicts(verdicts)));
        }
        let settings = Settings {
            kind: if inline { Kind::Slots } else { Kind::Blocks },
            xdp: false,
            ring: config.ring,
            promiscuous: config.promiscuous || inline,
            offloads: config.offloads,
            inline,
        };
        let mut receivers: Vec<Receiver> = Vec::new();
        let mut ways = Vec::new();
        for name in config.interfaces.iter().take(INTERFACES_MAX) {
            if receivers.iter().any(|other| other.name == base_name(name)) {
                return Err(LiveError::Twice { interface: base_name(name).to_owned() });
            }
            let (receiver, egress) = Receiver::open(name, settings)?;
            ways.extend(egress);
            receivers.push(receiver);
        }
        Ok(Link::of(config, receivers, None, Wire::new(ways)))
    }

    fn of(config: LinkConfig, receivers: Vec<Receiver>, queues: Option<Queues>, wire: Wire) -> Link {
        Link {
            config,
            receivers,
            queues,
            wire,
            segments: VecDeque::new(),
            scratch: Vec::new(),
            number: 0,
            begin: Instant::now(),
            looked: Instant::now(),
            until_look: 0,
            draining: None,
        }
    }

    /// Frames go from one interface to the other.
    pub fn is_inline(&self) -> bool {
        self.config.mode == Mode::Inline
    }

    /// Offloads that were switched off, by interface: from now on it is the caller's to switch them on again.
    pub fn release_offloads(&mut self) -> Vec<(String, Vec<&'static str>)> {
        self.receivers.iter_mut().map(|receiver| (receiver.name.clone(), receiver.offloads.release())).collect()
    }

    /// Verdicts on packets of queues are given: the kernel asks for a privilege each time.
    pub fn has_queues(&self) -> bool {
        self.queues.is_some()
    }

    /// What to wait at for frames, for who waits for other things as well.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.receivers.iter().map(|receiver| receiver.frames.as_fd()).chain(self.queues.iter().map(Queues::as_fd))
    }

    /// Where frames are sent.
    pub fn wire(&self) -> Wire {
        self.wire.clone()
    }

    /// What the operator should know about the interfaces.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        for receiver in &self.receivers {
            if let Frames::Xdp { native, .. } = receiver.frames {
                let how = if native { "the driver" } else { "the kernel behind the driver (generic mode)" };
                remarks.push(format!("{}: AF_XDP, its program is run by {how}; the host's own stack sees none of its frames", receiver.name));
            }
            let changed = receiver.offloads.changed();
            if !changed.is_empty() {
                remarks.push(format!("{}: offloads off while Weir has it: {}", receiver.name, changed.join(", ")));
            }
            if self.is_inline() && sys::has_address(&receiver.name) {
                remarks.push(format!("{} has an address of its own: what the host answers is not inspected", receiver.name));
            }
        }
        if let (true, [one, other]) = (self.is_inline(), &*self.receivers)
            && one.mtu != other.mtu
        {
            remarks.push(format!(
                "MTU of {} is {}, of {} {}: longer frames are refused by the other",
                one.name, one.mtu, other.name, other.mtu
            ));
        }
        remarks
    }

    /// Frames handed out, and frames that are to come (0: no limit).
    pub fn progress(&self) -> (u64, u64) {
        (self.number, self.config.frames.unwrap_or(0))
    }

    /// From now on only frames that have come already are handed out.
    pub fn drain(&mut self) {
        self.draining.get_or_insert_with(now);
    }

    /// What was counted, by interface.
    pub fn counters(&mut self) -> Vec<(String, InterfaceCounters)> {
        if let Some(queues) = &mut self.queues {
            queues.count();
            let named = queues.counters().enumerate().map(|(port, (name, counters))| {
                self.wire.count(port, counters);
                (name.to_owned(), counters.clone())
            });
            return named.collect();
        }
        for (port, receiver) in self.receivers.iter_mut().enumerate() {
            receiver.count();
            self.wire.count(port, &mut receiver.counters);
        }
        self.receivers.iter().map(|receiver| (receiver.name.clone(), receiver.counters.clone())).collect()
    }

    /// Why frames are not accounted for, if so.
    pub fn imbalance(&mut self) -> Option<String> {
        if !self.is_inline() {
            return None;
        }
        let Fates { received, forwarded, dropped, injected } = self.wire.fates();
        if received != forwarded + dropped {
            return Some(format!("{received} frames received, {forwarded} forwarded and {dropped} dropped"));
        }
        if self.wire.undecided() > 0 {
            return Some(format!("{} packets without a verdict", self.wire.undecided()));
        }
        let counters = self.counters();
        let sent: u64 = counters.iter().map(|(_, of)| of.sent).sum();
        let refused: u64 = counters.iter().map(|(_, of)| of.refused_frames()).sum();
        (forwarded + injected != sent + refused).then(|| {
            format!("{forwarded} frames forwarded and {injected} made, {sent} sent and {refused} refused by the interfaces")
        })
    }

    /// Waits for the next frame, the oldest of all interfaces, and hands it to `take`.
    pub fn next(&mut self, take: &mut dyn FnMut(&Frame<'_>)) -> Result<Next, LiveError> {
        let limited = self.config.frames.is_some_and(|most| self.number >= most)
            || self.config.duration.is_some_and(|most| self.begin.elapsed() >= most);
        if limited {
            self.wire.flush();
            return Ok(Next::End);
        }
        self.until_look = self.until_look.saturating_sub(1);
        if self.until_look == 0 {
            self.until_look = LOOK_FRAMES;
            self.look(false)?;
        }
        let mut waited = false;
        loop {
            if let Some(segment) = self.segments.pop_front() {
                self.number += 1;
                self.wire.arrived(self.number, segment.port);
                take(&frame(self.number, segment.time, &segment.bytes, segment.bytes.len() as u32));
                return Ok(Next::Frame);
            }
            if let Some((time, port)) = self.oldest() {
                if self.draining.is_some_and(|until| time > until) {
                    self.wire.flush();
                    return Ok(Next::End);
                }
                if self.read(port, take) {
                    return Ok(Next::Frame);
                }
                continue;
            }
            self.wire.flush();
            if self.draining.is_some() {
                return Ok(Next::End);
            }
            if waited {
                self.look(false)?;
                return Ok(Next::Idle(now()));
            }
            self.wait()?;
            waited = true;
        }
    }

    fn oldest(&mut self) -> Option<(u64, usize)> {
        if let Some(queues) = &mut self.queues {
            let next = queues.peek(now);
            self.wire.refused(queues.answers());
            return next;
        }
        let times = self.receivers.iter_mut().enumerate().map(|(port, receiver)| (receiver.frames.peek(now), port));
        times.filter_map(|(time, port)| Some((time?, port))).min()
    }

    fn wait(&mut self) -> Result<(), LiveError> {
        let queue = self.queues.iter().map(Queues::descriptor);
        let fds: Vec<_> = self.receivers.iter().map(Receiver::descriptor).chain(queue).collect();
        let milliseconds = i32::try_from(self.config.idle.as_millis()).unwrap_or(i32::MAX);
        let mut ready = [false; INTERFACES_MAX];
        let awake = sys::wait(&fds, false, milliseconds, &mut ready).map_err(|source| LiveError::System {
            interface: self.config.interfaces.join(", "),
            what: "poll",
            source,
        })?;
        // A socket with an error that waits would wake again at once.
        let mut failed = false;
        if awake {
            for (receiver, _) in self.receivers.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
                if receiver.frames.peek(now).is_none() {
                    failed |= receiver.frames.error().is_some() || receiver.state != State::Up;
                }
            }
        }
        if failed {
            self.look(true)?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// State and counters of the interfaces, now and then.
    fn look(&mut self, at_once: bool) -> Result<(), LiveError> {
        if !at_once && self.looked.elapsed() < LOOK {
            return Ok(());
        }
        self.looked = Instant::now();
        for (port, receiver) in self.receivers.iter_mut().enumerate() {
            receiver.count();
            if let Some(egress) = receiver.look()? {
                self.wire.replace(port, egress);
            }
        }
        Ok(())
    }

    /// Takes one packet of a queue; `false`: it is not to be inspected.
    fn read_packet(&mut self, take: &mut dyn FnMut(&Frame<'_>)) -> bool {
        let Link { queues: Some(queues), wire, number, .. } = self else { return false };
        let Some((taken, data)) = queues.take() else { return false };
        let known = match taken.mark {
            queue::ANSWER_MARK => Some(Fate::Accepted),
            // Without all of its bytes nobody knows what it is.
            _ => (!taken.whole).then_some(Fate::Dropped),
        };
        if let Some(fate) = known {
            wire.taken(*number, &taken, data.len(), fate);
            return false;
        }
        *number += 1;
        wire.arrived(*number, taken.port as u8);
        wire.taken(*number, &taken, data.len(), Fate::Waits);
        let (time, wire_length) = (Time(taken.time), data.len() as u32);
        take(&Frame { number: *number, time, link: link_types::RAW, data, wire_length });
        true
    }

    /// Reads one frame of an interface; `false`: it was cut up, or is not to be inspected.
    fn read(&mut self, port: usize, take: &mut dyn FnMut(&Frame<'_>)) -> bool {
        if self.queues.is_some() {
            return self.read_packet(take);
        }
        let inline = self.is_inline();
        let Link { receivers, wire, segments, scratch, number, .. } = self;
        let Some(receiver) = receivers.get_mut(port) else { return false };
        let (frames, counters) = (&mut receiver.frames, &mut receiver.counters);
        let taken = frames.next(|received, socket| {
            let mut offload = received.offload;
            let (mut buffer, mut start) = (&mut *received.buffer, received.start);
            if let Some(socket) = socket.filter(|_| received.queued) {
                scratch.resize(QUEUED_MAX, 0);
                if let Ok(length) = sys::receive(socket, scratch)
                    && let Some(whole) = scratch.get_mut(..length.min(QUEUED_MAX)).filter(|whole| whole.len() > offload.len())
                {
                    offload = whole.first_chunk().copied().unwrap_or_default();
                    (buffer, start) = (whole, offload.len());
                }
            }
            if received.outgoing && inline {
                return false;
            }
            counters.received += 1;
            let captured = buffer.len() - start;
            let truncated = captured < received.wire_length as usize;
            counters.truncated += u64::from(truncated);
            if truncated && inline {
                return false;
            }
            let offload = Offload::new(&offload);
            if let (Some(at), None) = (offload.checksum, offload.segments) {
                counters.checksums += u64::from(repair::complete_checksum(&mut buffer[start..], at));
            }
            if let Some(tag) = received.vlan {
                counters.tags += 1;
                start = repair::restore_tag(buffer, start, tag);
            }
            let data = &buffer[start..];
            counters.received_bytes += data.len() as u64;
            let (port, time) = (port as u8, received.time);
            if let Some(how) = offload.segments {
                counters.unsegmented += 1;
                let emit = &mut |bytes: &[u8]| {
                    counters.segments += 1;
                    segments.push_back(Segment { port, time, bytes: bytes.to_vec() });
                };
                if repair::segment(data, how, emit) {
                    return false;
                }
            }
            *number += 1;
            wire.arrived(*number, port);
            let wire_length = if truncated { received.wire_length } else { data.len() as u32 };
            take(&frame(*number, time, data, wire_length));
            true
        });
        taken == Some(true)
    }
}

fn frame(number: u64, time: u64, data: &[u8], wire_length: u32) -> Frame<'_> {
    Frame { number, time: Time(time), link: link_types::ETHERNET, data, wire_length }
}
