//! The one transaction of an SSH flow.

use super::parser::{KEXINIT, NEWKEYS, PACKET_MAX, algorithms, identification, packet_head};
use crate::line::Lines;
use crate::digest::md5_hex;
use crate::{AppLayerConfig, BufferState, COMPLETE, Direction, Input, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 4] = ["invalid_banner", "long_banner", "invalid_record", "long_kex_record"];
const INVALID_BANNER: u16 = 0;
const LONG_BANNER: u16 = 1;
const INVALID_RECORD: u16 = 2;
const LONG_KEX: u16 = 3;

/// Longest identification line (RFC 4253 section 4.2).
const LINE_LIMIT: usize = 255;
/// Lines that a server may send before it (the same section); more are no SSH.
const LINES_BEFORE: u8 = 50;
/// Largest KEXINIT that is read.
const KEXINIT_MAX: u32 = 16 * 1024;

/// Progress of a direction.
const IDENTIFIED: u8 = 1;
const ALGORITHMS: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    #[default]
    Identification,
    /// The rest of a line that was too long.
    LineRest,
    /// The head of a packet.
    Head,
    /// Collect the rest of a KEXINIT packet.
    Collect(usize),
    /// Pass over so many bytes.
    Skip(usize),
    /// Encrypted, or lost.
    Over,
}

#[derive(Default)]
struct Side {
    at: At,
    lines: Lines,
    lines_before: u8,
    held: Vec<u8>,
    protocol: Vec<u8>,
    software: Vec<u8>,
    fingerprint: Vec<u8>,
    hash: String,
    new_keys: bool,
}

/// SSH of one flow.
pub struct SshState {
    sides: [Side; 2],
    transaction: [Transaction; 1],
}

impl SshState {
    /// State of a new flow.
    pub fn new(_config: &Arc<AppLayerConfig>) -> Self {
        SshState {
            sides: Default::default(),
            transaction: [Transaction { id: 0, progress: [0; 2], changed: [false; 2], events: Vec::new() }],
        }
    }

    fn event(&mut self, d: usize, event: u16) {
        let t = &mut self.transaction[0];
        if !t.events.contains(&event) {
            t.events.push(event);
        }
        t.changed[d] = true;
    }

    fn advance(&mut self, d: usize, progress: u8) {
        let t = &mut self.transaction[0];
        if t.progress[d] < progress {
            t.progress[d] = progress;
            t.changed[d] = true;
        }
    }

    fn give_up(&mut self, d: usize) {
        self.sides[d].at = At::Over;
        self.sides[d].held = Vec::new();
        self.advance(d, COMPLETE);
    }

    fn bytes(&mut self, d: usize, mut input: &[u8]) {
        while !input.is_empty() {
            match self.sides[d].at {
                At::Over => return,
                At::Identification => self.line(d, &mut input),
                At::LineRest => match memchr::memchr(b'\n', input) {
                    Some(lf) => {
                        input = input.get(lf + 1..).unwrap_or(&[]);
                        self.sides[d].at = At::Head;
                    }
                    None => return,
                },
                At::Skip(left) => {
                    let now = left.min(input.len());
                    input = input.get(now..).unwrap_or(&[]);
                    self.sides[d].at = if left == now { At::Head } else { At::Skip(left - now) };
                }
                At::Head => {
                    self.collect(d, &mut input, 6);
                    self.head(d);
                }
                At::Collect(length) => {
                    self.collect(d, &mut input, length);
                    if self.sides[d].held.len() == length {
                        self.algorithms(d);
                    }
                }
            }
        }
    }

    fn collect(&mut self, d: usize, input: &mut &[u8], length: usize) {
        let held = &mut self.sides[d].held;
        let now = length.saturating_sub(held.len()).min(input.len());
        held.extend_from_slice(input.get(..now).unwrap_or(&[]));
        *input = input.get(now..).unwrap_or(&[]);
    }

    fn line(&mut self, d: usize, input: &mut &[u8]) {
        let mut line = Vec::new();
        let Some(piece) = self.sides[d].lines.next(input, LINE_LIMIT, &mut line) else { return };
        if !piece.starts {
            return;
        }
        if !piece.ends {
            self.event(d, LONG_BANNER);
        }
        match identification(&line) {
            Some((protocol, software)) => {
                let side = &mut self.sides[d];
                side.protocol = protocol.to_vec();
                side.software = software.to_vec();
                side.at = if piece.ends { At::Head } else { At::LineRest };
                self.advance(d, IDENTIFIED);
            }
            None if line.starts_with(b"SSH-") || self.sides[d].lines_before >= LINES_BEFORE || d == 0 => {
                self.event(d, INVALID_BANNER);
                self.give_up(d);
            }
            None => self.sides[d].lines_before += 1,
        }
    }

    fn head(&mut self, d: usize) {
        let Some((length, message)) = packet_head(&self.sides[d].held) else { return };
        // Padding length and at least the message number belong to the packet.
        if !(2..=PACKET_MAX).contains(&length) {
            self.event(d, INVALID_RECORD);
            self.give_up(d);
            return;
        }
        match message {
            KEXINIT if length > KEXINIT_MAX => self.event(d, LONG_KEX),
            KEXINIT => {
                self.sides[d].at = At::Collect(length as usize + 4);
                return;
            }
            NEWKEYS => {
                self.sides[d].new_keys = true;
                self.give_up(d);
                return;
            }
            _ => {}
        }
        self.sides[d].held.clear();
        // Two bytes of it are read.
        self.sides[d].at = if length == 2 { At::Head } else { At::Skip(length as usize - 2) };
    }

    fn algorithms(&mut self, d: usize) {
        let packet = std::mem::take(&mut self.sides[d].held);
        self.sides[d].at = At::Head;
        match algorithms(&packet) {
            Some(offered) if self.sides[d].fingerprint.is_empty() => {
                let fingerprint = offered.fingerprint(d);
                self.sides[d].hash = md5_hex(&fingerprint);
                self.sides[d].fingerprint = fingerprint;
            }
            Some(_) => {}
            None => self.event(d, INVALID_RECORD),
        }
        self.advance(d, ALGORITHMS);
    }

    fn at_step<'a>(&'a self, d: usize, step: u8, bytes: &'a [u8]) -> BufferState<'a> {
        if !bytes.is_empty() {
            BufferState::whole(bytes)
        } else if self.transaction[0].progress[d] >= step {
            BufferState::Absent
        } else {
            BufferState::NotYet
        }
    }
}

impl ProtocolState for SshState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Ssh
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        let d = direction as usize;
        match input {
            Input::Data(bytes) => self.bytes(d, bytes),
            // Where the next packet begins cannot be known; the stream is inspected on.
            Input::Gap(_) => self.give_up(d),
            Input::End => {
                if self.sides[d].at == At::Identification && self.sides[d].lines.is_open() {
                    self.event(d, INVALID_BANNER);
                }
                self.give_up(d);
            }
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.transaction
    }

    fn buffer(&self, _index: usize, direction: Direction, buffer: Buffer, _instance: usize) -> BufferState<'_> {
        let d = direction as usize;
        let side = &self.sides[d];
        match (buffer, d) {
            (Buffer::SshProto, _) => self.at_step(d, IDENTIFIED, &side.protocol),
            (Buffer::SshSoftware, _) => self.at_step(d, IDENTIFIED, &side.software),
            (Buffer::SshHassh, 0) | (Buffer::SshHasshServer, 1) => self.at_step(d, ALGORITHMS, side.hash.as_bytes()),
            (Buffer::SshHasshString, 0) | (Buffer::SshHasshServerString, 1) => {
                self.at_step(d, ALGORITHMS, &side.fingerprint)
            }
            _ => BufferState::Absent,
        }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn mark_inspected(&mut self) {
        self.transaction[0].changed = [false; 2];
    }

    fn encrypted(&self) -> bool {
        self.sides.iter().all(|side| side.new_keys)
    }

    fn is_open(&self, _direction: Direction) -> bool {
        !self.encrypted() && self.transaction[0].progress.iter().any(|p| *p != COMPLETE)
    }

    fn log(&self, _index: usize, out: &mut Vec<u8>) {
        let mut object = crate::json::Object::begin("ssh", out);
        for (key, side) in [("client", &self.sides[0]), ("server", &self.sides[1])] {
            if side.protocol.is_empty() {
                continue;
            }
            object.object(key, |o| {
                o.text("proto_version", Some(&side.protocol));
                o.text("software_version", Some(&side.software));
                if !side.hash.is_empty() {
                    o.object("hassh", |o| {
                        o.text("hash", Some(side.hash.as_bytes()));
                        o.text("string", Some(&side.fingerprint));
                    });
                }
            });
        }
        object.end();
    }
}

#[cfg(test)]
mod tests {
    use super::super::parser::tests::kexinit;
    use super::*;
    use Direction::{ToClient, ToServer};

    fn text(state: &SshState, direction: Direction, buffer: Buffer) -> Option<String> {
        match state.buffer(0, direction, buffer, 0) {
            BufferState::Present(view) => Some(String::from_utf8_lossy(view.bytes).into_owned()),
            _ => None,
        }
    }

    fn events(state: &SshState) -> Vec<&'static str> {
        state.transaction[0].events.iter().map(|e| state.event_name(*e)).collect()
    }

    fn session(step: usize) -> SshState {
        let mut state = SshState::new(&Default::default());
        let kex = kexinit(["k", "h", "ec", "es", "mc", "ms", "cc", "cs", "", ""]);
        let reply = [0, 0, 0, 12, 4, 31, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        let new_keys = [0, 0, 0, 12, 10, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let server = [b"welcome\r\nSSH-2.0-S_1 c\r\n".as_slice(), &kex, &reply, &new_keys, b"\x99encrypted"].concat();
        let client = [b"SSH-2.0-C_1\r\n".as_slice(), &kex, &new_keys].concat();
        server.chunks(step).for_each(|part| state.feed(ToClient, Input::Data(part), 1));
        assert!(!state.encrypted());
        client.chunks(step).for_each(|part| state.feed(ToServer, Input::Data(part), 2));
        state
    }

    #[test]
    fn a_session_until_it_is_encrypted() {
        for step in [1, 5, 6, 1000] {
            let state = session(step);
            assert!(state.encrypted() && events(&state).is_empty());
            assert_eq!(text(&state, ToServer, Buffer::SshSoftware).as_deref(), Some("C_1"));
            assert_eq!(text(&state, ToClient, Buffer::SshProto).as_deref(), Some("2.0"));
            assert_eq!(text(&state, ToServer, Buffer::SshHasshString).as_deref(), Some("k;ec;mc;cc"));
            assert_eq!(text(&state, ToClient, Buffer::SshHasshServerString).as_deref(), Some("k;es;ms;cs"));
            assert_eq!(text(&state, ToServer, Buffer::SshHassh), Some(md5_hex(b"k;ec;mc;cc")));
            assert_eq!(text(&state, ToClient, Buffer::SshHassh), None);
        }
    }

    #[test]
    fn oddities() {
        let fed = |bytes: &[u8]| {
            let mut state = SshState::new(&Default::default());
            state.feed(ToServer, Input::Data(bytes), 1);
            (events(&state), text(&state, ToServer, Buffer::SshSoftware))
        };
        assert_eq!(fed(b"SSH-2.0\r\n"), (vec!["invalid_banner"], None));
        let long = [b"SSH-2.0-".as_slice(), &[b'x'; 400], b"\r\n"].concat();
        assert_eq!(fed(&long), (vec!["long_banner"], Some("x".repeat(247))));
        assert_eq!(fed(b"SSH-2.0-x\r\n\xff\xff\xff\xff\x00\x00"), (vec!["invalid_record"], Some("x".into())));
    }

    #[test]
    fn a_gap_ends_the_parsing_and_not_the_inspection() {
        let mut state = SshState::new(&Default::default());
        state.feed(ToServer, Input::Data(b"SSH-2.0-x\r\n\0"), 1);
        state.feed(ToServer, Input::Gap(100), 2);
        state.feed(ToServer, Input::Data(&[0, 0, 0, 12, 10, 21]), 3);
        assert!(!state.encrypted());
    }
}
