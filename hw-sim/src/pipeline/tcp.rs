//! TCP at the parse stage: the sequence function, the handshake, and the guards of both.

use crate::flow::ParseState;
use crate::parse::TcpFacts;
use weir_contract::constants as c;
use weir_contract::enums::FlowState;
use weir_contract::guards::Guard;
use weir_contract::sequence::{ACK, FIN, RST, SYN, SegmentClass, Trouble, distance};
use weir_contract::tail;

/// What a segment is.
pub(super) struct Seen {
    /// Guards.
    pub(super) guards: u64,
    /// The payload continues its stream, and the host reads it.
    pub(super) continues: bool,
    /// The payload continues its stream if the host reads it, or if what is missing before it never comes.
    pub(super) may_continue: bool,
    /// Stream bytes before it, where known.
    pub(super) offset: Option<u64>,
}

impl ParseState {
    /// One segment.
    pub(super) fn tcp(
        &mut self,
        tcp: &TcpFacts,
        payload: &[u8],
        d: usize,
        created: bool,
        checksum_bad: bool,
        host_midstream: bool,
    ) -> Seen {
        let length = payload.len() as u32;
        let before = self.sequence.directions[d];
        let mut guards = 0;
        guards |= self.after_close(tcp, d, length);
        guards |= self.later_syn(tcp, d, created);
        let class = self.sequence.update(d, tcp.sequence, tcp.acknowledgement, tcp.flags, length);
        let own = self.sequence.directions[d];
        let other = self.sequence.directions[1 - d];
        let ack_odd = tcp.flags & ACK != 0 && other.valid && distance(tcp.acknowledgement, other.next) > 0;
        if ack_odd {
            guards |= Guard::AckOdd.bit();
        }
        if own.valid && !before.valid {
            self.initial[d] = tcp.sequence;
            self.stream_offset[d] = (length == 0).then_some(0);
        }
        tail::follow(&mut self.tail, d, (before, own), class, tcp.sequence, payload);
        // Segments that the host may leave out of the stream although they fit: wrong checksum, an acknowledgement of
        // what was never sent, an old timestamp. (It may believe the timestamp beside an acknowledgement it does not.)
        let is_old = !checksum_bad && self.is_old(tcp, d);
        let ignored = checksum_bad || ack_odd || is_old;
        let offset = self.stream_offset[d];
        let mut continues = false;
        match class {
            SegmentClass::InOrder => {
                continues = true;
                if ignored {
                    self.lose(d);
                } else if let Some(offset) = &mut self.stream_offset[d] {
                    *offset += u64::from(length);
                    self.stream_least[d] = u32::try_from(*offset).unwrap_or(u32::MAX);
                }
            }
            SegmentClass::Trouble(Trouble::Retransmission) if self.has_read_all(d) => {
                guards |= Guard::SequenceRetransmission.bit();
            }
            SegmentClass::Trouble(trouble) => {
                guards |= Guard::from(trouble).bit();
                if trouble == Trouble::Retransmission {
                    guards |= Guard::SequenceOverlap.bit();
                }
                if self.start_lost[d] {
                    guards |= Guard::StreamState.bit();
                }
                self.trouble(trouble, tcp, payload, d);
            }
            SegmentClass::Untracked if host_midstream => guards |= Guard::StreamState.bit(),
            SegmentClass::Untracked | SegmentClass::Acked | SegmentClass::Empty => {}
        }
        if self.handshake_is_odd(tcp, d, length, ignored) {
            guards |= Guard::HandshakeOdd.bit();
        }
        self.close(tcp, d, length);
        self.tcp_flags[d] |= tcp.flags;
        let may_continue = continues || class == SegmentClass::Trouble(Trouble::Gap);
        Seen { guards, continues: continues && !ignored, may_continue, offset: offset.filter(|_| continues) }
    }

    /// The host has delivered every byte of the direction before the next expected one, and none waits: it is sure to be
    /// where the device is, and so reads nothing that lies before (decision 0041).
    fn has_read_all(&self, d: usize) -> bool {
        self.stream_offset[d].is_some() && self.handshake >= 3 && self.intact && !self.state_unsure
    }

    /// Payload behind the end of its direction, or after a reset.
    fn after_close(&self, tcp: &TcpFacts, d: usize, length: u32) -> u64 {
        let end = tcp.sequence.wrapping_add(length);
        let behind = self.fin[d].is_some_and(|fin| distance(end, fin) > 0);
        if length != 0 && (behind || self.reset) { Guard::AfterClose.bit() } else { 0 }
    }

    /// A SYN in a flow that has one already: after its end, or from the other side, the host may begin another flow.
    fn later_syn(&mut self, tcp: &TcpFacts, d: usize, created: bool) -> u64 {
        if created || tcp.flags & (SYN | ACK) != SYN {
            return 0;
        }
        self.state_unsure = true;
        if d == 1 || self.reset || self.fin != [None; 2] || self.midstream {
            self.intact = false;
            return Guard::StreamState.bit();
        }
        0
    }

    /// Protection against wrapped sequence numbers (RFC 7323 section 5) would drop it.
    fn is_old(&mut self, tcp: &TcpFacts, d: usize) -> bool {
        let Some(value) = tcp.timestamp else { return false };
        let last = &mut self.timestamp[d];
        let old = value != 0 && last.is_some_and(|last| distance(value, last) < 0);
        if last.is_none_or(|last| distance(value, last) > 0) {
            *last = Some(value);
        }
        old
    }

    /// The direction's beginning, or where it stands, is no longer what the host has.
    fn lose(&mut self, d: usize) {
        self.stream_offset[d] = None;
        if self.detector.first_bytes(d).len() < c::FIRST_BYTES {
            self.start_lost[d] = true;
            self.detector.lost(d);
        }
    }

    fn trouble(&mut self, trouble: Trouble, tcp: &TcpFacts, payload: &[u8], d: usize) {
        self.lose(d);
        // Another copy of the first bytes: the host may have read that one.
        let from_start = tcp.sequence.wrapping_sub(self.initial[d].wrapping_add(1));
        if from_start < c::FIRST_BYTES as u32 && !payload.is_empty() {
            self.start_lost[d] = true;
        }
        if trouble == Trouble::SynChange {
            self.intact = false;
            self.state_unsure = true;
            self.start_lost = [true; 2];
            self.stream_offset = [None; 2];
        }
    }

    /// Follow SYN, SYN+ACK, ACK; anything else while the handshake is open is odd, and the host's state unsure. So it is where the
    /// host may leave a segment out.
    fn handshake_is_odd(&mut self, tcp: &TcpFacts, d: usize, length: u32, ignored: bool) -> bool {
        if self.handshake >= 3 || self.midstream || self.reset {
            return false;
        }
        self.state_unsure |= ignored;
        let flags = tcp.flags & (SYN | ACK | FIN | RST);
        let [client, server] = self.initial.map(|n| n.wrapping_add(1));
        let good = match (self.handshake, d, flags) {
            (0, 0, SYN) => {
                self.handshake = 1;
                length == 0
            }
            (1, 0, SYN) => tcp.sequence.wrapping_add(1) == client,
            (1, 1, f) if f == SYN | ACK => {
                self.handshake = 2;
                tcp.acknowledgement == client && length == 0
            }
            (2, 1, f) if f == SYN | ACK => tcp.sequence.wrapping_add(1) == server && tcp.acknowledgement == client,
            (2, 0, f) if f & (ACK | SYN | RST) == ACK => {
                self.handshake = 3;
                self.state = FlowState::Established;
                tcp.sequence == client && tcp.acknowledgement == server
            }
            (_, _, f) if f & RST != 0 => true,
            _ => {
                let open = self.sequence.directions.iter().all(|direction| direction.valid);
                if open && flags & SYN == 0 {
                    self.state = FlowState::Established;
                }
                false
            }
        };
        self.state_unsure |= !good;
        self.anchored = self.handshake == 3 && self.intact && !self.state_unsure;
        !good
    }

    fn close(&mut self, tcp: &TcpFacts, d: usize, length: u32) {
        if tcp.flags & FIN != 0 {
            self.fin[d].get_or_insert(tcp.sequence.wrapping_add(length));
        }
        if tcp.flags & RST != 0 {
            self.reset = true;
            // The host may find it invalid.
            self.state_unsure = true;
        }
        if !self.midstream && (self.reset || self.fin.iter().all(Option::is_some)) {
            self.state = FlowState::Closed;
            self.state_unsure = true;
        }
    }
}
