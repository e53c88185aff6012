//! The `modbus` keyword: unit, function, access, addresses and values of a request.
//!
//! Each part becomes a condition on the request; a transaction has one request, so they hold together. Values are asked
//! for at the addresses of the same keyword, which become part of the condition's name.

use super::{Lowered, Lowering, number};
use crate::syntax::OptionSyntax;
use weir_ir::{AppLayerCondition, Comparison};

/// Bits of what a function accesses, as the parser gives them.
#[rustfmt::skip]
const ACCESS: &[(&str, u64)] = &[
    ("read", 1), ("write", 1 << 1), ("discretes", 1 << 2), ("coils", 1 << 3), ("input", 1 << 4), ("holding", 1 << 5),
];

/// Who assigned a function (Modbus Application Protocol, section 5).
#[rustfmt::skip]
const CATEGORIES: &[(&str, u64)] = &[
    ("assigned", 1), ("unassigned", 2), ("public", 3), ("user", 4), ("reserved", 8), ("all", 15),
];

impl Lowering<'_, '_> {
    pub(super) fn modbus(&mut self, option: &OptionSyntax) -> Lowered<Vec<AppLayerCondition>> {
        let text = self.value(option)?.into_owned();
        let mut parts: Vec<(&str, &str)> = Vec::new();
        for part in text.split(',').map(str::trim) {
            match part.split_once(char::is_whitespace) {
                Some((name, value)) => parts.push((name, value.trim())),
                None => return Err(self.wrong(option, format!("`{part}` has no value"))),
            }
        }
        let mut out = Vec::new();
        let mut parts = parts.into_iter().peekable();
        if let Some((_, unit)) = parts.next_if(|p| p.0 == "unit") {
            let comparison = self.compared(option, unit, 255, &[])?;
            out.push(self.named("modbus.unit", Some(comparison)));
        }
        match parts.next() {
            None => {}
            Some(("function", value)) => {
                self.modbus_function(option, value, &mut out)?;
                if let Some((_, value)) = parts.next_if(|p| p.0 == "subfunction") {
                    let comparison = self.compared(option, value, 65_535, &[])?;
                    out.push(self.named("modbus.subfunction", Some(comparison)));
                }
            }
            Some(("access", value)) => {
                self.modbus_access(option, value, &mut out)?;
                let mut range = (0, 65_536);
                if let Some((_, value)) = parts.next_if(|p| p.0 == "address") {
                    let comparison = self.compared(option, value, 65_535, &[])?;
                    let (low, high) = number::bounds(comparison);
                    range = (low, high.unwrap_or(65_536));
                    out.push(self.named("modbus.address", Some(comparison)));
                }
                if let Some((_, value)) = parts.next_if(|p| p.0 == "value") {
                    let comparison = self.compared(option, value, 65_535, &[])?;
                    out.push(self.named(&format!("modbus.value.{}-{}", range.0, range.1), Some(comparison)));
                }
            }
            Some((name, _)) => return Err(self.wrong(option, format!("`{name}` is neither `unit`, `function` nor `access`"))),
        }
        match parts.next() {
            Some((name, _)) => Err(self.wrong(option, format!("`{name}` does not stand here"))),
            None => Ok(out),
        }
    }

    fn modbus_function(&mut self, option: &OptionSyntax, value: &str, out: &mut Vec<AppLayerCondition>) -> Lowered<()> {
        let (negated, name) = value.strip_prefix('!').map_or((false, value), |rest| (true, rest.trim()));
        let category = CATEGORIES.iter().find(|c| c.0.eq_ignore_ascii_case(name)).map(|c| c.1);
        let (field, comparison) = match (category, number::unsigned(name).filter(|n| *n <= 255)) {
            (Some(mask), _) if negated => ("modbus.category", Comparison::NoBit(mask)),
            (Some(mask), _) => ("modbus.category", Comparison::AnyBit(mask)),
            (None, Some(code)) if !negated => ("modbus.function", Comparison::Equal(code)),
            _ => return Err(self.wrong(option, format!("`{value}` is neither a function code nor a category of functions"))),
        };
        out.push(self.named(field, Some(comparison)));
        Ok(())
    }

    fn modbus_access(&mut self, option: &OptionSyntax, value: &str, out: &mut Vec<AppLayerCondition>) -> Lowered<()> {
        for (n, word) in value.split_whitespace().enumerate() {
            let bit = ACCESS.iter().find(|a| a.0.eq_ignore_ascii_case(word)).map(|a| a.1).filter(|bit| (*bit <= 2) == (n == 0));
            match bit {
                Some(bit) => out.push(self.named("modbus.access", Some(Comparison::AnyBit(bit)))),
                None => return Err(self.wrong(option, format!("`{word}` is no access to discretes, coils, input or holding registers"))),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{LoadOptions, RuleSource, Support, VariableTable, load};
    use weir_ir::{AppLayerCondition, Comparison};

    fn conditions(value: &str) -> Option<Vec<(String, Comparison)>> {
        let text = format!("alert modbus any any -> any any (modbus: {value}; sid:1;)");
        let options = LoadOptions { support: Support::everything(), ..LoadOptions::default() };
        let set = load(&[RuleSource::from_text("x", text.as_str())], &VariableTable::default(), &options);
        let named = |c: &AppLayerCondition| match c {
            AppLayerCondition::Named(name, Some(comparison)) => Some((name.to_string(), *comparison)),
            _ => None,
        };
        Some(set.rules.first()?.app_layer.iter().filter_map(named).collect())
    }

    #[test]
    fn modbus() {
        let expect = |value: &str, expected: &[(&str, Comparison)]| {
            let expected: Vec<_> = expected.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect();
            assert_eq!(conditions(value), Some(expected), "{value}");
        };
        expect("function 8, subfunction 4", &[("modbus.function", Comparison::Equal(8)), ("modbus.subfunction", Comparison::Equal(4))]);
        expect("function !reserved", &[("modbus.category", Comparison::NoBit(8))]);
        expect("unit >9", &[("modbus.unit", Comparison::Greater(9))]);
        expect(
            "unit 10, access write holding, address 500, value >200",
            &[
                ("modbus.unit", Comparison::Equal(10)),
                ("modbus.access", Comparison::AnyBit(2)),
                ("modbus.access", Comparison::AnyBit(32)),
                ("modbus.address", Comparison::Equal(500)),
                ("modbus.value.500-500", Comparison::Greater(200)),
            ],
        );
        expect("access read coils, address 0<>2", &[
            ("modbus.access", Comparison::AnyBit(1)), ("modbus.access", Comparison::AnyBit(8)), ("modbus.address", Comparison::Between(0, 2)),
        ]);
        for bad in ["function", "function 300", "function !7", "access coils", "access read water", "colour 7", "function 1, address 3"] {
            assert_eq!(conditions(bad), None, "{bad}");
        }
    }
}
