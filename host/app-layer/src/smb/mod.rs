//! SMB 1, 2 and 3 (MS-CIFS, MS-SMB, MS-SMB2) with the DCERPC of their named pipes and the files they carry.
//!
//! `framing` cuts records (RFC 1002 session messages, direct TCP), `smb1` and `smb2` give messages their meaning, as
//! [`message::Message`]; `state` pairs requests with responses and follows trees, `files` what is open; `ntlmssp` reads who
//! logs in; `transfer` puts files together; `fields` answers detection. Encrypted and compressed messages (SMB 3) are passed
//! over: what they carry cannot be read.

mod events;
mod fields;
mod files;
mod framing;
mod log;
mod message;
mod ntlmssp;
mod smb1;
mod smb2;
mod state;
mod status;

pub use state::SmbState;

#[cfg(test)]
mod tests;
