//! Words, payload pieces and `key=value` options of a line.

/// A part of a line, with its column (from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub column: usize,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Word(String),
    /// `"text |0d 0a|"` or `|0d 0a|`.
    Bytes(Vec<u8>),
    /// `key=word` or `key="text"`.
    Option(String, Vec<u8>),
}

/// Column and message.
pub(super) type Failure = (usize, String);

pub(super) fn tokens(line: &str) -> Result<Vec<Token>, Failure> {
    let bytes = line.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let column = at + 1;
        match byte {
            b' ' | b'\t' | b'\r' => at += 1,
            b'#' => break,
            b'"' => {
                let (value, end) = quoted(bytes, at)?;
                tokens.push(Token { column, kind: Kind::Bytes(value) });
                at = end;
            }
            b'|' => {
                let mut value = Vec::new();
                at = hex(bytes, at, &mut value)?;
                tokens.push(Token { column, kind: Kind::Bytes(value) });
            }
            _ => {
                let start = at;
                while bytes.get(at).is_some_and(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'"' | b'=' | b'#')) {
                    at += 1;
                }
                let word = line.get(start..at).unwrap_or_default().to_string();
                let kind = match (bytes.get(at), bytes.get(at + 1)) {
                    (Some(b'='), Some(b'"')) => {
                        let (value, end) = quoted(bytes, at + 1)?;
                        at = end;
                        Kind::Option(word, value)
                    }
                    (Some(b'='), _) => {
                        let start = at + 1;
                        at = start;
                        while bytes.get(at).is_some_and(|byte| !matches!(byte, b' ' | b'\t' | b'\r')) {
                            at += 1;
                        }
                        Kind::Option(word, bytes.get(start..at).unwrap_or_default().to_vec())
                    }
                    (Some(b'"'), _) => {
                        return Err((at + 1, format!("a space is missing between `{word}` and the text")));
                    }
                    _ => Kind::Word(word),
                };
                tokens.push(Token { column, kind });
            }
        }
    }
    Ok(tokens)
}

/// A text in quotes that starts at `start`; the place behind it.
fn quoted(bytes: &[u8], start: usize) -> Result<(Vec<u8>, usize), Failure> {
    let mut value = Vec::new();
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            None => return Err((start + 1, "the text has no closing quote".into())),
            Some(b'"') => return Ok((value, at + 1)),
            Some(b'|') => at = hex(bytes, at, &mut value)?,
            Some(b'\\') => {
                let (byte, length) = match bytes.get(at + 1) {
                    Some(b'r') => (b'\r', 2),
                    Some(b'n') => (b'\n', 2),
                    Some(b't') => (b'\t', 2),
                    Some(b'0') => (0, 2),
                    Some(byte @ (b'\\' | b'"' | b'|')) => (*byte, 2),
                    Some(b'x') => match (digit(bytes.get(at + 2)), digit(bytes.get(at + 3))) {
                        (Some(high), Some(low)) => (high << 4 | low, 4),
                        _ => return Err((at + 1, "`\\x` needs two hexadecimal digits".into())),
                    },
                    _ => {
                        let known = "unknown escape; known are \\r \\n \\t \\0 \\\\ \\\" \\| \\xHH";
                        return Err((at + 1, known.into()));
                    }
                };
                value.push(byte);
                at += length;
            }
            Some(byte) => {
                value.push(*byte);
                at += 1;
            }
        }
    }
}

/// Bytes between bars; the place behind them.
fn hex(bytes: &[u8], start: usize, value: &mut Vec<u8>) -> Result<usize, Failure> {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            None => return Err((start + 1, "the bytes have no closing `|`".into())),
            Some(b'|') => return Ok(at + 1),
            Some(b' ') => at += 1,
            high => match (digit(high), digit(bytes.get(at + 1))) {
                (Some(high), Some(low)) => {
                    value.push(high << 4 | low);
                    at += 2;
                }
                _ => return Err((at + 1, "between `|` there are bytes of two hexadecimal digits".into())),
            },
        }
    }
}

fn digit(byte: Option<&u8>) -> Option<u8> {
    (*byte? as char).to_digit(16).map(|digit| digit as u8)
}
