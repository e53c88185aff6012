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
    let names: Vec<(&str, u64)> = totals.named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
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
                members(&mut object.object(&tail[..at]), &names[..same], prefix.len());
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
    }
}
