//! Sessions, trees, and the transactions of one flow; what is open is in `files`.

use super::events::Event;
use super::framing::{Framing, Record};
use super::message::{Data, Details, Handle, Key, Meaning, Message};
use super::ntlmssp::{Identity, identity};
use super::files::{Open, bytes_of};
use crate::transfer::{Transfer, Trouble};
use super::{smb1, smb2};
use crate::dcerpc::Call;
use crate::messages::make_room;
use crate::{AppLayerConfig, COMPLETE, Direction, Input, Limits, Transaction};
use std::sync::Arc;

/// Most trees that are remembered.
const TREES_MAX: usize = 256;
/// Most reads without answer.
const READS_MAX: usize = 256;
/// Most dialects kept.
const DIALECTS_MAX: usize = 64;
/// Longest name kept.
const NAME_MAX: usize = 1024;
/// The handle of related requests: that of the message before (MS-SMB2 section 3.2.4.1.4).
const RELATED: Handle = [0xff; 16];

/// What a transaction is about.
#[derive(Debug)]
pub(super) enum Kind {
    Other,
    /// Dialects that the client offers.
    Negotiate(Vec<Vec<u8>>),
    SessionSetup(Identity),
    /// The share, and whether it is one of pipes, once the answer tells.
    TreeConnect(Vec<u8>, Option<bool>),
    Create(Vec<u8>),
    /// A file in a direction.
    File(Transfer, usize),
    /// A call over the pipe of this handle.
    Rpc(Handle, Call),
}

#[derive(Debug)]
pub(super) struct Exchange {
    pub version: u8,
    pub command: u16,
    key: Key,
    pub tree: u32,
    pub status: Option<u32>,
    pub kind: Kind,
    pub done: bool,
    pub session: u64,
    pub details: Details,
    /// The dialect of the connection when it began, and when it was done.
    pub dialect: Vec<u8>,
    /// Handle of the file, and its share.
    pub file: Option<(Handle, Vec<u8>)>,
    /// Name of the file that is changed.
    pub subject: Vec<u8>,
}

/// SMB of one flow.
pub struct SmbState {
    pub(super) config: Arc<AppLayerConfig>,
    framing: [Framing; 2],
    pub(super) transactions: Vec<Transaction>,
    pub(super) limits: Limits,
    pub(super) exchanges: Vec<Exchange>,
    next: u64,
    /// Trees that are shares of pipes, and others.
    trees: Vec<(u32, bool, Vec<u8>)>,
    /// Name of the dialect that the server chose.
    dialect: Vec<u8>,
    pub(super) opens: Vec<(Handle, Open)>,
    reads: Vec<(Key, Handle, u64)>,
    /// Transaction whose data goes on in the record that is being received, by direction.
    pub(super) through: [Option<u64>; 2],
}

impl SmbState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        SmbState {
            config: Arc::clone(config),
            framing: Default::default(),
            transactions: Vec::new(),
            limits: Limits::default(),
            exchanges: Vec::new(),
            next: 0,
            trees: Vec::new(),
            dialect: Vec::new(),
            opens: Vec::new(),
            reads: Vec::new(),
            through: [None; 2],
        }
    }

    pub(super) fn feed_side(&mut self, direction: Direction, input: Input<'_>) {
        let d = direction as usize;
        let mut framing = std::mem::take(&mut self.framing[d]);
        match input {
            Input::Data(bytes) => framing.push(bytes, &mut |record| self.record(d, record)),
            Input::Gap(length) => framing.gap(length, &mut |record| self.record(d, record)),
            Input::End => {
                for index in 0..self.exchanges.len() {
                    // A file ends with its direction, an exchange with its answers.
                    let over = match self.exchanges[index].kind {
                        Kind::File(_, own) => own == d,
                        _ => d == 1,
                    };
                    if over {
                        self.complete(index);
                    }
                }
            }
        }
        self.framing[d] = framing;
    }

    fn record(&mut self, d: usize, record: Record<'_>) {
        match record {
            Record::Message(bytes, total) => {
                self.through[d] = None;
                let (messages, whole) = match bytes.first() {
                    Some(0xff) => smb1::messages(bytes, total),
                    Some(0xfe) => smb2::messages(bytes, total),
                    // Encrypted or compressed (MS-SMB2 sections 2.2.41 and 2.2.42).
                    Some(0xfd | 0xfc) if bytes.get(1..4) == Some(b"SMB") => return,
                    _ => (Vec::new(), false),
                };
                for message in &messages {
                    self.message(d, message, bytes);
                }
                let told = messages.iter().any(|m| m.meaning == Meaning::Malformed);
                if !whole && !told {
                    self.odd(d, Event::MalformedData);
                }
            }
            Record::More(bytes) => {
                let trouble = self.flowing(d).and_then(|transfer| transfer.more(bytes));
                if let Some(index) = self.through[d].and_then(|id| self.position(id)) {
                    self.transfer_trouble(index, d, trouble);
                }
                self.touch_flowing(d);
            }
            Record::MoreLost(length) => {
                if let Some(transfer) = self.flowing(d) {
                    transfer.lost(length);
                }
                self.touch_flowing(d);
            }
            Record::Odd => self.odd(d, Event::MalformedData),
        }
    }

    pub(super) fn position(&self, id: u64) -> Option<usize> {
        self.transactions.binary_search_by_key(&id, |t| t.id).ok()
    }

    fn flowing(&mut self, d: usize) -> Option<&mut Transfer> {
        let index = self.position(self.through[d]?)?;
        match &mut self.exchanges.get_mut(index)?.kind {
            Kind::File(transfer, _) => Some(transfer),
            _ => None,
        }
    }

    fn touch_flowing(&mut self, d: usize) {
        if let Some(index) = self.through[d].and_then(|id| self.position(id)) {
            self.transactions[index].changed[d] = true;
        }
    }

    fn event(&mut self, index: usize, d: usize, event: Event) {
        let Some(t) = self.transactions.get_mut(index) else { return };
        if !t.events.contains(&(event as u16)) {
            t.events.push(event as u16);
        }
        t.changed[d] = true;
    }

    /// What belongs to no exchange is a transaction of its own.
    fn odd(&mut self, d: usize, event: Event) {
        let message = Message {
            details: Details::default(),
            session: u64::MAX,
            version: 0,
            command: 0,
            response: d == 1,
            status: 0,
            interim: false,
            key: Key { session: u64::MAX, message: u64::MAX },
            tree: 0,
            meaning: Meaning::Other,
        };
        let index = self.begin(d, &message, Kind::Other);
        self.event(index, d, event);
        self.complete(index);
    }

    pub(super) fn transfer_trouble(&mut self, index: usize, d: usize, trouble: Option<Trouble>) {
        let Some(trouble) = trouble else { return };
        self.event(index, d, match (trouble, d) {
            (Trouble::Overlap, _) => Event::FileOverlap,
            (Trouble::QueueSize, 0) => Event::WriteQueueSize,
            (Trouble::QueueSize, _) => Event::ReadQueueSize,
            (Trouble::QueueCount, 0) => Event::WriteQueueCount,
            (Trouble::QueueCount, _) => Event::ReadQueueCount,
        });
    }

    pub(super) fn begin(&mut self, d: usize, message: &Message, kind: Kind) -> usize {
        let gone = make_room(&mut self.transactions, &mut self.exchanges, self.config.transactions);
        self.limits.transactions += gone;
        let mut changed = [false; 2];
        changed[d] = true;
        self.transactions.push(Transaction { id: self.next, progress: [0; 2], changed, events: Vec::new() });
        self.exchanges.push(Exchange {
            version: message.version,
            command: message.command,
            key: message.key,
            tree: message.tree,
            status: None,
            kind,
            done: false,
            session: message.session,
            details: message.details.clone(),
            dialect: self.dialect.clone(),
            file: None,
            subject: Vec::new(),
        });
        self.next += 1;
        let index = self.exchanges.len() - 1;
        if gone > 0 {
            self.event(index, d, Event::TooManyTransactions);
        }
        index
    }

    pub(super) fn complete(&mut self, index: usize) {
        let (Some(t), Some(e)) = (self.transactions.get_mut(index), self.exchanges.get_mut(index)) else { return };
        match &mut e.kind {
            Kind::File(transfer, _) => transfer.finish(),
            Kind::Rpc(_, call) => call.done = [true; 2],
            _ => {}
        }
        e.done = true;
        e.dialect.clone_from(&self.dialect);
        t.progress = [COMPLETE; 2];
        t.changed = [true; 2];
    }

    fn is_pipe(&self, tree: u32) -> bool {
        self.trees.iter().any(|(id, pipe, _)| *id == tree && *pipe)
    }

    /// Name of the share of a tree.
    pub(super) fn share(&self, tree: u32) -> Vec<u8> {
        self.trees.iter().find(|(id, ..)| *id == tree).map_or(Vec::new(), |(.., name)| name.clone())
    }

    /// What the server chose of the dialects offered.
    fn choose(&mut self, index: usize, m: &Message) {
        let Some(number) = m.details.dialect else { return };
        self.dialect = match (&self.exchanges[index].kind, m.version) {
            (Kind::Negotiate(dialects), 1) => dialects.get(usize::from(number)).cloned().unwrap_or_else(|| b"unknown".to_vec()),
            _ => smb2::dialect(number),
        };
    }

    fn message(&mut self, d: usize, m: &Message, record: &[u8]) {
        if m.response != (d == 1) {
            self.odd(d, if m.response { Event::ResponseToServer } else { Event::RequestToClient });
            return;
        }
        match &m.meaning {
            Meaning::Quiet => {}
            Meaning::Malformed => self.odd(d, Event::MalformedData),
            Meaning::Negotiate(dialects, whole) => {
                let index = self.begin(d, m, Kind::Negotiate(dialects.iter().take(DIALECTS_MAX).cloned().collect()));
                if !whole {
                    self.event(index, d, Event::MalformedDialects);
                }
            }
            Meaning::SessionSetup(token) => {
                let found = identity(token);
                let index = self.begin(d, m, Kind::SessionSetup(found.clone().and_then(Result::ok).unwrap_or_default()));
                if found == Some(Err(())) {
                    self.event(index, d, Event::MalformedNtlmssp);
                }
            }
            Meaning::TreeConnect(name) => {
                self.begin(d, m, Kind::TreeConnect(short(name), None));
            }
            Meaning::Create(name) => {
                self.begin(d, m, Kind::Create(short(name)));
                let pipe = self.is_pipe(m.tree);
                // Requests of the same compound may use the file before the answer names it.
                self.close(RELATED);
                *self.open(RELATED) = Open { name: short(name), pipe, ..Open::default() };
            }
            Meaning::Close(handle) => {
                self.close(*handle);
                self.begin(d, m, Kind::Other);
            }
            Meaning::Write(handle, data) => self.write(d, m, *handle, data, record),
            Meaning::Read(handle, offset) => {
                if self.reads.len() >= READS_MAX {
                    self.reads.remove(0);
                }
                self.reads.push((m.key, *handle, *offset));
            }
            Meaning::PipeRequest(handle, data) => {
                let handle = handle.unwrap_or(RELATED);
                self.open(handle).pipe = true;
                if self.reads.len() >= READS_MAX {
                    self.reads.remove(0);
                }
                // Its answer comes like that of a read.
                self.reads.push((m.key, handle, 0));
                if !self.pdus(d, m, handle, bytes_of(record, data)) {
                    self.begin(d, m, Kind::Other);
                }
            }
            _ if !m.response => {
                let index = self.begin(d, m, Kind::Other);
                if let Some((handle, _)) = &m.details.change {
                    let open = self.opens.iter().rev().find(|(of, open)| of == handle && !open.closed);
                    self.exchanges[index].subject = open.map(|(_, open)| open.name.clone()).unwrap_or_default();
                }
            }
            _ => self.response(m, record),
        }
    }

    fn response(&mut self, m: &Message, record: &[u8]) {
        if m.interim {
            return;
        }
        if let Some(at) = self.reads.iter().position(|(key, ..)| *key == m.key) {
            let (_, handle, offset) = self.reads.remove(at);
            match &m.meaning {
                Meaning::ReadData(data) => self.write(1, m, handle, &Data { offset, ..*data }, record),
                Meaning::PipeResponse(data) => {
                    self.pdus(1, m, handle, bytes_of(record, data));
                }
                _ => {}
            }
        }
        if (m.version, m.command) == (2, smb2::commands::WRITE) {
            let written = |e: &&mut Exchange| e.tree == m.tree && e.session == m.session && matches!(e.kind, Kind::File(_, 0));
            self.exchanges.iter_mut().filter(written).for_each(|e| e.status = e.status.or(Some(m.status)));
        }
        let waiting = |e: &Exchange| {
            // A session gets its number by the answer; a client that offers SMB 1 may be answered in SMB 2
            // (MS-SMB2 section 3.3.5.3).
            let same = e.key == m.key
                || e.key.message == m.key.message && matches!(e.kind, Kind::SessionSetup(_)) && m.command == smb2::commands::SESSION_SETUP
                || e.version == 1 && matches!(e.kind, Kind::Negotiate(_)) && (m.version, m.command) == (2, smb2::commands::NEGOTIATE);
            !e.done && same && !matches!(e.kind, Kind::File(..) | Kind::Rpc(..))
        };
        let Some(index) = self.exchanges.iter().position(waiting) else { return };
        self.exchanges[index].status = Some(m.status);
        self.exchanges[index].details.add(&m.details);
        if m.session != 0 {
            self.exchanges[index].session = m.session;
        }
        self.choose(index, m);
        match (&mut self.exchanges[index].kind, &m.meaning) {
            (Kind::TreeConnect(name, is_pipe), Meaning::TreeConnected(pipe)) => {
                *is_pipe = Some(*pipe);
                let name = name.clone();
                if self.trees.len() >= TREES_MAX {
                    self.trees.remove(0);
                }
                self.trees.retain(|(id, ..)| *id != m.tree);
                self.trees.push((m.tree, *pipe, name));
                self.exchanges[index].tree = m.tree;
            }
            (Kind::Create(name), Meaning::Created(handle)) => {
                let name = std::mem::take(name);
                let pipe = self.is_pipe(m.tree);
                self.close(*handle);
                // What its compound did with it goes on under its handle.
                let related = self.opens.iter().rposition(|(h, open)| *h == RELATED && !open.closed && open.name == name);
                let open = match related {
                    Some(at) => self.opens.remove(at).1,
                    None => Open { name: name.clone(), pipe, ..Open::default() },
                };
                *self.open(*handle) = open;
                self.exchanges[index].kind = Kind::Create(name);
                self.exchanges[index].file = Some((*handle, Vec::new()));
            }
            _ => {}
        }
        self.complete(index);
    }

    pub(super) fn release_inspected(&mut self) {
        self.opens.retain(|(_, open)| !open.closed);
        let mut done = self.exchanges.iter().map(|e| e.done);
        self.transactions.retain_mut(|t| {
            t.changed = [false; 2];
            !done.next().unwrap_or(false)
        });
        self.exchanges.retain(|e| !e.done);
    }

    pub(super) fn side_open(&self, d: usize) -> bool {
        !self.transactions.is_empty()
            || !self.reads.is_empty()
            || self.framing[d].is_open()
            || self.opens.iter().any(|(_, open)| !open.held[d].is_empty())
    }
}

fn short(text: &[u8]) -> Vec<u8> {
    text.get(..NAME_MAX).unwrap_or(text).to_vec()
}
