//! Events of HTTP/1, by Suricata's names.

macro_rules! events {
    ($($name:ident = $text:literal,)*) => {
        /// An event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Event { $(#[doc = $text] $name,)* }
        /// Names in the order of [`Event`].
        pub const NAMES: &[&str] = &[$($text,)*];
    };
}

events! {
    RequestFieldMissingColon = "request_field_missing_colon",
    ResponseFieldMissingColon = "response_field_missing_colon",
    InvalidRequestChunkLength = "invalid_request_chunk_len",
    InvalidResponseChunkLength = "invalid_response_chunk_len",
    InvalidRequestTransferEncoding = "invalid_transfer_encoding_value_in_request",
    InvalidRequestContentLength = "invalid_content_length_field_in_request",
    InvalidResponseContentLength = "invalid_content_length_field_in_response",
    DuplicateRequestContentLength = "duplicate_content_length_field_in_request",
    DuplicateResponseContentLength = "duplicate_content_length_field_in_response",
    ContinueAlreadySeen = "100_continue_already_seen",
    UnableToMatchResponse = "unable_to_match_response_to_request",
    MissingHost = "missing_host_header",
    HostAmbiguous = "host_header_ambiguous",
    InvalidRequestFolding = "invalid_request_field_folding",
    RequestFieldTooLong = "request_field_too_long",
    ResponseFieldTooLong = "response_field_too_long",
    RequestTooManyHeaders = "request_too_many_headers",
    ResponseTooManyHeaders = "response_too_many_headers",
    MultipartGenericError = "multipart_generic_error",
    MultipartNoFileData = "multipart_no_filedata",
    MultipartInvalidHeader = "multipart_invalid_header",
    UriHostInvalid = "request_uri_host_invalid",
    HeaderHostInvalid = "request_header_host_invalid",
    UriDelimiter = "uri_delim_non_compliant",
    MethodDelimiter = "method_delim_non_compliant",
    LeadingWhitespace = "request_line_leading_whitespace",
    TooManyEncodings = "too_many_encoding_layers",
    AbnormalContentEncoding = "abnormal_ce_header",
    AuthUnrecognized = "request_auth_unrecognized",
    RequestHeaderRepetition = "request_header_repetition",
    ResponseHeaderRepetition = "response_header_repetition",
    MultipartByteranges = "response_multipart_byteranges",
    AbnormalTransferEncoding = "response_abnormal_transfer_encoding",
    ChunkedOldProtocol = "response_chunked_old_proto",
    ResponseInvalidProtocol = "response_invalid_protocol",
    ResponseInvalidStatus = "response_invalid_status",
    RequestLineIncomplete = "request_line_incomplete",
    RequestLineMissingProtocol = "request_line_missing_protocol",
    RequestLineInvalid = "request_line_invalid",
    RequestChunkExtension = "request_chunk_extension",
    ResponseChunkExtension = "response_chunk_extension",
    RequestBodyUnexpected = "request_body_unexpected",
    ResponseBodyUnexpected = "response_body_unexpected",
    RequestSpaceAfterName = "request_invalid_lws_after_name",
    ResponseSpaceAfterName = "response_invalid_lws_after_name",
    ResponseNameNotToken = "response_header_name_not_token",
    LengthBeginsWithJunk = "content_length_extra_data_start",
    LengthEndsWithJunk = "content_length_extra_data_end",
    DeformedLineEnd = "deformed_eol",
}
