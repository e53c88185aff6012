//! Points of objects (IEEE 1815 annex A): how each variation lays its fields out, and what they are called in records.
//!
//! The walk is the same for reading and for writing: [`walk`] hands each field on, and says where the points end. What
//! stands where is Suricata 8's reading of the standard, because rules and records name the objects behind it: packed
//! points take `count / 8 + 1` octets whatever their width, and an object that says its size ends with its last field.

use crate::json::Object as Json;
use crate::tls::Reader;

/// A field of a point. Numbers are little-endian.
#[derive(Debug, Clone, Copy)]
pub enum Field {
    /// Bits of an octet, lowest first: names and widths.
    Bits(&'static [(&'static str, u8)]),
    /// A number of so many octets.
    Number(&'static str, u8),
    /// A number with a sign.
    Signed(&'static str, u8),
    /// A number of IEEE 754 of four octets, or of eight.
    Float(&'static str, u8),
    /// Text of so many octets.
    Fixed(&'static str, u8),
    /// Text of as many octets as this earlier field says.
    Text(&'static str, &'static str),
    /// Bytes of as many octets as this earlier field says.
    Bytes(&'static str, &'static str),
    /// Text up to the size that is before the point.
    TextRest(&'static str),
    /// Bytes up to that size.
    BytesRest(&'static str),
}

/// How an object's points are laid out.
#[derive(Debug, Clone, Copy)]
pub enum Layout {
    /// Points of so many bits each, packed into octets: the field's name.
    Packed(&'static str, u8),
    /// Fields of each point.
    Fields(&'static [Field]),
}

/// Value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Number(u64),
    Float(f64),
    Text(&'a [u8]),
    Bytes(&'a [u8]),
}

use Field::{Bits, Bytes, BytesRest, Fixed, Float, Number, Signed, Text, TextRest};

macro_rules! flags {
    ($($rest:tt)*) => {
        Bits(&[("online", 1), ("restart", 1), ("comm_lost", 1), ("remote_forced", 1), ("local_forced", 1), $($rest)*])
    };
}

const INPUT: Field = flags!(("chatter_filter", 1), ("reserved", 1), ("state", 1));
const DOUBLE_INPUT: Field = flags!(("chatter_filter", 1), ("state", 2));
const OUTPUT: Field = flags!(("reserved0", 1), ("reserved1", 1), ("state", 1));
const COUNTER: Field = flags!(("rollover", 1), ("discontinuity", 1), ("reserved0", 1));
const COUNTER_AT: Field = flags!(("rollover", 1), ("discontinuity", 1), ("reserved1", 1));
const DELTA: Field = flags!(("rollover", 1), ("reserved0", 1), ("reserved1", 1));
const ANALOG: Field = flags!(("over_range", 1), ("reference_err", 1), ("reserved0", 1));
const STATISTIC: Field = flags!(("reserved0", 1), ("discontinuity", 1), ("reserved1", 1));
const CONTROL: Field = Bits(&[("op_type", 4), ("qu", 1), ("cr", 1), ("tcc", 2)]);
const COMMANDED: Field = Bits(&[("status_code", 7), ("reserved0", 1)]);
const TIME: Field = Number("timestamp", 6);
const COUNT: [Field; 2] = [Number("count", 2), Number("count", 4)];
const VALUE: [Field; 2] = [Signed("value", 2), Signed("value", 4)];
const REAL: [Field; 2] = [Float("value", 4), Float("value", 8)];
const COMMAND: [Field; 2] = [Signed("commanded_value", 2), Signed("commanded_value", 4)];
const REAL_COMMAND: [Field; 2] = [Float("commanded_value", 4), Float("commanded_value", 8)];

/// The layout of a variation of a group, if Suricata 8 knows it.
pub fn layout(group: u8, variation: u8) -> Option<Layout> {
    let fields: &'static [Field] = match (group, variation) {
        (1 | 10 | 80, 1) => return Some(Layout::Packed("state", 1)),
        (3, 1) => return Some(Layout::Packed("state", 2)),
        (12, 3) => return Some(Layout::Packed("point", 1)),
        // Binary inputs and outputs, commands.
        (1, 2) => &[INPUT],
        (2, 1) => &[Number("state", 1)],
        (2, 2) => &[INPUT, TIME],
        (2, 3) => &[INPUT, Number("timestamp", 2)],
        (3, 2) | (4, 1) => &[DOUBLE_INPUT],
        (4, 2) => &[DOUBLE_INPUT, TIME],
        (4, 3) => &[DOUBLE_INPUT, Number("relative_time_ms", 2)],
        (10, 2) | (11, 1) => &[OUTPUT],
        (11, 2) => &[OUTPUT, TIME],
        (12, 1 | 2) => &[
            CONTROL,
            Number("count", 1),
            Number("ontime", 4),
            Number("offtime", 4),
            Bits(&[("status_code", 7), ("reserved", 1)]),
        ],
        (13, 1) => &[Bits(&[("status_code", 7), ("commanded_state", 1)])],
        (13, 2) => &[Bits(&[("status_code", 7), ("commanded_state", 1)]), TIME],
        // Counters: running, frozen, and their events.
        (20 | 21 | 22 | 23, 1) => &[COUNTER, COUNT[1]],
        (23, 2) => &[DELTA, COUNT[0]],
        (20 | 21 | 22, 2) => &[COUNTER, COUNT[0]],
        (20 | 21 | 22 | 23, 3) => &[DELTA, COUNT[1]],
        (20 | 21 | 22 | 23, 4) => &[DELTA, COUNT[0]],
        (20, 5 | 7) | (21, 9 | 11) => &[COUNT[1]],
        (20, 6 | 8) | (21, 10 | 12) => &[COUNT[0]],
        (21, 5) => &[COUNTER_AT, COUNT[1], TIME],
        (21, 6) => &[COUNTER_AT, COUNT[0], TIME],
        (23, 5) => &[COUNTER, COUNT[1], TIME],
        (22 | 23, 6) => &[COUNTER, COUNT[0], TIME],
        (22, 5) | (21 | 22 | 23, 7) => &[DELTA, COUNT[1], TIME],
        (21 | 22 | 23, 8) => &[DELTA, COUNT[0], TIME],
        // Analog inputs and outputs, deadbands, commands, and their events.
        (30 | 31 | 32 | 33 | 40 | 42, 1) => &[ANALOG, VALUE[1]],
        (30 | 31 | 32 | 33 | 40 | 42, 2) => &[ANALOG, VALUE[0]],
        (30, 3) | (31, 5) => &[VALUE[1]],
        (30, 4) | (31, 6) => &[VALUE[0]],
        (31 | 32 | 33 | 42, 3) => &[ANALOG, VALUE[1], TIME],
        (31 | 32 | 33 | 42, 4) => &[ANALOG, VALUE[0], TIME],
        (30 | 32 | 33 | 42, 5) | (31, 7) | (40, 3) => &[ANALOG, REAL[0]],
        (30 | 32 | 33 | 42, 6) | (31, 8) | (40, 4) => &[ANALOG, REAL[1]],
        (32 | 33 | 42, 7) => &[ANALOG, REAL[0], TIME],
        (32 | 33 | 42, 8) => &[ANALOG, REAL[1], TIME],
        (34, 1) => &[Number("deadband_value", 2)],
        (34, 2) => &[Number("deadband_value", 4)],
        (34, 3) => &[Float("deadband_value", 4)],
        (41, 1) => &[VALUE[1], Number("control_status", 1)],
        (41, 2) => &[VALUE[0], Number("control_status", 1)],
        (41, 3) => &[REAL[0], Number("control_status", 1)],
        (41, 4) => &[REAL[1], Number("control_status", 1)],
        (43, 1) => &[COMMANDED, COMMAND[1]],
        (43, 2) => &[COMMANDED, COMMAND[0]],
        (43, 3) => &[COMMANDED, COMMAND[1], TIME],
        (43, 4) => &[COMMANDED, COMMAND[0], TIME],
        (43, 5) => &[COMMANDED, REAL_COMMAND[0]],
        (43, 6) => &[COMMANDED, REAL_COMMAND[1]],
        (43, 7) => &[COMMANDED, REAL_COMMAND[0], TIME],
        (43, 8) => &[COMMANDED, REAL_COMMAND[1], TIME],
        // Times.
        (50, 1 | 3) | (51, 1 | 2) => &[TIME],
        (50, 2) => &[TIME, Number("interval", 4)],
        (50, 4) => &[TIME, Number("interval_count", 4), Number("interval_units", 1)],
        (52, 1) => &[Number("delay_secs", 2)],
        (52, 2) => &[Number("delay_ms", 2)],
        // Files.
        (70, 2) => &[
            Number("username_offset", 2),
            Number("username_size", 2),
            Number("password_offset", 2),
            Number("password_size", 2),
            Number("authentication_key", 4),
            Text("username", "username_size"),
            Text("password", "password_size"),
        ],
        (70, 3) => &[
            Number("filename_offset", 2),
            Number("filename_size", 2),
            Number("created", 6),
            Number("permissions", 2),
            Number("authentication_key", 4),
            Number("file_size", 4),
            Number("operational_mode", 2),
            Number("maximum_block_size", 2),
            Number("request_id", 2),
            Text("filename", "filename_size"),
        ],
        (70, 4) => &[
            Number("file_handle", 4),
            Number("file_size", 4),
            Number("maximum_block_size", 2),
            Number("request_id", 2),
            Number("status_code", 1),
            TextRest("optional_text"),
        ],
        (70, 5) => &[Number("file_handle", 4), Number("block_number", 4), TextRest("file_data")],
        (70, 6) => {
            &[Number("file_handle", 4), Number("block_number", 4), Number("status_code", 1), TextRest("optional_text")]
        }
        (70, 7) => &[
            Number("filename_offset", 2),
            Number("filename_size", 2),
            Number("file_type", 2),
            Number("file_size", 4),
            Number("created_timestamp", 6),
            Number("permissions", 2),
            Number("request_id", 2),
            Text("filename", "filename_size"),
        ],
        (70, 8) => &[TextRest("file_specification")],
        // Devices, private objects, data sets.
        (81, 1) => {
            &[Bits(&[("fill_percentage", 7), ("overflow_state", 1)]), Number("group", 1), Number("variation", 1)]
        }
        (83, 1) => &[
            Fixed("data->vendor_code", 4),
            Number("object_id", 2),
            Number("length", 2),
            Bytes("data->data_objects", "length"),
        ],
        (86, 2) => &[Bits(&[
            ("rd", 1),
            ("wr", 1),
            ("st", 1),
            ("ev", 1),
            ("df", 1),
            ("padding0", 1),
            ("padding1", 1),
            ("padding2", 1),
        ])],
        (102, 1) => &[Number("value", 1)],
        // Authentication.
        (120, 1) => &[
            Number("csq", 4),
            Number("usr", 2),
            Number("mal", 1),
            Number("reason", 1),
            BytesRest("data->challenge_data"),
        ],
        (120, 2) => &[Number("csq", 4), Number("usr", 2), BytesRest("data->mac_value")],
        (120, 3) => &[Number("csq", 4), Number("user_number", 2)],
        (120, 4) => &[Number("user_number", 2)],
        (120, 5) => &[
            Number("ksq", 4),
            Number("user_number", 2),
            Number("key_wrap_alg", 1),
            Number("key_status", 1),
            Number("mal", 1),
            Number("challenge_data_len", 2),
            Bytes("data->challenge_data", "challenge_data_len"),
            BytesRest("data->mac_value"),
        ],
        (120, 6) => &[Number("ksq", 3), Number("usr", 2), BytesRest("data->wrapped_key_data")],
        (120, 7) => &[
            Number("sequence_number", 4),
            Number("usr", 2),
            Number("association_id", 2),
            Number("error_code", 1),
            Number("time_of_error", 6),
            TextRest("error_text"),
        ],
        (120, 8) => {
            &[Number("key_change_method", 1), Number("certificate_type", 1), BytesRest("data->certificate")]
        }
        (120, 9) => &[BytesRest("data->mac_value")],
        (120, 10) => &[
            Number("key_change_method", 1),
            Number("operation", 1),
            Number("scs", 4),
            Number("user_role", 2),
            Number("user_role_expiry_interval", 2),
            Number("username_len", 2),
            Number("user_public_key_len", 2),
            Number("certification_data_len", 2),
            Text("username", "username_len"),
            Bytes("data->user_public_key", "user_public_key_len"),
            Bytes("data->certification_data", "certification_data_len"),
        ],
        (120, 11) => &[
            Number("key_change_method", 1),
            Number("username_len", 2),
            Number("master_challenge_data_len", 2),
            Text("username", "username_len"),
            Bytes("data->master_challenge_data", "master_challenge_data_len"),
        ],
        (120, 12) => &[
            Number("ksq", 4),
            Number("user_number", 2),
            Number("challenge_data_len", 2),
            Bytes("data->challenge_data", "challenge_data_len"),
        ],
        (120, 13) => &[
            Number("ksq", 4),
            Number("user_number", 2),
            Number("encrypted_update_key_len", 2),
            Bytes("data->encrypted_update_key_data", "encrypted_update_key_len"),
        ],
        (120, 14) => &[BytesRest("data->digital_signature")],
        (120, 15) => &[BytesRest("data->mac")],
        (121 | 122, 1) => &[STATISTIC, Number("association_id", 2), Number("count_value", 4)],
        (122, 2) => &[STATISTIC, Number("association_id", 2), Number("count_value", 4), TIME],
        _ => return None,
    };
    Some(Layout::Fields(fields))
}

/// A number, little-endian.
pub fn number(r: &mut Reader<'_>, octets: u8) -> Option<u64> {
    Some(r.take(octets.into())?.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}

/// Octets of the prefix before a point, and whether it is the point's size (IEEE 1815 clause 4.2.2.7.3.2).
fn prefix(code: u8) -> (u8, bool) {
    match code {
        1..=3 => (1 << (code - 1), false),
        4..=6 => (1 << (code - 4), true),
        _ => (0, false),
    }
}

/// What a walk tells of a point.
pub trait Visit {
    /// A point begins: prefix, index, size.
    fn point(&mut self, _prefix: u64, _index: u64, _size: Option<u64>) {}
    /// A field of it.
    fn field(&mut self, _name: &'static str, _value: Value<'_>) {}
    /// It is whole.
    fn end(&mut self) {}
}

/// Nothing is asked.
pub struct Skip;
impl Visit for Skip {}

/// Walks the points of an object: `code` of their prefix, index of the first, how many. None: they cannot be read to
/// their end; those before were told.
pub fn walk(layout: Layout, code: u8, start: u32, count: u32, r: &mut Reader<'_>, visit: &mut impl Visit) -> Option<()> {
    let (octets, sized) = prefix(code);
    let mut index = u64::from(start);
    let mut begin = |r: &mut Reader<'_>| {
        let before = number(r, octets)?;
        let place = if octets == 0 || sized { index } else { before };
        index += 1;
        Some((before, place, sized.then_some(before)))
    };
    match layout {
        Layout::Packed(name, width) => {
            // One prefix for all of them.
            let (before, place, size) = begin(r)?;
            let mut left = count;
            for octet in 0..=u64::from(count / 8) {
                let byte = r.take(1)?[0];
                for n in 0..8 / width {
                    if left == 0 {
                        break;
                    }
                    left -= 1;
                    let own = if octets == 0 || sized { place + octet * u64::from(8 / width) + u64::from(n) } else { place };
                    visit.point(before, own, size);
                    visit.field(name, Value::Number(u64::from(byte >> (n * width) & ((1 << width) - 1))));
                    visit.end();
                }
            }
        }
        Layout::Fields(fields) => {
            for _ in 0..count {
                let (before, place, size) = begin(r)?;
                // A point that is cut short is not told of.
                point(fields, before, &mut r.clone(), &mut Skip)?;
                visit.point(before, place, size);
                point(fields, before, r, visit)?;
                visit.end();
            }
        }
    }
    Some(())
}

/// The fields of a point that is `size` octets long, if it says so.
fn point(fields: &[Field], size: u64, r: &mut Reader<'_>, visit: &mut impl Visit) -> Option<()> {
    let whole = r.0.len();
    // Lengths of the texts to come: at most three.
    let mut lengths = [("", 0u64); 4];
    let length = |lengths: &[(&str, u64); 4], name: &str| lengths.iter().find(|l| l.0 == name).map_or(0, |l| l.1 as usize);
    let rest = |r: &Reader<'_>| {
        let used = (whole - r.0.len()) as u64;
        // Without a size before it, nothing says where it ends.
        usize::try_from(Some(size).filter(|size| *size > 0)?.checked_sub(used)?).ok()
    };
    let mut known = 0;
    for field in fields {
        match *field {
            Bits(parts) => {
                let mut byte = r.take(1)?[0];
                for &(name, width) in parts {
                    visit.field(name, Value::Number(u64::from(byte & ((1u16 << width) - 1) as u8)));
                    byte = byte.checked_shr(width.into()).unwrap_or(0);
                }
            }
            Number(name, octets) => {
                let value = number(r, octets)?;
                if let Some(slot) = lengths.get_mut(known).filter(|_| octets == 2 && (name.ends_with("_len") || name.ends_with("_size") || name == "length")) {
                    *slot = (name, value);
                    known += 1;
                }
                visit.field(name, Value::Number(value));
            }
            Signed(name, octets) => {
                let shift = 64 - 8 * u32::from(octets);
                // Records have negative values as the eight octets that they are.
                visit.field(name, Value::Number(((number(r, octets)? << shift) as i64 >> shift) as u64));
            }
            Float(name, 4) => {
                let value = f32::from_bits(number(r, 4)? as u32);
                visit.field(name, Value::Float(value.into()));
            }
            Float(name, octets) => visit.field(name, Value::Float(f64::from_bits(number(r, octets)?))),
            Fixed(name, octets) => {
                let text = r.take(octets.into())?;
                visit.field(name, Value::Text(text.split(|b| *b == 0).next().unwrap_or(&[])));
            }
            Text(name, of) => visit.field(name, Value::Text(r.take(length(&lengths, of))?)),
            Bytes(name, of) => visit.field(name, Value::Bytes(r.take(length(&lengths, of))?)),
            TextRest(name) => visit.field(name, Value::Text(r.take(rest(r)?)?)),
            BytesRest(name) => visit.field(name, Value::Bytes(r.take(rest(r)?)?)),
        }
    }
    Some(())
}

/// Writes points as members of an array of a record.
pub struct Write<'a, 'b> {
    list: &'a mut crate::json::List<'b>,
    /// Head and fields of the point that is told.
    head: (u64, u64, Option<u64>),
    fields: Vec<(&'static str, Owned)>,
}

/// A value that outlives its message.
enum Owned {
    Number(u64),
    Float(f64),
    Text(Vec<u8>),
}

impl<'a, 'b> Write<'a, 'b> {
    /// Into this array.
    pub fn new(list: &'a mut crate::json::List<'b>) -> Self {
        Write { list, head: (0, 0, None), fields: Vec::new() }
    }
}

impl Visit for Write<'_, '_> {
    fn point(&mut self, prefix: u64, index: u64, size: Option<u64>) {
        self.head = (prefix, index, size);
        self.fields.clear();
    }

    fn field(&mut self, name: &'static str, value: Value<'_>) {
        let value = match value {
            Value::Number(n) => Owned::Number(n),
            Value::Float(n) => Owned::Float(n),
            Value::Text(text) => Owned::Text(text.to_vec()),
            // Nothing of them is not told.
            Value::Bytes([]) => return,
            Value::Bytes(bytes) => Owned::Text(weir_ir::base64::encode(bytes).collect()),
        };
        self.fields.push((name, value));
    }

    fn end(&mut self) {
        let (prefix, index, size) = self.head;
        let fields = &self.fields;
        self.list.object(|o: &mut Json<'_>| {
            o.number("prefix", prefix);
            o.number("index", index);
            if let Some(size) = size {
                o.number("size", size);
            }
            for (name, value) in fields {
                match value {
                    Owned::Number(n) => o.number(name, *n),
                    Owned::Float(n) => o.float(name, *n),
                    Owned::Text(text) => o.string(name, text),
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::List;

    fn json(group: u8, variation: u8, code: u8, start: u32, count: u32, bytes: &[u8]) -> (String, Option<usize>) {
        let mut out = Vec::new();
        let mut r = Reader(bytes);
        let mut ended = None;
        List::write(&mut out, |list| {
            ended = walk(layout(group, variation).expect("known"), code, start, count, &mut r, &mut Write::new(list));
        });
        (String::from_utf8(out).expect("text"), ended.map(|()| bytes.len() - r.0.len()))
    }

    #[test]
    fn points_as_suricata_tells_them() {
        let (text, used) = json(30, 2, 1, 0, 2, &[5, 1, 2, 3, 6, 4, 0xff, 0xff]);
        assert_eq!(used, Some(8));
        assert!(text.starts_with("[{\"prefix\":5,\"index\":5,\"online\":1,\"restart\":0,") && text.contains("\"value\":770}"), "{text}");
        assert!(text.ends_with("\"value\":18446744073709551615}]"), "{text}");
        let (text, used) = json(1, 1, 0, 3, 11, &[0xa5, 0x03, 9]);
        assert_eq!((used, text.matches("state").count()), (Some(2), 11));
        assert!(text.ends_with("{\"prefix\":0,\"index\":13,\"state\":0}]"), "{text}");
        // An octet more where the count is a multiple of eight, and as many octets for points of two bits.
        assert_eq!((json(1, 1, 0, 0, 8, &[0; 3]).1, json(3, 1, 0, 0, 5, &[0; 3]).1, json(1, 1, 0, 0, 8, &[0]).1), (Some(2), Some(1), None));
        let (text, used) = json(120, 5, 5, 0, 1, &[21, 0, 26, 0, 4, 0, 2, 0, 1, 2, 5, 3, 0, b'A', b'B', b'C', b'D', b'E', b'F', b'G', b'H', b'I', b'J']);
        assert_eq!(used, Some(23));
        assert!(text.contains("\"mal\":5,\"challenge_data_len\":3,\"data->challenge_data\":\"QUJD\",\"data->mac_value\":\"REVGR0hJSg==\""), "{text}");
        let (text, _) = json(34, 3, 0, 0, 1, &[0, 0, 0x80, 0x3f]);
        assert!(text.contains("\"deadband_value\":1}") || text.contains("\"deadband_value\":1.0}"), "{text}");
    }

    #[test]
    fn what_is_cut_short_is_not_told() {
        let (text, used) = json(30, 1, 0, 0, 2, &[1, 1, 0, 0, 0, 1, 2]);
        assert_eq!((used, text.matches("index").count()), (None, 1));
        for group in 0..=255 {
            for variation in 0..=20 {
                let Some(layout) = layout(group, variation) else { continue };
                for (code, length) in (0..8).flat_map(|code| [0, 1, 9, 200].map(|length| (code, length))) {
                    walk(layout, code, u32::MAX, 40, &mut Reader(&vec![0xff; length]), &mut Skip);
                    walk(layout, code, u32::MAX, 40, &mut Reader(&vec![1; length]), &mut Skip);
                }
            }
        }
    }
}
