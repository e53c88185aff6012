//! Sticky buffers and old modifiers.

use super::header::compatible;
use super::{Fault, Lowered, Lowering, Place, Sticky, new_buffer};
use crate::diag::Cause;
use crate::keywords::{Keyword, OldContentForm};
use crate::syntax::{OptionSyntax, Span};
use weir_contract::protocol::AppProtocol;
use weir_ir::{Anchor, Buffer, BufferDirection, Content, Match, RuleProtocol, Transform};

impl Lowering<'_, '_> {
    /// `http.uri;` and the like.
    pub(super) fn sticky(&mut self, option: &OptionSyntax, buffer: Buffer) -> Lowered {
        let mut argument = self.optional_value(option).into_owned();
        let buffer = match (buffer, argument.split_whitespace().collect::<Vec<_>>().as_slice()) {
            // Snort 3's `http_header:field name` selects one header; `request` selects the request's.
            (_, ["request"]) if self.draft.snort3 => {
                argument.clear();
                buffer
            }
            _ => buffer,
        };
        let side = match argument.trim() {
            "to_server" => Some(BufferDirection::ToServer),
            "to_client" => Some(BufferDirection::ToClient),
            _ => None,
        };
        if let Some(side) = side {
            if !self.draft.rule.transactional {
                return Err(Fault::new(
                    option.span(),
                    Cause::Conflict,
                    format!("sides of `{}` belong to transactional rules (`=>`)", buffer.name()),
                    "write the buffer alone and give the direction in `flow`",
                ));
            }
            self.set_sticky(option.name, buffer)?;
            match side {
                BufferDirection::ToServer => self.draft.only_to_server.get_or_insert((option.name, buffer.name())),
                _ => self.draft.only_to_client.get_or_insert((option.name, buffer.name())),
            };
            if let Some(sticky) = &mut self.draft.sticky {
                sticky.side = Some(side);
            }
            return Ok(());
        }
        if !argument.is_empty() {
            return Err(self.wrong(option, format!("`{}` takes no value", buffer.name())));
        }
        self.set_sticky(option.name, buffer)
    }

    /// `frame:smtp.data;`, or without the protocol where the rule's header names it.
    pub(super) fn frame(&mut self, option: &OptionSyntax) -> Lowered {
        let written = self.value(option)?.trim().to_ascii_lowercase();
        let of_header = match self.draft.rule.header.protocol {
            RuleProtocol::App(AppProtocol::Http) => Some("http1"),
            RuleProtocol::App(protocol) => Some(protocol.name()),
            _ => None,
        };
        let named = |name: &str| Buffer::from_name(&format!("frame:{name}"));
        let buffer = named(&written).or_else(|| named(&format!("{}.{written}", of_header?)));
        let Some(buffer) = buffer else {
            return Err(Fault::new(
                option.span(),
                Cause::Value,
                format!("there is no frame `{written}`"),
                "see `weir suricata --list-app-layer-frames`; name the protocol, as in `smtp.data`",
            ));
        };
        self.set_sticky(option.name, buffer)
    }

    pub(super) fn set_sticky(&mut self, span: Span, buffer: Buffer) -> Lowered {
        self.check_consumed()?;
        self.use_buffer(span, buffer)?;
        self.draft.sticky = Some(Sticky { buffer, transforms: Vec::new(), span, side: None, entry: None });
        Ok(())
    }

    /// Transforms must be followed by a match.
    pub(super) fn check_consumed(&self) -> Lowered {
        match &self.draft.sticky {
            Some(sticky) if sticky.entry.is_none() && !sticky.transforms.is_empty() => Err(Fault::new(
                sticky.span,
                Cause::Placement,
                format!("`{}` is transformed, but nothing is matched in it", sticky.buffer.name()),
                "write a content or another match behind the transforms",
            )),
            _ => Ok(()),
        }
    }

    /// `pkt_data;`
    pub(super) fn packet_data(&mut self) -> Lowered {
        self.check_consumed()?;
        self.draft.sticky = None;
        Ok(())
    }

    /// Protocol, direction and support of a buffer that is used.
    pub(super) fn use_buffer(&mut self, span: Span, buffer: Buffer) -> Lowered {
        if let Some(protocol) = buffer.protocol() {
            // JA3 and JA4 are also computed for QUIC.
            let either = self.draft.protocol.is_none_or(|(p, _)| p == AppProtocol::Quic);
            let hello = matches!(
                buffer,
                Buffer::Ja3Hash | Buffer::Ja3String | Buffer::Ja3sHash | Buffer::Ja3sString | Buffer::Ja4Hash
            );
            if !(either && hello) {
                self.use_protocol(span, protocol)?;
            }
        }
        if buffer == Buffer::DceStubData
            && self.draft.protocol.is_some_and(|(p, _)| !compatible(p, AppProtocol::DceRpc))
        {
            // Carried by SMB as well, so it implies neither.
            self.use_protocol(span, AppProtocol::DceRpc)?;
        }
        if !self.session.support.buffers.contains(&buffer) {
            return Err(Fault::new(
                span,
                Cause::UnsupportedBuffer,
                format!("the engine does not provide the buffer `{}`", buffer.name()),
                "match another buffer or the payload, or disable the rule",
            ));
        }
        match buffer.direction() {
            BufferDirection::ToServer => {
                self.draft.only_to_server.get_or_insert((span, buffer.name()));
            }
            BufferDirection::ToClient => {
                self.draft.only_to_client.get_or_insert((span, buffer.name()));
            }
            BufferDirection::Both => {}
        }
        match buffer {
            Buffer::Payload | Buffer::Base64Data | Buffer::IpSource | Buffer::IpDestination => {}
            Buffer::Ipv4Header
            | Buffer::Ipv6Header
            | Buffer::TcpHeader
            | Buffer::UdpHeader
            | Buffer::Icmpv4Header
            | Buffer::Icmpv6Header => {
                self.draft.needs_packet.get_or_insert((span, buffer.name()));
                self.need_transport(span, buffer)?;
            }
            _ => {
                self.draft.needs_transaction.get_or_insert((span, buffer.name()));
                // Files of a protocol come from its parser.
                if let (None, Some((protocol, _))) = (buffer.protocol(), self.draft.protocol) {
                    self.require_parser(span, protocol)?;
                }
            }
        }
        Ok(())
    }

    /// A header's buffer implies the transport.
    fn need_transport(&mut self, span: Span, buffer: Buffer) -> Lowered {
        let protocol = self.draft.rule.header.protocol;
        let fits = match buffer {
            Buffer::TcpHeader => matches!(
                protocol,
                RuleProtocol::Ip
                    | RuleProtocol::Ipv4
                    | RuleProtocol::Ipv6
                    | RuleProtocol::Tcp
                    | RuleProtocol::TcpPacket
                    | RuleProtocol::App(_)
            ),
            Buffer::UdpHeader => matches!(
                protocol,
                RuleProtocol::Ip | RuleProtocol::Ipv4 | RuleProtocol::Ipv6 | RuleProtocol::Udp | RuleProtocol::App(_)
            ),
            Buffer::Icmpv4Header => {
                matches!(protocol, RuleProtocol::Ip | RuleProtocol::Ipv4 | RuleProtocol::Icmp | RuleProtocol::Icmpv4)
            }
            Buffer::Icmpv6Header => {
                matches!(protocol, RuleProtocol::Ip | RuleProtocol::Ipv6 | RuleProtocol::Icmp | RuleProtocol::Icmpv6)
            }
            _ => true,
        };
        if fits {
            return Ok(());
        }
        Err(Fault::new(
            span,
            Cause::Conflict,
            format!("`{}` does not exist in packets of the rule's protocol", buffer.name()),
            "name the protocol that has this header",
        ))
    }

    /// The entry of the draft that new matches go to.
    pub(super) fn entry(&mut self, option: &OptionSyntax) -> Lowered<usize> {
        let Some(sticky) = &mut self.draft.sticky else {
            if !self.session.support.buffers.contains(&Buffer::Payload) {
                return Err(Fault::new(
                    option.span(),
                    Cause::UnsupportedBuffer,
                    "the engine does not inspect payloads",
                    "",
                ));
            }
            return Ok(self.find_entry(Buffer::Payload, &[]));
        };
        if let Some(entry) = sticky.entry {
            return Ok(entry);
        }
        let (buffer, transforms) = (sticky.buffer, std::mem::take(&mut sticky.transforms));
        let side = sticky.side;
        let entry = if buffer.is_multi() || side.is_some() {
            self.draft.rule.buffers.push(weir_ir::BufferMatch { side, ..new_buffer(buffer, transforms) });
            self.draft.rule.buffers.len() - 1
        } else {
            self.find_entry(buffer, &transforms)
        };
        if let Some(sticky) = &mut self.draft.sticky {
            sticky.entry = Some(entry);
        }
        Ok(entry)
    }

    fn find_entry(&mut self, buffer: Buffer, transforms: &[Transform]) -> usize {
        let buffers = &mut self.draft.rule.buffers;
        if let Some(found) = buffers.iter().position(|b| b.buffer == buffer && b.transforms == transforms) {
            return found;
        }
        buffers.push(new_buffer(buffer, transforms.to_vec()));
        buffers.len() - 1
    }

    /// `content:"x"; http_uri;` moves the content; in Snort 3 `http_uri;` is sticky.
    pub(super) fn modifier(&mut self, option: &OptionSyntax, keyword: &Keyword, buffer: Buffer) -> Lowered {
        if self.draft.snort3 {
            return self.snort3_buffer(option, keyword, buffer);
        }
        if let Some(sticky) = &self.draft.sticky {
            return Err(Fault::new(
                option.span(),
                Cause::Placement,
                format!(
                    "`{}` modifies a content of the payload, but `{}` is in force",
                    keyword.name,
                    sticky.buffer.name()
                ),
                format!("write `{};` before the content, or `pkt_data;` before it", buffer.name()),
            ));
        }
        let payload =
            self.draft.rule.buffers.iter().position(|b| b.buffer == Buffer::Payload && b.transforms.is_empty());
        let place = payload.and_then(|entry| {
            let matches = &self.draft.rule.buffers.get(entry)?.matches;
            Some((entry, matches.iter().rposition(|m| matches!(m, Match::Content(_)))?))
        });
        let Some(place) = place else {
            return Err(Fault::new(
                option.span(),
                Cause::Placement,
                format!("no content stands before `{}`", keyword.name),
                format!("write `{};` before the content, as a sticky buffer", buffer.name()),
            ));
        };
        if self.content_at(place).is_some_and(|c| c.raw) {
            return Err(Fault::new(
                option.span(),
                Cause::Conflict,
                format!("`rawbytes` and `{}` exclude each other", keyword.name),
                "remove `rawbytes`",
            ));
        }
        self.use_buffer(option.name, buffer)?;
        self.relocate(place, buffer);
        Ok(())
    }

    /// Move a match to the end of another buffer's entry.
    fn relocate(&mut self, place: Place, buffer: Buffer) {
        let target = self.find_entry(buffer, &[]);
        let Some(source) = self.draft.rule.buffers.get_mut(place.0) else { return };
        if place.1 >= source.matches.len() {
            return;
        }
        let item = source.matches.remove(place.1);
        let Some(entry) = self.draft.rule.buffers.get_mut(target) else { return };
        entry.matches.push(item);
        let moved = (target, entry.matches.len() - 1);
        let adjust = |p: &mut Place| {
            if *p == place {
                *p = moved;
            } else if p.0 == place.0 && p.1 > place.1 {
                p.1 -= 1;
            }
        };
        self.draft.spans.iter_mut().for_each(|(p, _)| adjust(p));
        if let Some(last) = &mut self.draft.last_content {
            adjust(last);
        }
    }

    fn snort3_buffer(&mut self, option: &OptionSyntax, keyword: &Keyword, buffer: Buffer) -> Lowered {
        let argument = self.optional_value(option).into_owned();
        let words: Vec<&str> = argument.split([',', ' ']).filter(|w| !w.is_empty()).collect();
        let buffer = match (buffer, words.as_slice()) {
            (_, []) => buffer,
            (Buffer::HttpHeader | Buffer::HttpHeaderRaw, ["field", name]) => match name.to_ascii_lowercase().as_str() {
                "user-agent" => Buffer::HttpUserAgent,
                "host" => Buffer::HttpHostRaw,
                "referer" => Buffer::HttpReferer,
                "cookie" => Buffer::HttpCookie,
                "content-type" => Buffer::HttpContentType,
                "content-length" => Buffer::HttpContentLength,
                "accept" => Buffer::HttpAccept,
                "accept-encoding" => Buffer::HttpAcceptEncoding,
                "accept-language" => Buffer::HttpAcceptLanguage,
                "connection" => Buffer::HttpConnection,
                "location" => Buffer::HttpLocation,
                "server" => Buffer::HttpServer,
                _ => {
                    return Err(Fault::new(
                        option.span(),
                        Cause::UnsupportedKeyword,
                        format!("`{}:field {name}`: no buffer holds this header alone", keyword.name),
                        "write `http.header` and the header's name in the content",
                    ));
                }
            },
            (_, ["request"]) => buffer,
            _ => {
                return Err(Fault::new(
                    option.span(),
                    Cause::UnsupportedKeyword,
                    format!("`{}:{argument}`: parts of the buffer cannot be selected", keyword.name),
                    format!("write `{};`", keyword.name),
                ));
            }
        };
        self.set_sticky(option.name, buffer)
    }

    /// `tls.subject:"x";` and others that are contents with a buffer of their own.
    pub(super) fn old_content(&mut self, option: &OptionSyntax, buffer: Buffer, form: OldContentForm) -> Lowered {
        let negated = option.value.as_ref().is_some_and(|v| v.negated || v.raw.of(self.text).first() == Some(&b'!'));
        let text = match option.value.as_ref().and_then(|v| v.quoted) {
            Some(span) => String::from_utf8_lossy(span.of(self.text)).into_owned(),
            None => self.value(option)?.trim_start_matches('!').trim().trim_matches('"').to_owned(),
        };
        if text.is_empty() {
            return Err(self.wrong(option, "the text is empty"));
        }
        let before = self.draft.sticky.take();
        self.set_sticky(option.name, buffer)?;
        let mut bytes = text.into_bytes();
        let (mut nocase, mut anchor) = (false, Anchor::default());
        match form {
            OldContentForm::Anywhere => {}
            OldContentForm::AnyCase => nocase = true,
            OldContentForm::WholeLower => {
                bytes.make_ascii_lowercase();
                anchor = Anchor { start: true, end: true };
            }
            OldContentForm::Extension => {
                bytes.insert(0, b'.');
                nocase = true;
                anchor.end = true;
            }
        }
        let content = Content {
            bytes: bytes.into(),
            negated,
            nocase,
            offset: None,
            depth: None,
            distance: None,
            within: None,
            anchor,
            fast_pattern: false,
            fast_pattern_only: false,
            fast_pattern_chop: None,
            raw: false,
        };
        let place = self.push(option, Match::Content(content))?;
        self.draft.spans.push((place, option.span()));
        self.draft.sticky = before;
        Ok(())
    }
}
