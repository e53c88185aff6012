//! Messages and file descriptors over a Unix stream socket.
//!
//! Invariants: a body grows as its bytes come, never by what its header says; descriptors belong to the message with whose
//! header they came, and more than [`FDS_MAX`], or some with a body, end the connection; nothing waits longer than it is told to.

use crate::message::{Bad, FDS_MAX, HEADER, Header};
use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Bytes of a body that are read at a time.
const CHUNK: usize = 4096;

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The other side has closed it.
    #[error("the other side has closed the connection")]
    Closed,
    /// Nothing came, or went, in time.
    #[error("no answer within {0} s")]
    Late(u64),
    /// What came is no message.
    #[error("what came is no message: {0}")]
    Bad(#[from] Bad),
    /// Descriptors where none belong, or too many.
    #[error("more file descriptors than a message may bring")]
    Descriptors,
    /// The system's answer.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A message that came.
#[derive(Debug)]
pub struct Message {
    /// Header.
    pub header: Header,
    /// What is behind it.
    pub body: Vec<u8>,
    /// Descriptors.
    pub fds: Vec<OwnedFd>,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Wire {
    stream: UnixStream,
    head: [u8; HEADER],
    have: usize,
    header: Option<Header>,
    body: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Wire {
    /// Over a connected stream.
    pub fn new(stream: UnixStream) -> io::Result<Wire> {
        stream.set_nonblocking(true)?;
        Ok(Wire { stream, head: [0; HEADER], have: 0, header: None, body: Vec::new(), fds: Vec::new() })
    }

    /// The next message, if all of it is there.
    pub fn try_receive(&mut self) -> Result<Option<Message>, WireError> {
        loop {
            let Some(header) = self.header else {
                let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(FDS_MAX + 1))];
                let mut control = RecvAncillaryBuffer::new(&mut space);
                let rest = self.head.get_mut(self.have..).unwrap_or_default();
                let got = receive(&self.stream, rest, &mut control)?;
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(fds) = message {
                        self.fds.extend(fds);
                    }
                }
                let Some((got, whole)) = got else { return Ok(None) };
                if !whole || self.fds.len() > FDS_MAX {
                    return Err(WireError::Descriptors);
                }
                self.have += got;
                if self.have == HEADER {
                    self.header = Some(Header::decode(&self.head)?);
                }
                continue;
            };
            let Some(left) = header.body.checked_sub(self.body.len()).filter(|left| *left > 0) else {
                self.have = 0;
                self.header = None;
                return Ok(Some(Message { header, body: std::mem::take(&mut self.body), fds: std::mem::take(&mut self.fds) }));
            };
            let mut chunk = [0; CHUNK];
            let mut control = RecvAncillaryBuffer::default();
            let into = chunk.get_mut(..left.min(CHUNK)).unwrap_or_default();
            let Some((got, whole)) = receive(&self.stream, into, &mut control)? else { return Ok(None) };
            if !whole {
                return Err(WireError::Descriptors);
            }
            self.body.extend_from_slice(chunk.get(..got).unwrap_or_default());
        }
    }

    /// The next message, within `patience`.
    pub fn receive(&mut self, patience: Duration) -> Result<Message, WireError> {
        let end = Instant::now() + patience;
        loop {
            if let Some(message) = self.try_receive()? {
                return Ok(message);
            }
            self.ready(PollFlags::IN, end, patience)?;
        }
    }

    /// Sends a message with its descriptors, within `patience`.
    pub fn send(&mut self, message: &[u8], fds: &[BorrowedFd<'_>], patience: Duration) -> Result<(), WireError> {
        let end = Instant::now() + patience;
        let mut sent = 0;
        while let Some(rest) = message.get(sent..).filter(|rest| !rest.is_empty()) {
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(FDS_MAX))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if sent == 0 && !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
                return Err(WireError::Descriptors);
            }
            match sendmsg(&self.stream, &[IoSlice::new(rest)], &mut control, SendFlags::NOSIGNAL) {
                Ok(n) => sent += n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.ready(PollFlags::OUT, end, patience)?,
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(WireError::Closed),
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        Ok(())
    }

    fn ready(&self, flags: PollFlags, end: Instant, patience: Duration) -> Result<(), WireError> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(WireError::Late(patience.as_secs()));
        }
        match poll(&mut [PollFd::new(&self.stream, flags)], Some(&timespec(left))) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }
}

/// What came, and whether its descriptors all did; none: nothing is there yet.
fn receive(
    stream: &UnixStream,
    into: &mut [u8],
    control: &mut RecvAncillaryBuffer<'_>,
) -> Result<Option<(usize, bool)>, WireError> {
    loop {
        match recvmsg(stream, &mut [IoSliceMut::new(into)], control, RecvFlags::CMSG_CLOEXEC) {
            Ok(message) if message.bytes == 0 => return Err(WireError::Closed),
            Ok(message) => return Ok(Some((message.bytes, !message.flags.contains(ReturnFlags::CTRUNC)))),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::CONNRESET) => return Err(WireError::Closed),
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
}

/// For `poll`.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Command, Reply, Request};
    use std::io::Write;

    const SOON: Duration = Duration::from_secs(5);

    fn pair() -> (UnixStream, Wire) {
        let (a, b) = UnixStream::pair().unwrap();
        (a, Wire::new(b).unwrap())
    }

    fn reset(id: u16) -> Vec<u8> {
        let mut out = Vec::new();
        Request::Reset.encode(id, false, &mut out);
        out
    }

    #[test]
    fn messages_come_whole_whatever_the_pieces() {
        let (mut peer, mut wire) = pair();
        let mut bytes = reset(1);
        Request::RegionWrite { offset: 0, region: 0, data: &[7; 9000] }.encode(2, false, &mut bytes);
        bytes.extend(reset(3));
        let mut ids = Vec::new();
        for piece in bytes.chunks(7) {
            peer.write_all(piece).unwrap();
            while let Some(message) = wire.try_receive().unwrap() {
                ids.push((message.header.id, message.body.len()));
            }
        }
        assert_eq!(ids, [(1, 0), (2, 16 + 9000), (3, 0)]);
        drop(peer);
        assert!(matches!(wire.try_receive(), Err(WireError::Closed)));
    }

    #[test]
    fn descriptors_belong_to_their_message() {
        let (peer, mut wire) = pair();
        let mut peer = Wire::new(peer).unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        // All of it is there before the other side reads a byte.
        peer.send(&reset(1), &[], SOON).unwrap();
        peer.send(&reset(2), &[file.as_fd()], SOON).unwrap();
        peer.send(&reset(3), &[], SOON).unwrap();
        let fds: Vec<usize> = (0..3).map(|_| wire.receive(SOON).unwrap().fds.len()).collect();
        assert_eq!(fds, [0, 1, 0]);
        assert!(matches!(wire.receive(Duration::from_millis(20)), Err(WireError::Late(_))));
    }

    #[test]
    fn too_many_descriptors_end_the_connection() {
        for (count, split) in [(2, 16), (8, 16), (1, 0)] {
            let (peer, mut wire) = pair();
            let file = std::fs::File::open("/dev/null").unwrap();
            let mut message = Vec::new();
            Reply::IrqInfo { flags: 0, index: 0, count: 0 }.encode(1, &mut message);
            let (head, body) = message.split_at(split.max(HEADER));
            let fds = vec![file.as_fd(); count];
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(8))];
            let mut send = |bytes: &[u8], with: bool| {
                let mut control = SendAncillaryBuffer::new(&mut space);
                assert!(!with || control.push(SendAncillaryMessage::ScmRights(&fds)));
                sendmsg(&peer, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).unwrap();
            };
            // With the header, or with the body.
            send(head, split > 0);
            send(body, split == 0);
            assert!(matches!(wire.receive(SOON), Err(WireError::Descriptors)), "{count}");
        }
    }

    #[test]
    fn what_is_no_message_ends_the_connection() {
        let (mut peer, mut wire) = pair();
        peer.write_all(&[0xff; HEADER]).unwrap();
        assert!(matches!(wire.try_receive(), Err(WireError::Bad(Bad::Size(u32::MAX)))));
        let _ = Command::Reset;
    }

    #[test]
    fn who_does_not_read_is_not_waited_for() {
        let (_peer, mut wire) = pair();
        let message = vec![0; 1 << 20];
        let begin = Instant::now();
        assert!(matches!(wire.send(&message, &[], Duration::from_millis(50)), Err(WireError::Late(_))));
        assert!(begin.elapsed() < SOON);
    }
}
