//! Events, by Suricata's names.

/// An event; its number indexes [`NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Event {
    CommandTooLong,
    ReplyTooLong,
    TooManyTransactions,
    FileBeforePort,
    FileWithoutName,
    TooManyPreliminaryReplies,
}

pub(super) const NAMES: [&str; 6] = [
    "request_command_too_long",
    "response_command_too_long",
    "too_many_transactions",
    "file_before_port",
    "file_without_name",
    "too_many_preliminary_responses",
];
