//! A capture played into the port of a model that another process drives.
//!
//! Frames begin when the driver has enabled the device, and anew after each reset. A source that can wait (SOURCE_WAITS)
//! lets the host catch up as often as a run in one process does: after `latency` of frame time, after `batch` frames, and
//! when rings are full; between two such points the host's commands wait. So the same frames have the same outcome in both.

use crate::device::LAG_MAX;
use crate::exit::Failure;
use crate::pipeline::{Pace, Source};
use std::time::Duration;
use weir_sim::{Frame, Offer, Simulator};

/// Most frames before messages are looked at again.
const BURST: u32 = 256;

/// Opens a source.
pub type Open = Box<dyn Fn() -> Result<Source, Failure>>;

/// What the port is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing comes: not enabled, nothing to play, or over.
    Quiet,
    /// The host has to catch up.
    Waits,
    /// The next frame comes later.
    Early(Duration),
    /// More frames are there.
    Plays,
}

/// A frame that is due.
#[derive(Default)]
struct Due {
    number: u64,
    time: u64,
    link: u16,
    wire_length: u32,
    data: Vec<u8>,
}

/// The port's source.
pub struct Player {
    open: Option<Open>,
    rate: Option<u64>,
    /// Frames, and frame time in ns, between two points where the host catches up.
    batch: u64,
    latency: u64,
    resets: u64,
    play: Option<Play>,
    /// Frames that came, of all plays.
    frames: u64,
}

/// One play.
struct Play {
    source: Source,
    pace: Option<Pace>,
    due: Due,
    /// The frame at hand has not been offered yet.
    held: bool,
    /// Signs of life when the host still had work: one more, once it has none, says that it has caught up.
    waits: Option<u64>,
    taken_at: u64,
    last_time: u64,
    frames: u64,
    /// Nothing more is in the source.
    empty: bool,
    ended: bool,
}

impl Player {
    /// `open`: nothing is played without.
    pub fn new(open: Option<Open>, rate: Option<u64>, batch: u64, latency: u64) -> Self {
        Player { open, rate, batch: batch.max(1), latency: latency.min(LAG_MAX), resets: 0, play: None, frames: 0 }
    }

    /// Frames that came so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// To be called after each message: the host may have caught up, or just begun to.
    pub fn heard(&mut self, model: &Simulator) {
        if let Some(Play { waits: Some(beats), .. }) = &mut self.play
            && model.host_has_work()
        {
            *beats = model.heartbeats();
        }
    }

    /// Plays what can be played now.
    pub fn step(&mut self, model: &Simulator) -> Result<State, Failure> {
        if model.resets() != self.resets {
            self.resets = model.resets();
            self.play = None;
        }
        let Some(open) = self.open.as_ref().filter(|_| model.is_enabled()) else { return Ok(State::Quiet) };
        let play = match &mut self.play {
            Some(play) => play,
            none => none.insert(Play {
                source: open()?,
                pace: self.rate.map(Pace::new),
                due: Due::default(),
                held: false,
                waits: None,
                taken_at: 0,
                last_time: 0,
                frames: 0,
                empty: false,
                ended: false,
            }),
        };
        for _ in 0..BURST {
            match play.next(model, self.batch, self.latency)? {
                State::Plays => self.frames += 1,
                other => return Ok(other),
            }
        }
        Ok(State::Plays)
    }
}

impl Play {
    /// The host is given the time to catch up.
    fn wait(&mut self, model: &Simulator) {
        if model.host_has_work() {
            self.waits = Some(model.heartbeats());
        }
        self.taken_at = self.last_time;
    }

    fn next(&mut self, model: &Simulator, batch: u64, latency: u64) -> Result<State, Failure> {
        if let Some(beats) = self.waits {
            if model.host_has_work() || model.heartbeats() == beats {
                return Ok(State::Waits);
            }
            self.waits = None;
        }
        if self.ended {
            return Ok(State::Quiet);
        }
        let can_wait = model.source_waits();
        if !self.held && !self.empty {
            if let Some(early) = self.pace.as_mut().and_then(Pace::early) {
                return Ok(State::Early(early));
            }
            let due = &mut self.due;
            self.held = self.source.next(&mut |frame| {
                due.data.clear();
                due.data.extend_from_slice(frame.data);
                (due.number, due.time, due.link, due.wire_length) = (frame.number, frame.time.0, frame.link, frame.wire_length);
            })?;
            self.empty = !self.held;
            self.last_time = self.last_time.max(self.due.time);
            let late = self.held && self.last_time.saturating_sub(self.taken_at) >= latency;
            if can_wait && (late || self.empty) {
                self.wait(model);
                if self.waits.is_some() {
                    return Ok(State::Waits);
                }
            }
        }
        if self.empty {
            self.ended = true;
            model.end_source(self.last_time);
            return Ok(State::Quiet);
        }
        let due = &self.due;
        let frame =
            Frame { number: due.number, time: self.last_time, link: due.link, data: &due.data, wire_length: due.wire_length };
        if !can_wait {
            model.offer_lossy(&frame);
        } else if model.offer(&frame) == Offer::Wait {
            self.waits = Some(model.heartbeats());
            return Ok(State::Waits);
        }
        self.held = false;
        self.frames += 1;
        if can_wait && self.frames.is_multiple_of(batch) {
            self.wait(model);
        }
        Ok(State::Plays)
    }
}
