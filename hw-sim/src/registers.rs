//! The register file: storage, access rules and reset values from the contract; meaning is `function.rs`'s.

use weir_contract::enums::{Control, Error};
use weir_contract::registers::{self as r, Access, Register, queue as q};

/// What a write asks for, after the access rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Stored; the register now has this value (64-bit ones: both halves are there).
    Stored(u32, u64),
    /// Low half of a 64-bit register, kept until the high half comes.
    Half,
    /// Refused: unknown offset, or read-only.
    Refused,
    /// Refused: set-up register while enabled.
    Locked,
}

/// One place of the file.
#[derive(Debug, Clone, Copy)]
struct Cell {
    register: &'static Register,
    /// Offset in the BAR of the register's low half.
    offset: u32,
    value: u64,
}

/// All registers: the global ones, then those of each queue.
#[derive(Debug, Clone)]
pub struct Registers {
    global: Vec<Cell>,
    queues: Vec<Vec<Cell>>,
    /// Low half written and not yet taken: offset, value.
    half: Option<(u32, u32)>,
}

fn cells(registers: &'static [Register], base: u32) -> Vec<Cell> {
    let mut cells: Vec<Cell> =
        registers.iter().map(|register| Cell { register, offset: base + register.offset, value: register.reset }).collect();
    cells.sort_by_key(|cell| cell.offset);
    cells
}

impl Registers {
    /// Reset values, with this many queues.
    pub fn new(queues: u32) -> Self {
        Registers {
            global: cells(&r::REGISTERS, 0),
            queues: (0..queues).map(|n| cells(&q::REGISTERS, q::at(n, 0))).collect(),
            half: None,
        }
    }

    fn cell(&self, offset: u32) -> Option<&Cell> {
        let cells = match offset.checked_sub(q::BASE) {
            None => &self.global,
            Some(inside) => self.queues.get((inside / q::STRIDE) as usize)?,
        };
        let at = cells.partition_point(|cell| cell.offset <= offset).checked_sub(1)?;
        cells.get(at).filter(|cell| offset < cell.offset + cell.register.width / 8)
    }

    fn cell_mut(&mut self, offset: u32) -> Option<&mut Cell> {
        let cells = match offset.checked_sub(q::BASE) {
            None => &mut self.global,
            Some(inside) => self.queues.get_mut((inside / q::STRIDE) as usize)?,
        };
        let at = cells.partition_point(|cell| cell.offset <= offset).checked_sub(1)?;
        cells.get_mut(at).filter(|cell| offset < cell.offset + cell.register.width / 8)
    }

    /// Value of a register by its offset; 0 if there is none.
    pub fn get(&self, offset: u32) -> u64 {
        self.cell(offset).map_or(0, |cell| cell.value)
    }

    /// Set a register from inside the device.
    pub fn set(&mut self, offset: u32, value: u64) {
        if let Some(cell) = self.cell_mut(offset) {
            cell.value = value;
        }
    }

    /// Read 32 bits; none if there is no register.
    pub fn read(&self, offset: u32) -> Option<u32> {
        let cell = self.cell(offset)?;
        if cell.register.access == Access::WriteOnly {
            return Some(0);
        }
        Some((cell.value >> (8 * (offset - cell.offset))) as u32)
    }

    /// Offset in the BAR of the low half of the register that lies at `offset`.
    pub fn base(&self, offset: u32) -> Option<u32> {
        self.cell(offset).map(|cell| cell.offset)
    }

    /// Write 32 bits.
    pub fn write(&mut self, offset: u32, value: u32) -> Write {
        let locked = self.get(r::CONTROL) as u32 & Control::ENABLE.0 != 0;
        let half = self.half;
        let Some(cell) = self.cell_mut(offset) else { return Write::Refused };
        if cell.register.access == Access::ReadOnly {
            return Write::Refused;
        }
        if cell.register.setup && locked {
            return Write::Locked;
        }
        if cell.register.width == 64 && offset == cell.offset {
            self.half = Some((offset, value));
            return Write::Half;
        }
        let new = if cell.register.width == 64 {
            // Without a low half before, the old one stays.
            let low = half.filter(|(at, _)| *at == cell.offset).map_or(cell.value as u32, |(_, low)| low);
            u64::from(low) | u64::from(value) << 32
        } else {
            u64::from(value)
        };
        match cell.register.access {
            Access::WriteOneToClear => cell.value &= !new,
            Access::WriteOnly => {}
            _ => cell.value = new,
        }
        let stored = Write::Stored(cell.offset, new);
        self.half = None;
        stored
    }
}

/// The first error is kept until cleared.
pub fn record_error(registers: &mut Registers, code: Error, detail: u64) {
    if registers.get(r::ERROR) == 0 {
        registers.set(r::ERROR, code as u64);
        registers.set(r::ERROR_DETAIL, detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_rules() {
        let mut f = Registers::new(2);
        assert_eq!(f.read(r::MAGIC), Some(weir_contract::constants::DEVICE_MAGIC));
        assert_eq!(f.write(r::MAGIC, 1), Write::Refused);
        assert_eq!(f.write(0x7f00, 1), Write::Refused);
        assert_eq!(f.read(0x7f00), None);
        assert_eq!(f.read(q::at(1, q::TX_BASE)), Some(0));
        assert_eq!(f.read(q::at(2, q::TX_BASE)), None);
        assert_eq!(f.write(r::COUNTER_SNAPSHOT, 1), Write::Stored(r::COUNTER_SNAPSHOT, 1));
        assert_eq!(f.read(r::COUNTER_SNAPSHOT), Some(0));
        f.set(r::INTERRUPT_CAUSE, 7);
        f.write(r::INTERRUPT_CAUSE, 2);
        assert_eq!(f.get(r::INTERRUPT_CAUSE), 5);
        f.set(r::CONTROL, u64::from(Control::ENABLE.0));
        assert_eq!(f.write(r::QUEUE_COUNT, 2), Write::Locked);
        assert_eq!(f.write(q::at(0, q::TX_BASE), 2), Write::Locked);
    }

    #[test]
    fn wide_registers_take_effect_with_the_high_half() {
        let mut f = Registers::new(1);
        assert_eq!(f.write(r::TABLE_ADDRESS, 0x1000), Write::Half);
        assert_eq!(f.get(r::TABLE_ADDRESS), 0);
        assert_eq!(f.write(r::TABLE_ADDRESS + 4, 1), Write::Stored(r::TABLE_ADDRESS, 0x1_0000_1000));
        assert_eq!((f.read(r::TABLE_ADDRESS), f.read(r::TABLE_ADDRESS + 4)), (Some(0x1000), Some(1)));
        assert_eq!(f.write(r::TABLE_ADDRESS + 4, 2), Write::Stored(r::TABLE_ADDRESS, 0x2_0000_1000));
    }
}
