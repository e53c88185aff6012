//! A PCI function behind the kernel's VFIO (group and container interface).
//!
//! Place: back end of [`weir_device::PciFunction`] for hardware, and for a model that a virtual machine sees as hardware.
//! [`list`] reads sysfs and says for each candidate what is missing; [`VfioFunction::open`] refuses with the same words.
//! Invariants: memory is mapped for the device only while a mapping here holds a clone of it; on drop the function is
//! taken off the bus (bus mastering off, vectors off) before any mapping goes. Not done here: binding drivers, which
//! changes the machine and is the operator's; iommufd, which the kernels supported so far do not need.
#![deny(unsafe_code)]

mod function;
mod sysfs;

pub use function::VfioFunction;
pub use sysfs::{Candidate, list};
