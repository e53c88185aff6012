//! Action, protocol, addresses, ports, direction.

use super::{Fault, Lowered, Lowering};
use crate::diag::{Cause, nearest};
use crate::syntax::{HeaderSyntax, Span};
use crate::vars::VariableError;
use weir_contract::protocol::AppProtocol;
use weir_ir::{Action, ActionScope, AddressSet, Comparison, Hook, PacketCondition, PacketHook, PortSet, RuleProtocol, TransactionHook};

/// Every application protocol a rule may name.
#[rustfmt::skip]
pub(crate) const PROTOCOLS: &[AppProtocol] = &[
    AppProtocol::Http, AppProtocol::Http1, AppProtocol::Http2, AppProtocol::Dns, AppProtocol::Tls, AppProtocol::Smtp,
    AppProtocol::Ftp, AppProtocol::FtpData, AppProtocol::Ssh, AppProtocol::Smb, AppProtocol::DceRpc, AppProtocol::Imap,
    AppProtocol::Pop3, AppProtocol::Krb5, AppProtocol::Snmp, AppProtocol::Sip, AppProtocol::Rfb, AppProtocol::Mqtt,
    AppProtocol::Quic, AppProtocol::Nfs, AppProtocol::Tftp, AppProtocol::Dhcp, AppProtocol::Ntp, AppProtocol::Ike,
    AppProtocol::Rdp, AppProtocol::Telnet, AppProtocol::Modbus, AppProtocol::Dnp3, AppProtocol::Enip,
    AppProtocol::BittorrentDht, AppProtocol::Pgsql, AppProtocol::Ldap, AppProtocol::WebSocket, AppProtocol::Mdns,
    AppProtocol::Doh2,
];

/// Look an application protocol up by its rule-language name or an alias.
pub fn application_protocol(word: &str) -> Option<AppProtocol> {
    let lower = word.to_ascii_lowercase();
    let name = match lower.as_str() {
        "ssl" => "tls",
        "ftpdata" | "ftp_data" => "ftp-data",
        "smb2" | "netbios-ssn" => "smb",
        "dce" | "dce_rpc" => "dcerpc",
        "ikev2" | "ikev1" | "isakmp" => "ike",
        "kerberos" | "krb" => "krb5",
        "bittorrent" => "bittorrent-dht",
        other => other,
    };
    PROTOCOLS.iter().copied().find(|p| p.name() == name)
}

/// A rule for `header` may use what belongs to `needed`.
pub(super) fn compatible(header: AppProtocol, needed: AppProtocol) -> bool {
    use AppProtocol::{DceRpc, Dns, Doh2, Ftp, FtpData, Http, Http1, Http2, Mdns, Smb};
    header == needed
        || matches!(
            (header, needed),
            (Http | Http1 | Http2 | Doh2, Http)
                | (Http | Doh2, Http2)
                | (Http, Http1)
                | (Doh2, Dns)
                | (Smb, DceRpc)
                | (FtpData, Ftp)
                | (Mdns, Dns)
        )
}

impl Lowering<'_, '_> {
    fn word(&self, span: Span) -> String {
        String::from_utf8_lossy(span.of(self.text)).into_owned()
    }

    pub(super) fn header(&mut self, header: &HeaderSyntax) -> Lowered {
        self.action(header.action)?;
        match header.protocol {
            Some(span) => self.protocol(span)?,
            None => {
                return Err(Fault::new(
                    header.action,
                    Cause::Header,
                    "the header names no protocol",
                    "write `action protocol source ports -> destination ports (`",
                ));
            }
        }
        let Some([source, source_ports, direction, destination, destination_ports]) = header.endpoints else {
            let header = &mut self.draft.rule.header;
            (header.source, header.destination) = (AddressSet::any(), AddressSet::any());
            (header.source_ports, header.destination_ports) = (PortSet::any(), PortSet::any());
            return Ok(());
        };
        match direction.of(self.text) {
            b"->" => {}
            b"<>" => self.draft.rule.header.bidirectional = true,
            b"=>" => self.transactional(direction)?,
            b"<-" => {
                return Err(Fault::new(
                    direction,
                    Cause::Header,
                    "there is no direction `<-`",
                    "exchange both sides and write `->`",
                ));
            }
            other => {
                let other = String::from_utf8_lossy(other).into_owned();
                return Err(Fault::new(
                    direction,
                    Cause::Header,
                    format!("`{other}` is no direction"),
                    "write `->` or `<>`",
                ));
            }
        }
        let fault = |span: Span, e: VariableError| {
            let cause =
                if matches!(e, VariableError::Undefined { .. }) { Cause::UndefinedVariable } else { Cause::Address };
            Fault::new(span, cause, e.to_string(), e.remedy())
        };
        let text = self.text;
        let resolver = &mut self.session.resolver;
        let mut addresses = |span: Span| {
            resolver
                .addresses(&String::from_utf8_lossy(span.of(text)))
                .map(|set| (*set).clone())
                .map_err(|e| fault(span, e))
        };
        let (from, to) = (addresses(source)?, addresses(destination)?);
        let negated = [source, destination].iter().any(|span| resolver.negates(&String::from_utf8_lossy(span.of(text))));
        let mut ports = |span: Span| {
            resolver
                .ports(&String::from_utf8_lossy(span.of(text)))
                .map(|set| (*set).clone())
                .map_err(|e| fault(span, e))
        };
        let (from_ports, to_ports) = (ports(source_ports)?, ports(destination_ports)?);
        let header = &mut self.draft.rule.header;
        (header.source, header.source_ports) = (from, from_ports);
        (header.destination, header.destination_ports) = (to, to_ports);
        header.negated = negated;
        Ok(())
    }

    /// Several rules of Suricata in one: contents of both directions of one transaction.
    fn transactional(&mut self, span: Span) -> Lowered {
        let header = &mut self.draft.rule.header;
        if !matches!(header.protocol, RuleProtocol::App(_)) {
            return Err(Fault::new(
                span,
                Cause::Header,
                "`=>` needs an application protocol in the header",
                "name the protocol whose transactions the rule is for, or write `->`",
            ));
        }
        self.draft.rule.transactional = true;
        Ok(())
    }

    /// `drop`, `drop:flow`, `accept:hook,alert`.
    fn action(&mut self, span: Span) -> Lowered {
        let word = self.word(span);
        let firewall = self.session.firewall;
        self.draft.rule.firewall = firewall;
        let mut parts = word.split(',');
        let (action, scope) = self.one_action(span, parts.next().unwrap_or(""))?;
        self.draft.rule.action = action;
        self.draft.rule.scope = scope;
        if firewall && (scope == ActionScope::Implied || !matches!(action, Action::Accept | Action::Drop | Action::Reject | Action::RejectBoth | Action::RejectDestination)) {
            return Err(Fault::new(
                span,
                Cause::Header,
                format!("`{word}` is no action of a firewall rule"),
                "begin with `accept:hook`, `accept:packet`, `accept:flow`, `accept:tx`, `drop:packet` or `drop:flow`",
            ));
        }
        for part in parts {
            if !firewall {
                return Err(Fault::new(
                    span,
                    Cause::Header,
                    "a second action belongs to firewall rules",
                    "write one action, or load the rule with --firewall-rules-exclusive",
                ));
            }
            match self.one_action(span, part)? {
                (Action::Alert, _) => self.draft.alert = true,
                (Action::Pass, scope) => self.draft.rule.also_pass = Some(scope),
                _ => {
                    return Err(Fault::new(
                        span,
                        Cause::Header,
                        format!("`{part}` cannot be a second action"),
                        "write `alert` or `pass:flow` behind the first",
                    ));
                }
            }
        }
        Ok(())
    }

    fn one_action(&self, span: Span, word: &str) -> Lowered<(Action, ActionScope)> {
        let lower = word.to_ascii_lowercase();
        let (name, scope) = lower.split_once(':').map_or((lower.as_str(), None), |(a, b)| (a, Some(b)));
        let action = match name {
            "alert" => Action::Alert,
            "pass" => Action::Pass,
            "drop" | "block" | "sdrop" => Action::Drop,
            "reject" | "rejectsrc" => Action::Reject,
            "rejectdst" => Action::RejectDestination,
            "rejectboth" => Action::RejectBoth,
            "accept" if self.session.firewall => Action::Accept,
            "config" => Action::Config,
            "accept" => {
                return Err(Fault::new(
                    span,
                    Cause::Header,
                    "`accept` belongs to firewall rules",
                    "load the rule with --firewall-rules-exclusive or firewall.rule-files, or write `pass`",
                ));
            }
            known if crate::syntax::ACTIONS.contains(&known) => {
                return Err(Fault::new(
                    span,
                    Cause::UnsupportedKeyword,
                    format!("the action `{known}` is not supported"),
                    "write alert, pass, drop or reject",
                ));
            }
            other => {
                let remedy = match nearest(other, crate::syntax::ACTIONS.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "begin a rule with alert, pass, drop or reject, a comment with `#`".into(),
                };
                return Err(Fault::new(span, Cause::Header, format!("`{other}` is no action"), remedy));
            }
        };
        let scope = match (scope, action) {
            (None, _) => ActionScope::Implied,
            (Some("packet"), _) => ActionScope::Packet,
            (Some("flow"), _) => ActionScope::Flow,
            (Some("hook"), Action::Accept) => ActionScope::Hook,
            (Some("tx"), Action::Accept) => ActionScope::Transaction,
            (Some(other), _) => {
                return Err(Fault::new(
                    span,
                    Cause::Header,
                    format!("`{other}` is no scope of `{name}`"),
                    "the scopes are packet and flow, for accept also hook and tx",
                ));
            }
        };
        Ok((action, scope))
    }

    /// The part of the protocol word behind the colon.
    fn hook(&mut self, span: Span, protocol: RuleProtocol, name: &str) -> Lowered {
        let unknown = |what: String, remedy: &str| Fault::new(span, Cause::Header, what, remedy);
        let packet = match name {
            "all" => Some(PacketHook::All),
            "flow_start" => Some(PacketHook::FlowStart),
            "pre_flow" => Some(PacketHook::PreFlow),
            "pre_stream" => Some(PacketHook::PreStream),
            _ => None,
        };
        let hook = match (protocol, packet) {
            (RuleProtocol::App(app), None) => match TransactionHook::find(app, name) {
                Some(hook) => Hook::Transaction(hook),
                None => {
                    let [to_server, to_client] = weir_ir::hook::states(app);
                    let all: Vec<&str> = to_server.iter().chain(to_client).copied().collect();
                    return Err(unknown(
                        format!("{} has no hook `{name}`", app.name()),
                        &format!("its hooks are {}", all.join(", ")),
                    ));
                }
            },
            (RuleProtocol::App(_), Some(_)) => {
                return Err(unknown(
                    format!("`{name}` is a hook of packets"),
                    "write it with ip, tcp, udp, icmp, arp or ether",
                ));
            }
            (RuleProtocol::TcpStream | RuleProtocol::TcpPacket, Some(_)) => {
                return Err(unknown(format!("`{name}` needs a protocol of packets"), "write `tcp:all`"));
            }
            (_, Some(PacketHook::PreStream)) if !matches!(protocol, RuleProtocol::Tcp | RuleProtocol::Ip) => {
                return Err(unknown("only TCP has streams".to_owned(), "write `tcp:pre_stream`"));
            }
            (_, Some(hook)) => Hook::Packet(hook),
            (_, None) => {
                return Err(unknown(
                    format!("`{name}` is no hook of packets"),
                    "the hooks are all, flow_start, pre_flow and pre_stream",
                ));
            }
        };
        let accepts = self.draft.rule.action == Action::Accept;
        let scope = self.draft.rule.scope;
        if accepts && scope == ActionScope::Transaction && packet.is_some() {
            return Err(unknown("`accept:tx` needs a hook of transactions".to_owned(), "write `accept:packet`"));
        }
        self.draft.rule.hook = Some(hook);
        Ok(())
    }

    fn protocol(&mut self, span: Span) -> Lowered {
        let whole = self.word(span).to_ascii_lowercase();
        let (lower, hook) = match whole.split_once(':') {
            Some((name, hook)) => (name.to_owned(), Some(hook.to_owned())),
            None => (whole, None),
        };
        let link_layer = |supported: bool, protocol| {
            if supported {
                Ok(protocol)
            } else {
                Err(Fault::new(
                    span,
                    Cause::UnsupportedProtocol,
                    format!("the engine does not inspect `{lower}` frames"),
                    "disable the rule",
                ))
            }
        };
        let protocol = match lower.as_str() {
            "ip" => RuleProtocol::Ip,
            "ipv4" | "ip4" => RuleProtocol::Ipv4,
            "ipv6" | "ip6" => RuleProtocol::Ipv6,
            "tcp" => RuleProtocol::Tcp,
            "tcp-pkt" => RuleProtocol::TcpPacket,
            "tcp-stream" => RuleProtocol::TcpStream,
            "udp" => RuleProtocol::Udp,
            "icmp" => RuleProtocol::Icmp,
            "icmpv4" => RuleProtocol::Icmpv4,
            "icmpv6" => RuleProtocol::Icmpv6,
            "pkthdr" => RuleProtocol::PacketHeader,
            "igmp" => {
                const IGMP: u64 = 2;
                self.draft.rule.packet.push(PacketCondition::IpProtocol(Comparison::Equal(IGMP)));
                RuleProtocol::Ip
            }
            "sctp" => link_layer(self.session.support.sctp, RuleProtocol::Sctp)?,
            "arp" => link_layer(self.session.support.link_layer, RuleProtocol::Arp)?,
            "ether" => link_layer(self.session.support.link_layer, RuleProtocol::Ether)?,
            name => match application_protocol(name) {
                Some(protocol) => {
                    self.require_protocol(span, protocol)?;
                    self.draft.protocol = Some((protocol, span));
                    RuleProtocol::App(protocol)
                }
                None => {
                    let others = [
                        "ip",
                        "tcp",
                        "tcp-pkt",
                        "tcp-stream",
                        "udp",
                        "icmp",
                        "icmpv4",
                        "icmpv6",
                        "pkthdr",
                        "ipv4",
                        "ipv6",
                    ];
                    let known = PROTOCOLS.iter().map(|p| p.name()).chain(others);
                    let remedy = match nearest(name, known) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "name a transport such as tcp, or a protocol such as http".into(),
                    };
                    return Err(Fault::new(
                        span,
                        Cause::UnknownProtocol,
                        format!("there is no protocol `{name}`"),
                        remedy,
                    ));
                }
            },
        };
        self.draft.rule.header.protocol = protocol;
        match hook {
            Some(name) => self.hook(span, protocol, &name),
            None if self.draft.rule.firewall => Err(Fault::new(
                span,
                Cause::Header,
                "a firewall rule names its hook",
                "write the hook behind the protocol: `tcp:all`, `http1:request_line`",
            )),
            None => Ok(()),
        }
    }

    /// The engine must detect the protocol.
    pub(super) fn require_protocol(&self, span: Span, protocol: AppProtocol) -> Lowered {
        let supported = &self.session.support.protocols;
        if supported.contains(&protocol) {
            return Ok(());
        }
        Err(Fault::new(
            span,
            Cause::UnsupportedProtocol,
            format!("the engine does not detect `{}`", protocol.name()),
            "write the rule for tcp or udp with contents of the payload, or disable it",
        ))
    }

    /// The engine must have a parser for the protocol.
    pub(super) fn require_parser(&self, span: Span, protocol: AppProtocol) -> Lowered {
        if self.session.support.parsed.contains(&protocol) {
            return Ok(());
        }
        Err(Fault::new(
            span,
            Cause::UnsupportedProtocol,
            format!("the engine has no parser for `{}`", protocol.name()),
            "match the payload instead, or disable the rule",
        ))
    }

    /// Something of this protocol is used: the rule is for it alone.
    pub(super) fn use_protocol(&mut self, span: Span, protocol: AppProtocol) -> Lowered {
        self.require_parser(span, protocol)?;
        match self.draft.protocol {
            None => {
                self.draft.protocol = Some((protocol, span));
                Ok(())
            }
            Some((known, _)) if compatible(known, protocol) => Ok(()),
            // `http1` narrows what a buffer of HTTP implied before.
            Some((known, _)) if compatible(protocol, known) => {
                if !matches!(self.draft.rule.header.protocol, RuleProtocol::App(_)) {
                    self.draft.protocol = Some((protocol, span));
                }
                Ok(())
            }
            Some((known, _)) => Err(Fault::new(
                span,
                Cause::Conflict,
                format!("`{}` belongs to {}, but the rule is for {}", self.word(span), protocol.name(), known.name()),
                "split the rule, or remove one of them",
            )),
        }
    }
}
