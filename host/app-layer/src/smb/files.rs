//! Open files and pipes: data that is read and written, the DCERPC of pipes.

use super::message::{Data, Handle, Message};
use super::state::{Kind, SmbState};
use crate::transfer::Transfer;
use crate::dcerpc::{Association, Call, Outcome};
use std::sync::Arc;

/// Most open files that are remembered.
const OPENS_MAX: usize = 512;
/// Most bytes of a PDU that several writes make up (C706 section 12.6.3.1: its length has 16 bits).
const PDU_MAX: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Open {
    pub name: Vec<u8>,
    pub pipe: bool,
    pub association: Association,
    /// Bytes of incomplete PDUs, by direction.
    pub held: [Vec<u8>; 2],
    /// Transactions of its transfers, by direction.
    pub transfers: [Option<u64>; 2],
    /// It is gone once what was begun is inspected.
    pub closed: bool,
}

impl SmbState {
    pub(super) fn open(&mut self, handle: Handle) -> &mut Open {
        let at = match self.opens.iter().rposition(|(h, open)| *h == handle && !open.closed) {
            Some(at) => at,
            None => {
                if self.opens.len() >= OPENS_MAX {
                    self.opens.remove(0);
                }
                self.opens.push((handle, Open::default()));
                self.opens.len() - 1
            }
        };
        &mut self.opens[at].1
    }

    /// The association of a pipe.
    pub(super) fn association(&self, handle: &Handle) -> Option<&Association> {
        self.opens.iter().rfind(|(h, _)| h == handle).map(|(_, open)| &open.association)
    }

    /// Data of a file or pipe, written (to the server) or read (to the client).
    pub(super) fn write(&mut self, d: usize, m: &Message, handle: Handle, data: &Data, record: &[u8]) {
        let bytes = bytes_of(record, data);
        let open = self.open(handle);
        let rpc = open.pipe || (bytes.get(..2) == Some(&[5, 0]) && !open.held[d].is_empty());
        if (rpc || looks_like_rpc(bytes, data.length)) && self.pdus(d, m, handle, bytes) || rpc {
            // Other data of a pipe is no file.
            return;
        }
        let known = self.open(handle).transfers[d].and_then(|id| self.position(id));
        let index = match known {
            Some(index) => index,
            None => {
                let transfer = Transfer::new(&self.open(handle).name.clone(), &Arc::clone(&self.config));
                let index = self.begin(d, m, Kind::File(transfer, d));
                let id = self.transactions[index].id;
                self.open(handle).transfers[d] = Some(id);
                self.exchanges[index].file = Some((handle, self.share(m.tree)));
                index
            }
        };
        if d == 1 {
            self.exchanges[index].status = Some(m.status);
        }
        let Kind::File(transfer, _) = &mut self.exchanges[index].kind else { return };
        let trouble = transfer.block(data.offset, bytes);
        self.transactions[index].changed[d] = true;
        self.through[d] = (bytes.len() < data.length).then(|| self.transactions[index].id);
        self.transfer_trouble(index, d, trouble);
    }

    /// PDUs in the bytes of a pipe; false if there are none.
    pub(super) fn pdus(&mut self, d: usize, m: &Message, handle: Handle, bytes: &[u8]) -> bool {
        let open = self.open(handle);
        let mut held = std::mem::take(&mut open.held[d]);
        let room = (2 * PDU_MAX).saturating_sub(held.len());
        held.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        let (mut at, mut any) = (0, false);
        while let Some((rest, length)) = held.get(at..).and_then(|rest| Some((rest, pdu_length(rest)?))) {
            any = true;
            let Some(pdu) = rest.get(..length) else { break };
            self.pdu(d, m, handle, pdu);
            at += length;
        }
        if any || (held.len() - at < 16 && at > 0) {
            held.drain(..at);
            self.open(handle).held[d] = held;
        }
        any
    }

    fn pdu(&mut self, d: usize, m: &Message, handle: Handle, pdu: &[u8]) {
        let calls = self.exchanges.iter().enumerate().filter_map(|(n, e)| match &e.kind {
            Kind::Rpc(of, call) if *of == handle && !e.done => Some((n, call)),
            _ => None,
        });
        let index = match Association::find(pdu, d, calls) {
            Outcome::Call(index) => index,
            Outcome::New(id) => self.begin(d, m, Kind::Rpc(handle, Call::new(id))),
            Outcome::Nothing | Outcome::Invalid => return,
        };
        let limit = self.config.body_limit;
        let mut association = std::mem::take(&mut self.open(handle).association);
        let mut done = false;
        if let Kind::Rpc(_, call) = &mut self.exchanges[index].kind {
            association.take(pdu, d, call, limit);
            done = call.done == [true; 2];
        }
        self.open(handle).association = association;
        self.transactions[index].changed[d] = true;
        if done {
            self.exchanges[index].status = Some(m.status);
            self.complete(index);
        }
    }

    pub(super) fn close(&mut self, handle: Handle) {
        let Some(at) = self.opens.iter().rposition(|(h, open)| *h == handle && !open.closed) else { return };
        self.opens[at].1.closed = true;
        let transfers = self.opens[at].1.transfers;
        for id in transfers.into_iter().flatten() {
            if let Some(index) = self.position(id) {
                self.complete(index);
            }
        }
        for index in 0..self.exchanges.len() {
            if matches!(&self.exchanges[index].kind, Kind::Rpc(of, _) if *of == handle) && !self.exchanges[index].done {
                self.complete(index);
            }
        }
    }
}

pub(super) fn bytes_of<'a>(record: &'a [u8], data: &Data) -> &'a [u8] {
    let rest = record.get(data.start..).unwrap_or(&[]);
    rest.get(..data.length).unwrap_or(rest)
}

/// Length of the PDU that begins here.
fn pdu_length(bytes: &[u8]) -> Option<usize> {
    crate::dcerpc::fragment_length(bytes)
}

/// Data of a handle whose tree is not known is taken for DCERPC if it is one whole PDU.
fn looks_like_rpc(bytes: &[u8], length: usize) -> bool {
    pdu_length(bytes) == Some(length) && bytes.get(2).is_some_and(|kind| *kind <= 19)
}
