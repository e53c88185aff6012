//! Tables: what the registers ask of the loader, and host memory in front of it.

use super::{PATIENCE, Shell};
use crate::core::{Output, Pin};
use weir_contract::counters::Counter;
use weir_contract::enums::{Error, InterruptCause, TableState};
use weir_contract::registers as r;

impl Shell {
    /// TABLE_LOAD: the loader begins; it goes on while frames pass, or when TABLE_STATUS is asked for.
    pub(super) fn load_tables(&mut self) {
        if self.loading {
            return;
        }
        let (address, length) = (self.registers.get(r::TABLE_ADDRESS), self.registers.get(r::TABLE_LENGTH));
        let damaged = self.bus.faults.take_corrupt_image().filter(|at| (*at as u64) < length);
        self.damaged = damaged.and_then(|at| address.checked_add(at as u64));
        self.registers.set(r::TABLE_STATUS, TableState::Loading as u64);
        self.loading = true;
        self.input.image(address, length);
        self.pulse(Pin::Load);
    }

    /// Cycles until nothing is being loaded; the frame path has its own only where it does not rest.
    pub(super) fn await_tables(&mut self) {
        let (begin, length) = (self.cycles, self.registers.get(r::TABLE_LENGTH));
        let mut rests = false;
        while self.loading {
            // Some passes over the image, and a word at a time.
            assert!(self.cycles - begin < PATIENCE + length.min(1 << 30) * 16, "the loader hangs");
            if !rests {
                rests = self.tick().rests_or_stalls();
                continue;
            }
            let ask = self.answer_loader();
            // What waits for host memory goes on waiting.
            self.input.set(Pin::StoreReady, false);
            self.input.set(Pin::EgressReady, false);
            let out = self.core.load_cycle(&self.input);
            self.cycles += 1;
            if out.load_writes() {
                self.input.set(Pin::ReadValid, false);
            }
            self.serve_loader(&out, ask);
        }
    }

    /// What host memory says to the loader in this cycle; whether it takes a read.
    pub(super) fn answer_loader(&mut self) -> bool {
        if !self.loading {
            return false;
        }
        let (ask, answer) = (!self.stall(), !self.stall());
        self.input.set(Pin::LoadReady, ask);
        self.input.load_data(if answer { self.lines.pop_front() } else { None });
        ask
    }

    /// What the loader said in it.
    pub(super) fn serve_loader(&mut self, out: &Output, ask: bool) {
        if let Some((address, length)) = out.load_read().filter(|_| ask) {
            let line = self.line(address, length);
            self.lines.push_back(line);
        }
        self.last.tables = out.tables();
        if !self.loading || !out.loaded() {
            return;
        }
        self.loading = false;
        self.damaged = None;
        self.input.load_data(None);
        let (error, block, offset) = out.refusal().unwrap_or_default();
        let (state, counter) = match error {
            0 => (TableState::Ready, Counter::TableLoads),
            _ => (TableState::Failed, Counter::TableFailures),
        };
        self.around.count(counter);
        self.registers.set(r::TABLE_STATUS, state as u64);
        self.registers.set(r::TABLE_ERROR, error.into());
        self.registers.set(r::TABLE_ERROR_BLOCK, block.into());
        self.registers.set(r::TABLE_ERROR_OFFSET, offset);
        self.cause(InterruptCause::TABLE);
    }

    /// A line of the table image.
    fn line(&mut self, address: u64, length: usize) -> Option<[u8; 64]> {
        let mut bytes = [0; 64];
        self.bus.read(address, &mut bytes[..length]).ok()?;
        let damaged = self.damaged.and_then(|at| at.checked_sub(address)).and_then(|at| bytes.get_mut(at as usize));
        if let Some(byte) = damaged {
            *byte ^= 0x10;
        }
        Some(bytes)
    }

    /// EPOCH.
    pub(super) fn activate(&mut self, epoch: u32) {
        self.input.epoch(epoch);
        self.pulse(Pin::Activate);
        let out = self.tick();
        if out.epoch_unknown() {
            self.report(Error::Epoch, epoch.into());
        } else if out.epoch_changed() {
            self.around.count(Counter::EpochChanges);
        }
    }
}
