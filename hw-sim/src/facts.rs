//! Payload facts: guards 40 to 57.
//!
//! Until their exact definitions stand in the contract, each armed one is raised by every payload. That is sound (a
//! guard may fire too often, never too rarely) and dear; which is why the planner arms only those it needs.

use crate::tables::Tables;

/// Numbers of the payload guards.
const FIRST: usize = 40;
const LAST: usize = 57;

/// Payload guards that this payload raises.
pub fn payload_guards(tables: &Tables, _payload: &[u8]) -> u64 {
    (FIRST..=LAST).filter(|n| tables.guards[*n].count != 0).fold(0, |set, n| set | 1 << n)
}
