//! The PCI boundary, DMA memory, and the driver of a pre-filter.
//!
//! Place: between the engine and whatever answers to the device contract: the model in the same process, the RTL in a
//! simulator, a card behind VFIO. [`PciFunction`] is the boundary; [`Driver`] is written once against it and trusts
//! nothing a device says: positions, lengths, generations and indices are checked before use.
#![deny(unsafe_code)]

pub mod dma;
pub mod driver;
pub mod error;
pub mod fault;
pub mod iommu;
pub mod iova;
pub mod pci;

pub use dma::DmaMemory;
pub use driver::selftest;
pub use driver::{ChainOutline, Driver, answer_to, DriverConfig, HistoryFrame, QueueConfig};
pub use error::DeviceError;
pub use iommu::{IommuError, IommuTable, Map, MapError, Permission};
pub use iova::IovaSpace;
pub use pci::PciFunction;
