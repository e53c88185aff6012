//! Transactions of a connection: TPKTs until one direction goes over to TLS, and nothing behind the end of the sequence.

use super::tls::Record;
use super::tpkt::{Mcs, Unit};
use super::{Message, log, tls, tpkt};
use crate::framed::{Framed, Piece};
use crate::messages::Messages;
use crate::{AppLayerConfig, Direction, Input, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;

/// No TPKT and no TLS record is longer.
const MOST: usize = 64 * 1024 + 8;

/// RDP of one flow.
pub struct RdpState {
    messages: Messages<Message>,
    framed: Framed,
    /// The connection has gone over to TLS.
    encrypted: bool,
    /// Nothing more is parsed: the sequence is at its end, or a direction could not be followed.
    over: bool,
}

impl RdpState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        let messages = Messages::new(config.transactions);
        RdpState { messages, framed: Framed::new(MOST), encrypted: false, over: false }
    }

    fn data(&mut self, direction: Direction, mut bytes: &[u8]) {
        let d = direction as usize;
        loop {
            let RdpState { messages, framed, encrypted, over } = self;
            let mut turned = false;
            if *encrypted {
                framed.push(d, bytes, tls::cut, |piece| {
                    let Piece::Whole(record) = piece else {
                        *over = true;
                        return false;
                    };
                    match tls::record(record) {
                        Record::Lost => *over = true,
                        Record::Certificates(all) if direction == Direction::ToClient => {
                            // The chain is all that is wanted of the session.
                            *over = !all.is_empty();
                            all.into_iter()
                                .for_each(|c| messages.push(direction, Message::Certificates(c), Vec::new()));
                        }
                        Record::Certificates(_) => {}
                    }
                    !*over
                });
            } else {
                // A record of TLS begins where a TPKT would: its first byte tells.
                framed.push(d, bytes, cut, |piece| {
                    match piece {
                        Piece::Whole(message) => {
                            if let Some(message) = read(direction, message) {
                                *over = message == Message::Connected;
                                messages.push(direction, message, Vec::new());
                            }
                        }
                        Piece::Beginning(_) => {}
                        Piece::Lost => *over = true,
                    }
                    !*over
                });
                turned = !*over && framed.peek(d) == Some(tls::HANDSHAKE);
            }
            if *over {
                *framed = Framed::new(MOST);
            }
            if !turned {
                return;
            }
            *encrypted = true;
            bytes = &[];
        }
    }
}

/// Where a TPKT ends; what begins a handshake of TLS waits.
fn cut(bytes: &[u8]) -> crate::framed::Cut {
    if bytes.first() == Some(&tls::HANDSHAKE) { crate::framed::Cut::More } else { tpkt::cut(bytes) }
}

/// The message of a whole TPKT, if it is one that the direction has.
fn read(direction: Direction, bytes: &[u8]) -> Option<Message> {
    match (tpkt::unit(bytes)?, direction) {
        (Unit::Request(request), Direction::ToServer) => Some(Message::Request(request)),
        (Unit::Confirm(answer), Direction::ToClient) => Some(Message::Confirm(answer)),
        (Unit::Data(data), _) => match (tpkt::mcs(data)?, direction) {
            (Mcs::Initial(connect), Direction::ToServer) => Some(Message::Connect(connect)),
            (Mcs::Response, Direction::ToClient) => Some(Message::Connected),
            _ => None,
        },
        _ => None,
    }
}

impl ProtocolState for RdpState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Rdp
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        match input {
            Input::Data(bytes) if !self.over => self.data(direction, bytes),
            // The middle of a message cannot be told from the beginning of the next.
            Input::Gap(_) if !self.over => {
                self.over = true;
                self.framed = Framed::new(MOST);
            }
            _ => {}
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.messages.transactions
    }

    fn mark_inspected(&mut self) {
        self.messages.clear();
    }

    fn is_open(&self, direction: Direction) -> bool {
        !self.over && self.framed.is_open(direction as usize)
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        if let (Some((_, message)), Some(transaction)) = (self.messages.get(index), self.transactions().get(index)) {
            log::write(transaction.id + 1, message, out);
        }
    }
}
