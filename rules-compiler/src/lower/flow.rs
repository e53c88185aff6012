//! `flow`.

use super::{Fault, Lowered, Lowering, NO_FLOW};
use crate::diag::{Cause, nearest};
use crate::syntax::{OptionSyntax, Span};
use weir_ir::RuleProtocol;

const WORDS: &[&str] = &[
    "to_server",
    "to_client",
    "from_server",
    "from_client",
    "established",
    "not_established",
    "stateless",
    "only_stream",
    "no_stream",
    "only_frag",
    "no_frag",
];

impl Lowering<'_, '_> {
    pub(super) fn flow(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.value(option)?.into_owned();
        if self.draft.flow_span.replace(option.span()).is_some() {
            return Err(Fault::new(
                option.span(),
                Cause::Placement,
                "`flow` stands twice in the rule",
                "join them: `flow:established,to_server;`",
            ));
        }
        let mut flow = NO_FLOW;
        for word in text.split(',').map(str::trim) {
            let lower = word.to_ascii_lowercase();
            let slot = match lower.as_str() {
                "to_server" | "from_client" => &mut flow.to_server,
                "to_client" | "from_server" => &mut flow.to_client,
                "established" => &mut flow.established,
                "not_established" => &mut flow.not_established,
                "stateless" => &mut flow.stateless,
                "only_stream" => &mut flow.only_stream,
                "no_stream" => &mut flow.no_stream,
                "only_frag" => &mut flow.only_frag,
                "no_frag" => &mut flow.no_frag,
                _ => {
                    let hint = nearest(word, WORDS.iter().copied())
                        .map(|n| format!("; did you mean `{n}`?"))
                        .unwrap_or_default();
                    return Err(self.wrong(option, format!("`{word}` is no word of `flow`{hint}")));
                }
            };
            if std::mem::replace(slot, true) && !self.draft.snort3 {
                return Err(self.wrong(option, format!("`{word}` stands twice in `flow`")));
            }
        }
        let pairs = [
            (flow.to_server, flow.to_client, "to_server", "to_client"),
            (flow.established, flow.not_established, "established", "not_established"),
            (flow.established, flow.stateless, "established", "stateless"),
            (flow.not_established, flow.stateless, "not_established", "stateless"),
            (flow.only_stream, flow.no_stream, "only_stream", "no_stream"),
            (flow.only_frag, flow.no_frag, "only_frag", "no_frag"),
        ];
        for (a, b, first, second) in pairs {
            if a && b {
                return Err(Fault::new(
                    option.span(),
                    Cause::Conflict,
                    format!("`{first}` and `{second}` exclude each other"),
                    "keep one of them",
                ));
            }
        }
        self.draft.rule.flow = Some(flow);
        Ok(())
    }

    /// A buffer of one direction implies the rule's direction.
    pub(super) fn imply_direction(&mut self) -> Lowered {
        let both = self.draft.only_to_server.is_some() && self.draft.only_to_client.is_some();
        // Contents of one direction make it a rule like others.
        self.draft.rule.transactional &= both;
        let sid = self.draft.rule.identity.sid;
        let conflict = |span: Span, name: &str, direction: &str, other: String| {
            Err(Fault::new(
                span,
                Cause::Conflict,
                format!("`{name}` exists in {direction} only, but {other}"),
                "correct the direction, or split the rule",
            )
            .known_as(format!("rule {sid} mixes keywords with conflicting directions")))
        };
        match (self.draft.only_to_server, self.draft.only_to_client) {
            // One inspection, in the direction of the answer.
            (Some(_), Some(_)) if self.draft.rule.transactional => {
                let header = &mut self.draft.rule.header;
                std::mem::swap(&mut header.source, &mut header.destination);
                std::mem::swap(&mut header.source_ports, &mut header.destination_ports);
                Ok(())
            }
            (Some((span, name)), Some((_, other))) => conflict(
                span,
                name,
                "requests",
                format!("`{other}` in responses only; one inspection sees one direction"),
            ),
            (Some((span, name)), None) => {
                let flow = self.draft.rule.flow.get_or_insert(NO_FLOW);
                if flow.to_client {
                    return conflict(span, name, "requests", "`flow` says to_client".into());
                }
                flow.to_server = true;
                Ok(())
            }
            (None, Some((span, name))) => {
                let flow = self.draft.rule.flow.get_or_insert(NO_FLOW);
                if flow.to_server {
                    return conflict(span, name, "responses", "`flow` says to_server".into());
                }
                flow.to_client = true;
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    /// `only_stream` and the protocol must agree with packet conditions.
    pub(super) fn check_flow(&mut self) -> Lowered {
        let stream = self.draft.rule.header.protocol == RuleProtocol::TcpStream
            || self.draft.rule.flow.is_some_and(|f| f.only_stream);
        if let (true, Some((span, name))) = (stream, self.draft.needs_packet) {
            return Err(Fault::new(
                span,
                Cause::Conflict,
                format!("`{name}` is a condition on packets, but the rule inspects the stream only"),
                "remove `only_stream` (or `tcp-stream`), or the condition",
            ));
        }
        let packet = self.draft.rule.header.protocol == RuleProtocol::TcpPacket
            || self.draft.rule.flow.is_some_and(|f| f.no_stream);
        if let (true, Some((span, name))) = (packet, self.draft.needs_transaction) {
            return Err(Fault::new(
                span,
                Cause::Conflict,
                format!("`{name}` is read from the stream, but the rule inspects packets only"),
                "remove `no_stream` (or `tcp-pkt`), or the buffer",
            ));
        }
        Ok(())
    }
}
