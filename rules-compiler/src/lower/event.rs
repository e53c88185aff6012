//! decode-event, stream-event, app-layer-event.

use super::event_names::{APPLICATION, DECODER, STREAM};
use super::header::application_protocol;
use super::{Fault, Lowered, Lowering};
use crate::diag::{Cause, nearest};
use crate::keywords::{Handler, Keyword};
use crate::syntax::OptionSyntax;
use weir_contract::protocol::AppProtocol;
use weir_ir::Event;

/// The names behind `decode-event:`, `stream-event:` and `app-layer-event:`, each sorted.
pub fn known_events() -> [(&'static str, &'static [&'static str]); 3] {
    [("decode-event", DECODER), ("stream-event", STREAM), ("app-layer-event", APPLICATION)]
}

/// The protocol in an application-layer event's name.
pub fn protocol_of_event(name: &str) -> Option<AppProtocol> {
    let (prefix, _) = name.split_once('.')?;
    application_protocol(prefix)
}

impl Lowering<'_, '_> {
    pub(super) fn event(&mut self, option: &OptionSyntax, keyword: &'static Keyword) -> Lowered {
        let text = self.value(option)?.into_owned();
        let name = text.trim();
        // `decode-event:stream.x` is Suricata's older spelling of `stream-event:x`.
        let (handler, name) = match (keyword.handler, name.strip_prefix("stream.")) {
            (Handler::DecodeEvent, Some(rest)) => (Handler::StreamEvent, rest),
            (handler, _) => (handler, name),
        };
        let event = match handler {
            Handler::DecodeEvent => {
                self.known(option, name, DECODER)?;
                self.draft.needs_packet.get_or_insert((option.name, keyword.name));
                Event::Decoder(self.session.intern(name))
            }
            Handler::StreamEvent => {
                self.known(option, name, STREAM)?;
                self.draft.needs_packet.get_or_insert((option.name, keyword.name));
                Event::Stream(self.session.intern(name))
            }
            _ => {
                let renamed = name.strip_prefix("ikev2.").map(|rest| format!("ike.{rest}"));
                let name = renamed.as_deref().unwrap_or(name);
                self.known(option, name, APPLICATION)?;
                match name.split_once('.') {
                    None => Event::AppLayer(None, self.session.intern(name)),
                    Some((prefix, rest)) => {
                        let protocol = application_protocol(prefix).ok_or_else(|| {
                            Fault::new(
                                option.span(),
                                Cause::UnknownProtocol,
                                format!("there is no protocol `{prefix}`"),
                                "",
                            )
                        })?;
                        self.use_protocol(option.span(), protocol)?;
                        self.draft.needs_transaction.get_or_insert((option.name, keyword.name));
                        Event::AppLayer(Some(protocol), self.session.intern(rest))
                    }
                }
            }
        };
        self.draft.rule.events.push(event);
        Ok(())
    }

    fn known(&self, option: &OptionSyntax, name: &str, table: &[&str]) -> Lowered {
        if table.binary_search(&name).is_ok() {
            return Ok(());
        }
        let remedy = match nearest(name, table.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "see the list of events in the reference".into(),
        };
        let span = option.value.as_ref().map_or(option.name, |v| v.raw);
        Err(Fault::new(span, Cause::UnknownEvent, format!("there is no event `{name}`"), remedy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_protocols_known() {
        for (keyword, names) in known_events() {
            assert!(names.is_sorted(), "{keyword}");
        }
        for name in APPLICATION.iter().filter(|n| n.contains('.')) {
            assert!(protocol_of_event(name).is_some(), "{name}");
        }
    }
}
