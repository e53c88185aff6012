//! Transactions, files and events of NFS.
//!
//! A call with its reply is a transaction. Data that is read or written of one file makes up a transaction of its own,
//! until its last block, a commit or a close; of NFS 4 only these are transactions.

use super::call::{self, Arguments};
use super::compound::{self, Operation};
use super::log;
use super::rpc::{self, Credentials, Header};
use super::xdr::Xdr;
use crate::framed::{Cut, Framed, Piece};
use crate::pairs::Pairs;
use crate::transfer::Transfer;
use crate::wire::be32;
use crate::{AppLayerConfig, BufferState, COMPLETE, Direction, FileView, Input, ProtocolState, Transaction};
use std::collections::VecDeque;
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 2] = ["malformed_data", "too_many_transactions"];
const MALFORMED: u16 = 0;
/// Longest record: a megabyte of data, and what stands around it.
pub(super) const RECORD_MAX: usize = (1 << 20) + 4096;
/// Most handles whose names are remembered, and calls of NFS 4 that wait for their reply.
pub(super) const NAMES_MAX: usize = 256;
pub(super) const CALLS_MAX: usize = 64;
/// Most files that are open at a time.
pub(super) const FILES_MAX: usize = 16;

/// A file that is read or written.
#[derive(Debug)]
pub struct Content {
    pub transfer: Transfer,
    pub direction: Direction,
    pub chunks: u64,
    pub last: bool,
}

/// A call, or a file.
#[derive(Debug, Default)]
pub struct Call {
    pub xid: u32,
    pub version: u32,
    pub procedure: u32,
    pub credentials: Credentials,
    pub name: Vec<u8>,
    pub rename_to: Option<Vec<u8>>,
    /// The handle that the log shows.
    pub handle: Vec<u8>,
    pub file: Option<Box<Content>>,
}

/// What a call was answered.
#[derive(Debug)]
pub struct Reply {
    pub accepted: bool,
    pub status: u32,
}

/// A call without a transaction of its own, until its reply.
#[derive(Debug)]
pub(super) struct Asked {
    xid: u32,
    version: u32,
    procedure: u32,
    credentials: Credentials,
    /// Of reads: handles and offsets.
    reads: Vec<(Vec<u8>, u64)>,
    /// Of names that are looked up or opened, in order.
    names: Vec<Vec<u8>>,
}

/// NFS of one flow.
pub struct NfsState {
    config: Arc<AppLayerConfig>,
    pub(super) framed: Framed,
    /// Fragments of records that go on (RFC 5531 section 11).
    pub(super) fragments: [Vec<u8>; 2],
    datagrams: bool,
    pairs: Pairs<Call, Reply>,
    pub(super) names: VecDeque<(Vec<u8>, Vec<u8>)>,
    pub(super) asked: VecDeque<Asked>,
}

/// Procedure or operation that reads.
pub fn is_read(version: u32, procedure: u32) -> bool {
    matches!((version, procedure), (2 | 3, 6) | (4, 25))
}

/// Procedure or operation that writes.
pub fn is_write(version: u32, procedure: u32) -> bool {
    matches!((version, procedure), (2, 8) | (3, 7) | (4, 38))
}

/// Procedures whose log shows the handle.
fn shows_handle(version: u32, procedure: u32) -> bool {
    version == 3 && matches!(procedure, 4 | 8 | 9 | 12..=14 | 17)
}

fn cut(bytes: &[u8]) -> Cut {
    match be32(bytes, 0).map(|mark| mark & 0x7fff_ffff) {
        Some(length @ 1..) => Cut::Length(4 + length as usize),
        Some(_) => Cut::Lost,
        None => Cut::More,
    }
}

impl NfsState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>, tcp: bool) -> Self {
        NfsState {
            config: Arc::clone(config),
            framed: Framed::new(RECORD_MAX),
            fragments: Default::default(),
            datagrams: !tcp,
            pairs: Pairs::new(config.transactions),
            names: VecDeque::new(),
            asked: VecDeque::new(),
        }
    }

    fn name_of(&self, handle: &[u8]) -> Vec<u8> {
        self.names.iter().rev().find(|(h, _)| h == handle).map_or(Vec::new(), |(_, name)| name.clone())
    }

    fn learn(&mut self, handle: &[u8], name: &[u8]) {
        self.names.retain(|(h, _)| h != handle);
        if self.names.len() >= NAMES_MAX {
            self.names.pop_front();
        }
        self.names.push_back((handle.to_vec(), name.to_vec()));
    }

    fn record(&mut self, direction: Direction, record: &[u8]) {
        let mut x = Xdr(record);
        let sound = match rpc::header(&mut x) {
            Some(Header::Call { xid, version: version @ 2..=4, procedure, credentials }) if direction == Direction::ToServer => {
                self.call(xid, version, procedure, credentials, x)
            }
            Some(Header::Reply { xid, accepted, executed }) if direction == Direction::ToClient => {
                self.reply(xid, accepted, executed, x)
            }
            // Other programs, and calls of the server on the same connection (RFC 8881 section 2.10.3.1).
            Some(_) => Some(()),
            None => None,
        };
        if sound.is_none() {
            self.pairs.event_alone(direction, MALFORMED);
        }
    }

    fn call(&mut self, xid: u32, version: u32, procedure: u32, credentials: Credentials, mut x: Xdr<'_>) -> Option<()> {
        if version == 4 {
            // NULL is no compound.
            return if procedure == 1 { self.compound(xid, credentials, x) } else { Some(()) };
        }
        let a: Arguments<'_> = call::arguments(version, procedure, &mut x)?;
        let handle = a.handle.unwrap_or(&[]);
        if is_read(version, procedure) {
            let credentials = if version == 3 { credentials } else { Credentials::default() };
            self.ask(Asked { xid, version, procedure, credentials, reads: vec![(handle.to_vec(), a.offset)], names: Vec::new() });
            return Some(());
        }
        if let Some(data) = a.data {
            self.block(Direction::ToServer, (xid, version, procedure), Credentials::default(), handle, a.offset, data, a.last);
            return Some(());
        }
        if version == 3 && procedure == 21 {
            self.close(handle);
            return Some(());
        }
        let name = a.name.map_or_else(|| if shows_handle(version, procedure) { self.name_of(handle) } else { Vec::new() }, <[u8]>::to_vec);
        let size = 256 + name.len() + handle.len() + a.rename_to.map_or(0, <[u8]>::len);
        let call = Call {
            xid,
            version,
            procedure,
            credentials,
            name,
            rename_to: a.rename_to.map(<[u8]>::to_vec),
            handle: if shows_handle(version, procedure) { handle.to_vec() } else { Vec::new() },
            file: None,
        };
        self.pairs.request(call, size);
        Some(())
    }

    fn compound(&mut self, xid: u32, credentials: Credentials, mut x: Xdr<'_>) -> Option<()> {
        let mut asked = Asked { xid, version: 4, procedure: 25, credentials, reads: Vec::new(), names: Vec::new() };
        for operation in compound::call(&mut x)? {
            match operation {
                Operation::Name(name) => asked.names.push(name.to_vec()),
                Operation::Read { handle, offset } => asked.reads.push((handle.unwrap_or(&[]).to_vec(), offset)),
                Operation::Write { handle, offset, data, last } => {
                    let handle = handle.unwrap_or(&[]);
                    self.block(Direction::ToServer, (xid, 4, 38), Credentials::default(), handle, offset, data, last);
                }
                Operation::Close(handle) => self.close(handle.unwrap_or(&[])),
            }
        }
        if !asked.names.is_empty() || !asked.reads.is_empty() {
            self.ask(asked);
        }
        Some(())
    }

    fn ask(&mut self, asked: Asked) {
        if self.asked.len() >= CALLS_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back(asked);
    }

    fn reply(&mut self, xid: u32, accepted: bool, executed: bool, mut x: Xdr<'_>) -> Option<()> {
        if let Some(at) = self.asked.iter().position(|a| a.xid == xid) {
            let asked = self.asked.remove(at)?;
            return if executed { self.answer(asked, x) } else { Some(()) };
        }
        let Some(index) = self.pairs.waiting(|q| q.xid == xid && q.file.is_none()) else { return Some(()) };
        let call = self.pairs.get(index)?.request.as_ref()?;
        let (version, procedure, name) = (call.version, call.procedure, call.name.clone());
        let results = if executed { call::results(version, procedure, 0, &mut x) } else { Some(call::Results::default()) };
        let status = results.as_ref().map_or(0, |r| r.status);
        if let Some(results) = &results {
            results.entries.iter().for_each(|(name, handle)| self.learn(handle, name));
            if let Some(handle) = results.handle.filter(|_| !name.is_empty()) {
                self.learn(handle, &name);
                if let Some(call) = self.pairs.get_mut(index).and_then(|p| p.request.as_mut()).filter(|_| (version, procedure) == (3, 3)) {
                    call.handle = handle.to_vec();
                }
            }
        }
        self.pairs.response(Some(index), Reply { accepted, status }, 64);
        self.pairs.close(index);
        results.map(|_| ())
    }

    /// The reply to a call without transaction: data that was read, and names.
    fn answer(&mut self, asked: Asked, mut x: Xdr<'_>) -> Option<()> {
        let id = (asked.xid, asked.version, asked.procedure);
        if asked.version < 4 {
            let (handle, offset) = asked.reads.into_iter().next()?;
            if let Some(read) = call::results(asked.version, asked.procedure, offset, &mut x)?.read {
                self.block(Direction::ToClient, id, asked.credentials, &handle, offset, read.data, read.last);
            }
            return Some(());
        }
        let reply = compound::reply(&mut x)?;
        // What was named last has the handle that is given next.
        if let (Some(name), Some(handle)) = (asked.names.last(), reply.handles.last()) {
            self.learn(handle, name);
        }
        for ((handle, offset), (data, last)) in asked.reads.into_iter().zip(reply.reads) {
            self.block(Direction::ToClient, id, Credentials::default(), &handle, offset, data, last);
        }
        Some(())
    }

    pub(super) fn open_files(&self) -> impl Iterator<Item = (usize, &Call, &Content)> {
        (0..self.pairs.transactions.len()).filter_map(|index| {
            let call = self.pairs.get(index)?.request.as_ref()?;
            let file = call.file.as_ref().filter(|_| !self.pairs.is_answered(index))?;
            Some((index, call, &**file))
        })
    }

    /// Data of a file, at an offset: what is there, and how long it is.
    #[expect(clippy::too_many_arguments, reason = "what a block is")]
    fn block(
        &mut self,
        direction: Direction,
        (xid, version, procedure): (u32, u32, u32),
        credentials: Credentials,
        handle: &[u8],
        offset: u64,
        (bytes, length): (&[u8], u32),
        last: bool,
    ) {
        let known = self.open_files().find(|(_, call, file)| call.handle == handle && file.direction == direction).map(|f| f.0);
        let index = match known {
            Some(index) => {
                if let Some(file) = self.pairs.get_mut(index).and_then(|p| p.request.as_mut()?.file.as_mut()) {
                    file.chunks += 1;
                }
                index
            }
            None => {
                let open: Vec<usize> = self.open_files().map(|f| f.0).collect();
                if let Some(oldest) = open.first().filter(|_| open.len() >= FILES_MAX) {
                    self.finish(*oldest, false);
                }
                let name = self.name_of(handle);
                let transfer = Transfer::new(&name, &self.config);
                let chunks = u64::from(version == 3 && direction == Direction::ToClient);
                let file = Some(Box::new(Content { transfer, direction, chunks, last: false }));
                let size = 512 + name.len() + handle.len();
                let call = Call { xid, version, procedure, credentials, name, rename_to: None, handle: handle.to_vec(), file };
                let index = self.pairs.request(call, size);
                if direction == Direction::ToServer {
                    self.pairs.transactions[index].progress[0] = 0;
                }
                index
            }
        };
        if let Some(call) = self.pairs.get_mut(index).and_then(|p| p.request.as_mut()) {
            call.xid = xid;
            if let Some(file) = &mut call.file {
                file.transfer.block(offset, bytes);
                file.transfer.lost((length as usize).saturating_sub(bytes.len()) as u64);
            }
        }
        self.pairs.transactions[index].changed[direction as usize] = true;
        if last {
            self.finish(index, true);
        }
    }

    fn finish(&mut self, index: usize, last: bool) {
        if let Some(file) = self.pairs.get_mut(index).and_then(|p| p.request.as_mut()?.file.as_mut()) {
            file.last = last;
            file.transfer.finish();
        }
        if let Some(t) = self.pairs.transactions.get_mut(index) {
            t.changed = [true; 2];
        }
        self.pairs.close(index);
    }

    fn close(&mut self, handle: &[u8]) {
        let open: Vec<usize> = self.open_files().filter(|(_, call, _)| call.handle == handle).map(|f| f.0).collect();
        open.into_iter().for_each(|index| self.finish(index, true));
    }

    fn file(&self, index: usize, direction: Direction) -> Option<&Content> {
        self.pairs.get(index)?.request.as_ref()?.file.as_deref().filter(|f| f.direction == direction)
    }
}

impl ProtocolState for NfsState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Nfs
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        let d = direction as usize;
        match input {
            Input::Data(bytes) if self.datagrams => self.record(direction, bytes),
            Input::Data(bytes) => {
                let mut framed = std::mem::replace(&mut self.framed, Framed::new(RECORD_MAX));
                framed.push(d, bytes, cut, |piece| {
                    match piece {
                        Piece::Whole(record) | Piece::Beginning(record) => {
                            let (last, record) = (record[0] & 0x80 != 0, &record[4..]);
                            let mut before = std::mem::take(&mut self.fragments[d]);
                            if last && before.is_empty() {
                                self.record(direction, record);
                            } else {
                                let room = RECORD_MAX.saturating_sub(before.len());
                                before.extend_from_slice(record.get(..room).unwrap_or(record));
                                if last {
                                    self.record(direction, &before);
                                } else {
                                    self.fragments[d] = before;
                                }
                            }
                        }
                        Piece::Lost => self.pairs.event_alone(direction, MALFORMED),
                    }
                    true
                });
                self.framed = framed;
            }
            Input::Gap(length) => {
                self.framed.gap(d, length);
            }
            Input::End => {
                let open: Vec<usize> = self.open_files().map(|f| f.0).collect();
                open.into_iter().for_each(|index| self.finish(index, false));
                self.pairs.close_all();
            }
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.pairs.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        match self.file(index, direction) {
            Some(file) if crate::file::is_file(buffer) => {
                let closed = self.pairs.transactions.get(index).is_none_or(|t| t.progress[direction as usize] == COMPLETE);
                crate::file::buffer(std::slice::from_ref(&file.transfer.file), closed, buffer, instance)
            }
            _ => BufferState::Absent,
        }
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        if name == "filesize" {
            return self.file(index, direction)?.transfer.file.size();
        }
        let call = self.pairs.get(index)?.request.as_ref().filter(|_| direction == Direction::ToServer)?;
        match name {
            "nfs_procedure" => Some(call.procedure.into()),
            "nfs_version" => Some(call.version.into()),
            _ => None,
        }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn mark_inspected(&mut self) {
        self.pairs.release();
    }

    fn is_open(&self, _direction: Direction) -> bool {
        // Rules are for every frame of NFS.
        false
    }

    fn files(&self, index: usize, direction: Direction) -> Vec<FileView<'_>> {
        self.file(index, direction).map(|file| file.transfer.file.view()).into_iter().collect()
    }

    fn log_kind(&self, index: usize) -> Option<&'static str> {
        // Attributes are asked for all the time.
        let call = self.pairs.get(index)?.request.as_ref()?;
        (call.procedure != 1).then_some("nfs")
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        if let (Some(pair), Some(t)) = (self.pairs.get(index), self.pairs.transactions.get(index))
            && let Some(call) = &pair.request
        {
            log::nfs(call, pair, t.id, out);
        }
    }
}
