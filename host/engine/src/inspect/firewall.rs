//! The tables of the firewall, each at its place on a packet's way. What one drops, nothing behind it looks at.

use super::Inspector;
use crate::flow_data::FlowData;
use crate::verdict::Decisions;
use weir_app_layer::AppLayerFlow;
use weir_detect::{Context, FirewallVerdict, FlowDetect, PacketTable};
use weir_flow::Flow;
use weir_output::EventSink;
use weir_packet::Packet;
use weir_reassembly::StreamEvents;

impl Inspector {
    /// Packets by what the firewall decided; none without firewall mode. With alerts that were given up.
    pub fn firewall_decisions(&self) -> Option<(&Decisions, u64)> {
        self.inner.has_firewall().then_some((&self.firewall_decisions, self.discarded_alerts))
    }

    /// Asks a table of packets. False: the packet is dropped, and nothing else looks at it.
    pub fn firewall_packet(
        &mut self,
        table: PacketTable,
        context: &Context<'_>,
        detect: Option<&mut FlowDetect>,
    ) -> bool {
        if !self.inner.has_firewall() {
            return true;
        }
        if table == PacketTable::PreFlow {
            self.firewall = FirewallVerdict::Next;
        } else if self.firewall == FirewallVerdict::Accept {
            return true;
        }
        self.firewall = self.inner.firewall_packet(table, context, detect, &mut self.shared);
        let dropped = matches!(self.firewall, FirewallVerdict::Drop { .. });
        if dropped {
            self.discarded_alerts += self.inner.discard_matches();
        }
        !dropped
    }

    /// Asks the tables of transactions. False: the packet is dropped.
    pub fn firewall_transactions(
        &mut self,
        detect: &mut FlowDetect,
        context: &Context<'_>,
        app: &mut AppLayerFlow,
    ) -> bool {
        if self.firewall == FirewallVerdict::Next && self.inner.has_firewall() {
            let packet = context.packet;
            let data =
                !packet.payload.is_empty() && !packet.checksum_bad && (context.in_stream || packet.tcp().is_none());
            let state = app.state();
            self.firewall = self.inner.firewall_transactions(context, detect, state, data, &mut self.shared);
        }
        !matches!(self.firewall, FirewallVerdict::Drop { .. })
    }

    /// The table before the flow is looked up. False: the packet is dropped.
    pub fn before_flow(&mut self, packet: &Packet<'_>, sink: &mut dyn EventSink) -> bool {
        let context = Context::of_packet(packet);
        if self.firewall_packet(PacketTable::PreFlow, &context, None) {
            return true;
        }
        self.matches.clear();
        self.inner.finish_firewall(&context, &mut self.matches);
        let outcome = self.raise_matches(packet, None, sink);
        self.settle(packet, None, 0, outcome, sink);
        false
    }

    /// The table before the stream is. False: the packet is dropped.
    pub fn before_stream(
        &mut self,
        packet: &Packet<'_>,
        flow: &mut Flow<FlowData>,
        direction: usize,
        sink: &mut dyn EventSink,
    ) -> bool {
        if !self.inner.has_firewall() || packet.tcp().is_none() {
            return true;
        }
        let mut detect = flow.data.detect.take().unwrap_or_default();
        let session = flow.data.session.take();
        let established = flow.phase == weir_flow::FlowPhase::Established;
        let context =
            self.context(packet, flow, session.as_deref(), direction, established, StreamEvents::default(), true);
        let goes_on = self.firewall_packet(PacketTable::PreStream, &context, Some(&mut detect));
        flow.data.session = session;
        flow.data.detect = Some(detect);
        if !goes_on {
            self.matches.clear();
            self.inner.finish_firewall(&context, &mut self.matches);
            let outcome = self.raise_matches(packet, Some(flow), sink);
            self.settle(packet, Some(flow), direction, outcome, sink);
        }
        goes_on
    }
}
