//! White space and tokens as libhtp understands them.

/// C's `isspace`.
pub fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c)
}

/// Trimming by [`is_space`].
pub trait Lines {
    /// Without white space at the start.
    fn trim_start_spaces(&self) -> &[u8];
    /// Without white space at both ends.
    fn trim_spaces(&self) -> &[u8];
}

impl Lines for [u8] {
    fn trim_start_spaces(&self) -> &[u8] {
        &self[self.iter().position(|b| !is_space(*b)).unwrap_or(self.len())..]
    }
    fn trim_spaces(&self) -> &[u8] {
        let start = self.trim_start_spaces();
        &start[..start.iter().rposition(|b| !is_space(*b)).map_or(0, |at| at + 1)]
    }
}

/// A character of a field name (RFC 9110 section 5.6.2).
pub fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// `needle` occurs in `haystack`, in any case; `needle` is lower case.
pub fn contains_fold(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w.eq_ignore_ascii_case(needle))
}

/// A decimal number behind anything that is none, as lenient servers read it; overflow saturates.
pub fn lenient_number(value: &[u8]) -> Option<u64> {
    let start = value.iter().position(u8::is_ascii_digit)?;
    let digits = value[start..].iter().take_while(|b| b.is_ascii_digit());
    Some(digits.fold(0u64, |n, b| n.saturating_mul(10).saturating_add(u64::from(b - b'0'))))
}

/// There is something before, or behind, the number that [`lenient_number`] reads.
pub fn junk_around_number(value: &[u8]) -> [bool; 2] {
    let value = value.trim_spaces();
    let Some(start) = value.iter().position(u8::is_ascii_digit) else { return [false; 2] };
    let digits = value[start..].iter().take_while(|b| b.is_ascii_digit()).count();
    [start > 0, start + digits < value.len()]
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    /// Not one of HTTP/1.
    #[default]
    Invalid,
    /// HTTP/0.9
    V09,
    /// HTTP/1.0
    V10,
    /// HTTP/1.1
    V11,
}

/// Read `HTTP/1.1`, with white space around the slash and zeros before the number.
pub fn version(text: &[u8]) -> Version {
    let Some((name, rest)) = text.trim_ascii_start().split_at_checked(4) else { return Version::Invalid };
    if !name.eq_ignore_ascii_case(b"HTTP") {
        return Version::Invalid;
    }
    let Some(rest) = rest.trim_ascii_start().strip_prefix(b"/") else { return Version::Invalid };
    let zeros = rest.iter().position(|b| *b != b'0' && !b.is_ascii_whitespace()).unwrap_or(rest.len());
    match rest[zeros..].trim_ascii_end() {
        b".9" => Version::V09,
        b"1.0" => Version::V10,
        b"1.1" => Version::V11,
        _ => Version::Invalid,
    }
}

/// Methods that libhtp knows: a line that starts with one of these is a request.
pub fn known_method(method: &[u8]) -> bool {
    const METHODS: [&[u8]; 28] = [
        b"HEAD", b"GET", b"PUT", b"POST", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"PROPFIND",
        b"PROPPATCH", b"MKCOL", b"COPY", b"MOVE", b"LOCK", b"UNLOCK", b"VERSION-CONTROL", b"CHECKOUT", b"UNCHECKOUT",
        b"CHECKIN", b"UPDATE", b"LABEL", b"REPORT", b"MKWORKSPACE", b"MKACTIVITY", b"BASELINE-CONTROL", b"MERGE",
        b"INVALID",
    ];
    METHODS.contains(&method)
}
