//! Detection: rules are compiled to a [`Program`], and each worker's [`Inspector`] evaluates it on packets, stream
//! deliveries and transactions.
//!
//! # Use
//!
//! 1. At load: [`Program::compile`] with the normalised rules and [`CompileOptions`] (threshold.config, limits, the
//!    program in force before a reload). It answers with the program and a [`CompileError`] for each rule left out.
//!    Share it through an `Arc`; give each worker an [`Inspector`]; keep one [`SharedState`] that all inspections
//!    receive in frame order.
//! 2. For each flow keep a [`FlowDetect`] (starts as `Default`).
//! 3. For each packet build a [`Context`] and call, as its processing goes on:
//!    - [`Inspector::stream`] for each delivery of stream bytes ([`Delivery`]: retained window and new bytes),
//!    - [`Inspector::packet`] once,
//!    - [`Inspector::transactions`] once for each direction, then `ProtocolState::mark_inspected`,
//!    - [`Inspector::finish`] once: it puts the packet's [`Match`]es in evaluation order, lets `pass` rules end
//!      alerting, applies thresholds and suppressions, and appends what is left to a reusable vector.
//!
//!    Packets without flow (fragments, frames without IP) take [`Context::of_packet`] and no `FlowDetect`.
//! 4. [`Inspector::waits`], [`FlowDetect::waits_for`] and [`Inspector::could_match`] say what must keep a flow from being released to a device.
//!
//! A packet matches a `tcp` rule at most once, whether on its own payload or in the stream it completes; a
//! transaction matches a rule at most once for each direction.
//!
//! # Invariants
//!
//! No input panics, recurses or allocates without bound; every limit is counted ([`Counters`]). In the steady state
//! nothing is allocated for a packet. The answer is a function of the rules, the calls and their order alone.
//!
//! # What it does not do
//!
//! It does not decode, reassemble or parse; it does not write alerts or act on verdicts; `tag` is only reported.
#![deny(unsafe_code)]

mod asn1;
pub mod chain;
mod context;
mod flow;
pub mod fuzz;
mod inspect;
pub mod notes;
pub mod pcre;
pub mod prefilter;
mod profile;
pub mod program;
pub mod shared;
mod stats;
pub mod transform;

pub use chain::Limits;
pub use context::{Context, Effect, FlowFacts, Match, RejectTo, Scope};
pub use flow::{FlowDetect, Marks, Standing, Waiter};
pub use fuzz::fuzz_inspect;
pub use profile::{RuleCost, RuleProfile};
pub use inspect::{Delivery, FirewallReason, FirewallVerdict, Inspector};
pub use program::firewall::{Firewall, PacketTable, Policies, Policy as FirewallPolicy};
pub use program::order::ActionOrder;
pub use program::{CompileError, CompileOptions, MessagePattern, Program, RuleIndex};
pub use shared::{SharedState, threshold::ConfigEntry};
pub use stats::Counters;
