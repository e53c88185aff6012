//! Bencoded values (BEP 3), without copying.

/// Deepest nesting that is followed.
const DEPTH_MAX: usize = 16;

/// A value; of containers the encoded content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
    List(&'a [u8]),
    Dictionary(&'a [u8]),
}

impl<'a> Value<'a> {
    pub fn bytes(self) -> Option<&'a [u8]> {
        if let Value::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    pub fn integer(self) -> Option<i64> {
        if let Value::Integer(n) = self { Some(n) } else { None }
    }

    pub fn dictionary(self) -> Option<&'a [u8]> {
        if let Value::Dictionary(content) = self { Some(content) } else { None }
    }

    /// Items of a list.
    pub fn items(self) -> impl Iterator<Item = Value<'a>> {
        let mut rest = if let Value::List(content) = self { content } else { &[] };
        std::iter::from_fn(move || next(&mut rest, 0))
    }
}

/// The next value of `input`.
pub fn next<'a>(input: &mut &'a [u8], depth: usize) -> Option<Value<'a>> {
    match input.first()? {
        b'i' => {
            let end = input.iter().take(24).position(|b| *b == b'e')?;
            let value = std::str::from_utf8(&input[1..end]).ok()?.parse().ok()?;
            *input = &input[end + 1..];
            Some(Value::Integer(value))
        }
        b'0'..=b'9' => {
            let colon = input.iter().take(8).position(|b| *b == b':')?;
            let length: usize = std::str::from_utf8(&input[..colon]).ok()?.parse().ok()?;
            let bytes = input.get(colon + 1..colon + 1 + length)?;
            *input = &input[colon + 1 + length..];
            Some(Value::Bytes(bytes))
        }
        kind @ (b'l' | b'd') if depth < DEPTH_MAX => {
            let whole = &input[1..];
            let mut rest = whole;
            while *rest.first()? != b'e' {
                next(&mut rest, depth + 1)?;
            }
            let content = &whole[..whole.len() - rest.len()];
            *input = &rest[1..];
            Some(if *kind == b'l' { Value::List(content) } else { Value::Dictionary(content) })
        }
        _ => None,
    }
}

/// The value of a key in a dictionary's content.
pub fn find<'a>(mut dictionary: &'a [u8], key: &[u8]) -> Option<Value<'a>> {
    loop {
        let name = next(&mut dictionary, 0)?.bytes()?;
        let value = next(&mut dictionary, 0)?;
        if name == key {
            return Some(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let mut input = &b"d1:ai-7e1:bl3:xyzi2eee4:rest"[..];
        let content = next(&mut input, 0).and_then(Value::dictionary).unwrap();
        assert_eq!(find(content, b"a"), Some(Value::Integer(-7)));
        assert_eq!(find(content, b"b").unwrap().items().count(), 2);
        assert_eq!((find(content, b"c"), next(&mut input, 0)), (None, Some(Value::Bytes(b"rest"))));
        for bad in [&b"d1:a"[..], b"i", b"i-e", b"9:short", b"99999999999:x", b"x", b""] {
            assert_eq!(next(&mut { bad }, 0), None, "{bad:?}");
        }
        assert_eq!(next(&mut &[b'l'; 10_000][..], 0), None);
    }
}
