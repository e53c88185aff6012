//! The watchdog: when the host stops beating, in frames or in frame time, the device goes to its fail mode.

/// Limits and progress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watchdog {
    /// WATCHDOG_FRAMES, 0: no limit.
    pub frame_limit: u32,
    /// WATCHDOG_TIME in ns, 0: no limit.
    pub time_limit: u64,
    frames: u64,
    since: Option<u64>,
    expired: bool,
}

/// A change of mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing changed.
    None,
    /// Fail mode began.
    Began,
    /// Fail mode ended.
    Ended,
}

impl Watchdog {
    /// The host lives. `now`: frame time.
    pub fn beat(&mut self, now: u64) -> Change {
        self.frames = 0;
        self.since = (now != 0).then_some(now);
        if std::mem::take(&mut self.expired) { Change::Ended } else { Change::None }
    }

    /// A frame arrives.
    #[inline]
    pub fn frame(&mut self, now: u64) -> Change {
        if self.frame_limit == 0 && self.time_limit == 0 {
            return Change::None;
        }
        let since = *self.since.get_or_insert(now);
        self.frames += 1;
        if self.expired {
            return Change::None;
        }
        let frames = self.frame_limit != 0 && self.frames > u64::from(self.frame_limit);
        let time = self.time_limit != 0 && now.saturating_sub(since) > self.time_limit;
        self.expired = frames || time;
        if self.expired { Change::Began } else { Change::None }
    }

    /// Frames get the fail mode.
    #[inline]
    pub fn expired(&self) -> bool {
        self.expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_time() {
        let mut w = Watchdog { frame_limit: 2, ..Watchdog::default() };
        assert_eq!([w.frame(1), w.frame(1), w.frame(1), w.frame(1)], [Change::None, Change::None, Change::Began, Change::None]);
        assert_eq!((w.beat(1), w.expired()), (Change::Ended, false));
        let mut w = Watchdog { time_limit: 10, ..Watchdog::default() };
        assert_eq!([w.frame(5), w.frame(15), w.frame(16)], [Change::None, Change::None, Change::Began]);
        let mut w = Watchdog::default();
        assert_eq!(w.frame(u64::MAX), Change::None);
    }
}
