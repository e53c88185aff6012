//! Frames come to the port: one at a time, or one behind the other as fast as the port takes them.

use super::{PATIENCE, RtlDevice, Shell};
use crate::core::{BEAT, Output, Pin, QUEUES};
use weir_contract::enums::InterruptCause;
use weir_sim::{Frame, Offer};

impl RtlDevice {
    /// A frame arrives at the port. With SOURCE_WAITS set, [`Offer::Wait`] asks the caller to let the host catch up and
    /// to offer the same frame again. A device that is not enabled takes frames without notice.
    pub fn offer(&self, frame: &Frame<'_>) -> Offer {
        self.0.borrow_mut().offer(frame, false)
    }

    /// A frame arrives from a source that cannot wait, whatever SOURCE_WAITS says.
    pub fn offer_lossy(&self, frame: &Frame<'_>) -> Offer {
        self.0.borrow_mut().offer(frame, true)
    }

    /// Frames arrive one behind the other, as fast as the port takes them: how many have their fate. If that is not all
    /// of them, the next one waits: let the host catch up, and offer what is left, beginning with it.
    pub fn offer_all(&self, frames: &[Frame<'_>]) -> usize {
        self.0.borrow_mut().offer_all(frames)
    }

    /// As [`Self::offer_all`], and doorbells that `ring` writes reach the RTL only `after` clock cycles, while frames are on
    /// their way: how many had their fate when the first TX entry was taken, and how many have it now.
    pub fn offer_all_among(&self, frames: &[Frame<'_>], after: u64, ring: impl FnOnce()) -> (usize, usize) {
        self.0.borrow_mut().among = Some(Among { after, told: None, at: None });
        ring();
        let mut shell = self.0.borrow_mut();
        let taken = shell.offer_all(frames);
        let Some(among) = shell.among.take() else { return (taken, taken) };
        if among.told.is_none() {
            let Shell { core, doorbells, .. } = &mut *shell;
            core.doorbells(doorbells);
            shell.go_on();
        }
        (among.at.unwrap_or(taken), taken)
    }

    /// Frames one behind the other as fast as the port takes them, none waiting for the host: clock cycles from the first
    /// beat until the last frame has its fate.
    pub fn stream(&self, frames: &[Frame<'_>]) -> u64 {
        let mut shell = self.0.borrow_mut();
        let begin = shell.cycles;
        shell.behind(frames, true);
        let cycles = shell.cycles - begin;
        shell.settle();
        shell.tell();
        cycles
    }
}

/// Doorbells among frames.
pub(super) struct Among {
    /// Clock cycles until the RTL is told.
    after: u64,
    /// What it had consumed when it was.
    told: Option<[u32; QUEUES]>,
    /// Frames that had their fate when it took the first.
    at: Option<usize>,
}

/// A frame's beats; a frame without bytes has one of none.
fn beats<'a>(frame: &Frame<'a>) -> impl Iterator<Item = (&'a [u8], bool)> {
    let data = frame.data;
    let count = data.len().div_ceil(BEAT).max(1);
    (0..count).map(move |n| (&data[n * BEAT..data.len().min((n + 1) * BEAT)], n + 1 == count))
}

impl Shell {
    fn offer(&mut self, frame: &Frame<'_>, lossy: bool) -> Offer {
        if !self.is_enabled() {
            return Offer::Accepted;
        }
        let expired = self.last.expired;
        if self.inside.front() != Some(&frame.number) {
            self.begin(frame, lossy);
            for (beat, last) in beats(frame) {
                self.input.beat(beat, last);
                self.until(Output::ready);
            }
            self.input.set(Pin::Valid, false);
            self.inside.push_back(frame.number);
        }
        self.input.set(Pin::Hold, false);
        let out = self.until(|out| out.taken() || out.waits());
        self.input.set(Pin::Hold, true);
        let taken = out.taken();
        if taken {
            self.inside.pop_front();
            self.settle();
        }
        self.after_frames(expired);
        if taken { Offer::Accepted } else { Offer::Wait }
    }

    fn offer_all(&mut self, frames: &[Frame<'_>]) -> usize {
        if !self.is_enabled() {
            return frames.len();
        }
        let expired = self.last.expired;
        let taken = self.behind(frames, false);
        // Also where one waits: what those ahead told the host is still on its way there.
        self.settle();
        self.after_frames(expired);
        taken
    }

    fn after_frames(&mut self, expired: bool) {
        if self.last.expired && !expired {
            self.cause(InterruptCause::WATCHDOG);
        }
        self.tell();
    }

    /// Frames one behind the other, until all have their fate or one waits: then no other is begun.
    fn behind(&mut self, frames: &[Frame<'_>], lossy: bool) -> usize {
        let (mut taken, mut waits) = (0, false);
        self.input.set(Pin::Hold, false);
        'frames: for frame in frames.iter().skip(self.inside.len()) {
            self.begin(frame, lossy);
            for (n, (beat, last)) in beats(frame).enumerate() {
                self.input.beat(beat, last);
                let begin = self.cycles;
                loop {
                    // A frame whose first beat was not taken has not come.
                    if waits && n == 0 {
                        break 'frames;
                    }
                    assert!(self.cycles - begin < PATIENCE, "the RTL hangs behind frame {}", self.last.number);
                    if self.watch(&mut taken, &mut waits).ready() {
                        break;
                    }
                }
            }
            self.inside.push_back(frame.number);
        }
        self.input.set(Pin::Valid, false);
        let begin = self.cycles;
        while taken < frames.len() && !waits {
            assert!(self.cycles - begin < PATIENCE, "the RTL hangs behind frame {}", self.last.number);
            self.watch(&mut taken, &mut waits);
        }
        self.input.set(Pin::Hold, true);
        self.inside.drain(..taken);
        taken
    }

    /// A cycle of frames on their way. Whatever waits stays where it is from then on.
    fn watch(&mut self, taken: &mut usize, waits: &mut bool) -> Output {
        let before = self.last.consumers;
        if let Some(among) = self.among.as_mut().filter(|among| among.told.is_none()) {
            if among.after == 0 {
                among.told = Some(before);
                self.core.doorbells(&self.doorbells);
            }
            among.after = among.after.saturating_sub(1);
        }
        let out = self.tick();
        *taken += usize::from(out.taken());
        let consumers = self.last.consumers;
        if let Some(among) = self.among.as_mut().filter(|among| among.at.is_none()) {
            among.at = among.told.filter(|told| *told != consumers).map(|_| *taken);
        }
        if out.waits() {
            *waits = true;
            self.input.set(Pin::Hold, true);
        }
        out
    }

    fn begin(&mut self, frame: &Frame<'_>, lossy: bool) {
        self.input.frame(frame.number, frame.time, frame.link, frame.wire_length);
        self.input.set(Pin::Lossy, lossy);
    }
}
