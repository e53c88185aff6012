//! What a case needs: a version, features of the build, files.

use serde_json::Value;

/// What Weir is: the version of Suricata whose behaviour it has, and the features of Suricata's builds that it has.
pub const VERSION: [u32; 3] = [8, 0, 8];
const FEATURES: [&str; 7] = ["HAVE_JA3", "HAVE_JA4", "MAGIC", "HAVE_LIBJANSSON", "RUST", "PCRE_JIT", "HAVE_NSS"];

/// Why the requirements do not hold; none if they do.
pub fn unmet(requires: &Value) -> Option<String> {
    let requires = requires.as_object()?;
    requires.iter().find_map(|(key, value)| one(key, value))
}

fn one(key: &str, value: &Value) -> Option<String> {
    let text = text(value);
    let compare = || compare(&text);
    let failed = match key {
        "min-version" => compare() == std::cmp::Ordering::Less,
        "lt-version" => compare() != std::cmp::Ordering::Less,
        "gt-version" => compare() != std::cmp::Ordering::Greater,
        "version" => !is_version(&text),
        "features" => {
            let wanted = value.as_array().map_or(&[][..], Vec::as_slice);
            let missing: Vec<&str> =
                wanted.iter().filter_map(Value::as_str).filter(|f| !FEATURES.contains(f)).collect();
            return (!missing.is_empty()).then(|| format!("needs a build with {}", missing.join(", ")));
        }
        "not-features" => {
            let wanted = value.as_array().map_or(&[][..], Vec::as_slice);
            wanted.iter().filter_map(Value::as_str).any(|f| FEATURES.contains(&f))
        }
        "script" | "lambda" | "files" => return Some(format!("needs {key}: {text}")),
        "os" => text != "linux" && !value.as_array().is_some_and(|list| list.iter().any(|v| v == "linux")),
        "arch" => text != std::env::consts::ARCH,
        _ => false,
    };
    failed.then(|| format!("needs {key} {text}"))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => other.to_string(),
    }
}

fn numbers(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// Our version against one of which missing parts are 0.
fn compare(text: &str) -> std::cmp::Ordering {
    let mut other = numbers(text);
    other.resize(3, 0);
    VERSION.as_slice().cmp(&other)
}

/// `8`, `8.0` and `8.0.8` all name our version.
fn is_version(text: &str) -> bool {
    text.split_whitespace().any(|one| VERSION.starts_with(&numbers(one)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requirements() {
        assert_eq!(unmet(&json!({"min-version": 8})), None);
        assert_eq!(unmet(&json!({"min-version": "8.0.8"})), None);
        assert!(unmet(&json!({"min-version": "8.0.9"})).is_some());
        assert!(unmet(&json!({"lt-version": 8})).is_some());
        assert_eq!(unmet(&json!({"lt-version": 9})), None);
        assert_eq!(unmet(&json!({"version": "8.0"})), None);
        assert!(unmet(&json!({"version": 7})).is_some());
        assert!(unmet(&json!({"features": ["HAVE_LUA"]})).is_some());
        assert_eq!(unmet(&json!({"features": ["HAVE_JA3"]})), None);
        assert_eq!(unmet(&json!(null)), None);
    }
}
