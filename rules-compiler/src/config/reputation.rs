//! Reputation lists, for `iprep`: categories by name, and scores of addresses and networks by category.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use weir_ir::AddressSet;

/// Highest number of a category.
const CATEGORY_MAX: u8 = 59;
/// Highest score.
pub const SCORE_MAX: u8 = 127;

/// Lists as they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reputation {
    categories: BTreeMap<String, u8>,
    /// Network (address, bits), category, score.
    entries: Vec<(IpAddr, u8, u8, u8)>,
}

impl Reputation {
    /// Reads a list of categories: `number,name,description` a line. The error names the line.
    pub fn read_categories(&mut self, text: &str) -> Result<(), String> {
        for (n, line) in lines(text) {
            let mut fields = line.splitn(3, ',').map(str::trim);
            let number = fields.next().and_then(|f| f.parse::<u8>().ok()).filter(|c| *c <= CATEGORY_MAX);
            match (number, fields.next()) {
                (Some(number), Some(name)) if !name.is_empty() => {
                    self.categories.insert(name.to_owned(), number);
                }
                _ => return Err(format!("line {n}: write NUMBER,NAME,DESCRIPTION with a number up to {CATEGORY_MAX}")),
            }
        }
        Ok(())
    }

    /// Reads a list of scores: `address[/bits],category,score` a line. The error names the line.
    pub fn read_scores(&mut self, text: &str) -> Result<(), String> {
        for (n, line) in lines(text) {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let entry = match fields.as_slice() {
                [network, category, score, ..] => network_of(network)
                    .zip(category.parse::<u8>().ok())
                    .zip(score.parse::<u8>().ok().filter(|s| *s <= SCORE_MAX)),
                _ => None,
            };
            let Some((((address, bits), category), score)) = entry else {
                return Err(format!("line {n}: write ADDRESS,CATEGORY,SCORE with a score up to {SCORE_MAX}"));
            };
            self.entries.push((address, bits, category, score));
        }
        Ok(())
    }

    /// The number of a category.
    pub fn category(&self, name: &str) -> Option<u8> {
        self.categories.get(name).copied()
    }

    /// Addresses that have a score in the category for which `wanted` holds. The longest network of an address counts.
    pub fn addresses(&self, category: u8, wanted: &dyn Fn(u8) -> bool) -> AddressSet {
        let mut entries: Vec<_> = self.entries.iter().filter(|e| e.2 == category).collect();
        entries.sort_by_key(|e| e.1);
        let mut set = AddressSet::default();
        for (address, bits, _, score) in entries {
            let one = interval(*address, *bits);
            set = if wanted(*score) { set.union(&one) } else { set.intersection(&one.complement()) };
        }
        set
    }
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let all = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim()));
    all.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

fn network_of(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?),
        None => {
            let address = text.parse::<IpAddr>().ok()?;
            (address, if address.is_ipv4() { 32 } else { 128 })
        }
    };
    (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, bits))
}

fn interval(address: IpAddr, bits: u8) -> AddressSet {
    match address {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            let first = u32::from(a) & mask;
            AddressSet::from_intervals(vec![(Ipv4Addr::from(first), Ipv4Addr::from(first | !mask))], Vec::new())
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            let first = u128::from(a) & mask;
            AddressSet::from_intervals(Vec::new(), vec![(Ipv6Addr::from(first), Ipv6Addr::from(first | !mask))])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_network_counts() {
        let mut r = Reputation::default();
        r.read_categories("# one\n1,CnC,Command and control\n2,Scan,Scanners\n").expect("categories");
        r.read_scores("10.0.0.0/8,1,50\n10.1.0.0/16,1,5\n10.1.1.1,1,90\n10.2.2.2,2,100\n2001:db8::/32,1,60\n").expect("scores");
        let bad = r.addresses(r.category("CnC").expect("there"), &|score| score > 30);
        for (address, inside) in
            [("10.9.9.9", true), ("10.1.9.9", false), ("10.1.1.1", true), ("11.0.0.1", false), ("2001:db8::1", true)]
        {
            assert_eq!(bad.contains(address.parse().expect("an address")), inside, "{address}");
        }
        assert_eq!(r.category("none"), None);
        assert!(r.read_scores("10.0.0.1,1,200").is_err());
        assert!(r.read_categories("x,y").is_err());
    }
}
