//! Choice of the fast pattern: the content whose absence proves that the rule cannot match.
//!
//! Any positive content is sound. An explicit `fast_pattern` wins; else the content that is expected to be rarest in
//! its buffer.

use crate::prefilter::rarity::string_probability;
use weir_ir::{Buffer, BufferMatch, Content, Match, Number};

/// Longest pattern given to the multi-pattern search; bounds the carry between deliveries.
const LONGEST: usize = 64;

/// A chosen pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FastPattern {
    /// Index into the rule's buffers.
    pub buffer: usize,
    /// Bytes.
    pub bytes: Vec<u8>,
    /// Without case.
    pub nocase: bool,
    /// The content must end at or before this position.
    pub latest: u32,
}

/// How often a message has this buffer with one of few ordinary values.
fn commonness(buffer: Buffer) -> f64 {
    match buffer {
        Buffer::HttpMethod | Buffer::HttpProtocol | Buffer::HttpStatusCode | Buffer::HttpStatusMessage => 1e9,
        Buffer::HttpHeaderNames | Buffer::HttpStart | Buffer::HttpRequestLine | Buffer::HttpResponseLine => 100.0,
        Buffer::HttpConnection | Buffer::HttpAccept | Buffer::HttpAcceptEncoding | Buffer::HttpAcceptLanguage => 1e4,
        Buffer::HttpContentType | Buffer::HttpContentLength | Buffer::HttpServer => 1e3,
        Buffer::HttpHeader | Buffer::HttpHeaderRaw | Buffer::HttpRequestHeader | Buffer::HttpResponseHeader => 20.0,
        Buffer::HttpUserAgent => 10.0,
        Buffer::Payload | Buffer::FileData | Buffer::HttpResponseBody | Buffer::HttpRequestBody => 20.0,
        Buffer::TlsCerts => 20.0,
        _ => 1.0,
    }
}

fn pattern(content: &Content) -> Vec<u8> {
    let chopped = content.fast_pattern_chop.and_then(|(offset, length)| {
        let start = offset as usize;
        content.bytes.get(start..start.checked_add(length as usize)?).filter(|b| !b.is_empty())
    });
    let bytes = chopped.unwrap_or(&content.bytes);
    bytes.get(..LONGEST).unwrap_or(bytes).to_vec()
}

/// Where the content must have ended, as far as the rule says it without variables.
fn latest(content: &Content) -> u32 {
    if content.is_relative() {
        return u32::MAX;
    }
    let constant = |n: Option<Number>| match n {
        None => Some(0),
        Some(Number::Constant(n)) => Some(n),
        Some(Number::Variable(_)) => None,
    };
    let length = content.bytes.len() as i64;
    let end = match (content.depth, content.anchor.start) {
        (_, true) => constant(content.offset).map(|offset| offset.saturating_add(length)),
        (Some(_), _) => {
            constant(content.offset).zip(constant(content.depth)).map(|(offset, depth)| offset.saturating_add(depth))
        }
        (None, false) => None,
    };
    end.and_then(|end| u32::try_from(end).ok()).unwrap_or(u32::MAX)
}

/// Choose among the buffers that `eligible` admits.
pub fn choose(buffers: &[BufferMatch], eligible: impl Fn(usize) -> bool) -> Option<FastPattern> {
    let mut best: Option<(bool, f64, FastPattern)> = None;
    for (index, buffer) in buffers.iter().enumerate().filter(|(i, _)| eligible(*i)) {
        // `absent: or_else` can match without the contents.
        if buffer.matches.iter().any(|m| matches!(m, Match::Absent { .. })) {
            continue;
        }
        for item in &buffer.matches {
            let Match::Content(content) = item else { continue };
            if content.negated || content.bytes.is_empty() {
                continue;
            }
            let explicit = content.fast_pattern || content.fast_pattern_only || content.fast_pattern_chop.is_some();
            let bytes = pattern(content);
            let cost = string_probability(&bytes) * commonness(buffer.buffer);
            let better = match &best {
                None => true,
                Some((was_explicit, was_cost, _)) => match (explicit, was_explicit) {
                    (true, false) => true,
                    (false, true) => false,
                    _ => cost < *was_cost,
                },
            };
            if better {
                best = Some((explicit, cost, FastPattern { buffer: index, bytes, nocase: content.nocase, latest: latest(content) }));
            }
        }
    }
    best.map(|(_, _, pattern)| pattern)
}
