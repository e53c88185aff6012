//! The EVE object of a transaction. Passwords are only written where the log asks for them.

use super::state::{Request, Response};
use crate::json::Object;
use crate::pairs::Pair;

pub fn pgsql(pair: &Pair<Request, Response>, transaction: u64, passwords: bool, out: &mut Vec<u8>) {
    let mut pgsql = Object::begin("pgsql", out);
    pgsql.number("tx_id", transaction);
    if let Some(r) = &pair.request {
        pgsql.object("request", |o| request(o, r, passwords));
    }
    if let Some(r) = pair.responses.last() {
        pgsql.object("response", |o| response(o, r));
    }
    pgsql.end();
}

fn request(o: &mut Object<'_>, request: &Request, passwords: bool) {
    match request {
        Request::Ssl => o.string("message", b"SSL Request"),
        Request::Startup { version: (major, minor), parameters } => {
            o.string("protocol_version", format!("{major}.{minor}").as_bytes());
            o.object("startup_parameters", |o| {
                let user = parameters.iter().find(|p| p.0 == b"user").map_or(&[][..], |p| &p.1);
                o.string("user", user);
                if parameters.iter().any(|p| p.0 != b"user") {
                    list(o, "optional_parameters", parameters.iter().filter(|p| p.0 != b"user"));
                }
            });
        }
        Request::Cancel { process, key } => {
            o.string("message", b"cancel_request");
            o.number("process_id", (*process).into());
            o.number("secret_key", (*key).into());
        }
        Request::Password(text) if passwords => o.string("password", text),
        Request::Password(_) => o.boolean("password_redacted", true),
        Request::SaslInitial { mechanism, parameter } => {
            let name: &[u8] = match mechanism.as_slice() {
                b"SCRAM-SHA-256" => b"scram_SHA256",
                b"SCRAM-SHA-256-PLUS" => b"scram_SHA256_plus",
                other => other,
            };
            o.string("sasl_authentication_mechanism", name);
            o.string("sasl_param", parameter);
        }
        Request::SaslResponse(text) => o.string("sasl_response", text),
        Request::Query(query) => o.string("simple_query", query),
        Request::CopyData { messages, size } => o.object("copy_data_in", |o| {
            o.number("msg_count", *messages);
            o.number("data_size", *size);
        }),
        Request::CopyDone => o.string("message", b"copy_done"),
        Request::CopyFail => o.string("message", b"copy_fail"),
        Request::Terminate => o.string("message", b"termination_message"),
    }
}

fn response(o: &mut Object<'_>, r: &Response) {
    if let Some(accepted) = r.ssl_accepted {
        o.boolean("ssl_accepted", accepted);
    }
    // The salt tells the kind; an error says its message itself.
    let told = r.salt.is_some() || r.notice.iter().any(|field| field.0 == b'M');
    if let Some(code) = r.authentication.filter(|_| !told) {
        let name: &[u8] = match code {
            0 => b"authentication_ok",
            3 => b"authentication_cleartext_password",
            5 => b"authentication_md5_password",
            7 => b"authentication_gss",
            9 => b"authentication_sspi",
            8 => b"authentication_gss_continue",
            10 => b"authentication_sasl",
            11 => b"authentication_sasl_continue",
            12 => b"authentication_sasl_final",
            _ => b"authentication_unknown",
        };
        o.string("message", name);
    }
    if let Some(salt) = r.salt {
        o.string("authentication_md5_password", &salt);
    }
    o.text("authentication_sasl_final", r.sasl_final.as_deref());
    if !r.parameters.is_empty() {
        list(o, "parameter_status", r.parameters.iter());
    }
    if let Some((process, key)) = r.process {
        o.number("process_id", process.into());
        o.number("secret_key", key.into());
    }
    if let Some(fields) = r.fields {
        o.number("field_count", fields.into());
        o.flag("row_description_malformed", false);
    }
    if r.rows > 0 {
        o.number("data_rows", r.rows);
        o.number("data_size", r.row_bytes);
    }
    for (key, columns) in [("copy_in_response", r.copy_in), ("copy_out_response", r.copy_out)] {
        if let Some(columns) = columns {
            o.object(key, |o| o.number("columns", columns.into()));
        }
    }
    if r.copy_rows > 0 {
        o.object("copy_data_out", |o| {
            o.number("row_count", r.copy_rows);
            o.number("data_size", r.copy_bytes);
        });
    }
    o.text("command_completed", r.command.as_deref());
    for (kind, text) in &r.notice {
        let key = match kind {
            b'S' => "severity_localizable",
            b'V' => "severity_non_localizable",
            b'C' => "code",
            b'M' => "message",
            b'F' => "file",
            b'L' => "line",
            b'R' => "routine",
            _ => continue,
        };
        o.string(key, text);
    }
}

/// Parameters as objects of one member each, named as Suricata names them.
fn list<'a>(o: &mut Object<'_>, key: &str, parameters: impl Iterator<Item = &'a (Vec<u8>, Vec<u8>)>) {
    o.list(key, |list| {
        for (name, value) in parameters {
            let name = match name.as_slice() {
                b"DateStyle" | b"datestyle" => "date_style".into(),
                b"TimeZone" => "time_zone".into(),
                b"IntervalStyle" => "interval_style".into(),
                name => String::from_utf8_lossy(name),
            };
            list.object(|o| o.string(&name, value));
        }
    });
}
