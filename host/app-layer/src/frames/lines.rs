//! Lines, for the protocols that have them.

/// Length of the first line with its line feed.
pub(super) fn line(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes).map(|at| at + 1)
}

/// Length of a head with the empty line that ends it.
pub(super) fn head(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let length = line(bytes.get(at..)?)?;
        let text = &bytes[at..at + length];
        at += length;
        if at > length && matches!(text, b"\n" | b"\r\n") {
            return Some(at);
        }
    }
}

/// Value of a field of a head.
pub(super) fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|b| *b == b'\n').find_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        let (key, value) = line.split_at(colon);
        key.trim_ascii().eq_ignore_ascii_case(name).then(|| value[1..].trim_ascii())
    })
}

/// A decimal number.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}
