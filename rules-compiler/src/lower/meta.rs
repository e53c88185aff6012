//! Words about the rule: msg, sid, classtype, reference, metadata, requires …

use super::{Fault, Lowered, Lowering};
use crate::diag::Cause;
use crate::syntax::{OptionSyntax, RuleSyntax};
use weir_ir::Target;

/// The version of the rule language `requires` is checked against.
const VERSION: [u32; 3] = [8, 0, 8];
/// Features that `requires` may ask for.
const FEATURES: &[&str] = &["ja3", "ja4"];

impl Lowering<'_, '_> {
    pub(super) fn message(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.value(option)?;
        if option.value.as_ref().is_some_and(|v| v.quoted.is_none()) && !self.draft.snort3 {
            return Err(self.wrong(option, "the message must stand in quotes"));
        }
        // `\` before `"`, `;`, `:` and `\` is dropped.
        let message = if text.contains('\\') {
            let mut out = String::with_capacity(text.len());
            let mut chars = text.chars().peekable();
            while let Some(c) = chars.next() {
                match (c, chars.peek()) {
                    ('\\', Some('"' | ';' | ':' | '\\')) => out.extend(chars.next()),
                    _ => out.push(c),
                }
            }
            out.as_str().into()
        } else {
            text.as_ref().into()
        };
        self.draft.rule.meta.message = message;
        Ok(())
    }

    fn number(&self, option: &OptionSyntax) -> Lowered<u32> {
        let text = self.value(option)?;
        text.trim().parse::<u32>().map_err(|_| self.wrong(option, format!("`{text}` is not a number of 32 bits")))
    }

    pub(super) fn sid(&mut self, option: &OptionSyntax) -> Lowered {
        let sid = self.number(option)?;
        let fault =
            |message: &str| Err(Fault::new(option.span(), Cause::Identity, message, "give each rule one sid above 0"));
        if sid == 0 {
            return fault("sid 0 is not valid");
        }
        if std::mem::replace(&mut self.draft.has_sid, true) {
            return fault("`sid` stands twice in the rule");
        }
        self.draft.rule.identity.sid = sid;
        Ok(())
    }

    pub(super) fn rev(&mut self, option: &OptionSyntax) -> Lowered {
        self.draft.rule.identity.rev = self.number(option)?;
        Ok(())
    }

    pub(super) fn gid(&mut self, option: &OptionSyntax) -> Lowered {
        self.draft.rule.identity.gid = self.number(option)?;
        Ok(())
    }

    pub(super) fn priority(&mut self, option: &OptionSyntax) -> Lowered {
        match self.number(option)? {
            value @ 1..=255 => {
                if std::mem::replace(&mut self.draft.has_priority, true) {
                    self.warn(
                        option.span(),
                        Cause::Style,
                        "`priority` stands twice; the last one counts",
                        "remove one",
                    );
                }
                self.draft.rule.meta.priority = value as u8;
                Ok(())
            }
            other => Err(self.wrong(option, format!("the priority {other} is not between 1 and 255"))),
        }
    }

    pub(super) fn classtype(&mut self, option: &OptionSyntax) -> Lowered {
        let name = self.value(option)?;
        let name = name.trim();
        if self.draft.rule.meta.classtype.is_some() {
            self.warn(option.span(), Cause::Style, "`classtype` stands twice; the first one counts", "remove one");
            return Ok(());
        }
        let classes = self.session.classifications;
        match classes.get(name) {
            Some(class) => {
                self.draft.rule.meta.classtype = Some(class.name.clone());
                self.draft.rule.meta.class_description = Some(class.description.clone());
                if !self.draft.has_priority {
                    self.draft.rule.meta.priority = class.priority;
                }
            }
            None => {
                self.draft.rule.meta.classtype = Some(self.session.intern(name));
                // Without any classification file every class would be reported; the loader says that once.
                if !classes.is_empty() {
                    let remedy = match crate::diag::nearest(name, classes.names()) {
                        Some(near) => format!("did you mean `{near}`? Otherwise define it in classification.config"),
                        None => "define it in classification.config".into(),
                    };
                    self.warn(
                        option.span(),
                        Cause::Configuration,
                        format!("the class `{name}` is not defined; priority 3 is taken"),
                        remedy,
                    );
                }
            }
        }
        Ok(())
    }

    pub(super) fn reference(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.value(option)?;
        let Some((system, rest)) = text.split_once(',') else {
            return Err(self.wrong(option, "a reference has a system and a text, with a comma between"));
        };
        let (system, rest) = (system.trim(), rest.trim());
        if system.is_empty() || rest.is_empty() {
            return Err(self.wrong(option, "a part of the reference is empty"));
        }
        let references = self.session.references;
        if !references.is_empty() && references.get(system).is_none() {
            self.warn(
                option.span(),
                Cause::Configuration,
                format!("the reference system `{system}` is not defined"),
                "define it in reference.config",
            );
        }
        let system = self.session.intern(&system.to_ascii_lowercase());
        self.draft.rule.meta.references.push((system, rest.into()));
        Ok(())
    }

    pub(super) fn metadata(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.optional_value(option);
        for pair in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once(char::is_whitespace).unwrap_or((pair, ""));
            let entry = (self.session.intern(key), self.session.intern(value.trim()));
            self.draft.rule.meta.metadata.push(entry);
        }
        Ok(())
    }

    pub(super) fn target(&mut self, option: &OptionSyntax) -> Lowered {
        let target = match self.value(option)?.trim() {
            "src_ip" => Target::Source,
            "dest_ip" => Target::Destination,
            other => return Err(self.wrong(option, format!("`{other}` is neither src_ip nor dest_ip"))),
        };
        self.draft.rule.meta.target = Some(target);
        Ok(())
    }

    /// `requires` decides before anything else: a rule for another version is skipped, not wrong.
    pub(super) fn check_requirements(&mut self, syntax: &RuleSyntax) -> Lowered {
        for option in &syntax.options {
            if !option.name.of(self.text).eq_ignore_ascii_case(b"requires") {
                continue;
            }
            let text = self.value(option)?.into_owned();
            for item in text.split(',').map(str::trim) {
                let (what, rest) = item.split_once(char::is_whitespace).unwrap_or((item, ""));
                let rest = rest.trim();
                let met = match what {
                    "feature" => FEATURES.contains(&rest),
                    "keyword" => crate::keywords::find(rest.as_bytes()).is_some_and(|k| k.is_supported()),
                    "version" => versions_met(rest)
                        .ok_or_else(|| self.wrong(option, format!("`{item}` is no version requirement")))?,
                    _ => false,
                };
                if !met {
                    return Err(Fault::new(
                        option.span(),
                        Cause::Requires,
                        format!("the rule requires `{item}`, which Weir (rule language of Suricata 8.0) does not have"),
                        "nothing; the rule is meant for other versions",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// `>= 7.0.3 < 8 | >= 8.0.3`: alternatives of conjunctions.
fn versions_met(text: &str) -> Option<bool> {
    let mut any = false;
    for alternative in text.split('|') {
        let mut all = true;
        let mut rest = alternative.trim();
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let (operator, after) = ["<=", ">=", "<", ">"].iter().find_map(|o| Some((*o, rest.strip_prefix(o)?)))?;
            let after = after.trim_start();
            let end = after.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(after.len());
            let mut version = [0u32; 3];
            let number = after.get(..end)?;
            if number.is_empty() {
                return None;
            }
            for (i, part) in number.split('.').enumerate() {
                *version.get_mut(i)? = part.parse().ok()?;
            }
            all &= match operator {
                "<" => VERSION < version,
                "<=" => VERSION <= version,
                ">" => VERSION > version,
                _ => VERSION >= version,
            };
            // A suffix such as `-rc1` does not matter.
            rest = after
                .get(end..)?
                .trim_start_matches(|c: char| !c.is_whitespace() && !matches!(c, '<' | '>' | '&'))
                .trim_start_matches(['&', ' ']);
        }
        any |= all;
    }
    Some(any)
}

#[cfg(test)]
mod tests {
    use super::versions_met;

    #[test]
    fn versions() {
        for (text, expected) in [
            (">= 7.0.3", Some(true)),
            (">= 10", Some(false)),
            ("< 8", Some(false)),
            (">= 7.0.3 < 8 | >= 8.0.3", Some(true)),
            (">= 7.0.3 < 8", Some(false)),
            (">= 8.0.0-rc1", Some(true)),
            ("7.0", None),
            (">=", None),
            ("", None),
        ] {
            assert_eq!(versions_met(text), expected, "{text}");
        }
    }
}
