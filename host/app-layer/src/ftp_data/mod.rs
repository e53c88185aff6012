//! FTP data connections: one file, announced on the control connection.

mod state;

pub use state::FtpDataState;
