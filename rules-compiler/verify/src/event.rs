//! Events: what a frame must look like for the host to raise one.
//!
//! The host's decoder raises an event for a frame that the device parses as well; so a guard of the parser fires, or at
//! least the frame has the event's transport. A transport that the device could not read counts as *other*.

use crate::aspect::{Aspect, Witness};
use crate::need::{BOTH, Frame, Need, TCP, UDP, carried_by, needs, read_by};
use crate::place::FAR;
use crate::prove::{Tables, Unit};
use weir_contract::enums::{IpMask, TransportMask};
use weir_contract::guards::Guard as G;
use weir_ir::{AddressSet, Event, PortSet, Rule};

/// What a frame with the event has.
enum Sign {
    /// One of these guards.
    Guards(&'static [G]),
    /// One of these transports.
    Transports(u8),
    /// One of these IP versions.
    Versions(u8),
}

const TUNNELS: &[G] = &[G::TunnelGre, G::TunnelMpls, G::TunnelPppoe, G::TunnelIp, G::TunnelUdp];
const LINK: &[G] = &[G::NonIp, G::MalformedLink, G::VlanDepth, G::UnsupportedLink, G::TruncatedCapture];
const CUT: &[G] = &[G::MalformedTransport, G::IpFragment, G::TruncatedCapture];

/// Signs of an event; more than one list of guards: together.
fn signs(name: &str) -> Vec<Sign> {
    let (family, rest) = name.split_once('.').unwrap_or((name, ""));
    let other = TransportMask::OTHER.0;
    match family {
        "ipv4" if rest.starts_with("opt") => {
            vec![Sign::Guards(&[G::IpOptions, G::MalformedIp, G::TruncatedCapture, G::TunnelIp, G::TunnelGre])]
        }
        "ipv4" if rest.starts_with("frag") => {
            vec![Sign::Guards(&[G::IpFragment, G::TunnelIp, G::TunnelGre, G::TunnelUdp])]
        }
        "ipv4"
            if matches!(
                rest,
                "pkt_too_small" | "hlen_too_small" | "iplen_smaller_than_hlen" | "trunc_pkt" | "wrong_ip_version"
            ) =>
        {
            vec![Sign::Guards(&[G::MalformedIp, G::MalformedLink, G::TruncatedCapture]), Sign::Guards(TUNNELS)]
        }
        "ipv4" => vec![Sign::Versions(IpMask::V4.0)],
        "ipv6" => vec![Sign::Versions(IpMask::V6.0)],
        "icmpv4" => vec![Sign::Transports(TransportMask::ICMPV4.0 | other)],
        "icmpv6" => vec![Sign::Transports(TransportMask::ICMPV6.0 | other)],
        "sctp" => vec![Sign::Transports(TransportMask::SCTP.0 | other)],
        "tcp" if matches!(rest, "pkt_too_small" | "hlen_too_small") => vec![Sign::Guards(CUT)],
        "tcp" if rest == "opt_wscale_over_max" => vec![Sign::Transports(TCP | other)],
        "tcp" if rest.starts_with("opt") || rest == "invalid_optlen" => {
            vec![Sign::Guards(CUT), Sign::Guards(&[G::TcpOptionsOdd])]
        }
        "tcp" => vec![Sign::Transports(TCP | other)],
        "udp" => vec![Sign::Guards(CUT)],
        "ethernet" | "arp" | "vlan" | "ieee8021ah" | "vntag" | "mpls" | "ppp" | "pppoe" | "gre" | "erspan"
        | "vxlan" | "geneve" | "sll" | "sll2" | "chdlc" | "nsh" | "ltnull" | "cisco_chdlc" | "dce" | "raw" => {
            vec![Sign::Guards(LINK), Sign::Guards(TUNNELS)]
        }
        _ => vec![Sign::Versions(IpMask::ALL.0)],
    }
}

/// Stream events: different bytes for one place need a segment that is not in order; all others, a TCP frame.
const DISORDER: &[G] = &[
    G::SequenceGap,
    G::SequenceOverlap,
    G::SequenceRetransmission,
    G::StreamState,
    G::SynData,
    G::AfterClose,
    G::RstData,
    G::Urgent,
    G::SynChange,
];

/// The aspect "this event is raised".
pub fn aspect(rule: &Rule, event: &Event, tables: &mut Tables<'_>) -> Aspect {
    let mut aspect = Aspect::default();
    let all = needs(rule, tables.bits, &mut tables.lists, Frame::Carrying, BOTH);
    let signs = match event {
        Event::AppLayer(protocol, name) => {
            aspect.what = format!("event {name}");
            // Bytes of one direction may be judged on a packet of the other, with the ends exchanged.
            for need in all {
                let carried = protocol.map_or(TCP | UDP, carried_by);
                let mut need =
                    Need { transport: need.transport & carried, directions: BOTH, payload: (1, FAR), ..need };
                if let Some(p) = protocol {
                    need.classes &= read_by(*p) | u64::from(need.transport == TCP);
                }
                if need.transport != 0 {
                    aspect.needs.extend([(need, Unit::Message), (need.turned(), Unit::Message)]);
                }
            }
            return aspect;
        }
        Event::Decoder(name) => {
            aspect.what = format!("event {name}");
            signs(name)
        }
        Event::Stream(name) => {
            aspect.what = format!("event {name}");
            if &**name == "reassembly_overlap_different_data" {
                vec![Sign::Guards(DISORDER)]
            } else {
                vec![Sign::Transports(TCP)]
            }
        }
    };
    // Of a frame whose headers cannot be read nothing else is certain.
    let Some(first) = all.first() else { return aspect };
    let any =
        (tables.lists.ports(tables.bits, &PortSet::any()), tables.lists.addresses(tables.bits, &AddressSet::any()));
    let open = Need {
        transport: TCP,
        versions: IpMask::ALL.0,
        directions: BOTH,
        ports: (any.0, any.0),
        addresses: (any.1, any.1),
        payload: (0, FAR),
        ..*first
    };
    let (mut transports, mut versions, mut guards) = (TransportMask::ALL.0, IpMask::ALL.0, 0);
    for sign in signs {
        match sign {
            Sign::Guards(list) => guards |= list.iter().fold(0, |set, g| set | g.bit()),
            Sign::Transports(t) => transports = t,
            Sign::Versions(v) => versions = v,
        }
    }
    for n in (0..8).filter(|n| transports >> n & 1 != 0) {
        aspect.needs.push((Need { transport: 1 << n, versions, ..open }, Unit::Message));
    }
    aspect.witnesses.push(Witness { guards, ..Witness::default() });
    aspect
}
