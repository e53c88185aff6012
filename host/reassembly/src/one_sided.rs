//! Sessions of which only one side is seen (`SessionConfig::one_sided`): asymmetric routes, taps of one direction.
//!
//! Nobody answers, so nobody acknowledges: a handshake is complete when its sender goes on, and bytes are delivered when
//! they are contiguous. With the first packet of the other side the session is like any other.

use super::{Session, SessionConfig, State};
use weir_contract::sequence::distance;
use weir_packet::{Tcp, tcp_flags};

impl Session {
    /// Before a packet that is no SYN is judged: does its sender go on alone?
    pub(super) fn goes_on_alone(&mut self, config: &SessionConfig, d: usize, tcp: &Tcp<'_>) {
        if self.alone == Some(1 - d) {
            self.alone = None;
        }
        if tcp.flags & (tcp_flags::ACK | tcp_flags::RST) != tcp_flags::ACK {
            return;
        }
        let answered = d != self.syn_direction;
        let waits = match self.state {
            // Nobody answered the SYN.
            State::SynSent => config.one_sided && !answered,
            // Nobody was seen to send the SYN that this side has answered; such sessions are followed if asked for.
            State::SynReceived => answered && self.syn_missing,
            _ => false,
        };
        if !waits || distance(tcp.sequence, self.streams[d].base) != 0 {
            return;
        }
        let other = &mut self.streams[1 - d];
        if !other.tracked {
            other.follow_from(tcp.acknowledgement);
        }
        self.state = State::Established;
        self.alone = config.one_sided.then_some(d);
    }

    /// The direction's bytes are delivered when they are contiguous.
    pub(super) fn delivers_on_arrival(&self, config: &SessionConfig, d: usize) -> bool {
        !config.waits() || self.alone == Some(d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Delivery;
    use crate::testing::{Sink, tcp};
    use weir_packet::tcp_flags::{ACK, SYN};

    fn run(config: &SessionConfig, packets: &[(usize, u32, u32, u8, &[u8])]) -> (Session, Sink) {
        let (mut session, mut sink) = (Session::default(), Sink::default());
        for (d, sequence, acknowledgement, flags, payload) in packets {
            session.packet(config, *d, &tcp(*sequence, *acknowledgement, *flags), payload, false, &mut sink);
        }
        (session, sink)
    }

    fn configs(one_sided: bool) -> [SessionConfig; 2] {
        [Delivery::Arrival, Delivery::Acknowledged]
            .map(|delivery| SessionConfig { one_sided, delivery, ..SessionConfig::default() })
    }

    #[test]
    fn the_side_that_sent_a_syn_goes_on() {
        let packets: [(usize, u32, u32, u8, &[u8]); 3] =
            [(0, 99, 0, SYN, b""), (0, 100, 500, ACK, b""), (0, 100, 500, ACK, b"alone")];
        for config in configs(true) {
            let (session, sink) = run(&config, &packets);
            assert_eq!((session.state(), sink.data[0].as_slice()), (State::Established, &b"alone"[..]));
        }
        for config in configs(false) {
            let (session, sink) = run(&config, &packets);
            assert!(session.state() == State::SynSent && sink.data[0].is_empty());
        }
    }

    #[test]
    fn the_side_that_answered_goes_on() {
        let packets: [(usize, u32, u32, u8, &[u8]); 3] =
            [(1, 499, 100, SYN | ACK, b""), (1, 500, 140, ACK, b"answer"), (1, 506, 180, ACK, b"!")];
        for config in configs(true) {
            assert_eq!(run(&config, &packets).1.data[1], b"answer!");
        }
        for config in configs(false) {
            assert!(run(&config, &packets).1.data[1].is_empty());
        }
    }

    /// Once the other side is seen, its acknowledgements count.
    #[test]
    fn the_other_side_ends_it() {
        let [_, config] = configs(true);
        let (mut session, mut sink) = run(
            &config,
            &[(0, 99, 0, SYN, b""), (0, 100, 500, ACK, b"a"), (1, 500, 101, ACK, b"b"), (0, 101, 500, ACK, b"c")],
        );
        assert_eq!(sink.data, [b"a".to_vec(), vec![]]);
        session.packet(&config, 1, &tcp(501, 102, ACK), b"", false, &mut sink);
        assert_eq!(sink.data, [b"ac".to_vec(), vec![]]);
    }

    /// An attacker cannot open a session with a number that its SYN did not have.
    #[test]
    fn other_numbers_open_nothing() {
        let [config, _] = configs(true);
        let (session, sink) = run(&config, &[(0, 99, 0, SYN, b""), (0, 5000, 500, ACK, b"x")]);
        assert!(session.state() == State::SynSent && sink.data[0].is_empty());
    }
}
