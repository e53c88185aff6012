//! The one transaction of a data connection.

use crate::expectation::{Content, Expected, FileTransfer, Listing};
use crate::file::{self, File};
use crate::{AppLayerConfig, BufferState, COMPLETE, Direction, FileView, Input, ProtocolState, Rest, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

/// A data connection.
pub struct FtpDataState {
    transfer: FileTransfer,
    announced_by: u64,
    files: [File; 1],
    transactions: [Transaction; 1],
}

impl FtpDataState {
    /// State of the connection that was announced.
    pub fn new(config: &Arc<AppLayerConfig>, expected: &Expected) -> Self {
        FtpDataState {
            files: [File::new(&expected.file.name, config)],
            transfer: expected.file.clone(),
            announced_by: expected.announced_by,
            transactions: [Transaction { id: 0, progress: [0; 2], changed: [false; 2], events: Vec::new() }],
        }
    }

    fn direction(&self) -> Direction {
        if self.transfer.to_server { Direction::ToServer } else { Direction::ToClient }
    }

    fn is_file(&self) -> bool {
        matches!(self.transfer.content, Content::Retrieved | Content::Stored)
    }
}

impl ProtocolState for FtpDataState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::FtpData
    }

    fn announced_by(&self) -> Option<u64> {
        Some(self.announced_by).filter(|id| *id != 0)
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        // The other direction carries nothing (RFC 959 section 3.4.1); what stands there is inspected as a stream.
        if direction != self.direction() {
            return;
        }
        match input {
            Input::Data(bytes) => self.files[0].push(bytes),
            Input::Gap(length) => self.files[0].gap(length),
            Input::End => {
                self.files[0].finish();
                self.transactions[0].progress = [COMPLETE; 2];
                // Conditions on size hold now.
                self.transactions[0].changed = [true; 2];
            }
        }
        self.transactions[0].changed[direction as usize] = true;
    }

    fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    fn buffer(&self, _index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        if direction != self.direction() || !self.is_file() || !file::is_file(buffer) {
            return BufferState::Absent;
        }
        file::buffer(&self.files, true, buffer, instance)
    }

    fn number(&self, _index: usize, direction: Direction, name: &str) -> Option<u64> {
        match name {
            "ftpdata_command" => match self.transfer.content {
                Content::Retrieved => Some(1),
                Content::Stored => Some(0),
                Content::Listing(Listing::List) => Some(2),
                Content::Listing(Listing::Names) => Some(3),
                Content::Listing(Listing::Machine) => Some(4),
            },
            "filesize" if direction == self.direction() && self.is_file() => self.files[0].size(),
            _ => None,
        }
    }

    fn mark_inspected(&mut self) {
        self.transactions[0].changed = [false; 2];
    }

    fn is_open(&self, _direction: Direction) -> bool {
        self.transactions[0].progress != [COMPLETE; 2]
    }

    fn rest(&self) -> Rest<'_> {
        if self.transactions[0].progress == [COMPLETE; 2] {
            return Rest::Nothing;
        }
        // A listing is in no buffer.
        let body = if self.is_file() { self.files[0].data() } else { &[] };
        Rest::Body { transaction: 0, direction: self.direction(), head: &[], body }
    }

    fn files(&self, _index: usize, direction: Direction) -> Vec<FileView<'_>> {
        if direction == self.direction() && self.is_file() { vec![self.files[0].view()] } else { Vec::new() }
    }

    fn log(&self, _index: usize, out: &mut Vec<u8>) {
        let mut object = crate::json::Object::begin("ftp_data", out);
        if self.is_file() {
            object.text("filename", Some(self.files[0].name()));
        }
        let command: &[u8] = match self.transfer.content {
            Content::Retrieved => b"RETR",
            Content::Stored => b"STOR",
            Content::Listing(Listing::List) => b"LIST",
            Content::Listing(Listing::Names) => b"NLST",
            Content::Listing(Listing::Machine) => b"MLSD",
        };
        object.text("command", Some(command));
        object.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_the_agreed_direction_carries() {
        let transfer = FileTransfer { name: b"a".to_vec(), content: Content::Retrieved, to_server: false };
        let mut state = FtpDataState::new(
            &Default::default(),
            &Expected { protocol: AppProtocol::FtpData, port: 20, file: transfer, announced_by: 0 },
        );
        state.feed(Direction::ToServer, Input::Data(b"no"), 1);
        assert!(!state.transactions()[0].changed[0]);
        state.feed(Direction::ToClient, Input::Data(b"yes"), 2);
        assert_eq!(state.number(0, Direction::ToClient, "filesize"), None);
        state.feed(Direction::ToClient, Input::End, 3);
        match state.buffer(0, Direction::ToClient, Buffer::FileData, 0) {
            BufferState::Present(view) => assert_eq!((view.bytes, view.complete), (&b"yes"[..], true)),
            other => panic!("{other:?}"),
        }
        assert_eq!(state.number(0, Direction::ToClient, "filesize"), Some(3));
        assert_eq!(state.number(0, Direction::ToClient, "ftpdata_command"), Some(1));
        assert!(!state.is_open(Direction::ToClient));
    }
}
