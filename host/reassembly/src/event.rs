//! Stream events, by the names rules use (`stream-event:…`).

macro_rules! events {
    ($($variant:ident = $name:literal,)*) => {
        /// A stream event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum StreamEvent { $(#[doc = concat!("`", $name, "`")] $variant,)* }
        impl StreamEvent {
            /// All, in numeric order.
            pub const ALL: &'static [StreamEvent] = &[$(StreamEvent::$variant,)*];
            /// Name in rules.
            pub fn name(self) -> &'static str { match self { $(StreamEvent::$variant => $name,)* } }
        }
    };
}

events! {
    AckDataInject3whs = "3whs_ack_data_inject",
    AckInWrongDir3whs = "3whs_ack_in_wrong_dir",
    AsyncWrongSeq3whs = "3whs_async_wrong_seq",
    RightSeqWrongAck3whs = "3whs_right_seq_wrong_ack_evasion",
    SynFlood3whs = "3whs_syn_flood",
    SynResendDiffSeq3whs = "3whs_syn_resend_diff_seq_on_syn_recv",
    SynToClient3whs = "3whs_syn_toclient_on_syn_recv",
    SynackFlood3whs = "3whs_synack_flood",
    SynackInWrongDirection3whs = "3whs_synack_in_wrong_direction",
    SynackResendDiffSeq3whs = "3whs_synack_resend_with_diff_seq",
    SynackResendDiffAck3whs = "3whs_synack_resend_with_different_ack",
    SynackTfoDataIgnored3whs = "3whs_synack_tfo_data_ignored",
    SynackToServer3whs = "3whs_synack_toserver_on_syn_recv",
    SynackWrongAck3whs = "3whs_synack_with_wrong_ack",
    WrongSeqWrongAck3whs = "3whs_wrong_seq_wrong_ack",
    InvalidAck4whs = "4whs_invalid_ack",
    SynackWrongAck4whs = "4whs_synack_with_wrong_ack",
    SynackWrongSyn4whs = "4whs_synack_with_wrong_syn",
    WrongSeq4whs = "4whs_wrong_seq",
    ClosewaitAckOutOfWindow = "closewait_ack_out_of_window",
    ClosewaitFinOutOfWindow = "closewait_fin_out_of_window",
    ClosewaitInvalidAck = "closewait_invalid_ack",
    ClosewaitPktBeforeLastAck = "closewait_pkt_before_last_ack",
    ClosingAckWrongSeq = "closing_ack_wrong_seq",
    ClosingInvalidAck = "closing_invalid_ack",
    EstInvalidAck = "est_invalid_ack",
    EstPacketOutOfWindow = "est_packet_out_of_window",
    EstPktBeforeLastAck = "est_pkt_before_last_ack",
    EstSynResend = "est_syn_resend",
    EstSynResendDiffSeq = "est_syn_resend_diff_seq",
    EstSynToClient = "est_syn_toclient",
    EstSynackResend = "est_synack_resend",
    EstSynackResendDiffSeq = "est_synack_resend_with_diff_seq",
    EstSynackResendDiffAck = "est_synack_resend_with_different_ack",
    EstSynackToServer = "est_synack_toserver",
    Fin1AckWrongSeq = "fin1_ack_wrong_seq",
    Fin1FinWrongSeq = "fin1_fin_wrong_seq",
    Fin1InvalidAck = "fin1_invalid_ack",
    Fin2AckWrongSeq = "fin2_ack_wrong_seq",
    Fin2FinWrongSeq = "fin2_fin_wrong_seq",
    Fin2InvalidAck = "fin2_invalid_ack",
    FinButNoSession = "fin_but_no_session",
    FinInvalidAck = "fin_invalid_ack",
    FinOutOfWindow = "fin_out_of_window",
    FinSyn = "fin_syn",
    LastackAckWrongSeq = "lastack_ack_wrong_seq",
    LastackInvalidAck = "lastack_invalid_ack",
    PktBadWindowUpdate = "pkt_bad_window_update",
    PktBrokenAck = "pkt_broken_ack",
    PktInvalidAck = "pkt_invalid_ack",
    PktInvalidTimestamp = "pkt_invalid_timestamp",
    PktRetransmission = "pkt_retransmission",
    PktSpuriousRetransmission = "pkt_spurious_retransmission",
    ReassemblyDepthReached = "reassembly_depth_reached",
    ReassemblyOverlapDifferentData = "reassembly_overlap_different_data",
    ReassemblySegmentBeforeBaseSeq = "reassembly_segment_before_base_seq",
    ReassemblySeqGap = "reassembly_seq_gap",
    ReassemblyUrgentOobLimit = "reassembly_urgent_oob_limit_reached",
    RstButNoSession = "rst_but_no_session",
    RstInvalidAck = "rst_invalid_ack",
    ShutdownSynResend = "shutdown_syn_resend",
    SuspectedRstInject = "suspected_rst_inject",
    TimewaitAckWrongSeq = "timewait_ack_wrong_seq",
    TimewaitInvalidAck = "timewait_invalid_ack",
    WrongThread = "wrong_thread",
}

impl StreamEvent {
    /// By name in rules.
    pub fn from_name(name: &str) -> Option<StreamEvent> {
        StreamEvent::ALL.iter().copied().find(|event| event.name() == name)
    }
}

/// A set of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamEvents(pub u128);

impl StreamEvents {
    /// Add one.
    pub fn insert(&mut self, event: StreamEvent) {
        self.0 |= 1 << event as u8;
    }
    /// Membership.
    pub fn contains(self, event: StreamEvent) -> bool {
        self.0 & 1 << event as u8 != 0
    }
    /// No event.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// The members, in order.
    pub fn iter(self) -> impl Iterator<Item = StreamEvent> {
        StreamEvent::ALL.iter().copied().filter(move |event| self.contains(*event))
    }
}
