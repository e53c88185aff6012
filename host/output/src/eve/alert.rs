//! Alert records.

use super::{EveOptions, ends, flow_counters, has_ports, packet, packet_head, verdict};
use crate::address::address;
use crate::json::{self, Object};
use crate::record::{AlertRecord, PacketFacts};
use crate::time::timestamp;
use weir_ir::Rule;

/// Appends an alert record, without a line end.
pub fn alert(line: &mut Vec<u8>, options: &EveOptions, record: &AlertRecord<'_>) {
    let mut root = Object::new(line);
    packet_head(&mut root, options, "alert", &record.packet, record.flow.as_ref());
    if options.metadata {
        root.members(record.metadata);
    }
    if let Some(transaction) = record.app.transaction {
        root.number("tx_id", transaction);
    }
    let epoch = options.epoch.then_some(record.epoch);
    rule(&mut root, options, record.rule, &record.packet, record.blocked, (record.engine, record.context, epoch));
    if let Some(hook) = record.hook {
        root.object("firewall").text("hook", hook);
    }
    if options.app_layer {
        root.members(record.app.objects);
    }
    if let Some(name) = record.app.protocol {
        root.text("app_proto", name);
    }
    if record.flow.is_some() {
        root.text("direction", if record.to_server { "to_server" } else { "to_client" });
    }
    if let Some(facts) = record.flow.as_ref().filter(|_| options.alert_flow) {
        let mut flow = root.object("flow");
        flow_counters(&mut flow, facts);
        flow.plain("start", |out| timestamp(out, facts.start));
        ends(&mut flow, &facts.ends, false);
    }
    if let Some(bytes) = record.payload.filter(|_| options.payload || options.payload_printable) {
        let bytes = bytes.get(..options.payload_limit).unwrap_or(bytes);
        if options.payload {
            root.plain("payload", |out| json::base64(out, bytes));
        }
        if options.payload_printable {
            root.plain("payload_printable", |out| {
                // `plain` brings the quotes.
                let mut quoted = Vec::with_capacity(bytes.len() + 2);
                json::printable(&mut quoted, bytes);
                out.extend_from_slice(quoted.get(1..quoted.len() - 1).unwrap_or_default());
            });
        }
        if options.payload_length {
            root.number("payload_length", bytes.len() as u64);
        }
        root.number("stream", u64::from(record.from_stream));
    }
    if options.packet {
        packet(&mut root, &record.packet);
    }
    if options.verdict {
        verdict(&mut root, record.verdict);
    }
}

/// The `alert` object.
pub(super) fn rule(
    root: &mut Object<'_>,
    options: &EveOptions,
    rule: &Rule,
    packet: &PacketFacts<'_>,
    blocked: bool,
    (engine, context, epoch): (Option<&str>, &[u8], Option<u32>),
) {
    let mut alert = root.object("alert");
    if let Some(engine) = engine {
        alert.text("engine", engine);
    }
    alert.text("action", if blocked { "blocked" } else { "allowed" });
    alert.number("gid", u64::from(rule.identity.gid));
    alert.number("signature_id", u64::from(rule.identity.sid));
    alert.number("rev", u64::from(rule.identity.rev));
    alert.text("signature", &rule.meta.message);
    alert.text("category", rule.meta.class_description.as_deref().unwrap_or(""));
    alert.number("severity", u64::from(rule.meta.priority));
    if let (Some(target), Some(packet)) = (rule.meta.target, packet.ends) {
        let away = match target {
            weir_ir::Target::Source => packet.exchanged(),
            weir_ir::Target::Destination => packet,
        };
        for (name, ip, port) in
            [("source", away.source, away.source_port), ("target", away.destination, away.destination_port)]
        {
            let mut side = alert.object(name);
            side.plain("ip", |out| address(out, ip));
            if has_ports(away.protocol) {
                side.number("port", u64::from(port));
            }
        }
    }
    if options.rule_metadata && !rule.meta.metadata.is_empty() {
        let mut metadata = alert.object("metadata");
        let entries = &rule.meta.metadata;
        for (i, (key, _)) in entries.iter().enumerate() {
            if entries.iter().take(i).any(|(earlier, _)| earlier == key) {
                continue;
            }
            let mut values = metadata.array(key);
            entries.iter().filter(|(k, _)| k == key).for_each(|(_, value)| values.item_text(value));
        }
    }
    if options.rule_reference && !rule.meta.references.is_empty() {
        let mut references = alert.array("references");
        for (system, text) in &rule.meta.references {
            references.item_text(&options.references.render(system, text));
        }
    }
    if !context.is_empty() || epoch.is_some() {
        let mut members = alert.object("context");
        members.members(context);
        if let Some(epoch) = epoch {
            // The schema lets `context` hold what it does not name, and nothing else of an alert.
            members.object("weir").number("epoch", u64::from(epoch));
        }
    }
    if options.rule_text {
        alert.text("rule", &rule.source.text);
    }
}
