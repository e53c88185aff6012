//! The end of a packet's inspection, and of a flow's: alerts go out, inspected transactions are released.

use super::{Inspector, Outcome, end_packet_of, flow_ends, packet_facts, say_protocol, side};
use crate::flow_data::FlowData;
use crate::log;
use weir_app_layer::Input;
use weir_detect::{Context, PacketTable};
use weir_flow::Flow;
use weir_output::{EventSink, PacketFacts};
use weir_packet::Packet;
use weir_reassembly::StreamEvents;

impl Inspector {
    /// A packet without flow.
    pub fn lone_packet(&mut self, packet: &Packet<'_>, sink: &mut dyn EventSink) {
        let context = Context::of_packet(packet);
        let goes_on = self.firewall_packet(PacketTable::PreFlow, &context, None)
            && self.firewall_packet(PacketTable::Filter, &context, None);
        if goes_on && !self.silent {
            self.inner.packet(&context, None, &mut self.shared);
        }
        self.matches.clear();
        self.inner.finish(&context, None, &mut self.shared, &mut self.matches);
        self.inner.finish_firewall(&context, &mut self.matches);
        let direction = context.flow.map_or(0, |f| f.direction as usize);
        let outcome = self.raise_matches(packet, None, sink);
        self.settle(packet, None, direction, outcome, sink);
        if self.demand.transactions {
            log::arp(packet, &packet_facts(packet, false), &mut self.json, sink);
        }
        if self.demand.anomalies {
            let facts = self.with_link(packet, packet_facts(packet, false));
            log::anomalies((packet, facts), None, StreamEvents::default(), &[], sink);
        }
    }

    /// The packet is through: alerts go out, inspected transactions are released. What the parser had to leave until
    /// then is parsed and inspected as if a packet of its own had brought it.
    pub fn end_packet(&mut self, context: &Context<'_>, flow: &mut Flow<FlowData>, sink: &mut dyn EventSink) {
        let mut outcome = self.raise_all(context, flow, sink);
        if let Some(early) = self.early.take() {
            outcome = early.and(outcome);
        }
        if self.demand.anomalies {
            let facts = self.with_link(context.packet, packet_facts(context.packet, false));
            log::anomalies((context.packet, facts), Some(flow), context.stream_events, context.packet_events, sink);
        }
        // Transactions that a packet of the other direction will look at stay.
        if !flow.data.waiting.as_ref().is_some_and(|waiting| waiting.is_fresh(0) || waiting.is_fresh(1)) {
            outcome = self.go_on(context, flow, outcome, sink);
        }
        let direction = context.flow.map_or(0, |f| f.direction as usize);
        self.settle(context.packet, Some(flow), direction, outcome, sink);
    }

    /// Before a packet delivers anything: what only it was waited for is told and let go.
    pub(crate) fn end_early(&mut self, context: &Context<'_>, flow: &mut Flow<FlowData>, sink: &mut dyn EventSink) {
        let outcome = self.raise_all(context, flow, sink);
        self.early = Some(self.go_on(context, flow, outcome, sink));
    }

    /// A direction of a flow that is over has been inspected; `last`: nothing else waits for its transactions.
    pub(crate) fn end_direction(
        &mut self,
        context: &Context<'_>,
        flow: &mut Flow<FlowData>,
        last: bool,
        sink: &mut dyn EventSink,
    ) {
        let outcome = self.raise_all(context, flow, sink);
        if last {
            self.go_on(context, flow, outcome, sink);
        }
    }

    /// Inspected transactions are released, and what the parser goes on with is inspected.
    fn go_on(
        &mut self,
        context: &Context<'_>,
        flow: &mut Flow<FlowData>,
        mut outcome: Outcome,
        sink: &mut dyn EventSink,
    ) -> Outcome {
        let mut context = *context;
        loop {
            let reached = flow.data.app.take_limits();
            self.limits.transactions += reached.transactions;
            self.limits.bodies += reached.bodies;
            let before = flow.data.app.parser();
            let more = flow.data.app.mark_inspected(context.packet.number);
            if flow.data.app.parser() != before {
                if let Some(detect) = flow.data.detect.as_deref_mut() {
                    detect.protocol_changed();
                }
                if let Some(log) = flow.data.log.as_deref_mut() {
                    log.protocol_changed();
                }
            }
            if !more {
                break;
            }
            if let Some(facts) = &mut context.flow {
                say_protocol(facts, &flow.data.app);
            }
            let FlowData { app, detect, windows, .. } = &mut flow.data;
            if let Some(detect) = detect {
                if self.firewall_transactions(detect, &context, app) {
                    self.transactions(detect, &context, app, windows);
                }
            }
            outcome = outcome.and(self.raise_all(&context, flow, sink));
        }
        outcome
    }

    fn raise_all(&mut self, context: &Context<'_>, flow: &mut Flow<FlowData>, sink: &mut dyn EventSink) -> Outcome {
        self.matches.clear();
        self.inner.finish(context, flow.data.detect.as_deref_mut(), &mut self.shared, &mut self.matches);
        if flow.data.passed {
            self.matches.clear();
        }
        self.inner.finish_firewall(context, &mut self.matches);
        let outcome = self.raise_matches(context.packet, Some(flow), sink);
        if self.demand.of_flows() {
            let facts = PacketFacts { pseudo: self.pseudo, ..packet_facts(context.packet, false) };
            let metadata = self.metadata(flow);
            log::transactions(flow, &facts, false, (&mut self.json, &mut self.stored, &metadata), sink);
        }
        if self.demand.frames && flow.data.app.frames().is_some() {
            let facts = PacketFacts { pseudo: self.pseudo, ..packet_facts(context.packet, false) };
            log::frames(flow, &facts, &mut self.json, sink);
        }
        outcome
    }

    /// The flow is over: transactions that did not come to their end are written as they are.
    pub fn log_rest(&mut self, flow: &mut Flow<FlowData>, sink: &mut dyn EventSink) {
        if let Some(frames) = flow.data.app.frames_mut().filter(|_| self.demand.frames) {
            frames.end();
            let packet = end_packet_of(flow, flow_ends(flow));
            log::frames(flow, &PacketFacts { pseudo: true, ..packet_facts(&packet, false) }, &mut self.json, sink);
        }
        if self.demand.of_flows() {
            let packet = end_packet_of(flow, flow_ends(flow));
            let facts = PacketFacts { pseudo: true, ..packet_facts(&packet, false) };
            let metadata = self.metadata(flow);
            log::transactions(flow, &facts, true, (&mut self.json, &mut self.stored, &metadata), sink);
        }
    }

    /// The input is over while the flow lives: what its end completes is inspected with the number of its last frame.
    pub fn end_of_flow(&mut self, flow: &mut Flow<FlowData>, sink: &mut dyn EventSink) {
        if flow.data.encrypted {
            return;
        }
        for d in 0..2 {
            flow.data.app.feed(side(d), Input::End, flow.last_frame);
        }
        let ends = flow_ends(flow);
        let packet = end_packet_of(flow, ends);
        let established = flow.phase != weir_flow::FlowPhase::New;
        let session = flow.data.session.take();
        let context = self.context(&packet, flow, session.as_deref(), 0, established, StreamEvents::default(), false);
        flow.data.session = session;
        let FlowData { app, detect, windows, .. } = &mut flow.data;
        if let Some(detect) = detect {
            self.transactions(detect, &context, app, windows);
        }
        self.end_packet(&context, flow, sink);
    }
}
