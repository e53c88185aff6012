//! Conditions on packets and flows.

use super::{Fault, Lowered, Lowering, number};
use crate::diag::Cause;
use crate::keywords::{Handler, Keyword, numbers_of};
use crate::syntax::OptionSyntax;
use weir_ir::condition::{Asn1, FlowSide, IpOption, StreamSide, TcpFlagsMode};
use weir_ir::{Comparison, PacketCondition, RuleProtocol, StreamSize, TcpFlagsMatch, VlanLayer};

impl Lowering<'_, '_> {
    pub(super) fn packet_keyword(&mut self, option: &OptionSyntax, keyword: &'static Keyword) -> Lowered {
        let condition = self.packet_condition(option, keyword)?;
        // Counters of flows, VLAN tags and the like hold for a delivery as well; header fields are of one packet.
        let of_flow = matches!(
            condition,
            PacketCondition::FlowAge(_)
                | PacketCondition::FlowPackets(..)
                | PacketCondition::FlowBytes(..)
                | PacketCondition::VlanId(..)
                | PacketCondition::VlanLayers(_)
                | PacketCondition::SameIp
                | PacketCondition::IpProtocol(_)
                | PacketCondition::Rpc(..)
                | PacketCondition::FtpBounce
                | PacketCondition::Asn1(_)
                | PacketCondition::StreamSize(_)
        );
        if !of_flow {
            self.draft.needs_packet.get_or_insert((option.name, keyword.name));
        }
        self.check_transport(option, keyword)?;
        self.draft.rule.packet.push(condition);
        Ok(())
    }

    fn packet_condition(&mut self, option: &OptionSyntax, keyword: &'static Keyword) -> Lowered<PacketCondition> {
        Ok(match keyword.handler {
            Handler::PayloadSize => PacketCondition::PayloadSize(self.comparison(option, 65_535, &[])?),
            Handler::TcpFlags => PacketCondition::TcpFlags(self.tcp_flags(option)?),
            Handler::TcpSequence => PacketCondition::TcpSequence(self.exact(option, u64::from(u32::MAX))? as u32),
            Handler::TcpAck => PacketCondition::TcpAck(self.exact(option, u64::from(u32::MAX))? as u32),
            Handler::TcpWindow => match self.comparison(option, 65_535, &[])? {
                Comparison::Equal(n) => PacketCondition::TcpWindow(n as u16, false),
                Comparison::NotEqual(n) => PacketCondition::TcpWindow(n as u16, true),
                _ => return Err(self.wrong(option, "only `n` and `!n` are possible")),
            },
            Handler::TcpMss => PacketCondition::TcpMss(self.comparison(option, 65_535, &[])?),
            Handler::TcpWindowScale => PacketCondition::TcpWindowScale(self.comparison(option, 255, &[])?),
            Handler::IcmpType => PacketCondition::IcmpType(self.comparison(option, 255, &[])?),
            Handler::IcmpCode => PacketCondition::IcmpCode(self.comparison(option, 255, &[])?),
            Handler::IcmpId => PacketCondition::IcmpId(self.exact(option, 65_535)? as u16),
            Handler::IcmpSequence => PacketCondition::IcmpSequence(self.exact(option, 65_535)? as u16),
            Handler::Icmpv6Mtu => PacketCondition::Icmpv6Mtu(self.comparison(option, u64::from(u32::MAX), &[])?),
            Handler::Ttl => PacketCondition::Ttl(self.comparison(option, 255, &[])?),
            Handler::Tos => PacketCondition::Tos(self.tos(option)?),
            Handler::IpId => PacketCondition::IpId(self.exact(option, 65_535)? as u16),
            Handler::IpProtocol => PacketCondition::IpProtocol(self.comparison(option, 255, numbers_of("ip_proto"))?),
            Handler::IpOptions => PacketCondition::IpOption(self.ip_option(option)?),
            Handler::SameIp => PacketCondition::SameIp,
            Handler::FragmentBits => self.fragment_bits(option)?,
            Handler::FragmentOffset => PacketCondition::FragmentOffset(self.comparison(option, 65_535, &[])?),
            Handler::StreamSize => PacketCondition::StreamSize(self.stream_size(option)?),
            Handler::FlowAge => PacketCondition::FlowAge(self.comparison(option, u64::from(u32::MAX), &[])?),
            Handler::FlowPackets(side) => {
                let (side, comparison) = self.flow_counter(option, side)?;
                PacketCondition::FlowPackets(side, comparison)
            }
            Handler::FlowBytes(side) => {
                let (side, comparison) = self.flow_counter(option, side)?;
                PacketCondition::FlowBytes(side, comparison)
            }
            Handler::VlanId => self.vlan_id(option)?,
            Handler::VlanLayers => PacketCondition::VlanLayers(self.comparison(option, 255, &[])?),
            Handler::Rpc => self.rpc(option)?,
            Handler::FtpBounce => PacketCondition::FtpBounce,
            Handler::Asn1 => PacketCondition::Asn1(self.asn1(option)?),
            Handler::Checksum(which) => match self.value(option)?.trim() {
                "valid" => PacketCondition::Checksum(which, true),
                "invalid" => PacketCondition::Checksum(which, false),
                other => return Err(self.wrong(option, format!("`{other}` is neither `valid` nor `invalid`"))),
            },
            _ => {
                return Err(Fault::new(
                    option.span(),
                    Cause::UnsupportedKeyword,
                    format!("`{}` is not supported", keyword.name),
                    "disable the rule",
                ));
            }
        })
    }

    /// Keywords of one transport in rules for another can never match.
    fn check_transport(&mut self, option: &OptionSyntax, keyword: &Keyword) -> Lowered {
        let protocol = self.draft.rule.header.protocol;
        let is_ip = matches!(protocol, RuleProtocol::Ip | RuleProtocol::Ipv4 | RuleProtocol::Ipv6);
        let is_app = matches!(protocol, RuleProtocol::App(_));
        let fits = match keyword.handler {
            Handler::TcpFlags
            | Handler::TcpSequence
            | Handler::TcpAck
            | Handler::TcpWindow
            | Handler::TcpMss
            | Handler::TcpWindowScale => {
                is_ip || is_app || matches!(protocol, RuleProtocol::Tcp | RuleProtocol::TcpPacket)
            }
            Handler::IcmpType | Handler::IcmpCode | Handler::IcmpId | Handler::IcmpSequence => {
                is_ip || matches!(protocol, RuleProtocol::Icmp | RuleProtocol::Icmpv4 | RuleProtocol::Icmpv6)
            }
            Handler::Icmpv6Mtu => is_ip || matches!(protocol, RuleProtocol::Icmp | RuleProtocol::Icmpv6),
            _ => true,
        };
        if fits {
            return Ok(());
        }
        Err(Fault::new(
            option.span(),
            Cause::Conflict,
            format!("`{}` never holds for packets of the rule's protocol", keyword.name),
            "name the keyword's protocol in the rule's header",
        ))
    }

    fn exact(&self, option: &OptionSyntax, max: u64) -> Lowered<u64> {
        let text = self.value(option)?;
        match number::unsigned(text.trim()) {
            Some(value) if value <= max => Ok(value),
            _ => Err(self.wrong(option, format!("`{text}` is not a number up to {max}"))),
        }
    }

    fn tos(&self, option: &OptionSyntax) -> Lowered<Comparison> {
        let text = self.value(option)?;
        let text = text.trim();
        let (negated, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, text),
        };
        // `x1e` is hexadecimal too.
        let value = match rest.strip_prefix('x') {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => number::unsigned(rest),
        };
        match value {
            Some(value) if value <= 255 => {
                Ok(if negated { Comparison::NotEqual(value) } else { Comparison::Equal(value) })
            }
            _ => Err(self.wrong(option, format!("`{text}` is no value of the field"))),
        }
    }

    fn tcp_flags(&self, option: &OptionSyntax) -> Lowered<TcpFlagsMatch> {
        let text = self.value(option)?;
        let (flags, ignore) = text.split_once(',').map_or((text.trim(), ""), |(a, b)| (a.trim(), b.trim()));
        let bits = |text: &str| -> Lowered<u8> {
            let mut bits = 0;
            for letter in text.bytes() {
                bits |= match letter.to_ascii_uppercase() {
                    b'F' => 0x01,
                    b'S' => 0x02,
                    b'R' => 0x04,
                    b'P' => 0x08,
                    b'A' => 0x10,
                    b'U' => 0x20,
                    b'E' | b'2' => 0x40,
                    b'C' | b'1' => 0x80,
                    b'0' => 0,
                    _ => {
                        return Err(
                            self.wrong(option, format!("`{}` is no TCP flag", (letter as char).escape_default()))
                        );
                    }
                };
            }
            Ok(bits)
        };
        let (mode, letters) = modifier(flags);
        if letters.is_empty() {
            return Err(self.wrong(option, "no flag is given"));
        }
        let ignored = bits(ignore.trim_start_matches(['!', '+', '*']).trim())?;
        Ok(TcpFlagsMatch { flags: bits(letters)?, ignore: ignored, mode })
    }

    fn fragment_bits(&self, option: &OptionSyntax) -> Lowered<PacketCondition> {
        let text = self.value(option)?;
        let (mode, letters) = modifier(text.trim());
        let mut bits = 0u8;
        for letter in letters.bytes() {
            bits |= match letter.to_ascii_uppercase() {
                b'M' => 0x1,
                b'D' => 0x2,
                b'R' => 0x4,
                _ => {
                    return Err(self.wrong(option, format!("`{}` is not M, D or R", (letter as char).escape_default())));
                }
            };
        }
        if bits == 0 {
            return Err(self.wrong(option, "no bit is given"));
        }
        Ok(PacketCondition::FragmentBits(bits, mode))
    }

    fn ip_option(&self, option: &OptionSyntax) -> Lowered<IpOption> {
        let text = self.value(option)?;
        let word = text.trim().to_ascii_lowercase();
        if word == "any" {
            return Ok(IpOption::Any);
        }
        let names = numbers_of("ipopts");
        let found = match word.as_str() {
            "ssrre" => Some(137),
            "lsrre" => Some(131),
            name => names.iter().find(|(n, _)| *n == name).map(|n| n.1),
        };
        match found {
            Some(number) => Ok(IpOption::Number(number as u8)),
            None => {
                let hint =
                    crate::diag::nearest(&word, names.iter().map(|n| n.0)).map(|n| format!("; did you mean `{n}`?"));
                Err(self.wrong(option, format!("`{word}` is no IP option{}", hint.unwrap_or_default())))
            }
        }
    }

    fn stream_size(&self, option: &OptionSyntax) -> Lowered<StreamSize> {
        let text = self.value(option)?;
        let mut parts: Vec<&str> = text.split(',').map(str::trim).collect();
        // Snort 3: `stream_size:>10,either`.
        if let [range, side] = *parts.as_slice() {
            let digits = range.find(|c: char| c.is_ascii_digit()).unwrap_or(range.len());
            let (operator, number) = range.split_at_checked(digits).unwrap_or(("", range));
            parts = vec![
                side.strip_prefix("to_").unwrap_or(side),
                if operator.trim().is_empty() { "=" } else { operator.trim() },
                number,
            ];
        }
        let [side, operator, size] = parts.as_slice() else {
            return Err(self.wrong(option, "stream_size needs a side, an operator and a number"));
        };
        let side = match *side {
            "server" => StreamSide::Server,
            "client" => StreamSide::Client,
            "both" => StreamSide::Both,
            "either" => StreamSide::Either,
            other => return Err(self.wrong(option, format!("`{other}` is not server, client, both or either"))),
        };
        let size = number::unsigned(size)
            .filter(|&n| n <= u64::from(u32::MAX))
            .ok_or_else(|| self.wrong(option, format!("`{size}` is not a number of 32 bits")))?;
        let size = match *operator {
            "=" | "==" => Comparison::Equal(size),
            "!=" | "!" => Comparison::NotEqual(size),
            "<" => Comparison::Less(size),
            "<=" => Comparison::LessEqual(size),
            ">" => Comparison::Greater(size),
            ">=" => Comparison::GreaterEqual(size),
            other => return Err(self.wrong(option, format!("`{other}` is no comparison"))),
        };
        Ok(StreamSize { side, size })
    }

    fn flow_counter(&self, option: &OptionSyntax, side: Option<FlowSide>) -> Lowered<(FlowSide, Comparison)> {
        if let Some(side) = side {
            return Ok((side, self.comparison(option, u64::MAX, &[])?));
        }
        let text = self.value(option)?;
        let (side, rest) = text.split_once(',').ok_or_else(|| self.wrong(option, "a side and a number are needed"))?;
        let side = match side.trim() {
            "toserver" | "to_server" => FlowSide::ToServer,
            "toclient" | "to_client" => FlowSide::ToClient,
            "either" => FlowSide::Either,
            "both" => FlowSide::Both,
            other => return Err(self.wrong(option, format!("`{other}` is not toserver, toclient, either or both"))),
        };
        let comparison = number::comparison(rest, u64::MAX, &[]).map_err(|e| self.wrong(option, e))?;
        Ok((side, comparison))
    }

    /// `vlan.id:[operator]n[,layer]`; layers from outside 0, 1, 2, from inside -1, -2, -3; `any` is the default.
    fn vlan_id(&self, option: &OptionSyntax) -> Lowered<PacketCondition> {
        let text = self.value(option)?;
        let (id, layer) = text.split_once(',').map_or((text.as_ref(), "any"), |(a, b)| (a, b.trim()));
        let layer = match layer {
            "any" => VlanLayer::Any,
            "all" => VlanLayer::All,
            number => match number.parse::<i8>() {
                Ok(n) if (-3..=2).contains(&n) => VlanLayer::At(n),
                _ => return Err(self.wrong(option, format!("`{number}` is no VLAN layer"))),
            },
        };
        let comparison = number::comparison(id, 4094, &[]).map_err(|e| self.wrong(option, e))?;
        Ok(PacketCondition::VlanId(layer, comparison))
    }

    fn rpc(&self, option: &OptionSyntax) -> Lowered<PacketCondition> {
        let text = self.value(option)?;
        let mut parts = text.split(',').map(str::trim);
        let number = |part: Option<&str>| -> Lowered<Option<u32>> {
            match part {
                None | Some("*") => Ok(None),
                Some(part) => part
                    .parse()
                    .map(Some)
                    .map_err(|_| self.wrong(option, format!("`{part}` is neither a number nor `*`"))),
            }
        };
        let program = number(parts.next())?.ok_or_else(|| self.wrong(option, "the program is missing"))?;
        Ok(PacketCondition::Rpc(program, number(parts.next())?, number(parts.next())?))
    }

    fn asn1(&self, option: &OptionSyntax) -> Lowered<Asn1> {
        let text = self.value(option)?;
        let mut test = Asn1::default();
        let words: Vec<&str> = text.split([',', ' ']).map(str::trim).filter(|w| !w.is_empty()).collect();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut number = || {
                words
                    .next()
                    .and_then(|n| number::signed(n))
                    .ok_or_else(|| self.wrong(option, format!("`{word}` needs a number")))
            };
            match *word {
                "bitstring_overflow" => test.bitstring_overflow = true,
                "double_overflow" => test.double_overflow = true,
                "oversize_length" => {
                    test.oversize_length =
                        Some(u32::try_from(number()?).map_err(|_| self.wrong(option, "the length is too large"))?)
                }
                "absolute_offset" => {
                    test.absolute_offset =
                        Some(i32::try_from(number()?).map_err(|_| self.wrong(option, "the offset is too large"))?)
                }
                "relative_offset" => {
                    test.relative_offset =
                        Some(i32::try_from(number()?).map_err(|_| self.wrong(option, "the offset is too large"))?)
                }
                other => return Err(self.wrong(option, format!("`{other}` is no test of asn1"))),
            }
        }
        if !test.bitstring_overflow && !test.double_overflow && test.oversize_length.is_none() {
            return Err(self.wrong(option, "no test is given"));
        }
        Ok(test)
    }
}

/// `+`, `*`, `!` before or behind the letters.
fn modifier(text: &str) -> (TcpFlagsMode, &str) {
    let mode = |sign: char| match sign {
        '+' => Some(TcpFlagsMode::All),
        '*' => Some(TcpFlagsMode::Any),
        '!' => Some(TcpFlagsMode::Not),
        '=' => Some(TcpFlagsMode::Exact),
        _ => None,
    };
    if let Some(mode) = text.chars().next().and_then(mode) {
        return (mode, text.get(1..).unwrap_or("").trim());
    }
    if let Some(mode) = text.chars().next_back().and_then(mode) {
        return (mode, text.get(..text.len() - 1).unwrap_or("").trim());
    }
    (TcpFlagsMode::Exact, text)
}
