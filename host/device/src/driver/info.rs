//! What the device says of itself: `weir device info` and `weir device counters --check`.

use super::{BAR, Driver};
use crate::error::DeviceError;
use crate::pci::PciFunction;
use weir_contract::counters::{Counter, IDENTITIES};
use weir_contract::enums::{CapabilityType, DeviceKind};
use weir_contract::registers as r;

/// Identification and state.
#[derive(Debug, Clone)]
pub struct DeviceInfo {
    /// Model, RTL, card; none: a kind this driver does not know.
    pub kind: Option<DeviceKind>,
    /// Contract version.
    pub version: (u16, u16),
    /// Build number.
    pub build: u32,
    /// Known capabilities with their values.
    pub capabilities: Vec<(CapabilityType, u64, u64)>,
    /// Types this driver does not know, none of them required.
    pub unknown_capabilities: Vec<u16>,
    /// Status register.
    pub status: u32,
    /// Active, shadow and previous epoch (0: none).
    pub epochs: [u32; 3],
    /// Identity of the active image.
    pub identity: [u8; 16],
    /// Last frame taken.
    pub frame: u64,
}

/// An identity that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imbalance {
    /// What the identity says.
    pub meaning: &'static str,
    /// Its two sides, with the counters' names and values.
    pub sides: [Vec<(&'static str, u64)>; 2],
}

impl std::fmt::Display for Imbalance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [left, right] = &self.sides;
        let side = |terms: &Vec<(&'static str, u64)>| {
            terms.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(" + ")
        };
        write!(f, "{} ({} = {} does not hold)", self.meaning, side(left), side(right))
    }
}

/// Identities of the contract that a snapshot of counters breaks; empty: everything is accounted for.
pub fn imbalances(counters: &[(Counter, u64)]) -> Vec<Imbalance> {
    let value = |counter: Counter| counters.iter().find(|(c, _)| *c == counter).map_or(0, |(_, v)| *v);
    let terms = |side: &[Counter]| side.iter().map(|&c| (c.name(), value(c))).collect::<Vec<_>>();
    // Wide sums: a lying device must not make the check overflow.
    let sum = |terms: &[(&str, u64)]| terms.iter().map(|(_, v)| u128::from(*v)).sum::<u128>();
    IDENTITIES
        .iter()
        .filter_map(|identity| {
            let sides = [terms(identity.left), terms(identity.right)];
            (sum(&sides[0]) != sum(&sides[1])).then_some(Imbalance { meaning: identity.meaning, sides })
        })
        .collect()
}

impl<P: PciFunction> Driver<P> {
    /// Latch the counters and check the identities.
    pub fn check_counters(&mut self) -> Result<Vec<Imbalance>, DeviceError> {
        Ok(imbalances(&self.counters()?))
    }

    /// Identification and state.
    pub fn info(&mut self) -> Result<DeviceInfo, DeviceError> {
        let low = self.pci.read64(BAR, r::TABLE_IDENTITY_LOW)?.to_le_bytes();
        let high = self.pci.read64(BAR, r::TABLE_IDENTITY_HIGH)?.to_le_bytes();
        let mut identity = [0u8; 16];
        for (slot, byte) in identity.iter_mut().zip(low.into_iter().chain(high)) {
            *slot = byte;
        }
        let known = |kind: u16| CapabilityType::from_raw(kind);
        Ok(DeviceInfo {
            kind: self.kind()?,
            version: self.version(),
            build: self.pci.read32(BAR, r::BUILD)?,
            capabilities: self
                .capabilities()
                .iter()
                .filter_map(|c| Some((known(c.kind)?, c.value0, c.value1)))
                .collect(),
            unknown_capabilities: self.capabilities().iter().map(|c| c.kind).filter(|k| known(*k).is_none()).collect(),
            status: self.pci.read32(BAR, r::STATUS)?,
            epochs: [
                self.pci.read32(BAR, r::EPOCH)?,
                self.pci.read32(BAR, r::EPOCH_SHADOW)?,
                self.pci.read32(BAR, r::EPOCH_PREVIOUS)?,
            ],
            identity,
            frame: self.pci.read64(BAR, r::FRAME_NUMBER)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities() {
        let mut counters: Vec<(Counter, u64)> = Counter::ALL.iter().map(|&c| (c, 0)).collect();
        assert!(imbalances(&counters).is_empty());
        counters[Counter::ReceivedFrames as usize].1 = 3;
        counters[Counter::PassedFrames as usize].1 = 2;
        counters[Counter::TransmittedFrames as usize].1 = 2;
        let found = imbalances(&counters);
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().contains("received_frames 3 = passed_frames 2"), "{}", found[0]);
    }
}
