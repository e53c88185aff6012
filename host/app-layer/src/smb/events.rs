//! Events, by Suricata's names.

/// An event; its number indexes [`NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Event {
    MalformedData,
    MalformedNtlmssp,
    MalformedDialects,
    RequestToClient,
    ResponseToServer,
    FileOverlap,
    TooManyTransactions,
    WriteQueueSize,
    WriteQueueCount,
    ReadQueueSize,
    ReadQueueCount,
}

pub(super) const NAMES: [&str; 11] = [
    "malformed_data",
    "malformed_ntlmssp_request",
    "negotiate_malformed_dialects",
    "request_to_client",
    "response_to_server",
    "file_overlap",
    "too_many_transactions",
    "write_queue_size_exceeded",
    "write_queue_cnt_exceeded",
    "read_queue_size_exceeded",
    "read_queue_cnt_exceeded",
];
