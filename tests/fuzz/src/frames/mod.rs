//! Lists of frames as inputs: a container that survives mutation, and mutations that know what a frame is.
//!
//! Layout, little endian: link type u16, choices u16 (targets use them as they like); then for each frame its length u16,
//! bytes missing from the capture u16, microseconds since the frame before u32, and its bytes. What is cut short is taken as
//! far as it goes: any bytes are a list of frames.

mod mutate;
mod packet;

pub use mutate::mutate;
pub use packet::repair_frame;

use crate::random::Bytes;
use std::ops::Range;
use std::path::Path;
use weir_capture::CaptureReader;
use weir_synth::{Capture, SynthFrame};

/// A frame of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListedFrame {
    /// Microseconds since the frame before.
    pub delay: u32,
    /// Bytes that were on the wire and are not here.
    pub missing: u16,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Frames of one link type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameList {
    /// LINKTYPE_* value.
    pub link: u16,
    /// For the target.
    pub choices: u16,
    /// The frames.
    pub frames: Vec<ListedFrame>,
}

impl Default for FrameList {
    fn default() -> Self {
        FrameList { link: 1, choices: 0, frames: Vec::new() }
    }
}

const HEAD: usize = 4;
const FRAME_HEAD: usize = 8;
/// Time of the first frame, nanoseconds.
const START: u64 = 1_700_000_000_000_000_000;

impl FrameList {
    /// Any bytes are a list.
    pub fn decode(bytes: &[u8]) -> FrameList {
        let mut rest = Bytes(bytes);
        let mut list = FrameList { link: rest.u16(), choices: rest.u16(), frames: Vec::new() };
        while !rest.is_empty() {
            let (length, missing, delay) = (rest.u16(), rest.u16(), rest.u32());
            list.frames.push(ListedFrame { delay, missing, bytes: rest.take(length.into()).to_vec() });
        }
        list
    }

    /// The bytes of a list.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(self.link.to_le_bytes());
        out.extend(self.choices.to_le_bytes());
        for frame in &self.frames {
            let length = frame.bytes.len().min(usize::from(u16::MAX));
            out.extend((length as u16).to_le_bytes());
            out.extend(frame.missing.to_le_bytes());
            out.extend(frame.delay.to_le_bytes());
            out.extend_from_slice(frame.bytes.get(..length).unwrap_or_default());
        }
        out
    }

    /// As a capture in memory.
    pub fn capture(&self) -> Capture {
        let mut time = START;
        let frames = self.frames.iter().map(|frame| {
            time += u64::from(frame.delay) * 1000;
            SynthFrame {
                time,
                bytes: frame.bytes.clone(),
                wire_length: (frame.bytes.len() + usize::from(frame.missing)) as u32,
            }
        });
        Capture { link: self.link, frames: frames.collect() }
    }

    /// From a capture in memory.
    pub fn from_capture(capture: &Capture) -> FrameList {
        let mut last = None;
        let frames = capture.frames.iter().map(|frame| {
            let delay = last.map_or(0, |last| frame.time.saturating_sub(last) / 1000);
            last = Some(frame.time);
            ListedFrame {
                delay: delay.min(u64::from(u32::MAX)) as u32,
                missing: (frame.wire_length as usize).saturating_sub(frame.bytes.len()).min(usize::from(u16::MAX)) as u16,
                bytes: frame.bytes.clone(),
            }
        });
        FrameList { link: capture.link, choices: 0, frames: frames.collect() }
    }
}

/// Parts that can be left out: single frames.
pub fn parts(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = HEAD;
    while at < bytes.len() {
        let length = bytes.get(at..at + 2).map_or(0, |b| usize::from(u16::from_le_bytes([b[0], b[1]])));
        let end = (at + FRAME_HEAD + length).min(bytes.len());
        found.push(at..end);
        at = end;
    }
    found
}

/// Right checksums and lengths in all frames.
pub fn repair(bytes: &mut Vec<u8>) {
    let mut list = FrameList::decode(bytes);
    for frame in &mut list.frames {
        repair_frame(list.link, &mut frame.bytes);
    }
    *bytes = list.encode();
}

/// Windows of the captures in a folder, each short enough for one input.
pub fn from_captures(directory: &Path, frames: usize, longest: usize, windows: usize) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for path in crate::seeds::files(directory) {
        let Ok(mut reader) = CaptureReader::open(&path) else { continue };
        for _ in 0..windows {
            let Some(list) = window(&mut reader, frames, longest) else { break };
            found.push(list.encode());
        }
    }
    found
}

fn window(reader: &mut CaptureReader, most: usize, longest: usize) -> Option<FrameList> {
    let mut list: Option<FrameList> = None;
    let (mut size, mut last) = (HEAD, None);
    while let Ok(Some(frame)) = reader.next_frame() {
        let list = list.get_or_insert_with(|| FrameList { link: frame.link, ..FrameList::default() });
        size += FRAME_HEAD + frame.data.len();
        if list.frames.len() >= most || size > longest || frame.link != list.link {
            break;
        }
        let delay = last.map_or(0, |last| frame.time.0.saturating_sub(last) / 1000);
        last = Some(frame.time.0);
        list.frames.push(ListedFrame {
            delay: delay.min(u64::from(u32::MAX)) as u32,
            missing: (frame.wire_length as usize).saturating_sub(frame.data.len()).min(usize::from(u16::MAX)) as u16,
            bytes: frame.data.to_vec(),
        });
    }
    list.filter(|list| !list.frames.is_empty())
}

/// Made traffic: every protocol that the synthesiser knows, and the texts below.
pub fn made() -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> =
        (0..12).map(|seed| FrameList::from_capture(&weir_synth::example::example(seed, 4)).encode()).collect();
    for text in TEXTS {
        match weir_synth::compile(text) {
            Ok(capture) => found.push(FrameList::from_capture(&capture).encode()),
            Err(error) => panic!("{error}"),
        }
    }
    found
}

/// Traffic with what captures rarely hold.
pub const TEXTS: &[&str] = &[
    "tcp w 10.0.0.1:40000 > 10.0.0.2:80\nw handshake\nw > http-request POST /a%2e/b?attack host=example.com body=\"evil=1\" segment=9\n\
     w < http-response 200 body=\"<script>hidden</script>\" segment=20\nw close\n",
    "tcp w 10.0.0.1:40001 > 10.0.0.2:80\nw handshake\nw > \"GET /evil HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n\" segment=4 order=3,1,2\n\
     w > \"OVERLAP\" offset=-4\nw < \"HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\n\\r\\nevil\"\nw close\n",
    "udp d 10.0.0.1:5353 > 10.0.0.53:53\nd > dns-query evil.example.com type=A id=7\nd < dns-answer evil.example.com data=192.0.2.1 id=7\n\
     d > dns-query evil.example.com type=A id=8 fragment=16\n",
    "tcp d 10.0.0.1:5353 > 10.0.0.53:53 vlan=10,20\nd handshake\nd > |00 1d|\nd > dns-query evil.example.com type=A id=7\nd close\n",
    "icmp p 10.0.0.1 > 10.0.0.2 id=9\np > \"ping with a long enough evil payload\"\np < \"ping\"\nip raw 10.0.0.1 > 10.0.0.2 protocol=89\nraw > |01 02|\n\
     p > \"a long ping that is sent in pieces of eight bytes each\" fragment=24 fragment-order=reverse\n",
    "tcp w [2001:db8::1]:40000 > [2001:db8::2]:8080 vlan=5\nw handshake\nw > http-request GET /evil host=example.com\nw rst <\n",
    "tcp w 10.0.0.1:40002 > 10.0.0.2:443 wrap=gre:192.0.2.1:192.0.2.2\nw handshake\nw > \"hello evil\"\nw close\n\
     udp u 10.0.0.1:4000 > 10.0.0.2:4001 wrap=vxlan:192.0.2.1:192.0.2.2:7\nu > \"evil in a tunnel\"\n",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn lists_survive() {
        for seed in made() {
            let list = FrameList::decode(&seed);
            assert!(!list.frames.is_empty());
            assert_eq!(list.encode(), seed);
            let mut repaired = seed.clone();
            repair(&mut repaired);
            assert!(FrameList::decode(&repaired).frames.len() == list.frames.len());
            assert_eq!(parts(&seed).len(), list.frames.len());
        }
        let mut random = Random::new(3);
        for length in 0..200 {
            let bytes: Vec<u8> = (0..length).map(|_| random.byte()).collect();
            let list = FrameList::decode(&bytes);
            assert_eq!(FrameList::decode(&list.encode()), list);
        }
    }

    /// Frames that are right stay as they are: what is repaired is what mutation broke.
    #[test]
    fn right_frames_need_no_repair() {
        let list = FrameList::from_capture(&weir_synth::example::example(5, 6));
        for frame in &list.frames {
            let mut bytes = frame.bytes.clone();
            repair_frame(list.link, &mut bytes);
            assert_eq!(bytes, frame.bytes);
            if let Some(at) = bytes.len().checked_sub(1) {
                bytes[at] ^= 0x55;
                repair_frame(list.link, &mut bytes);
                let mut decoder = weir_packet::Decoder::new(weir_packet::DecoderConfig::default());
                let frame = weir_packet::Frame {
                    number: 1,
                    time: weir_packet::Time(1),
                    link: list.link,
                    data: &bytes,
                    wire_length: bytes.len() as u32,
                };
                decoder.decode(&frame, &mut |packet| assert_ne!(packet.transport_checksum_valid(), Some(false)));
            }
        }
    }
}
