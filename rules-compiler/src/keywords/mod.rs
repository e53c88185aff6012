//! Every keyword of Suricata 8, and those of Snort that rule sets use, in one table.
//!
//! [`find`] gives the entry for a word as written (case does not count, aliases are known); [`crate::lower`]
//! dispatches on [`Handler`]. A keyword Weir does not implement is in the table with the reason.

mod named;
mod table;

pub use named::{NamedValue, numbers_of};

use std::collections::HashMap;
use std::sync::LazyLock;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;
use weir_ir::condition::{Checksum, FlowSide};

/// One keyword.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Keyword {
    /// The name used in messages and statistics.
    pub name: &'static str,
    /// Other spellings.
    pub aliases: &'static [&'static str],
    /// Form of the value, for help texts; empty when it takes none.
    pub arguments: &'static str,
    /// What lowering does with it.
    pub handler: Handler,
}

impl Keyword {
    /// Weir implements it (the engine may still lack a protocol it needs).
    pub fn is_supported(&self) -> bool {
        !matches!(self.handler, Handler::Unsupported(_))
    }
}

/// Meaning of a keyword.
#[derive(Debug, Clone, Copy, PartialEq)]
#[rustfmt::skip]
#[allow(missing_docs, reason = "one variant for each keyword or family, named as the keyword")]
pub enum Handler {
    // Words about the rule.
    Message, Sid, Rev, Gid, Classtype, Priority, Reference, Metadata, Target, Requires,
    /// Read, without effect here.
    Ignored,
    // Contents and what modifies them.
    Content, UriContent, Nocase, Rawbytes, Depth, Offset, Distance, Within, StartsWith, EndsWith, FastPattern,
    // Other matches within a buffer.
    Pcre, ByteTest, ByteJump, ByteExtract, ByteMath, IsDataAt, BufferSize, BufferLength, Absent, Base64Decode, Dataset, Datarep, Entropy, Prefilter, Bypass, Config, Frame,
    /// Sets the buffer for what follows.
    Sticky(Buffer),
    /// Moves the content before it (Suricata's old style); sets the buffer in Snort 3.
    Modifier(Buffer),
    /// Back to the payload.
    PacketData,
    /// Changes the bytes of the sticky buffer.
    Transform(TransformKind),
    // Flow and state.
    Flow, Flowbits, Flowint, Xbits, Hostbits, Threshold, DetectionFilter, Tag, Noalert, Alert,
    // Packet.
    PayloadSize, UriLength, TcpFlags, TcpSequence, TcpAck, TcpWindow, TcpMss, TcpWindowScale, IcmpType, IcmpCode, IcmpId,
    IcmpSequence, Icmpv6Mtu, Ttl, Tos, IpId, IpProtocol, IpOptions, SameIp, FragmentBits, FragmentOffset, StreamSize,
    FlowAge, FlowPackets(Option<FlowSide>), FlowBytes(Option<FlowSide>), VlanId, VlanLayers, Rpc, FtpBounce, Asn1,
    Checksum(Checksum), Reputation, Geography,
    // Events.
    DecodeEvent, StreamEvent, AppLayerEvent,
    // Application layer.
    AppLayerProtocol, TlsVersion, SslVersion, SslState, TlsCertExpired, TlsCertValid, TlsNotBefore, TlsNotAfter,
    TlsCertChainLength, DnsOpcode, DnsRcode, DnsRrtype, FtpDataCommand, FileStore, FileSize, SmbVersion, DceInterface,
    DceOpnum, TlsStore,
    /// A content keyword of its own: `tls.subject:"x"` and the like.
    OldContent(Buffer, OldContentForm),
    /// A list of digests of files.
    FileDigest(Buffer),
    /// A numeric field of the parser of this protocol; the names of its values are in [`numbers_of`].
    Named(AppProtocol),
    /// Not implemented: why.
    Unsupported(&'static str),
}

/// How an old content-like keyword matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldContentForm {
    /// Somewhere within.
    Anywhere,
    /// Somewhere within, in any case.
    AnyCase,
    /// The whole buffer, lower case.
    WholeLower,
    /// At the end, behind a dot, in any case (`fileext`).
    Extension,
}

/// Transforms by name; their arguments are read by lowering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[rustfmt::skip]
#[allow(missing_docs, reason = "named as the keywords")]
pub enum TransformKind {
    DotPrefix, StripWhitespace, CompressWhitespace, ToMd5, ToSha1, ToSha256, UrlDecode, Xor, PcreExtract, HeaderLowercase,
    StripPseudoHeaders, ToLowercase, ToUppercase, FromBase64, Domain, Tld, Gunzip, ZlibInflate,
}

/// All keywords.
pub fn all() -> &'static [Keyword] {
    table::KEYWORDS
}

static INDEX: LazyLock<HashMap<&'static str, &'static Keyword>> = LazyLock::new(|| {
    let mut index = HashMap::new();
    for keyword in table::KEYWORDS {
        index.insert(keyword.name, keyword);
        for alias in keyword.aliases {
            index.insert(alias, keyword);
        }
    }
    index
});

/// Look a word up, as written in a rule.
pub fn find(word: &[u8]) -> Option<&'static Keyword> {
    const LONGEST: usize = 48;
    let text = std::str::from_utf8(word).ok()?;
    if let Some(found) = INDEX.get(text) {
        return Some(found);
    }
    let mut lower = [0u8; LONGEST];
    let lower = lower.get_mut(..word.len())?;
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    INDEX.get(std::str::from_utf8(lower).ok()?).copied()
}

/// A keyword of similar name.
pub fn suggest(word: &str) -> Option<&'static str> {
    crate::diag::nearest(
        word,
        table::KEYWORDS.iter().flat_map(|k| std::iter::once(k.name).chain(k.aliases.iter().copied())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_findable() {
        let mut seen = std::collections::HashSet::new();
        for keyword in all() {
            for name in std::iter::once(&keyword.name).chain(keyword.aliases) {
                assert!(seen.insert(*name), "{name} twice");
                assert!(name.len() <= 48);
                assert_eq!(find(name.to_uppercase().as_bytes()).map(|k| k.name), Some(keyword.name));
            }
        }
        for buffer in Buffer::ALL {
            // Frames are values of `frame`.
            if *buffer != Buffer::Payload && buffer.frame_number().is_none() {
                assert!(find(buffer.name().as_bytes()).is_some(), "no keyword for {}", buffer.name());
            }
        }
        assert_eq!(suggest("http.url"), Some("http.uri"));
        assert!(find(&[0xff; 200]).is_none());
    }
}
