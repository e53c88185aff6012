//! Checks of a case: filters over records, statistics, commands, files.

use super::case::{Case, Data};
use super::requires;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A check that does not hold.
#[derive(Debug, Clone)]
pub struct Failed {
    /// Which one, from 1.
    pub number: usize,
    /// What was asked, and what there is.
    pub message: String,
    /// `event_type` and the keys that were asked, of a filter.
    pub about: String,
}

/// Runs all checks; those that do not hold.
pub fn run(case: &Case, output: &Path, data: &Data) -> Result<Vec<Failed>> {
    let mut failed = Vec::new();
    for (n, check) in case.description["checks"].as_array().map_or(&[][..], Vec::as_slice).iter().enumerate() {
        for (kind, details) in check.as_object().into_iter().flatten() {
            if requires_unmet(details).is_some() {
                continue;
            }
            let result = match kind.as_str() {
                "filter" => filter(details, output),
                "stats" => stats(details, output),
                "shell" => shell(case, details, output, data),
                "file-compare" => compare_files(case, details, output),
                other => Err(anyhow::anyhow!("there is no check `{other}`")),
            };
            if let Err(error) = result {
                failed.push(Failed { number: n + 1, message: format!("{error:#}"), about: about(kind, details) });
            }
        }
    }
    Ok(failed)
}

fn requires_unmet(details: &Value) -> Option<String> {
    let mut requires = details.get("requires").cloned().unwrap_or_else(|| Value::Object(Default::default()));
    if let Some(requires) = requires.as_object_mut() {
        for key in ["min-version", "lt-version", "gt-version", "version"] {
            if let Some(value) = details.get(key) {
                requires.insert(key.to_owned(), value.clone());
            }
        }
        if let Some(feature) = details.get("feature") {
            requires.insert("features".to_owned(), Value::Array(vec![feature.clone()]));
        }
        // Conditions on the platform that these cases have hold on ours.
        requires.remove("lambda");
    }
    requires::unmet(&requires)
}

fn about(kind: &str, details: &Value) -> String {
    if kind != "filter" {
        return kind.to_owned();
    }
    let file = details["filename"].as_str().unwrap_or("eve.json");
    let event = details["match"]["event_type"].as_str().unwrap_or("any");
    if file == "eve.json" { event.to_owned() } else { file.to_owned() }
}

fn filter(details: &Value, output: &Path) -> Result<()> {
    let file = details["filename"].as_str().unwrap_or("eve.json");
    let path = output.join(file);
    let text = std::fs::read_to_string(&path).with_context(|| format!("{file} does not exist"))?;
    let wanted = details["match"].as_object().context("a filter without match")?;
    let mut count = 0;
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).with_context(|| format!("{file} is no JSON: {line}"))?;
        count += i64::from(matches(&record, wanted));
    }
    let expected = details["count"].as_i64().context("a filter without count")?;
    if count != expected {
        let words: Vec<String> = wanted.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        bail!("expected {expected}, found {count}: {}", words.join(", "));
    }
    Ok(())
}

/// The record has everything that is asked.
pub fn matches(record: &Value, wanted: &serde_json::Map<String, Value>) -> bool {
    wanted.iter().all(|(key, expected)| match key.as_str() {
        "has-key" => paths(expected).all(|path| find(path, record).is_some()),
        "not-has-key" => paths(expected).all(|path| find(path, record).is_none()),
        _ => holds(key, record, expected),
    })
}

/// One path, or a list of them.
fn paths(value: &Value) -> impl Iterator<Item = &str> {
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    list.iter().filter_map(Value::as_str)
}

fn holds(key: &str, record: &Value, expected: &Value) -> bool {
    let (path, operation) = match key.rsplit_once('.') {
        Some((path, last)) if last.starts_with("__") => (path, last),
        _ => (key, ""),
    };
    let Some(found) = find(path, record) else {
        return match operation {
            "__len" => *expected == Value::from(-1),
            _ => expected.is_null(),
        };
    };
    let text = || found.as_str().zip(expected.as_str());
    match operation {
        "" => equal(found, expected),
        "__len" => length(found).is_some_and(|n| equal(&Value::from(n), expected)),
        "__contains" => match found {
            Value::Array(items) => items.iter().any(|item| equal(item, expected)),
            Value::Object(members) => expected.as_str().is_some_and(|key| members.contains_key(key)),
            _ => text().is_some_and(|(found, part)| found.contains(part)),
        },
        "__find" => text().is_some_and(|(found, part)| found.contains(part)),
        "__startswith" => text().is_some_and(|(found, part)| found.starts_with(part)),
        "__endswith" => text().is_some_and(|(found, part)| found.ends_with(part)),
        _ => false,
    }
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::Array(items) => Some(items.len()),
        Value::Object(members) => Some(members.len()),
        Value::String(text) => Some(text.chars().count()),
        _ => None,
    }
}

/// Numbers compare by value, whole or not.
fn equal(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(x), Some(y)) if a.as_i64().is_none() || b.as_i64().is_none() => x == y,
        _ => a == b,
    }
}

/// The value at a dotted path; `name[3]` is an element of a list.
pub fn find<'v>(path: &str, record: &'v Value) -> Option<&'v Value> {
    path.split('.').try_fold(record, |value, part| {
        let (name, index) = match part.strip_suffix(']').and_then(|p| p.rsplit_once('[')) {
            Some((name, index)) => (name, Some(index.parse::<usize>().ok()?)),
            None => (part, None),
        };
        let member = value.get(name)?;
        match index {
            Some(index) => member.get(index),
            None => Some(member),
        }
    })
}

fn stats(details: &Value, output: &Path) -> Result<()> {
    let text = std::fs::read_to_string(output.join("eve.json")).context("eve.json does not exist")?;
    let last = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|record| record["event_type"] == "stats")
        .next_back()
        .context("there is no statistics record")?;
    for (key, expected) in details.as_object().context("statistics without names")? {
        if matches!(key.as_str(), "requires" | "min-version" | "lt-version") {
            continue;
        }
        let found = find(key, &last["stats"]);
        if !found.is_some_and(|found| equal(found, expected)) {
            bail!("stats.{key}: expected {expected}, found {}", found.unwrap_or(&Value::Null));
        }
    }
    Ok(())
}

fn shell(case: &Case, details: &Value, output: &Path, data: &Data) -> Result<()> {
    let script = details["args"].as_str().context("a command without args")?;
    let script = case.expand(script, output, data);
    let result = Command::new("/bin/bash")
        .arg("-c")
        .arg(&script)
        .current_dir(output)
        .env("TEST_DIR", &case.directory)
        .env("OUTPUT_DIR", output)
        .env("SRCDIR", &data.source)
        .output()
        .context("running bash")?;
    let said = String::from_utf8_lossy(&result.stdout).trim().to_owned();
    if !result.status.success() {
        bail!("`{}` fails: {}", script.trim(), String::from_utf8_lossy(&result.stderr).trim());
    }
    if let Some(expected) = details.get("expect") {
        let expected = expected.as_str().map_or_else(|| expected.to_string(), |text| text.trim().to_owned());
        if said != expected {
            bail!("`{}`: expected {expected:?}, found {said:?}", script.trim());
        }
    }
    Ok(())
}

fn compare_files(case: &Case, details: &Value, output: &Path) -> Result<()> {
    let expected = details["expected"].as_str().context("a comparison without expected")?;
    let name = details["filename"].as_str().context("a comparison without filename")?;
    let wanted = std::fs::read(case.directory.join(expected)).with_context(|| format!("reading {expected}"))?;
    let found = std::fs::read(output.join(name)).with_context(|| format!("{name} does not exist"))?;
    if wanted != found {
        bail!("{name} is not what {expected} is");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn is(record: &Value, wanted: Value) -> bool {
        matches(record, wanted.as_object().expect("an object"))
    }

    #[test]
    fn filters() {
        let record = json!({"event_type": "http", "http": {"length": 12, "list": [{"a": "xyz"}, "b"]}, "on": true});
        assert!(is(&record, json!({"http.length": 12, "http.list[0].a": "xyz"})));
        assert!(!is(&record, json!({"http.length": "12"})));
        assert!(is(&record, json!({"http.list.__len": 2, "http.none.__len": -1})));
        assert!(is(&record, json!({"http.list[0].a.__startswith": "xy", "http.list.__contains": "b"})));
        assert!(!is(&record, json!({"http.list[0].a.__endswith": "xy"})));
        assert!(is(&record, json!({"has-key": "http.list[1]", "not-has-key": "http.list[2]"})));
        assert!(is(&record, json!({"not-has-key": ["none", "http.none"]})));
        assert!(!is(&record, json!({"not-has-key": ["none", "http.length"]})));
        assert!(!is(&record, json!({"on": 1})));
    }
}
