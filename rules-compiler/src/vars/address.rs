//! Elements of address lists.

use super::{Algebra, VariableError, shorten};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use weir_ir::AddressSet;

pub(super) struct Addresses;

/// Intervals of both families.
#[derive(Default)]
pub(super) struct Parts {
    v4: Vec<(Ipv4Addr, Ipv4Addr)>,
    v6: Vec<(Ipv6Addr, Ipv6Addr)>,
}

impl Algebra for Addresses {
    type Set = AddressSet;
    type Parts = Parts;

    fn everything() -> AddressSet {
        AddressSet::any()
    }

    fn is_empty(set: &AddressSet) -> bool {
        set.is_empty()
    }

    fn element(text: &str, parts: &mut Parts) -> Result<(), VariableError> {
        match interval(text)? {
            (IpAddr::V4(a), IpAddr::V4(b)) => parts.v4.push((a, b)),
            (IpAddr::V6(a), IpAddr::V6(b)) => parts.v6.push((a, b)),
            _ => return Err(VariableError::Address(shorten(text))),
        }
        Ok(())
    }

    fn add(parts: &mut Parts, set: &AddressSet) {
        parts.v4.extend_from_slice(&set.v4);
        parts.v6.extend_from_slice(&set.v6);
    }

    fn build(parts: Parts) -> AddressSet {
        AddressSet::from_intervals(parts.v4, parts.v6)
    }

    fn minus(a: &AddressSet, b: &AddressSet) -> AddressSet {
        a.intersection(&b.complement())
    }
}

/// `a`, `a/bits`, `a/mask`, `a-b`.
pub(crate) fn interval(text: &str) -> Result<(IpAddr, IpAddr), VariableError> {
    let wrong = || VariableError::Address(shorten(text));
    if let Some((address, mask)) = text.split_once('/') {
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let mask = mask.trim();
        return match address {
            IpAddr::V4(a) => {
                let mask = match mask.parse::<u8>() {
                    Ok(bits) if bits <= 32 => u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0),
                    Ok(_) => return Err(wrong()),
                    Err(_) => {
                        let mask = u32::from(mask.parse::<Ipv4Addr>().map_err(|_| wrong())?);
                        if mask.leading_ones() + mask.trailing_zeros() < 32 {
                            return Err(wrong());
                        }
                        mask
                    }
                };
                let low = u32::from(a) & mask;
                Ok((Ipv4Addr::from(low).into(), Ipv4Addr::from(low | !mask).into()))
            }
            IpAddr::V6(a) => {
                let bits: u8 = mask.parse().map_err(|_| wrong())?;
                if bits > 128 {
                    return Err(wrong());
                }
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                let low = u128::from(a) & mask;
                Ok((Ipv6Addr::from(low).into(), Ipv6Addr::from(low | !mask).into()))
            }
        };
    }
    if let Some((low, high)) = text.split_once('-') {
        let low: IpAddr = low.trim().parse().map_err(|_| wrong())?;
        let high: IpAddr = high.trim().parse().map_err(|_| wrong())?;
        return match (low, high) {
            (IpAddr::V4(a), IpAddr::V4(b)) if a <= b => Ok((low, high)),
            (IpAddr::V6(a), IpAddr::V6(b)) if a <= b => Ok((low, high)),
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => Err(VariableError::Range(shorten(text))),
            _ => Err(wrong()),
        };
    }
    let address: IpAddr = text.parse().map_err(|_| wrong())?;
    Ok((address, address))
}
