//! BitTorrent's distributed hash table over UDP (BEP 5, BEP 32): each message is a transaction.

mod bencode;
mod state;

pub use state::DhtState;
