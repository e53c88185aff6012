//! `iprep` and `geoip`: their lists are known when rules are loaded, so the options become sets of addresses.

use super::{Fault, Lowered, Lowering};
use crate::config::reputation::SCORE_MAX;
use crate::diag::Cause;
use crate::syntax::OptionSyntax;
use weir_ir::{AddressSet, PacketCondition};

impl Lowering<'_, '_> {
    /// `any|src|dst|both,category,operator,score` or `…,category,isset|isnotset`
    pub(super) fn reputation(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.value(option)?.into_owned();
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let (side, category, test) = match parts.as_slice() {
            [side, category, "isset" | "isnotset"] => (*side, *category, None),
            [side, category, operator, score] => (*side, *category, Some((*operator, *score))),
            _ => return Err(self.wrong(option, format!("`{text}` is not side,category,operator,score"))),
        };
        let Some(lists) = self.session.options.reputation else {
            return Err(Fault::new(
                option.span(),
                Cause::File,
                "there are no reputation lists",
                "name a file of categories and files of scores in the configuration",
            ));
        };
        let Some(category) = lists.category(category) else {
            let fault = format!("there is no reputation category `{category}`");
            return Err(Fault::new(option.span(), Cause::File, fault, "add it to the file of categories"));
        };
        let set = match test {
            None => {
                let set = lists.addresses(category, &|_| true);
                if text.ends_with("isnotset") { set.complement() } else { set }
            }
            Some((operator, score)) => {
                let score: u8 = score
                    .parse()
                    .ok()
                    .filter(|s| *s <= SCORE_MAX)
                    .ok_or_else(|| self.wrong(option, format!("`{score}` is no score from 0 to {SCORE_MAX}")))?;
                let holds: fn(u8, u8) -> bool = match operator {
                    "<" => |a, b| a < b,
                    ">" => |a, b| a > b,
                    "<=" => |a, b| a <= b,
                    ">=" => |a, b| a >= b,
                    "=" => |a, b| a == b,
                    "!=" => |a, b| a != b,
                    _ => return Err(self.wrong(option, format!("`{operator}` is no comparison"))),
                };
                lists.addresses(category, &|found| holds(found, score))
            }
        };
        self.addresses_of(option, side, set)
    }

    /// `[any|src|dst|both,][!]country[,…]`: with `!` before any of them, all known countries but these.
    pub(super) fn geography(&mut self, option: &OptionSyntax) -> Lowered {
        // A `!` that begins the value belongs to its first word.
        let text = option.value.as_ref().map_or(String::new(), |v| String::from_utf8_lossy(v.raw.of(self.text)).into_owned());
        let mut words: Vec<&str> = text.trim().trim_matches('"').split(',').map(str::trim).collect();
        let side = match words.first() {
            Some(&side @ ("any" | "src" | "dst" | "both")) => {
                words.remove(0);
                side
            }
            _ => "any",
        };
        let negated = words.iter().any(|word| word.starts_with('!'));
        let countries: Vec<&str> = words.iter().map(|word| word.trim_start_matches('!').trim()).collect();
        if countries.is_empty() || countries.contains(&"") {
            return Err(self.wrong(option, format!("`{text}` names no country")));
        }
        let Some(known) = self.session.options.geography else {
            return Err(Fault::new(
                option.span(),
                Cause::File,
                "there is no database of countries",
                "name a MaxMind DB file in the configuration: `rules.geoip-database`",
            ));
        };
        let unreadable = |message| Fault::new(option.span(), Cause::File, message, "replace the database");
        for country in &countries {
            if !known.countries().map_err(unreadable)?.contains_key(*country) {
                let message = format!("the database has no IPv4 network of `{country}`");
                self.warn(option.span(), Cause::File, message, "write a code of ISO 3166-1 of two capital letters");
            }
        }
        let set = known.addresses(&countries, negated).map_err(unreadable)?;
        self.addresses_of(option, side, set)
    }

    /// A condition on the addresses of a packet.
    fn addresses_of(&mut self, option: &OptionSyntax, side: &str, set: AddressSet) -> Lowered {
        let (source, destination, either) = match side {
            "src" => (Some(set), None, false),
            "dst" => (None, Some(set), false),
            "both" => (Some(set.clone()), Some(set), false),
            "any" => (Some(set.clone()), Some(set), true),
            _ => return Err(self.wrong(option, format!("`{side}` is not any, src, dst or both"))),
        };
        self.draft.rule.packet.push(PacketCondition::Address { source, destination, either });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::geography::{Geography, tests::database};
    use crate::{LoadOptions, RuleSource, Ruleset, VariableTable, load};
    use std::net::IpAddr;
    use weir_ir::PacketCondition;

    fn rules(option: &str, known: Option<&Geography>) -> Ruleset {
        let text = format!("alert ip any any -> any any ({option}; sid:1;)");
        load(&[RuleSource::from_text("x", text.as_str())], &VariableTable::default(), &LoadOptions { geography: known, ..LoadOptions::default() })
    }

    #[test]
    fn countries() {
        let known = Geography::read(database(&[([10, 1, 0, 0], 16, "CN"), ([10, 2, 0, 0], 16, "US")])).expect("a database");
        // Does the packet from 10.1.0.1 to 10.2.0.1 match?
        let holds = |option: &str| {
            let set = rules(option, Some(&known));
            let rule = set.rules.first().unwrap_or_else(|| panic!("{option}: {:?}", set.rejected));
            let Some(PacketCondition::Address { source, destination, either }) = rule.packet.first() else { panic!("{option}") };
            let of = |set: &Option<weir_ir::AddressSet>, last: [u8; 4]| set.as_ref().map(|s| s.contains(IpAddr::from(last)));
            let both = [of(source, [10, 1, 0, 1]), of(destination, [10, 2, 0, 1])];
            if *either { both.contains(&Some(true)) } else { !both.contains(&Some(false)) }
        };
        for option in ["geoip:CN", "geoip:any,US", "geoip:src,CN", "geoip: src , CN , US", "geoip:both,CN,US", "geoip:src,!US", "geoip:US,XX", "geoip:\"dst,US\""] {
            assert!(holds(option), "{option}");
        }
        for option in ["geoip:dst,CN", "geoip:both,CN", "geoip:src,!CN", "geoip:dst,CN,!US", "geoip:cn", "geoip:any,!CN,US"] {
            assert!(!holds(option), "{option}");
        }
        assert_eq!(rules("geoip:src,XX", Some(&known)).warnings.len(), 1);
        for (option, known, why) in [("geoip:src", Some(&known), "names no country"), ("geoip:CN,", Some(&known), "names no country"), ("geoip:CN", None, "no database")] {
            let set = rules(option, known);
            assert!(set.rejected.first().is_some_and(|d| d.message.contains(why)), "{option}: {:?}", set.rejected);
        }
    }
}
