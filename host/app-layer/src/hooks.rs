//! Where a transaction stands, in the states that rules hook into.

use crate::{COMPLETE, Direction, ProtocolState};
use weir_contract::protocol::AppProtocol;
use weir_ir::hook::states;

/// The state of a direction of transaction `index`: place in [`states`]. A parser's progress says what is done, a state
/// what is under way.
pub fn hook_state(state: &dyn ProtocolState, index: usize, direction: Direction) -> u8 {
    let protocol = state.protocol();
    let Some(progress) = state.transactions().get(index).map(|t| t.progress[direction as usize]) else { return 0 };
    let last = (states(protocol)[direction as usize].len() - 1) as u8;
    match (protocol, progress) {
        // The handshake is done as soon as the certificates are through; the session goes on.
        (AppProtocol::Tls, 2..) => last - 1,
        (_, COMPLETE) => last,
        (AppProtocol::Http1, done) => (done + 1).min(last - 1),
        (AppProtocol::Tls, done) => done,
        (AppProtocol::Ssh, done) => if done > 0 { 2 } else { 0 },
        // A command is complete with its line.
        (AppProtocol::Ftp, _) if direction == Direction::ToServer => last,
        (AppProtocol::Smtp, _) => u8::from(state.number(index, direction, "smtp.data").is_some()),
        _ => 0,
    }
}
