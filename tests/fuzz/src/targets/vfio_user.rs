//! Messages of vfio-user: the codec, and what a server does with what a client sends.

use crate::Target;
use rustix::event::EventfdFlags;
use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use weir_device::{DeviceError, DmaMemory, Driver, DriverConfig, PciFunction, Permission, QueueConfig};
use weir_sim::served::Session;
use weir_sim::testing::ImageBuilder;
use weir_sim::{Frame, SimConfig, Simulator};
use weir_vfio_user::message::{self as m, Command, Header, Reply, Request};
use weir_vfio_user::version;
use weir_vfio_user::wire::Message;

/// The targets of this room.
pub fn targets() -> [Target; 3] {
    [
        Target::new(
            "vfio-user-message",
            "any bytes as header and body: refused, or what is understood comes back as it was",
            message,
            || requests().iter().map(|request| encoded(request)).chain(replies()).collect(),
        ),
        Target {
            dictionary: &[b"{\"capabilities\":{", b"\"max_msg_fds\":", b"\"max_data_xfer_size\":", b"65536", b"}}"],
            ..Target::new(
                "vfio-user-version",
                "any text of a version message: refused, or capabilities that can be worked with",
                |bytes| {
                    if let Ok(capabilities) = version::decode(bytes) {
                        assert!(capabilities.max_msg_fds > 0 && capabilities.max_data_xfer_size >= 4096);
                        assert_eq!(version::decode(&version::encode(capabilities)), Ok(capabilities));
                    }
                },
                || vec![version::encode(version::OWN), Vec::new()],
            )
        },
        Target::new(
            "vfio-user-server",
            "any messages and descriptors, frames between them: one answer each, nothing lost, nothing left of the client",
            server,
            || vec![session_of_a_driver(), requests().iter().flat_map(|request| step(1, request)).collect()],
        ),
    ]
}

fn message(bytes: &[u8]) {
    let Some((head, body)) = bytes.split_first_chunk::<{ m::HEADER }>() else { return };
    let Ok(header) = Header::decode(head) else { return };
    assert!(header.body + m::HEADER <= m::MESSAGE_MAX && !(header.error.is_some() && !header.reply));
    let body = body.get(..header.body).unwrap_or(body);
    let mut out = Vec::new();
    if let Ok(request) = Request::decode(header.command, body) {
        request.encode(header.id, header.no_reply, &mut out);
        assert_eq!(Request::decode(header.command, &out[m::HEADER..]), Ok(request));
    }
    let Some(command) = Command::from_raw(header.command) else { return };
    if let Ok(reply) = Reply::decode(command, body) {
        out.clear();
        reply.encode(header.id, &mut out);
        assert_eq!(Reply::decode(command, &out[m::HEADER..]), Ok(reply));
    }
}

/// Bytes as steps: what comes along (u8), command (u8), length (u16), body.
fn server(bytes: &[u8]) {
    let model = Simulator::new(SimConfig { queues: 1, flow_entries: 64 });
    let mut session = Session::new(model.clone());
    let text = version::encode(version::Capabilities::default());
    say(&mut session, Command::Version as u16, false, &body_of(&Request::Version { major: 0, minor: 1, text: &text }), None);
    let mut rest = bytes;
    let mut number = 0;
    while let [with, command, low, high, after @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (body, next) = after.split_at(length);
        rest = next;
        if with & 0x40 != 0 {
            number += 1;
            let time = number * 1_000_000;
            // (Rings that stay full make it wait: then it is not offered again.)
            let _ = model.offer(&Frame { number, time, link: 1, data: body, wire_length: body.len() as u32 });
        } else {
            say(&mut session, (*command).into(), with & 0x80 != 0, body, descriptor(with & 7));
            session.raise();
        }
        assert_eq!(model.check(), Ok(()));
    }
    assert!(model.with_dma(|table| table.len()) <= bytes.len());
    drop(session);
    assert!(model.with_dma(|table| table.is_empty()) && !model.is_enabled());
}

fn say(session: &mut Session, command: u16, no_reply: bool, body: &[u8], fd: Option<OwnedFd>) {
    let header = Header { id: 9, command, body: body.len(), reply: false, no_reply, error: None };
    let mut out = Vec::new();
    let refused = session.answer(Message { header, body: body.to_vec(), fds: fd.into_iter().collect() }, &mut out).is_err();
    assert_eq!(out.is_empty(), no_reply);
    let Some(answer) = out.first_chunk().map(Header::decode) else { return };
    let answer = answer.unwrap();
    assert!(answer.reply && answer.id == 9 && answer.command == command && answer.body + m::HEADER == out.len());
    assert_eq!(answer.error.is_some(), refused);
}

fn descriptor(kind: u8) -> Option<OwnedFd> {
    thread_local!(static MEMORY: DmaMemory = DmaMemory::shared(1 << 20).unwrap());
    match kind {
        1 | 2 => MEMORY.with(|memory| memory.file().and_then(|file| file.try_clone_to_owned().ok())),
        3 | 4 => rustix::event::eventfd(0, EventfdFlags::CLOEXEC).ok(),
        5 => std::fs::File::open("/dev/null").ok().map(OwnedFd::from),
        _ => None,
    }
}

fn encoded(request: &Request<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    request.encode(1, false, &mut out);
    out
}

fn body_of(request: &Request<'_>) -> Vec<u8> {
    encoded(request).split_off(m::HEADER)
}

fn step(with: u8, request: &Request<'_>) -> Vec<u8> {
    let body = body_of(request);
    let [low, high] = (body.len() as u16).to_le_bytes();
    [vec![with, request.command() as u8, low, high], body].concat()
}

fn requests() -> Vec<Request<'static>> {
    vec![
        Request::Version { major: 0, minor: 1, text: b"{}" },
        Request::DmaMap { flags: 3, offset: 0x1000, iova: 0x10_0000, size: 0x2000 },
        Request::DmaUnmap { flags: 0, iova: 0x10_1000, size: 0x1000 },
        Request::DmaUnmap { flags: m::UNMAP_ALL, iova: 0, size: 0 },
        Request::GetInfo,
        Request::GetRegionInfo { room: 32, index: 7 },
        Request::GetIrqInfo { index: 2 },
        Request::SetIrqs { flags: 0x24, index: 2, start: 0, count: 1, data: &[] },
        Request::RegionRead { offset: 0, region: 7, count: 64 },
        Request::RegionWrite { offset: 4, region: 7, data: &[6, 0] },
        Request::Reset,
    ]
}

fn replies() -> Vec<Vec<u8>> {
    let all = [
        Reply::Version { major: 0, minor: 1, text: b"{}" },
        Reply::Done(Command::DmaMap),
        Reply::DmaUnmap { flags: 0, iova: 1, size: 2 },
        Reply::Info { flags: 3, regions: 9, irqs: 5 },
        Reply::RegionInfo { flags: 3, index: 0, size: 1 << 16, offset: 0 },
        Reply::IrqInfo { flags: 9, index: 2, count: 3 },
        Reply::RegionRead { offset: 0, region: 0, data: &[1, 2, 3, 4] },
        Reply::RegionWrite { offset: 0, region: 0, count: 4 },
    ];
    let encoded = |reply: &Reply<'_>| {
        let mut out = Vec::new();
        reply.encode(1, &mut out);
        out
    };
    all.iter().map(encoded).collect()
}

/// Notes what a driver does as steps of an input.
#[derive(Clone)]
struct Recorder(Simulator, Rc<RefCell<Vec<u8>>>);

impl Recorder {
    fn note(&self, with: u8, request: &Request<'_>) {
        self.1.borrow_mut().extend(step(with, request));
    }
}

impl PciFunction for Recorder {
    fn config_read(&mut self, offset: u16) -> Result<u32, DeviceError> {
        self.note(0, &Request::RegionRead { offset: offset.into(), region: 7, count: 4 });
        self.0.config_read(offset)
    }
    fn config_write(&mut self, offset: u16, value: u32) -> Result<(), DeviceError> {
        self.note(0, &Request::RegionWrite { offset: offset.into(), region: 7, data: &value.to_le_bytes() });
        self.0.config_write(offset, value)
    }
    fn read32(&mut self, bar: u8, offset: u32) -> Result<u32, DeviceError> {
        self.0.read32(bar, offset)
    }
    fn write32(&mut self, bar: u8, offset: u32, value: u32) -> Result<(), DeviceError> {
        self.note(0, &Request::RegionWrite { offset: offset.into(), region: bar.into(), data: &value.to_le_bytes() });
        self.0.write32(bar, offset, value)
    }
    fn map(&mut self, memory: &DmaMemory, permission: Permission) -> Result<u64, DeviceError> {
        let iova = self.0.map(memory, permission)?;
        let flags = if permission == Permission::Write { 3 } else { 1 };
        self.note(1, &Request::DmaMap { flags, offset: 0, iova, size: memory.len() as u64 });
        Ok(iova)
    }
    fn unmap(&mut self, iova: u64) -> Result<(), DeviceError> {
        self.0.unmap(iova)
    }
    fn interrupt(&mut self, _: u16, _: Duration) -> Result<bool, DeviceError> {
        Ok(true)
    }
    fn reset(&mut self) -> Result<(), DeviceError> {
        self.0.reset()
    }
}

/// Set up, tables, enabled, and a frame.
fn session_of_a_driver() -> Vec<u8> {
    let notes = Rc::new(RefCell::new(Vec::new()));
    let recorder = Recorder(Simulator::new(SimConfig { queues: 1, flow_entries: 64 }), Rc::clone(&notes));
    let queue = QueueConfig { history: 1 << 16, margin: 0, descriptors: 64, flow_records: 64, tx: 16 };
    let done = Driver::probe(recorder).and_then(|mut driver| {
        driver.set_up(&DriverConfig { queue, ..DriverConfig::default() })?;
        let epoch = driver.load_tables(&ImageBuilder::new(1).build())?;
        driver.activate(epoch)?;
        driver.interrupt_after(1)?;
        driver.enable(false)
    });
    assert!(done.is_ok(), "{done:?}");
    let mut steps = notes.borrow().clone();
    steps.extend(step(3, &Request::SetIrqs { flags: 0x24, index: 2, start: 0, count: 1, data: &[] }));
    let frame = [0xff; 60];
    steps.extend([0x40, 0, 60, 0]);
    steps.extend(frame);
    steps
}
