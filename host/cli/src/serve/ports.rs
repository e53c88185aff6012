//! Network interfaces as the ports of a model that another process drives.
//!
//! A wire does not wait: frames come whether a host has enabled the device or not, and meet its fail mode where it has not.

use super::order::Order;
use super::player::State;
use crate::exit::Failure;
use crate::live;
use crate::privileges::Restorer;
use std::cell::RefCell;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use weir_live::privileges::User;
use weir_live::{Link, LinkConfig, Next, Wire};
use weir_management::Config;
use weir_sim::{Frame, Simulator, Transmitted};

/// Most frames before messages are looked at again.
const BURST: u32 = 64;

/// The ports.
pub struct Ports {
    link: Link,
    /// Greatest frame time.
    last_time: u64,
    /// Inline.
    state: Option<Rc<RefCell<Hand>>>,
}

/// The frame at hand, and those of its flow.
struct Hand {
    order: Order,
    number: u64,
    flow: Option<u64>,
    time: u64,
    /// It has left, waits to leave, or will not.
    decided: bool,
}

/// What the model transmits goes out by the interfaces, frames of a flow in their order.
fn join(model: &Simulator, wire: Wire) -> Rc<RefCell<Hand>> {
    let state = Rc::new(RefCell::new(Hand { order: Order::new(), number: 0, flow: None, time: 0, decided: true }));
    let shared = Rc::clone(&state);
    model.on_transmit(Some(Box::new(move |what| {
        let hand = &mut *shared.borrow_mut();
        let send = &mut |number: u64, frame: &[u8]| wire.forward_number(number, frame);
        match what {
            Transmitted::Passed(frame) => {
                hand.decided = true;
                if hand.flow.is_none_or(|flow| hand.order.leaves(hand.number, flow, hand.time, frame, send)) {
                    wire.forward(frame);
                }
            }
            Transmitted::Forwarded(number, frame) => {
                wire.forward_number(number, frame);
                hand.order.answered(number, send);
            }
            Transmitted::Injected(port, frame) => wire.inject(port, frame),
            Transmitted::Withheld(number) => {
                wire.withhold(number);
                hand.decided |= number == hand.number;
                hand.order.answered(number, send);
            }
        }
    })));
    state
}

impl Ports {
    /// Opens the interfaces and joins them to the model.
    pub fn open(config: LinkConfig, model: &Simulator) -> Result<Ports, Failure> {
        let link = live::open(config)?;
        let state = link.is_inline().then(|| join(model, link.wire()));
        Ok(Ports { link, last_time: 0, state })
    }

    /// Gives privileges up. While what this gives lives, and no longer, offloads stay off.
    pub fn give_up(&mut self, user: Option<&User>, config: &Config) -> Result<Option<Restorer>, Failure> {
        live::give_up(&mut self.link, user, config)
    }

    /// What to wait at.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.link.sockets()
    }

    /// Frames so far.
    pub fn frames(&self) -> u64 {
        self.link.progress().0
    }

    /// What the operator should know when they are opened.
    pub fn announced(&self) -> Vec<String> {
        self.link.remarks()
    }

    /// What the operator should know at the end.
    pub fn remarks(&mut self) -> Vec<String> {
        let mut remarks = live::remarks(&mut self.link);
        if let Some((_, overtook @ 1..)) = self.state.as_ref().map(|state| state.borrow().order.counts()) {
            remarks.push(format!("{overtook} frames left before earlier ones of their flow, for which the host took too long"));
        }
        remarks
    }

    /// Takes what has come.
    pub fn step(&mut self, model: &Simulator) -> Result<State, Failure> {
        let wire = self.link.wire();
        for _ in 0..BURST {
            let (last, state) = (&mut self.last_time, &self.state);
            let next = self.link.next(&mut |frame| {
                *last = frame.time.0.max(*last);
                if let Some(state) = state {
                    let hand = &mut *state.borrow_mut();
                    hand.order.pass_time(*last, &mut |number, frame| wire.forward_number(number, frame));
                    let flow = hand.order.flow(frame.data);
                    (hand.number, hand.flow, hand.time, hand.decided) = (frame.number, flow, *last, false);
                }
                model.from_port(wire.ingress());
                model.offer_lossy(&Frame {
                    number: frame.number,
                    time: *last,
                    link: frame.link,
                    data: frame.data,
                    wire_length: frame.wire_length,
                });
                if let Some(state) = state {
                    let hand = &mut *state.borrow_mut();
                    if let (false, Some(flow)) = (hand.decided, hand.flow) {
                        hand.order.diverted(hand.number, flow);
                    }
                }
            });
            match next.map_err(live::failure)? {
                Next::Frame => {}
                Next::Idle(now) => {
                    *last = now.max(*last);
                    if let Some(state) = &self.state {
                        state.borrow_mut().order.pass_time(*last, &mut |number, frame| wire.forward_number(number, frame));
                    }
                    model.pass_time(*last);
                    return Ok(State::Quiet);
                }
                Next::End => return Ok(State::Quiet),
            }
        }
        wire.flush();
        Ok(State::Plays)
    }

    /// What the host's commands let out goes now.
    pub fn flush(&self) {
        self.link.wire().flush();
    }
}
