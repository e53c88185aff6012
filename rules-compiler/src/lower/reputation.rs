//! `iprep`: reputation lists are known when rules are loaded, so the option becomes sets of addresses.

use super::{Fault, Lowered, Lowering};
use crate::config::reputation::SCORE_MAX;
use crate::diag::Cause;
use crate::syntax::OptionSyntax;
use weir_ir::PacketCondition;

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
