//! Numbers and comparisons as keywords write them.

use weir_ir::Comparison;

/// Decimal, or hexadecimal behind `0x`.
pub(super) fn unsigned(text: &str) -> Option<u64> {
    let text = text.trim();
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if !hex.is_empty() && !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    }
}

/// With an optional sign.
pub(super) fn signed(text: &str) -> Option<i64> {
    let text = text.trim();
    match text.strip_prefix('-') {
        Some(rest) if rest.starts_with(['-', '+']) => None,
        Some(rest) => i64::try_from(unsigned(rest)?).ok().map(|n| -n),
        None => i64::try_from(unsigned(text.strip_prefix('+').unwrap_or(text))?).ok(),
    }
}

/// The grammar that all of Suricata's integer keywords share: `n`, `=n`, `!n`, `<n`, `<=n`, `>n`, `>=n`, `a-b` and
/// `a<>b` (ends excluded), `!a-b`, `&mask`, `!&mask`, `&mask=n`, `&mask!=n`; names stand for numbers, sizes may have a unit. Spaces do not
/// count. The error is a sentence without subject.
pub(super) fn comparison(text: &str, max: u64, names: &[(&str, u64)]) -> Result<Comparison, String> {
    let text = text.trim();
    let number = |part: &str| -> Result<u64, String> {
        let part = part.trim();
        let found = unsigned(part)
            .or_else(|| names.iter().find(|(name, _)| name.eq_ignore_ascii_case(part)).map(|&(_, value)| value))
            .or_else(|| with_unit(part))
            .ok_or_else(|| match crate::diag::nearest(part, names.iter().map(|n| n.0)) {
                Some(near) => format!("`{part}` is not a number; did you mean `{near}`?"),
                None => format!("`{part}` is not a number"),
            })?;
        if found > max { Err(format!("{found} is more than {max}")) } else { Ok(found) }
    };
    if names.iter().any(|(name, _)| name.eq_ignore_ascii_case(text)) {
        return Ok(Comparison::Equal(number(text)?));
    }
    let (negated, rest) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    if let Some(mask) = rest.strip_prefix('&') {
        let mask = mask.strip_prefix('=').unwrap_or(mask);
        if let Some((mask, bits)) = mask.split_once("!=").filter(|_| !negated) {
            return Ok(Comparison::OtherBits(number(mask)?, number(bits)?));
        }
        if let Some((mask, bits)) = mask.split_once('=').filter(|_| !negated) {
            return Ok(Comparison::Bits(number(mask)?, number(bits)?));
        }
        let mask = number(mask)?;
        return Ok(if negated { Comparison::NoBit(mask) } else { Comparison::AnyBit(mask) });
    }
    let range = rest.split_once("<>").or_else(|| rest.split_once('-')).filter(|(low, _)| !low.trim().is_empty());
    if let Some((low, high)) = range {
        let (low, high) = (number(low)?, number(high)?);
        if low >= high || high - low < 2 {
            return Err(format!("nothing lies between {low} and {high} (both excluded)"));
        }
        return Ok(if negated { Comparison::Outside(low + 1, high - 1) } else { Comparison::Between(low, high) });
    }
    type Make = fn(u64) -> Comparison;
    let operators: [(&str, Make, Make); 5] = [
        ("<=", Comparison::LessEqual, Comparison::Greater),
        (">=", Comparison::GreaterEqual, Comparison::Less),
        ("<", Comparison::Less, Comparison::GreaterEqual),
        (">", Comparison::Greater, Comparison::LessEqual),
        ("=", Comparison::Equal, Comparison::NotEqual),
    ];
    for (operator, plain, inverse) in operators {
        if let Some(value) = rest.strip_prefix(operator) {
            let value = number(value)?;
            if !negated && (operator == "<" && value == 0 || operator == ">" && value >= max) {
                return Err(format!("no value is {operator} {value}"));
            }
            return Ok(if negated { inverse(value) } else { plain(value) });
        }
    }
    let value = number(rest)?;
    Ok(if negated { Comparison::NotEqual(value) } else { Comparison::Equal(value) })
}

/// `10kb`, `3 MiB`.
fn with_unit(text: &str) -> Option<u64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(split)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "kb" | "kib" => 1 << 10,
        "mb" | "mib" => 1 << 20,
        "gb" | "gib" => 1u64 << 30,
        _ => return None,
    };
    number.trim().parse::<u64>().ok()?.checked_mul(factor)
}

/// Smallest value the comparison lets through, and largest (None: no bound).
pub(super) fn bounds(comparison: Comparison) -> (u64, Option<u64>) {
    match comparison {
        Comparison::Equal(n) => (n, Some(n)),
        Comparison::Less(n) => (0, Some(n.saturating_sub(1))),
        Comparison::LessEqual(n) => (0, Some(n)),
        Comparison::Greater(n) => (n.saturating_add(1), None),
        Comparison::GreaterEqual(n) => (n, None),
        Comparison::Between(a, b) => (a.saturating_add(1), Some(b.saturating_sub(1))),
        Comparison::Within(a, b) => (a, Some(b)),
        Comparison::NotEqual(_)
        | Comparison::Outside(..)
        | Comparison::AnyBit(_)
        | Comparison::NoBit(_)
        | Comparison::Bits(..)
        | Comparison::OtherBits(..) => (0, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar() {
        let names = [("NXDOMAIN", 3u64), ("a-b", 9)];
        for (text, expected) in [
            ("10", Some(Comparison::Equal(10))),
            (" = 0x10", Some(Comparison::Equal(16))),
            ("!7", Some(Comparison::NotEqual(7))),
            ("<8", Some(Comparison::Less(8))),
            ("<= 8", Some(Comparison::LessEqual(8))),
            (">8", Some(Comparison::Greater(8))),
            (">=8", Some(Comparison::GreaterEqual(8))),
            ("3<>9", Some(Comparison::Between(3, 9))),
            ("3 - 9", Some(Comparison::Between(3, 9))),
            ("!3-9", Some(Comparison::Outside(4, 8))),
            ("&4", Some(Comparison::AnyBit(4))),
            ("!&4", Some(Comparison::NoBit(4))),
            ("&0xc0=0x80", Some(Comparison::Bits(0xc0, 0x80))),
            ("& 3 != 1", Some(Comparison::OtherBits(3, 1))),
            ("nxdomain", Some(Comparison::Equal(3))),
            ("!NXDOMAIN", Some(Comparison::NotEqual(3))),
            ("a-b", Some(Comparison::Equal(9))),
            ("1kb", Some(Comparison::Equal(1024))),
            ("9<>3", None),
            ("3<>4", None),
            ("<0", None),
            (">65535", None),
            ("65536", None),
            ("", None),
            ("x", None),
            ("-5", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(comparison(text, 65535, &names).ok(), expected, "{text}");
        }
        assert_eq!(signed("-0x10"), Some(-16));
        assert_eq!(signed("--1"), None);
    }
}
