//! Table banks: active, previous and shadow; loading by DMA, activation by epoch, rollback.
//!
//! Invariant: an image that fails in any way changes neither the active nor the previous bank.

use crate::dma::Bus;
use crate::tables::{Refusal, Tables};
use std::rc::Rc;
use weir_contract::constants as c;
use weir_contract::crc::crc32c;
use weir_contract::enums::TableError;
use weir_contract::layouts::ImageHeader;

/// A resident bank.
#[derive(Debug, Clone)]
pub struct Bank {
    /// Its epoch.
    pub epoch: u32,
    /// Tables.
    pub tables: Rc<Tables>,
    /// The image, for read-back of its checksums.
    image: Rc<[u8]>,
}

impl Bank {
    /// Checksum of the directory, recomputed from what is resident: it differs from the loaded one if any block or
    /// directory entry does.
    pub fn read_back(&self) -> u32 {
        let directory = self.tables.directory();
        let mut bytes = Vec::with_capacity(directory.len() * 32);
        for entry in directory {
            let from = entry.offset as usize;
            let block = self.image.get(from..from + entry.length as usize).unwrap_or(&[]);
            bytes.extend(weir_contract::layouts::BlockEntry { crc: crc32c(block), ..*entry }.to_bytes());
        }
        crc32c(&bytes)
    }
}

/// The three banks.
#[derive(Debug, Default)]
pub struct Banks {
    /// Judges frames.
    pub active: Option<Bank>,
    /// Loaded and checked, not yet active.
    pub shadow: Option<Bank>,
    /// Was active before.
    pub previous: Option<Bank>,
    last_epoch: u32,
}

/// Bytes of one DMA read: memory is taken as the image proves to be there.
const CHUNK: usize = 1 << 16;

impl Banks {
    /// Load an image into the shadow bank. Its epoch is greater than every one before: entries of the flow table keep what
    /// an epoch's tables said, by number.
    pub fn load(&mut self, bus: &mut Bus, address: u64, length: u64) -> Result<u32, Refusal> {
        self.shadow = None;
        let image = fetch(bus, address, length)?;
        let tables = Tables::load(&image)?;
        let epoch = self.last_epoch.wrapping_add(1).max(1);
        self.last_epoch = epoch;
        self.shadow = Some(Bank { epoch, tables: Rc::new(tables), image: image.into() });
        Ok(epoch)
    }

    /// Make an epoch the active one: the shadow's, or (rollback) the previous. `false`: not resident.
    pub fn activate(&mut self, epoch: u32) -> bool {
        let is = |bank: &Option<Bank>| bank.as_ref().is_some_and(|bank| bank.epoch == epoch);
        if is(&self.active) {
            return true;
        }
        if is(&self.shadow) {
            self.previous = std::mem::replace(&mut self.active, self.shadow.take());
        } else if is(&self.previous) {
            std::mem::swap(&mut self.active, &mut self.previous);
        } else {
            return false;
        }
        true
    }
}

fn fetch(bus: &mut Bus, address: u64, length: u64) -> Result<Vec<u8>, Refusal> {
    let refused = |error, offset| Refusal { error, block: 0, offset };
    if length < ImageHeader::SIZE as u64 || length > c::IMAGE_LENGTH_MAX {
        return Err(refused(TableError::Length, 0));
    }
    let length = length as usize;
    let mut image = Vec::new();
    while image.len() < length {
        let from = image.len();
        let part = CHUNK.min(length - from);
        image.resize(from + part, 0);
        let at = address.checked_add(from as u64).ok_or(refused(TableError::Dma, from as u64))?;
        let into = image.get_mut(from..).unwrap_or(&mut []);
        bus.read(at, into).map_err(|_| refused(TableError::Dma, from as u64))?;
        if from == 0 {
            // The header must agree before more is fetched.
            let header = ImageHeader::read(&image).ok_or(refused(TableError::Length, 0))?;
            if header.magic == c::IMAGE_MAGIC && header.length != length as u64 {
                return Err(refused(TableError::Length, ImageHeader::OFFSET_LENGTH as u64));
            }
        }
    }
    bus.faults.touch_image(&mut image);
    Ok(image)
}
