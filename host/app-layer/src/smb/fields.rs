//! What detection and logs see of a transaction.

use super::events::NAMES;
use super::log;
use super::state::{Exchange, Kind, SmbState};
use crate::dcerpc::{number, stub};
use crate::{BufferState, Direction, FileView, Input, Limits, LogSettings, ProtocolState, Transaction, file};
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

fn share(exchange: &Exchange, of_pipes: bool) -> BufferState<'_> {
    match &exchange.kind {
        Kind::TreeConnect(_, None) if !exchange.done => BufferState::NotYet,
        Kind::TreeConnect(name, pipe) if pipe.unwrap_or(false) == of_pipes => BufferState::filled(name),
        _ => BufferState::Absent,
    }
}

impl ProtocolState for SmbState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Smb
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        self.feed_side(direction, input);
    }

    fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        let Some(exchange) = self.exchanges.get(index) else { return BufferState::Absent };
        let d = direction as usize;
        match (buffer, &exchange.kind) {
            (Buffer::SmbShare, _) if d == 0 => share(exchange, false),
            (Buffer::SmbNamedPipe, _) if d == 0 => share(exchange, true),
            (Buffer::SmbNtlmsspUser, Kind::SessionSetup(who)) if d == 0 => BufferState::filled(&who.user),
            (Buffer::SmbNtlmsspDomain, Kind::SessionSetup(who)) if d == 0 => BufferState::filled(&who.domain),
            (Buffer::DceStubData, Kind::Rpc(_, call)) => stub(call, d),
            (buffer, Kind::File(transfer, own)) if *own == d && file::is_file(buffer) => {
                file::buffer(std::slice::from_ref(&transfer.file), true, buffer, instance)
            }
            _ => BufferState::Absent,
        }
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        let exchange = self.exchanges.get(index)?;
        match (name, &exchange.kind) {
            ("smb.version", _) => (exchange.version > 0).then(|| exchange.version.into()),
            ("filesize", Kind::File(transfer, own)) if *own == direction as usize => transfer.file.size(),
            (_, Kind::Rpc(handle, call)) => number(self.association(handle)?, call, direction as usize, name),
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

    fn is_open(&self, direction: Direction) -> bool {
        self.side_open(direction as usize)
    }

    fn files(&self, index: usize, direction: Direction) -> Vec<FileView<'_>> {
        match self.exchanges.get(index).map(|exchange| &exchange.kind) {
            Some(Kind::File(transfer, own)) if *own == direction as usize => vec![transfer.file.view()],
            _ => Vec::new(),
        }
    }

    fn log_as(&self, index: usize, _part: usize, settings: &LogSettings, out: &mut Vec<u8>) -> bool {
        let wanted = settings.list("types");
        let kind = self.exchanges.get(index).map(|exchange| log::kind(exchange));
        if wanted.is_some_and(|types| !kind.is_some_and(|kind| types.contains(&kind))) {
            return false;
        }
        self.log(index, out);
        true
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        if let (Some(exchange), Some(t)) = (self.exchanges.get(index), self.transactions.get(index)) {
            let association = match &exchange.kind {
                Kind::Rpc(handle, _) => self.association(handle),
                _ => None,
            };
            log::smb(exchange, association, t.id, out);
        }
    }
}
