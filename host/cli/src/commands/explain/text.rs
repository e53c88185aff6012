//! The page of a rule.

use super::{Explained, Group};
use std::fmt::Write;
use weir_output::summary::{group as grouped, visible};

/// Forms of one thing that are listed; the JSON has all.
const FORMS: usize = 6;

fn share(part: f64) -> String {
    format!("{:.4} %", 100.0 * part)
}

/// Lines with a name before the first.
fn put(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "  {name:<10}{}", visible(text));
}

/// Everything about a rule.
pub fn page(e: &Explained) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "[{}:{}:{}] {}", e.gid, e.sid, e.rev, visible(&e.msg));
    put(&mut out, "at", &format!("{}:{}", e.file, e.line));
    put(&mut out, "severity", &format!("{} (priority {})", e.classtype.as_deref().unwrap_or("no class"), e.priority));
    put(&mut out, "rule", &e.rule.header);
    for condition in &e.rule.conditions {
        put(&mut out, "", condition);
    }
    for buffer in &e.rule.buffers {
        let transforms: String = buffer.transforms.iter().map(|t| format!("; {t}")).collect();
        put(&mut out, "", &format!("{}{transforms}", buffer.buffer));
        for found in &buffer.matches {
            put(&mut out, "", &format!("  {found}"));
        }
    }
    for state in &e.rule.state {
        put(&mut out, "", state);
    }
    put(&mut out, "class", &format!("{}: {}", e.class.letter(), e.meaning));
    put(&mut out, "because", &e.reason);
    for (n, group) in e.conditions.iter().enumerate() {
        conditions(&mut out, if n == 0 { "looks for" } else { "or" }, group);
    }
    for gate in &e.gates {
        let set_by: Vec<String> = gate.set_by.iter().map(u32::to_string).collect();
        put(&mut out, "waits for", &format!("flowbit {}, set by {}; the host keeps flows with it", gate.flowbit, set_by.join(", ")));
    }
    if e.conditions.is_empty() && e.gates.is_empty() {
        put(&mut out, "looks for", "nothing");
    }
    let with = if e.expected.alone > e.expected.own * 1.005 {
        format!("; {} with what more than {} rules ask for", share(e.expected.alone), crate::cost::SHARED)
    } else {
        String::new()
    };
    put(&mut out, "expected", &format!("{} of the frames{with}", share(e.expected.own)));
    put(&mut out, "", &format!("by {}", e.planned_by));
    if let Some(proof) = &e.proof {
        put(&mut out, if proof.proven { "proven" } else { "NOT PROVEN" }, &proof.by);
    }
    out.push('\n');
    out
}

fn conditions(out: &mut String, name: &str, group: &Group) {
    let mut name = name;
    let mut line = |out: &mut String, text: &str| {
        put(out, name, text);
        name = "";
    };
    let of = |rules: usize| match rules {
        0 | 1 => "this rule alone asks for it".to_owned(),
        n => format!("{} rules ask for it", grouped(n as u64)),
    };
    for f in group.fragments.iter().take(FORMS) {
        line(out, &format!("fragment \"{}\": {} bytes, {}, {}; expected in {}; {}", f.text, f.bytes, f.hex, f.case, share(f.expected), of(f.rules)));
        if !f.with.is_empty() {
            let sids: Vec<String> = f.with.iter().map(u32::to_string).collect();
            let more = f.rules.saturating_sub(f.with.len() + 1);
            let more = if more > 0 { format!(" and {} more", grouped(more as u64)) } else { String::new() };
            line(out, &format!("  shared with {}{more}", sids.join(", ")));
        }
    }
    if group.fragments.len() > FORMS {
        let rest = group.fragments.iter().skip(FORMS).map(|f| f.expected).sum::<f64>();
        line(out, &format!("{} more forms of it; expected in {}", group.fragments.len() - FORMS, share(rest.min(1.0))));
    }
    for g in &group.guards {
        line(out, &format!("guard {}: {} Expected in {}; {}", g.name, g.meaning, share(g.expected), of(g.rules)));
    }
    if let Some(frame) = &group.every_frame {
        line(out, &format!("every frame; expected {}; {}", share(frame.expected), of(frame.rules)));
    }
    let when = if group.when.is_empty() { "any frame".to_owned() } else { group.when.join("; ") };
    line(out, &format!("  where: {when}"));
    line(out, &format!("  could complete: {}", group.scopes));
}
