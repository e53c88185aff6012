//! Rules exchanged during a run: what is exchanged, when, and what it took.
//!
//! Place: between whoever has other rules ready (`deployment`, or a test with a schedule) and the loops that run frames.
//! Invariants: an exchange happens between two frames; a loop never waits for one; what judges no more is handed back to
//! be freed elsewhere.

use crate::device::Tables;
use crate::dropped::Asked;
use crate::evidence::{message_evidence, stream_evidence};
use crate::exit::Failure;
use crate::handover::Leaving;
use crate::pipeline::Loaded;
use std::sync::Arc;
use std::time::Duration;
use weir_detect::Program;
use weir_engine::{Judge, MessageEvidence, StreamEvidence};

/// Rules and their tables, ready to judge.
pub struct Ready {
    /// Rules.
    pub loaded: Loaded,
    /// Their tables; none where no device is in front.
    pub tables: Option<Tables>,
    streams: Arc<StreamEvidence>,
    messages: Arc<MessageEvidence>,
}

impl Ready {
    /// All that takes time is done here.
    pub fn new(loaded: Loaded, tables: Option<Tables>) -> Self {
        let (streams, messages) = match &tables {
            Some(tables) => (stream_evidence(&loaded, tables), message_evidence(&loaded, tables)),
            None => (StreamEvidence::unknown(), MessageEvidence::unknown()),
        };
        Ready { loaded, tables, streams: streams.into(), messages: messages.into() }
    }

    /// Rules and tables.
    pub fn both(&self) -> Option<(&Loaded, &Tables)> {
        self.tables.as_ref().map(|tables| (&self.loaded, tables))
    }

    /// What judges on the host in an epoch.
    pub fn judge(&self, epoch: u32) -> Judge {
        let gates = self.tables.iter().flat_map(|tables| &tables.plan.gates).map(|gate| (&**gate).into()).collect();
        Judge {
            epoch,
            program: Arc::clone(&self.loaded.program),
            gates,
            evidence: Arc::clone(&self.streams),
            messages: Arc::clone(&self.messages),
        }
    }
}

/// An exchange that is due.
#[derive(Clone)]
pub struct Due {
    /// Number of the epoch that begins, greater than the one before; the first of a run is 1.
    pub epoch: u32,
    /// What judges in it.
    pub ready: Arc<Ready>,
}

/// What an exchange took, or why the rules before it stay.
pub struct Done {
    /// The epoch.
    pub epoch: u32,
    /// Frames of the source before it.
    pub frames: u64,
    /// Time for the device to load and check its tables. A device does that beside its frames; the model, which runs in the
    /// loop's thread, between two of them.
    pub load: Duration,
    /// Time for the exchange itself.
    pub switch: Duration,
    /// What went wrong.
    pub result: Result<(), Failure>,
}

/// How a run is going, for those who ask.
#[derive(Debug, Clone, Default)]
pub struct Going {
    /// Frames of the source.
    pub frames: u64,
    /// Frame time, ns.
    pub time: u64,
    /// Alerts.
    pub alerts: u64,
    /// Epoch that judges on the host.
    pub epoch: u32,
    /// Live flows of the host by the epoch of their last packet.
    pub flows: Vec<(u32, u64)>,
}

/// Says when rules are exchanged. Called from the loop that runs frames: nothing here may wait.
pub trait Exchanges {
    /// After so many frames of the source: is another set of rules to judge from the next one on?
    fn due(&mut self, frames: u64) -> Option<Due>;
    /// The exchange is through.
    fn done(&mut self, done: Done);
    /// A program judges no more. What is given was taken off the loop, to be freed elsewhere; the first program of a run
    /// comes without `ready`.
    fn retired(&mut self, epoch: u32, program: Arc<Program>, ready: Option<Arc<Ready>>) {
        let _ = (epoch, program, ready);
    }
    /// Something is asked about flows that the device drops.
    fn asked(&mut self) -> Option<Asked> {
        None
    }
    /// The next Weir asks for the device.
    fn leaving(&mut self) -> Option<Leaving> {
        None
    }
    /// Every few hundred frames.
    fn going(&mut self, going: &dyn Fn() -> Going) {
        let _ = going;
    }
}
