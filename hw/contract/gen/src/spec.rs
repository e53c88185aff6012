//! The specification as data: reading and checking of `spec/*.toml`.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What is wrong with the specification or its place.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// File.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// A file is not the TOML that is expected.
    #[error("{path}: {source}")]
    Toml {
        /// File.
        path: PathBuf,
        /// Cause.
        source: Box<toml::de::Error>,
    },
    /// The content contradicts itself.
    #[error("{file}: {message}")]
    Content {
        /// File.
        file: &'static str,
        /// What.
        message: String,
    },
}

/// The whole specification.
#[derive(Debug)]
pub struct Spec {
    /// Constants.
    pub constants: Vec<Constant>,
    /// Enumerations.
    pub enums: Vec<Enum>,
    /// Flag sets.
    pub flags: Vec<Enum>,
    /// Guards by number.
    pub guards: Vec<Guard>,
    /// Counters by index.
    pub counters: Vec<(String, String)>,
    /// Conservation identities.
    pub identities: Vec<Identity>,
    /// Structures, in order of definition.
    pub structs: Vec<Struct>,
    /// Registers by offset.
    pub registers: Vec<Register>,
    /// Register banks.
    pub banks: Vec<Bank>,
}

/// `[[constant]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub value: Value,
    pub doc: String,
}

/// A number; TOML integers are signed, so values above i63 are written as strings.
#[derive(Debug, Deserialize, Clone)]
#[serde(untagged)]
pub enum Value {
    Integer(i64),
    Text(String),
}

impl Value {
    /// The value.
    pub fn number(&self) -> Option<u64> {
        match self {
            Value::Integer(n) => u64::try_from(*n).ok(),
            Value::Text(t) => {
                let t = t.replace('_', "");
                match t.strip_prefix("0x") {
                    Some(hex) => u64::from_str_radix(hex, 16).ok(),
                    None => t.parse().ok(),
                }
            }
        }
    }
}

/// `[[enum]]` and `[[flags]]`; for flags the number is the bit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enum {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub doc: String,
    pub values: Vec<(String, u32, String)>,
}

/// `[[guard]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    pub number: u8,
    pub name: String,
    #[serde(default)]
    pub always: bool,
    /// With `always`: only until the host has told that the flow is encrypted.
    #[serde(default)]
    pub rests_once_encrypted: bool,
    pub doc: String,
}

/// `[[identity]]`: sum of left = sum of right.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    pub doc: String,
    pub left: Vec<String>,
    pub right: Vec<String>,
}

/// `[[struct]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawStruct {
    name: String,
    size: usize,
    doc: String,
    fields: Vec<(String, String, String)>,
}

/// A structure with resolved fields.
#[derive(Debug)]
pub struct Struct {
    pub name: String,
    pub size: usize,
    pub doc: String,
    pub fields: Vec<Field>,
}

/// A field with its place.
#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub kind: FieldType,
    pub offset: usize,
    pub doc: String,
}

/// Type of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldType {
    /// `u8` … `u64`, `i32`: (bytes, signed)
    Integer(usize, bool),
    /// Bytes.
    Bytes(usize),
    /// Array of integers: (element bytes, count)
    Integers(usize, usize),
    /// A structure defined before.
    Struct(String, usize),
    /// Array of structures: (name, element size, count)
    Structs(String, usize, usize),
}

impl FieldType {
    /// Bytes.
    pub fn size(&self) -> usize {
        match self {
            FieldType::Integer(n, _) | FieldType::Bytes(n) | FieldType::Struct(_, n) => *n,
            FieldType::Integers(n, count) => n * count,
            FieldType::Structs(_, n, count) => n * count,
        }
    }

    fn align(&self, structs: &BTreeMap<String, (usize, usize)>) -> usize {
        match self {
            FieldType::Integer(n, _) | FieldType::Integers(n, _) => *n,
            FieldType::Bytes(_) => 1,
            FieldType::Struct(name, _) | FieldType::Structs(name, ..) => structs.get(name).map_or(1, |s| s.1),
        }
    }
}

/// A register.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    pub name: String,
    pub offset: u32,
    pub width: u32,
    pub access: String,
    pub reset: Value,
    #[serde(default)]
    pub setup: bool,
    pub doc: String,
}

/// A repeated block of registers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bank {
    pub name: String,
    pub base: u32,
    pub stride: u32,
    pub count: u32,
    pub doc: String,
    pub register: Vec<Register>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConstantsFile {
    constant: Vec<Constant>,
}
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnumsFile {
    #[serde(rename = "enum")]
    enums: Vec<Enum>,
    flags: Vec<Enum>,
}
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GuardsFile {
    guard: Vec<Guard>,
}
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CountersFile {
    counters: Vec<(String, String)>,
    identity: Vec<Identity>,
}
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LayoutsFile {
    #[serde(rename = "struct")]
    structs: Vec<RawStruct>,
}
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistersFile {
    register: Vec<Register>,
    bank: Vec<Bank>,
}

fn read<T: for<'a> Deserialize<'a>>(folder: &Path, name: &str) -> Result<T, SpecError> {
    let path = folder.join(name);
    let text = fs::read_to_string(&path).map_err(|source| SpecError::Io { path: path.clone(), source })?;
    toml::from_str(&text).map_err(|source| SpecError::Toml { path, source: Box::new(source) })
}

fn bad<T>(file: &'static str, message: String) -> Result<T, SpecError> {
    Err(SpecError::Content { file, message })
}

impl Spec {
    /// Read and check the files of `folder`.
    pub fn load(folder: &Path) -> Result<Spec, SpecError> {
        let constants: ConstantsFile = read(folder, "constants.toml")?;
        let enums: EnumsFile = read(folder, "enums.toml")?;
        let guards: GuardsFile = read(folder, "guards.toml")?;
        let counters: CountersFile = read(folder, "counters.toml")?;
        let layouts: LayoutsFile = read(folder, "layouts.toml")?;
        let registers: RegistersFile = read(folder, "registers.toml")?;
        let spec = Spec {
            constants: constants.constant,
            enums: enums.enums,
            flags: enums.flags,
            guards: guards.guard,
            counters: counters.counters,
            identities: counters.identity,
            structs: resolve(layouts.structs)?,
            registers: registers.register,
            banks: registers.bank,
        };
        spec.check()?;
        Ok(spec)
    }

    fn check(&self) -> Result<(), SpecError> {
        let mut names = BTreeSet::new();
        for c in &self.constants {
            if !names.insert(&c.name) || c.value.number().is_none() {
                return bad("constants.toml", format!("{}: name twice or value unreadable", c.name));
            }
        }
        for (is_flags, e) in self.enums.iter().map(|e| (false, e)).chain(self.flags.iter().map(|e| (true, e))) {
            let bits = integer(&e.kind).map_or(0, |(n, _)| n as u32 * 8);
            let mut seen = BTreeSet::new();
            for (name, number, _) in &e.values {
                let fits = if is_flags { *number < bits } else { bits >= 32 || *number < 1 << bits };
                if !fits || !seen.insert(*number) {
                    return bad("enums.toml", format!("{}.{name}: number twice or beyond {}", e.name, e.kind));
                }
            }
        }
        let mut numbers = BTreeSet::new();
        let mut guard_names = BTreeSet::new();
        for g in &self.guards {
            if g.number > 63 || !numbers.insert(g.number) || !guard_names.insert(&g.name) {
                return bad("guards.toml", format!("guard {} {}: number or name twice, or above 63", g.number, g.name));
            }
        }
        let known: BTreeSet<&String> = self.counters.iter().map(|(n, _)| n).collect();
        if known.len() != self.counters.len() {
            return bad("counters.toml", "a counter name appears twice".into());
        }
        for i in &self.identities {
            if let Some(n) = i.left.iter().chain(&i.right).find(|n| !known.contains(n)) {
                return bad("counters.toml", format!("identity `{}` names unknown counter {n}", i.doc));
            }
        }
        check_registers(&self.registers)?;
        for b in &self.banks {
            check_registers(&b.register)?;
            if b.register.iter().any(|r| r.offset + r.width / 8 > b.stride) {
                return bad("registers.toml", format!("bank {}: register beyond the stride", b.name));
            }
        }
        Ok(())
    }
}

fn check_registers(registers: &[Register]) -> Result<(), SpecError> {
    let mut end = 0;
    for r in registers {
        let bytes = r.width / 8;
        let good = matches!(r.width, 32 | 64)
            && r.offset % bytes == 0
            && r.offset >= end
            && matches!(r.access.as_str(), "ro" | "rw" | "wo" | "w1c")
            && r.reset.number().is_some();
        if !good {
            return bad("registers.toml", format!("{}: overlap, order, alignment, width, access or reset", r.name));
        }
        end = r.offset + bytes;
    }
    Ok(())
}

/// Bytes and sign of an integer type.
pub fn integer(kind: &str) -> Option<(usize, bool)> {
    Some(match kind {
        "u8" => (1, false),
        "u16" => (2, false),
        "u32" => (4, false),
        "u64" => (8, false),
        "i32" => (4, true),
        _ => return None,
    })
}

fn resolve(raw: Vec<RawStruct>) -> Result<Vec<Struct>, SpecError> {
    let mut known: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut out = Vec::new();
    for s in raw {
        let (mut offset, mut align) = (0, 1);
        let mut fields: Vec<Field> = Vec::new();
        for (name, kind, doc) in s.fields {
            let Some(kind) = field_type(&kind, &known) else {
                return bad("layouts.toml", format!("{}.{name}: unknown type {kind}", s.name));
            };
            let a = kind.align(&known);
            if offset % a != 0 || fields.iter().any(|f| f.name == name) {
                return bad(
                    "layouts.toml",
                    format!("{}.{name}: name twice, or offset {offset} not aligned to {a}", s.name),
                );
            }
            align = align.max(a);
            let size = kind.size();
            fields.push(Field { name, kind, offset, doc });
            offset += size;
        }
        if offset != s.size || offset % align != 0 {
            return bad(
                "layouts.toml",
                format!("{}: fields add up to {offset}, not {} (alignment {align})", s.name, s.size),
            );
        }
        known.insert(s.name.clone(), (s.size, align));
        out.push(Struct { name: s.name, size: s.size, doc: s.doc, fields });
    }
    Ok(out)
}

fn field_type(text: &str, known: &BTreeMap<String, (usize, usize)>) -> Option<FieldType> {
    if let Some((bytes, signed)) = integer(text) {
        return Some(FieldType::Integer(bytes, signed));
    }
    if let Some((size, _)) = known.get(text) {
        return Some(FieldType::Struct(text.into(), *size));
    }
    let (element, count) = text.strip_prefix('[')?.strip_suffix(']')?.split_once(';')?;
    let count = count.parse().ok()?;
    match (element, integer(element), known.get(element)) {
        ("u8", ..) => Some(FieldType::Bytes(count)),
        (_, Some((bytes, false)), _) => Some(FieldType::Integers(bytes, count)),
        (_, _, Some((size, _))) => Some(FieldType::Structs(element.into(), *size, count)),
        _ => None,
    }
}
