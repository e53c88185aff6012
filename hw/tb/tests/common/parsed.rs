//! What the parser found, as the bits of `parsed_t`.

use weir_contract::flow_key::Address;
use weir_hw_tb::bits::BitWriter;
use weir_sim::parse::Parsed;

fn address(w: &mut BitWriter, address: Option<Address>) {
    w.array(&address.map_or([0; 16], Address::to_key_bytes));
}

/// Fields of `parsed_t`, last first.
pub fn parsed_bits(p: &Parsed, length: usize, payload: &[u8]) -> Vec<u8> {
    let mut w = BitWriter::default();
    let end = &payload[payload.len().saturating_sub(7)..];
    w.array(&vec![0; 7 - end.len()]).array(end).number(end.len() as u64, 3);
    let first = &payload[..payload.len().min(16)];
    w.array(first).array(&vec![0; 16 - first.len()]).number(first.len() as u64, 5);
    w.number(length as u64, 20);
    let (kind, code) = p.icmp.unwrap_or_default();
    w.number(code.into(), 8).number(kind.into(), 8).number(p.icmp.is_some().into(), 1);
    let tcp = p.tcp.unwrap_or_default();
    w.number(tcp.timestamp.unwrap_or(0).into(), 32).number(tcp.timestamp.is_some().into(), 1);
    w.number(tcp.flags.into(), 8).number(tcp.acknowledgement.into(), 32).number(tcp.sequence.into(), 32);
    w.number(p.tcp.is_some().into(), 1);
    w.number(p.payload.1 as u64, 20).number(p.payload.0 as u64, 20);
    w.number(p.vlan[0].into(), 12).number(p.vlan[1].into(), 12).number(p.keyed.into(), 1);
    w.number(p.protocol.into(), 8).number(p.ports.1.into(), 16).number(p.ports.0.into(), 16);
    address(&mut w, p.ends.map(|e| e.1));
    address(&mut w, p.ends.map(|e| e.0));
    let six = matches!(p.ends, Some((Address::V6(_), _)));
    w.number(six.into(), 1).number(p.ends.is_some().into(), 1).number(p.guards, 64);
    w.into_bytes(128)
}
