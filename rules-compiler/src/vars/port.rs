//! Elements of port lists.

use super::{Algebra, VariableError, shorten};
use weir_ir::PortSet;

pub(super) struct Ports;

impl Algebra for Ports {
    type Set = PortSet;
    type Parts = Vec<(u16, u16)>;

    fn everything() -> PortSet {
        PortSet::any()
    }

    fn is_empty(set: &PortSet) -> bool {
        set.ranges.is_empty()
    }

    fn element(text: &str, parts: &mut Self::Parts) -> Result<(), VariableError> {
        let port = |t: &str| t.trim().parse::<u16>().map_err(|_| VariableError::Port(shorten(text)));
        let (low, high) = match text.split_once(':') {
            None => {
                let only = port(text)?;
                (only, only)
            }
            Some((low, high)) => {
                let low = if low.trim().is_empty() { 0 } else { port(low)? };
                let high = if high.trim().is_empty() { u16::MAX } else { port(high)? };
                (low, high)
            }
        };
        if low > high {
            return Err(VariableError::Range(shorten(text)));
        }
        parts.push((low, high));
        Ok(())
    }

    fn add(parts: &mut Self::Parts, set: &PortSet) {
        parts.extend_from_slice(&set.ranges);
    }

    fn build(parts: Self::Parts) -> PortSet {
        PortSet::from_ranges(parts)
    }

    fn minus(a: &PortSet, b: &PortSet) -> PortSet {
        a.intersection(&b.complement())
    }
}
