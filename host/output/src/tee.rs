//! Several sinks for the same events.

use crate::OutputError;
use crate::record::{
    AlertRecord, AnomalyRecord, DropRecord, EventSink, FileRecord, FlowRecord, FrameRecord, PacketFacts, Storing, TaggedRecord, TransactionRecord,
};
use crate::totals::RunTotals;

/// A sink that also takes the totals of a run.
pub trait Log: EventSink {
    /// The run is over at frame time `time`.
    fn stats(&mut self, time: u64, totals: &RunTotals) {
        let _ = (time, totals);
    }
}

impl Log for crate::FastLog {}

impl Log for crate::EveWriter {
    fn stats(&mut self, time: u64, totals: &RunTotals) {
        crate::EveWriter::stats(self, time, totals);
    }
}

/// Every sink gets every event, in the order they were added.
#[derive(Default)]
pub struct Tee {
    sinks: Vec<Box<dyn Log>>,
}

impl Tee {
    /// Adds a sink.
    pub fn push(&mut self, sink: Box<dyn Log>) {
        self.sinks.push(sink);
    }

    /// The run is over.
    pub fn stats(&mut self, time: u64, totals: &RunTotals) {
        self.sinks.iter_mut().for_each(|s| s.stats(time, totals));
    }
}

impl EventSink for Tee {
    fn alert(&mut self, record: &AlertRecord<'_>) {
        self.sinks.iter_mut().for_each(|s| s.alert(record));
    }
    fn anomaly(&mut self, record: &AnomalyRecord<'_>) {
        self.sinks.iter_mut().for_each(|s| s.anomaly(record));
    }
    fn flow(&mut self, record: &FlowRecord<'_>) {
        self.sinks.iter_mut().for_each(|s| s.flow(record));
    }
    fn drop_packet(&mut self, record: &DropRecord<'_>) {
        self.sinks.iter_mut().for_each(|s| s.drop_packet(record));
    }
    fn transaction(&mut self, record: &TransactionRecord<'_>) {
        self.sinks.iter_mut().for_each(|s| s.transaction(record));
    }
    fn file(&mut self, record: &FileRecord<'_>) {
        self.sinks.iter_mut().for_each(|s| s.file(record));
    }
    fn frame(&mut self, record: &FrameRecord<'_>) {
        self.sinks.iter_mut().for_each(|s| s.frame(record));
    }
    fn link_packet(&mut self, kind: &str, packet: &PacketFacts<'_>, members: &[u8]) {
        self.sinks.iter_mut().for_each(|s| s.link_packet(kind, packet, members));
    }
    fn wants_frames(&self) -> bool {
        self.sinks.iter().any(|s| s.wants_frames())
    }
    fn tagged(&mut self, record: &TaggedRecord<'_>) {
        self.sinks.iter_mut().for_each(|s| s.tagged(record));
    }
    fn wants_tagged(&self) -> bool {
        self.sinks.iter().any(|s| s.wants_tagged())
    }
    fn wants_transactions(&self, kind: &str) -> bool {
        self.sinks.iter().any(|s| s.wants_transactions(kind))
    }
    fn wants_log(&self) -> bool {
        self.sinks.iter().any(|s| s.wants_log())
    }
    fn wants_files(&self) -> bool {
        self.sinks.iter().any(|s| s.wants_files())
    }
    fn storing(&self) -> Storing {
        self.sinks.iter().map(|s| s.storing()).max().unwrap_or_default()
    }
    fn wants_anomalies(&self) -> bool {
        self.sinks.iter().any(|s| s.wants_anomalies())
    }
    fn wants_flows(&self) -> bool {
        self.sinks.iter().any(|s| s.wants_flows())
    }
    fn finish(&mut self) -> Result<(), OutputError> {
        self.sinks.iter_mut().map(|s| s.finish()).fold(Ok(()), |first, result| first.and(result))
    }
}
