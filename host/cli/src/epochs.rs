//! The epochs of a run behind a device: what judges in each, and what each sent to the host.
//!
//! Place: in the loops that run frames, of a device in this process (`device`) and of one that has frames of its own
//! (`attached`).

use crate::device::Tables;
use crate::exchange::{Done, Due, Exchanges, Going, Ready};
use crate::exit::{Failure, INTERNAL, OrExit};
use crate::pipeline::Loaded;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir_contract::guards::Guard;
use weir_device::PciFunction;
use weir_engine::{Amount, DeviceRuntime, HostCause, Retired};
use weir_output::{Cause, EventSink};

/// What judges, and what is to judge: the first that the run came with, oldest first.
pub(crate) struct Epochs<'a> {
    first: (&'a Loaded, &'a Tables),
    sums: Sums,
    judges: VecDeque<Option<Arc<Ready>>>,
}

impl<'a> Epochs<'a> {
    /// Of a run that begins with these.
    pub(crate) fn new(loaded: &'a Loaded, tables: &'a Tables) -> Self {
        Epochs { first: (loaded, tables), sums: Sums::default(), judges: VecDeque::from([None]) }
    }

    /// Between two frames: makes an exchange that is due, and hands back what judges no more. `tell`: says how the run is
    /// going.
    pub(crate) fn step<P: PciFunction>(
        &mut self,
        runtime: &mut DeviceRuntime<P>,
        sink: &mut dyn EventSink,
        exchanges: &mut dyn Exchanges,
        (frames, time): (u64, u64),
        tell: bool,
    ) -> Result<(), Failure> {
        if let Some(due) = exchanges.due(frames) {
            // No more than one exchange waits for a frame to tell of it.
            if runtime.is_expecting() {
                runtime.poll(sink).or_internal()?;
                runtime.settle();
            }
            let done = exchange(runtime, &due, frames);
            if done.result.is_ok() {
                self.judges.push_back(Some(due.ready));
            }
            exchanges.done(done);
        }
        for retired in runtime.take_retired() {
            let judge = self.sums.close(self.first, &mut self.judges, &retired);
            exchanges.retired(retired.epoch, retired.program, judge);
        }
        if tell {
            exchanges.going(&|| Going {
                frames,
                time,
                alerts: runtime.engine().counters().alerts,
                epoch: runtime.engine().epoch(),
                flows: runtime.engine().flows_by_epoch().to_vec(),
            });
        }
        Ok(())
    }

    /// The last frame has been taken: what is expected takes effect, and all epochs but the last are over.
    pub(crate) fn settle<P: PciFunction>(&mut self, runtime: &mut DeviceRuntime<P>) {
        runtime.settle();
        for retired in runtime.take_retired() {
            self.sums.close(self.first, &mut self.judges, &retired);
        }
    }

    /// What judged last, and what earlier epochs sent; to be asked once they are settled.
    pub(crate) fn last<T>(mut self, then: impl FnOnce(&Loaded, &Tables, Sums) -> T) -> T {
        let last = self.judges.pop_front().flatten();
        let (loaded, tables) = last.as_deref().and_then(Ready::both).unwrap_or(self.first);
        then(loaded, tables, self.sums)
    }
}

/// The device's tables and the host's program become those of another epoch, from the next frame on. Whatever goes wrong,
/// those before stay.
fn exchange<P: PciFunction>(runtime: &mut DeviceRuntime<P>, due: &Due, frames: u64) -> Done {
    let begin = Instant::now();
    let mut done = Done { epoch: due.epoch, frames, load: Duration::ZERO, switch: Duration::ZERO, result: Ok(()) };
    let Some((_, tables)) = due.ready.both() else {
        let error = anyhow::anyhow!("the rules come without tables");
        done.result = Err(Failure { code: INTERNAL, error, remedy: None });
        return done;
    };
    let loaded = runtime.driver().load_tables(&tables.image.bytes);
    done.load = begin.elapsed();
    let begin = Instant::now();
    done.result = loaded.and_then(|epoch| {
        runtime.expect(epoch, due.ready.judge(due.epoch));
        let result = runtime.driver().activate(epoch);
        if result.is_err() {
            runtime.unexpect(epoch);
        }
        result
    }).or_input();
    done.switch = begin.elapsed();
    done
}

/// What the epochs of a run sent to the host.
#[derive(Default)]
pub(crate) struct Sums {
    pub(crate) by_cause: BTreeMap<String, Cause>,
    /// By gid and sid: class, reason and amount.
    pub(crate) by_rule: BTreeMap<(u32, u32), (char, String, Cause)>,
}

impl Sums {
    /// Adds an epoch that is over, of the oldest of `judges`, which is taken off; `first`: what the run came with, where that
    /// is none.
    fn close(
        &mut self,
        first: (&Loaded, &Tables),
        judges: &mut VecDeque<Option<Arc<Ready>>>,
        retired: &Retired,
    ) -> Option<Arc<Ready>> {
        let judge = judges.pop_front().flatten();
        if let Some((loaded, tables)) = judge.as_deref().map_or(Some(first), Ready::both) {
            self.add(loaded, tables, &retired.causes, &retired.records);
        }
        judge
    }

    pub(crate) fn add(
        &mut self,
        loaded: &Loaded,
        tables: &Tables,
        causes: &BTreeMap<HostCause, Amount>,
        records: &HashMap<u32, Amount>,
    ) {
        for (cause, amount) in causes {
            let name = match cause {
                HostCause::Guard(n) => Guard::from_raw(*n).map_or("guard", Guard::name).to_owned(),
                HostCause::Record(id) => class_of(tables, *id),
                HostCause::Sticky => "sticky".to_owned(),
                HostCause::History => "history".to_owned(),
                HostCause::Handover => "handover".to_owned(),
            };
            *self.by_cause.entry(name).or_default() += Cause::from(*amount);
        }
        let rules = loaded.program.sources();
        for (record, amount) in records {
            let owner = tables.image.tables.owners.get(*record as usize).and_then(|owners| owners.first());
            let Some(rule) = owner.map(|rule| *rule as usize) else { continue };
            let (Some(source), Some(planned)) = (rules.get(rule), tables.plan.rules.get(rule)) else { continue };
            let sum = self.by_rule.entry((source.identity.gid, source.identity.sid));
            let sum = sum.or_insert_with(|| (planned.class.letter(), planned.reason.clone(), Cause::default()));
            sum.2 += Cause::from(*amount);
        }
    }
}

/// Class of the first rule that a record belongs to.
fn class_of(tables: &Tables, record: u32) -> String {
    let owner = tables.image.tables.owners.get(record as usize).and_then(|owners| owners.first());
    let rule = owner.and_then(|rule| tables.plan.rules.get(*rule as usize));
    rule.map_or_else(|| "always".to_owned(), |rule| format!("class {}", rule.class.letter()))
}
