//! `weir rules explain`: what Weir makes of a rule.

use super::configuration;
use super::rules::{action_name, protocol_name};
use crate::args::ExplainArguments;
use crate::exit::{FINDINGS, Failure, INPUT, OK};
use crate::out::{out, outln};
use crate::ruleset;
use std::fmt::Write;
use weir_ir::{AddressSet, Match, PortSet, Rule};
use weir_output::summary::visible;
use weir_rules::diag::render_text;

pub fn run(arguments: &ExplainArguments) -> Result<u8, Failure> {
    let config = configuration(&arguments.config)?;
    let set = ruleset::load_rules(&ruleset::paths(&arguments.rules, &config)?, &config, None)?;
    let mut code = OK;
    for &sid in &arguments.sids {
        let mut found = false;
        for rule in set.rules.iter().filter(|rule| rule.identity.sid == sid) {
            out!("{}", describe(rule));
            found = true;
        }
        for diagnostic in set.rejected.iter().chain(&set.warnings).filter(|d| d.sid == Some(sid)) {
            outln!("{}", render_text(diagnostic));
            found = true;
            code = FINDINGS;
        }
        if !found {
            return Err(Failure {
                code: INPUT,
                error: anyhow::anyhow!("no rule has sid {sid}"),
                remedy: Some("it may be commented out; `weir rules stats` counts what was read".to_owned()),
            });
        }
    }
    Ok(code)
}

/// The normalised rule, for people.
pub fn describe(rule: &Rule) -> String {
    let mut out = String::new();
    let identity = rule.identity;
    let _ = writeln!(out, "[{}:{}:{}] {}", identity.gid, identity.sid, identity.rev, visible(&rule.meta.message));
    let _ = writeln!(out, "  at        {}:{}", rule.source.file, rule.source.line);
    let header = &rule.header;
    let _ = writeln!(
        out,
        "  header    {} {} {} {} {} {} {}",
        action_name(rule.action),
        protocol_name(header.protocol),
        addresses(&header.source),
        ports(&header.source_ports),
        if header.bidirectional { "<>" } else { "->" },
        addresses(&header.destination),
        ports(&header.destination_ports)
    );
    let _ = writeln!(
        out,
        "  class     {} (priority {})",
        rule.meta.class_description.as_deref().unwrap_or("none"),
        rule.meta.priority
    );
    if let Some(flow) = &rule.flow {
        let _ = writeln!(out, "  flow      {}", only_true(&format!("{flow:?}")));
    }
    for condition in &rule.packet {
        let _ = writeln!(out, "  packet    {condition:?}");
    }
    for condition in &rule.app_layer {
        let _ = writeln!(out, "  parser    {condition:?}");
    }
    for event in &rule.events {
        let _ = writeln!(out, "  event     {event:?}");
    }
    for buffer in &rule.buffers {
        let transforms: String = buffer.transforms.iter().map(|t| format!(" | {t:?}")).collect();
        let _ = writeln!(out, "  in {}{transforms}", buffer.buffer.name());
        for found in &buffer.matches {
            let _ = writeln!(out, "    {}", match_text(found));
        }
    }
    for bit in &rule.flowbits {
        let _ = writeln!(out, "  flowbits  {:?} {}", bit.operation, bit.names.join(" | "));
    }
    for bit in &rule.xbits {
        let _ = writeln!(out, "  xbits     {:?} {} by {:?}, {} s", bit.operation, bit.name, bit.track, bit.expire);
    }
    if let Some(threshold) = &rule.threshold {
        let _ = writeln!(out, "  threshold {threshold:?}");
    }
    if rule.noalert {
        let _ = writeln!(out, "  noalert   sets state of its flow only");
    }
    out
}

fn match_text(found: &Match) -> String {
    match found {
        Match::Content(content) => {
            // The bytes as rules write them; everything else as it is.
            let rest = format!("{:?}", weir_ir::Content { bytes: [].into(), ..content.clone() });
            let rest = rest.trim_start_matches("Content { bytes: [], ").trim_end_matches(" }");
            format!("content \"{}\"  {rest}", pattern(&content.bytes))
        }
        other => visible(&format!("{other:?}")),
    }
}

/// Printable bytes as they are, others in `|hex|`.
fn pattern(bytes: &[u8]) -> String {
    let mut out = String::new();
    for run in bytes.chunk_by(|a, b| plain(*a) == plain(*b)) {
        if run.first().is_some_and(|&b| plain(b)) {
            out.extend(run.iter().map(|&b| b as char));
        } else {
            let hex: Vec<_> = run.iter().map(|b| format!("{b:02x}")).collect();
            let _ = write!(out, "|{}|", hex.join(" "));
        }
    }
    out
}

fn plain(b: u8) -> bool {
    (0x20..0x7f).contains(&b) && !matches!(b, b'|' | b'"' | b'\\' | b';')
}

fn only_true(text: &str) -> String {
    let words = text.split(['{', '}', ',']).filter_map(|field| field.trim().strip_suffix(": true"));
    words.collect::<Vec<_>>().join(", ")
}

fn addresses(set: &AddressSet) -> String {
    if set.is_any() {
        return "any".into();
    }
    let v4 = set.v4.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") });
    let v6 = set.v6.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") });
    shortened(v4.chain(v6).collect())
}

fn ports(set: &PortSet) -> String {
    if set.is_any() {
        return "any".into();
    }
    shortened(set.ranges.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}:{b}") }).collect())
}

fn shortened(items: Vec<String>) -> String {
    const SHOWN: usize = 6;
    let more = items.len().saturating_sub(SHOWN);
    let mut text = items.into_iter().take(SHOWN).collect::<Vec<_>>().join(",");
    if more > 0 {
        text += &format!(",… {more} more");
    }
    format!("[{text}]")
}
