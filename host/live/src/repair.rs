//! Frames as they would be on a wire: tags put back, checksums completed, unsegmented ones cut up.
//!
//! Place: between an interface's ring and whoever inspects. A virtual interface hands over what the sender's stack left to a
//! card that is not there: frames far longer than the MTU, without their checksums. What was inspected must be what is
//! delivered, so it is made here what the card would have made of it. Pure functions; what cannot be repaired stays as it is,
//! and the caller is told.

use weir_packet::checksum::Sum;

/// What the kernel tells of a frame's offloads: `struct virtio_net_hdr` (Virtual I/O Device 1.2, section 5.1.6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offload {
    /// Where the checksum is missing: first byte that it covers, and where it belongs, from there. In front of a tag that was
    /// taken out, both count without it.
    pub checksum: Option<(usize, usize)>,
    /// The frame is several, of so many payload bytes.
    pub segments: Option<(Segmentation, usize)>,
}

/// How a frame is to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segmentation {
    /// TCP segments.
    Tcp,
    /// UDP datagrams.
    Udp,
    /// A way that is not known here.
    Other,
}

const NEEDS_CHECKSUM: u8 = 1;

impl Offload {
    /// From the kernel's header.
    pub fn new(header: &[u8; 10]) -> Offload {
        let half = |at: usize| usize::from(u16::from_ne_bytes([header[at], header[at + 1]]));
        let segmentation = match header[1] & 0x7f {
            0 => None,
            1 | 4 => Some(Segmentation::Tcp),
            5 => Some(Segmentation::Udp),
            _ => Some(Segmentation::Other),
        };
        Offload {
            checksum: (header[0] & NEEDS_CHECKSUM != 0).then(|| (half(6), half(8))),
            segments: segmentation.map(|how| (how, half(4))),
        }
    }
}

/// Where the checksum of a TCP segment or UDP datagram is still open: its field holds the sum of the pseudo-header, as a stack
/// leaves it to a card. (That of a right one may be the same by chance; completing it changes nothing then.) Later fragments have none.
pub fn open_checksum(frame: &[u8]) -> Option<(usize, usize)> {
    [(Segmentation::Tcp, 16), (Segmentation::Udp, 6)].into_iter().find_map(|(how, field)| {
        let headers = headers(frame, how)?;
        let (network, transport) = (headers.network, headers.transport);
        let half = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
        let (length, addresses) = match headers.v6 {
            true => (usize::from(half(network + 4)?) + network + 40, network + 8..network + 40),
            false if half(network + 6)? & 0x3fff != 0 => return None,
            false => (usize::from(half(network + 2)?) + network, network + 12..network + 20),
        };
        // A frame may be padded.
        let length = length.checked_sub(transport).filter(|length| transport + length <= frame.len())?;
        let sum = Sum::default().with(frame.get(addresses)?).with(&pseudo(how, length)).fold();
        (half(transport + field)? == sum && transport + length == frame.len()).then_some((transport, field))
    })
}

/// The kernel's header for such a frame.
pub(crate) fn left_open((start, offset): (usize, usize)) -> [u8; 10] {
    let [[a, b], [c, d]] = [start as u16, offset as u16].map(u16::to_ne_bytes);
    [NEEDS_CHECKSUM, 0, 0, 0, 0, 0, a, b, c, d]
}

/// Puts the tag back whose four bytes are free before the frame: gives where the frame begins now. A frame too short for
/// addresses stays as it is.
pub fn restore_tag(buffer: &mut [u8], start: usize, (protocol, control): (u16, u16)) -> usize {
    let Some(new) = start.checked_sub(4).filter(|_| buffer.len() >= start + 12) else { return start };
    buffer.copy_within(start..start + 12, new);
    buffer[new + 12..new + 14].copy_from_slice(&protocol.to_be_bytes());
    buffer[new + 14..new + 16].copy_from_slice(&control.to_be_bytes());
    new
}

/// Completes a checksum of which the field holds the sum of the pseudo-header. `false`: it does not lie in the frame.
pub fn complete_checksum(frame: &mut [u8], (start, offset): (usize, usize)) -> bool {
    let Some(covered) = frame.get(start..).filter(|covered| covered.len() >= offset + 2) else { return false };
    let checksum = Sum::default().with(covered).checksum();
    // A UDP checksum of 0 means that there is none (RFC 768).
    let checksum = if checksum == 0 && offset == 6 { 0xffff } else { checksum };
    frame[start + offset..start + offset + 2].copy_from_slice(&checksum.to_be_bytes());
    true
}

/// Where the headers of a frame begin.
struct Headers {
    network: usize,
    transport: usize,
    payload: usize,
    v6: bool,
}

fn headers(frame: &[u8], how: Segmentation) -> Option<Headers> {
    let half = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    let (mut network, mut kind) = (14, half(12)?);
    for _ in 0..3 {
        if matches!(kind, 0x8100 | 0x88a8 | 0x9100) {
            kind = half(network + 2)?;
            network += 4;
        }
    }
    let wanted = if how == Segmentation::Tcp { 6 } else { 17 };
    let (transport, v6) = match kind {
        0x0800 => {
            let length = usize::from(frame.get(network)? & 0xf) * 4;
            if length < 20 || *frame.get(network + 9)? != wanted {
                return None;
            }
            (network + length, false)
        }
        0x86dd => {
            let (mut next, mut at) = (*frame.get(network + 6)?, network + 40);
            for _ in 0..8 {
                if matches!(next, 0 | 43 | 60) {
                    next = *frame.get(at)?;
                    at += 8 + 8 * usize::from(*frame.get(at + 1)?);
                }
            }
            if next != wanted {
                return None;
            }
            (at, true)
        }
        _ => return None,
    };
    let payload = match how {
        Segmentation::Tcp => transport + usize::from(frame.get(transport + 12)? >> 4) * 4,
        Segmentation::Udp => transport + 8,
        Segmentation::Other => return None,
    };
    let least = if how == Segmentation::Tcp { 20 } else { 8 };
    (payload >= transport + least && payload <= frame.len()).then_some(Headers { network, transport, payload, v6 })
}

/// Rest of the pseudo-header: protocol and length.
fn pseudo(how: Segmentation, length: usize) -> [u8; 4] {
    let protocol = if how == Segmentation::Tcp { 6 } else { 17 };
    let [high, low] = (length as u16).to_be_bytes();
    [0, protocol, high, low]
}

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// Cuts a frame into those that a card would have sent, each with right lengths and checksums. `false`, and nothing was made:
/// it is not such a frame.
pub fn segment(frame: &[u8], (how, size): (Segmentation, usize), emit: &mut dyn FnMut(&[u8])) -> bool {
    let Some(headers) = headers(frame, how).filter(|_| size > 0) else { return false };
    let (head, payload) = frame.split_at(headers.payload);
    let mut out = Vec::with_capacity(head.len() + size);
    let mut done = 0;
    for (n, part) in payload.chunks(size).enumerate() {
        out.clear();
        out.extend_from_slice(head);
        out.extend_from_slice(part);
        let first = done == 0;
        done += part.len();
        let last = done == payload.len();
        let (network, transport) = (headers.network, headers.transport);
        let total = (out.len() - network) as u16;
        if headers.v6 {
            out[network + 4..network + 6].copy_from_slice(&(total - 40).to_be_bytes());
        } else {
            out[network + 2..network + 4].copy_from_slice(&total.to_be_bytes());
            let id = u16::from_be_bytes([out[network + 4], out[network + 5]]).wrapping_add(n as u16);
            out[network + 4..network + 6].copy_from_slice(&id.to_be_bytes());
            out[network + 10..network + 12].fill(0);
            let checksum = Sum::default().with(&out[network..transport]).checksum();
            out[network + 10..network + 12].copy_from_slice(&checksum.to_be_bytes());
        }
        let field = match how {
            Segmentation::Tcp => {
                let number = [0, 1, 2, 3].map(|i| out[transport + 4 + i]);
                let number = u32::from_be_bytes(number).wrapping_add((done - part.len()) as u32);
                out[transport + 4..transport + 8].copy_from_slice(&number.to_be_bytes());
                let clear = if last { 0 } else { FIN | PSH } | if first { 0 } else { CWR };
                out[transport + 13] &= !clear;
                16
            }
            _ => {
                let length = (8 + part.len()) as u16;
                out[transport + 4..transport + 6].copy_from_slice(&length.to_be_bytes());
                6
            }
        };
        let addresses = if headers.v6 { network + 8..network + 40 } else { network + 12..network + 20 };
        let pseudo = pseudo(how, out.len() - transport);
        out[transport + field..transport + field + 2].fill(0);
        let checksum = Sum::default().with(&out[addresses]).with(&pseudo).with(&out[transport..]).checksum();
        let checksum = if checksum == 0 && how == Segmentation::Udp { 0xffff } else { checksum };
        out[transport + field..transport + field + 2].copy_from_slice(&checksum.to_be_bytes());
        emit(&out);
    }
    done > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use weir_packet::{Checksums, Decoder, DecoderConfig, Frame, Time, link_types};

    fn ethernet(tags: usize, v6: bool, protocol: u8, transport: &[u8]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        for _ in 0..tags {
            frame.extend([0x81, 0, 0, 7]);
        }
        if v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((transport.len() as u16).to_be_bytes());
            frame.extend([protocol, 64]);
            frame.extend([0xfd; 32]);
        } else {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((20 + transport.len() as u16).to_be_bytes());
            frame.extend([0, 9, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        }
        frame.extend(transport);
        frame
    }

    fn tcp(payload: &[u8], flags: u8) -> Vec<u8> {
        let mut segment = vec![0x12, 0x34, 0, 80];
        segment.extend(0xffff_ff00u32.to_be_bytes());
        segment.extend([0, 0, 0, 1, 0x80, flags, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
        segment.extend(payload);
        segment
    }

    /// Sequence number, flags, payload; the checksum must be right.
    fn seen(frame: &[u8]) -> (u32, u8, Vec<u8>) {
        let mut decoder = Decoder::new(DecoderConfig { checksums: Checksums::Validate, ..DecoderConfig::default() });
        let mut found = None;
        let frame = Frame { number: 1, time: Time(1), link: link_types::ETHERNET, data: frame, wire_length: frame.len() as u32 };
        decoder.decode(&frame, &mut |packet| {
            assert!(!packet.checksum_bad && packet.events.is_empty());
            let (sequence, flags) = packet.tcp().map_or((0, 0), |tcp| (tcp.sequence, tcp.flags));
            found = Some((sequence, flags, packet.payload.to_vec()));
        });
        found.unwrap()
    }

    proptest! {
        #[test]
        fn segments_are_the_whole(
            payload in proptest::collection::vec(any::<u8>(), 1..9000),
            size in 1usize..3000,
            tags in 0usize..3,
            v6: bool,
        ) {
            let flags = 0x10 | FIN | PSH | CWR;
            let frame = ethernet(tags, v6, 6, &tcp(&payload, flags));
            let (mut all, mut count) = (Vec::new(), 0);
            let mut parts = Vec::new();
            prop_assert!(segment(&frame, (Segmentation::Tcp, size), &mut |part| parts.push(part.to_vec())));
            for part in &parts {
                let (sequence, flags, bytes) = seen(part);
                prop_assert_eq!(sequence, 0xffff_ff00u32.wrapping_add(all.len() as u32));
                prop_assert_eq!(flags & CWR != 0, count == 0);
                all.extend(bytes);
                count += 1;
                prop_assert_eq!(flags & (FIN | PSH) == FIN | PSH, all.len() == payload.len());
            }
            prop_assert_eq!(all, payload);
        }

        #[test]
        fn nothing_panics(frame in proptest::collection::vec(any::<u8>(), 0..200), header: [u8; 10], start in 0usize..8) {
            let offload = Offload::new(&header);
            let mut copy = frame.clone();
            if let Some(at) = offload.checksum {
                complete_checksum(&mut copy, at);
            }
            for how in [Segmentation::Tcp, Segmentation::Udp, Segmentation::Other] {
                segment(&frame, (how, usize::from(header[4])), &mut |_| {});
            }
            restore_tag(&mut copy, start, (0x8100, 5));
            if let Some((start, offset)) = open_checksum(&frame) {
                prop_assert!(start + offset + 2 <= frame.len());
            }
        }
    }

    #[test]
    fn datagrams_are_cut() {
        let payload: Vec<u8> = (0..2500).map(|n| n as u8).collect();
        let mut datagram = vec![0, 9, 0, 9, 0, 0, 0, 0];
        datagram.extend(&payload);
        let mut all = Vec::new();
        assert!(segment(&ethernet(0, true, 17, &datagram), (Segmentation::Udp, 1000), &mut |part| all.extend(seen(part).2)));
        assert_eq!(all, payload);
    }

    #[test]
    fn what_the_sender_left_out_is_completed() {
        let frame = ethernet(0, false, 6, &tcp(b"hello", 0x18));
        // The sender's stack has put the sum of the pseudo-header there.
        let mut whole = Vec::new();
        segment(&frame, (Segmentation::Tcp, 100), &mut |part| whole = part.to_vec());
        let mut open = whole.clone();
        let sum = Sum::default().with(&open[26..34]).with(&pseudo(Segmentation::Tcp, open.len() - 34));
        open[50..52].copy_from_slice(&sum.fold().to_be_bytes());
        assert_eq!((open_checksum(&open), open_checksum(&whole)), (Some((34, 16)), None));
        assert_eq!(Offload::new(&left_open((34, 16))).checksum, Some((34, 16)));
        assert!(complete_checksum(&mut open, (34, 16)));
        assert_eq!(open, whole);
        assert!(!complete_checksum(&mut open, (600, 16)));
    }

    #[test]
    fn tags_come_back() {
        let tagged = ethernet(1, false, 6, &tcp(b"x", 0x18));
        let mut buffer = vec![0; 4];
        buffer.extend(&tagged[..12]);
        buffer.extend(&tagged[16..]);
        assert_eq!(restore_tag(&mut buffer, 4, (0x8100, 7)), 0);
        assert_eq!(buffer, tagged);
    }
}
