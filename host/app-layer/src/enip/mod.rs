//! EtherNet/IP with CIP (ODVA, CIP Networks Library volumes 1 and 2) over TCP and UDP: requests with their responses.

mod cip;
mod log;
mod message;
mod state;

pub use state::EnipState;
