//! TFTP (RFC 1350): requests. The transfer goes between other ports.

use crate::json::Object;
use crate::messages::Messages;
use crate::wire::be16;
use crate::{AppLayerConfig, Direction, Input, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;

/// Longest name or mode kept.
const TEXT_MAX: usize = 512;

/// A request to read or to write.
struct Request {
    write: bool,
    file: Vec<u8>,
    mode: Vec<u8>,
}

/// TFTP of one flow.
pub struct TftpState {
    requests: Messages<Request>,
}

impl TftpState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        TftpState { requests: Messages::new(config.transactions) }
    }
}

fn read(bytes: &[u8]) -> Option<Request> {
    let write = match be16(bytes, 0)? {
        1 => false,
        2 => true,
        _ => return None,
    };
    let mut texts = bytes.get(2..)?.split(|b| *b == 0).map(|text| text.get(..TEXT_MAX).unwrap_or(text).to_vec());
    Some(Request { write, file: texts.next()?, mode: texts.next()? })
}

impl ProtocolState for TftpState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Tftp
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        if let Input::Data(bytes) = input
            && let Some(request) = read(bytes)
        {
            self.requests.push(direction, request, Vec::new());
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.requests.transactions
    }

    fn mark_inspected(&mut self) {
        self.requests.clear();
    }

    fn is_open(&self, _direction: Direction) -> bool {
        false
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        let Some((_, request)) = self.requests.get(index) else { return };
        let mut object = Object::begin("tftp", out);
        object.text("packet", Some(if request.write { b"write" } else { b"read" }));
        object.string("file", &request.file);
        object.string("mode", &request.mode);
        object.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let mut s = TftpState::new(&Default::default());
        s.feed(Direction::ToServer, Input::Data(b"\x00\x02rfc1350.txt\x00octet\x00"), 1);
        s.feed(Direction::ToServer, Input::Data(b"\x00\x03\x00\x01data"), 1);
        s.feed(Direction::ToServer, Input::Data(b"\x00\x01unterminated"), 1);
        assert_eq!(s.transactions().len(), 1);
        let mut log = Vec::new();
        s.log(0, &mut log);
        assert_eq!(log, br#""tftp":{"packet":"write","file":"rfc1350.txt","mode":"octet"}"#);
        s.mark_inspected();
        s.feed(Direction::ToServer, Input::Data(&[&b"\x00\x01"[..], &[b'x'; 60_000], b"\x00octet\x00"].concat()), 1);
        assert_eq!(s.requests.get(0).map(|(_, r)| (r.file.len(), r.mode.as_slice())), Some((TEXT_MAX, &b"octet"[..])));
    }
}
