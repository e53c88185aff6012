//! Conditions on the application layer that are not byte matches.

use super::header::{application_protocol, compatible};
use super::{Fault, Lowered, Lowering, number};
use crate::diag::Cause;
use crate::keywords::{Handler, Keyword, numbers_of};
use crate::syntax::OptionSyntax;
use weir_contract::protocol::AppProtocol;
use weir_ir::condition::ProtocolMode;
use weir_ir::{AppLayerCondition, Comparison};

/// Wire versions by name.
const TLS_VERSIONS: &[(&str, u16)] = &[
    ("sslv2", 0x0002),
    ("sslv3", 0x0300),
    ("tls1.0", 0x0301),
    ("tls1.1", 0x0302),
    ("tls1.2", 0x0303),
    ("tls1.3", 0x0304),
];

impl Lowering<'_, '_> {
    pub(super) fn application(&mut self, option: &OptionSyntax, keyword: &'static Keyword) -> Lowered {
        if keyword.handler == Handler::AppLayerProtocol {
            return self.app_layer_protocol(option);
        }
        let protocol = match keyword.handler {
            Handler::TlsVersion
            | Handler::SslVersion
            | Handler::SslState
            | Handler::TlsCertExpired
            | Handler::TlsCertValid
            | Handler::TlsNotBefore
            | Handler::TlsNotAfter
            | Handler::TlsCertChainLength => Some(AppProtocol::Tls),
            Handler::DnsOpcode | Handler::DnsRcode | Handler::DnsRrtype => Some(AppProtocol::Dns),
            Handler::FtpDataCommand => Some(AppProtocol::FtpData),
            Handler::SmbVersion => Some(AppProtocol::Smb),
            Handler::DceInterface | Handler::DceOpnum => {
                // DCERPC travels within SMB as well.
                let smb = self.draft.protocol.is_some_and(|(p, _)| compatible(p, AppProtocol::DceRpc));
                (!smb).then_some(AppProtocol::DceRpc)
            }
            Handler::Named(protocol) => Some(protocol),
            _ => None,
        };
        if let Some(protocol) = protocol {
            self.use_protocol(option.name, protocol)?;
        }
        if !self.session.support.keywords.contains(keyword.name) {
            return Err(Fault::new(
                option.span(),
                Cause::UnsupportedKeyword,
                format!("the engine does not evaluate `{}`", keyword.name),
                "rewrite the rule without it, or disable the rule",
            ));
        }
        self.draft.needs_transaction.get_or_insert((option.name, keyword.name));
        match self.compound(option, keyword)? {
            Some(conditions) => self.draft.rule.app_layer.extend(conditions),
            None => {
                let condition = self.application_condition(option, keyword)?;
                self.draft.rule.app_layer.push(condition);
            }
        }
        Ok(())
    }

    fn application_condition(
        &mut self,
        option: &OptionSyntax,
        keyword: &'static Keyword,
    ) -> Lowered<AppLayerCondition> {
        Ok(match keyword.handler {
            Handler::TlsVersion | Handler::SslVersion => AppLayerCondition::TlsVersion(self.tls_versions(option)?),
            Handler::SslState => {
                let (states, negated) = self.tls_states(option)?;
                AppLayerCondition::TlsState(states, negated)
            }
            Handler::TlsCertExpired => AppLayerCondition::TlsCertExpired,
            Handler::TlsCertValid => AppLayerCondition::TlsCertValid,
            Handler::TlsNotBefore => AppLayerCondition::TlsNotBefore(self.date(option)?),
            Handler::TlsNotAfter => AppLayerCondition::TlsNotAfter(self.date(option)?),
            Handler::TlsCertChainLength => {
                AppLayerCondition::TlsCertChainLength(self.comparison(option, u64::from(u32::MAX), &[])?)
            }
            Handler::DnsOpcode => AppLayerCondition::DnsOpcode(self.comparison(option, 15, &[])?),
            Handler::DnsRcode => {
                AppLayerCondition::DnsRcode(self.comparison(option, 65_535, numbers_of("dns.rcode"))?)
            }
            Handler::DnsRrtype => {
                AppLayerCondition::DnsRrtype(self.comparison(option, 65_535, numbers_of("dns.rrtype"))?)
            }
            Handler::FtpDataCommand => {
                let text = self.value(option)?;
                let command = numbers_of("ftpdata_command").iter().find(|c| c.0.eq_ignore_ascii_case(text.trim()));
                match command {
                    Some((_, number)) => AppLayerCondition::FtpDataCommand(*number),
                    None => return Err(self.wrong(option, format!("`{text}` is no command with a data connection"))),
                }
            }
            Handler::FileStore => {
                self.warn(
                    option.span(),
                    Cause::Style,
                    "files are not stored; the rule alerts on their transactions",
                    "store files with another tool, or remove `filestore`",
                );
                AppLayerCondition::FileStore
            }
            Handler::FileSize => {
                let text = self.value(option)?.into_owned();
                match text.split_once(',') {
                    // The answer's file, in whose direction the rule is inspected.
                    Some((side, rest)) if side.trim() == "to_client" && self.draft.rule.transactional => {
                        self.draft.only_to_client.get_or_insert((option.name, keyword.name));
                        let size = number::comparison(rest, u64::MAX, &[]).map_err(|e| self.wrong(option, e))?;
                        AppLayerCondition::FileSize(size)
                    }
                    // Elsewhere the side is the rule's.
                    Some((side, rest)) if matches!(side.trim(), "to_client" | "to_server") && !self.draft.rule.transactional => {
                        let side = match side.trim() {
                            "to_client" => &mut self.draft.only_to_client,
                            _ => &mut self.draft.only_to_server,
                        };
                        side.get_or_insert((option.name, keyword.name));
                        let size = number::comparison(rest, u64::MAX, &[]).map_err(|e| self.wrong(option, e))?;
                        AppLayerCondition::FileSize(size)
                    }
                    _ => AppLayerCondition::FileSize(self.comparison(option, u64::MAX, &[])?),
                }
            }
            Handler::SmbVersion => match self.value(option)?.trim() {
                "1" => AppLayerCondition::SmbVersion(1),
                "2" => AppLayerCondition::SmbVersion(2),
                other => return Err(self.wrong(option, format!("`{other}` is neither 1 nor 2"))),
            },
            Handler::DceInterface => self.dce_interface(option)?,
            Handler::DceOpnum => {
                let text = self.value(option)?;
                let numbers: Lowered<Vec<Comparison>> = text
                    .split(',')
                    .map(|part| match part.trim().split_once('-') {
                        // Ranges of operation numbers include their ends.
                        Some((low, high)) => match (number::unsigned(low), number::unsigned(high)) {
                            (Some(low), Some(high)) if low < high && high <= 65_535 => {
                                Ok(Comparison::Within(low, high))
                            }
                            _ => Err(self.wrong(option, format!("`{}` is no range", part.trim()))),
                        },
                        None => number::comparison(part, 65_535, &[]).map_err(|e| self.wrong(option, e)),
                    })
                    .collect();
                AppLayerCondition::DcerpcOpnum(numbers?)
            }
            _ => {
                let comparison = match &option.value {
                    None if keyword.name != "krb5.weak_encryption" => {
                        self.value(option)?;
                        None
                    }
                    None => None,
                    Some(_) => Some(self.comparison(option, u64::MAX, numbers_of(keyword.name))?),
                };
                AppLayerCondition::Named(self.session.intern(keyword.name), comparison)
            }
        })
    }

    /// `tls.store` asks for nothing; what it does is left out.
    pub(super) fn tls_store(&mut self, option: &OptionSyntax) -> Lowered {
        self.use_protocol(option.name, AppProtocol::Tls)?;
        let (message, remedy) = ("certificates are not stored; the rule alerts", "log them: `tls` records with `certificate` or `chain`");
        self.warn(option.span(), Cause::Style, message, remedy);
        Ok(())
    }

    fn app_layer_protocol(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.value(option)?.into_owned();
        let (name, mode) = text.split_once(',').map_or((text.trim(), None), |(a, b)| (a.trim(), Some(b.trim())));
        let (negated, name) = match name.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, name),
        };
        let protocol = match name {
            "failed" | "unknown" => None,
            name => Some(application_protocol(name).ok_or_else(|| {
                let known = super::PROTOCOLS.iter().map(|p| p.name());
                let remedy =
                    crate::diag::nearest(name, known).map(|n| format!("did you mean `{n}`?")).unwrap_or_default();
                Fault::new(option.span(), Cause::UnknownProtocol, format!("there is no protocol `{name}`"), remedy)
            })?),
        };
        if let (Some(protocol), false) = (protocol, negated) {
            // A negated unsupported protocol holds for every flow the engine knows; a plain one for none.
            self.require_protocol(option.span(), protocol)?;
        }
        let undetected = name == "unknown";
        if undetected && negated {
            return Err(self.wrong(option, "`unknown` cannot be negated").known_as(
                "app-layer-protocol keyword can't use negation with protocol 'unknown'".to_owned(),
            ));
        }
        let condition = match mode {
            None if undetected => AppLayerCondition::Undetected(None),
            None => {
                if let Some((known, _)) = self.draft.protocol {
                    return Err(Fault::new(
                        option.span(),
                        Cause::Conflict,
                        format!("the rule is for {} already", known.name()),
                        "remove `app-layer-protocol`, or write the rule for a transport such as tcp",
                    ));
                }
                AppLayerCondition::Protocol { protocol, negated }
            }
            Some(mode) => {
                let mode = match mode {
                    "final" => ProtocolMode::Final,
                    "original" => ProtocolMode::Original,
                    "either" => ProtocolMode::Either,
                    "to_server" | "toserver" => ProtocolMode::ToServer,
                    "to_client" | "toclient" => ProtocolMode::ToClient,
                    other => {
                        return Err(self.wrong(
                            option,
                            format!("`{other}` is not final, original, either, to_server or to_client"),
                        ));
                    }
                };
                if undetected {
                    AppLayerCondition::Undetected(Some(mode))
                } else {
                    AppLayerCondition::ProtocolOf { mode, protocol, negated }
                }
            }
        };
        self.draft.rule.app_layer.push(condition);
        Ok(())
    }

    /// `1.2`, `tls1.2,!sslv3`, `0x0303`.
    fn tls_versions(&self, option: &OptionSyntax) -> Lowered<Vec<(u16, bool)>> {
        let text = self.value(option)?;
        let mut versions = Vec::new();
        for part in text.split(',').map(|p| p.trim().trim_matches('"')) {
            let (negated, word) = match part.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, part),
            };
            let lower = word.to_ascii_lowercase();
            let name = if lower.starts_with(|c: char| c.is_ascii_digit()) && !lower.starts_with("0x") {
                format!("tls{lower}")
            } else {
                lower
            };
            let known = TLS_VERSIONS.iter().find(|(n, _)| *n == name).map(|v| v.1);
            let version = known.or_else(|| {
                number::unsigned(word).filter(|_| word.starts_with("0x")).and_then(|n| u16::try_from(n).ok())
            });
            match version {
                Some(version) => versions.push((version, negated)),
                None => {
                    let hint = crate::diag::nearest(&name, TLS_VERSIONS.iter().map(|v| v.0))
                        .map(|n| format!("; did you mean `{n}`?"));
                    return Err(
                        self.wrong(option, format!("`{word}` is no version of TLS{}", hint.unwrap_or_default()))
                    );
                }
            }
        }
        Ok(versions)
    }

    /// `client_hello`, `!server_hello`, `client_hello|server_hello` (Snort: with commas).
    fn tls_states(&self, option: &OptionSyntax) -> Lowered<(u8, bool)> {
        let text = self.value(option)?;
        let (mut states, mut negated) = (0u8, None);
        for part in text.split(['|', ',']).map(str::trim) {
            let (not, word) = match part.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, part),
            };
            states |= match word {
                "client_hello" => 1,
                "server_hello" => 2,
                "client_keyx" => 4,
                "server_keyx" => 8,
                "unknown" => 16,
                other => return Err(self.wrong(option, format!("`{other}` is no state of a handshake"))),
            };
            if negated.replace(not).is_some_and(|known| known != not) {
                return Err(self.wrong(option, "negated and plain states are mixed"));
            }
        }
        Ok((states, negated.unwrap_or(false)))
    }

    /// `>2015-10-01 12:30`, `2015<>2017`: seconds since the epoch, UTC.
    fn date(&self, option: &OptionSyntax) -> Lowered<Comparison> {
        let text = self.value(option)?;
        let text = text.trim();
        let parse = |part: &str| {
            epoch(part.trim()).ok_or_else(|| {
                self.wrong(option, format!("`{}` is no date of the form YYYY-MM-DD HH:MM:SS", part.trim()))
            })
        };
        if let Some((low, high)) = text.split_once("<>") {
            let (low, high) = (parse(low)?, parse(high)?);
            if low >= high {
                return Err(self.wrong(option, "the second date is not later than the first"));
            }
            return Ok(Comparison::Between(low, high));
        }
        Ok(match text.split_at_checked(1) {
            Some(("<", rest)) => Comparison::Less(parse(rest)?),
            Some((">", rest)) => Comparison::Greater(parse(rest)?),
            _ => Comparison::Equal(parse(text)?),
        })
    }

    /// `uuid[,operator version][,any_frag]`
    fn dce_interface(&self, option: &OptionSyntax) -> Lowered<AppLayerCondition> {
        let text = self.value(option)?;
        let mut parts = text.split(',').map(str::trim);
        let uuid = parts.next().unwrap_or("");
        // Snort 3 names the parts: `uuid X, version >1, any_frag`.
        let uuid = uuid.strip_prefix("uuid ").map_or(uuid, str::trim);
        let digits: Vec<u8> = uuid.bytes().filter(|&b| b != b'-').collect();
        let mut bytes = [0u8; 16];
        let shape = uuid.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
        let mut pairs = digits.chunks_exact(2);
        for byte in &mut bytes {
            let digit = |b: u8| (b as char).to_digit(16);
            let pair = pairs.next().and_then(|p| Some((digit(*p.first()?)? << 4 | digit(*p.get(1)?)?) as u8));
            *byte = match pair {
                Some(value) if shape => value,
                _ => return Err(self.wrong(option, format!("`{uuid}` is no UUID"))),
            };
        }
        let (mut version, mut any_frag) = (None, false);
        for part in parts {
            match part {
                "any_frag" => any_frag = true,
                text => {
                    let text = text.strip_prefix("version").map_or(text, str::trim);
                    version = Some(number::comparison(text, 65_535, &[]).map_err(|e| self.wrong(option, e))?);
                }
            }
        }
        Ok(AppLayerCondition::DcerpcInterface(bytes, version, any_frag))
    }
}

/// `YYYY[-MM[-DD[ HH[:MM[:SS]]]]]` (or `T` between date and time) as seconds since the epoch, UTC.
fn epoch(text: &str) -> Option<u64> {
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, ""));
    let mut fields = [0u64, 1, 1, 0, 0, 0];
    for (i, part) in date.split('-').enumerate() {
        *fields.get_mut(..3)?.get_mut(i)? = part.parse().ok()?;
    }
    for (i, part) in time.split(':').filter(|p| !p.is_empty()).enumerate() {
        *fields.get_mut(3..)?.get_mut(i)? = part.parse().ok()?;
    }
    let [year, month, day, hour, minute, second] = fields;
    if !(1970..=9999).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    // Days from civil, with March as the first month.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1;
    const EPOCH_DAYS: u64 = 719_468;
    Some((days - EPOCH_DAYS) * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use crate::{LoadOptions, RuleSource, Ruleset, Support, VariableTable, load};
    use weir_ir::AppLayerCondition;
    use weir_ir::condition::ProtocolMode;

    #[test]
    fn dates() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("2015-10-01 12:30:05", Some(1_443_702_605)),
            ("2015-10-01T12:30", Some(1_443_702_600)),
            ("2000-02-29", Some(951_782_400)),
            ("2024", Some(1_704_067_200)),
            ("2015-13-01", None),
            ("yesterday", None),
            ("1-2-3-4", None),
        ] {
            assert_eq!(super::epoch(text), expected, "{text}");
        }
    }

    fn rules(header: &str, options: &str) -> Ruleset {
        let text = format!("alert {header} ({options} sid:1;)");
        let load_options = LoadOptions { support: Support::everything(), ..LoadOptions::default() };
        load(&[RuleSource::from_text("x", text.as_str())], &VariableTable::default(), &load_options)
    }

    #[test]
    fn a_file_of_one_direction() {
        for (options, to_server, to_client) in [
            ("filesize:to_client,>1;", false, true),
            ("filesize: to_server , 12; flow:established;", true, false),
            ("flow:to_client; filesize:to_client,1;", false, true),
        ] {
            let set = rules("http any any -> any any", options);
            let flow = set.rules.first().and_then(|r| r.flow).unwrap_or_else(|| panic!("{options}: {:?}", set.rejected));
            assert_eq!((flow.to_server, flow.to_client), (to_server, to_client), "{options}");
        }
        for options in ["flow:to_server; filesize:to_client,1;", "filesize:both,1;", "filesize:1,to_client;"] {
            assert!(rules("http any any -> any any", options).rules.is_empty(), "{options}");
        }
    }

    #[test]
    fn what_is_not_detected() {
        let condition = |options: &str| rules("ip any any -> any any", options).rules.first().map(|r| r.app_layer.clone());
        assert_eq!(condition("app-layer-protocol:unknown;"), Some(vec![AppLayerCondition::Undetected(None)]));
        assert_eq!(
            condition("app-layer-protocol:unknown,to_client;"),
            Some(vec![AppLayerCondition::Undetected(Some(ProtocolMode::ToClient))])
        );
        assert_eq!(condition("app-layer-protocol:!unknown;"), None);
    }

    #[test]
    fn certificates_that_are_not_stored() {
        let set = rules("tcp any any -> any any", "tls.cert_subject; content:\"CN=x\"; tls.store;");
        assert_eq!((set.rules.len(), set.warnings.len()), (1, 1));
        assert!(rules("http any any -> any any", "tls.store;").rules.is_empty());
    }
}
