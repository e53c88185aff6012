//! Where in the engine's work a rule is evaluated, and how far its action reaches: Suricata 8's explicit hooks, tables
//! and scopes (user guide, "Firewall Mode Design").

use weir_contract::protocol::AppProtocol;

/// How far an action reaches (`drop:packet`, `accept:hook`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ActionScope {
    /// Not written: what the kind of rule implies.
    #[default]
    Implied,
    /// `packet`
    Packet,
    /// `flow`
    Flow,
    /// `hook`: this hook; the next one decides for itself.
    Hook,
    /// `tx`: the hooks of this transaction.
    Transaction,
}

/// Packets that a rule of a packet hook sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PacketHook {
    /// `all`: each.
    All,
    /// `flow_start`: the first of each direction.
    FlowStart,
    /// `pre_flow`: each, before its flow is looked up.
    PreFlow,
    /// `pre_stream`: each, before its stream is.
    PreStream,
}

/// A state of a protocol's transactions, of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransactionHook {
    /// The protocol.
    pub protocol: AppProtocol,
    /// The requests' side.
    pub to_server: bool,
    /// Place in [`states`].
    pub state: u8,
    /// `<`: states before this one are accepted with it.
    pub earlier: bool,
}

/// The hook of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// `tcp:all` and the like.
    Packet(PacketHook),
    /// `http1:request_line` and the like.
    Transaction(TransactionHook),
}

const HTTP1: [&[&str]; 2] = [
    &["request_started", "request_line", "request_headers", "request_body", "request_trailer", "request_complete"],
    &["response_started", "response_line", "response_headers", "response_body", "response_trailer", "response_complete"],
];
const TLS: [&[&str]; 2] = [
    &["client_in_progress", "client_hello_done", "client_cert_done", "client_handshake_done", "client_finished"],
    &[
        "server_in_progress",
        "server_hello",
        "server_cert_done",
        "server_hello_done",
        "server_handshake_done",
        "server_finished",
    ],
];
const SSH: [&[&str]; 2] = [
    &["request_started", "request_banner_wait_eol", "request_banner_done", "request_finished"],
    &["response_started", "response_banner_wait_eol", "response_banner_done", "response_finished"],
];
const SMTP: [&[&str]; 2] = [
    &["request_started", "request_data", "request_complete"],
    &["response_started", "response_data", "response_complete"],
];
const GENERAL: [&[&str]; 2] = [&["request_started", "request_complete"], &["response_started", "response_complete"]];

/// Names of the states that a transaction of `protocol` goes through, in order; to the server first. The last one is
/// that of the complete transaction.
pub fn states(protocol: AppProtocol) -> [&'static [&'static str]; 2] {
    match protocol {
        AppProtocol::Http1 | AppProtocol::Http => HTTP1,
        AppProtocol::Tls => TLS,
        AppProtocol::Ssh => SSH,
        AppProtocol::Smtp => SMTP,
        _ => GENERAL,
    }
}

impl TransactionHook {
    /// The hook of this name.
    pub fn find(protocol: AppProtocol, name: &str) -> Option<TransactionHook> {
        let (earlier, name) = name.strip_prefix('<').map_or((false, name), |rest| (true, rest));
        let sides = states(protocol);
        [(true, sides[0]), (false, sides[1])].into_iter().find_map(|(to_server, names)| {
            let state = u8::try_from(names.iter().position(|n| *n == name)?).ok()?;
            Some(TransactionHook { protocol, to_server, state, earlier })
        })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        let side = states(self.protocol)[usize::from(!self.to_server)];
        side.get(usize::from(self.state)).copied().unwrap_or("unknown")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_found_by_name_and_direction() {
        let hook = TransactionHook::find(AppProtocol::Tls, "<server_hello_done").expect("a hook");
        assert_eq!((hook.to_server, hook.state, hook.earlier, hook.name()), (false, 3, true, "server_hello_done"));
        assert!(TransactionHook::find(AppProtocol::Tls, "request_started").is_none());
        assert!(TransactionHook::find(AppProtocol::Dns, "request_complete").is_some_and(|h| h.to_server && h.state == 1));
    }
}
