//! What detection and logs see of a transaction.

use super::events::NAMES;
use super::state::{Exchange, Kind, SmbState};
use crate::dcerpc::{number, stub};
use crate::{BufferState, Direction, FileView, Input, Limits, ProtocolState, Transaction, file};
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

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        let (Some(exchange), Some(t)) = (self.exchanges.get(index), self.transactions.get(index)) else { return };
        let mut object = crate::json::Object::begin("smb", out);
        object.number("id", t.id + 1);
        object.text("command", Some(command_name(exchange).as_bytes()));
        if let Some(status) = exchange.status {
            if let Some(name) = super::status::name(status) {
                object.text("status", Some(name.as_bytes()));
            }
            object.text("status_code", Some(format!("0x{status:x}").as_bytes()));
        }
        object.number("session_id", exchange.session());
        object.number("tree_id", exchange.tree.into());
        match &exchange.kind {
            Kind::Negotiate(dialects) => object.texts("client_dialects", dialects.iter().map(Vec::as_slice)),
            Kind::SessionSetup(who) if !who.user.is_empty() || !who.domain.is_empty() => object.object("ntlmssp", |o| {
                o.text("domain", Some(&who.domain));
                o.text("user", Some(&who.user));
                o.text("host", Some(&who.host));
            }),
            Kind::TreeConnect(name, Some(true)) => object.text("named_pipe", Some(name)),
            Kind::TreeConnect(name, _) => object.text("share", Some(name)),
            Kind::Create(name) => object.text("filename", Some(name)),
            Kind::File(transfer, _) => object.text("filename", Some(transfer.file.name())),
            Kind::Rpc(_, call) => object.object("dcerpc", |o| {
                if call.is_request() {
                    o.text("request", Some(b"REQUEST"));
                    o.number("opnum", call.operation.into());
                }
                o.number("call_id", call.id.into());
            }),
            _ => {}
        }
        object.end();
    }
}

fn command_name(exchange: &Exchange) -> String {
    let name = match (exchange.version, exchange.command) {
        (2, n) => [
            "NEGOTIATE_PROTOCOL",
            "SESSION_SETUP",
            "SESSION_LOGOFF",
            "TREE_CONNECT",
            "TREE_DISCONNECT",
            "CREATE",
            "CLOSE",
            "FLUSH",
            "READ",
            "WRITE",
            "LOCK",
            "IOCTL",
            "CANCEL",
            "KEEPALIVE",
            "FIND",
            "CHANGE_NOTIFY",
            "GET_INFO",
            "SET_INFO",
            "BREAK",
        ]
        .get(usize::from(n))
        .copied(),
        (_, n) => match n {
            0x04 => Some("CLOSE"),
            0x25 => Some("TRANS"),
            0x2b => Some("ECHO"),
            0x2e => Some("READ_ANDX"),
            0x2f => Some("WRITE_ANDX"),
            0x32 => Some("TRANS2"),
            0x33 => Some("TRANS2_SECONDARY"),
            0x71 => Some("TREE_DISCONNECT"),
            0x72 => Some("NEGOTIATE_PROTOCOL"),
            0x73 => Some("SESSION_SETUP_ANDX"),
            0x74 => Some("LOGOFF_ANDX"),
            0x75 => Some("TREE_CONNECT_ANDX"),
            0xa0 => Some("NT_TRANS"),
            0xa2 => Some("NT_CREATE_ANDX"),
            _ => None,
        },
    };
    match name {
        Some(name) => format!("SMB{}_COMMAND_{name}", exchange.version),
        None => format!("SMB{}_COMMAND_{}", exchange.version, exchange.command),
    }
}
