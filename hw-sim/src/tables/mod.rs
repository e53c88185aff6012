//! A table bank: the image as the device holds it, after every length, index, checksum and value was checked.
//!
//! Place: loaded by DMA between two frames, read by every stage that judges. Invariant: what [`Tables::load`] returned
//! can be used without a further check failing; an image that is wrong anywhere is refused with block and reason, and
//! nothing of it is kept.

mod classes;
pub mod header;
mod image;
mod load;

pub use classes::{AddressClasses, Matrix};
pub use image::{Image, Refusal};

use crate::literal::Filter;
use weir_contract::constants as c;
use weir_contract::flow_key::Address;
use weir_contract::layouts::{BlockEntry, GuardParameters, Limits, ListRange, Record};
use weir_contract::record::ClassSets;

/// One resident set of tables.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Identity of the image.
    pub identity: [u8; 16],
    /// The literal filter.
    pub filter: Filter,
    /// Record ids.
    pub lists: Vec<u32>,
    /// Records.
    pub records: Vec<Record>,
    /// Header table: record ids, in order.
    pub header: Vec<u32>,
    /// Guard lists.
    pub guards: [ListRange; c::GUARDS_MAX],
    /// Guards that lead anywhere.
    pub armed: u64,
    /// What payload facts compare with.
    pub parameters: GuardParameters,
    /// Bounds per frame.
    pub limits: Limits,
    /// Entries of the longest of the fragments' lists that begin at each entry.
    longest: Vec<u16>,
    port_classes: Vec<u16>,
    addresses: AddressClasses,
    port_sets: Matrix,
    address_sets: Matrix,
    directory: Vec<BlockEntry>,
    directory_crc: u32,
}

impl Tables {
    /// Check and load an image.
    pub fn load(bytes: &[u8]) -> Result<Tables, Refusal> {
        load::load(bytes)
    }

    /// Checksum of the directory, which holds the checksum of every block.
    pub fn directory_crc(&self) -> u32 {
        self.directory_crc
    }

    /// Directory of the image.
    pub fn directory(&self) -> &[BlockEntry] {
        &self.directory
    }

    /// Record ids of the longest of the fragments' lists that begin at an entry.
    #[inline]
    pub fn longest_list(&self, start: u32) -> &[u32] {
        self.list(start, self.longest.get(start as usize).copied().unwrap_or(u16::MAX).into())
    }

    /// Record ids of a list.
    #[inline]
    pub fn list(&self, start: u32, count: u32) -> &[u32] {
        let start = start as usize;
        self.lists.get(start..start + count as usize).unwrap_or(&[])
    }

    /// Classes of addresses.
    pub fn addresses(&self) -> &AddressClasses {
        &self.addresses
    }

    /// Class of a port.
    #[inline]
    pub fn port_class(&self, port: u16) -> u16 {
        self.port_classes.get(usize::from(port)).copied().unwrap_or(0)
    }

    /// Class of an address: longest prefix.
    #[inline]
    pub fn address_class(&self, address: Address) -> u16 {
        match address {
            Address::V4(v4) => self.addresses.v4(u32::from_be_bytes(v4)),
            Address::V6(v6) => self.addresses.v6(u128::from_be_bytes(v6)),
        }
    }
}

impl ClassSets for Tables {
    #[inline]
    fn port(&self, set: u16, class: u16) -> bool {
        set == c::SET_ANY || self.port_sets.holds(set, class)
    }

    #[inline]
    fn address(&self, set: u16, class: u16) -> bool {
        set == c::SET_ANY || self.address_sets.holds(set, class)
    }
}
