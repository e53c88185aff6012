//! PostgreSQL's protocol version 3 (PostgreSQL documentation, "Frontend/Backend Protocol"): requests with their responses.

mod log;
mod state;

pub use state::PgsqlState;
