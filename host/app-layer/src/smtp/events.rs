//! Events, by Suricata's names.

use crate::mime::Oddity;

/// An event; its number indexes [`NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Event {
    InvalidReply,
    UnableToMatchReply,
    CommandLineTooLong,
    ReplyLineTooLong,
    InvalidPipelining,
    NoWelcome,
    TlsRejected,
    DataRejected,
    DuplicateFields,
    UnparsableContent,
    InvalidBdat,
    MimeMalformed,
    MimeInvalidBase64,
    MimeInvalidQuotedPrintable,
    MimeLongHeaderName,
    MimeLongHeaderValue,
    MimeLongLine,
    MimeLongEncodedLine,
    MimeLongBoundary,
    MimeLongFileName,
}

pub(super) const NAMES: [&str; 20] = [
    "invalid_reply",
    "unable_to_match_reply_with_request",
    "max_command_line_len_exceeded",
    "max_reply_line_len_exceeded",
    "invalid_pipelined_sequence",
    "no_server_welcome_message",
    "tls_rejected",
    "data_command_rejected",
    "duplicate_fields",
    "unparsable_content",
    "invalid_bdat",
    "mime_malformed_msg",
    "mime_invalid_base64",
    "mime_invalid_qp",
    "mime_long_header_name",
    "mime_long_header_value",
    "mime_long_line",
    "mime_long_enc_line",
    "mime_long_boundary",
    "mime_long_filename",
];

impl From<Oddity> for Event {
    fn from(oddity: Oddity) -> Event {
        match oddity {
            Oddity::Malformed => Event::MimeMalformed,
            Oddity::InvalidBase64 => Event::MimeInvalidBase64,
            Oddity::InvalidQuotedPrintable => Event::MimeInvalidQuotedPrintable,
            Oddity::LongHeaderName => Event::MimeLongHeaderName,
            Oddity::LongHeaderValue => Event::MimeLongHeaderValue,
            Oddity::LongLine => Event::MimeLongLine,
            Oddity::LongEncodedLine => Event::MimeLongEncodedLine,
            Oddity::LongBoundary => Event::MimeLongBoundary,
            Oddity::LongFileName => Event::MimeLongFileName,
        }
    }
}
