//! The EVE object of a transaction.

use super::message::{Change, Handle};
use super::ntlmssp::Identity;
use super::state::{Exchange, Kind};
use crate::dcerpc::Association;
use crate::json::Object;

/// FILE_DIRECTORY_FILE and FILE_DELETE_ON_CLOSE (MS-SMB2 section 2.2.13).
const DIRECTORY: u32 = 1;
const DELETE_ON_CLOSE: u32 = 1 << 12;

/// In SMB 1 Suricata takes the first of the two backslashes away.
fn share_name(version: u8, name: &[u8]) -> &[u8] {
    if version == 1 { name.strip_prefix(b"\\").unwrap_or(name) } else { name }
}

/// Kind of transaction, as the log's setting `types` names it.
pub fn kind(exchange: &Exchange) -> &'static str {
    match exchange.kind {
        Kind::Negotiate(_) => "negotiate",
        Kind::SessionSetup(_) => "session_setup",
        Kind::TreeConnect(..) => "tree_connect",
        Kind::Create(_) => "create",
        Kind::File(..) => "file",
        Kind::Rpc(..) => "dcerpc",
        Kind::Other if (exchange.version, exchange.command) == (2, 11) => "ioctl",
        Kind::Other => "generic",
    }
}

/// Appends the object of an exchange; `association`: that of the pipe it is about.
pub fn smb(exchange: &Exchange, association: Option<&Association>, id: u64, out: &mut Vec<u8>) {
    let mut object = Object::begin("smb", out);
    object.number("id", id + 1);
    object.text("dialect", Some(&exchange.dialect));
    object.text("command", Some(command_name(exchange).as_bytes()));
    if let Some(status) = exchange.status.filter(|_| exchange.details.dos) {
        let (class, code) = (status & 0xff, status >> 16);
        let name = super::status::of_server(class, code).map_or_else(|| code.to_string(), str::to_owned);
        object.text("status", Some(name.as_bytes()));
        object.text("status_code", Some(format!("0x{code:04x}").as_bytes()));
    } else if let Some(status) = exchange.status {
        if let Some(name) = super::status::name(status) {
            object.text("status", Some(name.as_bytes()));
        }
        object.text("status_code", Some(format!("0x{status:x}").as_bytes()));
    }
    // Negotiation stands before sessions and trees.
    let negotiates = matches!(exchange.kind, Kind::Negotiate(_));
    // Nor do files of SMB 1 have them, in Suricata's records.
    let nowhere = negotiates || (exchange.version == 1 && matches!(exchange.kind, Kind::File(..)));
    object.number("session_id", if nowhere { 0 } else { exchange.session });
    object.number("tree_id", if nowhere { 0 } else { exchange.tree.into() });
    let details = &exchange.details;
    match &exchange.kind {
        Kind::Negotiate(dialects) => {
            object.texts("client_dialects", dialects.iter().map(Vec::as_slice));
            object.text("client_guid", details.client_guid.map(|g| guid(&g)).as_deref().map(str::as_bytes));
            object.text("server_guid", details.server_guid.map(|g| guid(&g)).as_deref().map(str::as_bytes));
            if let Some((read, write)) = details.sizes {
                object.number("max_read_size", read.into());
                object.number("max_write_size", write.into());
            }
        }
        Kind::SessionSetup(who) => session(&mut object, exchange, who),
        Kind::TreeConnect(name, pipe) => {
            let name = share_name(exchange.version, name);
            object.text(if *pipe == Some(true) { "named_pipe" } else { "share" }, Some(name));
            let kind = details.share_type.map(|kind| match kind {
                1 => "FILE",
                2 => "PIPE",
                3 => "PRINT",
                _ => "UNKNOWN",
            });
            object.text("share_type", kind.map(str::as_bytes));
            if let [Some(asked), Some(given)] = &details.service {
                object.object("service", |o| {
                    o.always("request", asked);
                    o.always("response", given);
                });
            }
        }
        Kind::Create(name) => create(&mut object, exchange, name),
        Kind::File(transfer, _) => {
            object.text("filename", Some(transfer.file.name()));
            if let Some((handle, share)) = &exchange.file {
                object.always("share", share_name(exchange.version, share));
                object.string("fuid", fuid(exchange.version, handle).as_bytes());
            }
        }
        Kind::Rpc(_, call) => object.object("dcerpc", |o| crate::dcerpc::log_of_pipe(o, association, call)),
        Kind::Other => {
            if let Some(function) = details.function {
                let name = function_name(function).map_or_else(|| function.to_string(), str::to_owned);
                object.text("function", Some(name.as_bytes()));
            }
            if let Some((handle, change)) = &details.change {
                match change {
                    Change::Delete(delete) => {
                        object.always("filename", &exchange.subject);
                        object.text("access", Some(if *delete { b"delete on close" } else { b"normal" }));
                    }
                    Change::Rename(to) => object.object("rename", |o| {
                        o.always("from", &exchange.subject);
                        o.always("to", to);
                    }),
                }
                object.string("fuid", fuid(exchange.version, handle).as_bytes());
            }
        }
    }
    object.end();
}

/// Control codes (MS-SMB2 section 2.2.31).
fn function_name(code: u32) -> Option<&'static str> {
    Some(match code {
        0x0006_0194 => "FSCTL_DFS_GET_REFERRALS",
        0x0006_01b0 => "FSCTL_DFS_GET_REFERRALS_EX",
        0x0009_00a4 => "FSCTL_SET_REPARSE_POINT",
        0x0009_00a8 => "FSCTL_GET_REPARSE_POINT",
        0x0009_00c0 => "FSCTL_CREATE_OR_GET_OBJECT_ID",
        0x0009_8208 => "FSCTL_FILE_LEVEL_TRIM",
        0x0011_0018 => "FSCTL_PIPE_WAIT",
        0x0011_400c => "FSCTL_PIPE_PEEK",
        0x0011_c017 => "FSCTL_PIPE_TRANSCEIVE",
        0x0014_0078 => "FSCTL_SRV_REQUEST_RESUME_KEY",
        0x0014_01d4 => "FSCTL_LMR_REQUEST_RESILIENCY",
        0x0014_01fc => "FSCTL_QUERY_NETWORK_INTERFACE_INFO",
        0x0014_0204 => "FSCTL_VALIDATE_NEGOTIATE_INFO",
        0x0014_4064 => "FSCTL_SRV_ENUMERATE_SNAPSHOTS",
        0x0014_40f2 => "FSCTL_SRV_COPYCHUNK",
        0x0014_41bb => "FSCTL_SRV_READ_HASH",
        0x0014_80f2 => "FSCTL_SRV_COPYCHUNK_WRITE",
        _ => return None,
    })
}

fn session(o: &mut Object<'_>, exchange: &Exchange, who: &Identity) {
    if let Some((realm, names)) = &exchange.details.ticket {
        o.object("kerberos", |o| {
            o.always("realm", realm);
            o.texts("snames", names.iter().map(Vec::as_slice));
        });
    }
    if *who != Identity::default() {
        o.object("ntlmssp", |o| {
            o.always("domain", &who.domain);
            o.always("user", &who.user);
            o.always("host", &who.host);
            if let Some((major, minor, build, revision)) = who.version {
                o.string("version", format!("{major}.{minor} build {build} rev {revision}").as_bytes());
            }
        });
    }
    for (key, names) in ["request", "response"].into_iter().zip(&exchange.details.native) {
        if let Some((system, manager)) = names {
            o.object(key, |o| {
                o.always("native_os", system);
                o.always("native_lm", manager);
            });
        }
    }
}

fn create(o: &mut Object<'_>, exchange: &Exchange, name: &[u8]) {
    let (disposition, options) = exchange.details.create.unwrap_or_default();
    match name {
        b"" => o.string("filename", b"<share_root>"),
        name => o.string(if options & DIRECTORY != 0 { "directory" } else { "filename" }, name),
    }
    let disposition = match disposition {
        0 => "FILE_SUPERSEDE",
        1 => "FILE_OPEN",
        2 => "FILE_CREATE",
        3 => "FILE_OPEN_IF",
        4 => "FILE_OVERWRITE",
        5 => "FILE_OVERWRITE_IF",
        _ => "UNKNOWN",
    };
    o.string("disposition", disposition.as_bytes());
    o.string("access", if options & DELETE_ON_CLOSE != 0 { b"delete on close" } else { b"normal" });
    let (times, size) = exchange.details.times.unwrap_or_default();
    for (key, time) in ["created", "accessed", "modified", "changed"].into_iter().zip(times) {
        o.number(key, seconds(time));
    }
    o.number("size", size);
    let handle = exchange.file.as_ref().map(|(handle, _)| fuid(exchange.version, handle));
    o.always("fuid", handle.unwrap_or_default().as_bytes());
}

/// Seconds since 1970 of a time in 100 ns since 1601 (MS-DTYP section 2.3.3); 0 if it is earlier.
fn seconds(time: u64) -> u64 {
    (time / 10_000_000).saturating_sub(11_644_473_600)
}

/// An identifier as Suricata writes it: all its parts are little-endian.
fn guid(b: &[u8; 16]) -> String {
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 9, 8, 11, 10, 15, 14, 13, 12];
    let hex = crate::digest::hex(&ORDER.map(|at| b[at]));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn fuid(version: u8, handle: &Handle) -> String {
    if version == 1 { crate::digest::hex(&[handle[1], handle[0]]) } else { guid(handle) }
}

fn command_name(exchange: &Exchange) -> String {
    let name = match (exchange.version, exchange.command) {
        (2, n) => [
            "NEGOTIATE_PROTOCOL",
            "SESSION_SETUP",
            "SESSION_LOGOFF",
            "TREE_CONNECT",
            "TREE_DISCONNECT",
            "CREATE",
            "CLOSE",
            "FLUSH",
            "READ",
            "WRITE",
            "LOCK",
            "IOCTL",
            "CANCEL",
            "KEEPALIVE",
            "FIND",
            "CHANGE_NOTIFY",
            "GET_INFO",
            "SET_INFO",
            "OPLOCK_BREAK",
        ]
        .get(usize::from(n))
        .copied(),
        (_, n) => match n {
            0x04 => Some("CLOSE"),
            0x25 => Some("TRANS"),
            0x2b => Some("ECHO"),
            0x2e => Some("READ_ANDX"),
            0x2f => Some("WRITE_ANDX"),
            0x32 => Some("TRANS2"),
            0x33 => Some("TRANS2_SECONDARY"),
            0x71 => Some("TREE_DISCONNECT"),
            0x72 => Some("NEGOTIATE_PROTOCOL"),
            0x73 => Some("SESSION_SETUP_ANDX"),
            0x74 => Some("LOGOFF_ANDX"),
            0x75 => Some("TREE_CONNECT_ANDX"),
            0xa0 => Some("NT_TRANS"),
            0xa2 => Some("NT_CREATE_ANDX"),
            _ => None,
        },
    };
    match name {
        Some(name) => format!("SMB{}_COMMAND_{name}", exchange.version),
        None => format!("SMB{}_COMMAND_{}", exchange.version, exchange.command),
    }
}
