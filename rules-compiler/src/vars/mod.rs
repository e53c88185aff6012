//! Address and port expressions and the variables in them.
//!
//! An expression is a word, a negated word, or a bracketed list of expressions: `any`, `10.0.0.0/8`, `!$HOME_NET`,
//! `[80,443,!8080:8090]`. A list is the union of its positive elements (everything, when there are none) without the
//! union of its negated ones. Resolved expressions are cached by text. Nesting, and variables within variables, are
//! bounded by [`DEPTH_MAX`].

mod address;
mod port;

use crate::diag::nearest;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use weir_ir::{AddressSet, PortSet};

/// Lists within lists and variables within variables.
pub const DEPTH_MAX: usize = 32;
/// Elements that one expression may have, variables resolved.
pub const ELEMENTS_MAX: usize = 1 << 20;

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// No such variable.
    #[error("the variable `${name}` is not defined")]
    Undefined {
        /// Without `$`.
        name: String,
        /// A defined one of similar name.
        suggestion: Option<String>,
    },
    /// An element that is neither address nor port.
    #[error("`{0}` is not an address, network, range or variable")]
    Address(String),
    /// Not a port.
    #[error("`{0}` is not a port, range or variable")]
    Port(String),
    /// A range whose end is before its start.
    #[error("the range `{0}` ends before it begins")]
    Range(String),
    /// A bracket too many or too few.
    #[error("unbalanced brackets in `{0}`")]
    Brackets(String),
    /// An empty element or list.
    #[error("empty element in `{0}`")]
    Empty(String),
    /// The expression excludes everything.
    #[error("`{0}` leaves nothing to match")]
    Nothing(String),
    /// Nested too deeply, or a variable refers to itself.
    #[error("`{0}` is nested more than {DEPTH_MAX} levels deep, or refers to itself")]
    Depth(String),
    /// More than [`ELEMENTS_MAX`] elements.
    #[error("`{0}` has too many elements")]
    Elements(String),
}

impl VariableError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            VariableError::Undefined { name, suggestion: Some(near) } => {
                format!("did you mean `${near}`? Otherwise define `vars.{name}` in the configuration")
            }
            VariableError::Undefined { name, .. } => format!("define `vars.{name}` in the configuration"),
            VariableError::Address(_) => {
                "write an address, `network/bits`, `first-last`, `$VARIABLE`, `any`, or a list in brackets".into()
            }
            VariableError::Port(_) => {
                "write a port, `first:last`, `first:`, `:last`, `$VARIABLE`, `any`, or a list in brackets".into()
            }
            VariableError::Range(_) => "exchange the range's ends".into(),
            VariableError::Brackets(_) => "write lists as `[a,b,[c,!d]]`".into(),
            VariableError::Empty(_) => "remove the superfluous comma, or name an element".into(),
            VariableError::Nothing(_) => {
                "a negation excludes everything the list names; when HOME_NET is `any`, set EXTERNAL_NET to `any` too"
                    .into()
            }
            VariableError::Depth(_) => "flatten the list, or break the circle of variables".into(),
            VariableError::Elements(_) => "split the list over several rules".into(),
        }
    }
}

/// Names and texts of the variables. [`VariableTable::default`] holds Suricata's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableTable {
    texts: BTreeMap<String, String>,
    notices: Vec<String>,
}

/// As in Suricata's configuration.
const DEFAULTS: &[(&str, &str)] = &[
    ("HOME_NET", "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]"),
    ("EXTERNAL_NET", EXTERNAL_DEFAULT),
    ("HTTP_SERVERS", "$HOME_NET"),
    ("SMTP_SERVERS", "$HOME_NET"),
    ("SQL_SERVERS", "$HOME_NET"),
    ("DNS_SERVERS", "$HOME_NET"),
    ("TELNET_SERVERS", "$HOME_NET"),
    ("AIM_SERVERS", "$EXTERNAL_NET"),
    ("DC_SERVERS", "$HOME_NET"),
    ("DNP3_SERVER", "$HOME_NET"),
    ("DNP3_CLIENT", "$HOME_NET"),
    ("MODBUS_CLIENT", "$HOME_NET"),
    ("MODBUS_SERVER", "$HOME_NET"),
    ("ENIP_CLIENT", "$HOME_NET"),
    ("ENIP_SERVER", "$HOME_NET"),
    ("FTP_SERVERS", "$HOME_NET"),
    ("SSH_SERVERS", "$HOME_NET"),
    ("SIP_SERVERS", "$HOME_NET"),
    ("HTTP_PORTS", "80"),
    ("SHELLCODE_PORTS", "!80"),
    ("ORACLE_PORTS", "1521"),
    ("SSH_PORTS", "22"),
    ("DNP3_PORTS", "20000"),
    ("MODBUS_PORTS", "502"),
    ("FILE_DATA_PORTS", "[$HTTP_PORTS,110,143]"),
    ("FTP_PORTS", "21"),
    ("GENEVE_PORTS", "6081"),
    ("VXLAN_PORTS", "4789"),
    ("TEREDO_PORTS", "3544"),
    ("SIP_PORTS", "[5060,5061]"),
    ("MAIL_PORTS", "[110,143]"),
];
const EXTERNAL_DEFAULT: &str = "!$HOME_NET";

impl Default for VariableTable {
    fn default() -> Self {
        VariableTable {
            texts: DEFAULTS.iter().map(|&(n, t)| (n.to_owned(), t.to_owned())).collect(),
            notices: Vec::new(),
        }
    }
}

impl VariableTable {
    /// A table without any variable.
    pub fn empty() -> Self {
        VariableTable { texts: BTreeMap::new(), notices: Vec::new() }
    }

    /// Every network and server variable `any`; ports as in the defaults. For traffic of unknown origin.
    pub fn any() -> Self {
        let mut table = VariableTable::default();
        table.set("HOME_NET", "any");
        table
    }

    /// Define or replace a variable (`$` in front is optional). EXTERNAL_NET at its default `!$HOME_NET` becomes `any`
    /// when HOME_NET becomes `any`, with a notice: it could match nothing otherwise.
    pub fn set(&mut self, name: &str, text: &str) {
        let name = name.trim().trim_start_matches('$');
        self.texts.insert(name.to_owned(), text.trim().to_owned());
        self.adapt_external();
    }

    fn adapt_external(&mut self) {
        let at_default = self.texts.get("EXTERNAL_NET").is_some_and(|t| t.replace(' ', "") == EXTERNAL_DEFAULT);
        if !at_default {
            return;
        }
        let home_is_any = Resolver::new(self).addresses("$HOME_NET").is_ok_and(|set| set.is_any());
        if home_is_any {
            self.texts.insert("EXTERNAL_NET".to_owned(), "any".to_owned());
            self.notices
                .push("HOME_NET is `any`, so EXTERNAL_NET, left at `!$HOME_NET`, is taken as `any` too".to_owned());
        }
    }

    /// The text of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// Names and texts, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(n, t)| (n.as_str(), t.as_str()))
    }

    /// What the table decided by itself.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Resolve one address expression.
    pub fn addresses(&self, text: &str) -> Result<AddressSet, VariableError> {
        Resolver::new(self).addresses(text).map(|set| (*set).clone())
    }

    /// Resolve one port expression.
    pub fn ports(&self, text: &str) -> Result<PortSet, VariableError> {
        Resolver::new(self).ports(text).map(|set| (*set).clone())
    }

    fn undefined(&self, name: &str) -> VariableError {
        VariableError::Undefined {
            name: name.to_owned(),
            suggestion: nearest(name, self.texts.keys().map(String::as_str)).map(str::to_owned),
        }
    }
}

type Cache<T> = HashMap<Box<str>, Result<Arc<T>, VariableError>>;

/// Expressions that the cache keeps; beyond it they are resolved anew.
const CACHE_MAX: usize = 65_536;

/// Resolves expressions against a table and remembers them.
#[derive(Debug)]
pub struct Resolver<'a> {
    table: &'a VariableTable,
    addresses: Cache<AddressSet>,
    ports: Cache<PortSet>,
}

impl<'a> Resolver<'a> {
    /// With an empty cache.
    pub fn new(table: &'a VariableTable) -> Self {
        Resolver { table, addresses: HashMap::new(), ports: HashMap::new() }
    }

    /// The set an address expression means; never empty.
    pub fn addresses(&mut self, text: &str) -> Result<Arc<AddressSet>, VariableError> {
        if let Some(known) = self.addresses.get(text) {
            return known.clone();
        }
        let found = resolve::<address::Addresses>(self.table, text).map(Arc::new);
        if self.addresses.len() < CACHE_MAX {
            self.addresses.insert(text.into(), found.clone());
        }
        found
    }

    /// The expression leaves something out by name, itself or in a variable.
    pub fn negates(&self, text: &str) -> bool {
        negates(self.table, text, DEPTH_MAX)
    }

    /// The set a port expression means; never empty.
    pub fn ports(&mut self, text: &str) -> Result<Arc<PortSet>, VariableError> {
        if let Some(known) = self.ports.get(text) {
            return known.clone();
        }
        let found = resolve::<port::Ports>(self.table, text).map(Arc::new);
        if self.ports.len() < CACHE_MAX {
            self.ports.insert(text.into(), found.clone());
        }
        found
    }
}

fn negates(table: &VariableTable, text: &str, depth: usize) -> bool {
    let names = text.split('$').skip(1);
    let name = |rest: &str| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("").to_owned();
    text.contains('!')
        || depth > 0 && names.map(name).any(|name| table.get(&name).is_some_and(|text| negates(table, text, depth - 1)))
}

/// The algebra of one kind of set; addresses and ports share the grammar of lists.
trait Algebra {
    /// The set.
    type Set: Clone;
    /// Intervals being collected.
    type Parts: Default;
    fn everything() -> Self::Set;
    fn is_empty(set: &Self::Set) -> bool;
    /// Add the element (not a list, variable or negation).
    fn element(text: &str, parts: &mut Self::Parts) -> Result<(), VariableError>;
    fn add(parts: &mut Self::Parts, set: &Self::Set);
    fn build(parts: Self::Parts) -> Self::Set;
    fn minus(a: &Self::Set, b: &Self::Set) -> Self::Set;
}

/// A list being read.
struct Frame<A: Algebra> {
    positive: A::Parts,
    has_positive: bool,
    negative: A::Parts,
    has_negative: bool,
    /// The list itself is negated.
    negated: bool,
    /// An element has been read since the last comma.
    filled: bool,
    /// Opened by a variable's text, not by a bracket.
    of_variable: bool,
}

impl<A: Algebra> Frame<A> {
    fn new(negated: bool, of_variable: bool) -> Self {
        Frame {
            positive: A::Parts::default(),
            has_positive: false,
            negative: A::Parts::default(),
            has_negative: false,
            negated,
            filled: false,
            of_variable,
        }
    }

    fn take(&mut self, set: &A::Set, negated: bool) {
        if negated {
            A::add(&mut self.negative, set);
            self.has_negative = true;
        } else {
            A::add(&mut self.positive, set);
            self.has_positive = true;
        }
        self.filled = true;
    }

    /// The set of the list, its own negation not applied.
    fn finish(self) -> A::Set {
        let positive = if self.has_positive { A::build(self.positive) } else { A::everything() };
        if self.has_negative { A::minus(&positive, &A::build(self.negative)) } else { positive }
    }
}

/// Evaluate without recursion: a stack of lists, and a stack of texts for variables within variables.
fn resolve<A: Algebra>(table: &VariableTable, whole: &str) -> Result<A::Set, VariableError> {
    let mut texts: Vec<(&str, usize)> = vec![(whole, 0)];
    let mut frames: Vec<Frame<A>> = vec![Frame::new(false, true)];
    let mut elements = 0usize;
    while let Some((text, at)) = texts.last_mut() {
        let text: &str = text;
        let rest = text.get(*at..).unwrap_or("");
        let skipped = rest.len() - rest.trim_start().len();
        *at += skipped;
        let rest = rest.trim_start();
        let Some(first) = rest.as_bytes().first() else {
            // The text ends; so does its list.
            texts.pop();
            let Some(frame) = frames.pop() else { break };
            if !frame.of_variable {
                return Err(VariableError::Brackets(shorten(whole)));
            }
            if !frame.filled {
                return Err(VariableError::Empty(shorten(text)));
            }
            let negated = frame.negated;
            let set = frame.finish();
            match frames.last_mut() {
                Some(outer) => outer.take(&set, negated),
                None if A::is_empty(&set) => return Err(VariableError::Nothing(shorten(whole))),
                None => return Ok(set),
            }
            continue;
        };
        match first {
            b',' => {
                let Some(frame) = frames.last_mut() else { break };
                if !std::mem::take(&mut frame.filled) {
                    return Err(VariableError::Empty(shorten(text)));
                }
                *at += 1;
                continue;
            }
            b']' => {
                *at += 1;
                match frames.pop() {
                    Some(frame) if !frame.of_variable => {
                        if !frame.filled {
                            return Err(VariableError::Empty(shorten(text)));
                        }
                        let negated = frame.negated;
                        let set = frame.finish();
                        let Some(outer) = frames.last_mut() else { break };
                        outer.take(&set, negated);
                    }
                    _ => return Err(VariableError::Brackets(shorten(text))),
                }
                continue;
            }
            _ => {}
        }
        if frames.last().is_some_and(|f| f.filled) {
            return Err(VariableError::Brackets(shorten(text)));
        }
        let body = rest.trim_start_matches(|c: char| c == '!' || c.is_ascii_whitespace());
        let marks = rest.get(..rest.len() - body.len()).unwrap_or("");
        let negated = marks.matches('!').count() % 2 == 1;
        *at += marks.len();
        elements += 1;
        if elements > ELEMENTS_MAX {
            return Err(VariableError::Elements(shorten(whole)));
        }
        if body.starts_with('[') {
            *at += 1;
            if frames.len() >= DEPTH_MAX {
                return Err(VariableError::Depth(shorten(whole)));
            }
            frames.push(Frame::new(negated, false));
            continue;
        }
        let end = body.find([',', ']', '[', '!']).unwrap_or(body.len());
        let word = body.get(..end).unwrap_or("").trim_end();
        *at += end;
        if word.is_empty() {
            return Err(VariableError::Empty(shorten(text)));
        }
        if let Some(name) = word.strip_prefix('$') {
            let inner = table.get(name).ok_or_else(|| table.undefined(name))?;
            if texts.len() >= DEPTH_MAX || frames.len() >= DEPTH_MAX {
                return Err(VariableError::Depth(shorten(whole)));
            }
            texts.push((inner, 0));
            frames.push(Frame::new(negated, true));
            continue;
        }
        let Some(frame) = frames.last_mut() else { break };
        if word.eq_ignore_ascii_case("any") {
            frame.take(&A::everything(), negated);
        } else if negated {
            A::element(word, &mut frame.negative)?;
            frame.has_negative = true;
            frame.filled = true;
        } else {
            A::element(word, &mut frame.positive)?;
            frame.has_positive = true;
            frame.filled = true;
        }
    }
    Err(VariableError::Brackets(shorten(whole)))
}

fn shorten(text: &str) -> String {
    const MAX: usize = 60;
    if text.chars().count() <= MAX {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(MAX).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests;
