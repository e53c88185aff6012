//! Keywords whose value names a field of the parser before it compares it.
//!
//! The field becomes part of the condition's name (`http2.settings.4`), which the parser answers as it does any other.

use super::{Fault, Lowered, Lowering, number};
use crate::keywords::{Keyword, numbers_of};
use crate::syntax::OptionSyntax;
use weir_ir::{AppLayerCondition, Comparison};

/// Settings of HTTP/2 (RFC 9113 section 6.5.2).
const HTTP2_SETTINGS: &[(&str, u64)] = &[
    ("SETTINGS_HEADER_TABLE_SIZE", 1),
    ("SETTINGS_ENABLE_PUSH", 2),
    ("SETTINGS_MAX_CONCURRENT_STREAMS", 3),
    ("SETTINGS_INITIAL_WINDOW_SIZE", 4),
    ("SETTINGS_MAX_FRAME_SIZE", 5),
    ("SETTINGS_MAX_HEADER_LIST_SIZE", 6),
    // RFC 8441 section 3, RFC 9218 section 2.1.
    ("SETTINGS_ENABLE_CONNECT_PROTOCOL", 8),
    ("SETTINGS_NO_RFC7540_PRIORITIES", 9),
];

/// Bits of a frame's first byte (RFC 6455 section 5.2, RFC 7692 section 6).
const WEBSOCKET_FLAGS: &[(&str, u64)] = &[("fin", 0x80), ("comp", 0x40)];

/// Low bits of a packet's first byte (MQTT 3.1.1 section 2.2.2).
const MQTT_FLAGS: &[(&str, u64)] = &[("dup", 8), ("retain", 1)];

/// Connect flags (MQTT 3.1.1 section 3.1.2.3).
#[rustfmt::skip]
const MQTT_CONNECT_FLAGS: &[(&str, u64)] = &[
    ("username", 0x80), ("password", 0x40), ("will_retain", 0x20), ("will", 0x04), ("clean_session", 0x02),
];

/// Internal indications (IEEE 1815 clause 4.5), first octet high.
#[rustfmt::skip]
const DNP3_INDICATIONS: &[(&str, u64)] = &[
    ("all_stations", 0x0100), ("class_1_events", 0x0200), ("class_2_events", 0x0400), ("class_3_events", 0x0800),
    ("need_time", 0x1000), ("local_control", 0x2000), ("device_trouble", 0x4000), ("device_restart", 0x8000),
    ("no_func_code_support", 0x0001), ("object_unknown", 0x0002), ("parameter_error", 0x0004),
    ("event_buffer_overflow", 0x0008), ("already_executing", 0x0010), ("config_corrupt", 0x0020), ("reserved_2", 0x0040),
    ("reserved_1", 0x0080),
];

impl Lowering<'_, '_> {
    /// The conditions of such a keyword; none if it is not one.
    pub(super) fn compound(
        &mut self,
        option: &OptionSyntax,
        keyword: &'static Keyword,
    ) -> Lowered<Option<Vec<AppLayerCondition>>> {
        let conditions = match keyword.name {
            "http2.settings" => vec![self.http2_setting(option)?],
            "ldap.responses.operation" | "ldap.responses.result_code" => vec![self.of_response(option, keyword)?],
            "websocket.flags" => return self.bits(option, keyword, WEBSOCKET_FLAGS).map(Some),
            "mqtt.flags" => return self.bits(option, keyword, MQTT_FLAGS).map(Some),
            "mqtt.connect.flags" => return self.bits(option, keyword, MQTT_CONNECT_FLAGS).map(Some),
            "krb5.ticket_encryption" => vec![self.ticket_encryption(option)?],
            "dnp3_ind" => vec![self.any_of(option, keyword, DNP3_INDICATIONS)?],
            "dnp3_obj" => vec![self.dnp3_object(option, keyword)?],
            "ike.chosen_sa_attribute" => vec![self.chosen_attribute(option)?],
            "modbus" => self.modbus(option)?,
            "cip_service" => vec![self.cip_service(option)?],
            _ => return Ok(None),
        };
        Ok(Some(conditions))
    }

    pub(super) fn named(&mut self, name: &str, comparison: Option<Comparison>) -> AppLayerCondition {
        AppLayerCondition::Named(self.session.intern(name), comparison)
    }

    pub(super) fn compared(&self, option: &OptionSyntax, text: &str, max: u64, names: &[(&str, u64)]) -> Lowered<Comparison> {
        number::comparison(text, max, names).map_err(|e| self.wrong(option, e))
    }

    /// `SETTINGS_MAX_FRAME_SIZE >16384`, `4`, …
    fn http2_setting(&mut self, option: &OptionSyntax) -> Lowered<AppLayerCondition> {
        let text = self.value(option)?.trim().to_owned();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let id = find(name, HTTP2_SETTINGS)
            .or_else(|| number::unsigned(name).filter(|n| *n <= 0xffff))
            .ok_or_else(|| self.unknown(option, name, "setting of HTTP/2", HTTP2_SETTINGS))?;
        let comparison = match rest.trim() {
            "" => None,
            rest => Some(self.compared(option, rest, u64::from(u32::MAX), &[])?),
        };
        Ok(self.named(&format!("http2.settings.{id}"), comparison))
    }

    /// `search_result_done`, `>3,all`, `success,-1`: of any response, of all, or of one by its place.
    fn of_response(&mut self, option: &OptionSyntax, keyword: &'static Keyword) -> Lowered<AppLayerCondition> {
        let text = self.value(option)?.into_owned();
        let (value, place) = text.split_once(',').map_or((text.as_str(), "any"), |(a, b)| (a, b.trim()));
        let comparison = self.compared(option, value, u64::from(u32::MAX), numbers_of(keyword.name))?;
        let name = match place {
            "any" => keyword.name.to_owned(),
            "all" => format!("{}.all", keyword.name),
            place => match number::signed(place) {
                Some(n) => format!("{}.{n}", keyword.name),
                None => return Err(self.wrong(option, format!("`{place}` is neither a place, `any` nor `all`"))),
            },
        };
        Ok(self.named(&name, Some(comparison)))
    }

    /// `fin,!comp`: bits that are set or not, or a comparison.
    fn bits(&mut self, option: &OptionSyntax, keyword: &'static Keyword, names: &[(&str, u64)]) -> Lowered<Vec<AppLayerCondition>> {
        let text = self.value(option)?.into_owned();
        let mut comparisons = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (negated, name) = part.strip_prefix('!').map_or((false, part), |rest| (true, rest.trim()));
            comparisons.push(match find(name, names) {
                Some(bit) if negated => Comparison::NoBit(bit),
                Some(bit) => Comparison::AnyBit(bit),
                None => self.compared(option, part, u64::from(u32::MAX), names)?,
            });
        }
        Ok(comparisons.into_iter().map(|c| self.named(keyword.name, Some(c))).collect())
    }

    /// `a,b`: one of the bits is set.
    fn any_of(&mut self, option: &OptionSyntax, keyword: &'static Keyword, names: &[(&str, u64)]) -> Lowered<AppLayerCondition> {
        let text = self.value(option)?.into_owned();
        let mut mask = 0;
        for part in text.split(',').map(str::trim) {
            mask |= find(part, names)
                .or_else(|| number::unsigned(part).filter(|n| (1..=0xffff).contains(n)))
                .ok_or_else(|| self.unknown(option, part, "indication of DNP3", names))?;
        }
        Ok(self.named(keyword.name, Some(Comparison::AnyBit(mask))))
    }

    /// `weak`, or types by number or name, between commas or spaces: the ticket has one of them. `!` negates all of it.
    fn ticket_encryption(&mut self, option: &OptionSyntax) -> Lowered<AppLayerCondition> {
        let text = self.value(option)?.trim().to_owned();
        let (negated, list) = text.strip_prefix('!').map_or((false, text.as_str()), |rest| (true, rest.trim()));
        let wanted = Some(Comparison::Equal(u64::from(!negated)));
        if list.eq_ignore_ascii_case("weak") {
            return Ok(self.named("krb5.ticket_encryption.weak", wanted));
        }
        let names = numbers_of("krb5.ticket_encryption");
        let mut numbers: Vec<String> = Vec::new();
        for part in list.split([',', ' ']).filter(|part| !part.is_empty()) {
            let number = number::signed(part)
                .filter(|n| i32::try_from(*n).is_ok())
                .or_else(|| find(part, names).map(|n| n as i64))
                .ok_or_else(|| self.unknown(option, part, "encryption type of Kerberos", names))?;
            numbers.push(number.to_string());
        }
        if numbers.is_empty() {
            return Err(self.wrong(option, "there is no encryption type".to_owned()));
        }
        Ok(self.named(&format!("krb5.ticket_encryption.{}", numbers.join(",")), wanted))
    }

    /// `group,variation`
    fn dnp3_object(&mut self, option: &OptionSyntax, keyword: &'static Keyword) -> Lowered<AppLayerCondition> {
        let text = self.value(option)?.into_owned();
        // `*` is any.
        let octet = |part: &str| match part.trim() {
            "*" => Some(None),
            part => number::unsigned(part).filter(|n| *n <= 255).map(Some),
        };
        match text.split_once(',').and_then(|(a, b)| Some((octet(a)?, octet(b)?))) {
            Some((Some(group), Some(variation))) => {
                Ok(self.named(keyword.name, Some(Comparison::Equal(group << 8 | variation))))
            }
            // The group is the high octet.
            Some((Some(group), None)) => Ok(self.named(keyword.name, Some(Comparison::Within(group << 8, group << 8 | 255)))),
            Some((None, Some(variation))) => Ok(self.named("dnp3_obj.variation", Some(Comparison::Equal(variation)))),
            Some((None, None)) => Ok(self.named(keyword.name, None)),
            None => Err(self.wrong(option, format!("`{text}` is no group and variation"))),
        }
    }

    /// `alg_hash=2`
    fn chosen_attribute(&mut self, option: &OptionSyntax) -> Lowered<AppLayerCondition> {
        const ATTRIBUTES: [&str; 10] = [
            "alg_enc", "alg_hash", "alg_auth", "alg_dh", "alg_prf", "sa_group_type", "sa_life_type", "sa_life_duration",
            "sa_key_length", "sa_field_size",
        ];
        let text = self.value(option)?.into_owned();
        let parts = text.split_once('=').map(|(name, value)| (name.trim(), number::unsigned(value)));
        match parts {
            Some((name, Some(value))) if ATTRIBUTES.contains(&name) && value <= u64::from(u32::MAX) => {
                Ok(self.named(&format!("ike.chosen_sa_attribute.{name}"), Some(Comparison::Equal(value))))
            }
            _ => Err(self.wrong(option, format!("`{text}` is no attribute of a security association and its value"))),
        }
    }

    /// `service[,class[,attribute]]`
    fn cip_service(&mut self, option: &OptionSyntax) -> Lowered<AppLayerCondition> {
        let text = self.value(option)?.into_owned();
        let parts: Option<Vec<u64>> = text.split(',').map(number::unsigned).collect();
        let (name, value) = match parts.as_deref() {
            Some(&[service @ 0..=127]) => ("cip_service", service),
            Some(&[service @ 0..=127, class @ 0..=65_535]) => ("cip_service.class", service << 32 | class),
            Some(&[service @ 0..=127, class @ 0..=65_535, attribute @ 0..=65_535]) => {
                ("cip_service.attribute", service << 32 | class << 16 | attribute)
            }
            _ => return Err(self.wrong(option, format!("`{text}` is no service with class and attribute"))),
        };
        Ok(self.named(name, Some(Comparison::Equal(value))))
    }

    fn unknown(&self, option: &OptionSyntax, name: &str, what: &str, names: &[(&str, u64)]) -> Fault {
        let near = crate::diag::nearest(name, names.iter().map(|n| n.0)).map(|n| format!("; did you mean `{n}`?"));
        self.wrong(option, format!("`{name}` is no {what}{}", near.unwrap_or_default()))
    }
}

/// A number by its name, in any case.
fn find(name: &str, names: &[(&str, u64)]) -> Option<u64> {
    names.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|n| n.1)
}

#[cfg(test)]
mod tests {
    use crate::{LoadOptions, RuleSource, Support, VariableTable, load};
    use weir_ir::{AppLayerCondition, Comparison};

    /// The conditions of a rule with this option; none if it is rejected.
    fn conditions(protocol: &str, option: &str) -> Option<Vec<(String, Option<Comparison>)>> {
        let text = format!("alert {protocol} any any -> any any ({option}; sid:1;)");
        let options = LoadOptions { support: Support::everything(), ..LoadOptions::default() };
        let set = load(&[RuleSource::from_text("x", text.as_str())], &VariableTable::default(), &options);
        let rule = set.rules.first()?;
        Some(
            rule.app_layer
                .iter()
                .filter_map(|c| match c {
                    AppLayerCondition::Named(name, comparison) => Some((name.to_string(), *comparison)),
                    _ => None,
                })
                .collect(),
        )
    }

    fn one(name: &str, comparison: Option<Comparison>) -> Option<Vec<(String, Option<Comparison>)>> {
        Some(vec![(name.to_owned(), comparison)])
    }

    #[test]
    fn http2_settings() {
        let of = |option: &str| conditions("http2", option);
        assert_eq!(of("http2.settings:SETTINGS_HEADER_TABLE_SIZE>1000"), one("http2.settings.1", Some(Comparison::Greater(1000))));
        assert_eq!(of("http2.settings:SETTINGS_ENABLE_PUSH"), one("http2.settings.2", None));
        assert_eq!(of("http2.settings:settings_max_frame_size 7"), one("http2.settings.5", Some(Comparison::Equal(7))));
        assert_eq!(of("http2.settings:8 1"), one("http2.settings.8", Some(Comparison::Equal(1))));
        assert_eq!(of("http2.settings:SETTINGS_NONE"), None);
        assert_eq!(of("http2.settings:70000"), None);
    }

    #[test]
    fn ldap_responses() {
        let of = |option: &str| conditions("ldap", option);
        assert_eq!(of("ldap.responses.operation:search_result_done"), one("ldap.responses.operation", Some(Comparison::Equal(5))));
        assert_eq!(of("ldap.responses.operation:>3,all"), one("ldap.responses.operation.all", Some(Comparison::Greater(3))));
        assert_eq!(
            of("ldap.responses.result_code:size_limit_exceeded, -1"),
            one("ldap.responses.result_code.-1", Some(Comparison::Equal(4)))
        );
        assert_eq!(of("ldap.responses.result_code:4,first"), None);
    }

    #[test]
    fn websocket_flags() {
        let bit = |comparison| ("websocket.flags".to_owned(), Some(comparison));
        assert_eq!(
            conditions("websocket", "websocket.flags:fin,!comp"),
            Some(vec![bit(Comparison::AnyBit(0x80)), bit(Comparison::NoBit(0x40))])
        );
        assert_eq!(conditions("websocket", "websocket.flags:&0x40"), Some(vec![bit(Comparison::AnyBit(0x40))]));
        assert_eq!(conditions("websocket", "websocket.flags:none"), None);
    }

    #[test]
    fn ike_attributes() {
        let of = |option: &str| conditions("ike", option);
        let expected = one("ike.chosen_sa_attribute.alg_hash", Some(Comparison::Equal(2)));
        assert_eq!(of("ike.chosen_sa_attribute:alg_hash=2"), expected);
        assert_eq!((of("ike.chosen_sa_attribute:alg_none=2"), of("ike.chosen_sa_attribute:alg_hash")), (None, None));
    }

    #[test]
    fn mqtt_bits() {
        let bit = |name: &str, comparison| (name.to_owned(), Some(comparison));
        assert_eq!(
            conditions("mqtt", "mqtt.flags:dup,!retain"),
            Some(vec![bit("mqtt.flags", Comparison::AnyBit(8)), bit("mqtt.flags", Comparison::NoBit(1))])
        );
        assert_eq!(
            conditions("mqtt", "mqtt.connect.flags:username,!will"),
            Some(vec![bit("mqtt.connect.flags", Comparison::AnyBit(0x80)), bit("mqtt.connect.flags", Comparison::NoBit(4))])
        );
        assert_eq!((conditions("mqtt", "mqtt.flags:none"), conditions("mqtt", "mqtt.connect.flags:dup")), (None, None));
    }

    #[test]
    fn ticket_encryption() {
        let of = |option: &str| conditions("krb5", option);
        let (yes, no) = (Some(Comparison::Equal(1)), Some(Comparison::Equal(0)));
        assert_eq!(of("krb5.ticket_encryption:weak"), one("krb5.ticket_encryption.weak", yes));
        assert_eq!(of("krb5.ticket_encryption:!rc4-hmac, 18"), one("krb5.ticket_encryption.23,18", no));
        assert_eq!(of("krb5.ticket_encryption:RC4-HMAC-OLD 3"), one("krb5.ticket_encryption.-133,3", yes));
        assert_eq!((of("krb5.ticket_encryption:rc5"), of("krb5.ticket_encryption:!")), (None, None));
    }

    #[test]
    fn dnp3() {
        let of = |option: &str| conditions("dnp3", option);
        assert_eq!(of("dnp3_func:cold_restart"), one("dnp3_func", Some(Comparison::Equal(13))));
        assert_eq!(of("dnp3_ind:need_time,device_restart"), one("dnp3_ind", Some(Comparison::AnyBit(0x9000))));
        assert_eq!(of("dnp3_obj:22,01"), one("dnp3_obj", Some(Comparison::Equal(22 << 8 | 1))));
        assert_eq!(of("dnp3_obj:22,*"), one("dnp3_obj", Some(Comparison::Within(22 << 8, 22 << 8 | 255))));
        assert_eq!(of("dnp3_obj:*,3"), one("dnp3_obj.variation", Some(Comparison::Equal(3))));
        assert_eq!((of("dnp3_obj:22"), of("dnp3_obj:300,1"), of("dnp3_ind:no")), (None, None, None));
    }

    #[test]
    fn cip_services() {
        let of = |option: &str| conditions("enip", option);
        assert_eq!(of("cip_service:75"), one("cip_service", Some(Comparison::Equal(75))));
        assert_eq!(of("cip_service:16,246,6"), one("cip_service.attribute", Some(Comparison::Equal(16 << 32 | 246 << 16 | 6))));
        assert_eq!(of("enip_command:list_identity"), one("enip_command", Some(Comparison::Equal(99))));
        assert_eq!((of("cip_service:200"), of("cip_service:1,2,3,4")), (None, None));
    }
}
