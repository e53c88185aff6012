//! Weir's side: rules to a program, a capture to pairs.

use super::{Counts, flow_of};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_capture::CaptureReader;
use weir_detect::{CompileOptions, Program};
use weir_engine::{Engine, EngineConfig};
use weir_ir::{BitOperation, Rule};
use weir_output::AlertCollector;
use weir_packet::Checksums;
use weir_rules::{LoadOptions, RuleSource, VariableTable};

/// Compiled rules, and what comparison asks of them.
pub struct Rules {
    /// For engines.
    pub program: Arc<Program>,
    /// Signatures that are in force.
    pub loaded: BTreeSet<u32>,
    /// One line for each kind of rule that is not.
    pub notes: Vec<String>,
    text: BTreeMap<u32, Arc<str>>,
    messages: BTreeMap<u32, String>,
    bits: BTreeMap<u32, Bits>,
}

/// Names of flow and host bits a rule tests and changes.
#[derive(Default)]
struct Bits {
    tests: BTreeSet<String>,
    changes: BTreeSet<String>,
}

impl Bits {
    fn of(rule: &Rule) -> Bits {
        let mut bits = Bits::default();
        let mut add = |operation: BitOperation, name: String| {
            match operation {
                BitOperation::IsSet | BitOperation::IsNotSet => bits.tests.insert(name),
                _ => bits.changes.insert(name),
            };
        };
        for op in &rule.flowbits {
            for name in &op.names {
                add(op.operation, format!("flow {name}"));
            }
        }
        for op in &rule.xbits {
            add(op.operation, format!("host {}", op.name));
        }
        bits
    }
}

/// Load rule files or directories, every network variable `any`; `configuration` holds classification.config and its
/// like.
pub fn load(paths: &[PathBuf], configuration: &Path) -> Result<Rules> {
    let sources = RuleSource::from_paths(paths)?;
    let mut variables = VariableTable::default();
    variables.set("HOME_NET", "any");
    variables.set("EXTERNAL_NET", "any");
    let mut options = LoadOptions::default();
    options.configuration_from(configuration)?;
    let rules = weir_rules::load(&sources, &variables, &options);
    let mut notes = vec![format!(
        "{} rules loaded, {} rejected, {} disabled",
        rules.rules.len(),
        rules.rejected.len(),
        rules.disabled
    )];
    let mut causes: BTreeMap<String, usize> = BTreeMap::new();
    for diagnostic in &rules.rejected {
        *causes.entry(format!("{:?}", diagnostic.cause)).or_default() += 1;
    }
    notes.extend(causes.iter().map(|(cause, n)| format!("{n} rejected: {cause}")));
    let bits = rules.rules.iter().map(|rule| (rule.identity.sid, Bits::of(rule))).collect();
    let text = rules.rules.iter().map(|rule| (rule.identity.sid, Arc::clone(&rule.source.text))).collect();
    let messages = rules.rules.iter().map(|rule| (rule.identity.sid, rule.meta.message.to_string())).collect();
    let mut loaded: BTreeSet<u32> = rules.rules.iter().map(|rule| rule.identity.sid).collect();
    let (program, errors) = Program::compile(rules.rules, CompileOptions::default());
    for error in &errors {
        loaded.remove(&error.identity.sid);
        notes.push(format!("left out: {}: {}", error.identity.sid, error.cause));
    }
    Ok(Rules { program: Arc::new(program), loaded, notes, text, messages, bits })
}

impl Rules {
    /// Message of a rule.
    pub fn message(&self, sid: u32) -> &str {
        self.messages.get(&sid).map_or("", String::as_str)
    }

    /// Text of the rules `sids`, and of all rules that change a bit which one of the former tests.
    pub fn text_with_setters(&self, sids: &BTreeSet<u32>) -> String {
        let mut chosen = sids.clone();
        let mut names: BTreeSet<&String> = BTreeSet::new();
        loop {
            let tested = chosen.iter().filter_map(|sid| self.bits.get(sid)).flat_map(|bits| &bits.tests);
            let fresh: BTreeSet<&String> = tested.filter(|name| !names.contains(name)).collect();
            if fresh.is_empty() {
                break;
            }
            let setters = self.bits.iter().filter(|(_, bits)| fresh.iter().any(|name| bits.changes.contains(*name)));
            chosen.extend(setters.map(|(sid, _)| *sid));
            names.extend(fresh);
        }
        let mut out = String::new();
        for line in chosen.iter().filter_map(|sid| self.text.get(sid)) {
            out.push_str(line);
            out.push('\n');
        }
        out
    }
}

/// What the engine said of a capture.
pub struct Outcome {
    /// Pairs, and how often each alerted.
    pub pairs: Counts,
    /// Frames read.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why the capture could not be read to its end.
    pub trouble: Option<String>,
}

/// Run the full engine over a capture, transport checksums ignored.
pub fn run(rules: &Rules, path: &Path) -> Result<Outcome> {
    let mut config = EngineConfig::default();
    config.decoder.checksums = Checksums::Ignore;
    let mut engine = Engine::new(config, Arc::clone(&rules.program)).context("no memory for the engine")?;
    let mut sink = AlertCollector::default();
    let mut last = 0;
    let mut trouble = None;
    match CaptureReader::open(path) {
        Ok(mut reader) => loop {
            match reader.next_frame() {
                Ok(Some(mut frame)) => {
                    last = frame.time.0.max(last);
                    frame.time.0 = last;
                    engine.frame(&frame, &mut sink);
                }
                Ok(None) => break,
                Err(error) => {
                    trouble = Some(error.to_string());
                    break;
                }
            }
        },
        Err(error) => trouble = Some(error.to_string()),
    }
    engine.finish(last, &mut sink);
    let counters = engine.counters();
    let mut pairs = Counts::new();
    for alert in &sink.alerts {
        *pairs.entry((alert.rule.sid, alert.packet.as_ref().map_or_else(String::new, flow_of))).or_default() += 1;
    }
    Ok(Outcome { pairs, frames: counters.frames, bytes: counters.bytes, trouble })
}
