//! Profiles as files.
//!
//! ```text
//!  0   8  "WEIRPROF"
//!  8   2  format, 2
//! 10   2  0
//! 12   4  CRC-32C of what follows
//! 16      zlib: length of the head (4), head (JSON), frames (4), frames of STORED bytes, 1 if runs follow (1), runs,
//!         windows (4), each: key (4) and frames of each kind (4 × KINDS); ascending keys
//! ```
//!
//! Numbers are little-endian. Reading never panics, and never allocates by a length that the file only claims.

use super::sample::STORED;
use super::{Head, KINDS, Profile, RUNS, SAMPLE_MAX, SLOTS, SampledFrame};
use std::io::{Read, Write};
use weir_contract::crc::crc32c;

const MAGIC: &[u8; 8] = b"WEIRPROF";
const FORMAT: u16 = 2;
const START: usize = 16;
/// Most bytes that a profile unpacks to.
const UNPACKED_MAX: u64 = 64 << 20;
/// Most windows of a profile.
pub(super) const WINDOWS_MAX: usize = 1 << 20;
const GRAMS: usize = KINDS * RUNS.len() * SLOTS;

/// Why a profile cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// It begins otherwise.
    #[error("this is no profile")]
    Magic,
    /// A layout that this version does not know.
    #[error("the profile has format {0}, this version reads format {FORMAT}")]
    Format(u16),
    /// The checksum is wrong.
    #[error("a checksum is wrong: the profile was changed or cut short")]
    Checksum,
    /// It contradicts itself.
    #[error("the profile contradicts itself: {0}")]
    Content(&'static str),
}

impl ProfileError {
    /// What to do.
    pub fn remedy(&self) -> &'static str {
        match self {
            ProfileError::Magic => "name a capture, a directory of captures, or a file that --save-profile wrote",
            ProfileError::Format(_) => "learn it again with this version: name the captures, and --save-profile",
            ProfileError::Checksum | ProfileError::Content(_) => {
                "fetch the file again, or learn it again from its captures"
            }
        }
    }
}

/// These are the first bytes of a profile.
pub fn is_profile(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

impl Profile {
    /// As a file.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let head = serde_json::to_vec(&self.head).unwrap_or_default();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        body.extend(count(head.len()));
        body.extend(head);
        body.extend(count(self.sample.len()));
        for frame in &self.sample {
            frame.store(&mut body);
        }
        body.push(u8::from(!self.grams.is_empty()));
        body.extend(&self.grams);
        let mut windows: Vec<_> = self.windows.iter().collect();
        windows.sort_unstable();
        body.extend(count(windows.len()));
        for (key, counts) in windows {
            body.extend(key.to_le_bytes());
            body.extend(counts.iter().flat_map(|n| n.to_le_bytes()));
        }
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
        // Writing to memory does not fail.
        let packed = packed.write_all(&body).and_then(|()| packed.finish()).unwrap_or_default();
        let mut out = MAGIC.to_vec();
        out.extend(FORMAT.to_le_bytes());
        out.extend([0; 2]);
        out.extend(crc32c(&packed).to_le_bytes());
        out.extend(packed);
        out
    }

    /// From a file's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Profile, ProfileError> {
        if !is_profile(bytes) {
            return Err(ProfileError::Magic);
        }
        let start: &[u8; START] = bytes.first_chunk().ok_or(ProfileError::Checksum)?;
        let format = u16::from_le_bytes([start[8], start[9]]);
        if format != FORMAT || start[10..12] != [0; 2] {
            return Err(ProfileError::Format(format));
        }
        let packed = bytes.get(START..).unwrap_or_default();
        if crc32c(packed) != u32::from_le_bytes([start[12], start[13], start[14], start[15]]) {
            return Err(ProfileError::Checksum);
        }
        let mut body = Vec::new();
        let unpacked = flate2::read::ZlibDecoder::new(packed).take(UNPACKED_MAX + 1).read_to_end(&mut body);
        if unpacked.is_err() || body.len() as u64 > UNPACKED_MAX {
            return Err(ProfileError::Content("it cannot be unpacked"));
        }
        let mut profile = parse(&body)?;
        profile.digest = format!("{:08x}", crc32c(packed));
        Ok(profile)
    }
}

/// Takes so many bytes off the front.
fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], ProfileError> {
    let (bytes, behind) = rest.split_at_checked(length).ok_or(ProfileError::Content("it is cut short"))?;
    *rest = behind;
    Ok(bytes)
}

fn number(rest: &mut &[u8]) -> Result<u32, ProfileError> {
    let bytes = take(rest, 4)?;
    Ok(bytes.first_chunk().map_or(0, |word| u32::from_le_bytes(*word)))
}

fn parse(body: &[u8]) -> Result<Profile, ProfileError> {
    let wrong = ProfileError::Content;
    let mut rest = body;
    let length = number(&mut rest)? as usize;
    let head: Head = serde_json::from_slice(take(&mut rest, length)?).map_err(|_| wrong("its head cannot be read"))?;
    let m = &head.measured;
    let parts = [m.flagged, m.diverted, m.host, m.expected];
    if !parts.iter().flat_map(|p| [p.frames, p.bytes]).all(|part| (0.0..=1.0).contains(&part)) {
        return Err(wrong("a share is not between 0 and 1"));
    }
    let count = number(&mut rest)? as usize;
    if count > SAMPLE_MAX {
        return Err(wrong("its sample is too large"));
    }
    let stored = take(&mut rest, count * STORED)?;
    let frames = stored.chunks_exact(STORED).map(|bytes| bytes.first_chunk().and_then(SampledFrame::read));
    let sample = frames.collect::<Option<Vec<_>>>().ok_or(wrong("a frame of its sample cannot be read"))?;
    if sample.iter().any(|f| f.kind != SampledFrame::NO_KIND && usize::from(f.kind) >= KINDS) {
        return Err(wrong("a frame is of no kind"));
    }
    let grams = match take(&mut rest, 1)? {
        [0] => Vec::new(),
        [1] => take(&mut rest, GRAMS)?.to_vec(),
        _ => return Err(wrong("it is not said whether runs follow")),
    };
    let count = number(&mut rest)? as usize;
    if count > WINDOWS_MAX {
        return Err(wrong("it has too many windows"));
    }
    let stored = take(&mut rest, count * 4 * (KINDS + 1))?;
    let windows = stored.chunks_exact(4 * (KINDS + 1)).map(|bytes| {
        let mut words = bytes.chunks_exact(4).map(|b| b.first_chunk().map_or(0, |word| u32::from_le_bytes(*word)));
        (words.next().unwrap_or(0), std::array::from_fn(|_| words.next().unwrap_or(0)))
    });
    let windows: std::collections::HashMap<u32, [u32; KINDS]> = windows.collect();
    if windows.values().any(|counts| counts.iter().zip(head.kinds).any(|(n, all)| u64::from(*n) > all)) {
        return Err(wrong("a window stands in more frames than there are"));
    }
    if !rest.is_empty() {
        return Err(wrong("there are bytes behind its end"));
    }
    Ok(Profile { head, sample, grams, windows, digest: String::new() })
}
