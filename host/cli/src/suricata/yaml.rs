//! YAML as plain data: scalars stay text, so that who reads them decides what `yes`, `0x10` or `32kb` is.

use saphyr_parser::{Event, Parser, ScalarStyle};

/// Nested collections of a document.
const DEPTH_MAX: usize = 64;

/// A YAML value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Yaml {
    /// A scalar; `plain` when nothing quoted it.
    Scalar {
        /// Its text.
        text: String,
        /// Not quoted, and no block.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Yaml>),
    /// Key and value, in the order of the document. A key may occur twice.
    Mapping(Vec<(String, Yaml)>),
}

/// Why a text is no YAML document that Weir can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct YamlError {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

enum Open {
    Sequence(Vec<Yaml>),
    Mapping(Vec<(String, Yaml)>, Option<String>),
}

impl Yaml {
    /// The first document of `text`; an empty text is an empty mapping. Aliases are refused: Suricata has none.
    pub fn parse(text: &str) -> Result<Yaml, YamlError> {
        let mut open: Vec<Open> = Vec::new();
        for item in Parser::new_from_str(text) {
            let (event, span) = item.map_err(|error| {
                let marker = error.marker();
                YamlError { line: marker.line(), column: marker.col() + 1, message: error.info().to_owned() }
            })?;
            let fail = |message: &str| YamlError {
                line: span.start.line(),
                column: span.start.col() + 1,
                message: message.to_owned(),
            };
            let value = match event {
                Event::Scalar(text, style, ..) => {
                    Yaml::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }
                }
                Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEPTH_MAX => {
                    return Err(fail("collections are nested too deeply"));
                }
                Event::SequenceStart(..) => {
                    open.push(Open::Sequence(Vec::new()));
                    continue;
                }
                Event::MappingStart(..) => {
                    open.push(Open::Mapping(Vec::new(), None));
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                    Some(Open::Sequence(items)) => Yaml::Sequence(items),
                    Some(Open::Mapping(members, _)) => Yaml::Mapping(members),
                    None => continue,
                },
                Event::Alias(_) => return Err(fail("aliases are not supported")),
                Event::DocumentEnd => break,
                _ => continue,
            };
            match open.last_mut() {
                None => return Ok(value),
                Some(Open::Sequence(items)) => items.push(value),
                Some(Open::Mapping(members, key)) => match (key.take(), value) {
                    (Some(key), value) => members.push((key, value)),
                    (None, Yaml::Scalar { text, .. }) => *key = Some(text),
                    (None, _) => return Err(fail("the key of a mapping must be a scalar")),
                },
            }
        }
        Ok(Yaml::Mapping(Vec::new()))
    }

    /// Member of a mapping; the last one of its name.
    pub fn get(&self, key: &str) -> Option<&Yaml> {
        match self {
            Yaml::Mapping(members) => members.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// Text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match self {
            Yaml::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Items of a list; none for anything else.
    pub fn items(&self) -> &[Yaml] {
        match self {
            Yaml::Sequence(items) => items,
            _ => &[],
        }
    }

    /// Members of a mapping; none for anything else.
    pub fn members(&self) -> &[(String, Yaml)] {
        match self {
            Yaml::Mapping(members) => members,
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents() {
        let y = Yaml::parse("%YAML 1.1\n---\na: yes\nb: ['x', 2]\nc:\n - d: 1\n   e:\n").expect("YAML");
        assert_eq!(y.get("a").and_then(Yaml::text), Some("yes"));
        assert_eq!(y.get("b").map(|b| b.items().len()), Some(2));
        assert_eq!(y.get("b").map(|b| &b.items()[0]), Some(&Yaml::Scalar { text: "x".into(), plain: false }));
        let item = &y.get("c").expect("c").items()[0];
        assert_eq!(item.members().len(), 2);
        assert_eq!(Yaml::parse(""), Ok(Yaml::Mapping(Vec::new())));
        let error = Yaml::parse("a: b\n  c: [").expect_err("broken");
        assert_eq!(error.line, 2);
        assert!(Yaml::parse("a: &x 1\nb: *x").is_err());
        assert!(Yaml::parse(&"[".repeat(200)).is_err());
    }
}
