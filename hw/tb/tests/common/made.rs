//! Made frames: every header the parser knows, in odd orders, cut, padded and with wrong values.

use super::Frame;
use weir_contract::hash::splitmix64;

/// A source of numbers.
pub struct Random(pub u64);

impl Random {
    /// Below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        splitmix64(&mut self.0) % n
    }

    /// One time in `n`.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of them.
    pub fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// Any bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| splitmix64(&mut self.0) as u8).collect()
    }
}

fn sum(bytes: &[u8], start: u32) -> u16 {
    let mut total = start;
    for pair in bytes.chunks(2) {
        total += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

fn options(r: &mut Random, kinds: &[u8], length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while out.len() < length {
        let kind = if r.once_in(8) { r.below(256) as u8 } else { r.of(kinds) };
        match kind {
            0 | 1 => out.push(kind),
            _ => {
                let right = match kind {
                    2 => 4,
                    3 => 3,
                    4 => 2,
                    5 => r.of(&[10, 18]),
                    8 => 10,
                    _ => r.of(&[2, 4, 7, 12]),
                };
                let size: u8 = if r.once_in(10) { r.below(45) as u8 } else { right };
                out.push(kind);
                out.push(size);
                out.extend(r.bytes(usize::from(size).saturating_sub(2)));
            }
        }
    }
    out.truncate(length);
    out
}

/// A transport header with payload; true: its protocol has a checksum at the place given.
fn segment(r: &mut Random, protocol: u8, payload: &[u8]) -> (Vec<u8>, Option<usize>) {
    let port = |r: &mut Random| if r.once_in(12) { r.of(&[0u16, 4789, 3544, 2152]) } else { r.below(65536) as u16 };
    let (from, to) = (port(r), port(r));
    let mut out = Vec::new();
    match protocol {
        6 => {
            out.extend(from.to_be_bytes());
            out.extend(to.to_be_bytes());
            out.extend(r.bytes(8));
            let words = if r.once_in(3) { r.below(11) as usize } else { r.of(&[0, 3]) };
            let offset = if r.once_in(20) { r.below(16) as u8 } else { 5 + words as u8 };
            let flags = if r.once_in(3) { r.below(256) as u8 } else { r.of(&[0x02, 0x12, 0x10, 0x18, 0x11, 0x14]) };
            out.extend([offset << 4, flags, 1, 0, 0, 0]);
            out.extend(if r.once_in(15) { [0, 9] } else { [0, 0] });
            out.extend(options(r, &[0, 1, 1, 2, 3, 4, 5, 8, 8, 19, 29, 34, 253, 40, 50], words * 4));
            out.extend(payload);
            (out, Some(16))
        }
        17 => {
            let length = if r.once_in(8) { r.below(40) as u16 } else { 8 + payload.len() as u16 };
            out.extend(from.to_be_bytes());
            out.extend(to.to_be_bytes());
            out.extend(length.to_be_bytes());
            out.extend([0, 0]);
            out.extend(payload);
            (out, if r.once_in(4) { None } else { Some(6) })
        }
        132 => {
            out.extend(from.to_be_bytes());
            out.extend(to.to_be_bytes());
            out.extend(r.bytes(8));
            out.extend(payload);
            (out, None)
        }
        1 | 58 => {
            out.push(if r.once_in(2) { r.of(&[0, 3, 4, 5, 8, 11, 12, 13, 128, 129, 135]) } else { r.below(256) as u8 });
            out.extend([r.below(4) as u8, 0, 0]);
            out.extend(r.bytes(4));
            out.extend(payload);
            (out, Some(2))
        }
        _ => {
            out.extend(payload);
            (out, None)
        }
    }
}

fn check(r: &mut Random, packet: &mut [u8], at: usize, addresses: &[u8], protocol: u8, place: Option<usize>) {
    let Some(place) = place.filter(|_| !r.once_in(10)) else { return };
    let mut covered = packet.len() - at;
    if protocol == 17 {
        covered = covered.min(usize::from(u16::from_be_bytes([packet[at + 4], packet[at + 5]])));
    }
    if covered < place + 2 {
        return;
    }
    packet[at + place..at + place + 2].fill(0);
    let mut pseudo = 0u32;
    if protocol != 1 {
        pseudo = addresses.chunks(2).map(|p| u32::from(p[0]) << 8 | u32::from(p[1])).sum::<u32>();
        pseudo += u32::from(protocol) + covered as u32;
    }
    let value = sum(&packet[at..at + covered], pseudo);
    packet[at + place..at + place + 2].copy_from_slice(&value.to_be_bytes());
}

fn four(r: &mut Random, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let words = if r.once_in(4) { r.below(11) as usize } else { 0 };
    let (mut body, place) = segment(r, protocol, payload);
    let length = 20 + words * 4;
    let mut total = (length + body.len()) as u16;
    if r.once_in(25) {
        total = r.below(2 * u64::from(total)) as u16;
    }
    let mut fragment = 0u16;
    if r.once_in(15) {
        fragment = r.of(&[0x8000, 0x2000, 0x4000, 0x0001, 0x1fff, 0x0100]);
    }
    let ihl = if r.once_in(30) { r.below(16) as u8 } else { (length / 4) as u8 };
    let version = if r.once_in(40) { r.below(16) as u8 } else { 4 };
    let mut p = vec![version << 4 | ihl, 0];
    p.extend(total.to_be_bytes());
    p.extend([0, 1]);
    p.extend(fragment.to_be_bytes());
    p.extend([if r.once_in(20) { 0 } else { 64 }, protocol, 0, 0]);
    let source = r.bytes(4);
    p.extend(&source);
    p.extend(if r.once_in(15) { source } else { r.bytes(4) });
    p.extend(options(r, &[0, 1, 1, 7, 68, 148, 131], words * 4));
    if !r.once_in(10) {
        let value = sum(&p, 0);
        p[10..12].copy_from_slice(&value.to_be_bytes());
    }
    let addresses = p[12..20].to_vec();
    p.append(&mut body);
    check(r, &mut p, length, &addresses, protocol, place);
    p
}

fn six(r: &mut Random, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (mut body, place) = segment(r, protocol, payload);
    let count = if r.once_in(3) { r.below(11) } else { r.below(2) };
    let mut kinds = Vec::new();
    let mut headers = Vec::new();
    for _ in 0..count {
        let kind = if r.once_in(20) { r.of(&[44, 50, 51, 59, 135, 139, 140, 253, 254]) } else { r.of(&[0u8, 43, 60]) };
        kinds.push(kind);
        let units = if r.once_in(10) { r.below(60) } else { r.below(3) };
        let mut header = r.bytes(8 + 8 * units as usize);
        header[1] = units as u8;
        headers.push(header);
    }
    kinds.push(protocol);
    let mut p = vec![if r.once_in(40) { r.below(256) as u8 } else { 0x60 }, 0, 0, 0];
    let mut length = (headers.iter().map(Vec::len).sum::<usize>() + body.len()) as u16;
    if r.once_in(20) {
        length = r.below(2 * u64::from(length) + 1) as u16;
    }
    p.extend(length.to_be_bytes());
    p.push(kinds[0]);
    p.push(if r.once_in(20) { 0 } else { 64 });
    let source = r.bytes(16);
    p.extend(&source);
    p.extend(if r.once_in(15) { source } else { r.bytes(16) });
    let addresses = p[8..40].to_vec();
    for (n, mut header) in headers.into_iter().enumerate() {
        header[0] = kinds[n + 1];
        p.append(&mut header);
    }
    let at = p.len();
    p.append(&mut body);
    check(r, &mut p, at, &addresses, protocol, place);
    p
}

/// One frame with at most about `longest` payload bytes.
pub fn frame(r: &mut Random, longest: u64) -> Frame {
    let link = r.of(&[1u16, 1, 1, 1, 1, 1, 12, 101, 228, 229, 113, 0, 108, 105]);
    let protocol = if r.once_in(12) { r.below(256) as u8 } else { r.of(&[6, 6, 6, 17, 17, 1, 58, 132, 4, 41, 47]) };
    let length = if r.once_in(3) { r.below(longest) } else { r.below(24) } as usize;
    let payload = r.bytes(length);
    let is_six = r.once_in(2);
    let packet = if is_six { six(r, protocol, &payload) } else { four(r, protocol, &payload) };
    let mut ether_type: u16 = if is_six { 0x86dd } else { 0x0800 };
    if r.once_in(12) {
        ether_type =
            r.of(&[0x0806, 0x8863, 0x8864, 0x8847, 0x8848, 0x88cc, 0x9000, 0x88f7, 0x0026, 0x05ff, 0x0600, 0x1234]);
    }
    let mut types = Vec::new();
    let tags = if r.once_in(4) { r.below(5) } else { 0 };
    for _ in 0..tags {
        types.extend(r.of(&[0x8100u16, 0x88a8, 0x9100, 0x9200, 0x9300]).to_be_bytes());
        types.extend(r.bytes(2));
    }
    types.extend(ether_type.to_be_bytes());
    let mut data = Vec::new();
    match link {
        1 => {
            data.extend(r.bytes(12));
            data.extend(&types);
        }
        113 => {
            data.extend(r.bytes(14));
            data.extend(&types);
        }
        0 | 108 => {
            let family = if is_six { r.of(&[10u32, 24, 26, 28, 30]) } else { 2 };
            let family = if r.once_in(12) { r.below(40) as u32 } else { family };
            data.extend(if r.once_in(2) { family.to_le_bytes() } else { family.to_be_bytes() });
        }
        _ => {}
    }
    if r.once_in(30) {
        data.extend([0xaa, 0xaa]);
    }
    data.extend(packet);
    if r.once_in(10) {
        data.extend(r.bytes(r.0 as usize % 70));
    }
    if r.once_in(12) {
        let at = r.below(data.len() as u64 + 1) as usize;
        data.truncate(at);
    }
    if r.once_in(10) && !data.is_empty() {
        let at = r.below(data.len().min(100) as u64) as usize;
        data[at] = r.below(256) as u8;
    }
    let wire_length = data.len() as u32 + if r.once_in(30) { 1 + r.below(1000) as u32 } else { 0 };
    Frame { link, wire_length, data, origin: "made".into() }
}

/// Many of them.
pub fn frames(seed: u64, count: usize, longest: u64) -> Vec<Frame> {
    let mut r = Random(seed);
    (0..count).map(|_| frame(&mut r, longest)).collect()
}
