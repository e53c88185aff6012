//! Network interfaces as the ports of a model that another process drives.
//!
//! A wire does not wait: frames come whether a host has enabled the device or not, and meet its fail mode where it has not.

use super::player::State;
use crate::device::Nic;
use crate::exit::Failure;
use crate::live;
use crate::privileges::Restorer;
use std::os::fd::BorrowedFd;
use weir_live::privileges::User;
use weir_live::{Link, LinkConfig, Next};
use weir_management::Config;
use weir_sim::{Frame, Simulator};

/// Most frames before messages are looked at again.
const BURST: u32 = 64;

/// The ports.
pub struct Ports {
    link: Link,
    /// Greatest frame time.
    last_time: u64,
}

impl Ports {
    /// Opens the interfaces and joins them to the model.
    pub fn open(config: LinkConfig, model: &Simulator) -> Result<Ports, Failure> {
        let link = live::open(config)?;
        if link.is_inline() {
            model.transmit_by(Some(link.wire()));
        }
        Ok(Ports { link, last_time: 0 })
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
        live::remarks(&mut self.link)
    }

    /// Takes what has come.
    pub fn step(&mut self, model: &Simulator) -> Result<State, Failure> {
        let wire = self.link.wire();
        for _ in 0..BURST {
            let last = &mut self.last_time;
            let next = self.link.next(&mut |frame| {
                *last = frame.time.0.max(*last);
                model.from_port(wire.ingress());
                model.offer_lossy(&Frame {
                    number: frame.number,
                    time: *last,
                    link: frame.link,
                    data: frame.data,
                    wire_length: frame.wire_length,
                });
            });
            match next.map_err(live::failure)? {
                Next::Frame => {}
                Next::Idle(now) => {
                    *last = now.max(*last);
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
