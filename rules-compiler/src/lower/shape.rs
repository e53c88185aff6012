//! Contents must have the shape of what their buffer holds: digests, fingerprints, words.

use super::{Fault, Lowered, Lowering};
use crate::diag::Cause;
use weir_ir::{Buffer, Match};

/// Hexadecimal digits of an MD5 digest.
const DIGEST: usize = 32;
/// A SHA-1 digest, with colons between its bytes.
const FINGERPRINT: usize = 59;

impl Lowering<'_, '_> {
    /// A rule whose content its buffer can never hold is a mistake.
    pub(super) fn check_shapes(&mut self) -> Lowered {
        for (entry, buffer) in self.draft.rule.buffers.iter().enumerate() {
            if !buffer.transforms.is_empty() {
                continue;
            }
            for (index, item) in buffer.matches.iter().enumerate() {
                let Match::Content(content) = item else { continue };
                if let Some((message, words)) = misshapen(buffer.buffer, &content.bytes) {
                    let sid = self.draft.rule.identity.sid;
                    return Err(Fault::new(
                        self.span_of((entry, index)),
                        Cause::Conflict,
                        format!("`{}` {message}", buffer.buffer.name()),
                        "write the content as the buffer holds it",
                    )
                    .known_as(words.replace("SID", &sid.to_string())));
                }
            }
        }
        self.check_raw_header()
    }

    /// The raw header is that of a request or of a response; as in Suricata, what transforms make of it may be of either.
    fn check_raw_header(&self) -> Lowered {
        let one_sided = self.draft.rule.flow.as_ref().is_some_and(|flow| flow.to_server || flow.to_client);
        let raw = self.draft.rule.buffers.iter().position(|b| b.buffer == Buffer::HttpHeaderRaw && b.transforms.is_empty());
        match raw {
            Some(entry) if !one_sided && !self.draft.rule.transactional => Err(Fault::new(
                self.span_of((entry, 0)),
                Cause::Conflict,
                "`http.header.raw` is of requests or of responses, and the rule does not say which",
                "add `flow:to_server` or `flow:to_client`",
            )
            .known_as(
                "http_raw_header signature without a flow direction. Use flow:to_server for inspecting request headers or flow:to_client for inspecting response headers.",
            )),
            _ => Ok(()),
        }
    }
}

/// What is wrong with a content of the buffer, in Weir's words and in Suricata's.
fn misshapen(buffer: Buffer, bytes: &[u8]) -> Option<(&'static str, String)> {
    let edge = |name: &str| {
        let (place, byte) = match bytes {
            [first @ (b' ' | b'\t'), ..] => ("leading", first),
            [.., last @ (b' ' | b'\t')] => ("trailing", last),
            _ => return None,
        };
        let kind = if *byte == b' ' { "space" } else { "tab" };
        Some(("has no white space around it", format!("{name} pattern with {place} {kind}")))
    };
    match buffer {
        Buffer::Ja3Hash | Buffer::Ja3sHash | Buffer::SshHassh | Buffer::SshHasshServer | Buffer::QuicCyuHash => {
            let fault = if bytes.len() != DIGEST {
                "Invalid length for md5-like keyword (should be 32 characters long)"
            } else if !bytes.iter().all(u8::is_ascii_hexdigit) {
                "Invalid md5-like string (should be string of hexadecimal characters)"
            } else {
                return None;
            };
            let words = format!("rule SID: buffer {}: {fault}. This rule will therefore never match.", buffer.name());
            Some(("is a digest of 32 hexadecimal digits", words))
        }
        Buffer::TlsCertFingerprint if bytes.len() != FINGERPRINT => Some((
            "is a digest of 20 bytes with colons between them",
            "rule SID: Invalid length of the specified fingerprint. This rule will therefore never match.".to_owned(),
        )),
        Buffer::TlsCertFingerprint if !bytes.contains(&b':') => Some((
            "has colons between its bytes",
            "rule SID: No colon delimiters ':' detected in content after tls.cert_fingerprint. This rule will therefore never match."
                .to_owned(),
        )),
        Buffer::HttpMethod => edge("http_method"),
        Buffer::HttpProtocol if bytes.contains(&b' ') => {
            Some(("holds no space", "rule SID: Invalid http.protocol string containing a space".to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_be_there() {
        for (buffer, bytes, right) in [
            (Buffer::Ja3Hash, &b"0123456789abcdef0123456789ABCDEF"[..], true),
            (Buffer::Ja3Hash, b"0123456789abcdef", false),
            (Buffer::SshHassh, b"0123456789abcdefg123456789abcdef", false),
            (Buffer::TlsCertFingerprint, b"4a:a3:66:76:82:cb:6b:23:bb:c3:58:47:23:a4:63:a7:78:a4:a1:18", true),
            (Buffer::TlsCertFingerprint, b"4a:a3", false),
            (Buffer::HttpMethod, b"GET", true),
            (Buffer::HttpMethod, b"GET\t", false),
            (Buffer::HttpProtocol, b"HTTP/1.1 ", false),
            (Buffer::HttpUri, b" / ", true),
        ] {
            assert_eq!(misshapen(buffer, bytes).is_none(), right, "{buffer:?} {bytes:?}");
        }
    }
}
