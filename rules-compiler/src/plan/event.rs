//! Events as supersets the device can see.
//!
//! Decoder events are raised by the host's decoder for frames that the device parses as well: a frame whose headers
//! contradict themselves raises one of the parse guards. The table maps each family of events to the guards, or to the
//! transport, without which the host cannot raise it. Stream events come from the host's TCP state machine; only
//! those are mapped whose cause is one trouble of the shared sequence function, the others are all TCP frames.
//! Application-layer events are all payload frames of the protocol.

use super::class::{Class, Condition, Trigger};
use super::{Builder, Choice, base, cost};
use weir_contract::enums::{DirectionMask, IpMask, TransportMask};
use weir_contract::guards::Guard;
use weir_contract::layouts::Record;
use weir_ir::{Event, Rule};

/// How the device sees an event.
enum View {
    /// One of these guards fires at the frame.
    Guards(&'static [Guard]),
    /// The frame has one of these transports.
    Transports(u8),
    /// The frame has this IP version.
    Version(u8),
    /// Any frame.
    Everything,
}

const LINK: &[Guard] = &[
    Guard::NonIp,
    Guard::MalformedLink,
    Guard::VlanDepth,
    Guard::UnsupportedLink,
    Guard::TruncatedCapture,
    Guard::TunnelGre,
    Guard::TunnelMpls,
    Guard::TunnelPppoe,
    Guard::TunnelIp,
    Guard::TunnelUdp,
];

fn decoder(name: &str) -> View {
    let family = name.split('.').next().unwrap_or(name);
    match family {
        "ipv4" => {
            let rest = name.strip_prefix("ipv4.").unwrap_or(name);
            if rest.starts_with("opt") {
                View::Guards(&[Guard::IpOptions, Guard::MalformedIp, Guard::TruncatedCapture, Guard::TunnelIp, Guard::TunnelGre])
            } else if rest.starts_with("frag") {
                View::Guards(&[Guard::IpFragment, Guard::TunnelIp, Guard::TunnelGre, Guard::TunnelUdp])
            } else if matches!(rest, "pkt_too_small" | "hlen_too_small" | "iplen_smaller_than_hlen" | "trunc_pkt" | "wrong_ip_version") {
                View::Guards(&[
                    Guard::MalformedIp,
                    Guard::MalformedLink,
                    Guard::TruncatedCapture,
                    Guard::TunnelIp,
                    Guard::TunnelGre,
                    Guard::TunnelMpls,
                    Guard::TunnelPppoe,
                    Guard::TunnelUdp,
                ])
            } else {
                View::Version(IpMask::V4.0)
            }
        }
        "ipv6" => View::Version(IpMask::V6.0),
        "icmpv4" => View::Transports(TransportMask::ICMPV4.0 | TransportMask::OTHER.0),
        "icmpv6" => View::Transports(TransportMask::ICMPV6.0 | TransportMask::OTHER.0),
        "sctp" => View::Transports(TransportMask::SCTP.0 | TransportMask::OTHER.0),
        "tcp" => {
            let rest = name.strip_prefix("tcp.").unwrap_or(name);
            if matches!(rest, "pkt_too_small" | "hlen_too_small") {
                View::Guards(&[Guard::MalformedTransport, Guard::IpFragment, Guard::TruncatedCapture])
            } else if rest == "opt_wscale_over_max" {
                // An option as it should be, but for its value: the device does not look at that.
                View::Transports(TransportMask::TCP.0 | TransportMask::OTHER.0)
            } else if rest.starts_with("opt") || rest == "invalid_optlen" {
                View::Guards(&[Guard::TcpOptionsOdd, Guard::MalformedTransport, Guard::IpFragment, Guard::TruncatedCapture])
            } else {
                View::Transports(TransportMask::TCP.0 | TransportMask::OTHER.0)
            }
        }
        "udp" => View::Guards(&[Guard::MalformedTransport, Guard::IpFragment, Guard::TruncatedCapture]),
        "ethernet" | "arp" | "vlan" | "ieee8021ah" | "vntag" | "mpls" | "ppp" | "pppoe" | "gre" | "erspan" | "vxlan" | "geneve"
        | "sll" | "sll2" | "chdlc" | "nsh" | "ltnull" | "cisco_chdlc" | "dce" | "raw" => View::Guards(LINK),
        _ => View::Everything,
    }
}

fn stream(name: &str) -> View {
    match name {
        "reassembly_overlap_different_data" => {
            // Different bytes for the same place need a segment that is not in order.
            View::Guards(&[
                Guard::SequenceGap,
                Guard::SequenceOverlap,
                Guard::SequenceRetransmission,
                Guard::StreamState,
                Guard::SynData,
                Guard::AfterClose,
                Guard::RstData,
                Guard::Urgent,
                Guard::SynChange,
            ])
        }
        _ => View::Transports(TransportMask::TCP.0),
    }
}

/// Condition of a rule with events; all events are necessary, so the narrowest is enough.
pub fn choice(rule: &Rule, builder: &mut Builder<'_>) -> Option<Choice> {
    let mut best: Option<Choice> = None;
    for event in &rule.events {
        let choice = one(rule, event, builder);
        if best.as_ref().is_none_or(|b| choice.cost < b.cost) {
            best = Some(choice);
        }
    }
    best
}

fn one(rule: &Rule, event: &Event, builder: &mut Builder<'_>) -> Choice {
    let mut records = base::base_records(rule, builder.sets, base::BOTH);
    let (view, name, packet) = match event {
        Event::Decoder(name) => (decoder(name), name, true),
        Event::Stream(name) => (stream(name), name, true),
        Event::AppLayer(protocol, name) => {
            for record in &mut records {
                if let Some(p) = protocol {
                    record.class_mask &= base::classes(*p);
                    record.transports &= base::transports_of(*p);
                } else {
                    record.transports &= TransportMask::TCP.0 | TransportMask::UDP.0;
                }
                // The event of one direction's bytes may be seen on a packet of the other, with ends exchanged.
                record.directions = DirectionMask::ALL.0;
                record.payload_min = 1;
                if record.transports == 0 {
                    record.transports = TransportMask::TCP.0 | TransportMask::UDP.0;
                }
            }
            let swapped: Vec<Record> = records
                .iter()
                .map(|r| Record {
                    source_ports: r.destination_ports,
                    destination_ports: r.source_ports,
                    source_addresses: r.destination_addresses,
                    destination_addresses: r.source_addresses,
                    ..*r
                })
                .filter(|r| !records.contains(r))
                .collect();
            records.extend(swapped);
            (View::Everything, name, false)
        }
    };
    if packet {
        for record in &mut records {
            // Frames whose headers cannot be read have no ports and no sure addresses.
            (record.source_ports, record.destination_ports) = (0, 0);
            (record.source_addresses, record.destination_addresses) = (0, 0);
            record.directions = DirectionMask::ALL.0;
            record.transports = TransportMask::ALL.0;
            record.versions = IpMask::ALL.0;
            match view {
                View::Transports(t) => record.transports = t,
                View::Version(v) => record.versions = v,
                View::Guards(_) | View::Everything => {}
            }
        }
        records.dedup();
    }
    let (class, share, conditions): (Class, f64, Vec<Condition>) = match view {
        View::Guards(guards) => {
            let mut out = Vec::new();
            for &g in guards {
                if builder.options.guard(g) {
                    out.extend(records.iter().map(|&record| Condition { trigger: Trigger::Guard(g as u8), record }));
                }
            }
            (Class::Header, 0.001, out)
        }
        View::Transports(t) => {
            let class = if t & TransportMask::TCP.0 == 0 { Class::Header } else { Class::Complete };
            let share = if class == Class::Header { 0.01 } else { 0.9 };
            (class, share, records.iter().map(|&record| Condition { trigger: Trigger::Frame, record }).collect())
        }
        View::Version(_) | View::Everything => {
            (Class::Complete, 0.5, records.iter().map(|&record| Condition { trigger: Trigger::Frame, record }).collect())
        }
    };
    let narrowing = records.iter().map(|r| cost::narrowing(r, builder.sets)).sum::<f64>();
    Choice {
        class,
        reason: format!("event {name}"),
        conditions,
        percent: Vec::new(),
        equals: Vec::new(),
        cost: share * narrowing,
    }
}
