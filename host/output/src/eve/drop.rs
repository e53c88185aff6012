//! Drop records.

use super::{EveOptions, packet_head, verdict};
use crate::json::Object;
use crate::record::DropRecord;

/// Appends a drop record, without a line end.
pub fn drop_packet(line: &mut Vec<u8>, options: &EveOptions, record: &DropRecord<'_>) {
    let mut root = Object::new(line);
    packet_head(&mut root, options, "drop", &record.packet, record.flow.as_ref());
    if record.flow.is_some() {
        root.text("direction", if record.to_server { "to_server" } else { "to_client" });
    }
    {
        let mut dropped = root.object("drop");
        let headers = &record.headers;
        dropped.number("len", u64::from(headers.length));
        dropped.number("tos", u64::from(headers.tos));
        dropped.number("ttl", u64::from(headers.ttl));
        dropped.number("ipid", u64::from(headers.id));
        if let Some((sequence, acknowledgement, window, flags, urgent)) = headers.tcp {
            dropped.number("tcpseq", u64::from(sequence));
            dropped.number("tcpack", u64::from(acknowledgement));
            dropped.number("tcpwin", u64::from(window));
            for (bit, name) in [(1, "syn"), (4, "ack"), (3, "psh"), (2, "rst"), (5, "urg"), (0, "fin")] {
                dropped.flag(name, flags & 1 << bit != 0);
            }
            dropped.number("tcpres", 0);
            dropped.number("tcpurgp", u64::from(urgent));
        }
        if let Some(length) = headers.udp {
            dropped.number("udplen", u64::from(length));
        }
        dropped.text("reason", record.reason);
    }
    if options.drop_verdict {
        verdict(&mut root, record.verdict);
    }
    if let (true, Some(rule)) = (options.drop_alerts, record.rule) {
        super::alert::rule(&mut root, options, rule, &record.packet, true, (None, &[], None));
    }
}
