//! Checks and defaults that need the whole rule.

use super::{Fault, Lowered, Lowering, Place, number};
use crate::diag::Cause;
use crate::syntax::Span;
use weir_contract::protocol::AppProtocol;
use weir_ir::{AppLayerCondition, Buffer, Content, Event, Match, Number, PacketCondition, RuleProtocol, Transform};

impl Lowering<'_, '_> {
    pub(super) fn finish(&mut self) -> Lowered {
        if !self.draft.has_sid {
            return Err(Fault::new(
                Span::default(),
                Cause::Identity,
                "the rule has no `sid`",
                "add `sid:number;` with a number no other rule has",
            ));
        }
        self.check_consumed()?;
        self.check_empty_sticky();
        self.check_base64()?;
        self.check_letter_case()?;
        self.check_shapes()?;
        self.check_transformed()?;
        self.check_sizes()?;
        self.check_payload_size()?;
        self.check_mixture()?;
        self.check_absent()?;
        self.check_flow()?;
        self.imply_direction()?;
        self.imply_protocol();
        self.check_events()?;
        self.check_fast_pattern();
        self.draft.rule.buffers.retain(|b| !b.matches.is_empty());
        Ok(())
    }

    pub(super) fn span_of(&self, place: Place) -> Span {
        self.draft.spans.iter().find(|(p, _)| *p == place).map_or(Span::default(), |(_, span)| *span)
    }

    /// A sticky buffer without match at the rule's end.
    fn check_empty_sticky(&mut self) {
        if let Some(sticky) = &self.draft.sticky
            && sticky.entry.is_none()
        {
            let (span, name) = (sticky.span, sticky.buffer.name());
            self.warn(
                span,
                Cause::Style,
                format!("nothing is matched in `{name}`"),
                "write its contents behind it (a sticky buffer holds for what follows), or remove it",
            );
        }
    }

    /// `base64_data` needs `base64_decode` before it.
    fn check_base64(&self) -> Lowered {
        let decode =
            self.draft.rule.buffers.iter().any(|b| b.matches.iter().any(|m| matches!(m, Match::Base64Decode(_))));
        let Some(entry) =
            self.draft.rule.buffers.iter().position(|b| b.buffer == Buffer::Base64Data && !b.matches.is_empty())
        else {
            return Ok(());
        };
        if decode {
            return Ok(());
        }
        Err(Fault::new(
            self.span_of((entry, 0)),
            Cause::Placement,
            "`base64_data` without `base64_decode` before it",
            "write `base64_decode` where the encoded bytes are",
        ))
    }

    /// Some buffers are lower (upper) case by nature: contents are brought to it, or can never match.
    fn check_letter_case(&mut self) -> Lowered {
        let mut redundant = None;
        let mut fault = None;
        for (entry, buffer) in self.draft.rule.buffers.iter_mut().enumerate() {
            if !buffer.transforms.is_empty() {
                continue;
            }
            for (index, item) in buffer.matches.iter_mut().enumerate() {
                let Match::Content(content) = item else { continue };
                let has_upper = content.bytes.iter().any(u8::is_ascii_uppercase);
                match buffer.buffer {
                    Buffer::HttpHost => {
                        if content.nocase {
                            redundant.get_or_insert((entry, index));
                        } else if has_upper {
                            fault.get_or_insert((entry, index));
                        }
                    }
                    Buffer::Ja3Hash
                    | Buffer::Ja3sHash
                    | Buffer::TlsCertFingerprint
                    | Buffer::SshHassh
                    | Buffer::SshHasshServer => {
                        content.bytes = content.bytes.to_ascii_lowercase().into();
                        content.nocase = false;
                    }
                    Buffer::TlsCertSerial => {
                        content.bytes = serial(&content.bytes).into();
                        content.nocase = false;
                    }
                    _ => {}
                }
            }
        }
        if let Some(place) = redundant {
            return Err(Fault::new(
                self.span_of(place),
                Cause::Conflict,
                "`http.host` is lower case; `nocase` has no effect",
                "remove `nocase`, or use `http.host.raw`",
            )
            .known_as(format!(
                "rule {}: http.host keyword specified along with \"nocase\". The hostname buffer is normalized to lowercase, specifying nocase is redundant.",
                self.draft.rule.identity.sid
            )));
        }
        match fault {
            Some(place) => Err(Fault::new(
                self.span_of(place),
                Cause::Conflict,
                "`http.host` is lower case, but the content has upper-case letters",
                "write the content in lower case, or use `http.host.raw`",
            )
            .known_as(format!(
                "rule {}: A pattern with uppercase characters detected for http.host. The hostname buffer is normalized to lowercase, please specify a lowercase pattern.",
                self.draft.rule.identity.sid
            ))),
            None => Ok(()),
        }
    }

    /// A content must be able to occur in what its buffer's last transform makes.
    fn check_transformed(&mut self) -> Lowered {
        let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c);
        for (entry, buffer) in self.draft.rule.buffers.iter().enumerate() {
            let Some(last) = buffer.transforms.last() else { continue };
            for (index, item) in buffer.matches.iter().enumerate() {
                let Match::Content(content) = item else { continue };
                let bytes = &content.bytes;
                let (name, digest) = match last {
                    Transform::ToMd5 => ("to_md5", Some(16)),
                    Transform::ToSha1 => ("to_sha1", Some(20)),
                    Transform::ToSha256 => ("to_sha256", Some(32)),
                    Transform::StripWhitespace => ("strip_whitespace", None),
                    Transform::CompressWhitespace => ("compress_whitespace", None),
                    Transform::ToLowercase => ("to_lowercase", None),
                    Transform::ToUppercase => ("to_uppercase", None),
                    _ => continue,
                };
                let impossible = match last {
                    Transform::StripWhitespace => bytes.iter().any(blank),
                    Transform::CompressWhitespace => bytes.windows(2).any(|pair| pair.iter().all(blank)),
                    Transform::ToLowercase => !content.nocase && bytes.iter().any(u8::is_ascii_uppercase),
                    Transform::ToUppercase => !content.nocase && bytes.iter().any(u8::is_ascii_lowercase),
                    _ => digest.is_some_and(|length| bytes.len() > length),
                };
                if impossible {
                    return Err(Fault::new(
                        self.span_of((entry, index)),
                        Cause::Conflict,
                        format!("the content cannot occur behind `{name}`"),
                        "write the content as the transform leaves it",
                    )
                    .known_as(format!("content string \"{}\" incompatible with {name} transform", String::from_utf8_lossy(&bytes))));
                }
            }
        }
        Ok(())
    }

    /// Contents must fit into the sizes `bsize` and `urilen` allow.
    fn check_sizes(&mut self) -> Lowered {
        let mut fault = None;
        for (entry, buffer) in self.draft.rule.buffers.iter().enumerate() {
            let sizes = buffer.matches.iter().filter_map(|m| match m {
                Match::Size(c) => Some(number::bounds(*c)),
                _ => None,
            });
            let (mut least, mut most) = (0u64, None::<u64>);
            for (low, high) in sizes {
                least = least.max(low);
                most = match (most, high) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
            let Some(most) = most else { continue };
            if least > most {
                fault.get_or_insert((
                    (entry, 0),
                    format!("the sizes asked of `{}` exclude each other", buffer.buffer.name()),
                    "sizes exclude each other".to_owned(),
                ));
                continue;
            }
            for (index, item) in buffer.matches.iter().enumerate() {
                if let Match::Content(content) = item {
                    let end = least_end(content);
                    if !content.negated && end > most {
                        let known = match buffer.buffer {
                            Buffer::HttpUri | Buffer::HttpUriRaw => {
                                format!("depth or urilen {most} smaller than content len {end}")
                            }
                            _ => format!("signature can't match as required content length {end} exceeds bsize value: {most}"),
                        };
                        let message = format!(
                            "the content ends at byte {end} or later, but `{}` has at most {most} bytes",
                            buffer.buffer.name()
                        );
                        fault.get_or_insert(((entry, index), message, known));
                    }
                }
            }
        }
        match fault {
            Some((place, message, known)) => Err(Fault::new(
                self.span_of(place),
                Cause::Conflict,
                message,
                "correct `bsize` (or `urilen`), or the content",
            )
            .known_as(known)),
            None => Ok(()),
        }
    }

    /// Contents must fit into the payload that `dsize` allows.
    fn check_payload_size(&mut self) -> Lowered {
        let most = self.draft.rule.packet.iter().filter_map(|c| match c {
            PacketCondition::PayloadSize(c) => number::bounds(*c).1,
            _ => None,
        });
        let Some(most) = most.min() else { return Ok(()) };
        let Some(entry) =
            self.draft.rule.buffers.iter().position(|b| b.buffer == Buffer::Payload && b.transforms.is_empty())
        else {
            return Ok(());
        };
        let contents = self.draft.rule.buffers.get(entry).map(|b| b.matches.as_slice()).unwrap_or(&[]);
        let (mut chain, mut fault) = (0u64, None);
        for (index, item) in contents.iter().enumerate() {
            let Match::Content(content) = item else {
                // What a jump or an expression skips is not known.
                if !matches!(item, Match::IsDataAt(_) | Match::ByteTest(_) | Match::ByteExtract(_)) {
                    chain = 0;
                }
                continue;
            };
            if content.negated {
                continue;
            }
            let end = if content.is_relative() {
                let skipped = match content.distance {
                    Some(Number::Constant(n)) => n,
                    _ => 0,
                };
                chain.saturating_add_signed(skipped).saturating_add(content.bytes.len() as u64)
            } else {
                least_end(content)
            };
            chain = end;
            if end > most {
                fault.get_or_insert((index, end));
            }
        }
        match fault {
            Some((index, end)) => Err(Fault::new(
                self.span_of((entry, index)),
                Cause::Conflict,
                format!("the contents need a payload of {end} bytes, but `dsize` allows {most} at most"),
                "correct `dsize`, or the contents",
            )
            .known_as(format!("signature can't match as required content length {end} exceeds dsize value {most}"))),
            None => Ok(()),
        }
    }

    /// Conditions on one packet's header cannot hold for a transaction, which no single packet carries.
    fn check_mixture(&mut self) -> Lowered {
        match (self.draft.needs_packet, self.draft.needs_transaction) {
            (Some((span, packet)), Some((_, transaction))) => Err(Fault::new(
                span,
                Cause::Conflict,
                format!("`{packet}` is a condition on a packet, `{transaction}` on a transaction"),
                "split the rule in two, joined by a flowbit; or use `bsize` or `urilen` for sizes",
            )),
            _ => Ok(()),
        }
    }

    fn check_absent(&self) -> Lowered {
        for (entry, buffer) in self.draft.rule.buffers.iter().enumerate() {
            let Some(index) = buffer.matches.iter().position(|m| matches!(m, Match::Absent { .. })) else { continue };
            let fault = |message: &str, remedy: &str| {
                Err(Fault::new(self.span_of((entry, index)), Cause::Conflict, message, remedy))
            };
            match buffer.matches.get(index) {
                Some(Match::Absent { or_else: false }) if buffer.matches.len() > 1 => {
                    return fault(
                        "an absent buffer has nothing to match",
                        "write `absent:or_else`, or remove the other matches",
                    );
                }
                Some(Match::Absent { or_else: true }) if buffer.matches.len() == 1 => {
                    return fault("`absent:or_else` is followed by nothing", "write `absent`, or matches behind it");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A transport's rule that uses a protocol's buffers is a rule for the protocol.
    fn imply_protocol(&mut self) {
        let Some((protocol, _)) = self.draft.protocol else { return };
        let only_tcp = matches!(
            protocol,
            AppProtocol::Http
                | AppProtocol::Http1
                | AppProtocol::Http2
                | AppProtocol::Tls
                | AppProtocol::Smtp
                | AppProtocol::Ftp
                | AppProtocol::FtpData
                | AppProtocol::Ssh
                | AppProtocol::Smb
                | AppProtocol::Imap
                | AppProtocol::Pop3
        );
        let header = &mut self.draft.rule.header;
        match header.protocol {
            RuleProtocol::App(_) => {}
            RuleProtocol::Ip => header.protocol = RuleProtocol::App(protocol),
            RuleProtocol::Tcp if only_tcp => header.protocol = RuleProtocol::App(protocol),
            _ => {
                self.draft.rule.app_layer.push(AppLayerCondition::Protocol { protocol: Some(protocol), negated: false })
            }
        }
    }

    /// Decoder events happen without packet; nothing else can be asked of them but addresses.
    fn check_events(&mut self) -> Lowered {
        if self.draft.rule.header.protocol != RuleProtocol::PacketHeader {
            return Ok(());
        }
        let others = !self.draft.rule.buffers.is_empty() || !self.draft.rule.app_layer.is_empty();
        if others || self.draft.rule.events.iter().any(|e| matches!(e, Event::AppLayer(..))) {
            return Err(Fault::new(
                Span::default(),
                Cause::Conflict,
                "a `pkthdr` rule can ask for decoder events only",
                "name a protocol in the header, or remove the contents",
            ));
        }
        Ok(())
    }

    /// Negated contents cannot be searched for; a rule of nothing else is evaluated everywhere.
    fn check_fast_pattern(&mut self) {
        let mut contents = self.draft.rule.buffers.iter().flat_map(|b| &b.matches).filter_map(|m| match m {
            Match::Content(c) => Some(c),
            _ => None,
        });
        let mut any = false;
        let only_negated = contents.all(|c| {
            any = true;
            c.negated
        });
        if any && only_negated {
            self.warn(
                Span::default(),
                Cause::Style,
                "all contents are negated; the rule is evaluated wherever its header fits",
                "add a content that must be present",
            );
        }
    }
}

/// Smallest offset at which the content can end in its buffer.
fn least_end(content: &Content) -> u64 {
    let start = match content.offset {
        Some(Number::Constant(n)) if !content.is_relative() => u64::try_from(n).unwrap_or(0),
        _ => 0,
    };
    start.saturating_add(content.bytes.len() as u64)
}

/// Serial numbers are upper case, with a colon between bytes.
fn serial(bytes: &[u8]) -> Vec<u8> {
    let upper = bytes.to_ascii_uppercase();
    let plain = upper.len() > 2 && upper.len().is_multiple_of(2) && upper.iter().all(u8::is_ascii_hexdigit);
    if !plain {
        return upper;
    }
    let mut out = Vec::with_capacity(upper.len() * 3 / 2);
    for (i, pair) in upper.chunks(2).enumerate() {
        if i > 0 {
            out.push(b':');
        }
        out.extend_from_slice(pair);
    }
    out
}
