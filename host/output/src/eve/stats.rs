//! Statistics records.

use super::EveOptions;
use crate::json::Object;
use crate::time::timestamp;
use crate::totals::RunTotals;

/// Appends a stats record, without a line end.
pub fn stats(line: &mut Vec<u8>, _options: &EveOptions, time: u64, totals: &RunTotals) {
    let mut root = Object::new(line);
    root.plain("timestamp", |out| timestamp(out, time));
    root.text("event_type", "stats");
    let mut stats = root.object("stats");
    stats.number("uptime", totals.seconds.run as u64);
    let mut named = totals.named.clone();
    let rules = &totals.rules;
    let skipped = rules.rejected_by_cause.get("requires").copied().unwrap_or(0);
    for (name, value) in [
        ("id", 0),
        ("rules_loaded", rules.loaded),
        ("rules_failed", rules.rejected.saturating_sub(skipped)),
        ("rules_skipped", skipped),
    ] {
        named.insert(format!("detect.engines[0].{name}"), value);
    }
    let names: Vec<(&str, u64)> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    members(&mut stats, &names, 0);
}

/// Dotted names, in order, as objects within objects.
fn members(object: &mut Object<'_>, mut names: &[(&str, u64)], from: usize) {
    while let Some((&(name, value), rest)) = names.split_first() {
        let tail = name.get(from..).unwrap_or_default();
        match tail.find('.') {
            None => {
                object.number(tail, value);
                names = rest;
            }
            Some(at) => {
                let prefix = &name[..from + at + 1];
                let same = names.iter().take_while(|(n, _)| n.starts_with(prefix)).count();
                // A list of one.
                match tail[..at].strip_suffix("[0]") {
                    Some(list) => members(&mut object.array(list).item_object(), &names[..same], prefix.len()),
                    None => members(&mut object.object(&tail[..at]), &names[..same], prefix.len()),
                }
                names = &names[same..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_objects() {
        let totals = RunTotals {
            named: [("b", 4), ("a.x", 1), ("a.y.z", 2), ("a.y.zz", 3)].map(|(n, v)| (n.to_owned(), v)).into(),
            ..RunTotals::default()
        };
        let mut line = Vec::new();
        stats(&mut line, &EveOptions::default(), 0, &totals);
        let record: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!(record["stats"]["a"]["y"]["zz"], 3);
        assert_eq!(record["stats"]["b"], 4);
        assert_eq!(record["stats"]["detect"]["engines"][0]["rules_loaded"], 0);
    }
}
