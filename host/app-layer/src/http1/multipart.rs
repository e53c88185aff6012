//! Files in multipart/form-data bodies (RFC 7578, RFC 2046 section 5.1).

/// A part with a file name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// `filename` of its Content-Disposition.
    pub name: Vec<u8>,
    /// Content so far.
    pub data: Vec<u8>,
    /// The closing boundary was seen.
    pub complete: bool,
}

/// Most files of one body.
const PARTS_MAX: usize = 64;

fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    haystack.get(from..)?.windows(needle.len().max(1)).position(|w| w == needle).map(|at| at + from)
}

/// The `boundary` parameter of a Content-Type.
pub fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let lower = content_type.to_ascii_lowercase();
    if !lower.trim_ascii_start().starts_with(b"multipart/") {
        return None;
    }
    let at = find(&lower, b"boundary=", 0)? + 9;
    let value = content_type.get(at..)?;
    let value = if value.first() == Some(&b'"') {
        value[1..].split(|b| *b == b'"').next()?
    } else {
        value.split(|b| matches!(b, b';' | b' ' | b'\t' | b',')).next()?
    };
    (!value.is_empty() && value.len() <= 256).then(|| value.to_vec())
}

/// The files of a body, as far as it has come.
pub fn parts(body: &[u8], boundary: &[u8], complete: bool) -> Vec<Part> {
    let mut delimiter = b"--".to_vec();
    delimiter.extend_from_slice(boundary);
    let mut out = Vec::new();
    let mut at = match find(body, &delimiter, 0) {
        Some(at) => at + delimiter.len(),
        None => return out,
    };
    while out.len() < PARTS_MAX {
        let Some(head_end) = find(body, b"\r\n\r\n", at) else { break };
        let head = &body[at..head_end];
        let start = head_end + 4;
        let mut stop = b"\r\n".to_vec();
        stop.extend_from_slice(&delimiter);
        let (end, closed) = match find(body, &stop, start) {
            Some(end) => (end, true),
            // Bytes that may be the beginning of the delimiter are held back until it is clear.
            None if complete => (body.len(), true),
            None => (body.len().saturating_sub(stop.len()).max(start.min(body.len())), false),
        };
        if let Some(name) = file_name(head) {
            out.push(Part { name, data: body[start..end].to_vec(), complete: closed });
        }
        if !closed || end >= body.len() {
            break;
        }
        at = end + stop.len();
    }
    out
}

fn file_name(head: &[u8]) -> Option<Vec<u8>> {
    let lower = head.to_ascii_lowercase();
    let at = find(&lower, b"filename=", 0)? + 9;
    let value = head.get(at..)?;
    let value = if value.first() == Some(&b'"') {
        value[1..].split(|b| *b == b'"').next()?
    } else {
        value.split(|b| matches!(b, b';' | b'\r' | b'\n')).next()?
    };
    Some(value.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_and_only_grow() {
        assert_eq!(boundary(b"multipart/form-data; boundary=\"x y\"").as_deref(), Some(&b"x y"[..]));
        assert_eq!(boundary(b"text/plain"), None);
        let body = b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.php\"\r\n\r\n<?php ?>\r\n--B--\r\n";
        let all = parts(body, b"B", true);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].name.as_slice(), all[0].data.as_slice()), (&b"x.php"[..], &b"<?php ?>"[..]));
        let mut last = Vec::new();
        for n in 0..=body.len() {
            if let Some(part) = parts(&body[..n], b"B", false).first() {
                assert!(part.data.starts_with(&last), "{n}");
                last = part.data.clone();
            }
        }
    }
}
