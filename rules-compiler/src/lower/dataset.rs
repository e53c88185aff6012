//! `dataset` and `datarep`: sets of values, loaded from files below the data directory.

use super::{Fault, Lowered, Lowering};
use crate::diag::Cause;
use crate::syntax::OptionSyntax;
use serde_json::Value;
use std::net::IpAddr;
use std::path::{Component, Path};
use std::sync::Arc;
use weir_ir::state::DatasetOperation;
use weir_ir::{BitOperation, Buffer, Comparison, Match};

/// Largest file of values.
const FILE_MAX: u64 = 256 << 20;

impl Lowering<'_, '_> {
    /// `[bytes n,] [offset n,] value operator number`
    pub(super) fn entropy(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.value(option)?.into_owned();
        let (mut bytes, mut offset, mut size) = (0, 0, None);
        for part in text.split(',').map(str::trim) {
            let (key, value) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
            let number = || {
                value.trim().parse::<u32>().map_err(|_| self.wrong(option, format!("`{value}` is no number of bytes")))
            };
            match key {
                "bytes" => bytes = number()?,
                "offset" => offset = number()?,
                "value" => {
                    let found = entropy_size(value.trim());
                    size = Some(found.ok_or_else(|| self.wrong(option, format!("`{value}` is no comparison")))?);
                }
                other => return Err(self.wrong(option, format!("`{other}` is not bytes, offset or value"))),
            }
        }
        let size = size.ok_or_else(|| self.wrong(option, "`value` is missing"))?;
        self.push(option, Match::Entropy(weir_ir::Entropy { bytes, offset, size }))?;
        Ok(())
    }

    pub(super) fn dataset(&mut self, option: &OptionSyntax, reputation: bool) -> Lowered {
        let text = self.value(option)?.into_owned();
        let mut parts = text.split(',').map(str::trim);
        let first = parts.next().unwrap_or("");
        let (operation, name, compared) = if reputation {
            let operator = parts.next().unwrap_or("");
            let value = parts.next().and_then(|v| v.parse::<u64>().ok()).filter(|&v| v <= 65_535);
            let value = value.ok_or_else(|| self.wrong(option, "the value must be a number up to 65535"))?;
            let compared = match operator {
                "=" | "==" => Comparison::Equal(value),
                "<" => Comparison::Less(value),
                "<=" => Comparison::LessEqual(value),
                ">" => Comparison::Greater(value),
                ">=" => Comparison::GreaterEqual(value),
                other => return Err(self.wrong(option, format!("`{other}` is no comparison"))),
            };
            (BitOperation::IsSet, first, Some(compared))
        } else {
            let operation = match first {
                "set" => BitOperation::Set,
                "unset" => BitOperation::Unset,
                "isset" => BitOperation::IsSet,
                "isnotset" => BitOperation::IsNotSet,
                other => return Err(self.wrong(option, format!("`{other}` is not set, unset, isset or isnotset"))),
            };
            (operation, parts.next().unwrap_or(""), None)
        };
        if name.is_empty() || name.len() > 63 {
            return Err(self.wrong(option, "the set's name must have 1 to 63 characters"));
        }
        let (mut kind, mut file, mut saved) = (None, None, None);
        let mut json = JsonSet::default();
        for part in parts {
            let (key, value) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
            let value = value.trim().trim_matches('"');
            match key {
                "type" => match value {
                    "string" | "md5" | "sha256" | "ipv4" | "ipv6" | "ip" => kind = Some(value),
                    other => {
                        return Err(
                            self.wrong(option, format!("`{other}` is not string, md5, sha256, ipv4, ipv6 or ip"))
                        );
                    }
                },
                "load" | "state" => file = Some((value, key == "load")),
                "save" => saved = Some(value),
                "memcap" | "hashsize" => {}
                "format" if value == "csv" => {}
                "format" if matches!(value, "json" | "ndjson") => json.format = Some(value == "ndjson"),
                "context_key" if !value.is_empty() => json.context = Some(value),
                "value_key" if !value.is_empty() => json.value = Some(value),
                "array_key" if !value.is_empty() => json.array = Some(value),
                "remove_key" => json.remove = true,
                _ => {
                    return Err(Fault::new(
                        option.span(),
                        Cause::UnsupportedKeyword,
                        format!("`{part}` of datasets is not supported"),
                        "type, load, state, save, memcap and hashsize are",
                    ));
                }
            }
        }
        if let Some(path) = saved {
            self.below_data_directory(option, path)?;
        }
        let kind = kind.ok_or_else(|| self.wrong(option, "`type` is missing"))?;
        let mut context = None;
        let entries = match file {
            Some((path, required)) if json.format.is_some() => {
                let (Some(key), Some(_)) = (json.context, json.value) else {
                    return Err(self.wrong(option, "JSON sets need `context_key` and `value_key`"));
                };
                let (entries, known) = self.json_entries(option, path, kind, required, &json)?;
                context = Some((self.session.intern(key), known));
                entries
            }
            Some((path, required)) => self.entries(option, path, kind, (name, required), compared)?,
            None => Arc::from(Vec::new()),
        };
        let item = DatasetOperation {
            name: match compared {
                // The entries are those that the comparison lets through, so the set is the rule's own.
                Some(compared) => self.session.intern(&format!("{name} {compared:?}")),
                None => self.session.intern(name),
            },
            operation,
            kind: self.session.intern(kind),
            file: file.map(|(path, _)| path.into()),
            saved: saved.or(file.filter(|(_, load)| !load).map(|(path, _)| path)).map(Into::into),
            entries,
            reputation: compared,
            context,
        };
        self.push(option, Match::Dataset(item))?;
        Ok(())
    }

    /// `filemd5:list;` and the like: the digest of the file is on the list, or, with `!`, is not.
    pub(super) fn file_digest(&mut self, option: &OptionSyntax, buffer: Buffer) -> Lowered {
        let negated = option.value.as_ref().is_some_and(|v| v.negated || v.raw.of(self.text).first() == Some(&b'!'));
        let path = self.value(option)?.trim().trim_start_matches('!').trim().trim_matches('"').to_owned();
        let fault = |message: String, remedy: &str| Err(Fault::new(option.span(), Cause::File, message, remedy));
        let relative = Path::new(&path);
        if path.is_empty() || relative.components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir)) {
            return fault(format!("the path `{path}` leaves the directory of the rules"), "name a file beside the rules");
        }
        // Lists stand beside the rules that use them, or below the data directory.
        let beside = Path::new(&*self.draft.rule.source.file).parent().map(|directory| directory.join(relative));
        let below = self.session.options.data_directory.map(|directory| directory.join(relative));
        let Some(found) = [beside, below].into_iter().flatten().find(|file| self.session.holds(file)) else {
            return fault(format!("there is no file `{path}`"), "put the list beside the rule file");
        };
        let bytes = match self.session.read(&found, FILE_MAX) {
            Ok(bytes) => bytes,
            Err(error) => return fault(error.to_string(), "correct its permissions, or disable the rule"),
        };
        let length = match buffer {
            Buffer::FileMd5 => 16,
            Buffer::FileSha1 => 20,
            _ => 32,
        };
        let mut entries: Vec<Box<[u8]>> = Vec::new();
        for (number, line) in bytes.split(|&b| b == b'\n').enumerate() {
            // As the tools that make them write it: the digest, white space, a file's name.
            let word = line.split(|b| b.is_ascii_whitespace()).find(|w| !w.is_empty()).unwrap_or(&[]);
            if word.is_empty() || word.first() == Some(&b'#') {
                continue;
            }
            match hex(word).filter(|digest| digest.len() == length) {
                Some(digest) => entries.push(digest.into()),
                None => {
                    let message = format!("line {} of `{path}` does not begin with a digest of {length} bytes", number + 1);
                    return fault(message, "correct the file");
                }
            }
        }
        let before = self.draft.sticky.take();
        self.set_sticky(option.name, buffer)?;
        let item = DatasetOperation {
            name: self.session.intern(&format!("{} {}", buffer.name(), found.display())),
            operation: if negated { BitOperation::IsNotSet } else { BitOperation::IsSet },
            kind: self.session.intern(buffer.name()),
            file: Some(path.as_str().into()),
            saved: None,
            entries: entries.into(),
            reputation: None,
            context: None,
        };
        self.push(option, Match::Dataset(item))?;
        self.draft.sticky = before;
        Ok(())
    }

    /// The values of a JSON file, and what it knows of each.
    fn json_entries(
        &mut self,
        option: &OptionSyntax,
        path: &str,
        kind: &str,
        required: bool,
        set: &JsonSet<'_>,
    ) -> Lowered<(Arc<[Box<[u8]>]>, Arc<[Arc<str>]>)> {
        let fault = |message: String, remedy: &str| Err(Fault::new(option.span(), Cause::File, message, remedy));
        self.below_data_directory(option, path)?;
        let Some(directory) = self.session.options.data_directory else {
            return fault("no data directory is configured".into(), "set the directory that data sets are loaded from");
        };
        let bytes = match self.session.read(&directory.join(path), FILE_MAX) {
            Ok(bytes) => bytes,
            Err(_) if !required => Vec::new(),
            Err(error) => return fault(error.to_string(), "put the file there, or disable the rule"),
        };
        let items: Result<Vec<Value>, String> = match set.format {
            Some(true) => bytes
                .split(|&b| b == b'\n')
                .map(<[u8]>::trim_ascii)
                .filter(|line| !line.is_empty())
                .enumerate()
                .map(|(n, line)| serde_json::from_slice(line).map_err(|e| format!("line {} of `{path}`: {e}", n + 1)))
                .collect(),
            _ => serde_json::from_slice::<Value>(&bytes).map_err(|e| format!("`{path}`: {e}")).and_then(|whole| {
                let list = set.array.map_or(Some(&whole), |key| at(&whole, key));
                list.and_then(Value::as_array).cloned().ok_or_else(|| format!("`{path}` holds no list of objects"))
            }),
        };
        let items = match items {
            Ok(items) => items,
            Err(message) => return fault(message, "correct the file"),
        };
        let (mut entries, mut known): (Vec<Box<[u8]>>, Vec<Arc<str>>) = (Vec::new(), Vec::new());
        for mut item in items {
            let key = set.value.unwrap_or("");
            let text = match at(&item, key) {
                Some(Value::String(text)) => text.clone(),
                // Objects without the key say nothing of a value.
                _ => continue,
            };
            let value = match kind {
                "string" => Some(text.into_bytes()),
                _ => decode(text.as_bytes(), kind),
            };
            let Some(value) = value else {
                return fault(format!("`{path}` has a value that is not of type {kind}"), "correct the file");
            };
            if set.remove {
                remove(&mut item, key);
            }
            entries.push(value.into());
            known.push(item.to_string().into());
        }
        Ok((entries.into(), known.into()))
    }

    fn below_data_directory(&self, option: &OptionSyntax, path: &str) -> Lowered {
        let relative = Path::new(path);
        if !path.is_empty() && relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
            return Ok(());
        }
        let known = match relative.is_absolute() {
            true => format!("Absolute paths not allowed: {path}"),
            false => format!("Directory traversals not allowed: {path}"),
        };
        let message = format!("the path `{path}` leaves the data directory");
        Err(Fault::new(option.span(), Cause::File, message, "name a file below the data directory").known_as(known))
    }

    /// The values of a file; with `compared`, those whose reputation (`value,reputation`) holds.
    fn entries(
        &mut self,
        option: &OptionSyntax,
        path: &str,
        kind: &str,
        (name, required): (&str, bool),
        compared: Option<Comparison>,
    ) -> Lowered<Arc<[Box<[u8]>]>> {
        let fault = |message: String, remedy: &str| Err(Fault::new(option.span(), Cause::File, message, remedy));
        self.below_data_directory(option, path)?;
        let relative = Path::new(path);
        let Some(directory) = self.session.options.data_directory else {
            return fault("no data directory is configured".into(), "set the directory that data sets are loaded from");
        };
        let key = format!("{kind}\0{path}\0{compared:?}");
        if let Some(known) = self.session.datasets.get(&key) {
            return Ok(Arc::clone(known));
        }
        let bytes = match self.session.read(&directory.join(relative), FILE_MAX) {
            Ok(bytes) => bytes,
            Err(_) if !required => Vec::new(),
            Err(error) => return fault(error.to_string(), "put the file there, or disable the rule"),
        };
        let mut entries: Vec<Box<[u8]>> = Vec::new();
        for (number, line) in bytes.split(|&b| b == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.first() == Some(&b'#') {
                continue;
            }
            let (value, reputation) = match line.iter().position(|&b| b == b',') {
                Some(comma) => (line.get(..comma).unwrap_or(line).trim_ascii(), line.get(comma + 1..).unwrap_or(&[])),
                None => (line, &[][..]),
            };
            let mixed = !reputation.is_empty() != compared.is_some();
            if mixed {
                let message = format!("line {} of `{path}`: reputations belong to `datarep` alone", number + 1);
                return fault(message, "write `value,reputation` for datarep, the value alone for dataset")
                    .map_err(|fault| fault.known_as(format!("Cannot mix dataset and datarep values for set {name}")));
            }
            let wanted = match compared {
                None => Some(true),
                Some(compared) => {
                    let number = std::str::from_utf8(reputation).ok().and_then(|r| r.trim().parse().ok());
                    number.map(|n: u64| compared.holds(n))
                }
            };
            match (decode(value, kind), wanted) {
                (Some(entry), Some(true)) => entries.push(entry.into()),
                (Some(_), Some(false)) => {}
                _ => {
                    return fault(
                        format!("line {} of `{path}` is no value of type {kind}", number + 1),
                        "correct the file",
                    )
                    .map_err(|fault| match compared {
                        Some(_) => fault.known_as(format!("invalid datarep value {name}")),
                        None => fault,
                    });
                }
            }
        }
        let entries: Arc<[Box<[u8]>]> = entries.into();
        self.session.datasets.insert(key, Arc::clone(&entries));
        Ok(entries)
    }
}

/// `> 4`, `!= 4.5`, `4-5`, in the units of [`weir_ir::Entropy`].
fn entropy_size(text: &str) -> Option<Comparison> {
    let units = |text: &str| {
        let bits: f64 = text.trim().parse().ok()?;
        (0.0..=8.0).contains(&bits).then(|| (bits * weir_ir::content::ENTROPY_UNITS).round() as u64)
    };
    let (negated, rest) = text.strip_prefix('!').filter(|r| !r.starts_with('=')).map_or((false, text), |r| (true, r));
    if let Some((low, high)) = rest.split_once('-') {
        let (low, high) = (units(low)?, units(high)?);
        return match (low < high, negated) {
            (true, false) => Some(Comparison::Between(low, high)),
            (true, true) => Some(Comparison::Outside(low, high)),
            (false, _) => None,
        };
    }
    for (operator, make) in [
        (">=", Comparison::GreaterEqual as fn(u64) -> Comparison),
        ("<=", Comparison::LessEqual),
        ("!=", Comparison::NotEqual),
        (">", Comparison::Greater),
        ("<", Comparison::Less),
        ("=", Comparison::Equal),
    ] {
        if let Some(number) = rest.strip_prefix(operator) {
            return units(number).map(make);
        }
    }
    units(rest).map(if negated { Comparison::NotEqual } else { Comparison::Equal })
}

/// How a JSON set is written.
#[derive(Debug, Default)]
struct JsonSet<'t> {
    /// One object a line; else one list.
    format: Option<bool>,
    context: Option<&'t str>,
    value: Option<&'t str>,
    /// Where the list stands.
    array: Option<&'t str>,
    /// The value is left out of what is told.
    remove: bool,
}

/// The value at a dotted path.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, key| value.get(key))
}

/// Removes the value at a dotted path.
fn remove(value: &mut Value, path: &str) {
    let (parents, last) = path.rsplit_once('.').map_or(("", path), |(parents, last)| (parents, last));
    let parent = parents.split('.').filter(|key| !key.is_empty()).try_fold(value, |value, key| value.get_mut(key));
    if let Some(object) = parent.and_then(Value::as_object_mut) {
        object.remove(last);
    }
}

/// A line of a file: strings in base64, hashes in hexadecimal, addresses as text.
fn decode(text: &[u8], kind: &str) -> Option<Vec<u8>> {
    match kind {
        "string" => base64(text),
        "md5" => hex(text).filter(|b| b.len() == 16),
        "sha256" => hex(text).filter(|b| b.len() == 32),
        _ => match std::str::from_utf8(text).ok()?.parse().ok()? {
            IpAddr::V4(a) if kind != "ipv6" => Some(a.octets().to_vec()),
            // An address of both kinds is what it stands for (RFC 4291, 2.5.5.2).
            IpAddr::V6(a) if kind == "ip" && a.to_ipv4_mapped().is_some() => Some(a.to_ipv4_mapped()?.octets().to_vec()),
            IpAddr::V6(a) if kind != "ipv4" => Some(a.octets().to_vec()),
            _ => None,
        },
    }
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: u8| (b as char).to_digit(16);
    let pairs = text.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|p| Some((digit(*p.first()?)? << 4 | digit(*p.get(1)?)?) as u8)).collect()
}

/// RFC 4648, section 4, padding optional.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_end();
    let body = text.iter().rposition(|&b| b != b'=').map_or(0, |n| n + 1);
    if text.len() - body > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(body * 3 / 4);
    let (mut bits, mut count) = (0u32, 0u32);
    for &byte in text.get(..body)? {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    (count < 6 && bits == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        assert_eq!(decode(b"Z29vZ2xlLmNvbQ==", "string").unwrap(), b"google.com");
        assert_eq!(decode(b"Z29vZ2xlLmNvbQ", "string").unwrap(), b"google.com");
        assert_eq!(decode(b"%", "string"), None);
        assert_eq!(decode(b"1.2.3.4", "ipv4").unwrap(), [1, 2, 3, 4]);
        assert_eq!(decode(b"::1", "ipv4"), None);
        assert_eq!(decode(b"00ff", "md5"), None);
    }
}
