//! Telnet (RFC 854): its frames are for rules (`crate::frames`); transactions it has none.

use crate::{Direction, Input, ProtocolState, Transaction};
use weir_contract::protocol::AppProtocol;

/// Telnet of one flow.
#[derive(Debug, Default)]
pub struct TelnetState;

impl ProtocolState for TelnetState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Telnet
    }

    fn feed(&mut self, _direction: Direction, _input: Input<'_>, _frame: u64) {}

    fn transactions(&self) -> &[Transaction] {
        &[]
    }

    fn mark_inspected(&mut self) {}

    fn is_open(&self, _direction: Direction) -> bool {
        false
    }

    fn log(&self, _index: usize, _out: &mut Vec<u8>) {}
}
