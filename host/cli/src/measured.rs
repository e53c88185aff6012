//! What rules cost in some traffic: which of their conditions flagged the frames of captures behind the simulated device.
//!
//! Most flagged frames are flagged for several reasons. Of each reason four shares are told: frames in which it held, frames
//! that it alone held in (they are saved if it goes), its part where each frame is divided evenly among its reasons, and that
//! part of the frames by which a flow came to the host (the others were of flows that were there already).

use crate::cost::trigger_text;
use crate::device::Tables;
use crate::exit::Failure;
use crate::pipeline::Loaded;
use crate::planning::Watched;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use weir_contract::layouts::Record;
use weir_ir::Rule;
use weir_management::Config;
use weir_rules::image::tables::{Tables as Content, covers};
use weir_rules::plan::{Condition, Fragment, Trigger};
use weir_rules::show;
use weir_sim::{Judging, Led};

/// Signature ids named of a reason.
const NAMED: usize = 3;

/// Why frames were flagged: a trigger, and for the header table which frames its record takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Reason {
    /// Protocol classes, transports, directions, states.
    Frame(u64, [u8; 3]),
    Guard(u8),
    Fragment(Fragment),
}

/// Frames of one reason.
#[derive(Debug, Clone, Default)]
struct Frames {
    held: u64,
    alone: u64,
    part: f64,
    began: f64,
    records: BTreeSet<u32>,
}

/// One row.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What held.
    pub what: String,
    /// Rules that ask for it; none: every table does.
    pub rules: usize,
    /// Some of their signature ids.
    pub sids: Vec<u32>,
    /// Share of all frames that it held in.
    pub held: f64,
    /// That nothing else held in.
    pub alone: f64,
    /// Where each frame counts in equal parts for all that held in it.
    pub part: f64,
    /// The same of frames whose flow was not diverted before.
    pub began: f64,
}

/// What was measured.
#[derive(Debug, Clone, Default, Serialize)]
pub struct MeasuredCosts {
    /// Captures that were read.
    pub captures: usize,
    /// Frames that were judged.
    pub frames: u64,
    /// Share of them that a record held in.
    pub flagged: f64,
    /// Of frames whose flow was not diverted before.
    pub began: f64,
    /// By part, largest first.
    pub reasons: Vec<Row>,
}

/// Fragments of a window, by its folded bytes and their number, with the records that each leads to.
type Windows = HashMap<(u64, usize), Vec<(Fragment, Vec<u32>)>>;

struct Tally {
    records: Vec<Record>,
    fragments: Windows,
    frames: u64,
    flagged: u64,
    began: u64,
    by_reason: HashMap<Reason, Frames>,
    scratch: Vec<(Reason, u32)>,
}

impl Tally {
    fn new(content: &Content) -> Self {
        let mut fragments = Windows::new();
        for (fragment, list) in &content.fragments {
            fragments.entry((fragment.window(), fragment.length())).or_default().push((*fragment, list.clone()));
        }
        let (by_reason, scratch) = (HashMap::new(), Vec::new());
        Tally { records: content.records.clone(), fragments, frames: 0, flagged: 0, began: 0, by_reason, scratch }
    }

    fn frame(&mut self, judging: &Judging<'_>) {
        self.frames += 1;
        if judging.held.is_empty() {
            return;
        }
        self.flagged += 1;
        self.began += u64::from(!judging.diverted);
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        for &(record, led) in judging.held {
            let reason = match led {
                Led::Header => self.records.get(record as usize).map(of_frame),
                Led::Guard(guard) => Some(Reason::Guard(guard)),
                Led::Fragment(at) => fragment(judging, at, record, &self.fragments).map(Reason::Fragment),
            };
            scratch.extend(reason.map(|reason| (reason, record)));
        }
        scratch.sort_unstable();
        let different = scratch.chunk_by(|a, b| a.0 == b.0).count();
        for all in scratch.chunk_by(|a, b| a.0 == b.0) {
            let Some((reason, _)) = all.first() else { continue };
            let frames = self.by_reason.entry(*reason).or_default();
            frames.held += 1;
            frames.alone += u64::from(different == 1);
            let part = 1.0 / different as f64;
            frames.part += part;
            frames.began += if judging.diverted { 0.0 } else { part };
            frames.records.extend(all.iter().map(|(_, record)| *record));
        }
        self.scratch = scratch;
    }
}

fn of_frame(record: &Record) -> Reason {
    Reason::Frame(record.class_mask, [record.transports, record.directions, record.states])
}

/// The fragment that begins there and leads to the record.
fn fragment(judging: &Judging<'_>, at: i32, record: u32, fragments: &Windows) -> Option<Fragment> {
    let before = judging.tail.len() as i64;
    let bytes = (0..8).map_while(|n| {
        let place = i64::from(at) + n;
        let byte = if place < 0 { judging.tail.get(usize::try_from(place + before).ok()?) } else { judging.payload.get(place as usize) };
        byte.copied()
    });
    let bytes: Vec<u8> = bytes.collect();
    // Case is compared by the filter: of fragments that differ by it alone any will do.
    let of_length = |length: usize| {
        let window = Fragment::new(bytes.get(..length)?, false)?;
        let same = fragments.get(&(window.window(), window.length()))?;
        same.iter().find(|(_, list)| list.contains(&record)).map(|(f, _)| *f)
    };
    (4..=bytes.len()).rev().find_map(of_length)
}

/// Runs captures behind the simulated device with these tables.
pub fn measure(
    loaded: &Loaded,
    tables: &Tables,
    config: &Config,
    captures: &[PathBuf],
    quiet: bool,
) -> Result<MeasuredCosts, Failure> {
    let behind = Watched { loaded, tables, config, captures, label: "measure", quiet };
    let (tally, read) = behind.run(Tally::new(&tables.image.tables), Tally::frame, |_, _| ())?;
    Ok(rows(tally, read, tables, loaded.program.sources()))
}

fn rows(tally: Tally, captures: usize, tables: &Tables, sources: &[Rule]) -> MeasuredCosts {
    let all = tally.frames.max(1) as f64;
    let records = &tables.image.tables.records;
    let row = |(reason, frames): (Reason, Frames)| {
        let (what, trigger) = match reason {
            Reason::Frame(class_mask, [transports, directions, states]) => {
                let record = Record { class_mask, transports, directions, states, ..Record::ALWAYS };
                let kind = show::record_words(&record, &tables.plan.sets).join("; ");
                (format!("every frame of {kind}"), Trigger::Frame)
            }
            Reason::Guard(guard) => (trigger_text(&Trigger::Guard(guard)), Trigger::Guard(guard)),
            Reason::Fragment(fragment) => (trigger_text(&Trigger::Fragment(fragment)), Trigger::Fragment(fragment)),
        };
        let held: Vec<&Record> = frames.records.iter().filter_map(|id| records.get(*id as usize)).collect();
        let asks = |c: &&Condition| c.trigger == trigger && (trigger != Trigger::Frame || held.iter().any(|r| covers(r, &c.record)));
        let of = tables.plan.rules.iter().filter(|planned| planned.conditions.iter().any(|c| asks(&c)));
        let rules: Vec<usize> = of.map(|planned| planned.rule).collect();
        let sids = rules.iter().take(NAMED).filter_map(|rule| sources.get(*rule)).map(|rule| rule.identity.sid).collect();
        Row {
            what,
            rules: rules.len(),
            sids,
            held: frames.held as f64 / all,
            alone: frames.alone as f64 / all,
            part: frames.part / all,
            began: frames.began / all,
        }
    };
    let mut reasons: Vec<Row> = tally.by_reason.into_iter().map(row).collect();
    reasons.sort_by(|a, b| b.part.total_cmp(&a.part).then_with(|| a.what.cmp(&b.what)));
    MeasuredCosts { captures, frames: tally.frames, flagged: tally.flagged as f64 / all, began: tally.began as f64 / all, reasons }
}
