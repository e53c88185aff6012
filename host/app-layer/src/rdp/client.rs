//! Data of the client in MCS connect-initial: GCC ConferenceCreateRequest (T.124) with blocks (MS-RDPBCGR section 2.2.1.3).

use crate::wire::{le16, le32, utf16};

/// What the client tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Connect {
    pub core: Option<Core>,
    /// Names of static virtual channels.
    pub channels: Option<Vec<Vec<u8>>>,
    /// The channels stand before the core data.
    pub channels_first: bool,
}

/// TS_UD_CS_CORE (section 2.2.1.3.2); the optional fields stand up to the first that is missing or not valid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Core {
    pub version: u32,
    pub width: u16,
    pub height: u16,
    /// Bits per pixel.
    pub color_depth: Option<u16>,
    pub layout: u32,
    pub build: u32,
    pub name: Vec<u8>,
    pub keyboard: u32,
    pub keyboard_subtype: u32,
    pub function_keys: u32,
    pub input_method: Vec<u8>,
    pub product: Option<u16>,
    pub serial: Option<u32>,
    pub capabilities: Option<u16>,
    pub id: Option<Vec<u8>>,
    pub connection: Option<u8>,
    /// Millimetres.
    pub physical_width: Option<u32>,
    pub physical_height: Option<u32>,
    /// Degrees.
    pub orientation: Option<u16>,
    /// Per cent.
    pub scale: Option<u32>,
    pub device_scale: Option<u32>,
}

/// One BER element of this tag: contents and rest.
fn ber(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first != tag {
        return None;
    }
    length(rest).and_then(|(n, rest)| rest.split_at_checked(n))
}

/// A definite BER length and the rest.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((first.into(), rest));
    }
    let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
    Some((digits.iter().fold(0, |n, d| n << 8 | usize::from(*d)), rest))
}

/// A PER length of one or two octets (X.691 section 10.9), and the rest.
fn per(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match *bytes {
        [first, ref rest @ ..] if first < 0x80 => Some((first.into(), rest)),
        [first, second, ref rest @ ..] if first < 0xc0 => {
            Some((usize::from(first & 0x3f) << 8 | usize::from(second), rest))
        }
        _ => None,
    }
}

/// Read connect-initial behind its tag.
pub(super) fn connect(bytes: &[u8]) -> Option<Connect> {
    /// OBJECT IDENTIFIER of T.124 as the key.
    const T124: &[u8] = &[0, 5, 0, 0x14, 0x7c, 0, 1];
    /// Key of the data of a client.
    const H221: &[u8] = b"Duca";
    let (_, at) = length(bytes)?;
    let (_, at) = ber(at, 4)?;
    let (_, at) = ber(at, 4)?;
    let (_, mut at) = ber(at, 1)?;
    // Target, minimum and maximum of the domain's parameters.
    for _ in 0..3 {
        at = ber(at, 0x30)?.1;
    }
    let (user, _) = ber(at, 4)?;
    let (_, request) = per(user.strip_prefix(T124)?)?;
    // Eight octets of the request come before the key, none of which matters here.
    let (_, blocks) = per(request.get(8..)?.strip_prefix(H221)?)?;
    let mut connect = Connect::default();
    let mut rest = blocks;
    while let (Some(kind), Some(length)) = (le16(rest, 0), le16(rest, 2)) {
        if length < 4 {
            break;
        }
        let (block, more) = rest.split_at_checked(length.into())?;
        rest = more;
        let block = &block[4..];
        match kind {
            0xc001 => {
                connect.channels_first = connect.channels.is_some();
                connect.core = Some(core(block)?);
            }
            0xc003 => connect.channels = Some(channels(block)?),
            _ => {}
        }
    }
    (!blocks.is_empty()).then_some(connect)
}

/// TS_UD_CS_NET (section 2.2.1.3.4).
fn channels(block: &[u8]) -> Option<Vec<Vec<u8>>> {
    let count = usize::try_from(le32(block, 0)?).ok()?;
    let all = block.get(4..)?.get(..count.checked_mul(12)?)?;
    let name = |channel: &[u8]| channel.iter().take(8).take_while(|b| **b != 0).copied().collect::<Vec<u8>>();
    Some(all.chunks_exact(12).map(name).filter(|name| std::str::from_utf8(name).is_ok()).collect())
}

/// Bits per pixel by the words of colorDepth and postBeta2ColorDepth.
fn depth(word: u16) -> Option<u16> {
    [4, 8, 15, 16, 24].get(usize::from(word.checked_sub(0xca00)?)).copied()
}

fn core(b: &[u8]) -> Option<Core> {
    let mut core = Core {
        version: le32(b, 0)?,
        width: le16(b, 4)?,
        height: le16(b, 6)?,
        color_depth: depth(le16(b, 8)?),
        layout: le32(b, 12)?,
        build: le32(b, 16)?,
        name: utf16(b.get(20..52)?),
        keyboard: le32(b, 52)?,
        keyboard_subtype: le32(b, 56)?,
        function_keys: le32(b, 60)?,
        input_method: utf16(b.get(64..128)?),
        ..Core::default()
    };
    let _ = optional(b.get(128..)?, &mut core);
    Some(core)
}

/// The fields that older clients do not send, up to the first that is missing or not valid.
fn optional(b: &[u8], core: &mut Core) -> Option<()> {
    let millimetres = |at| le32(b, at).filter(|n| (10..=10_000).contains(n));
    if let word @ 1.. = le16(b, 0)? {
        core.color_depth = Some(depth(word)?);
    }
    core.product = Some(le16(b, 2)?);
    core.serial = Some(le32(b, 4)?);
    if let high @ 1.. = le16(b, 8).filter(|n| matches!(n, 0 | 4 | 8 | 15 | 16 | 24))? {
        core.color_depth = Some(high);
    }
    // Supported depths: four bits.
    le16(b, 10).filter(|n| n & !0x0f == 0)?;
    core.capabilities = Some(le16(b, 12).filter(|n| n & !0x07ff == 0)?);
    core.id = Some(utf16(b.get(14..78)?));
    core.connection = Some(b.get(78).copied().filter(|n| *n <= 7)?);
    // A pad octet, and what the server selected.
    le32(b, 80).filter(|n| matches!(n, 0 | 1 | 2 | 4 | 8))?;
    core.physical_width = Some(millimetres(84)?);
    core.physical_height = Some(millimetres(88)?);
    core.orientation = Some(le16(b, 92).filter(|n| matches!(n, 0 | 90 | 180 | 270))?);
    core.scale = Some(le32(b, 94).filter(|n| (100..=500).contains(n))?);
    core.device_scale = Some(le32(b, 98).filter(|n| matches!(n, 100 | 140 | 180))?);
    Some(())
}
