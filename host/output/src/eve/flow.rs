//! Flow and netflow records.

use super::{EveOptions, community, ends, flow_counters, flow_number, icmp, vlan};
use crate::address::protocol;
use crate::json::{self, Object};
use crate::record::{FlowEnd, FlowRecord, FlowState};
use crate::time::timestamp;

/// Appends a flow record, without a line end.
pub fn flow(line: &mut Vec<u8>, options: &EveOptions, record: &FlowRecord<'_>) {
    let mut root = Object::new(line);
    root.plain("timestamp", |out| timestamp(out, record.time));
    flow_number(&mut root, &record.flow);
    root.text("event_type", "flow");
    vlan(&mut root, record.vlan);
    ends(&mut root, &record.flow.ends, true);
    icmp(&mut root, record.icmp);
    if let Some((kind, code)) = record.icmp_response {
        root.number("response_icmp_type", u64::from(kind));
        root.number("response_icmp_code", u64::from(code));
    }
    if options.metadata {
        root.members(record.metadata);
    }
    applications(&mut root, record);
    {
        let mut flow = root.object("flow");
        flow_counters(&mut flow, &record.flow);
        flow.plain("start", |out| timestamp(out, record.flow.start));
        flow.plain("end", |out| timestamp(out, record.flow.last));
        flow.number("age", (record.flow.last / 1_000_000_000).saturating_sub(record.flow.start / 1_000_000_000));
        flow.text(
            "state",
            match record.state {
                FlowState::New => "new",
                FlowState::Established => "established",
                FlowState::Closed => "closed",
                FlowState::Bypassed => "bypassed",
            },
        );
        flow.text(
            "reason",
            match record.reason {
                FlowEnd::Timeout => "timeout",
                FlowEnd::Forced => "forced",
                FlowEnd::Shutdown => "shutdown",
                FlowEnd::Reuse => "tcp_reuse",
            },
        );
        flow.flag("alerted", record.alerted);
        if record.transactions > 0 {
            flow.number("tx_cnt", record.transactions);
        }
        if record.dropped {
            flow.text("action", "drop");
        } else if record.accepted {
            flow.text("action", "accept");
        } else if record.passed {
            flow.text("action", "pass");
        }
        if let Some(policy) = record.policy {
            let mut list = flow.array("exception_policy");
            let mut item = list.item_object();
            item.text("target", "stream_midstream");
            item.text("policy", policy);
        }
    }
    if options.ethernet && record.ethernet.iter().any(|list| !list.is_empty()) {
        let mut ether = root.object("ether");
        for (key, addresses) in [("dest_macs", record.ethernet[1]), ("src_macs", record.ethernet[0])] {
            let mut list = ether.array(key);
            for address in addresses.iter() {
                list.item_text(&address.map(|b| format!("{b:02x}")).join(":"));
            }
        }
    }
    community(&mut root, options, &record.flow.ends, record.icmp);
    if let Some(tcp) = &record.tcp {
        let union = tcp.flags[0] | tcp.flags[1];
        let mut object = root.object("tcp");
        object.plain("tcp_flags", |out| json::hex_byte(out, union));
        object.plain("tcp_flags_ts", |out| json::hex_byte(out, tcp.flags[0]));
        object.plain("tcp_flags_tc", |out| json::hex_byte(out, tcp.flags[1]));
        flags(&mut object, union);
        if let Some(state) = tcp.state {
            object.text("state", state);
            // What waits for reassembly lies within the queue's bound: no stream ever has a second region.
            object.number("ts_max_regions", 1);
            object.number("tc_max_regions", 1);
        }
        if tcp.gap[0] {
            object.flag("ts_gap", true);
        }
        if tcp.gap[1] {
            object.flag("tc_gap", true);
        }
    }
}

/// What the flow's bytes are.
fn applications(root: &mut Object<'_>, record: &FlowRecord<'_>) {
    let Some(name) = record.app else { return };
    root.text("app_proto", name);
    for (key, side) in ["app_proto_ts", "app_proto_tc"].into_iter().zip(record.app_by_side) {
        if let Some(other) = side.filter(|other| *other != name) {
            root.text(key, other);
        }
    }
    if let Some(before) = record.app_before.filter(|before| *before != name) {
        root.text("app_proto_orig", before);
    }
}

/// Appends the netflow record of one direction of a flow, without a line end.
pub fn netflow(line: &mut Vec<u8>, options: &EveOptions, record: &FlowRecord<'_>, to_client: bool) {
    let mut root = Object::new(line);
    root.plain("timestamp", |out| timestamp(out, record.time));
    flow_number(&mut root, &record.flow);
    root.text("event_type", "netflow");
    vlan(&mut root, record.vlan);
    let facts = &record.flow;
    let d = usize::from(to_client);
    ends(&mut root, &if to_client { facts.ends.exchanged() } else { facts.ends }, false);
    root.plain("proto", |out| protocol(out, facts.ends.protocol));
    icmp(&mut root, record.icmp);
    root.text("app_proto", record.app_by_side[d].or(record.app).unwrap_or("unknown"));
    {
        let mut netflow = root.object("netflow");
        netflow.number("pkts", facts.packets[d]);
        netflow.number("bytes", facts.bytes[d]);
        netflow.plain("start", |out| timestamp(out, facts.start));
        netflow.plain("end", |out| timestamp(out, facts.last));
        netflow.number("age", (facts.last / 1_000_000_000).saturating_sub(facts.start / 1_000_000_000));
        let (least, most) = record.ttl[d];
        netflow.number("min_ttl", u64::from(least));
        netflow.number("max_ttl", u64::from(most));
        if record.transactions > 0 {
            netflow.number("tx_cnt", record.transactions);
        }
    }
    community(&mut root, options, &facts.ends, record.icmp);
    if let Some(tcp) = &record.tcp {
        let mut object = root.object("tcp");
        object.plain("tcp_flags", |out| json::hex_byte(out, tcp.flags[d]));
        flags(&mut object, tcp.flags[d]);
    }
}

/// The flags that are set, by name.
fn flags(object: &mut Object<'_>, set: u8) {
    let names = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];
    for (_, name) in names.iter().enumerate().filter(|(bit, _)| set & 1 << bit != 0) {
        object.flag(name, true);
    }
}
