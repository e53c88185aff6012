//! Mutations of frame lists: what networks, evaders and attackers do to frames.

use super::packet::{self, Places};
use super::{FrameList, ListedFrame, repair_frame};
use crate::mutate::mutate_bytes;
use crate::random::Random;

/// Words that payloads are made of, those of the rules of the targets among them.
pub const WORDS: &[&[u8]] = &[
    b"mark-me",
    b"test-me",
    b"evil",
    b"attack",
    b"hidden",
    b"example.com",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /evil HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nevil",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    b"Content-Length: 4\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Connection: close\r\n",
    b"CONNECT a:443 HTTP/1.1\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b": ",
    b"%65%76%69%6c",
    b"%2e",
    b"../",
    b"//",
    b"\x16\x03\x01\x00",
    b"\x17\x03\x03\x00\x05",
    b"\x14\x03\x03\x00\x01\x01",
    b"SSH-2.0-x\r\n",
    b"\x04evil\x07example\x03com\x00\x00\x01\x00\x01",
    b"\xc0\x0c",
    b"EHLO a\r\n",
    b"220 evil\r\n",
    b"USER evil\r\n",
    b"\x00\x00\x00\x54\xffSMB",
    b"\x00\x00\x00\x40\xfeSMB",
];

/// Time steps around the time-outs of flows and fragments, microseconds.
const DELAYS: [u32; 10] =
    [0, 1, 1000, 29_999_999, 30_000_001, 60_000_001, 59_000_000, 300_000_001, 600_000_001, 3_600_000_000];

/// A few mutations of a list.
pub fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let mut list = FrameList::decode(bytes);
    let other = FrameList::decode(other);
    if random.one_in(3) {
        list.choices = random.next() as u16;
    }
    for _ in 0..1 + random.below(6) {
        once(&mut list, &other, random);
    }
    *bytes = list.encode();
}

fn once(list: &mut FrameList, other: &FrameList, random: &mut Random) {
    let count = list.frames.len();
    if count == 0 {
        list.frames.clone_from(&other.frames);
        return;
    }
    let at = random.below(count);
    match random.below(20) {
        0 => drop(list.frames.remove(at)),
        1 => {
            let copy = list.frames[at].clone();
            list.frames.insert(random.below(count + 1), copy);
        }
        2 => list.frames.swap(at, (at + 1) % count),
        3 => {
            let frame = list.frames.remove(at);
            list.frames.insert(random.below(count), frame);
        }
        4 if list.link == other.link => {
            let from = random.below(other.frames.len().max(1));
            let run: Vec<ListedFrame> = other.frames.iter().skip(from).take(random.length(16)).cloned().collect();
            list.frames.splice(at..at, run);
        }
        5 => list.frames[at].delay = random.pick(&DELAYS).copied().unwrap_or(0),
        6..=8 => payload(list, at, other, random),
        9 => header(list, at, random),
        10 => split(list, at, random),
        11 => fragment(list, at, random),
        12 => tag(list, at, random),
        13 => flags(list, at, random),
        14 => sequence(list, at, random),
        15 => {
            let frame = &mut list.frames[at];
            let keep = random.below(frame.bytes.len() + 1);
            frame.missing = (frame.bytes.len() - keep).min(usize::from(u16::MAX)) as u16;
            frame.bytes.truncate(keep);
        }
        16 => ends(list, at, random),
        17 => extension(list, at, random),
        18 => label(list, at, random),
        _ => tunnel(list, at, random),
    }
}

fn found(list: &FrameList, at: usize) -> Option<Places> {
    packet::places(list.link, &list.frames.get(at)?.bytes)
}

fn payload(list: &mut FrameList, at: usize, other: &FrameList, random: &mut Random) {
    let Some(p) = found(list, at) else {
        return mutate_bytes(&mut list.frames[at].bytes, &[], WORDS, random);
    };
    let mut bytes = list.frames[at].bytes.get(p.payload..p.end).unwrap_or_default().to_vec();
    let another = random.pick(&other.frames).map_or(&[][..], |frame| &frame.bytes);
    let splice = packet::places(other.link, another).and_then(|q| another.get(q.payload..q.end)).unwrap_or_default();
    mutate_bytes(&mut bytes, splice, WORDS, random);
    packet::set_payload(list.link, &mut list.frames[at].bytes, &p, &bytes);
}

fn header(list: &mut FrameList, at: usize, random: &mut Random) {
    let end = found(list, at).map_or(60, |p| p.payload);
    let link = list.link;
    let bytes = &mut list.frames[at].bytes;
    let place = random.below(end.min(bytes.len()).max(1));
    if let Some(byte) = bytes.get_mut(place) {
        *byte = if random.one_in(2) { *byte ^ 1 << random.below(8) } else { random.byte() };
    }
    if !random.one_in(4) {
        repair_frame(link, bytes);
    }
}

fn add32(bytes: &mut [u8], at: usize, by: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        let old = place.iter().fold(0u32, |n, byte| n << 8 | u32::from(*byte));
        place.copy_from_slice(&old.wrapping_add(by).to_be_bytes());
    }
}

/// The same stream bytes in two segments, perhaps overlapping, perhaps exchanged.
fn split(list: &mut FrameList, at: usize, random: &mut Random) {
    let Some(p) = found(list, at).filter(|p| p.protocol == 6 && p.end > p.payload + 1) else { return };
    let whole = list.frames[at].clone();
    let payload = whole.bytes.get(p.payload..p.end).unwrap_or_default();
    let cut = 1 + random.below(payload.len().saturating_sub(1));
    let overlap = if random.one_in(4) { random.below(cut + 1) } else { 0 };
    let mut second = ListedFrame { delay: 0, ..whole.clone() };
    add32(&mut second.bytes, p.transport + 4, (cut - overlap) as u32);
    packet::set_payload(list.link, &mut second.bytes, &p, payload.get(cut - overlap..).unwrap_or_default());
    packet::set_payload(list.link, &mut list.frames[at].bytes, &p, payload.get(..cut).unwrap_or_default());
    list.frames.insert(at + 1, second);
    if random.one_in(4) {
        list.frames.swap(at, at + 1);
    }
}

/// An IPv4 packet in two fragments, perhaps exchanged.
fn fragment(list: &mut FrameList, at: usize, random: &mut Random) {
    let Some(p) = found(list, at).filter(|p| p.version == 4 && p.end > p.transport + 16) else { return };
    let whole = list.frames[at].bytes.clone();
    let units = (p.end - p.transport) / 8;
    let cut = 8 * (1 + random.below(units.saturating_sub(1).max(1)));
    let piece = |from: usize, to: usize, field: u16| {
        let mut bytes = whole.get(..p.transport).unwrap_or_default().to_vec();
        bytes.extend_from_slice(whole.get(p.transport + from..p.transport + to).unwrap_or_default());
        let total = (bytes.len() - p.network) as u16;
        for (offset, value) in [(2, total), (6, field)] {
            if let Some(place) = bytes.get_mut(p.network + offset..p.network + offset + 2) {
                place.copy_from_slice(&value.to_be_bytes());
            }
        }
        repair_frame(list.link, &mut bytes);
        bytes
    };
    let length = p.end.min(whole.len()) - p.transport.min(whole.len());
    if cut >= length {
        return;
    }
    let (first, second) = (piece(0, cut, 0x2000), piece(cut, length, (cut / 8) as u16));
    list.frames[at].bytes = first;
    let second = ListedFrame { bytes: second, delay: 1, missing: 0 };
    list.frames.insert(at + 1, second);
    if random.one_in(3) {
        list.frames.swap(at, at + 1);
    }
}

fn tag(list: &mut FrameList, at: usize, random: &mut Random) {
    let bytes = &mut list.frames[at].bytes;
    if list.link == 1 && bytes.len() >= 14 {
        bytes.splice(12..12, [0x81, 0, random.below(2) as u8, random.below(4) as u8]);
    }
}

fn flags(list: &mut FrameList, at: usize, random: &mut Random) {
    let Some(p) = found(list, at).filter(|p| p.protocol == 6) else { return };
    if let Some(byte) = list.frames[at].bytes.get_mut(p.transport + 13) {
        *byte = match random.below(6) {
            0 => 0x02,
            1 => 0x12,
            2 => 0x14,
            3 => 0x11,
            _ => *byte ^ 1 << random.below(8),
        };
    }
    repair_frame(list.link, &mut list.frames[at].bytes);
}

fn sequence(list: &mut FrameList, at: usize, random: &mut Random) {
    let Some(p) = found(list, at).filter(|p| p.protocol == 6) else { return };
    let field = p.transport + if random.one_in(3) { 8 } else { 4 };
    let by = match random.below(4) {
        0 => u32::MAX,
        1 => random.length(3000) as u32,
        2 => 0u32.wrapping_sub(random.length(3000) as u32),
        _ => random.next() as u32,
    };
    add32(&mut list.frames[at].bytes, field, by);
    repair_frame(list.link, &mut list.frames[at].bytes);
}

/// Addresses and ports of another frame, so that flows meet.
fn ends(list: &mut FrameList, at: usize, random: &mut Random) {
    let from = random.below(list.frames.len());
    let (Some(p), Some(q)) = (found(list, at), found(list, from)) else { return };
    if p.version != q.version {
        return;
    }
    let source = list.frames[from].bytes.clone();
    let addresses = if p.version == 4 { 12..20 } else { 8..40 };
    let mut copy = |to: usize, from: usize, length: usize| {
        let Some(bytes) = source.get(from..from + length) else { return };
        if let Some(place) = list.frames[at].bytes.get_mut(to..to + length) {
            place.copy_from_slice(bytes);
        }
    };
    copy(p.network + addresses.start, q.network + addresses.start, addresses.len());
    if matches!(p.protocol, 6 | 17) && matches!(q.protocol, 6 | 17) {
        copy(p.transport, q.transport, 4);
    }
    repair_frame(list.link, &mut list.frames[at].bytes);
}

/// Options in an IPv4 header, or an extension header behind an IPv6 one.
fn extension(list: &mut FrameList, at: usize, random: &mut Random) {
    let Some(p) = found(list, at) else { return };
    let bytes = &mut list.frames[at].bytes;
    if p.version == 4 {
        let options: [&[u8]; 5] =
            [&[1, 1, 1, 0], &[7, 7, 4, 0, 0, 0, 0, 0], &[0x94, 4, 0, 0], &[7, 9, 4, 0], &[0x83, 3, 4, 1]];
        let Some(option) = random.pick(&options) else { return };
        let Some(first) = bytes.get(p.network).filter(|first| (*first & 15) + option.len() as u8 / 4 <= 15) else { return };
        let (first, total) = (*first + option.len() as u8 / 4, p.end - p.network + option.len());
        crate::mutate::insert(bytes, p.transport, option);
        if let Some(header) = bytes.get_mut(p.network..p.network + 4) {
            header[0] = first;
            header[2..4].copy_from_slice(&(total as u16).to_be_bytes());
        }
    } else {
        // Hop-by-hop, destination options, routing, authentication, an atomic fragment (RFC 8200, 4302, 6946), mobility.
        let Some(next) = bytes.get(p.network + 6).copied() else { return };
        let (kind, mut header) = match random.below(6) {
            0 => (0, vec![next, 0, 1, 4, 0, 0, 0, 0]),
            1 => (60, vec![next, 0, 1, 4, 0, 0, 0, 0]),
            2 => (43, vec![next, 0, 4, 0, 0, 0, 0, 0]),
            3 => (51, vec![next, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]),
            4 => (44, vec![next, 0, 0, 0, 0, 0, 0, 7]),
            _ => (135, vec![next, 0, 0, 0, 0, 0, 0, 0]),
        };
        if kind == 51 {
            // In units of eight bytes all the same.
            header.extend([0; 4]);
            header[1] = 2;
        }
        let length = (p.end - p.network - 40 + header.len()) as u16;
        crate::mutate::insert(bytes, p.network + 40, &header);
        if let Some(fixed) = bytes.get_mut(p.network..p.network + 8) {
            fixed[4..6].copy_from_slice(&length.to_be_bytes());
            fixed[6] = kind;
        }
    }
    repair_frame(list.link, &mut list.frames[at].bytes);
}

/// An MPLS label (RFC 3032) or a PPPoE session header (RFC 2516) before the IP header.
fn label(list: &mut FrameList, at: usize, random: &mut Random) {
    let Some(p) = found(list, at).filter(|p| list.link == 1 && p.network >= 14) else { return };
    let length = (p.end - p.network + 2) as u16;
    let bytes = &mut list.frames[at].bytes;
    let (ether_type, header) = if random.one_in(2) {
        ([0x88, 0x47], vec![0, 1, 1, 64])
    } else {
        let protocol: [u8; 2] = if p.version == 4 { [0, 0x21] } else { [0, 0x57] };
        ([0x88, 0x64], [&[0x11, 0, 0, 1][..], &length.to_be_bytes(), &protocol].concat())
    };
    if let Some(place) = bytes.get_mut(p.network - 2..p.network) {
        place.copy_from_slice(&ether_type);
        crate::mutate::insert(bytes, p.network, &header);
    }
}

/// IPv4 in IPv4 (RFC 2003) or GRE (RFC 2784).
fn tunnel(list: &mut FrameList, at: usize, random: &mut Random) {
    let Some(p) = found(list, at).filter(|p| p.version == 4 && p.end > p.network) else { return };
    let inner = list.frames[at].bytes.get(p.network..p.end).unwrap_or_default().to_vec();
    let mut outer = list.frames[at].bytes.get(..p.network).unwrap_or_default().to_vec();
    let gre = random.one_in(2);
    let total = 20 + if gre { 4 } else { 0 } + inner.len();
    outer.extend([0x45, 0]);
    outer.extend((total.min(65_535) as u16).to_be_bytes());
    outer.extend([0, 1, 0, 0, 64, if gre { 47 } else { 4 }, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    if gre {
        outer.extend([0, 0, 8, 0]);
    }
    outer.extend(inner);
    list.frames[at].bytes = outer;
    repair_frame(list.link, &mut list.frames[at].bytes);
}
