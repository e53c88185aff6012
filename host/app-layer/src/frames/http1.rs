//! HTTP/1: requests and responses, from first line to the end of the body (RFC 9112 section 6).

use super::cut::Step;
use super::lines::{field, head, line, number};
use std::collections::VecDeque;
use weir_ir::Buffer;

/// Requests whose responses have not come.
const WAITING_MAX: usize = 1024;

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Head,
    ChunkSize,
    Trailers,
    /// To the end of the stream.
    Close,
}

/// What a request's method says of its response's body (RFC 9110 section 9.3).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Body,
    /// HEAD.
    HeadOnly,
    /// CONNECT: none if it succeeds.
    Tunnel,
}

/// Both directions.
#[derive(Default)]
pub(super) struct Http1 {
    at: [At; 2],
    /// Of the requests that wait.
    asked: VecDeque<Asked>,
}

impl Http1 {
    pub(super) fn step(&mut self, d: usize, bytes: &[u8]) -> Step {
        match self.at[d] {
            At::Head => self.head(d, bytes),
            At::Close => Step::Inside(bytes.len() as u64),
            At::ChunkSize => {
                let Some(length) = line(bytes) else { return Step::More };
                let digits = bytes[..length].split(|b| *b == b';').next().unwrap_or(&[]).trim_ascii();
                match std::str::from_utf8(digits).ok().and_then(|text| u64::from_str_radix(text, 16).ok()) {
                    Some(0) => {
                        self.at[d] = At::Trailers;
                        Step::Inside(length as u64)
                    }
                    Some(size) => Step::Inside((length as u64 + 2).saturating_add(size)),
                    None => Step::Lost,
                }
            }
            At::Trailers => match line(bytes) {
                Some(length) if bytes[..length].trim_ascii().is_empty() => {
                    self.at[d] = At::Head;
                    Step::Last(length)
                }
                Some(length) => Step::Inside(length as u64),
                None => Step::More,
            },
        }
    }

    fn head(&mut self, d: usize, bytes: &[u8]) -> Step {
        // Empty lines before a message (section 2.2).
        let empty = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        if empty > 0 {
            return Step::Message(empty as u64, Vec::new());
        }
        let Some(length) = head(bytes) else { return Step::More };
        let text = &bytes[..length];
        let buffer = if d == 0 { Buffer::FrameHttp1Request } else { Buffer::FrameHttp1Response };
        let mut bare = false;
        if d == 0 {
            if self.asked.len() >= WAITING_MAX {
                return Step::Lost;
            }
            self.asked.push_back(match text.split(|b| *b == b' ').next() {
                Some(b"HEAD") => Asked::HeadOnly,
                Some(b"CONNECT") => Asked::Tunnel,
                _ => Asked::Body,
            });
        } else {
            let status = text.split(|b| *b == b' ').nth(1).and_then(|t| number(t.get(..3)?));
            let informational = matches!(status, Some(100..=199));
            let asked = if informational { None } else { self.asked.pop_front() };
            bare = asked == Some(Asked::HeadOnly)
                || asked == Some(Asked::Tunnel) && matches!(status, Some(200..=299))
                || informational
                || matches!(status, Some(204 | 304));
        }
        let chunked = field(text, b"transfer-encoding").is_some_and(|v| v.to_ascii_lowercase().ends_with(b"chunked"));
        let size = field(text, b"content-length").and_then(number);
        let total = length as u64;
        match size {
            _ if bare => Step::Message(total, vec![(buffer, 0, Some(total))]),
            _ if chunked => {
                self.at[d] = At::ChunkSize;
                Step::Message(total, vec![(buffer, 0, None)])
            }
            Some(size) => {
                let total = total.saturating_add(size);
                Step::Message(total, vec![(buffer, 0, Some(total))])
            }
            None if d == 0 => Step::Message(total, vec![(buffer, 0, Some(total))]),
            None => {
                self.at[1] = At::Close;
                Step::Message(total, vec![(buffer, 0, None)])
            }
        }
    }
}
