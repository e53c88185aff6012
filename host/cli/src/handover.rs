//! A device that one Weir gives to the next, without a reset between (decision 0034).
//!
//! Place: beside `deployment`, on both sides of the control socket. The next one has rules and tables ready and asks for the device; a request's thread waits,
//! the loop of the one before loads the tables, answers all that is in flight, and gives away what the device is reached by. Invariants: until the tables are
//! loaded a refusal leaves everything as it was; from then on one of the two has the device, or it is reset.

use crate::exit::{Failure, INPUT, INTERNAL, OrExit};
use crate::deployment::socket::read_line;
use rustix::cmsg_space;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg};
use serde_json::{Value, json};
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use weir_bundle::BUNDLE_MAX;
use weir_contract::counters::Counter;
use weir_device::{DeviceError, Driver, PciFunction};
use weir_management::control::{ANSWER_MAX, Answer, Command};

use crate::attached::Snapshot;

/// Longest that a request's bytes may take to come, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest that the loop may take: it loads tables, and answers what is in flight.
const LOOP_PATIENCE: Duration = Duration::from_secs(60);

/// What the next Weir gets.
pub struct Given {
    /// What is told of the device.
    pub told: Value,
    /// What it is reached by.
    pub device: OwnedFd,
    /// Its end is the sign that it was sent.
    pub sent: mpsc::SyncSender<()>,
}

/// Somebody asks for the device.
pub struct Leaving {
    /// Its tables.
    pub image: Vec<u8>,
    reply: mpsc::SyncSender<Result<Given, Failure>>,
}

impl Leaving {
    /// No, and why.
    pub fn refuse(self, failure: Failure) {
        let _ = self.reply.try_send(Err(failure));
    }

    /// The device of this run ends with its process.
    pub fn refuse_local(self) {
        self.refuse(Failure {
            code: INPUT,
            error: anyhow::anyhow!("the device of this Weir is in its own process, and ends with it"),
            remedy: Some("serve the simulated NIC by a process of its own (`weir sim serve`), or end this Weir and start the next".to_owned()),
        });
    }

    /// Loads the tables that came; none, and the refusal is told: everything stays as it was.
    pub fn load<P: PciFunction>(self, driver: &mut Driver<P>) -> Option<(u32, Self)> {
        let loaded = match driver.can_hand_over() {
            true => driver.load_tables(&self.image).or_input(),
            false => Err(Failure {
                code: INPUT,
                error: anyhow::anyhow!("this device cannot be handed over: its kernel resets it when a process lets it go"),
                remedy: Some("end this Weir and start the next".to_owned()),
            }),
        };
        match loaded {
            Ok(epoch) => Some((epoch, self)),
            Err(failure) => {
                self.refuse(failure);
                None
            }
        }
    }

    /// The device, which has counted this and has been without a host since then, is the other's.
    pub fn give<P: PciFunction>(self, driver: &mut Driver<P>, epoch: u32, counted: &Snapshot, since: u64) -> Result<Gone, DeviceError> {
        let counters: serde_json::Map<String, Value> = counted.0.iter().map(|(counter, n)| (counter.name().to_owned(), (*n).into())).collect();
        let (device, addresses) = driver.hand_over()?;
        let told = json!({ "epoch": epoch, "addresses": addresses, "counters": counters, "guards": counted.1, "since": since });
        // Whoever asked may have gone: then the device is reset, as when a host is killed.
        let (sent, gone) = mpsc::sync_channel(1);
        let _ = self.reply.try_send(Ok(Given { told, device, sent }));
        Ok(Gone(gone))
    }
}

/// The device is on its way to the next Weir.
pub struct Gone(mpsc::Receiver<()>);

impl Gone {
    /// Waits until it is there: this process must not end before.
    pub fn wait(&self) {
        let _ = self.0.recv_timeout(PATIENCE);
    }
}

/// The one request that may wait for the loop.
#[derive(Default)]
pub struct Departure {
    waiting: AtomicBool,
    slot: Mutex<Option<Leaving>>,
}

impl Departure {
    /// For the loop.
    pub fn take(&self) -> Option<Leaving> {
        if !self.waiting.load(Ordering::Acquire) {
            return None;
        }
        self.waiting.store(false, Ordering::Release);
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits until the loop has given the device away, or says why not.
    pub fn ask(&self, image: Vec<u8>) -> Result<Given, Failure> {
        let (reply, given) = mpsc::sync_channel(1);
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_some() {
            return Err(Failure { code: INPUT, error: anyhow::anyhow!("another Weir is taking over already"), remedy: None });
        }
        *slot = Some(Leaving { image, reply });
        drop(slot);
        self.waiting.store(true, Ordering::Release);
        let over = || Failure { code: INTERNAL, error: anyhow::anyhow!("the run does not answer: it is over"), remedy: Some("start without --replace".to_owned()) };
        given.recv_timeout(LOOP_PATIENCE).map_err(|_| over())?
    }
}

/// Nanoseconds since the epoch.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Reads the image that follows a request; `begin`: what came with its line.
pub fn read_image(stream: &mut UnixStream, begin: Vec<u8>, length: u64) -> std::io::Result<Vec<u8>> {
    if length > BUNDLE_MAX {
        return Err(std::io::Error::other(format!("{length} bytes are more than tables may have ({BUNDLE_MAX})")));
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut image = begin;
    let left = length.checked_sub(image.len() as u64).ok_or(std::io::ErrorKind::InvalidData)?;
    // (It grows as bytes come, not by what is claimed.)
    stream.take(left).read_to_end(&mut image)?;
    if image.len() as u64 == length { Ok(image) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

/// Answers with what the device is reached by.
pub fn send(stream: &mut UnixStream, given: &Given) -> std::io::Result<()> {
    let line = Answer::Done(given.told.clone()).encode().map_err(std::io::Error::other)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let fds = [given.device.as_fd()];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let sent = sendmsg(&*stream, &[IoSlice::new(&line)], &mut control, SendFlags::NOSIGNAL)?;
    stream.write_all(line.get(sent..).unwrap_or_default())
}

/// A device that was taken over.
pub struct Taken {
    /// What it is reached by.
    pub device: OwnedFd,
    /// Where mappings are to begin.
    pub addresses: u64,
    /// What the device calls the tables that are loaded.
    pub epoch: u32,
    /// What it had counted when the host before looked last.
    pub counted: Snapshot,
    /// Since when it has been without a host, ns since the epoch.
    pub since: u64,
}

/// Asks the Weir that listens at a control socket for its device, which is to have these tables.
pub fn take(socket: &Path, image: &[u8]) -> Result<Taken, Failure> {
    let at = |error: anyhow::Error, remedy: &str| Failure {
        code: INPUT,
        error: error.context(format!("taking over from the Weir at {}", socket.display())),
        remedy: Some(remedy.to_owned()),
    };
    let mut stream = UnixStream::connect(socket)
        .map_err(|error| at(error.into(), "nothing runs there: start without --replace; or name the other's control socket"))?;
    let line = Command::HandOver { image: image.len() as u64 }.encode().or_usage()?;
    stream.set_write_timeout(Some(PATIENCE)).and_then(|()| stream.write_all(&line)).and_then(|()| stream.write_all(image)).or_internal()?;
    let (line, device) = receive(&mut stream).map_err(|error| at(error, "the other Weir has ended, or is of another version"))?;
    let told = match Answer::decode(&line).map_err(|error| at(error.into(), "use the version that runs"))? {
        Answer::Done(told) => told,
        Answer::Refused(refusal) => {
            return Err(Failure { code: refusal.code, error: anyhow::anyhow!("{}", refusal.error), remedy: refusal.remedy });
        }
    };
    let wrong = || at(anyhow::anyhow!("its answer is not understood"), "use the version that runs");
    let number = |of: &Value, name: &str| of.get(name).and_then(Value::as_u64);
    let counters = told.get("counters").ok_or_else(wrong)?;
    let counted = Counter::ALL.iter().map(|counter| (*counter, number(counters, counter.name()).unwrap_or(0))).collect();
    let guards = told.get("guards").and_then(Value::as_array).ok_or_else(wrong)?;
    let guards = guards.iter().map(|n| n.as_u64().unwrap_or(0)).collect();
    let epoch = number(&told, "epoch").and_then(|epoch| u32::try_from(epoch).ok()).ok_or_else(wrong)?;
    let since = number(&told, "since").ok_or_else(wrong)?;
    let addresses = number(&told, "addresses").ok_or_else(wrong)?;
    Ok(Taken { addresses, device: device.ok_or_else(wrong)?, epoch, counted: (counted, guards), since })
}

/// A line, and the descriptor that came with it.
fn receive(stream: &mut UnixStream) -> anyhow::Result<(Vec<u8>, Option<OwnedFd>)> {
    stream.set_read_timeout(Some(LOOP_PATIENCE + PATIENCE))?;
    let mut part = [0; 4096];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(&*stream, &mut [IoSliceMut::new(&mut part)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut device = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            device = fds.last();
        }
    }
    let mut line = part.get(..got.bytes).unwrap_or_default().to_vec();
    if !line.contains(&b'\n') {
        line.extend(read_line(stream, ANSWER_MAX, PATIENCE)?.0);
    }
    Ok((line, device))
}
