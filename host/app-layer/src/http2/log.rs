//! The EVE object of a transaction: `http` with version 2.

use super::fields::Known;
use super::frame::{Fact, error_name, reset_name, setting_name};
use super::stream::{Side, Stream};
use crate::json::Object;

/// Most header fields that are logged of a direction.
const HEADERS_MAX: usize = 128;

pub fn http(stream: &Stream, out: &mut Vec<u8>) {
    let [request, response] = &stream.sides;
    let mut http = Object::begin("http", out);
    http.text("version", Some(b"2"));
    headers(&mut http, "request_headers", request);
    headers(&mut http, "response_headers", response);
    http.text("hostname", request.fields.host_raw());
    http.text("http_method", request.fields.value(Known::Method));
    http.text("url", request.fields.value(Known::Path));
    http.text("http_user_agent", request.fields.value(Known::UserAgent));
    if let Some(length) = response.fields.value(Known::ContentLength).and_then(number) {
        http.number("length", length);
    }
    if response.fields.status() > 0 {
        http.number("status", response.fields.status().into());
    }
    http.object("http2", |object| {
        object.number("stream_id", stream.number.into());
        for (key, side) in [("request", request), ("response", response)] {
            if says_something(side) {
                object.object(key, |o| facts(o, side));
            }
        }
    });
    http.end();
}

fn says_something(side: &Side) -> bool {
    side.facts.iter().any(|fact| matches!(fact, Fact::Setting(..) | Fact::Error(_) | Fact::Reset(_) | Fact::Priority(_)))
}

/// There is something to tell: acknowledgements, pings and windows of a connection are not.
pub fn is_worth_telling(stream: &Stream) -> bool {
    stream.sides.iter().any(|side| !side.fields.is_empty() || says_something(side))
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn headers(http: &mut Object<'_>, key: &str, side: &Side) {
    let fields = &side.fields;
    if fields.is_empty() {
        return;
    }
    http.list(key, |list| {
        // Changes of the table's size stand before the fields of a block (RFC 7541 section 4.2).
        for fact in &side.facts {
            if let Fact::Size(size) = fact {
                list.object(|update| update.number("table_size_update", *size));
            }
        }
        for (name, value) in fields.iter().take(HEADERS_MAX) {
            list.object(|field| {
                field.text("name", Some(name));
                field.text("value", Some(value));
            });
        }
    });
}

/// What frames of a direction said.
fn facts(object: &mut Object<'_>, side: &Side) {
    let settings = || {
        side.facts.iter().filter_map(|fact| match fact {
            Fact::Setting(id, value) => Some((*id, *value)),
            _ => None,
        })
    };
    if settings().next().is_some() {
        object.list("settings", |list| {
            for (id, value) in settings() {
                list.object(|setting| {
                    match setting_name(id) {
                        Some(name) => setting.text("settings_id", Some(name.as_bytes())),
                        None => setting.text("settings_id", Some(format!("SETTINGSUNKNOWN({id})").as_bytes())),
                    }
                    setting.number("settings_value", value.into());
                });
            }
        });
    }
    let error = side.facts.iter().find_map(|fact| match *fact {
        Fact::Error(code) => Some((code, error_name(code))),
        Fact::Reset(code) => Some((code, reset_name(code))),
        _ => None,
    });
    if let Some((code, name)) = error {
        match name {
            Some(name) => object.text("error_code", Some(name.as_bytes())),
            None => object.text("error_code", Some(format!("unknown {code}").as_bytes())),
        }
    }
    if let Some(weight) = side.facts.iter().find_map(|fact| if let Fact::Priority(weight) = fact { Some(*weight) } else { None }) {
        object.number("priority", weight.into());
    }
}
