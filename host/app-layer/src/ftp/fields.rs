//! What detection and logs see of a transaction.

use super::events::NAMES;
use super::state::FtpState;
use crate::expectation::Expected;
use crate::{BufferState, Direction, Input, Limits, ProtocolState, Transaction, Upgrade};
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

fn of(bytes: Option<&[u8]>, done: bool) -> BufferState<'_> {
    match bytes {
        Some(bytes) => BufferState::whole(bytes),
        None if done => BufferState::Absent,
        None => BufferState::NotYet,
    }
}

impl ProtocolState for FtpState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Ftp
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        self.feed_side(direction, input);
    }

    fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        let Some(exchange) = self.exchanges.get(index) else { return BufferState::Absent };
        match (buffer, direction) {
            // A greeting answers no command.
            (Buffer::FtpReply | Buffer::FtpCompletionCode, _) if exchange.greets() => BufferState::Absent,
            (Buffer::FtpCommand, Direction::ToServer) => BufferState::filled(&exchange.name),
            (Buffer::FtpCommandData, Direction::ToServer) => BufferState::filled(&exchange.argument),
            (Buffer::FtpReply, Direction::ToClient) => of(exchange.replies.get(instance).map(Vec::as_slice), exchange.done),
            (Buffer::FtpCompletionCode, Direction::ToClient) => {
                of(exchange.codes.get(instance).map(<[u8; 3]>::as_slice), exchange.done)
            }
            _ => BufferState::Absent,
        }
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        // All of it is known with the reply; a preliminary one is not yet the answer.
        let exchange = self.exchanges.get(index).filter(|e| !e.replies.is_empty() || e.done)?;
        match name {
            "ftp.dynamic_port" => exchange.port.filter(|_| !exchange.codes.is_empty()).map(u64::from),
            "ftp.mode" => exchange.port.filter(|_| !exchange.codes.is_empty()).map(|_| u64::from(!exchange.active)),
            "ftp.reply_received" if direction == Direction::ToServer => None,
            "ftp.reply_received" if exchange.done => Some(u64::from(!exchange.codes.is_empty())),
            "ftp.reply_received" if !exchange.codes.is_empty() => Some(0),
            _ => None,
        }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &NAMES
    }

    fn take_limits(&mut self) -> Limits {
        std::mem::take(&mut self.limits)
    }

    fn mark_inspected(&mut self) {
        self.release_inspected();
    }

    fn upgrade(&self) -> Option<Upgrade> {
        self.upgrade
    }

    fn take_rest(&mut self, direction: Direction) -> Vec<u8> {
        self.take_rest_of(direction)
    }

    fn kept(&self, direction: Direction) -> u64 {
        self.rest[direction as usize].len() as u64
    }

    fn take_expected(&mut self) -> Vec<Expected> {
        self.take_expected_connections()
    }

    fn is_open(&self, direction: Direction) -> bool {
        self.side_open(direction as usize)
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        let Some(exchange) = self.exchanges.get(index) else { return };
        let mut object = crate::json::Object::begin("ftp", out);
        object.text("command", Some(&exchange.name));
        object.text("command_data", Some(&exchange.argument));
        if !exchange.argument.is_empty() {
            object.flag("command_truncated", exchange.cut[0]);
        }
        object.texts("reply", exchange.replies.iter().map(Vec::as_slice));
        object.texts("completion_code", exchange.codes.iter().map(<[u8; 3]>::as_slice));
        if let Some(port) = exchange.port {
            object.number("dynamic_port", port.into());
            object.text("mode", Some(if exchange.active { b"active" } else { b"passive" }));
        }
        object.text("reply_received", Some(if exchange.replies.is_empty() { b"no" } else { b"yes" }));
        object.flag("reply_truncated", exchange.cut[1]);
        object.end();
    }
}
