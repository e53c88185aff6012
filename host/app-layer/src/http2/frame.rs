//! Frames (RFC 9113 section 4): heads, and the meaning of those that are not streamed.

use crate::wire::{be16, be32};

/// Bytes of a frame's head.
pub const HEAD: usize = 9;
/// What the client sends first (section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const WITH_PRIORITY: u8 = 0x20;

/// Head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Bytes of the payload.
    pub length: u32,
    /// Type.
    pub kind: u8,
    /// Flags.
    pub flags: u8,
    /// Stream, without the reserved bit.
    pub stream: u32,
}

impl Frame {
    /// Read a head.
    pub fn read(bytes: &[u8; HEAD]) -> Frame {
        let [a, b, c, kind, flags, s0, s1, s2, s3] = *bytes;
        Frame {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        }
    }

    /// The stream ends in this direction.
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The header block ends.
    pub fn ends_headers(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    /// That settings of the other side were understood (RFC 9113 section 6.5.3).
    pub fn acknowledges(&self) -> bool {
        self.kind == SETTINGS && self.flags & 1 != 0 && self.length == 0 && self.stream == 0
    }

    /// May come for a stream that is over (RFC 9113 section 5.1).
    pub fn may_follow_end(&self) -> bool {
        matches!(self.kind, RST_STREAM | WINDOW_UPDATE | PRIORITY)
    }

    /// Carries a part of a header block.
    pub fn has_block(&self) -> bool {
        matches!(self.kind, HEADERS | PUSH_PROMISE | CONTINUATION)
    }

    /// The payload is read as it comes.
    pub fn is_streamed(&self) -> bool {
        self.kind == DATA || self.has_block()
    }

    fn padded(&self) -> bool {
        matches!(self.kind, DATA | HEADERS | PUSH_PROMISE) && self.flags & PADDED != 0
    }

    /// Fixed fields before what a streamed frame carries.
    pub fn prologue(&self) -> u32 {
        let own = match self.kind {
            HEADERS if self.flags & WITH_PRIORITY != 0 => 5,
            PUSH_PROMISE => 4,
            _ => 0,
        };
        own + u32::from(self.padded())
    }

    /// Read the fixed fields.
    pub fn read_prologue(&self, bytes: &[u8]) -> Prologue {
        let padding = if self.padded() { bytes.first().copied().unwrap_or(0) } else { 0 };
        let own = bytes.get(usize::from(self.padded())..).unwrap_or(&[]);
        Prologue {
            padding,
            weight: if self.kind == HEADERS { own.get(4).copied() } else { None },
            promised: if self.kind == PUSH_PROMISE { be32(own, 0).map(|n| n & 0x7fff_ffff) } else { None },
        }
    }

    /// Bytes of the payload that mean something; what follows them is skipped.
    pub fn meaning(&self) -> u32 {
        match self.kind {
            SETTINGS => SETTINGS_MAX,
            PRIORITY => 5,
            RST_STREAM | WINDOW_UPDATE => 4,
            GOAWAY => 8,
            _ => 0,
        }
    }

    /// The length is one that the type has (section 6).
    pub fn length_fits(&self) -> bool {
        match self.kind {
            SETTINGS => self.length % 6 == 0,
            PRIORITY => self.length == 5,
            RST_STREAM | WINDOW_UPDATE => self.length == 4,
            PING => self.length == 8,
            GOAWAY => self.length >= 8,
            _ => true,
        }
    }
}

/// Most bytes of settings that are read: the default size of a frame (section 6.5.2).
const SETTINGS_MAX: u32 = 16_384;

/// Fixed fields of a streamed frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prologue {
    /// Bytes of padding at the end.
    pub padding: u8,
    /// Weight.
    pub weight: Option<u8>,
    /// The stream that is promised.
    pub promised: Option<u32>,
}

/// What a frame says, for rules and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// Type of a frame.
    Type(u8),
    /// Error code (section 7) with which a connection ends.
    Error(u32),
    /// Error code with which a stream ends.
    Reset(u32),
    /// Weight of a priority.
    Priority(u8),
    /// Increment of a window.
    Window(u32),
    /// Size update of the header compression.
    Size(u64),
    /// A setting: identifier and value.
    Setting(u16, u32),
}

/// Facts of a whole frame that is not streamed.
pub fn facts(kind: u8, bytes: &[u8], mut each: impl FnMut(Fact)) {
    match kind {
        SETTINGS => {
            for pair in bytes.chunks_exact(6) {
                if let (Some(id), Some(value)) = (be16(pair, 0), be32(pair, 2)) {
                    each(Fact::Setting(id, value));
                }
            }
        }
        PRIORITY => {
            if let Some(weight) = bytes.get(4) {
                each(Fact::Priority(*weight));
            }
        }
        RST_STREAM | GOAWAY => {
            if let Some(code) = be32(bytes, if kind == GOAWAY { 4 } else { 0 }) {
                each(if kind == GOAWAY { Fact::Error(code) } else { Fact::Reset(code) });
            }
        }
        WINDOW_UPDATE => {
            if let Some(n) = be32(bytes, 0) {
                each(Fact::Window(n & 0x7fff_ffff));
            }
        }
        _ => {}
    }
}

/// Name of the error of a stream in logs, as Suricata writes it.
pub fn reset_name(code: u32) -> Option<&'static str> {
    const NAMES: [&str; 14] = [
        "NoError",
        "ProtocolError",
        "InternalError",
        "FlowControlError",
        "SettingsTimeout",
        "StreamClosed",
        "FrameSizeError",
        "RefusedStream",
        "Cancel",
        "CompressionError",
        "ConnectError",
        "EnhanceYourCalm",
        "InadequateSecurity",
        "Http11Required",
    ];
    NAMES.get(code as usize).copied()
}

/// Name of a setting in logs (section 6.5.2).
pub fn setting_name(id: u16) -> Option<&'static str> {
    Some(match id {
        1 => "SETTINGSHEADERTABLESIZE",
        2 => "SETTINGSENABLEPUSH",
        3 => "SETTINGSMAXCONCURRENTSTREAMS",
        4 => "SETTINGSINITIALWINDOWSIZE",
        5 => "SETTINGSMAXFRAMESIZE",
        6 => "SETTINGSMAXHEADERLISTSIZE",
        8 => "SETTINGSENABLECONNECTPROTOCOL",
        _ => return None,
    })
}

/// Name of an error code in logs (section 7).
pub fn error_name(code: u32) -> Option<&'static str> {
    const NAMES: [&str; 14] = [
        "NOERROR",
        "PROTOCOLERROR",
        "INTERNALERROR",
        "FLOWCONTROLERROR",
        "SETTINGSTIMEOUT",
        "STREAMCLOSED",
        "FRAMESIZEERROR",
        "REFUSEDSTREAM",
        "CANCEL",
        "COMPRESSIONERROR",
        "CONNECTERROR",
        "ENHANCEYOURCALM",
        "INADEQUATESECURITY",
        "HTTP11REQUIRED",
    ];
    NAMES.get(code as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let frame = Frame::read(&[0, 1, 2, HEADERS, 0x2d, 0x80, 0, 0, 3]);
        assert_eq!(frame, Frame { length: 258, kind: HEADERS, flags: 0x2d, stream: 3 });
        assert!(frame.ends_stream() && frame.ends_headers());
        assert_eq!(frame.prologue(), 6);
        let prologue = frame.read_prologue(&[7, 0, 0, 0, 1, 255]);
        assert_eq!(prologue, Prologue { padding: 7, weight: Some(255), promised: None });
        let promise = Frame { kind: PUSH_PROMISE, flags: 0, ..frame };
        assert_eq!(promise.read_prologue(&[0x80, 0, 0, 2]).promised, Some(2));
        assert!(!Frame { kind: SETTINGS, length: 7, ..frame }.length_fits());
    }

    #[test]
    fn meanings() {
        let all = |kind, bytes: &[u8]| {
            let mut out = Vec::new();
            facts(kind, bytes, |fact| out.push(fact));
            out
        };
        assert_eq!(all(SETTINGS, &[0, 3, 0, 0, 0, 100, 0, 4, 0, 1, 0, 0, 9]), [Fact::Setting(3, 100), Fact::Setting(4, 65_536)]);
        assert_eq!(all(GOAWAY, &[0, 0, 0, 1, 0, 0, 0, 11]), [Fact::Error(11)]);
        assert_eq!(all(WINDOW_UPDATE, &[0x80, 0, 0, 5]), [Fact::Window(5)]);
        assert_eq!(all(PRIORITY, &[0, 0, 0, 0]), []);
        assert_eq!((setting_name(3), error_name(0), error_name(99)), (Some("SETTINGSMAXCONCURRENTSTREAMS"), Some("NOERROR"), None));
    }
}
