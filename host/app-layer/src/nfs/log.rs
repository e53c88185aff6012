//! The EVE objects of a transaction.

use super::names;
use super::state::{Call, Reply, is_read, is_write};
use crate::digest::crc32;
use crate::json::Object;
use crate::pairs::Pair;

/// SYMLINK, LINK, READDIR, READDIRPLUS of version 3 (RFC 1813 section 3).
const NAMELESS: [u32; 4] = [10, 15, 16, 17];

pub fn nfs(call: &Call, pair: &Pair<Call, Reply>, id: u64, out: &mut Vec<u8>) {
    let reply = pair.responses.last();
    let mut rpc = Object::begin("rpc", out);
    rpc.number("xid", call.xid.into());
    rpc.string("status", if reply.is_none_or(|r| r.accepted) { b"ACCEPTED" } else { b"DENIED" });
    rpc.string("auth_type", names::flavor(call.credentials.flavor).as_bytes());
    if let Some((machine, user, group)) = &call.credentials.unix {
        rpc.object("creds", |o| {
            o.string("machine_name", machine);
            o.number("uid", (*user).into());
            o.number("gid", (*group).into());
        });
    }
    rpc.end();
    out.push(b',');
    let mut o = Object::begin("nfs", out);
    o.number("version", call.version.into());
    o.string("procedure", names::procedure(call.version, call.procedure).as_bytes());
    // Suricata 8.0.8 tells no names of version 2, nor of calls that make or read links and directories.
    let named = call.version > 2 && !(call.version == 3 && NAMELESS.contains(&call.procedure));
    let tell = |name: &[u8]| if named { name.to_vec() } else { Vec::new() };
    o.string("filename", &tell(&call.name));
    if !call.handle.is_empty() {
        o.string("hhash", format!("{:x}", crc32(&call.handle)).as_bytes());
    }
    o.number("id", id + 1);
    o.boolean("file_tx", call.file.is_some());
    o.string("type", b"response");
    o.string("status", names::status(reply.map_or(0, |r| r.status)).as_bytes());
    let key = if is_read(call.version, call.procedure) {
        "read"
    } else if is_write(call.version, call.procedure) {
        "write"
    } else {
        ""
    };
    if !key.is_empty() {
        o.object(key, |o| {
            o.boolean("first", call.file.is_some());
            o.boolean("last", call.file.as_ref().is_some_and(|f| f.last));
            if let Some(file) = &call.file {
                o.number("last_xid", call.xid.into());
                o.number("chunks", file.chunks);
            }
        });
    }
    if let Some(to) = &call.rename_to {
        o.object("rename", |o| {
            o.string("from", &tell(&call.name));
            o.string("to", &tell(to));
        });
    }
    o.end();
}
