//! Rules exchanged during a run: which judge the frames of which tables (decision 0021).

use super::{Amount, DeviceRuntime, HostCause};
use crate::engine::EPOCHS_MAX;
use crate::evidence::StreamEvidence;
use crate::messages::MessageEvidence;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use weir_detect::Program;
use weir_device::PciFunction;

/// What judges the frames of an epoch on the host, beside the device's tables.
pub struct Judge {
    /// Number of the epoch, from 1; each is greater than the one before.
    pub epoch: u32,
    /// The rules.
    pub program: Arc<Program>,
    /// Flowbits that the tables' plan says keep a flow with the host while they are set: rules that wait for one of them
    /// have no condition in the tables.
    pub gates: Vec<Box<str>>,
    /// What the tables look for in streams.
    pub evidence: Arc<StreamEvidence>,
    /// What they look for in messages where the host's own search would not find it: with it, flows are given back as
    /// soon as what has come of their messages is judged.
    pub messages: Arc<MessageEvidence>,
}

/// What judged the frames of an epoch that is over.
pub struct Retired {
    /// The epoch.
    pub epoch: u32,
    /// The rules. Freeing them takes long: not on the frame path.
    pub program: Arc<Program>,
    /// Frames given to the engine while they judged, by cause.
    pub causes: BTreeMap<HostCause, Amount>,
    /// Frames that a record flagged; index into the tables of the epoch.
    pub records: HashMap<u32, Amount>,
}

/// An exchange of rules that the device will tell of.
pub(super) struct Expected {
    /// What the device calls the epoch.
    device: u32,
    judge: Judge,
}

impl<P: PciFunction> DeviceRuntime<P> {
    /// The tables that were active before the first frame have this number.
    pub fn set_epoch(&mut self, device: u32) {
        self.device_epoch = device;
        self.epochs.push_back((device, self.engine.epoch()));
    }

    /// Frames that the device judges by the tables it calls `device` are judged by this from now on. To be called before
    /// the tables are activated; it takes effect with the first frame that names them.
    pub fn expect(&mut self, device: u32, judge: Judge) {
        if self.epochs.len() >= EPOCHS_MAX {
            self.epochs.pop_front();
        }
        self.epochs.push_back((device, judge.epoch));
        self.expected.push_back(Expected { device, judge });
    }

    /// The tables called `device` were not activated: nothing will name them.
    pub fn unexpect(&mut self, device: u32) {
        self.expected.retain(|expected| expected.device != device);
        self.epochs.retain(|(known, _)| *known != device);
    }

    /// An exchange has been made that no frame has told of yet.
    pub fn is_expecting(&self) -> bool {
        !self.expected.is_empty()
    }

    /// All frames of earlier epochs have been taken: what is expected takes effect now.
    pub fn settle(&mut self) {
        while let Some(expected) = self.expected.pop_front() {
            self.exchange(expected);
        }
    }

    /// Epochs that are over since the last call.
    pub fn take_retired(&mut self) -> Vec<Retired> {
        std::mem::take(&mut self.retired)
    }

    /// A descriptor is of these tables: frames from here on are.
    pub(super) fn enter(&mut self, device: u32) {
        while device != self.device_epoch && self.expected.iter().any(|expected| expected.device == device) {
            if let Some(expected) = self.expected.pop_front() {
                self.exchange(expected);
            }
        }
    }

    fn exchange(&mut self, Expected { device, judge }: Expected) {
        self.device_epoch = device;
        let epoch = self.engine.epoch();
        let program = self.engine.set_program(judge.program, judge.epoch);
        let (causes, records) = (std::mem::take(&mut self.counters.causes), std::mem::take(&mut self.counters.records));
        self.retired.push(Retired { epoch, program, causes, records });
        self.gates = self.engine.flowbits(judge.gates.iter().map(|name| &**name));
        self.gates.sort_unstable();
        self.evidence = judge.evidence;
        self.messages = judge.messages;
    }

    /// Own number of an epoch of the device; 0 for one that is long gone.
    pub(super) fn epoch_of(&self, device: u32) -> u32 {
        // (Where no number was ever told, the tables are never exchanged.)
        if device == self.device_epoch || self.epochs.is_empty() {
            return self.engine.epoch();
        }
        self.epochs.iter().rev().find(|(known, _)| *known == device).map_or(0, |(_, own)| *own)
    }
}
