//! Packets from descriptions: what tests, scenarios and the README's example replay.
//!
//! Three ways in, one below the other: [`compile`] turns the text of a scenario into a capture; [`Scenario`] is the same
//! as calls; [`wire`] builds single frames. [`example`] makes a varied capture from a seed. All of it is deterministic:
//! the same description gives the same bytes. Checksums and lengths are right unless the description says otherwise.
//!
//! # The text
//!
//! One statement per line, `#` starts a comment. Payload is written as in rules: `"text"` with `|0d 0a|` bytes and the
//! escapes `\r \n \t \\ \" \| \xHH`; several pieces are put together.
//!
//! ```text
//! link ethernet                       # or raw, null; by number (LINKTYPE) for `frame` statements only
//! time 1700000000.0                   # of the next packet, seconds
//! step 1ms                            # between packets
//! wait 2s                             # once
//!
//! tcp web 10.0.0.1:40000 > 10.0.0.2:80 vlan=10,20 mss=1460 isn=1000,5000 segment=100 timestamps
//! web handshake                       # SYN, SYN+ACK, ACK
//! web > http-request GET /index.html host=example.com header="X-Test: 1"
//! web < http-response 200 body="hello" type=text/plain
//! web > "part one, " "part two" segment=5 order=2,1 repeat=2 lose=3
//! web > "OVER" offset=-4              # overlaps the last four bytes sent
//! web packet > "data" flags=PAU seq=+10 ack=-2 window=0 urgent=3   # changes no state
//! web close                           # FIN both ways; also: fin >, rst <, syn >, synack <, ack <, keepalive >
//!
//! udp d 10.0.0.1:5353 > 10.0.0.53:53
//! d > dns-query example.com type=A id=7
//! d < dns-answer example.com data=192.0.2.1 id=7
//! icmp p 10.0.0.1 > 10.0.0.2 id=9
//! p > "ping"                          # echo request; < is the reply; type= and code= for others
//! ip raw 10.0.0.1 > 10.0.0.2 protocol=89
//! raw > |01 02|
//! frame |ff ff ff ff ff ff 02 00 00 00 00 01 08 06|
//! ```
//!
//! Every sending statement also takes `fragment=SIZE`, `fragment-order=reverse|2,1,3`, `fragment-overlap=BYTES`,
//! `bad-checksum=ip|transport`, `truncate=BYTES` (of the captured frame), `ttl=`, `tos=`, `wait=`. Flows take `vlan=`,
//! `mpls=`, `pppoe`, `wrap=vxlan:FROM:TO:VNI` (also `geneve`, `gre`, `ipip`, `erspan`), `ttl=`.
#![forbid(unsafe_code)]

use weir_capture::CaptureWriter;
use weir_packet::link_types;

pub mod example;
pub mod payload;
mod random;
mod scenario;
mod text;
pub mod wire;

pub use random::Random;
pub use scenario::{DataOptions, Flow, FlowOptions, PacketFields, Scenario, SendOptions};
/// Further settings of flows and packets.
pub mod scenario_options {
    pub use crate::scenario::{Acks, Number};
}
pub use text::{ScenarioError, compile};
pub use wire::Way;

/// A frame that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SynthFrame {
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// Captured bytes.
    pub bytes: Vec<u8>,
    /// Length on the wire.
    pub wire_length: u32,
}

/// Frames of one link type, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// LINKTYPE_* value.
    pub link: u16,
    /// The frames.
    pub frames: Vec<SynthFrame>,
}

impl Default for Capture {
    fn default() -> Self {
        Capture { link: link_types::ETHERNET, frames: Vec::new() }
    }
}

impl Capture {
    /// As a pcap file.
    pub fn to_pcap(&self) -> Vec<u8> {
        let write = || {
            let mut writer = CaptureWriter::new(Vec::new(), self.link)?;
            for frame in &self.frames {
                writer.write(frame.time, &frame.bytes, frame.wire_length)?;
            }
            writer.finish()
        };
        // Writing to memory fails only for frames of 4 GiB, which nothing here makes.
        let written: std::io::Result<Vec<u8>> = write();
        written.unwrap_or_default()
    }

    /// The frames as the engine takes them, numbered from 1.
    pub fn frames(&self) -> impl Iterator<Item = weir_packet::Frame<'_>> {
        self.frames.iter().zip(1..).map(|(frame, number)| weir_packet::Frame {
            number,
            time: weir_packet::Time(frame.time),
            link: self.link,
            data: &frame.bytes,
            wire_length: frame.wire_length,
        })
    }
}

#[cfg(test)]
mod tests;
