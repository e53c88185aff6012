//! NFS 2, 3 and 4 (RFC 1094, RFC 1813, RFC 7530, RFC 8881) over ONC RPC (RFC 5531): calls with their replies, and files.

mod call;
mod compound;
mod log;
mod names;
mod rpc;
mod state;
mod xdr;

#[cfg(test)]
mod tests;

pub use state::NfsState;
