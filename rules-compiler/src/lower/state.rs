//! flowbits, flowint, xbits, hostbits, threshold, detection_filter, tag.

use super::{Fault, Lowered, Lowering};
use crate::diag::Cause;
use crate::syntax::OptionSyntax;
use weir_ir::state::{FlowintOperation, FlowintValue};
use weir_ir::{Tag, TagMetric, TagWho, Unlogged, BitOperation, Comparison, FlowbitOp, FlowintOp, Threshold, ThresholdKind, Track, Xbit};

/// Alternatives of one `flowbits:isset`.
const ALTERNATIVES_MAX: usize = 20;
/// Seconds a bit of hosts lives when the rule does not say.
const XBIT_EXPIRE: u32 = 30;
const HOSTBIT_EXPIRE: u32 = 300;

fn operation(word: &str) -> Option<BitOperation> {
    Some(match word {
        "set" => BitOperation::Set,
        "unset" => BitOperation::Unset,
        "toggle" => BitOperation::Toggle,
        "isset" => BitOperation::IsSet,
        "isnotset" => BitOperation::IsNotSet,
        _ => return None,
    })
}

/// `by_src` and so on.
pub(crate) fn track(word: &str) -> Option<Track> {
    Some(match word {
        "by_src" => Track::Source,
        "by_dst" => Track::Destination,
        "by_both" => Track::Both,
        "by_rule" => Track::Rule,
        "by_flow" => Track::Flow,
        _ => return None,
    })
}

/// Packets of a tag without a count.
const TAG_PACKETS: u32 = 256;

impl Lowering<'_, '_> {
    pub(super) fn flowbits(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.value(option)?.into_owned();
        let (word, names) = text.split_once(',').unwrap_or((&text, ""));
        let word = word.trim();
        if word == "noalert" {
            if !names.trim().is_empty() {
                return Err(self.wrong(option, "`noalert` takes no name"));
            }
            self.draft.rule.noalert = true;
            return Ok(());
        }
        let Some(operation) = operation(word) else {
            return Err(self.wrong(option, format!("`{word}` is not set, unset, toggle, isset, isnotset or noalert")));
        };
        let list: Vec<&str> = names.split('|').map(str::trim).collect();
        if list.iter().any(|n| n.is_empty()) {
            return Err(self.wrong(option, "the name is missing"));
        }
        if list.len() > 1 && !matches!(operation, BitOperation::IsSet | BitOperation::IsNotSet) {
            return Err(self.wrong(option, "alternatives (`|`) are for isset and isnotset"));
        }
        if list.len() > ALTERNATIVES_MAX {
            return Err(self.wrong(option, format!("more than {ALTERNATIVES_MAX} alternatives")));
        }
        let names: Vec<_> = list.iter().map(|n| self.session.intern(n)).collect();
        let item = FlowbitOp { operation, names };
        let bits = &mut self.draft.rule.flowbits;
        let opposite = match item.operation {
            BitOperation::IsSet => Some(BitOperation::IsNotSet),
            BitOperation::IsNotSet => Some(BitOperation::IsSet),
            BitOperation::Set => Some(BitOperation::Unset),
            BitOperation::Unset => Some(BitOperation::Set),
            BitOperation::Toggle => None,
        };
        if bits.iter().any(|b| Some(b.operation) == opposite && b.names == item.names && b.names.len() == 1) {
            if matches!(item.operation, BitOperation::IsSet | BitOperation::IsNotSet) {
                return Err(Fault::new(
                    option.span(),
                    Cause::Conflict,
                    "the rule asks for a bit to be set and not to be set",
                    "remove one of them; the rule could never match",
                ));
            }
            self.warn(
                option.span(),
                Cause::Style,
                format!("`{text}` contradicts an earlier `flowbits`"),
                "remove one of them",
            );
        }
        self.draft.rule.flowbits.push(item);
        Ok(())
    }

    pub(super) fn flowint(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.value(option)?.into_owned();
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let (name, word, value) = match parts.as_slice() {
            [name, word] => (*name, *word, None),
            [name, word, value] => (*name, *word, Some(*value)),
            _ => return Err(self.wrong(option, "flowint needs a name, an operation and mostly a value")),
        };
        if name.is_empty() {
            return Err(self.wrong(option, "the name is missing"));
        }
        let operand = |lowering: &mut Self| -> Lowered<FlowintValue> {
            match value {
                Some(v) if !v.is_empty() => Ok(match v.parse::<u32>() {
                    Ok(number) => FlowintValue::Constant(number),
                    Err(_) if v.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                        return Err(lowering.wrong(option, format!("`{v}` is not a number of 32 bits")));
                    }
                    Err(_) => FlowintValue::Variable(lowering.session.intern(v)),
                }),
                _ => Err(lowering.wrong(option, format!("`{word}` needs a value"))),
            }
        };
        let operation = match word {
            "isset" => FlowintOperation::IsSet,
            "isnotset" | "notset" => FlowintOperation::IsNotSet,
            "=" => FlowintOperation::Set(operand(self)?),
            "+" => FlowintOperation::Add(operand(self)?),
            "-" => FlowintOperation::Subtract(operand(self)?),
            _ => {
                use std::cmp::Ordering::{Equal, Greater, Less};
                type Make = fn(u64) -> Comparison;
                // (order, negated): `>=` is "not less".
                let (make, order, negated): (Make, _, _) = match word {
                    "==" => (Comparison::Equal, Equal, false),
                    "!=" => (Comparison::NotEqual, Equal, true),
                    "<" => (Comparison::Less, Less, false),
                    "<=" => (Comparison::LessEqual, Greater, true),
                    ">" => (Comparison::Greater, Greater, false),
                    ">=" => (Comparison::GreaterEqual, Less, true),
                    other => return Err(self.wrong(option, format!("`{other}` is no operation of flowint"))),
                };
                match operand(self)? {
                    FlowintValue::Constant(n) => FlowintOperation::Compare(make(u64::from(n))),
                    FlowintValue::Variable(v) => FlowintOperation::CompareVariable(order, negated, v),
                }
            }
        };
        let name = self.session.intern(name);
        self.draft.rule.flowints.push(FlowintOp { name, operation });
        Ok(())
    }

    /// `xbits:set,name,track ip_src[,expire 10]`
    pub(super) fn xbits(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.value(option)?.into_owned();
        let mut parts = text.split(',').map(str::trim);
        let word = parts.next().unwrap_or("");
        if word == "noalert" {
            self.draft.rule.noalert = true;
            return Ok(());
        }
        let Some(operation) = operation(word) else {
            return Err(self.wrong(option, format!("`{word}` is not set, unset, toggle, isset or isnotset")));
        };
        let name = parts.next().unwrap_or("");
        if name.is_empty() {
            return Err(self.wrong(option, "the name is missing"));
        }
        let (mut tracked, mut expire) = (None, XBIT_EXPIRE);
        for part in parts {
            let (key, value) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
            match (key, value.trim()) {
                ("track", "ip_src") => tracked = Some(Track::Source),
                ("track", "ip_dst") => tracked = Some(Track::Destination),
                ("track", "ip_pair") => tracked = Some(Track::Both),
                ("track", "tx") => tracked = Some(Track::Transaction),
                ("expire", seconds) => {
                    expire = match seconds.parse::<u32>() {
                        Ok(n) if n > 0 => n,
                        _ => return Err(self.wrong(option, format!("`{seconds}` is no number of seconds"))),
                    };
                    if operation != BitOperation::Set {
                        self.warn(
                            option.span(),
                            Cause::Style,
                            "`expire` has an effect with `set` only",
                            "remove it here",
                        );
                    }
                }
                _ => {
                    return Err(self
                        .wrong(option, format!("`{part}` is not `track ip_src|ip_dst|ip_pair|tx` or `expire seconds`")));
                }
            }
        }
        let Some(track) = tracked else {
            return Err(self.wrong(option, "`track` is missing"));
        };
        let name = self.session.intern(name);
        self.draft.rule.xbits.push(Xbit { operation, name, track, expire });
        Ok(())
    }

    /// `hostbits:set,name[,src|dst|both]`
    pub(super) fn hostbits(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.value(option)?.into_owned();
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if parts == ["noalert"] {
            self.draft.rule.noalert = true;
            return Ok(());
        }
        let (word, name, direction) = match parts.as_slice() {
            [word, name] => (*word, *name, "src"),
            [word, name, direction] => (*word, *name, *direction),
            _ => return Err(self.wrong(option, "hostbits needs an operation and a name")),
        };
        let Some(operation) = operation(word).filter(|_| !name.is_empty()) else {
            return Err(self.wrong(option, format!("`{word},{name}` is no operation on a bit")));
        };
        let tracks: &[Track] = match direction {
            "src" => &[Track::Source],
            "dst" => &[Track::Destination],
            "both" => &[Track::Source, Track::Destination],
            other => return Err(self.wrong(option, format!("`{other}` is not src, dst or both"))),
        };
        for &track in tracks {
            let name = self.session.intern(name);
            self.draft.rule.xbits.push(Xbit { operation, name, track, expire: HOSTBIT_EXPIRE });
        }
        Ok(())
    }

    pub(super) fn threshold(&mut self, option: &OptionSyntax) -> Lowered {
        self.count(option, None)
    }

    pub(super) fn detection_filter(&mut self, option: &OptionSyntax) -> Lowered {
        self.count(option, Some(ThresholdKind::DetectionFilter))
    }

    fn count(&mut self, option: &OptionSyntax, mut kind: Option<ThresholdKind>) -> Lowered {
        let text = self.value(option)?.into_owned();
        let is_filter = kind.is_some();
        if self.draft.rule.threshold.is_some() {
            return Err(Fault::new(
                option.span(),
                Cause::Conflict,
                "the rule has two of `threshold` and `detection_filter`",
                "keep one of them",
            )
            .known_as("multiple \"threshold\" options are not allowed in the same rule"));
        }
        let (mut tracked, mut count, mut seconds, mut multiplier) = (None, None, None, None);
        for part in text.split(',').map(str::trim) {
            let (key, value) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
            let value = value.trim();
            let fresh = match key {
                "type" if !is_filter => {
                    let found = match value {
                        "limit" => ThresholdKind::Limit,
                        "threshold" => ThresholdKind::Threshold,
                        "both" => ThresholdKind::Both,
                        "backoff" => ThresholdKind::Backoff(0),
                        other => {
                            return Err(
                                self.wrong(option, format!("`{other}` is not limit, threshold, both or backoff"))
                            );
                        }
                    };
                    kind.replace(found).is_none()
                }
                "track" => {
                    let found = track(value).ok_or_else(|| {
                        self.wrong(option, format!("`{value}` is not by_src, by_dst, by_both, by_rule or by_flow"))
                    })?;
                    tracked.replace(found).is_none()
                }
                "count" | "seconds" | "multiplier" => {
                    let number =
                        value.parse::<u32>().ok().filter(|&n| n > 0).ok_or_else(|| {
                            self.wrong(option, format!("`{key} {value}`: a number above 0 is needed"))
                        })?;
                    match key {
                        "count" => count.replace(number).is_none(),
                        "seconds" => seconds.replace(number).is_none(),
                        _ => multiplier.replace(number).is_none(),
                    }
                }
                _ => return Err(self.wrong(option, format!("`{part}` is unknown"))),
            };
            if !fresh {
                return Err(self.wrong(option, format!("`{key}` stands twice")));
            }
        }
        if let (Some(ThresholdKind::Backoff(_)), Some(m)) = (kind, multiplier) {
            kind = Some(ThresholdKind::Backoff(m));
            // Backoff counts over the flow's life.
            seconds.get_or_insert(0);
        }
        let (Some(kind), Some(track), Some(count), Some(seconds)) = (kind, tracked, count, seconds) else {
            return Err(self.wrong(option, "type, track, count and seconds (backoff: multiplier) must all be given"));
        };
        self.draft.rule.threshold = Some(Threshold { kind, track, count, seconds });
        Ok(())
    }

    /// `tag:session[,count,packets|seconds|bytes][,src|dst]`
    pub(super) fn tag(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.value(option)?.into_owned();
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let metric = |unit: &str| matches!(unit, "packets" | "seconds" | "bytes");
        let valid = match parts.as_slice() {
            ["session"] => true,
            ["session" | "host", count, unit, rest @ ..] => {
                count.parse::<u32>().is_ok() && metric(unit) && matches!(rest, [] | ["src"] | ["dst"] | ["exclusive"])
            }
            ["host"] => true,
            // Snort 3: `session,packets 5`.
            ["session" | "host_src" | "host_dst", limits @ ..] if self.draft.snort3 => limits.iter().all(|limit| {
                limit.split_once(' ').is_some_and(|(unit, count)| metric(unit) && count.trim().parse::<u32>().is_ok())
            }),
            ["host", direction] => matches!(*direction, "src" | "dst"),
            _ => false,
        };
        if !valid {
            return Err(self.wrong(option, format!("`{text}` is no tag")));
        }
        let (mut count, mut metric, mut who) = (TAG_PACKETS, TagMetric::Packets, TagWho::Session);
        for word in parts.iter().flat_map(|part| part.split_whitespace()) {
            match word {
                "session" => who = TagWho::Session,
                "host" | "host_src" | "src" => who = TagWho::Source,
                "host_dst" | "dst" => who = TagWho::Destination,
                "packets" => metric = TagMetric::Packets,
                "seconds" => metric = TagMetric::Seconds,
                "bytes" => metric = TagMetric::Bytes,
                number => count = number.parse().unwrap_or(count),
            }
        }
        self.draft.rule.tag = Some(Tag { who, count, metric });
        Ok(())
    }

    /// `config: logging disable, type tx, scope tx`
    pub(super) fn config(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.value(option)?.into_owned();
        let words: Vec<&str> = text.split(',').flat_map(str::split_whitespace).collect();
        self.draft.rule.unlogged = Some(match words.as_slice() {
            ["logging", "disable", "type", "tx", "scope", "tx"] => Unlogged::Transaction,
            ["logging", "disable", "type", "tx" | "flow", "scope", "flow"] => Unlogged::Flow,
            _ => {
                let message = format!("`{text}` is not `logging disable, type tx, scope tx` or `…, type flow, scope flow`");
                return Err(self.wrong(option, message));
            }
        });
        Ok(())
    }
}
