//! Records of transactions, of the files they carry, and of frames.

use super::{EveOptions, packet_head};
use crate::json::Object;
use crate::record::{FileRecord, FrameRecord, TransactionRecord};

/// Record types that name their transaction.
const NUMBERED: [&str; 3] = ["http", "smtp", "smb"];

/// Appends the record of a transaction with these members, without a line end.
pub fn transaction(line: &mut Vec<u8>, options: &EveOptions, record: &TransactionRecord<'_>, members: &[u8]) {
    let mut root = Object::new(line);
    packet_head(&mut root, options, record.kind, &record.packet, Some(&record.flow));
    if options.metadata {
        root.members(record.metadata);
    }
    if let Some(id) = record.app.transaction.filter(|_| NUMBERED.contains(&record.kind)) {
        root.number("tx_id", id);
    }
    root.members(members);
}

/// Appends the record of a file, without a line end.
pub fn file(line: &mut Vec<u8>, options: &EveOptions, record: &FileRecord<'_>) {
    let mut root = Object::new(line);
    packet_head(&mut root, options, "fileinfo", &record.packet, Some(&record.flow));
    root.members(record.app.objects);
    if let Some(name) = record.app.protocol {
        root.text("app_proto", name);
    }
    let mut info = root.object("fileinfo");
    if !record.name.is_empty() {
        info.bytes("filename", record.name);
    }
    if !record.signatures.is_empty() {
        let mut list = info.array("sid");
        record.signatures.iter().for_each(|sid| list.item_number(u64::from(*sid)));
    }
    if let Some(magic) = record.magic.filter(|_| options.file_magic) {
        info.text("magic", magic);
    }
    info.flag("gaps", record.gaps);
    info.text("state", record.state);
    for (n, (name, digest)) in ["md5", "sha1", "sha256"].into_iter().zip(record.digests).enumerate() {
        // Those that rules ask for are shown as well; nobody computes the others.
        let wanted = options.file_digests[n] || options.file_digests == [false; 3];
        if let Some(digest) = digest.filter(|_| wanted) {
            info.plain(name, |out| digest.iter().for_each(|b| crate::json::hex_byte(out, *b)));
        }
    }
    info.flag("stored", record.stored.is_some());
    if let Some(id) = record.stored {
        info.number("file_id", id);
    }
    if let Some((start, end)) = record.range {
        info.number("start", start);
        info.number("end", end);
    }
    info.number("size", record.size);
    if let Some(id) = record.app.transaction {
        info.number("tx_id", id);
    }
}

/// Appends the record of a frame, without a line end.
pub fn frame(line: &mut Vec<u8>, options: &EveOptions, record: &FrameRecord<'_>) {
    let mut root = Object::new(line);
    packet_head(&mut root, options, "frame", &record.packet, Some(&record.flow));
    if let Some(name) = record.protocol {
        root.text("app_proto", name);
    }
    root.members(record.object);
}
