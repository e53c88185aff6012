//! Streams that are inspected when they are acknowledged (`stream.inspect = "acknowledged"`).
//!
//! The session delivers bytes when the other side acknowledges them: on a packet of the *other* direction. Parsers have
//! them then, so records of transactions name that packet. Rules look at a direction on its own packets: what was
//! delivered waits for the next one, or for the flow's end, which is inspected as a packet without bytes of each
//! direction. Rules that look at the stream itself wait until there is a chunk of it, its message is complete, or the
//! initiator has closed.
//!
//! Bounded: a direction's waiting bytes are inspected with whatever packet is there once they exceed [`WAITING_MAX`], and
//! so are its transactions once [`OPEN_MAX`] live.

use crate::config::EngineConfig;
use crate::engine::{Deliver, pair_of};
use crate::flow_data::FlowData;
use crate::inspect::{FlowName, Inspector, end_packet_of, flow_ends, say_protocol, side};
use std::collections::VecDeque;
use weir_app_layer::expectation::Expectations;
use weir_app_layer::{AppLayerFlow, COMPLETE};
use weir_detect::{Context, Delivery, FlowDetect};
use weir_flow::{Flow, FlowPhase};
use weir_output::EventSink;
use weir_packet::{Packet, Tcp, Transport, tcp_flags};
use weir_reassembly::{RawWindow, Session, State, StreamEvents};

/// Bytes of a direction that rules of the stream get at once.
const CHUNK: usize = 2560;
/// Bytes of a direction that wait for a packet of it.
const WAITING_MAX: usize = 64 << 10;
/// Transactions that wait for packets of both directions.
const OPEN_MAX: usize = 64;
/// Bytes of a stream that alerts show.
const SHOWN_MAX: usize = 64 << 10;

/// What stands for a segment at the end of a flow.
const NO_SEGMENT: Tcp<'static> = Tcp::bare(0, 0, tcp_flags::ACK);

/// What waits in one direction.
#[derive(Debug, Default)]
struct Side {
    /// Delivered pieces, by stream offset, that no rule of the stream has seen.
    pieces: VecDeque<(u64, Vec<u8>)>,
    /// Their bytes.
    bytes: usize,
    /// End of what rules have seen.
    seen: u64,
    /// The parser was given something, and rules have not looked at its transactions since.
    fresh: bool,
}

/// What waits in a flow.
#[derive(Debug, Default)]
pub struct Waiting {
    sides: [Side; 2],
}

impl Waiting {
    /// The parser has got something.
    pub fn refresh(&mut self, direction: usize) {
        self.sides[direction & 1].fresh = true;
    }

    /// Bytes for rules of the stream.
    pub fn push(&mut self, direction: usize, offset: u64, bytes: &[u8]) {
        let side = &mut self.sides[direction & 1];
        side.bytes += bytes.len();
        match side.pieces.back_mut() {
            Some((start, last)) if *start + last.len() as u64 == offset => last.extend_from_slice(bytes),
            _ => side.pieces.push_back((offset, bytes.to_vec())),
        }
    }

    /// The last bytes, if rules have not seen them: they are not in the direction's window yet.
    pub fn last(&self, direction: usize) -> Option<(&[u8], u64)> {
        self.sides[direction & 1].pieces.back().map(|(offset, bytes)| (bytes.as_slice(), *offset))
    }

    /// Rules have to look at transactions of a direction.
    pub fn is_fresh(&self, direction: usize) -> bool {
        self.sides[direction & 1].fresh
    }

    /// They have.
    pub fn looked_at(&mut self, direction: usize) {
        self.sides[direction & 1].fresh = false;
    }

    /// Something of the direction waits for an inspection.
    fn is_pending(&self, direction: usize) -> bool {
        let side = &self.sides[direction & 1];
        side.fresh || side.bytes > 0
    }

    /// Rules of the stream look at the direction now.
    fn is_due(&self, d: usize, session: &Session, app: &AppLayerFlow) -> bool {
        let side = &self.sides[d];
        let message = || app.state().is_some();
        side.bytes > 0 && (side.bytes >= CHUNK || session.initiator_closes() || message())
    }

    /// What waits, as alerts show it: what is missing is said.
    fn shown(&self, direction: usize, out: &mut Vec<u8>) {
        let side = &self.sides[direction & 1];
        let mut at = side.seen;
        for (offset, bytes) in &side.pieces {
            if *offset > at {
                out.extend_from_slice(format!("[{} bytes missing]", offset - at).as_bytes());
            }
            at = offset + bytes.len() as u64;
            let room = SHOWN_MAX.saturating_sub(out.len());
            out.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
    }
}

impl Inspector {
    /// A packet of `d` is there, and the session has taken it: rules look at what waited.
    pub(crate) fn waiting_stream(
        &mut self,
        (context, d): (&Context<'_>, usize),
        (waiting, windows, keep): (&mut Waiting, &mut [RawWindow; 2], usize),
        (session, app): (&Session, &AppLayerFlow),
        detect: &mut FlowDetect,
    ) {
        self.shown.clear();
        waiting.shown(d, &mut self.shown);
        let due = waiting.is_due(d, session, app);
        let excess = waiting.sides[1 - d].bytes > WAITING_MAX;
        if !due && !excess {
            return;
        }
        // What the packet acknowledged may have told the protocol.
        let mut context = *context;
        if let Some(facts) = &mut context.flow {
            say_protocol(facts, app);
        }
        if due {
            self.stream_pieces(&context, d, (waiting, windows, keep), detect);
        }
        if excess {
            self.stream_pieces(&context, 1 - d, (waiting, windows, keep), detect);
        }
    }

    fn stream_pieces(
        &mut self,
        context: &Context<'_>,
        d: usize,
        (waiting, windows, keep): (&mut Waiting, &mut [RawWindow; 2], usize),
        detect: &mut FlowDetect,
    ) {
        let waits = &mut waiting.sides[d];
        waits.bytes = 0;
        for (offset, bytes) in waits.pieces.drain(..) {
            let (window, offset, new_from) = windows[d].push(keep, offset, &bytes);
            waits.seen = offset + window.len() as u64;
            self.stream(detect, context, &Delivery { direction: side(d), window, offset, new_from });
        }
    }

    /// Rules look at transactions of the packet's direction; of both, where waiting longer would take too much memory, or
    /// would keep the parser waiting.
    pub(crate) fn waiting_transactions(
        &mut self,
        context: &Context<'_>,
        app: &mut AppLayerFlow,
        waiting: &mut Waiting,
        windows: &[RawWindow; 2],
        detect: &mut FlowDetect,
    ) {
        let d = context.flow.map_or(0, |f| f.direction as usize);
        let all = app.is_held() || app.state().is_some_and(|s| s.pauses() || s.transactions().len() >= OPEN_MAX);
        let sides: &[usize] = if all { &[d, 1 - d] } else { &[d] };
        self.transactions_of(detect, context, app, windows, sides);
        sides.iter().for_each(|d| waiting.looked_at(*d));
    }

    /// Before a packet of `d` delivers anything: transactions that are complete, and that only this packet was waited for,
    /// are inspected and let go. Else, where packets both acknowledge and bring data, something new would always wait.
    pub(crate) fn settle_transactions(
        &mut self,
        packet: &Packet<'_>,
        flow: &mut Flow<FlowData>,
        d: usize,
        inspect: bool,
        sink: &mut dyn EventSink,
    ) {
        let waits = |w: &Waiting| w.is_fresh(d) && !w.is_fresh(1 - d);
        let done = |app: &AppLayerFlow| {
            app.state().is_some_and(|s| s.transactions().iter().any(|t| t.progress == [COMPLETE; 2]))
        };
        if !flow.data.waiting.as_deref().is_some_and(waits) || !done(&flow.data.app) {
            return;
        }
        let session = flow.data.session.as_deref();
        let established = session.is_some_and(|session| session.state() >= State::Established);
        let context = self.context(packet, flow, session, d, established, StreamEvents::default(), inspect);
        let FlowData { app, detect, windows, waiting, .. } = &mut flow.data;
        let (Some(waiting), Some(detect)) = (waiting, detect) else { return };
        self.shown.clear();
        waiting.shown(d, &mut self.shown);
        self.transactions_of(detect, &context, app, windows, &[d]);
        waiting.looked_at(d);
        self.end_early(&context, flow, sink);
    }

    /// The flow is over: what waits is delivered and inspected, a direction at a time, on packets without bytes.
    pub(crate) fn end_of_waiting(
        &mut self,
        flow: &mut Flow<FlowData>,
        config: &EngineConfig,
        expectations: &mut Expectations,
        sink: &mut dyn EventSink,
    ) {
        let Some(mut waiting) = flow.data.waiting.take() else { return };
        let (Some(mut session), Some(mut detect)) = (flow.data.session.take(), flow.data.detect.take()) else { return };
        let skipped = flow.data.dropped || flow.data.bypassed || flow.data.passed;
        let inspect = !flow.data.encrypted || config.inspect_encrypted;
        let open = flow.data.app.state().is_some_and(|state| !state.transactions().is_empty());
        let needed = [0, 1].map(|d| !skipped && (open || session.waits(d) || waiting.is_pending(d)));
        let epoch = detect.epoch();
        let (ends, pair, name) = (flow_ends(flow), pair_of(&flow.key).in_epoch(epoch), FlowName::of(flow));
        self.pseudo = true;
        for d in (0..2).filter(|d| needed[*d]) {
            let transport = Transport::Tcp(NO_SEGMENT);
            let packet = Packet { transport, ..end_packet_of(flow, if d == 0 { ends } else { ends.exchanged() }) };
            let established = flow.phase != FlowPhase::New;
            let none = StreamEvents::default();
            let mut context = self.context(&packet, flow, Some(&session), d, established, none, inspect);
            let FlowData { app, windows, .. } = &mut flow.data;
            let mut deliver = Deliver {
                app,
                windows,
                inspector: self,
                detect: &mut detect,
                context: &context,
                keep: config.raw_window,
                expectations,
                ends: pair,
                name,
                inspect,
                inspect_encrypted: config.inspect_encrypted,
                gaps: [false; 2],
                waiting: Some(&mut waiting),
            };
            session.deliver_rest(&config.session, d, &mut deliver);
            if let Some(facts) = &mut context.flow {
                say_protocol(facts, app);
            }
            self.shown.clear();
            waiting.shown(d, &mut self.shown);
            self.stream_pieces(&context, d, (&mut waiting, windows, config.raw_window), &mut detect);
            self.transactions_of(&mut detect, &context, app, windows, &[d]);
            waiting.looked_at(d);
            let more = needed[1 - d] && d == 0 || waiting.is_fresh(1 - d);
            flow.data.detect = Some(detect);
            self.end_direction(&context, flow, !more, sink);
            detect = flow.data.detect.take().unwrap_or_default();
        }
        self.pseudo = false;
        self.shown.clear();
        flow.data.session = Some(session);
        flow.data.detect = Some(detect);
    }
}
