//! PCI configuration space: identity, command register, BAR sizing, and the capabilities power management, MSI-X and
//! PCI Express (PCI Local Bus 3.0 section 6.1; PCI Express Base 3.0 section 7).

use weir_contract::constants as c;

const COMMAND: usize = 0x04;
const MEMORY_SPACE: u16 = 1 << 1;
const BUS_MASTER: u16 = 1 << 2;
const INTERRUPT_DISABLE: u16 = 1 << 10;
/// Bits of the command register that can be written.
const COMMAND_WRITABLE: u16 = MEMORY_SPACE | BUS_MASTER | INTERRUPT_DISABLE;
/// Offset of the PCI Express device control register in its capability, and its reset bit.
const DEVICE_CONTROL: usize = 0x08;
const FUNCTION_LEVEL_RESET: u16 = 1 << 15;
/// Power state in the power management control register, and the bit that says that it keeps registers (PCI Bus Power
/// Management 1.2 section 3.2.4).
const POWER_STATE: u16 = 3;
const NO_SOFT_RESET: u16 = 1 << 3;
/// BARs: number and size.
const BARS: [(usize, u64); 2] =
    [(c::BAR_REGISTERS as usize, c::BAR_REGISTERS_SIZE), (c::BAR_MSIX as usize, c::BAR_MSIX_SIZE)];

/// What a write asks of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effect {
    /// Function-level reset.
    pub reset: bool,
}

/// The space.
#[derive(Debug, Clone)]
pub struct ConfigSpace {
    bytes: Box<[u8; c::PCI_CONFIG_SIZE]>,
}

impl ConfigSpace {
    /// After power-on. `vectors`: size of the MSI-X table.
    pub fn new(vectors: u16) -> Self {
        let mut space = ConfigSpace { bytes: Box::new([0; c::PCI_CONFIG_SIZE]) };
        let power = usize::from(c::PCI_CAP_POWER);
        let msix = usize::from(c::PCI_CAP_MSIX);
        let express = usize::from(c::PCI_CAP_EXPRESS);
        space.put16(0x00, c::PCI_VENDOR);
        space.put16(0x02, c::PCI_DEVICE);
        // Capability list present.
        space.put16(0x06, 1 << 4);
        space.put32(0x08, c::PCI_CLASS << 8 | u32::from(c::PCI_REVISION));
        for (bar, _) in BARS {
            // 64-bit, not prefetchable.
            space.put32(0x10 + 4 * bar, 0x4);
        }
        space.put16(0x2c, c::PCI_VENDOR);
        space.put16(0x2e, c::PCI_DEVICE);
        space.bytes[0x34] = c::PCI_CAP_POWER as u8;
        space.put16(power, 0x01 | c::PCI_CAP_MSIX << 8);
        space.put16(power + 2, 3);
        space.put16(power + 4, NO_SOFT_RESET);
        space.put16(msix, 0x11 | c::PCI_CAP_EXPRESS << 8);
        space.put16(msix + 2, vectors.saturating_sub(1) & 0x7ff);
        space.put32(msix + 4, c::MSIX_TABLE_OFFSET | u32::from(c::BAR_MSIX));
        space.put32(msix + 8, c::MSIX_PBA_OFFSET | u32::from(c::BAR_MSIX));
        // PCI Express endpoint, capability version 2; function-level reset.
        space.put16(express, 0x10);
        space.put16(express + 2, 2);
        space.put32(express + 4, 1 << 28 | 1 << 15);
        space
    }

    fn put16(&mut self, at: usize, value: u16) {
        if let Some(slot) = self.bytes.get_mut(at..at + 2) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
    }

    fn put32(&mut self, at: usize, value: u32) {
        if let Some(slot) = self.bytes.get_mut(at..at + 4) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
    }

    fn get16(&self, at: usize) -> u16 {
        self.bytes.get(at..at + 2).and_then(|b| b.first_chunk()).map_or(0, |b| u16::from_le_bytes(*b))
    }

    /// Read 32 bits; all ones outside.
    pub fn read(&self, offset: u16) -> u32 {
        let at = usize::from(offset & !3);
        self.bytes.get(at..at + 4).and_then(|b| b.first_chunk()).map_or(u32::MAX, |b| u32::from_le_bytes(*b))
    }

    /// Write 32 bits.
    pub fn write(&mut self, offset: u16, value: u32) -> Effect {
        let at = usize::from(offset & !3);
        let msix = usize::from(c::PCI_CAP_MSIX);
        let express = usize::from(c::PCI_CAP_EXPRESS);
        let power = usize::from(c::PCI_CAP_POWER);
        let mut effect = Effect::default();
        if at == COMMAND {
            self.put16(COMMAND, value as u16 & COMMAND_WRITABLE);
        } else if at == 0x3c {
            self.bytes[0x3c] = value as u8;
        } else if at == msix {
            // Enable and function mask.
            let size = self.get16(msix + 2) & 0x7ff;
            self.put16(msix + 2, size | (value >> 16) as u16 & 0xc000);
        } else if at == power + 4 {
            self.put16(power + 4, value as u16 & POWER_STATE | NO_SOFT_RESET);
        } else if at == express + DEVICE_CONTROL {
            effect.reset = value as u16 & FUNCTION_LEVEL_RESET != 0;
            self.put16(express + DEVICE_CONTROL, value as u16 & !FUNCTION_LEVEL_RESET);
        } else if let Some((low, size)) = BARS.iter().find_map(|(bar, size)| {
            let base = 0x10 + 4 * bar;
            (at == base).then_some((true, *size)).or((at == base + 4).then_some((false, *size)))
        }) {
            // Bits below the size read as zero: that is how the size is found.
            let mask = !(size - 1);
            if low {
                self.put32(at, value & mask as u32 | 0x4);
            } else {
                self.put32(at, value & (mask >> 32) as u32);
            }
        }
        effect
    }

    /// Memory space enabled, and power on.
    pub fn memory_enabled(&self) -> bool {
        self.get16(COMMAND) & MEMORY_SPACE != 0 && self.is_powered()
    }

    /// Bus mastering enabled, and power on.
    pub fn bus_master(&self) -> bool {
        self.get16(COMMAND) & BUS_MASTER != 0 && self.is_powered()
    }

    /// Power state D0.
    fn is_powered(&self) -> bool {
        self.get16(usize::from(c::PCI_CAP_POWER) + 4) & POWER_STATE == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_and_capabilities() {
        let s = ConfigSpace::new(9);
        assert_eq!(s.read(0), u32::from(c::PCI_DEVICE) << 16 | u32::from(c::PCI_VENDOR));
        assert_eq!(s.read(8) >> 8, c::PCI_CLASS);
        let mut at = s.read(0x34) as u16 & 0xff;
        let mut found = Vec::new();
        while at != 0 {
            let word = s.read(at);
            found.push(word as u8);
            at = (word >> 8) as u16 & 0xff;
        }
        assert_eq!(found, [0x01, 0x11, 0x10]);
        assert_eq!(s.read(c::PCI_CAP_MSIX) >> 16 & 0x7ff, 8);
        assert_eq!(s.read(4096), u32::MAX);
    }

    #[test]
    fn bars_have_sizes() {
        let mut s = ConfigSpace::new(1);
        s.write(0x10, u32::MAX);
        assert_eq!(s.read(0x10), !(c::BAR_REGISTERS_SIZE as u32 - 1) | 4);
        s.write(0x14, u32::MAX);
        assert_eq!(s.read(0x14), u32::MAX);
        s.write(0x20, u32::MAX);
        assert_eq!(s.read(0x20), !(c::BAR_MSIX_SIZE as u32 - 1) | 4);
        s.write(0x18, u32::MAX);
        assert_eq!(s.read(0x18), 0, "no such BAR");
    }

    #[test]
    fn command_and_reset() {
        let mut s = ConfigSpace::new(1);
        assert!(!s.bus_master() && !s.memory_enabled());
        s.write(4, u32::MAX);
        assert!(s.bus_master() && s.memory_enabled());
        assert_eq!(s.read(4) & 0xffff, 0x406);
        assert!(s.write(c::PCI_CAP_EXPRESS + 8, 1 << 15).reset);
        s.write(0, 0);
        assert_eq!(s.read(0) as u16, c::PCI_VENDOR, "read-only");
        let power = c::PCI_CAP_POWER + 4;
        assert_eq!(s.read(power), 8);
        s.write(power, 3);
        assert!(s.read(power) == 11 && !s.bus_master() && !s.memory_enabled());
        s.write(power, 0);
        assert!(s.bus_master() && s.memory_enabled());
    }
}
