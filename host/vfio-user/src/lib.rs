//! vfio-user: a PCI function of another process, over a Unix socket.
//!
//! Place: [`message`] is the one codec, for the server of the model (`weir_sim::served`) and for [`UserFunction`], the client
//! behind `weir_device::PciFunction`; [`wire`] carries messages and file descriptors. Written from the protocol's
//! description (QEMU, docs/interop/vfio-user.rst) for the messages that a device without migration needs.
//!
//! Invariants: a message is bounded before a byte of it is kept, decoded wholly or refused, and never allocated for by what
//! it claims; an error reply is an error; nothing waits longer than [`client::PATIENCE`].
#![forbid(unsafe_code)]

pub mod client;
pub mod message;
pub mod version;
pub mod wire;

pub use client::UserFunction;
pub use message::{Bad, Command, Header, Reply, Request};
