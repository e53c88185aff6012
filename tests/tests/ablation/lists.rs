//! Guards of which no scenario can show the loss, with the reason.

use weir_contract::guards::Guard;

/// No plan leads these to a record: they are counted, and free for planners to come. `plans` checks that it stays so.
pub const NOT_ARMED: &[(Guard, &str)] = &[
    (Guard::ExtHeader, "events of IPv6 take every IPv6 frame"),
    (Guard::ChecksumIp, "the host ignores such packets; what it makes of the next ones is seen as sequence trouble"),
    (Guard::ChecksumL4, "as checksum_ip"),
    (Guard::IcmpError, "events of ICMP take every ICMP frame"),
    (Guard::HeaderOdd, "no event that the host raises depends on it alone"),
    (Guard::NoSyn, "without midstream such flows have no stream; with it stream_state fires"),
    (Guard::NewFlow, "a fact for statistics"),
    (Guard::AckOdd, "stream events but one take every TCP frame; the device narrows nothing behind such a segment"),
    (Guard::HandshakeOdd, "as ack_odd"),
    (Guard::TcpFlagsOdd, "as ack_odd"),
    (Guard::Reset, "as ack_odd"),
    (
        Guard::PercentEscape,
        "the one planned buffer that is decoded is the request target, which has a guard of its own",
    ),
    (Guard::UriPlus, "the host keeps `+`"),
    (Guard::RequestSpaceOdd, "no fragment reaches over the white space of a request line"),
    (Guard::EqualsEscape, "mail bodies are not planned"),
];

/// The contract has every image lead these to a record that always holds (of a gap: while the protocol is not decided);
/// nothing depends on them alone, because another guard or the literal filter sees whatever could be missed.
pub const NOT_NEEDED: &[(Guard, &str)] = &[
    (
        Guard::SequenceGap,
        "what fills a gap raises sequence_overlap, what stands on both sides of one that nothing fills is seen with the \
         tail, and once bytes of a start are missing every class is possible; while the protocol is not decided, the guard \
         diverts all the same, which costs nothing",
    ),
    (
        Guard::RstData,
        "the payload is no part of the stream and is scanned as a packet; payload behind it raises after_close, whether \
         or not the host believes the reset",
    ),
    (
        Guard::AfterClose,
        "what the host still delivers is in order, so filter and facts see it with the tail; what it does not deliver \
         is scanned as a packet",
    ),
];
