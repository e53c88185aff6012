//! The EVE object of a transaction.

use super::function::{self, ASSIGNED, COILS, DISCRETES, HOLDING, INPUT, MULTIPLE, READ, RESERVED, SINGLE, UNASSIGNED, USER, WRITE};
use super::message::{BAD_EXCEPTION, BAD_FUNCTION, BAD_LENGTH, BAD_PROTOCOL, BAD_VALUE, Message, Written};
use crate::json::Object;
use crate::pairs::Pair;

pub fn modbus(pair: &Pair<Message, Message>, id: u64, out: &mut Vec<u8>) {
    let mut modbus = Object::begin("modbus", out);
    modbus.number("id", id + 1);
    if let Some(request) = &pair.request {
        modbus.object("request", |o| message(o, request));
    }
    if let Some(response) = pair.responses.first() {
        modbus.object("response", |o| message(o, response));
    }
    modbus.end();
}

/// Names of set bits, `NONE` without.
fn names(value: u64, of: &[(u64, &str)]) -> String {
    let set: Vec<&str> = of.iter().filter(|(bit, _)| value & bit == *bit).map(|(_, name)| *name).collect();
    if set.is_empty() { "NONE".to_owned() } else { set.join(" | ") }
}

#[rustfmt::skip]
const ACCESS: &[(u64, &str)] = &[
    (READ, "READ"), (WRITE, "WRITE"), (DISCRETES, "DISCRETES"), (COILS, "COILS"), (INPUT, "INPUT"), (HOLDING, "HOLDING"),
    (SINGLE, "SINGLE"), (MULTIPLE, "MULTIPLE"), (WRITE | SINGLE, "WRITE_SINGLE"), (WRITE | MULTIPLE, "WRITE_MULTIPLE"),
];
#[rustfmt::skip]
const CATEGORIES: &[(u64, &str)] = &[
    (ASSIGNED, "PUBLIC_ASSIGNED"), (UNASSIGNED, "PUBLIC_UNASSIGNED"), (USER, "USER_DEFINED"), (RESERVED, "RESERVED"),
];
#[rustfmt::skip]
const ERRORS: &[(u64, &str)] = &[
    (BAD_VALUE as u64, "DATA_VALUE"), (BAD_LENGTH as u64, "DATA_LENGTH"), (BAD_EXCEPTION as u64, "EXC_CODE"),
    (BAD_FUNCTION as u64, "FUNC_CODE"), (BAD_PROTOCOL as u64, "PROTO_ID"),
];

fn message(o: &mut Object<'_>, m: &Message) {
    o.number("transaction_id", m.transaction.into());
    o.number("protocol_id", m.protocol.into());
    o.number("unit_id", m.unit.into());
    o.number("function_raw", m.function.into());
    o.string("function_code", function::describe(m.code()).0.as_bytes());
    o.string("access_type", names(m.access(), ACCESS).as_bytes());
    o.string("category", names(m.category(), CATEGORIES).as_bytes());
    o.string("error_flags", names(m.errors.into(), ERRORS).as_bytes());
    if let Some(code) = m.exception {
        o.object("exception", |o| {
            o.number("raw", code.into());
            o.string("code", function::exception(code).as_bytes());
        });
    }
    if let (Some(code), Some(data)) = (m.sub, &m.data) {
        let (key, name) = match m.function {
            8 => ("diagnostic", function::diagnostic(code)),
            _ => ("mei", function::interface(code as u8)),
        };
        o.object(key, |o| {
            o.number("raw", code.into());
            o.string("code", name.as_bytes());
            o.string("data", data);
        });
    } else if let Some(data) = &m.data {
        o.string("data", data);
    }
    if m.read.is_some() || m.read_data.is_some() {
        o.object("read", |o| {
            if let Some(area) = &m.read {
                o.number("address", area.address.into());
                o.number("quantity", area.quantity.into());
            }
            if let Some(data) = &m.read_data {
                o.string("data", data);
            }
        });
    }
    if let Some((area, written)) = &m.write {
        o.object("write", |o| {
            o.number("address", area.address.into());
            match written {
                Written::One(value) => o.number("data", (*value).into()),
                Written::Several(data) => {
                    o.number("quantity", area.quantity.into());
                    o.string("data", data);
                }
                Written::Mask { and, or } => {
                    o.number("and_mask", (*and).into());
                    o.number("or_mask", (*or).into());
                }
            }
        });
    }
}
