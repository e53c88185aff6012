//! MIME (RFC 2045 to 2049) as mail protocols carry it: header fields, parts, transfer encodings, attached files.
//!
//! `header` takes field lines and parameters apart, `transfer` undoes encodings, `parser` follows the structure line by
//! line. Nothing is rejected: what does not fit raises an oddity, and is taken as content.

mod header;
mod parser;
mod transfer;
mod url;

pub(crate) use parser::{Message, Oddity};
