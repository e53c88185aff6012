//! JSON text of bytes from the wire.

/// Append `bytes` as a JSON string. Valid UTF-8 stays; other bytes become `\\xHH` as Suricata prints them.
pub(crate) fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let text = std::str::from_utf8(bytes).is_ok();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                    out.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes());
                }
                // What is no text as a whole is text in none of its parts.
                c if !c.is_ascii() && !text => {
                    c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| out.extend_from_slice(format!("\\\\x{b:02x}").as_bytes()));
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for b in chunk.invalid() {
            out.extend_from_slice(format!("\\\\x{b:02x}").as_bytes());
        }
    }
    out.push(b'"');
}

/// An object that is being written.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    /// `"key":{`
    pub(crate) fn begin(key: &str, out: &'a mut Vec<u8>) -> Object<'a> {
        string(key.as_bytes(), out);
        out.extend_from_slice(b":{");
        Object { out, first: true }
    }

    fn key(&mut self, key: &str) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        string(key.as_bytes(), self.out);
        self.out.push(b':');
    }

    /// A text; nothing if there is none or it is empty.
    pub(crate) fn text(&mut self, key: &str, value: Option<&[u8]>) {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            self.key(key);
            string(value, self.out);
        }
    }

    /// A text, empty or not.
    pub(crate) fn string(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        string(value, self.out);
    }

    /// A number.
    pub(crate) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    /// A number that may be negative.
    pub(crate) fn signed(&mut self, key: &str, value: i64) {
        self.key(key);
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    /// What is JSON already.
    pub(crate) fn raw(&mut self, key: &str, json: &[u8]) {
        self.key(key);
        self.out.extend_from_slice(json);
    }

    /// A number with a fraction; what is none is `null`.
    pub(crate) fn float(&mut self, key: &str, value: f64) {
        self.key(key);
        let text = if value.is_finite() { format!("{value:?}") } else { "null".to_owned() };
        self.out.extend_from_slice(text.as_bytes());
    }

    /// An array of texts; nothing if there is none.
    pub(crate) fn texts<'b>(&mut self, key: &str, values: impl Iterator<Item = &'b [u8]>) {
        let mut any = false;
        for value in values {
            if any {
                self.out.push(b',');
            } else {
                self.key(key);
                self.out.push(b'[');
                any = true;
            }
            string(value, self.out);
        }
        if any {
            self.out.push(b']');
        }
    }

    /// An array of texts.
    pub(crate) fn texts_always<'b>(&mut self, key: &str, values: impl Iterator<Item = &'b [u8]>) {
        self.key(key);
        self.out.push(b'[');
        for (n, value) in values.enumerate() {
            if n > 0 {
                self.out.push(b',');
            }
            string(value, self.out);
        }
        self.out.push(b']');
    }

    /// A text, even if it is empty.
    pub(crate) fn always(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        string(value, self.out);
    }

    /// A truth.
    pub(crate) fn flag(&mut self, key: &str, value: bool) {
        self.key(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// An array of numbers; nothing if there is none.
    pub(crate) fn numbers(&mut self, key: &str, values: impl Iterator<Item = u64>) {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return;
        }
        self.key(key);
        let mut lead = b'[';
        for value in values {
            self.out.push(lead);
            self.out.extend_from_slice(value.to_string().as_bytes());
            lead = b',';
        }
        self.out.push(b']');
    }

    /// An array of objects; nothing if there is none.
    pub(crate) fn objects<T>(
        &mut self,
        key: &str,
        values: impl Iterator<Item = T>,
        mut write: impl FnMut(&mut Object<'_>, T),
    ) {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return;
        }
        self.key(key);
        let mut lead = b'[';
        for value in values {
            self.out.extend_from_slice(&[lead, b'{']);
            write(&mut Object { out: self.out, first: true }, value);
            self.out.push(b'}');
            lead = b',';
        }
        self.out.push(b']');
    }

    /// A member object.
    pub(crate) fn object(&mut self, key: &str, write: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        self.out.push(b'{');
        write(&mut Object { out: self.out, first: true });
        self.out.push(b'}');
    }

    /// A truth value.
    pub(crate) fn boolean(&mut self, key: &str, value: bool) {
        self.key(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// An array.
    pub(crate) fn list(&mut self, key: &str, write: impl FnOnce(&mut List<'_>)) {
        self.key(key);
        self.out.push(b'[');
        write(&mut List { out: self.out, first: true });
        self.out.push(b']');
    }

    /// `}`
    pub(crate) fn end(self) {
        self.out.push(b'}');
    }
}

/// An array that is being written.
pub(crate) struct List<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl List<'_> {
    /// An array of its own.
    pub(crate) fn write(out: &mut Vec<u8>, write: impl FnOnce(&mut List<'_>)) {
        out.push(b'[');
        write(&mut List { out, first: true });
        out.push(b']');
    }

    fn next(&mut self) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
    }

    /// A text.
    pub(crate) fn text(&mut self, value: &[u8]) {
        self.next();
        string(value, self.out);
    }

    /// An object.
    pub(crate) fn object(&mut self, write: impl FnOnce(&mut Object<'_>)) {
        self.next();
        self.out.push(b'{');
        write(&mut Object { out: self.out, first: true });
        self.out.push(b'}');
    }
}
