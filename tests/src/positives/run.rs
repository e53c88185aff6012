//! Fires rules, and compares both engines.

use super::conversation::{Conversation, Maker, Rules};
use super::solve::{Cause, Solver};
use super::traffic::{self, Style};
use super::{encodings, evasions};
use anyhow::{Result, anyhow};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use weir::commands::audit;
use weir::device::Tables;
use weir::pipeline::{self, Loaded, RunControl, Source};
use weir_ir::{Identity, Rule};
use weir_management::Config;
use weir_output::{AlertCollector, AlertIdentity};
use weir_synth::wire::Order;
use weir_synth::{Capture, Random, SynthFrame};

/// Conversations in one capture while rules are fired.
const BATCH: usize = 3000;
/// Time of the first frame.
const START: u64 = 1_700_000_000_000_000_000;

/// What became of a rule.
#[derive(Debug, Clone)]
pub enum Fate {
    /// Its conversation makes the full engine alert.
    Fired(Box<Conversation>),
    /// No conversation was made.
    Unsolved(Cause),
    /// There was one, and the engine did not alert.
    Silent(Box<Conversation>),
}

/// What the full engine says of a capture.
fn alerts(loaded: &Loaded, config: &Config, capture: Capture) -> Result<AlertCollector> {
    let stop = AtomicBool::new(false);
    let mut tick = |_| {};
    let mut control = RunControl::new(&stop, &mut tick);
    let mut sink = AlertCollector::default();
    pipeline::run_full(loaded, config, true, &mut Source::memory(capture), &mut sink, &mut control)
        .map_err(|f| f.error)?;
    Ok(sink)
}

/// Rules as the firing run loads them: each tells that it matched.
pub fn audible(rules: &[Rule]) -> Vec<Rule> {
    rules.iter().map(|rule| Rule { noalert: false, ..rule.clone() }).collect()
}

/// Fires these rules; `loaded` holds the [`audible`] ones.
pub fn fire(
    rules: &[Rule],
    chosen: &[usize],
    loaded: &Loaded,
    config: &Config,
    seed: u64,
    rounds: usize,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<BTreeMap<usize, Fate>> {
    let index = Rules::new(rules);
    let mut solver = Solver::new().ok_or_else(|| anyhow!("there is not enough memory for a solver"))?;
    let mut fates: BTreeMap<usize, Fate> = BTreeMap::new();
    for round in 0..rounds {
        let open: Vec<usize> =
            chosen.iter().copied().filter(|n| !matches!(fates.get(n), Some(Fate::Fired(_)))).collect();
        for part in open.chunks(BATCH) {
            let mut made = Vec::new();
            for &n in part {
                let random = Random::new(seed ^ (n as u64) << 20 ^ round as u64);
                let mut maker = Maker { solver: &mut solver, random, variant: round, rules: &index };
                match maker.conversation(n) {
                    Ok(conversation) => made.push((n, conversation)),
                    Err(cause) => {
                        fates.entry(n).or_insert(Fate::Unsolved(cause));
                    }
                }
            }
            let mut frames = Vec::new();
            let mut time = START;
            for (_, conversation) in &made {
                let own = traffic::frames(conversation, &Style::default(), time, 1000);
                time = own.last().map_or(time, |f| f.time) + 1000;
                frames.extend(own);
            }
            let heard = alerts(loaded, config, traffic::capture(frames))?;
            let fired: BTreeSet<Identity> = heard.by_rule.values().map(|hits| hits.rule).collect();
            for (n, conversation) in made {
                let conversation = Box::new(conversation);
                let own = fired.contains(&rules[n].identity);
                fates.insert(n, if own { Fate::Fired(conversation) } else { Fate::Silent(conversation) });
            }
            let done = fates.values().filter(|f| matches!(f, Fate::Fired(_))).count();
            progress(round, done);
        }
    }
    Ok(fates)
}

/// One conversation of a batch, as it is sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Rule; none of background.
    pub rule: Option<usize>,
    /// Frames.
    pub frames: Vec<SynthFrame>,
}

/// Sends conversations in styles of this seed, mingled in time.
pub fn batch(fired: &[(usize, &Conversation)], seed: u64) -> Vec<Sent> {
    let mut random = Random::new(seed);
    let spread = 1 + fired.len() as u64 * 500_000;
    let odd = !random.one_in(8);
    let mut sent: Vec<Sent> = fired
        .iter()
        .map(|(rule, conversation)| {
            // Some are sent as they are: what is plain must be right among what is not.
            let odd = odd && !random.one_in(5);
            let mut style = if odd { Style::random(&mut random) } else { Style::default() };
            let mut conversation = (*conversation).clone();
            if odd {
                encodings::vary(&mut conversation, &mut random);
            }
            if random.one_in(4) {
                nearly(&mut conversation, &mut random);
            }
            conversation.times = conversation.times.min(30);
            // A conversation that is sent several times is several flows, most of the time.
            if conversation.client.1 >= 32_768 && !random.one_in(8) {
                conversation.client.1 = 32_768 + random.below(28_000) as u16;
            }
            if conversation.turns.iter().map(|t| t.bytes.len()).sum::<usize>() > 8000 {
                style.segment = None;
                style.order = Order::Forward;
            }
            let time = START + random.below(spread);
            let step = random.pick(&[1_000, 20_000, 1_000_000]);
            Sent { rule: Some(*rule), frames: traffic::frames(&conversation, &style, time, step) }
        })
        .collect();
    // Traffic without intent between, by its own clock.
    for _ in 0..fired.len() / 20 {
        let mut frames = weir_synth::example::example(random.next(), 4).frames;
        let first = frames.iter().map(|f| f.time).min().unwrap_or(0);
        let start = START + random.below(spread);
        frames.iter_mut().for_each(|frame| frame.time = frame.time - first + start);
        sent.push(Sent { rule: None, frames });
    }
    sent
}

/// One byte of what the rule looks at is another.
fn nearly(conversation: &mut Conversation, random: &mut Random) {
    let turns = conversation.turns.len() as u64;
    if turns == 0 {
        return;
    }
    let at = random.below(turns) as usize;
    let bytes = &mut conversation.turns[at].bytes;
    if !bytes.is_empty() {
        let byte = random.below(bytes.len() as u64) as usize;
        bytes[byte] = if random.one_in(2) { bytes[byte] ^ 0x20 } else { random.next() as u8 };
    }
}

/// Loads rules from their text; every one of them has loaded before.
pub fn load_text(text: &str, config: &Config) -> Result<Loaded> {
    let sources = [weir_rules::RuleSource::from_text("part.rules", text.as_bytes().to_vec())];
    let set = weir::ruleset::load_sources(&sources, None, config).map_err(|f| f.error)?;
    Ok(pipeline::compile(set, config, std::time::Instant::now()))
}

/// Geometries of the device, one for each batch in turn.
pub const GEOMETRIES: [&[&str]; 8] = [
    &[],
    &["device.latency=1000000"],
    &["device.history-size=64KiB", "device.latency=1000000"],
    &["device.history-size=1MiB"],
    &["device.flow-entries=64"],
    &["device.queues=1"],
    &["device.batch=1"],
    &["device.queues=4", "device.batch=64"],
];

/// What one comparison said.
pub struct Said {
    /// Frames.
    pub frames: usize,
    /// Alerts of the full engine.
    pub alerts: usize,
    /// Rules that alerted.
    pub rules: BTreeSet<Identity>,
    /// Only the full engine's.
    pub missed: Vec<AlertIdentity>,
    /// Only the other's.
    pub extra: Vec<AlertIdentity>,
    /// Frames of which the host saw something.
    pub host_packets: u64,
    /// Frames of the host by what sent them.
    pub causes: BTreeMap<String, u64>,
}

/// Compares on the frames of a batch.
pub fn compare(loaded: &Loaded, tables: &Tables, config: &Config, sent: &[Sent]) -> Result<Said> {
    let frames: Vec<SynthFrame> = sent.iter().flat_map(|s| s.frames.iter().cloned()).collect();
    let capture = traffic::capture(frames);
    let frames = capture.frames.len();
    let open = || Ok(Source::memory(capture.clone()));
    let mut heard = AlertCollector::counting();
    let compared =
        audit::compare_watched(loaded, tables, config, &open, weir::args::Device::Sim, &mut heard, &mut |_| {})
            .map_err(|f| f.error)?;
    Ok(Said {
        frames,
        alerts: compared.alerts,
        rules: heard.by_rule.values().map(|hits| hits.rule).collect(),
        missed: compared.missed,
        extra: compared.extra,
        host_packets: compared.totals.host.packets,
        causes: compared.totals.host.by_cause.into_iter().map(|(name, cause)| (name, cause.packets)).collect(),
    })
}

/// The smallest part of a batch found that still differs, and what it says.
pub fn minimise(loaded: &Loaded, tables: &Tables, config: &Config, sent: &[Sent]) -> Result<(Vec<Sent>, Said)> {
    let differs = |sent: &[Sent]| -> Result<Option<Said>> {
        let said = compare(loaded, tables, config, sent)?;
        Ok((!said.missed.is_empty() || !said.extra.is_empty()).then_some(said))
    };
    let mut best = sent.to_vec();
    let mut said = differs(&best)?.ok_or_else(|| anyhow!("the difference does not come again"))?;
    // Halves of conversations, then single ones, then single frames.
    let mut parts = 2;
    while best.len() > 1 {
        let size = best.len().div_ceil(parts);
        let mut smaller = None;
        for start in (0..best.len()).step_by(size) {
            let rest: Vec<Sent> =
                best[..start].iter().chain(&best[(start + size).min(best.len())..]).cloned().collect();
            if let Some(found) = differs(&rest)? {
                smaller = Some((rest, found));
                break;
            }
        }
        match smaller {
            Some((rest, found)) => {
                (best, said) = (rest, found);
                parts = parts.saturating_sub(1).max(2);
            }
            None if size == 1 => break,
            None => parts = (parts * 2).min(best.len()),
        }
    }
    for n in 0..best.len() {
        let mut at = 0;
        while at < best[n].frames.len() && best[n].frames.len() > 1 {
            let mut rest = best.clone();
            rest[n].frames.remove(at);
            match differs(&rest)? {
                Some(found) => (best, said) = (rest, found),
                None => at += 1,
            }
        }
    }
    Ok((best, said))
}

/// What one way to hide comes to.
#[derive(Debug, Clone)]
pub struct Evaded {
    /// Its name.
    pub name: &'static str,
    /// Conversations it was applied to.
    pub applied: usize,
    /// Those on which the full engine still alerts.
    pub detected: usize,
    /// Benign twins on which it alerts.
    pub twins: usize,
    /// Alerts on which both engines do not agree.
    pub differences: usize,
}

/// Tries one way to hide on conversations, at most `most` of them.
pub fn evade(
    loaded: &Loaded,
    tables: &Tables,
    config: &Config,
    rules: &[Rule],
    fired: &[(usize, &Conversation)],
    way: usize,
    (most, seed): (usize, u64),
) -> Result<Evaded> {
    let mut random = Random::new(seed ^ way as u64);
    let (mut attacks, mut twins) = (Vec::new(), Vec::new());
    let mut time = START;
    for (rule, conversation) in fired.iter().filter(|(_, c)| c.times == 1) {
        if attacks.len() == most {
            break;
        }
        let Some([attack, twin]) = evasions::hidden(way, conversation, &mut random, time) else { continue };
        time = attack.last().map_or(time, |f| f.time) + 1000;
        attacks.push(Sent { rule: Some(*rule), frames: attack });
        twins.push(Sent { rule: Some(*rule), frames: twin });
    }
    let heard = |sent: &[Sent]| -> Result<(usize, usize)> {
        let said = compare(loaded, tables, config, sent)?;
        let audible = sent.iter().filter_map(|s| s.rule).filter(|rule| said.rules.contains(&rules[*rule].identity));
        Ok((audible.count(), said.missed.len() + said.extra.len()))
    };
    attacks.retain(|s| s.rule.is_some_and(|rule| !rules[rule].noalert));
    let (detected, first) = heard(&attacks)?;
    let (alerting, second) = heard(&twins)?;
    let name = evasions::name(way);
    Ok(Evaded { name, applied: attacks.len(), detected, twins: alerting, differences: first + second })
}
