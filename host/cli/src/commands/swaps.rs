//! `weir audit equivalence --swaps`: rules exchanged while frames come, and what every epoch's rules say by themselves.

use crate::exchange::{Done, Due, Exchanges, Going, Ready};
use crate::exit::Failure;
use crate::pipeline::{self, Loaded, RunControl, Source};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use weir_detect::Program;
use weir_ir::Match;
use weir_management::Config;
use weir_output::{AlertCollector, AlertIdentity};

/// The two rule sets that take turns.
pub struct Swaps {
    /// Frames between two exchanges.
    pub every: u64,
    /// What judges in epochs 2, 4, …, and in 3, 5, …
    pub turns: [Arc<Ready>; 2],
    /// Exchanges behind the device so far.
    pub done: Vec<Took>,
    /// Alerts that were held against those of their epoch's rules alone.
    pub checked: u64,
    /// Alerts of rules that look at more than one flow: what they say depends on the epochs before.
    pub shared: u64,
    /// Most programs that were there at the same time, and most flows that had yet to go over.
    pub most: (usize, u64),
}

/// What one exchange took.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    /// The device loads and checks its tables.
    pub load: Duration,
    /// The exchange itself.
    pub switch: Duration,
}

impl Swaps {
    /// `turns` take over, one after the other, every so many frames.
    pub fn new(every: u64, turns: [Ready; 2]) -> Self {
        Swaps { every, turns: turns.map(Arc::new), done: Vec::new(), checked: 0, shared: 0, most: (0, 0) }
    }

    /// A schedule from the first frame on.
    pub fn schedule(&self) -> Schedule<'_> {
        Schedule { swaps: self, epoch: 1, done: Vec::new(), failed: None, live: 1, most: (1, 0) }
    }

    /// Keeps what a schedule has seen behind the device.
    pub fn keep(&mut self, (done, most): (Vec<Took>, (usize, u64))) {
        self.done.extend(done);
        self.most = (self.most.0.max(most.0), self.most.1.max(most.1));
    }

    /// Epoch of a frame: the `every`th is the last of epoch 1.
    fn epoch_of(&self, frame: u64) -> u32 {
        u32::try_from(frame.saturating_sub(1) / self.every + 1).unwrap_or(u32::MAX)
    }

    /// What each epoch's rules say of the flows that began in it, alone and over the whole capture, against what was said
    /// behind the device. Gives what only one of them said.
    pub fn check(
        &mut self,
        first: &Loaded,
        behind: &AlertCollector,
        config: &Config,
        validate: bool,
        open: &dyn Fn() -> Result<Source, Failure>,
    ) -> Result<(Vec<AlertIdentity>, Vec<AlertIdentity>), Failure> {
        let stop = AtomicBool::new(false);
        let programs = [&self.turns[0].loaded, &self.turns[1].loaded];
        // Those of the first epoch are those of the second turn: rules take turns.
        debug_assert_eq!(first.program.len(), programs[1].program.len());
        let mut alone = [AlertCollector::default(), AlertCollector::default()];
        for (loaded, out) in programs.iter().zip(&mut alone) {
            let mut tick = |_| {};
            pipeline::run_full(loaded, config, validate, &mut open()?, out, &mut RunControl::new(&stop, &mut tick))?;
        }
        let skipped = programs.map(|loaded| shared_rules(&loaded.program));
        let turn = |epoch: u32| usize::from(epoch % 2 == 1);
        // The flow began in the epoch of the frame, so all that was seen of it was seen by these rules.
        let whole = |alert: &AlertIdentity| {
            alert.flow.is_none_or(|(_, from)| self.epoch_of(from) == self.epoch_of(alert.frame))
        };
        let of_epoch = |alert: &AlertIdentity| AlertIdentity { epoch: self.epoch_of(alert.frame), ..*alert };
        let told = |alert: &AlertIdentity, turn: usize| {
            !skipped[turn].contains(&(alert.rule.gid, alert.rule.sid)) && whole(alert)
        };
        let mut expected = AlertCollector::default();
        for (n, out) in alone.iter().enumerate() {
            let mine = out.alerts.iter().filter(|alert| turn(self.epoch_of(alert.frame)) == n && told(alert, n));
            expected.alerts.extend(mine.map(of_epoch));
        }
        let mut found = AlertCollector::default();
        let mut left_out = 0;
        for alert in &behind.alerts {
            if told(alert, turn(alert.epoch)) {
                // An alert under another epoch than that of its frame stays as it is, and is found here.
                found.alerts.push(*alert);
            } else if whole(alert) {
                left_out += 1;
            }
        }
        self.shared += left_out;
        self.checked += found.alerts.len() as u64;
        Ok(expected.difference(&found))
    }
}

/// Rules whose answer depends on other flows: thresholds, bits of hosts, data sets that rules change.
fn shared_rules(program: &Program) -> BTreeSet<(u32, u32)> {
    let dataset = |m: &Match| matches!(m, Match::Dataset(_));
    let rules = program.sources().iter().enumerate().filter(|(n, rule)| {
        program.is_counted(*n)
            || !rule.xbits.is_empty()
            || rule.buffers.iter().flat_map(|run| &run.matches).any(dataset)
    });
    rules.map(|(_, rule)| (rule.identity.gid, rule.identity.sid)).collect()
}

/// Exchanges at fixed frames.
pub struct Schedule<'a> {
    swaps: &'a Swaps,
    epoch: u32,
    done: Vec<Took>,
    failed: Option<Failure>,
    live: usize,
    most: (usize, u64),
}

impl Schedule<'_> {
    /// What it has seen.
    pub fn end(self) -> Result<(Vec<Took>, (usize, u64)), Failure> {
        self.failed.map_or(Ok((self.done, self.most)), Err)
    }
}

impl Exchanges for Schedule<'_> {
    fn due(&mut self, frames: u64) -> Option<Due> {
        if !frames.is_multiple_of(self.swaps.every) {
            return None;
        }
        self.epoch += 1;
        self.live += 1;
        self.most.0 = self.most.0.max(self.live);
        Some(Due { epoch: self.epoch, ready: Arc::clone(&self.swaps.turns[usize::from(self.epoch % 2 == 1)]) })
    }

    fn done(&mut self, done: Done) {
        self.done.push(Took { load: done.load, switch: done.switch });
        if let Err(failure) = done.result {
            self.failed.get_or_insert(failure);
        }
    }

    fn retired(&mut self, _: u32, _: Arc<Program>, _: Option<Arc<Ready>>) {
        self.live -= 1;
    }

    fn going(&mut self, going: &dyn Fn() -> Going) {
        let going = going();
        let old = going.flows.iter().filter(|(epoch, _)| *epoch != going.epoch).map(|(_, flows)| flows).sum();
        self.most.1 = self.most.1.max(old);
    }
}
