//! DCERPC (DCE 1.1 RPC, C706 chapter 12; MS-RPCE), over TCP, UDP, and the named pipes of SMB.
//!
//! `parser` takes PDUs apart, `association` remembers interfaces and assembles calls from fragments, `state` is the flow
//! over TCP or UDP.

mod association;
mod parser;
mod state;

pub(crate) use association::{Association, Call, Outcome, number};
pub(crate) use parser::fragment_length;
#[cfg(test)]
pub(crate) use parser::tests;
pub(crate) use association::log_of_pipe;
pub(crate) use state::stub;
pub use state::DceRpcState;
