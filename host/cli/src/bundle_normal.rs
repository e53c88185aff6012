//! Digest of normalised rules: says whether what this version of Weir makes of a bundle's texts is what its tables were made
//! for. Of all that a match depends on, but for data sets, whose files are in the bundle.
//!
//! Whatever is absent, as most of a rule is, costs one byte; the rest goes through `Debug`, which names every variant.

use sha2::{Digest, Sha256};
use std::fmt::{Debug, Write};
use weir_ir::{AddressSet, Content, Match, Number, Rule};

/// Rules that one thread digests at a time.
const CHUNK: usize = 8192;

/// Both halves of each pair of chunks at a time.
pub fn digest(rules: &[Rule]) -> String {
    let chunks: Vec<&[Rule]> = rules.chunks(CHUNK).collect();
    let mut all = Sha256::new();
    for pair in chunks.chunks(2) {
        std::thread::scope(|scope| {
            let second = pair.get(1).map(|rules| scope.spawn(|| of(rules)));
            all.update(pair.first().map(|rules| of(rules)).unwrap_or_default());
            all.update(second.map(|thread| thread.join().unwrap_or_default()).unwrap_or_default());
        });
    }
    weir_bundle::hex(&all.finalize())
}

/// Bytes on their way into a digest.
#[derive(Default)]
struct Into<'r> {
    digest: Sha256,
    bytes: Vec<u8>,
    /// Source and destination of the rule before: most rules have the same.
    before: [Option<&'r AddressSet>; 2],
}

impl Write for Into<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl<'r> Into<'r> {
    fn number(&mut self, number: u64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn flags(&mut self, flags: &[bool]) {
        self.bytes.push(flags.iter().fold(1, |bits, flag| bits << 1 | u8::from(*flag)));
    }

    fn shown(&mut self, value: &impl Debug) {
        let at = self.bytes.len();
        self.number(0);
        let _ = write!(self, "{value:?}");
        let length = (self.bytes.len() - at - 8) as u64;
        if let Some(place) = self.bytes.get_mut(at..at + 8) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    fn list<T: Debug>(&mut self, list: &[T]) {
        match list {
            [] => self.bytes.push(0),
            list => self.shown(&list),
        }
    }

    fn option<T: Debug>(&mut self, value: &Option<T>) {
        match value {
            None => self.bytes.push(0),
            Some(value) => self.shown(value),
        }
    }

    fn addresses(&mut self, set: &AddressSet) {
        self.number(set.v4.len() as u64);
        set.v4.iter().for_each(|(a, b)| self.bytes.extend([a.octets(), b.octets()].as_flattened()));
        set.v6.iter().for_each(|(a, b)| self.bytes.extend([a.octets(), b.octets()].as_flattened()));
        self.bytes.push(1);
    }

    fn content(&mut self, c: &Content) {
        self.text(&c.bytes);
        self.flags(&[c.negated, c.nocase, c.fast_pattern, c.fast_pattern_only, c.raw]);
        self.shown(&c.anchor);
        for place in [&c.offset, &c.depth, &c.distance, &c.within] {
            match place {
                None => self.bytes.push(0),
                Some(Number::Constant(n)) => {
                    self.bytes.push(1);
                    self.number(n.cast_unsigned());
                }
                Some(other) => {
                    self.bytes.push(2);
                    self.shown(other);
                }
            }
        }
        self.option(&c.fast_pattern_chop);
    }

    fn rule(&mut self, rule: &'r Rule) {
        let h = &rule.header;
        for (n, set) in [&h.source, &h.destination].into_iter().enumerate() {
            let before = self.before.get_mut(n).and_then(|place| place.replace(set));
            match before {
                Some(before) if before == set => self.bytes.push(2),
                _ => self.addresses(set),
            }
        }
        for set in [&h.source_ports, &h.destination_ports] {
            self.number(set.ranges.len() as u64);
            set.ranges.iter().for_each(|(a, b)| self.bytes.extend([a.to_le_bytes(), b.to_le_bytes()].as_flattened()));
        }
        let identity = &rule.identity;
        [identity.gid, identity.sid, identity.rev].iter().for_each(|n| self.number(u64::from(*n)));
        self.shown(&rule.action);
        self.shown(&h.protocol);
        self.flags(&[h.bidirectional, rule.noalert, rule.firewall, rule.transactional, rule.bypass]);
        self.option(&rule.flow);
        self.list(&rule.packet);
        self.list(&rule.app_layer);
        self.list(&rule.events);
        self.list(&rule.flowbits);
        self.list(&rule.flowints);
        self.list(&rule.xbits);
        self.option(&rule.threshold);
        self.option(&rule.hook);
        for run in &rule.buffers {
            self.text(run.buffer.name().as_bytes());
            self.list(&run.transforms);
            self.option(&run.side);
            for m in &run.matches {
                match m {
                    Match::Content(c) => {
                        self.bytes.push(1);
                        self.content(c);
                    }
                    Match::Pcre(p) => {
                        self.bytes.push(2);
                        self.text(p.pattern.as_bytes());
                        self.flags(&[p.negated, p.caseless, p.multiline, p.dotall, p.extended]);
                        self.flags(&[p.anchored, p.relative, p.dollar_endonly, p.ungreedy, p.no_limit]);
                    }
                    Match::Dataset(d) => {
                        self.bytes.push(3);
                        self.text(d.name.as_bytes());
                        self.shown(&d.operation);
                    }
                    other => {
                        self.bytes.push(4);
                        self.shown(other);
                    }
                }
            }
        }
    }
}

fn of(rules: &[Rule]) -> String {
    let mut out = Into::default();
    for rule in rules {
        out.rule(rule);
        if out.bytes.len() >= 1 << 16 {
            out.digest.update(&out.bytes);
            out.bytes.clear();
        }
    }
    out.digest.update(&out.bytes);
    weir_bundle::hex(&out.digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_rules::RuleSource;

    fn of_text(text: &str) -> String {
        let set = crate::ruleset::load_sources(&[RuleSource::from_text("x.rules", text)], None, &Default::default());
        let set = set.unwrap();
        assert!(set.rejected.is_empty());
        digest(&set.rules)
    }

    #[test]
    fn what_a_match_depends_on_changes_the_digest() {
        let rule = |options: &str| format!("alert tcp any any -> any 80 ({options} sid:1; rev:1;)\n");
        let texts = [
            rule(r#"content:"ab";"#),
            rule(r#"content:"ac";"#),
            rule(r#"content:"ab"; nocase;"#),
            rule(r#"content:!"ab";"#),
            rule(r#"content:"ab"; offset:1;"#),
            rule(r#"content:"ab"; depth:2;"#),
            rule(r#"content:"ab"; startswith;"#),
            rule(r#"content:"ab"; flow:established;"#),
            rule(r#"content:"ab"; flowbits:set,x;"#),
            rule(r#"content:"ab"; dsize:>5;"#),
            rule(r#"content:"ab"; threshold:type limit, track by_src, count 1, seconds 2;"#),
            rule(r#"content:"a"; content:"b";"#),
            rule(r#"http.uri; content:"ab";"#),
            rule(r#"http.uri; to_lowercase; content:"ab";"#),
            rule(r#"pcre:"/ab/";"#),
            rule(r#"pcre:"/ab/E";"#),
            rule(r#"content:"ab";"#).replace("any 80", "any 81"),
            rule(r#"content:"ab";"#).replace("rev:1", "rev:2"),
            rule(r#"content:"ab";"#).replace("alert", "drop"),
            rule(r#"content:"ab";"#).replace("tcp any", "tcp 10.0.0.1"),
        ];
        let digests: std::collections::BTreeSet<String> = texts.iter().map(|text| of_text(text)).collect();
        assert_eq!(digests.len(), texts.len());
        assert_eq!(
            of_text(&texts[0]),
            of_text(&texts[0].replace("content", "msg:\"m\"; content")),
            "no match depends on it"
        );
    }
}
