use super::*;
use crate::SimConfig;
use std::os::fd::OwnedFd;
use weir_device::DmaMemory;

struct Rig {
    session: Session,
    model: Simulator,
}

fn rig() -> Rig {
    let model = Simulator::new(SimConfig { queues: 2, flow_entries: 64 });
    let mut rig = Rig { session: Session::new(model.clone()), model };
    assert_eq!(rig.ask(Request::GetInfo, None), Err(22), "nothing before the version");
    let text = version::encode(version::Capabilities::default());
    assert!(rig.ask(Request::Version { major: 0, minor: 1, text: &text }, None).is_ok());
    assert_eq!(rig.ask(Request::Version { major: 0, minor: 1, text: &text }, None), Err(22));
    rig
}

impl Rig {
    /// Every cause raises vector 0.
    fn listen(&mut self) {
        self.write(7, 4, &[6, 0]).unwrap();
        self.write(0, weir_contract::registers::INTERRUPT_MASK.into(), &[0xff; 4]).unwrap();
    }

    /// The answer's body, or its errno.
    fn ask(&mut self, request: Request<'_>, fd: Option<OwnedFd>) -> Result<Vec<u8>, u32> {
        let mut bytes = Vec::new();
        request.encode(7, false, &mut bytes);
        let header = Header::decode(bytes.first_chunk().unwrap()).unwrap();
        let body = bytes.split_off(m::HEADER);
        let mut out = Vec::new();
        let refused = self.session.answer(Message { header, body, fds: fd.into_iter().collect() }, &mut out).is_err();
        let answer = Header::decode(out.first_chunk().unwrap()).unwrap();
        assert!(answer.reply && answer.id == 7 && answer.command == header.command);
        assert_eq!(answer.error.is_some(), refused);
        answer.error.map_or(Ok(out.split_off(m::HEADER)), Err)
    }

    fn read(&mut self, region: u32, offset: u64, count: u32) -> Result<Vec<u8>, u32> {
        let body = self.ask(Request::RegionRead { offset, region, count }, None)?;
        match Reply::decode(Command::RegionRead, &body) {
            Ok(Reply::RegionRead { data, .. }) => Ok(data.to_vec()),
            other => panic!("{other:?}"),
        }
    }

    fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), u32> {
        self.ask(Request::RegionWrite { offset, region, data }, None).map(|_| ())
    }

    fn map(&mut self, iova: u64, offset: u64, size: u64, flags: u32, memory: Option<&DmaMemory>) -> Result<(), u32> {
        let fd = memory.map(|memory| memory.file().unwrap().try_clone_to_owned().unwrap());
        self.ask(Request::DmaMap { flags, offset, iova, size }, fd).map(|_| ())
    }
}

#[test]
fn configuration_space_by_bytes() {
    let mut rig = rig();
    let all = rig.read(7, 0, 4096).unwrap();
    assert_eq!(all.len(), 4096);
    assert_eq!(rig.read(7, 1, 2).unwrap(), all[1..3]);
    assert_eq!(rig.read(7, 4095, 2), Err(22));
    assert_eq!(rig.read(7, 2, 9).unwrap(), all[2..11]);
    // Memory space and bus master; the rest of the word stays.
    rig.write(7, 4, &[6, 0]).unwrap();
    assert_eq!(rig.read(7, 4, 4).unwrap(), [6, 0, 0x10, 0]);
    rig.write(7, 4, &[4]).unwrap();
    assert_eq!(rig.read(7, 4, 1).unwrap(), [4]);
    // Power state.
    let power = u64::from(c::PCI_CAP_POWER) + 4;
    rig.write(7, power, &[3, 0]).unwrap();
    assert_eq!(rig.read(7, power, 1).unwrap()[0] & 3, 3);
    // Function-level reset by its bit: everything but the mappings.
    let resets = rig.model.resets();
    rig.write(7, u64::from(c::PCI_CAP_EXPRESS) + 8, &[0, 0x80]).unwrap();
    assert_eq!((rig.model.resets(), rig.read(7, 4, 1).unwrap()), (resets + 1, vec![0]));
}

#[test]
fn registers_are_words() {
    let mut rig = rig();
    assert_eq!(rig.read(0, 0, 4).unwrap(), [0xff; 4], "memory space is off");
    rig.write(7, 4, &[6, 0]).unwrap();
    assert_eq!(rig.read(0, 0, 4).unwrap(), c::DEVICE_MAGIC.to_le_bytes());
    assert_eq!(rig.read(0, 1, 2).unwrap(), c::DEVICE_MAGIC.to_le_bytes()[1..3]);
    assert_eq!(rig.read(0, 0, 8).unwrap().len(), 8);
    assert_eq!(rig.write(0, 0x200, &[1, 2]), Err(22));
    assert_eq!(rig.write(0, 0x201, &[1, 2, 3, 4]), Err(22));
    let beats = rig.model.heartbeats();
    rig.write(0, 0x200, &[1, 2, 3, 4]).unwrap();
    assert_eq!(rig.model.heartbeats(), beats + 1);
    assert_eq!(rig.read(0, c::BAR_REGISTERS_SIZE - 4, 8), Err(22));
    assert_eq!(rig.read(0, u64::MAX - 3, 4), Err(22));
    assert_eq!(rig.read(1, 0, 4), Err(22), "no such BAR");
    assert!(rig.write(4, 0, &[0; 16]).is_ok(), "the vector table");
    assert_eq!(rig.ask(Request::GetRegionInfo { room: 32, index: 9 }, None), Err(22));
}

#[test]
fn the_device_reaches_what_is_mapped_as_it_is_mapped() {
    let mut rig = rig();
    let memory = DmaMemory::shared(4 * 4096).unwrap();
    rig.map(0x10_0000, 0x1000, 0x1000, 3, Some(&memory)).unwrap();
    rig.map(0x10_1000, 0, 0x1000, 1, Some(&memory)).unwrap();
    rig.map(0x20_0000, 0, 0x10_0000, 3, None).unwrap();
    let write = |rig: &Rig, iova, bytes: &[u8]| rig.model.with_dma(|table| table.write(iova, bytes)).is_ok();
    let read = |rig: &Rig, iova, length| rig.model.with_dma(|table| table.read(iova, &mut vec![0; length])).is_ok();
    assert!(write(&rig, 0x10_0ffc, b"abcd") && memory.load32(0x1ffc) == Some(u32::from_ne_bytes(*b"abcd")));
    assert!(read(&rig, 0x10_0ffc, 8), "over both");
    assert!(!write(&rig, 0x10_0ffc, b"abcdefgh") && !write(&rig, 0x10_1000, b"a"), "one is read-only");
    assert!(!read(&rig, 0x20_0000, 1), "known, and not reachable");
    assert_eq!(rig.map(0x10_0800, 0, 0x1000, 3, Some(&memory)), Err(17));
    assert_eq!(rig.map(0x30_0000, 0x3001, 0x1000, 3, Some(&memory)), Err(22), "behind the end of the memory");
    // Part of a mapping, over a hole, into another.
    let unmap = Request::DmaUnmap { flags: 0, iova: 0x10_0800, size: 0x11_0000 };
    let body = rig.ask(unmap, None).unwrap();
    let expected = Reply::DmaUnmap { flags: 0, iova: 0x10_0800, size: 0x800 + 0x1000 + 0x1_0800 };
    assert_eq!(Reply::decode(Command::DmaUnmap, &body), Ok(expected));
    assert!(read(&rig, 0x10_07ff, 1) && !read(&rig, 0x10_0800, 1) && !read(&rig, 0x10_1fff, 1));
    rig.ask(Request::DmaUnmap { flags: 0, iova: 0x50_0000, size: 0x1000 }, None).unwrap();
    rig.ask(Request::DmaUnmap { flags: m::UNMAP_ALL, iova: 0, size: 0 }, None).unwrap();
    assert!(!read(&rig, 0x10_0000, 1));
    assert!(rig.model.with_dma(|table| table.is_empty()));
}

#[test]
fn memory_that_could_shrink_is_refused() {
    let mut rig = rig();
    let open = rustix::fs::memfd_create("open", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&open, 4096).unwrap();
    let map = Request::DmaMap { flags: 3, offset: 0, iova: 0, size: 4096 };
    assert_eq!(rig.ask(map, Some(open)), Err(1));
    assert_eq!(rig.ask(map, Some(std::fs::File::open("/dev/zero").unwrap().into())), Err(1));
    assert_eq!(rig.ask(Request::GetInfo, Some(std::fs::File::open("/dev/zero").unwrap().into())), Err(22));
    assert!(rig.model.with_dma(|table| table.is_empty()));
}

fn counter() -> OwnedFd {
    rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK).unwrap()
}

fn count(fd: &OwnedFd) -> u64 {
    let mut bytes = [0; 8];
    rustix::io::read(fd, &mut bytes).map_or(0, |_| u64::from_ne_bytes(bytes))
}

#[test]
fn vectors_are_told_by_eventfds() {
    let mut rig = rig();
    let fd = counter();
    let set = |flags, start, count| Request::SetIrqs { flags, index: 2, start, count, data: &[] };
    rig.listen();
    rig.model.end_source(5);
    rig.session.raise();
    assert!(rig.ask(set(0x24, 0, 1), Some(fd.try_clone().unwrap())).is_ok());
    rig.session.raise();
    assert_eq!(count(&fd), 1, "what was raised before");
    rig.session.raise();
    assert_eq!(count(&fd), 0, "is told once");
    rig.ask(set(0x21, 0, 1), None).unwrap();
    assert_eq!(count(&fd), 1, "on demand");
    rig.ask(set(0x24, 0, 3), None).unwrap();
    rig.model.end_source(5);
    rig.session.raise();
    assert_eq!(count(&fd), 0, "disarmed");
    rig.ask(set(0x21, 0, 0), None).unwrap();
    assert_eq!(rig.ask(set(0x24, 3, 1), Some(counter())), Err(22), "three vectors");
    assert_eq!(rig.ask(set(0x24, 0, 2), Some(counter())), Err(22), "one eventfd for two");
    assert_eq!(rig.ask(set(0x28, 0, 1), None), Err(22));
    assert_eq!(rig.ask(set(0x24, 0, 1), Some(std::fs::File::open("/dev/null").unwrap().into())), Err(22));
    let (pipe, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    assert_eq!(rig.ask(set(0x24, 0, 1), Some(pipe.into())), Err(22));
    rig.ask(Request::SetIrqs { flags: 0x21, index: 0, start: 0, count: 0, data: &[] }, None).unwrap();
}

#[test]
fn a_counter_that_is_full_blocks_nothing() {
    let mut rig = rig();
    let fd = rustix::event::eventfd(0, rustix::event::EventfdFlags::empty()).unwrap();
    rustix::io::write(&fd, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    rig.ask(Request::SetIrqs { flags: 0x24, index: 2, start: 0, count: 1, data: &[] }, Some(fd)).unwrap();
    rig.listen();
    rig.model.end_source(5);
    rig.session.raise();
}

#[test]
fn the_end_of_a_source_lasts_until_a_reset() {
    let mut rig = rig();
    let status = u64::from(weir_contract::registers::STATUS);
    let ended = |rig: &mut Rig| {
        rig.write(7, 4, &[6, 0]).unwrap();
        rig.read(0, status, 4).unwrap()[0] & weir_contract::enums::Status::SOURCE_ENDED.0 as u8 != 0
    };
    for reset in [Request::Reset, Request::RegionWrite { offset: 0x40, region: 0, data: &[1, 0, 0, 0] }] {
        assert!(!ended(&mut rig));
        rig.model.end_source(5);
        assert!(ended(&mut rig));
        rig.ask(reset, None).unwrap();
    }
    assert!(!ended(&mut rig));
}

#[test]
fn nothing_is_left_of_a_client() {
    let mut rig = rig();
    let memory = DmaMemory::shared(4096).unwrap();
    rig.map(0x1000, 0, 4096, 3, Some(&memory)).unwrap();
    rig.write(7, 4, &[6, 0]).unwrap();
    let Rig { session, mut model } = rig;
    drop(session);
    assert!(model.with_dma(|table| table.is_empty()));
    assert_eq!(model.config_read(4).unwrap() & 6, 0);
}

#[test]
fn who_wants_no_reply_gets_none() {
    let mut rig = rig();
    for (data, good) in [(&[1, 2, 3, 4][..], true), (&[1][..], false)] {
        let mut bytes = Vec::new();
        Request::RegionWrite { offset: 0x200, region: 0, data }.encode(1, true, &mut bytes);
        let header = Header::decode(bytes.first_chunk().unwrap()).unwrap();
        let mut out = Vec::new();
        let result = rig.session.answer(Message { header, body: bytes.split_off(m::HEADER), fds: Vec::new() }, &mut out);
        assert_eq!((result.is_ok(), out.len()), (good, 0));
    }
}
