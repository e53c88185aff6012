//! Countries of addresses, for `geoip`: a database in MaxMind DB format, read as one set of addresses for each country.
//!
//! As in Suricata, IPv4 alone is asked, and only `country.iso_code` counts. The networks are listed when the first rule asks.

use maxminddb::{MaxMindDbError, PathElement, Reader};
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use weir_ir::AddressSet;

/// First and last address.
type Interval = (Ipv4Addr, Ipv4Addr);

/// A database that was read.
pub struct Geography {
    reader: Reader<Vec<u8>>,
    countries: OnceCell<Result<BTreeMap<Box<str>, AddressSet>, String>>,
}

impl std::fmt::Debug for Geography {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Geography").field("type", &self.reader.metadata().database_type).finish_non_exhaustive()
    }
}

impl Geography {
    /// Reads a database. The error says what is wrong with it.
    pub fn read(bytes: Vec<u8>) -> Result<Self, String> {
        let reader = Reader::from_source(bytes).map_err(|error| format!("this is no MaxMind DB file: {error}"))?;
        Ok(Geography { reader, countries: OnceCell::new() })
    }

    /// Addresses by ISO 3166-1 code of the country. The error says which part of the database cannot be read.
    pub fn countries(&self) -> Result<&BTreeMap<Box<str>, AddressSet>, String> {
        self.countries.get_or_init(|| self.list().map_err(|error| error.to_string())).as_ref().map_err(String::clone)
    }

    fn list(&self) -> Result<BTreeMap<Box<str>, AddressSet>, MaxMindDbError> {
        let path = [PathElement::Key("country"), PathElement::Key("iso_code")];
        let everything = "0.0.0.0/0".parse().map_err(|_| MaxMindDbError::invalid_input("no network"))?;
        let mut networks: BTreeMap<Box<str>, Vec<Interval>> = BTreeMap::new();
        // Most networks share their record with others.
        let mut codes: HashMap<usize, Option<Box<str>>> = HashMap::new();
        for found in self.reader.within(everything, Default::default())? {
            let found = found?;
            let network = found.network()?;
            let (IpAddr::V4(first), IpAddr::V4(last)) = (network.network(), network.broadcast()) else { continue };
            let Some(offset) = found.offset() else { continue };
            let code = match codes.entry(offset) {
                std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::hash_map::Entry::Vacant(new) => new.insert(found.decode_path(&path)?),
            };
            if let Some(code) = code {
                networks.entry(code.clone()).or_default().push((first, last));
            }
        }
        let set = |intervals| AddressSet::from_intervals(intervals, Vec::new());
        Ok(networks.into_iter().map(|(code, intervals)| (code, set(intervals))).collect())
    }

    /// Addresses of any of `countries`, or, `negated`, of known countries that are none of them.
    pub fn addresses(&self, countries: &[&str], negated: bool) -> Result<AddressSet, String> {
        let wanted = |code: &str| countries.contains(&code) != negated;
        let all = self.countries()?.iter().filter(|(code, _)| wanted(code));
        let intervals = all.flat_map(|(_, set)| set.v4.iter().copied()).collect();
        Ok(AddressSet::from_intervals(intervals, Vec::new()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A database of networks of IPv4 (address, bits) and codes of countries; an empty code is a record without country.
    /// MaxMind DB File Format Specification 2.0: records of 24 bits, maps of text.
    pub(crate) fn database(networks: &[([u8; 4], u8, &str)]) -> Vec<u8> {
        const EMPTY: u32 = u32::MAX;
        const DATA: u32 = 1 << 31;
        fn text(out: &mut Vec<u8>, text: &str) {
            out.push(0x40 | text.len() as u8);
            out.extend_from_slice(text.as_bytes());
        }
        let mut nodes = vec![[EMPTY; 2]];
        let mut data = Vec::new();
        for (address, bits, code) in networks {
            let value = DATA | data.len() as u32;
            if code.is_empty() {
                data.push(0xe0);
            } else {
                data.push(0xe1);
                text(&mut data, "country");
                data.push(0xe1);
                text(&mut data, "iso_code");
                text(&mut data, code);
            }
            let address = u32::from_be_bytes(*address);
            let mut at = 0;
            for bit in 0..*bits {
                let side = (address >> (31 - bit) & 1) as usize;
                if bit + 1 == *bits {
                    nodes[at][side] = value;
                } else {
                    if nodes[at][side] & DATA != 0 {
                        nodes[at][side] = nodes.len() as u32;
                        nodes.push([EMPTY; 2]);
                    }
                    at = nodes[at][side] as usize;
                }
            }
        }
        let count = nodes.len() as u32;
        let mut out = Vec::new();
        for record in nodes.into_iter().flatten() {
            let record = match record {
                EMPTY => count,
                leaf if leaf & DATA != 0 => count + 16 + (leaf & !DATA),
                node => node,
            };
            out.extend_from_slice(&record.to_be_bytes()[1..]);
        }
        out.extend_from_slice(&[0; 16]);
        out.extend_from_slice(&data);
        out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        // Name, type and length of the number, number.
        let numbers = [
            ("node_count", 0xc4, count),
            ("record_size", 0xa2, 24),
            ("ip_version", 0xa2, 4),
            ("binary_format_major_version", 0xa2, 2),
            ("binary_format_minor_version", 0xa2, 0),
            ("build_epoch", 0x04, 1),
        ];
        out.push(0xe0 | (numbers.len() as u8 + 3));
        for (name, kind, number) in numbers {
            text(&mut out, name);
            out.push(kind);
            if kind & 0xe0 == 0 {
                out.push(2);
            }
            out.extend_from_slice(&u32::to_be_bytes(number)[4 - usize::from(kind & 0x1f)..]);
        }
        text(&mut out, "database_type");
        text(&mut out, "Test");
        text(&mut out, "languages");
        out.extend_from_slice(&[0x00, 0x04]);
        text(&mut out, "description");
        out.push(0xe0);
        out
    }

    #[test]
    fn countries_of_networks() {
        let bytes = database(&[([10, 0, 0, 0], 24, "US"), ([10, 1, 0, 0], 16, "CN"), ([10, 2, 0, 0], 16, ""), ([10, 3, 0, 0], 16, "DE")]);
        let known = Geography::read(bytes).expect("a database");
        let of = |countries: &[&str], negated| known.addresses(countries, negated).expect("addresses");
        let holds = |set: &AddressSet, address: [u8; 4]| set.contains(IpAddr::from(address));
        let some = of(&["CN", "US"], false);
        assert!(holds(&some, [10, 0, 0, 255]) && holds(&some, [10, 1, 255, 255]) && !holds(&some, [10, 0, 1, 0]));
        let others = of(&["US"], true);
        assert!(holds(&others, [10, 1, 0, 1]) && holds(&others, [10, 3, 0, 1]));
        // Neither what has no country nor what is in no network is of another one.
        assert!(!holds(&others, [10, 2, 0, 1]) && !holds(&others, [11, 0, 0, 1]) && !holds(&others, [10, 0, 0, 1]));
        assert!(of(&["us"], false).is_empty());
    }

    #[test]
    fn broken_databases_are_errors() {
        let whole = database(&[([10, 0, 0, 0], 24, "US"), ([10, 1, 0, 0], 16, "CN")]);
        assert!(Geography::read(Vec::new()).is_err());
        for (at, byte) in (0..whole.len()).flat_map(|at| [0u8, 0x3f, 0xff].map(|byte| (at, byte))) {
            let mut broken = whole.clone();
            broken[at] = byte;
            // Whatever comes out, it is an answer.
            let _ = Geography::read(broken).map(|known| known.addresses(&["US"], true));
            let _ = Geography::read(whole[..at].to_vec()).map(|known| known.addresses(&["US"], true));
        }
    }
}
