//! The EVE object of a transaction.

use super::cip::{Cip, Segment};
use super::message::Message;
use crate::json::Object;
use crate::pairs::Pair;

/// Commands (volume 2, table 2-3.2).
fn command(code: u16) -> String {
    match code {
        0x00 => "nop",
        0x04 => "list_services",
        0x63 => "list_identity",
        0x64 => "list_interfaces",
        0x65 => "register_session",
        0x66 => "unregister_session",
        0x6f => "send_rr_data",
        0x70 => "send_unit_data",
        0x72 => "indicate_status",
        0x73 => "cancel",
        n => return format!("unknown-{n}"),
    }
    .to_owned()
}

/// States of the encapsulation (volume 2, table 2-3.3).
fn status(code: u32) -> String {
    match code {
        0 => "success",
        1 => "invalid_cmd",
        2 => "no_resources",
        3 => "incorrect_data",
        0x64 => "invalid_session",
        0x65 => "invalid_length",
        0x69 => "unsupported_protocol_revision",
        0x6a => "encapsulation_header_error",
        n => return format!("unknown-{n}"),
    }
    .to_owned()
}

/// Common services (volume 1, table ).
fn service(code: u8) -> String {
    match code {
        1 => "get_attributes_all",
        2 => "set_attributes_all",
        3 => "get_attribute_list",
        4 => "set_attribute_list",
        5 => "reset",
        6 => "start",
        7 => "stop",
        8 => "create",
        9 => "delete",
        0x0a => "multiple_service",
        0x0d => "apply_attributes",
        0x0e => "get_attribute_single",
        0x10 => "set_attribute_single",
        0x11 => "find_next_object_instance",
        0x15 => "restore",
        0x16 => "save",
        0x17 => "nop",
        0x18 => "get_member",
        0x19 => "set_member",
        0x1a => "insert_member",
        0x1b => "remove_member",
        0x1c => "group_sync",
        n => return format!("unknown-{n}"),
    }
    .to_owned()
}

pub fn enip(pair: &Pair<Message, Message>, out: &mut Vec<u8>) {
    let mut enip = Object::begin("enip", out);
    if let Some(m) = &pair.request {
        enip.object("request", |o| message(o, m));
    }
    if let Some(m) = pair.responses.first() {
        enip.object("response", |o| message(o, m));
    }
    enip.end();
}

fn message(o: &mut Object<'_>, m: &Message) {
    o.string("command", command(m.command).as_bytes());
    o.string("status", status(m.status).as_bytes());
    if let Some((version, options)) = m.session_data {
        o.object("register_session", |o| {
            o.number("protocol_version", version.into());
            o.number("options", options.into());
        });
    }
    if let Some(service) = &m.service {
        o.object("list_services", |o| {
            o.number("protocol_version", service.protocol_version.into());
            o.number("capabilities", service.capabilities.into());
            o.string("service_name", &service.name);
        });
    }
    if let Some(identity) = &m.identity {
        o.object("identity", |o| {
            o.number("protocol_version", identity.protocol_version.into());
            o.string("revision", format!("{}.{}", identity.revision[0], identity.revision[1]).as_bytes());
            // Vendors and device types that ODVA gave the first numbers.
            let vendor = match identity.vendor {
                1 => "Rockwell Automation/Allen-Bradley".to_owned(),
                n => format!("unknown-{n}"),
            };
            let device = match identity.device_type {
                2 => "AC Drive".to_owned(),
                7 => "General Purpose Discrete I/O".to_owned(),
                12 => "Communications Adapter".to_owned(),
                14 => "Programmable Logic Controller".to_owned(),
                24 => "Human-Machine Interface".to_owned(),
                n => format!("unknown-{n}"),
            };
            o.string("vendor_id", vendor.as_bytes());
            o.string("device_type", device.as_bytes());
            o.number("product_code", identity.product_code.into());
            o.number("status", identity.status.into());
            o.number("serial", identity.serial.into());
            o.string("product_name", &identity.product_name);
            o.number("state", identity.state.into());
        });
    }
    if let Some(cip) = &m.cip {
        o.object("cip", |o| {
            one(o, cip);
            if !cip.parts.is_empty() {
                o.list("multiple", |list| cip.parts.iter().for_each(|part| list.object(|o| one(o, part))));
            }
        });
    }
}

fn one(o: &mut Object<'_>, cip: &Cip) {
    o.string("service", service(cip.service).as_bytes());
    if cip.response {
        o.string("status", if cip.status == 0 { "success".to_owned() } else { format!("error-{}", cip.status) }.as_bytes());
        return;
    }
    if !cip.path.is_empty() {
        o.list("path", |list| {
            for segment in &cip.path {
                let (kind, value) = match segment {
                    Segment::Class(n) => ("class", n),
                    Segment::Instance(n) => ("instance", n),
                    Segment::Attribute(n) => ("attribute_id", n),
                };
                list.object(|o| {
                    o.string("segment_type", kind.as_bytes());
                    o.number("value", (*value).into());
                });
            }
        });
    }
}
