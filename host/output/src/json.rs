//! Append-only JSON into a byte buffer.
//!
//! Strings from the wire follow Suricata: valid UTF-8 stays, bytes ≥ 0x80 of anything else become the four characters
//! `\xHH`. It does not check nesting; [`Object`] makes wrong nesting hard to write.

/// A JSON object (or array) being written.
#[derive(Debug)]
pub struct Object<'b> {
    out: &'b mut Vec<u8>,
    empty: bool,
    close: u8,
}

impl<'b> Object<'b> {
    /// Opens an object.
    pub fn new(out: &'b mut Vec<u8>) -> Self {
        out.push(b'{');
        Object { out, empty: true, close: b'}' }
    }

    fn comma(&mut self) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
    }

    fn key(&mut self, key: &str) {
        self.comma();
        text(self.out, key);
        self.out.push(b':');
    }

    /// `"key":"value"`
    pub fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        text(self.out, value);
    }

    /// `"key":"value"`, from bytes of the wire.
    pub fn bytes(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        bytes(self.out, value);
    }

    /// `"key":value`
    pub fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        number(self.out, value);
    }

    /// `"key":true`
    pub fn flag(&mut self, key: &str, value: bool) {
        self.key(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// `"key":"…"` with whatever `write` appends, which must need no escaping.
    pub fn plain(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.key(key);
        self.out.push(b'"');
        write(self.out);
        self.out.push(b'"');
    }

    /// `"key":{`
    pub fn object(&mut self, key: &str) -> Object<'_> {
        self.key(key);
        Object::new(self.out)
    }

    /// `"key":[`; members of the result are written with the `item_*` functions.
    pub fn array(&mut self, key: &str) -> Object<'_> {
        self.key(key);
        self.out.push(b'[');
        Object { out: self.out, empty: true, close: b']' }
    }

    /// An array element.
    pub fn item_text(&mut self, value: &str) {
        self.comma();
        text(self.out, value);
    }

    /// An array element.
    pub fn item_number(&mut self, value: u64) {
        self.comma();
        number(self.out, value);
    }

    /// An array element, `{`.
    pub fn item_object(&mut self) -> Object<'_> {
        self.comma();
        Object::new(self.out)
    }

    /// A value that is JSON text already.
    pub fn raw(&mut self, key: &str, json: &[u8]) {
        self.key(key);
        self.out.extend_from_slice(json);
    }

    /// Ready-made members, `"a":1,"b":{}`; nothing when empty.
    pub fn members(&mut self, members: &[u8]) {
        if !members.is_empty() {
            self.comma();
            self.out.extend_from_slice(members);
        }
    }
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        self.out.push(self.close);
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A JSON string.
pub fn text(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    escape(out, value.as_bytes());
    out.push(b'"');
}

/// A JSON string from bytes of any kind.
pub fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    if std::str::from_utf8(value).is_ok() {
        escape(out, value);
    } else {
        for chunk in value.chunk_by(|a, b| a.is_ascii() == b.is_ascii()) {
            if chunk.first().is_some_and(u8::is_ascii) {
                escape(out, chunk);
            } else {
                for &b in chunk {
                    out.extend_from_slice(&[b'\\', b'\\', b'x', hex(b >> 4), hex(b)]);
                }
            }
        }
    }
    out.push(b'"');
}

/// A JSON string of the printable characters; line ends stay, everything else becomes a dot (`payload_printable`).
pub fn printable(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    for &b in value {
        match b {
            b'\r' | b'\n' | 0x20..=0x7e => escape(out, &[b]),
            _ => out.push(b'.'),
        }
    }
    out.push(b'"');
}

/// Decimal number.
pub fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A number with a fraction, as short as it can be read back.
pub fn real(value: f64) -> Vec<u8> {
    if value.is_finite() { format!("{value:?}").into_bytes() } else { b"null".to_vec() }
}

/// The digits of base64, to be put in quotes or between them.
pub fn base64(out: &mut Vec<u8>, value: &[u8]) {
    out.extend(weir_ir::base64::encode(value));
}

fn hex(nibble: u8) -> u8 {
    HEX[usize::from(nibble & 15)]
}

/// The two hexadecimal digits of a byte.
pub fn hex_byte(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(&[hex(byte >> 4), hex(byte)]);
}

fn escape(out: &mut Vec<u8>, value: &[u8]) {
    let mut rest = value;
    while let Some(at) = rest.iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\' || b == 0x7f) {
        out.extend_from_slice(&rest[..at]);
        let b = rest[at];
        match b {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            _ => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(b >> 4), hex(b)]),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_survive_a_reader() {
        for case in ["", "plain", "a\"b\\c\n\r\t\u{8}\u{c}\u{1}\u{7f}", "Größe ☃"] {
            let json = written(|out| text(out, case));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), case);
            assert_eq!(json, written(|out| bytes(out, case.as_bytes())));
        }
    }

    #[test]
    fn bytes_that_are_no_text() {
        assert_eq!(written(|out| bytes(out, b"a\xff\x00\xc3\xa4\"")), r#""a\\xff\u0000\\xc3\\xa4\"""#);
    }

    #[test]
    fn printable_replaces() {
        assert_eq!(written(|out| printable(out, b"GET /\x00\xff\t\r\n\"")), r#""GET /...\r\n\"""#);
    }

    #[test]
    fn numbers() {
        for n in [0, 9, 10, 12345, u64::MAX] {
            assert_eq!(written(|out| number(out, n)), n.to_string());
        }
    }

    #[test]
    fn nesting() {
        let json = written(|out| {
            let mut root = Object::new(out);
            root.number("a", 1);
            {
                let mut list = root.array("b");
                list.item_text("x");
                list.item_number(2);
            }
            root.members(b"");
            root.members(b"\"c\":{}");
            root.object("d").flag("e", true);
        });
        assert_eq!(json, r#"{"a":1,"b":["x",2],"c":{},"d":{"e":true}}"#);
    }
}
