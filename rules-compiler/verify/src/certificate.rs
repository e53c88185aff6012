//! The image's certificate against rules and tables: what it claims must be so.

use crate::place::Cell;
use crate::prove::{Tables, Window};
use crate::{Proof, Report};
use serde::Deserialize;
use std::collections::BTreeSet;
use weir_contract::guards::Guard;
use weir_ir::Rule;

/// One line.
#[derive(Debug, Deserialize)]
pub struct Line {
    gid: u32,
    sid: u32,
    rev: u32,
    class: String,
    fragments: Vec<String>,
    guards: Vec<String>,
    #[serde(default)]
    gates: BTreeSet<String>,
}

/// All lines.
#[derive(Debug, Default)]
pub struct Claims {
    lines: Vec<Line>,
    /// Flowbits that it says keep flows with the host.
    pub gates: BTreeSet<String>,
    error: Option<String>,
}

/// Reads the block.
pub fn read(block: &[u8]) -> Claims {
    let mut out = Claims::default();
    for line in serde_json::Deserializer::from_slice(block).into_iter::<Line>() {
        match line {
            Ok(line) => {
                out.gates.extend(line.gates.iter().cloned());
                out.lines.push(line);
            }
            Err(error) => {
                out.error = Some(format!("line {} cannot be read: {error}", out.lines.len() + 1));
                break;
            }
        }
    }
    out
}

/// Bytes in the notation of rules.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (n, part) in text.split('|').enumerate() {
        if n % 2 == 0 {
            out.extend_from_slice(part.as_bytes());
        } else {
            for digits in part.split(' ') {
                out.push(u8::from_str_radix(digits, 16).ok()?);
            }
        }
    }
    Some(out)
}

/// Most remarks.
const REMARKS_MAX: usize = 100;

/// Adds to the report what is not so.
pub fn compare(
    rules: &[Rule],
    proofs: &[Result<Proof, String>],
    claims: &Claims,
    tables: &Tables<'_>,
    report: &mut Report,
) {
    if tables.bits.certificate.is_none() {
        return;
    }
    let mut say = |text: String| {
        if report.certificate.len() < REMARKS_MAX {
            report.certificate.push(text);
        }
    };
    if let Some(error) = &claims.error {
        say(error.clone());
    }
    if claims.lines.len() != rules.len() {
        say(format!("{} lines for {} rules", claims.lines.len(), rules.len()));
    }
    for ((line, rule), proof) in claims.lines.iter().zip(rules).zip(proofs) {
        let name = format!("{}:{}:{}", line.gid, line.sid, line.rev);
        if (line.gid, line.sid, line.rev) != (rule.identity.gid, rule.identity.sid, rule.identity.rev) {
            say(format!(
                "{name} stands where rule {}:{}:{} does",
                rule.identity.gid, rule.identity.sid, rule.identity.rev
            ));
            continue;
        }
        // Where records for every frame catch the rule, its fragments may be left out of the tables.
        let needless = matches!(proof, Ok(Proof::Frames | Proof::Never));
        for text in line.fragments.iter().filter(|_| !needless) {
            let window = bytes(text).and_then(|bytes| {
                let cells: Vec<Cell> = bytes.iter().map(|&byte| Cell { byte, exact: true }).collect();
                Window::new(&cells, None)
            });
            match window {
                Some(window) if tables.found(&window) => {}
                Some(_) => say(format!("{name}: fragment \"{text}\" is not in the tables")),
                None => say(format!("{name}: \"{text}\" is no fragment")),
            }
        }
        for text in line.guards.iter().filter(|_| !needless) {
            let guard = Guard::ALL.iter().find(|guard| guard.name() == text);
            if guard.is_none_or(|guard| tables.bits.guard(*guard as u8).is_empty()) {
                say(format!("{name}: guard {text} leads nowhere"));
            }
        }
        let idle = line.fragments.is_empty() && line.guards.is_empty();
        let deferred = matches!(proof, Ok(Proof::Deferred | Proof::Gated));
        if deferred != (line.class == "D") && !(line.class == "D" && proof.is_ok()) && proof.is_ok() {
            say(format!("{name}: class {}, but only its flow's other rules have it diverted", line.class));
        }
        if matches!(line.class.as_str(), "L" | "T") && idle && !needless {
            say(format!("{name}: class {} without a fragment", line.class));
        }
    }
}
