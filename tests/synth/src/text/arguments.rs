//! The arguments of a statement: taken one by one; what is left over is an error.

use std::net::IpAddr;
use std::str::FromStr;

use crate::wire::Order;

use super::token::{Failure, Kind, Token};

/// Arguments that were not taken yet.
pub(super) struct Arguments<'t> {
    tokens: Vec<&'t Token>,
    /// Column behind the last token, for "something is missing".
    end: usize,
}

impl<'t> Arguments<'t> {
    pub fn new(tokens: &'t [Token]) -> Self {
        let end = tokens.last().map_or(1, |token| token.column);
        Arguments { tokens: tokens.iter().collect(), end }
    }

    fn position(&self, mut matches: impl FnMut(&Kind) -> bool) -> Option<usize> {
        self.tokens.iter().position(|token| matches(&token.kind))
    }

    /// The next word; `what` it should be, for the error.
    pub fn word(&mut self, what: &str) -> Result<(&'t str, usize), Failure> {
        let Some(at) = self.position(|kind| matches!(kind, Kind::Word(_))) else {
            return Err((self.end, format!("{what} is missing")));
        };
        let token = self.tokens.remove(at);
        match &token.kind {
            Kind::Word(word) => Ok((word, token.column)),
            _ => Err((token.column, format!("{what} is missing"))),
        }
    }

    /// Take the word `name` if it is the next one.
    pub fn flag(&mut self, name: &str) -> bool {
        let found = self.position(|kind| matches!(kind, Kind::Word(word) if word == name));
        found.map(|at| self.tokens.remove(at)).is_some()
    }

    /// All payload pieces, put together.
    pub fn bytes(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.tokens.retain(|token| match &token.kind {
            Kind::Bytes(bytes) => {
                out.extend(bytes);
                false
            }
            _ => true,
        });
        out
    }

    /// The value of an option.
    pub fn raw(&mut self, name: &str) -> Option<(&'t [u8], usize)> {
        let at = self.position(|kind| matches!(kind, Kind::Option(key, _) if key == name))?;
        let token = self.tokens.remove(at);
        match &token.kind {
            Kind::Option(_, value) => Some((value, token.column)),
            _ => None,
        }
    }

    /// The value of an option, as text.
    pub fn text(&mut self, name: &str) -> Result<Option<(&'t str, usize)>, Failure> {
        match self.raw(name) {
            None => Ok(None),
            Some((value, column)) => match std::str::from_utf8(value) {
                Ok(text) => Ok(Some((text, column))),
                Err(_) => Err((column, format!("`{name}` must be UTF-8 text"))),
            },
        }
    }

    /// The value of an option, as a number or another thing that reads from text.
    pub fn value<T: FromStr>(&mut self, name: &str, what: &str) -> Result<Option<T>, Failure> {
        match self.text(name)? {
            None => Ok(None),
            Some((text, column)) => match text.parse() {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err((column, format!("`{name}={text}`: {what} is expected"))),
            },
        }
    }

    /// A list of numbers, separated by commas.
    pub fn list<T: FromStr>(&mut self, name: &str) -> Result<Option<Vec<T>>, Failure> {
        let Some((text, column)) = self.text(name)? else { return Ok(None) };
        let numbers: Result<Vec<T>, _> = text.split(',').map(str::parse).collect();
        match numbers {
            Ok(numbers) => Ok(Some(numbers)),
            Err(_) => Err((column, format!("`{name}={text}`: numbers separated by commas are expected"))),
        }
    }

    /// An order of pieces.
    pub fn order(&mut self, name: &str) -> Result<Option<Order>, Failure> {
        let Some((text, column)) = self.text(name)? else { return Ok(None) };
        let order = match text {
            "forward" => Some(Order::Forward),
            "reverse" => Some(Order::Reverse),
            _ => match text.strip_prefix("shuffle:") {
                Some(seed) => seed.parse().ok().map(Order::Shuffled),
                None => text.split(',').map(|n| n.parse().ok()).collect::<Option<Vec<usize>>>().map(Order::Listed),
            },
        };
        let expected =
            || (column, format!("`{name}={text}`: reverse, shuffle:SEED or numbers like 2,1,3 are expected"));
        order.map(Some).ok_or_else(expected)
    }

    /// A duration as an option.
    pub fn duration(&mut self, name: &str) -> Result<Option<u64>, Failure> {
        self.text(name)?.map(|(text, column)| duration(text, column)).transpose()
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), Failure> {
        match self.tokens.first() {
            None => Ok(()),
            Some(token) => {
                let what = match &token.kind {
                    Kind::Word(word) => format!("`{word}`"),
                    Kind::Option(key, _) => format!("option `{key}`"),
                    Kind::Bytes(_) => "a payload".into(),
                };
                Err((token.column, format!("{what} has no meaning here")))
            }
        }
    }
}

/// `10ms`, `2s`, `1.5s`, `3us`, `100ns`.
pub(super) fn duration(text: &str, column: usize) -> Result<u64, Failure> {
    let units = [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    match (number.parse::<f64>(), factor) {
        (Ok(number), Some(factor)) if number >= 0.0 && number.is_finite() => Ok((number * factor).round() as u64),
        _ => Err((column, format!("`{text}` is no duration; write it like 10ms or 2s"))),
    }
}

/// `ADDRESS:PORT`, with brackets round IPv6, or an address alone.
pub(super) fn endpoint(text: &str, column: usize, port: bool) -> Result<(IpAddr, u16), Failure> {
    if !port {
        return match text.trim_matches(['[', ']']).parse() {
            Ok(address) => Ok((address, 0)),
            Err(_) => Err((column, format!("`{text}` is no IP address"))),
        };
    }
    match text.parse::<std::net::SocketAddr>() {
        Ok(end) => Ok((end.ip(), end.port())),
        Err(_) => Err((column, format!("`{text}` is no ADDRESS:PORT; IPv6 is written [2001:db8::1]:80"))),
    }
}
