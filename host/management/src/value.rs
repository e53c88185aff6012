//! Values as the file or the command line gives them, and the types a key can have.

use std::path::PathBuf;

/// A value before its key's type is known.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `true`
    Bool(bool),
    /// `5`
    Integer(i64),
    /// `"text"`
    Text(String),
    /// `[…]`
    List(Vec<Value>),
    /// Anything else TOML knows; its name.
    Other(&'static str),
    /// From `--set`: the key's type decides how it is read.
    Raw(String),
}

impl Value {
    /// What it is, for messages.
    pub fn describe(&self) -> String {
        match self {
            Value::Bool(b) => format!("the boolean {b}"),
            Value::Integer(n) => format!("the integer {n}"),
            Value::Text(t) => format!("the text \"{t}\""),
            Value::List(_) => "a list".into(),
            Value::Other(name) => format!("a {name}"),
            Value::Raw(t) => format!("`{t}`"),
        }
    }
}

/// A type that a key can have.
pub trait Setting: Sized {
    /// Name of the type, for people.
    fn kind() -> String;
    /// Reads a value; the error says what is expected.
    fn read(value: &Value) -> Result<Self, String>;
    /// As TOML would have it.
    fn show(&self) -> String;
}

fn mismatch<T: Setting>(value: &Value) -> String {
    format!("expected {}, found {}", T::kind(), value.describe())
}

impl Setting for bool {
    fn kind() -> String {
        "true or false".into()
    }
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Bool(b) => Ok(*b),
            Value::Raw(t) => t.parse().map_err(|_| mismatch::<Self>(value)),
            _ => Err(mismatch::<Self>(value)),
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! integers {
    ($($t:ty),*) => { $(
        impl Setting for $t {
            fn kind() -> String {
                format!("an integer from 0 to {}", <$t>::MAX)
            }
            fn read(value: &Value) -> Result<Self, String> {
                match value {
                    Value::Integer(n) => Self::try_from(*n).map_err(|_| mismatch::<Self>(value)),
                    Value::Raw(t) => t.replace('_', "").parse().map_err(|_| mismatch::<Self>(value)),
                    _ => Err(mismatch::<Self>(value)),
                }
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )* };
}
integers!(u8, u16, u32, u64, usize);

/// A number of bytes: an integer, or text with a unit (`"64 KiB"`, `"1MiB"`, `"2GiB"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// As `usize`, clamped.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let number: u64 = number.replace('_', "").parse().ok()?;
    let unit = unit.trim();
    let factor = if unit.is_empty() { 1 } else { units.iter().find(|(u, _)| u.eq_ignore_ascii_case(unit))?.1 };
    number.checked_mul(factor)
}

fn show_unit(n: u64, units: &[(&str, u64)]) -> String {
    match units.iter().find(|&&(_, factor)| n > 0 && n.is_multiple_of(factor) && factor > 1) {
        Some(&(unit, factor)) => format!("\"{} {unit}\"", n / factor),
        None => n.to_string(),
    }
}

impl Setting for Size {
    fn kind() -> String {
        "a size in bytes: an integer, or text with B, KiB, MiB or GiB".into()
    }
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(n) => u64::try_from(*n).ok().map(Size),
            Value::Text(t) | Value::Raw(t) => with_unit(t, &SIZES).map(Size),
            _ => None,
        }
        .ok_or_else(|| mismatch::<Self>(value))
    }
    fn show(&self) -> String {
        show_unit(self.0, &SIZES)
    }
}

/// A number of seconds: an integer, or text with a unit (`"30 s"`, `"10 min"`, `"1 h"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub u64);

impl Seconds {
    /// In nanoseconds, clamped.
    pub fn nanoseconds(self) -> u64 {
        self.0.saturating_mul(1_000_000_000)
    }
}

const TIMES: [(&str, u64); 3] = [("h", 3600), ("min", 60), ("s", 1)];

impl Setting for Seconds {
    fn kind() -> String {
        "a time in seconds: an integer, or text with s, min or h".into()
    }
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(n) => u64::try_from(*n).ok().map(Seconds),
            Value::Text(t) | Value::Raw(t) => with_unit(t, &TIMES).map(Seconds),
            _ => None,
        }
        .ok_or_else(|| mismatch::<Self>(value))
    }
    fn show(&self) -> String {
        show_unit(self.0, &TIMES)
    }
}

impl Setting for String {
    fn kind() -> String {
        "text".into()
    }
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(t) | Value::Raw(t) => Ok(t.clone()),
            _ => Err(mismatch::<Self>(value)),
        }
    }
    fn show(&self) -> String {
        quote(self)
    }
}

/// A file; empty text means none.
impl Setting for Option<PathBuf> {
    fn kind() -> String {
        "a path (empty: none)".into()
    }
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(t) | Value::Raw(t) => Ok((!t.is_empty()).then(|| PathBuf::from(t))),
            _ => Err(mismatch::<Self>(value)),
        }
    }
    fn show(&self) -> String {
        quote(&self.as_ref().map(|p| p.display().to_string()).unwrap_or_default())
    }
}

/// Lists: in the file `[a, b]`, on the command line `a,b`.
impl<T: Setting> Setting for Vec<T> {
    fn kind() -> String {
        format!("a list; each element {}", T::kind())
    }
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::List(items) => items.iter().map(T::read).collect(),
            Value::Raw(t) if t.is_empty() => Ok(Vec::new()),
            Value::Raw(t) => t
                .trim_matches(['[', ']'])
                .split(',')
                .map(|item| T::read(&Value::Raw(item.trim().trim_matches('"').to_owned())))
                .collect(),
            _ => Err(mismatch::<Self>(value)),
        }
    }
    fn show(&self) -> String {
        let items: Vec<_> = self.iter().map(T::show).collect();
        format!("[{}]", items.join(", "))
    }
}

impl Setting for PathBuf {
    fn kind() -> String {
        "a path".into()
    }
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(t) | Value::Raw(t) if !t.is_empty() => Ok(PathBuf::from(t)),
            _ => Err(mismatch::<Self>(value)),
        }
    }
    fn show(&self) -> String {
        quote(&self.display().to_string())
    }
}

/// A TOML basic string.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A closed set of words.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $( $(#[$vdoc:meta])* $variant:ident = $word:literal, )* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $( $(#[$vdoc])* $variant, )* }

        impl $crate::value::Setting for $name {
            fn kind() -> String {
                let words: &[&str] = &[$( concat!("\"", $word, "\"") ),*];
                format!("one of {}", words.join(", "))
            }
            fn read(value: &$crate::value::Value) -> Result<Self, String> {
                use $crate::value::Value;
                let found = match value {
                    Value::Text(t) | Value::Raw(t) => match t.as_str() { $( $word => Some($name::$variant), )* _ => None },
                    _ => None,
                };
                found.ok_or_else(|| format!("expected {}, found {}", Self::kind(), value.describe()))
            }
            fn show(&self) -> String {
                match self { $( $name::$variant => concat!("\"", $word, "\""), )* }.to_owned()
            }
        }
    };
}
pub(crate) use choice;

#[cfg(test)]
mod tests {
    use super::*;

    fn raw<T: Setting>(text: &str) -> Result<T, String> {
        T::read(&Value::Raw(text.into()))
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(raw::<Size>("64 KiB"), Ok(Size(65536)));
        assert_eq!(raw::<Size>("1mib"), Ok(Size(1 << 20)));
        assert_eq!(raw::<Size>("12_000"), Ok(Size(12000)));
        for bad in ["", "KiB", "1 kb", "-1", "99999999999GiB", "1.5MiB"] {
            assert!(raw::<Size>(bad).is_err(), "{bad}");
        }
        assert_eq!(raw::<Seconds>("10 min"), Ok(Seconds(600)));
        assert_eq!(Size(3 << 20).show(), "\"3 MiB\"");
        assert_eq!(Size(1000).show(), "1000");
        assert_eq!(Seconds(90).show(), "90");
        assert_eq!(Seconds(7200).show(), "\"2 h\"");
    }

    #[test]
    fn lists_and_numbers() {
        assert_eq!(raw::<Vec<u16>>("1,2, 3"), Ok(vec![1, 2, 3]));
        assert_eq!(raw::<Vec<u16>>("[]").map(|v| v.len()).unwrap_or(9), 9);
        assert_eq!(raw::<Vec<u16>>(""), Ok(vec![]));
        assert!(raw::<u8>("256").is_err());
        assert!(u16::read(&Value::Integer(-1)).unwrap_err().contains("0 to 65535"));
        assert!(bool::read(&Value::Text("true".into())).is_err());
    }

    #[test]
    fn quoting_is_toml() {
        let text = "a\"b\\c\n\u{1}ö";
        let parsed: toml::Table = format!("k = {}", quote(text)).parse().unwrap();
        assert_eq!(parsed["k"].as_str(), Some(text));
    }
}
