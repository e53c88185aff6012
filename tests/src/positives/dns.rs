//! DNS messages of a rule.

use super::conversation::{Maker, Transport, Turn, turn, way};
use super::solve::{Cause, Filler};
use weir_ir::{AppLayerCondition, Buffer, Rule};
use weir_synth::Way;

const NAMES: [Buffer; 6] = [
    Buffer::DnsQuery,
    Buffer::DnsQueryName,
    Buffer::DnsResponseName,
    Buffer::DnsAnswerName,
    Buffer::DnsAuthoritiesName,
    Buffer::DnsAdditionalsName,
];

/// A name whose labels RFC 1035 section 2.3.4 allows.
fn is_name(name: &[u8]) -> bool {
    name.len() <= 253 && !name.is_empty() && name.split(|b| *b == b'.').all(|label| (1..=63).contains(&label.len()))
}

fn encoded(name: &[u8]) -> Vec<u8> {
    let labels = name.split(|b| *b == b'.').filter(|label| !label.is_empty());
    let mut out: Vec<u8> =
        labels.flat_map(|label| std::iter::once(label.len() as u8).chain(label.iter().copied())).collect();
    out.push(0);
    out
}

/// A query, and its answer where the rule looks at answers.
pub fn turns(maker: &mut Maker<'_, '_>, rule: &Rule, transport: Transport) -> Result<Vec<Turn>, Cause> {
    if !rule.buffers.iter().any(|b| NAMES.contains(&b.buffer))
        && rule.buffers.iter().any(|b| b.buffer == Buffer::Payload)
    {
        let lead = [
            &[0x12, 0x34, if way(rule) == Way::ToClient { 0x81 } else { 1 }, 0, 0, 1, 0, 0, 0, 0, 0, 0][..],
            b"\x03www\x07example\x03com\0\0\x01\0\x01",
        ]
        .concat();
        return maker.raw(rule, &lead, |_| {});
    }
    let mut name = None;
    for buffer in NAMES {
        if name.is_none() {
            name = maker.buffer(rule, buffer, Filler::Name, b"www", is_name)?;
        }
    }
    let name = name.unwrap_or_else(|| b"www.example.com".to_vec());
    let asked = |find: &dyn Fn(&AppLayerCondition) -> Option<weir_ir::Comparison>, usual: u16| {
        let all: Vec<_> = rule.app_layer.iter().filter_map(find).collect();
        [usual].into_iter().chain(0..=300).find(|n| all.iter().all(|c| c.holds(u64::from(*n)))).unwrap_or(usual)
    };
    let kind = asked(&|c| if let AppLayerCondition::DnsRrtype(c) = c { Some(*c) } else { None }, 1);
    let opcode = asked(&|c| if let AppLayerCondition::DnsOpcode(c) = c { Some(*c) } else { None }, 0);
    let rcode = asked(&|c| if let AppLayerCondition::DnsRcode(c) = c { Some(*c) } else { None }, 0);
    let id = maker.random.next() as u16;
    let message = |flags: u16, counts: [u16; 4], body: &[u8]| {
        let mut out = id.to_be_bytes().to_vec();
        out.extend((flags | opcode << 11).to_be_bytes());
        counts.iter().for_each(|n| out.extend(n.to_be_bytes()));
        out.extend(encoded(&name));
        out.extend(kind.to_be_bytes());
        out.extend([0, 1]);
        out.extend(body);
        if transport == Transport::Tcp {
            out.splice(0..0, (out.len() as u16).to_be_bytes());
        }
        out
    };
    let mut record = encoded(&name);
    record.extend([0, 1, 0, 1, 0, 0, 1, 0x2c, 0, 4, 192, 0, 2, 1]);
    let answers =
        [Buffer::DnsAnswerName, Buffer::DnsAuthoritiesName, Buffer::DnsAdditionalsName, Buffer::DnsResponseName];
    let mut counts = [1, 0, 0, 0];
    let mut body = Vec::new();
    for (n, buffer) in answers.iter().enumerate() {
        if rule.buffers.iter().any(|b| b.buffer == *buffer) && n < 3 {
            counts[n + 1] = 1;
            body.extend(&record);
        }
    }
    let mut turns = vec![turn(Way::ToServer, message(0x0100, [1, 0, 0, 0], &[]))];
    if way(rule) == Way::ToClient
        || rule.app_layer.iter().any(|c| matches!(c, AppLayerCondition::DnsRcode(_)))
        || !body.is_empty()
    {
        turns.push(turn(Way::ToClient, message(0x8180 | rcode, counts, &body)));
    }
    Ok(turns)
}
