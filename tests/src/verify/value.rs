//! YAML of cases as JSON values: plain scalars have the types that YAML 1.1 gives them, so that they compare with records.

use anyhow::{Context, Result};
use serde_json::{Map, Number, Value};
use std::path::Path;
use weir::suricata::yaml::Yaml;

/// The document of a file.
pub fn load(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let yaml = Yaml::parse(&text).with_context(|| format!("{} is no YAML", path.display()))?;
    Ok(value(&yaml))
}

/// A YAML value.
pub fn value(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Scalar { text, plain: true } => plain(text),
        Yaml::Scalar { text, plain: false } => Value::String(text.clone()),
        Yaml::Sequence(items) => Value::Array(items.iter().map(value).collect()),
        Yaml::Mapping(members) => {
            Value::Object(members.iter().map(|(key, item)| (key.clone(), value(item))).collect::<Map<_, _>>())
        }
    }
}

/// A plain scalar (YAML 1.1, "Language-Independent Types").
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    integer(text).or_else(|| float(text)).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

fn integer(text: &str) -> Option<Number> {
    let clean = text.replace('_', "");
    let (sign, digits) = match clean.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, clean.strip_prefix('+').unwrap_or(&clean)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let parsed = if let Some(hex) = digits.strip_prefix("0x") {
        i128::from_str_radix(hex, 16).ok()?
    } else if let Some(binary) = digits.strip_prefix("0b") {
        i128::from_str_radix(binary, 2).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') {
        i128::from_str_radix(digits, 8).ok()?
    } else if let Some(parts) = digits.contains(':').then(|| digits.split(':')) {
        // Base 60: 1:30 is 90.
        let mut sum = 0i128;
        for part in parts {
            sum = sum.checked_mul(60)?.checked_add(part.parse::<i128>().ok().filter(|n| *n >= 0)?)?;
        }
        sum
    } else {
        digits.parse().ok()?
    };
    Number::from_i128(sign * parsed)
}

fn float(text: &str) -> Option<Number> {
    let clean = text.replace('_', "");
    let shape = clean.contains('.') && clean.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    if !shape || !clean.trim_start_matches(['-', '+', '.']).starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    clean.parse().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_have_types() {
        for (text, expected) in [
            ("12", json!(12)),
            ("0x10", json!(16)),
            ("010", json!(8)),
            ("1_000", json!(1000)),
            ("-3", json!(-3)),
            ("1.5", json!(1.5)),
            ("yes", json!(true)),
            ("", json!(null)),
            ("1.2.3.4", json!("1.2.3.4")),
            ("0900", json!("0900")),
            ("a12", json!("a12")),
            ("-", json!("-")),
            ("18446744073709551615", json!(u64::MAX)),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
        let yaml = Yaml::parse("a: '12'\nb: [1, x]\n").expect("YAML");
        assert_eq!(value(&yaml), json!({"a": "12", "b": [1, "x"]}));
    }
}
