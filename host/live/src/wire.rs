//! What is sent, by which interface, and what of it was refused.

use crate::LiveError;
use crate::interface::{Egress, InterfaceCounters, sender};
use crate::queue::{Fate, Taken, Verdicts};
use crate::sys;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// Frames whose interface is remembered for a verdict to come.
const REMEMBERED: u64 = 1 << 16;
/// Times that an interface without room is waited for, a millisecond each, before frames are given up.
const WAITS_MAX: u32 = 5;
/// Frames that are gathered before they are sent.
const GATHERED: usize = 32;

/// Frames by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fates {
    /// Handed out for inspection.
    pub received: u64,
    /// To be sent by the other interface.
    pub forwarded: u64,
    /// Not to be sent.
    pub dropped: u64,
    /// Made by the host, to be sent.
    pub injected: u64,
}

struct Sender {
    egress: Egress,
    frames: Vec<u8>,
    ends: Vec<usize>,
    counters: InterfaceCounters,
}

struct Inner {
    senders: Vec<Sender>,
    /// In the place of interfaces: frames are packets that wait for a verdict.
    verdicts: Option<Verdicts>,
    ingress: u8,
    number: u64,
    ports: Vec<u8>,
    fates: Fates,
}

/// Sends frames; clones name the same one. With two interfaces a frame leaves by the one that it did not come from.
#[derive(Clone)]
pub struct Wire(Rc<RefCell<Inner>>);

impl Wire {
    pub(crate) fn new(ways: Vec<Egress>) -> Wire {
        Wire::of(ways.into_iter().map(Sender::new).collect(), None)
    }

    /// Packets of queues go on by a verdict.
    pub(crate) fn by_verdicts(verdicts: Verdicts) -> Wire {
        Wire::of(Vec::new(), Some(verdicts))
    }

    fn of(senders: Vec<Sender>, verdicts: Option<Verdicts>) -> Wire {
        let ports = vec![0; REMEMBERED as usize];
        Wire(Rc::new(RefCell::new(Inner { senders, verdicts, ingress: 0, number: 0, ports, fates: Fates::default() })))
    }

    /// Sends by these interfaces and listens to none: to play frames onto a link.
    pub fn open(interfaces: &[&str]) -> Result<Wire, LiveError> {
        let open = |name: &&str| {
            let absent = |_| LiveError::Absent { interface: (*name).to_owned(), known: sys::names().join(", ") };
            sender(name, sys::index(name).map_err(absent)?).map(Egress::Packet)
        };
        Ok(Wire::new(interfaces.iter().map(open).collect::<Result<_, _>>()?))
    }

    /// A frame has come.
    pub(crate) fn arrived(&self, number: u64, port: u8) {
        let mut inner = self.0.borrow_mut();
        inner.ingress = port;
        inner.number = number;
        inner.fates.received += 1;
        if let Some(place) = inner.ports.get_mut((number % REMEMBERED) as usize) {
            *place = port;
        }
    }

    /// A packet of a queue has come, as the frame of this number; `fate`: what is known of it already (it is not inspected then).
    pub(crate) fn taken(&self, number: u64, taken: &Taken, bytes: usize, fate: Fate) {
        if let Some(verdicts) = &mut self.0.borrow_mut().verdicts {
            verdicts.arrived(taken.port, number, (taken.id, taken.mark), bytes, fate == Fate::Waits, fate);
        }
    }

    /// The kernel's answers to verdicts.
    pub(crate) fn refused(&self, answers: impl Iterator<Item = (u32, i32)>) {
        if let Some(verdicts) = &mut self.0.borrow_mut().verdicts {
            answers.for_each(|(request, code)| verdicts.refused(request, code));
        }
    }

    /// Packets of queues that have no verdict.
    pub(crate) fn undecided(&self) -> usize {
        self.0.borrow().verdicts.as_ref().map_or(0, Verdicts::undecided)
    }

    /// Interface of the frame at hand.
    pub fn ingress(&self) -> u8 {
        self.0.borrow().ingress
    }

    /// Send the frame at hand.
    pub fn forward(&self, frame: &[u8]) {
        let number = self.0.borrow().number;
        self.forward_number(number, frame);
    }

    /// Send a frame that came before.
    pub fn forward_number(&self, number: u64, frame: &[u8]) {
        let mut inner = self.0.borrow_mut();
        inner.fates.forwarded += 1;
        let known = number <= inner.number && inner.number - number < REMEMBERED;
        let from = inner.ports.get((number % REMEMBERED) as usize).copied().unwrap_or(0);
        if let Some(verdicts) = &mut inner.verdicts {
            verdicts.decide(from.into(), number, Fate::Accepted);
            return;
        }
        if let Some(sender) = inner.senders.get_mut(usize::from(from == 0)) {
            if known { sender.push(frame) } else { sender.refuse("unknown frame") }
        }
    }

    /// Do not send the frame at hand.
    pub fn drop_frame(&self) {
        let number = self.0.borrow().number;
        self.withhold(number);
        self.drop_frames(1);
    }

    /// A frame that came before will not be sent: who waits for that is told. (It is counted by [`Self::drop_frames`].)
    pub fn withhold(&self, number: u64) {
        let mut inner = self.0.borrow_mut();
        let from = inner.ports.get((number % REMEMBERED) as usize).copied().unwrap_or(0);
        if let Some(verdicts) = &mut inner.verdicts {
            verdicts.decide(from.into(), number, Fate::Dropped);
        }
    }

    /// So many frames are not sent.
    pub fn drop_frames(&self, frames: u64) {
        self.0.borrow_mut().fates.dropped += frames;
    }

    /// Send a frame of the host's own by an interface.
    pub fn inject(&self, port: u8, frame: &[u8]) {
        let mut inner = self.0.borrow_mut();
        inner.fates.injected += 1;
        if let Some(verdicts) = &mut inner.verdicts {
            verdicts.answer(frame);
        } else if let Some(sender) = inner.senders.get_mut(usize::from(port)) {
            sender.push(frame);
        }
    }

    /// Give everything gathered to the kernel.
    pub fn flush(&self) {
        let mut inner = self.0.borrow_mut();
        inner.senders.iter_mut().for_each(Sender::flush);
        inner.verdicts.iter_mut().for_each(Verdicts::flush);
    }

    /// What became of frames.
    pub fn fates(&self) -> Fates {
        self.0.borrow().fates
    }

    pub(crate) fn replace(&self, port: usize, egress: Egress) {
        if let Some(sender) = self.0.borrow_mut().senders.get_mut(port) {
            sender.egress = egress;
        }
    }

    /// What an interface sent, added to what it received.
    pub(crate) fn count(&self, port: usize, counters: &mut InterfaceCounters) {
        let inner = self.0.borrow();
        if let Some(sender) = inner.senders.get(port) {
            counters.take_sent(&sender.counters);
        }
        if let Some(verdicts) = &inner.verdicts {
            verdicts.count(port, counters);
        }
    }
}

/// One of frames that lie one behind the other.
fn frame<'a>(frames: &'a [u8], ends: &[usize], n: usize) -> &'a [u8] {
    let start = n.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    ends.get(n).and_then(|end| frames.get(start..*end)).unwrap_or(&[])
}

/// Why the kernel did not take a frame.
fn cause(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMSGSIZE) => "longer than the MTU",
        Some(libc::ENETDOWN) => "interface down",
        Some(libc::ENXIO | libc::ENODEV) => "interface gone",
        Some(libc::ENOBUFS | libc::EAGAIN) => "no room",
        Some(libc::EPERM | libc::EACCES) => "no privilege",
        _ => "other error",
    }
}

impl Sender {
    fn new(egress: Egress) -> Sender {
        Sender { egress, frames: Vec::new(), ends: Vec::new(), counters: InterfaceCounters::default() }
    }

    fn push(&mut self, frame: &[u8]) {
        self.frames.extend_from_slice(frame);
        self.ends.push(self.frames.len());
        if self.ends.len() >= GATHERED {
            self.flush();
        }
    }

    fn refuse(&mut self, why: &'static str) {
        *self.counters.refused.entry(why).or_default() += 1;
    }

    /// In order; a frame that is refused does not keep those behind it.
    fn flush(&mut self) {
        let (mut done, mut waits) = (0, 0);
        while done < self.ends.len() {
            let (frames, ends) = (&self.frames, &self.ends);
            let result = self.egress.send_all((done..ends.len()).map(|n| frame(frames, ends, n)));
            match result {
                Ok(n) if n > 0 => {
                    for n in done..done + n {
                        self.counters.sent += 1;
                        self.counters.sent_bytes += frame(&self.frames, &self.ends, n).len() as u64;
                    }
                    done += n;
                    waits = 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS)) && waits < WAITS_MAX => {
                    waits += 1;
                    self.counters.waits += 1;
                    if error.raw_os_error() == Some(libc::ENOBUFS) {
                        std::thread::sleep(Duration::from_millis(1));
                    } else {
                        let _ = sys::wait(&[self.egress.descriptor()], true, 1, &mut [false]);
                    }
                }
                Err(error) => {
                    self.refuse(cause(&error));
                    done += 1;
                }
                Ok(_) => {
                    self.refuse("other error");
                    done += 1;
                }
            }
        }
        self.frames.clear();
        self.ends.clear();
    }
}
