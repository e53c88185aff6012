use super::*;
use proptest::prelude::*;

fn header(bytes: &[u8]) -> Header {
    Header::decode(bytes.first_chunk().unwrap()).unwrap()
}

fn body(bytes: &[u8]) -> &[u8] {
    assert_eq!(header(bytes).body, bytes.len() - HEADER);
    &bytes[HEADER..]
}

/// Bytes of a peer that is not ours, written down by hand from the protocol's tables.
#[test]
fn messages_of_others() {
    let map: [u8; 48] = [
        0x34, 0x12, 2, 0, 48, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // header
        32, 0, 0, 0, 3, 0, 0, 0, // argsz, flags
        0, 0x10, 0, 0, 0, 0, 0, 0, // offset
        0, 0, 0, 0xfe, 0, 0, 0, 0, // iova
        0, 0x20, 0, 0, 0, 0, 0, 0, // size
    ];
    let parsed = header(&map);
    assert_eq!((parsed.id, parsed.command, parsed.reply, parsed.no_reply), (0x1234, 2, false, false));
    let request = Request::decode(2, body(&map)).unwrap();
    assert_eq!(request, Request::DmaMap { flags: 3, offset: 0x1000, iova: 0xfe00_0000, size: 0x2000 });
    let mut out = Vec::new();
    request.encode(0x1234, false, &mut out);
    assert_eq!(out, map);
    let read: [u8; 36] = [
        1, 0, 9, 0, 36, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4,
    ];
    let reply = Reply::decode(Command::RegionRead, body(&read)).unwrap();
    assert_eq!(reply, Reply::RegionRead { offset: 4, region: 7, data: &[1, 2, 3, 4] });
    let mut out = Vec::new();
    reply.encode(1, &mut out);
    assert_eq!(out, read);
}

#[test]
fn what_is_wrong_is_named() {
    let decode = |words: [u32; 4]| {
        let mut bytes = [0; HEADER];
        bytes.chunks_exact_mut(4).zip(words).for_each(|(slot, word)| slot.copy_from_slice(&word.to_le_bytes()));
        Header::decode(&bytes).err()
    };
    assert_eq!(decode([0, 15, 0, 0]), Some(Bad::Size(15)));
    assert_eq!(decode([0, MESSAGE_MAX as u32 + 1, 0, 0]), Some(Bad::Size(MESSAGE_MAX as u32 + 1)));
    assert_eq!(decode([0, u32::MAX, 0, 0]), Some(Bad::Size(u32::MAX)));
    assert_eq!(decode([0, 16, 2, 0]), Some(Bad::HeaderFlags(2)));
    assert_eq!(decode([0, 16, 0x20, 5]), Some(Bad::HeaderFlags(0x20)), "a request is no error");
    assert_eq!(decode([0, 16, 0x40, 0]), Some(Bad::HeaderFlags(0x40)));
    let wrong = |request: Request<'_>, change: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        request.encode(0, false, &mut out);
        let mut body = out.split_off(HEADER);
        change(&mut body);
        Request::decode(request.command() as u16, &body).err()
    };
    let map = Request::DmaMap { flags: 3, offset: 0, iova: 0x1000, size: 0x1000 };
    assert_eq!(wrong(map, &|_| ()), None);
    assert_eq!(wrong(map, &|b| b[0] = 31), Some(Bad::ArgumentSize(31)));
    assert_eq!(wrong(map, &|b| b[4] = 4), Some(Bad::Flags(4)));
    assert_eq!(wrong(map, &|b| b[4] = 0), Some(Bad::Flags(0)));
    assert_eq!(wrong(map, &|b| b.push(0)), Some(Bad::Body(1)));
    assert!(matches!(wrong(map, &|b| b.truncate(31)), Some(Bad::Body(_))));
    assert_eq!(wrong(map, &|b| b[24..].fill(0)), Some(Bad::Range(0x1000)), "nothing");
    assert_eq!(wrong(map, &|b| b[24..].fill(255)), Some(Bad::Range(0x1000)), "beyond all addresses");
    let rest = Request::DmaUnmap { flags: 0, iova: 0xfef0_0000, size: 0u64.wrapping_sub(0xfef0_0000) };
    assert_eq!(wrong(rest, &|_| ()), None, "all that is behind an address");
    assert_eq!(wrong(rest, &|b| b[16] = 1), Some(Bad::Range(0xfef0_0000)));
    let all = Request::DmaUnmap { flags: UNMAP_ALL, iova: 0, size: 0 };
    assert_eq!(wrong(all, &|_| ()), None);
    assert_eq!(wrong(all, &|b| b[8] = 1), Some(Bad::Flags(2)), "all, and yet a range");
    assert_eq!(wrong(all, &|b| b[4] = 4), Some(Bad::Flags(4)));
    let read = Request::RegionRead { offset: 0, region: 0, count: 4 };
    assert_eq!(wrong(read, &|b| b[12] = 0), Some(Bad::Count(0)));
    assert_eq!(wrong(read, &|b| b[14] = 255), Some(Bad::Count(0xff_0004)), "more than a message holds");
    assert_eq!(wrong(read, &|b| b[..8].fill(255)), Some(Bad::Range(u64::MAX)));
    let write = Request::RegionWrite { offset: 0, region: 0, data: &[1, 2, 3, 4] };
    assert_eq!(wrong(write, &|b| b[12] = 3), Some(Bad::Count(3)));
    let irqs = Request::SetIrqs { flags: 0x24, index: 2, start: 0, count: 1, data: &[] };
    assert_eq!(wrong(irqs, &|b| b[4] = 0x26), Some(Bad::Flags(0x26)), "two kinds of data");
    assert_eq!(wrong(irqs, &|b| b[4] = 0x04), Some(Bad::Flags(0x04)), "no action");
    assert_eq!(wrong(irqs, &|b| b.push(1)), Some(Bad::Count(1)));
    assert_eq!(wrong(irqs, &|b| b[12..].fill(255)), Some(Bad::Count(u32::MAX)));
    let text = Request::Version { major: 0, minor: 1, text: b"{}" };
    assert_eq!(wrong(text, &|b| b[6] = 1), Some(Bad::Version), "no end");
    assert_eq!(wrong(text, &|b| b[5] = 0), Some(Bad::Version), "two ends");
    assert_eq!(Request::decode(6, &[]), Err(Bad::Command(6)));
    assert_eq!(Request::decode(13, &[0]), Err(Bad::Body(1)));
    assert_eq!((Bad::Command(6).errno(), Bad::Flags(1).errno()), (38, 22));
}

#[test]
fn errors_are_replies() {
    let mut out = Vec::new();
    encode_error(7, 99, 38, &mut out);
    let parsed = header(&out);
    assert_eq!((parsed.id, parsed.command, parsed.reply, parsed.error), (7, 99, true, Some(38)));
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 1..200)
}

proptest! {
    /// What was written is read again, for every command.
    #[test]
    fn round_trip(
        id: u16, no_reply: bool, which in 0usize..10, a in 0u64..1 << 40, b in 1u64..1 << 40, c in 0u32..1000, data in data(),
    ) {
        let text: Vec<u8> = data.iter().map(|byte| byte | 1).collect();
        let request = match which {
            0 => Request::Version { major: c as u16, minor: id, text: &text },
            1 => Request::DmaMap { flags: 1 + c % 3, offset: a, iova: b, size: b },
            2 => Request::DmaUnmap { flags: 0, iova: a, size: b },
            3 => Request::GetInfo,
            4 => Request::GetRegionInfo { room: 32 + c, index: c },
            5 => Request::GetIrqInfo { index: c },
            6 => Request::SetIrqs { flags: 0x22, index: 2, start: c, count: data.len() as u32, data: &data },
            7 => Request::RegionRead { offset: a, region: c, count: 1 + c },
            8 => Request::RegionWrite { offset: a, region: c, data: &data },
            _ => Request::Reset,
        };
        let mut out = vec![9];
        request.encode(id, no_reply, &mut out);
        let message = &out[1..];
        let parsed = header(message);
        prop_assert_eq!((parsed.id, parsed.no_reply, parsed.reply), (id, no_reply, false));
        prop_assert_eq!(Request::decode(parsed.command, body(message)), Ok(request));
        let reply = match which {
            0 => Reply::Version { major: c as u16, minor: id, text: &text },
            1 => Reply::Done(Command::DmaMap),
            2 => Reply::DmaUnmap { flags: c, iova: a, size: b },
            3 => Reply::Info { flags: c, regions: 9, irqs: 5 },
            4 => Reply::RegionInfo { flags: c, index: c, size: a, offset: b },
            5 => Reply::IrqInfo { flags: c, index: c, count: c },
            6 => Reply::Done(Command::SetIrqs),
            7 => Reply::RegionRead { offset: a, region: c, data: &data },
            8 => Reply::RegionWrite { offset: a, region: c, count: c },
            _ => Reply::Done(Command::Reset),
        };
        let mut out = Vec::new();
        reply.encode(id, &mut out);
        prop_assert!(header(&out).reply);
        prop_assert_eq!(Reply::decode(reply.command(), body(&out)), Ok(reply));
    }

    /// No bytes make it panic, and what is read of them is written back as it was, but for fields that a request ignores.
    #[test]
    fn any_bytes(command in 0u16..16, bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(request) = Request::decode(command, &bytes) {
            let mut out = Vec::new();
            request.encode(0, false, &mut out);
            prop_assert_eq!(Request::decode(command, body(&out)), Ok(request));
        }
        if let Some(command) = Command::from_raw(command) {
            let _ = Reply::decode(command, &bytes);
        }
    }
}
