//! Protocols whose messages say their length.

use super::cut::{Part, Step};
use super::lines::{field, head, line, number};
use crate::rfb::RfbState;
use crate::wire::{be16, be32, le16, le32};
use crate::{AppLayerConfig, Direction, Input, ProtocolState};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

/// The protocol, and what has to be known of what came before.
pub(super) struct Binary {
    protocol: AppProtocol,
    /// The direction has had its first bytes: SSH's banner, HTTP/2's preface.
    begun: [bool; 2],
    /// RFB's messages depend on those before them.
    rfb: Option<Box<RfbState>>,
}

/// `pdu`, `hdr` and `data` of a message with a header.
fn three(buffers: [Buffer; 3], at: usize, header: usize, total: u64) -> Vec<Part> {
    let header = header as u64;
    let data = total.saturating_sub(header);
    let mut parts = vec![(buffers[0], at, Some(total)), (buffers[1], at, Some(header.min(total)))];
    if data > 0 {
        parts.push((buffers[2], at + header as usize, Some(data)));
    }
    parts
}

impl Binary {
    pub(super) fn new(protocol: AppProtocol, config: &Arc<AppLayerConfig>) -> Binary {
        let rfb = (protocol == AppProtocol::Rfb).then(|| Box::new(RfbState::cutting(config)));
        Binary { protocol, begun: [false; 2], rfb }
    }

    pub(super) fn step(&mut self, d: usize, bytes: &[u8], datagram: bool) -> Step {
        use AppProtocol as P;
        let found = match self.protocol {
            P::Mqtt => mqtt(bytes),
            P::Enip => enip(bytes),
            P::WebSocket => websocket(bytes),
            P::Tls => tls(bytes),
            P::Dns | P::Mdns => dns(bytes, datagram),
            P::Smb => smb(bytes),
            P::DceRpc => dcerpc(bytes),
            P::Ldap => ldap(bytes),
            P::Sip => sip(bytes, datagram),
            P::Ssh => self.ssh(d, bytes),
            P::Http2 | P::Doh2 => self.http2(d, bytes),
            P::Rfb => return self.rfb(d, bytes),
            _ => return Step::Lost,
        };
        found.unwrap_or(Step::More)
    }

    /// RFC 4253: a banner line, then records (section 6) until they are encrypted.
    fn ssh(&mut self, d: usize, bytes: &[u8]) -> Option<Step> {
        if !self.begun[d] {
            let length = line(bytes)?;
            self.begun[d] = bytes.starts_with(b"SSH-");
            return Some(Step::Message(length as u64, Vec::new()));
        }
        let length = be32(bytes, 0)?;
        if length < 2 || length > 256 * 1024 {
            return Some(Step::Lost);
        }
        let buffers = [Buffer::FrameSshRecordPdu, Buffer::FrameSshRecordHdr, Buffer::FrameSshRecordData];
        Some(Step::Message(4 + u64::from(length), three(buffers, 0, 6, 4 + u64::from(length))))
    }

    /// RFC 9113 section 4.1, behind the preface of section 3.4.
    fn http2(&mut self, d: usize, bytes: &[u8]) -> Option<Step> {
        const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        if !self.begun[d] && d == 0 && PREFACE.starts_with(&bytes[..bytes.len().min(PREFACE.len())]) {
            bytes.get(..PREFACE.len())?;
            self.begun[d] = true;
            return Some(Step::Message(PREFACE.len() as u64, Vec::new()));
        }
        self.begun[d] = true;
        let length = u64::from(be32(bytes, 0)? >> 8);
        bytes.get(..9)?;
        let buffers = [Buffer::FrameHttp2Pdu, Buffer::FrameHttp2Hdr, Buffer::FrameHttp2Data];
        Some(Step::Message(9 + length, three(buffers, 0, 9, 9 + length)))
    }

    fn rfb(&mut self, d: usize, bytes: &[u8]) -> Step {
        let Some(state) = &mut self.rfb else { return Step::Lost };
        // All that is not cut yet is in `bytes`; the state has the same bytes of the direction.
        let direction = if d == 0 { Direction::ToServer } else { Direction::ToClient };
        let known = state.waiting(d);
        if let Some(new) = bytes.get(known..).filter(|new| !new.is_empty()) {
            state.feed(direction, Input::Data(new), 0);
        }
        match state.next_length(d) {
            Some(length) => Step::Message(length as u64, vec![(Buffer::FrameRfbPdu, 0, Some(length as u64))]),
            None if state.is_open(direction) => Step::More,
            None => Step::Lost,
        }
    }
}

/// MQTT 5.0 section 2.1.
fn mqtt(bytes: &[u8]) -> Option<Step> {
    let (mut length, mut octets) = (0u64, 0usize);
    loop {
        let byte = *bytes.get(1 + octets)?;
        length |= u64::from(byte & 0x7f) << (7 * octets);
        octets += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if octets == 4 {
            return Some(Step::Lost);
        }
    }
    let total = length + 1 + octets as u64;
    let buffers = [Buffer::FrameMqttPdu, Buffer::FrameMqttHeader, Buffer::FrameMqttData];
    Some(Step::Message(total, three(buffers, 0, 1 + octets, total)))
}

/// The encapsulation, its items (volume 2, section 2-6), and the CIP message in one of them.
fn enip(bytes: &[u8]) -> Option<Step> {
    let total = 24 + usize::from(le16(bytes, 2)?);
    let message = bytes.get(..total)?;
    let buffers = [Buffer::FrameEnipPdu, Buffer::FrameEnipHdr, Buffer::FrameEnipData];
    let mut parts = three(buffers, 0, 24, total as u64);
    let mut at = match le16(message, 0)? {
        0x04 | 0x63 | 0x64 => 24,
        // Interface handle and time-out come first.
        0x6f | 0x70 => 30,
        _ => total,
    };
    let count = le16(message, at).unwrap_or(0).min(16);
    at += 2;
    for _ in 0..count {
        let (Some(kind), Some(length)) = (le16(message, at), le16(message, at + 2)) else { break };
        let length = usize::from(length);
        if message.len() < at + 4 + length {
            break;
        }
        parts.push((Buffer::FrameEnipItem, at, Some(4 + length as u64)));
        match kind {
            0xb1 if length > 2 => cip(message, at + 6, length - 2, &mut parts),
            0xb2 if length > 0 => cip(message, at + 4, length, &mut parts),
            _ => {}
        }
        at += 4 + length;
    }
    Some(Step::Message(total as u64, parts))
}

/// A CIP message, and those within it (service 0x0a: volume 1, appendix ).
fn cip(message: &[u8], at: usize, length: usize, parts: &mut Vec<Part>) {
    parts.push((Buffer::FrameEnipCip, at, Some(length as u64)));
    let Some(own) = message.get(at..at + length) else { return };
    let path = match own {
        [0x0a, words, ..] => 2 + 2 * usize::from(*words),
        _ => return,
    };
    let Some(count) = le16(own, path) else { return };
    let place = |n: u16| le16(own, path + 2 + 2 * usize::from(n)).map(|offset| path + usize::from(offset));
    for n in 0..count.min(64) {
        let Some(start) = place(n) else { break };
        let end = if n + 1 < count { place(n + 1).unwrap_or(length) } else { length };
        if start < end && end <= length {
            parts.push((Buffer::FrameEnipCip, at + start, Some((end - start) as u64)));
        }
    }
}

/// RFC 6455 section 5.2.
fn websocket(bytes: &[u8]) -> Option<Step> {
    let second = *bytes.get(1)?;
    let (at, length) = match second & 0x7f {
        126 => (4, u64::from(be16(bytes, 2)?)),
        127 => (10, u64::from(be32(bytes, 2)?) << 32 | u64::from(be32(bytes, 6)?)),
        n => (2, u64::from(n)),
    };
    let header = at + if second & 0x80 != 0 { 4 } else { 0 };
    bytes.get(..header)?;
    let total = length.saturating_add(header as u64);
    let buffers = [Buffer::FrameWebSocketPdu, Buffer::FrameWebSocketHeader, Buffer::FrameWebSocketData];
    Some(Step::Message(total, three(buffers, 0, header, total)))
}

/// Records (RFC 8446 section 5.1).
fn tls(bytes: &[u8]) -> Option<Step> {
    let kind = *bytes.first()?;
    if !(20..=24).contains(&kind) {
        return Some(Step::Lost);
    }
    let total = 5 + u64::from(be16(bytes, 3)?);
    let mut parts = three([Buffer::FrameTlsPdu, Buffer::FrameTlsHdr, Buffer::FrameTlsData], 0, 5, total);
    match kind {
        21 => parts.push((Buffer::FrameTlsAlert, 5, Some(total - 5))),
        24 => parts.push((Buffer::FrameTlsHeartbeat, 5, Some(total - 5))),
        _ => {}
    }
    Some(Step::Message(total, parts))
}

/// A message; over TCP behind its length (RFC 1035 section 4.2.2).
fn dns(bytes: &[u8], datagram: bool) -> Option<Step> {
    if datagram {
        let total = bytes.len() as u64;
        return Some(Step::Message(
            total,
            vec![(Buffer::FrameDnsPdu, 0, Some(total)), (Buffer::FrameMdnsPdu, 0, Some(total))],
        ));
    }
    let length = u64::from(be16(bytes, 0)?);
    Some(Step::Message(2 + length, vec![(Buffer::FrameDnsPdu, 2, Some(length))]))
}

/// The NetBIOS session service (RFC 1002 section 4.3.1), and the SMB messages in it.
fn smb(bytes: &[u8]) -> Option<Step> {
    let length = u64::from(be32(bytes, 0)? & 0x00ff_ffff);
    let total = 4 + length;
    let mut parts = three([Buffer::FrameSmbNbssPdu, Buffer::FrameSmbNbssHdr, Buffer::FrameSmbNbssData], 0, 4, total);
    if length < 8 {
        return Some(Step::Message(total, parts));
    }
    let mark = bytes.get(4..8)?;
    let (buffers, header) = match mark {
        b"\xffSMB" => ([Buffer::FrameSmb1Pdu, Buffer::FrameSmb1Hdr, Buffer::FrameSmb1Data], 32),
        b"\xfeSMB" => ([Buffer::FrameSmb2Pdu, Buffer::FrameSmb2Hdr, Buffer::FrameSmb2Data], 64),
        b"\xfdSMB" => ([Buffer::FrameSmb3Pdu, Buffer::FrameSmb3Hdr, Buffer::FrameSmb3Data], 52),
        _ => return Some(Step::Message(total, parts)),
    };
    let mut at = 4usize;
    // Messages of version 2 may be chained: each says where the next one begins (MS-SMB2 section 2.2.1).
    while header == 64 && total - at as u64 >= 64 && parts.len() < 64 {
        let next = le32(bytes, at + 20)?;
        if next < 64 || u64::from(next) >= total - at as u64 {
            break;
        }
        parts.extend(three(buffers, at, header, u64::from(next)));
        at += next as usize;
    }
    parts.extend(three(buffers, at, header, total - at as u64));
    Some(Step::Message(total, parts))
}

/// C706 section 12.6.3.1.
fn dcerpc(bytes: &[u8]) -> Option<Step> {
    let little = bytes.get(4)? & 0x10 != 0;
    let total = if little { le16(bytes, 8)? } else { be16(bytes, 8)? };
    if total < 16 || bytes.first() != Some(&5) {
        return Some(Step::Lost);
    }
    let buffers = [Buffer::FrameDcerpcPdu, Buffer::FrameDcerpcHdr, Buffer::FrameDcerpcData];
    Some(Step::Message(total.into(), three(buffers, 0, 16, total.into())))
}

/// A value in BER (X.690 section 8.1).
fn ldap(bytes: &[u8]) -> Option<Step> {
    if *bytes.first()? != 0x30 {
        return Some(Step::Lost);
    }
    let (header, length) = match *bytes.get(1)? {
        n @ 0..=0x7f => (2, u64::from(n)),
        n @ 0x81..=0x84 => {
            let octets = usize::from(n & 0x7f);
            (2 + octets, bytes.get(2..2 + octets)?.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
        }
        _ => return Some(Step::Lost),
    };
    let total = header as u64 + length;
    Some(Step::Message(total, vec![(Buffer::FrameLdapPdu, 0, Some(total))]))
}

/// RFC 3261 section 7.
fn sip(bytes: &[u8], datagram: bool) -> Option<Step> {
    let empty = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    if empty > 0 {
        return Some(Step::Message(empty as u64, Vec::new()));
    }
    let first = line(bytes)?;
    let whole = head(bytes)?;
    let size = match datagram {
        true => (bytes.len() - whole) as u64,
        false => field(&bytes[..whole], b"content-length")
            .or_else(|| field(&bytes[..whole], b"l"))
            .and_then(number)
            .unwrap_or(0),
    };
    let total = (whole as u64).saturating_add(size);
    let [first_line, headers, body] = match bytes.starts_with(b"SIP/") {
        false => [Buffer::FrameSipRequestLine, Buffer::FrameSipRequestHeaders, Buffer::FrameSipRequestBody],
        true => [Buffer::FrameSipResponseLine, Buffer::FrameSipResponseHeaders, Buffer::FrameSipResponseBody],
    };
    let mut parts = vec![
        (Buffer::FrameSipPdu, 0, Some(total)),
        (first_line, 0, Some(first as u64)),
        (headers, first, Some((whole - first) as u64)),
    ];
    if size > 0 {
        parts.push((body, whole, Some(size)));
    }
    Some(Step::Message(total, parts))
}
