//! The engine: wiring of decode, flows, streams, parsers and detection, with and without a device.
//!
//! Place: above every room of the host, below the command line. [`Engine`] is the full engine of the reference
//! semantics: give it every frame and it is `--device none`. [`DeviceRuntime`] feeds the same engine from a device's
//! descriptors, history and flow records.
#![forbid(unsafe_code)]

mod acknowledged;
pub mod config;
pub mod device;
pub mod engine;
mod evidence;
pub mod flow_data;
mod hold;
mod inspect;
pub mod log;
mod messages;
mod metadata;
mod tags;
pub mod statistics;
mod suspects;
pub mod verdict;

pub use config::{EngineConfig, Policy};
pub use device::budget::Budget;
pub use device::overload::Overload;
pub use device::{Amount, ClassShare, DeviceRuntime, DroppedFlow, HostCause, Inline, Judge, Retired, LONG_FLOW, RuntimeCounters};
pub use engine::{Engine, EngineCounters};
pub use hold::Hold;
pub use evidence::{Fragment, Lead, Pattern, Stream, StreamEvidence, Streams};
pub use suspects::BodyEvidence;
pub use verdict::Decision;
pub use messages::{MessageEvidence, Wait};
