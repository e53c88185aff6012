//! What Weir says: EVE events, `stats.json`, and the summary a person reads.
//!
//! Place: last stage of the engine. The engine calls an [`EventSink`] with borrowed facts; a sink formats, writes or
//! collects them. Invariants: a sink never influences detection; it never fails in the middle of a packet (the first
//! error is kept and returned by [`EventSink::finish`]); bytes from the wire never break the JSON around them.
//! It does not rotate files, and it does not decide which events exist.
#![forbid(unsafe_code)]

pub mod address;
pub mod collect;
pub mod community;
pub mod eve;
pub mod fast;
pub mod file;
pub mod file_store;
pub mod json;
pub mod record;
pub mod reference;
pub mod stats_log;
pub mod summary;
pub mod tee;
pub mod time;
pub mod totals;

pub use collect::{AlertCollector, AlertIdentity};
pub use eve::{Captures, EveOptions, EveWriter};
pub use fast::FastLog;
pub use file::OutputFile;
pub use file_store::FileStore;
pub use record::{
    AlertRecord, AnomalyLayer, AnomalyRecord, AppLayerFacts, DropRecord, Endpoints, EventSink, FileRecord, FlowEnd,
    FlowFacts, FlowRecord, FlowState, FrameRecord, HeaderFacts, NullSink, PacketFacts, RecordSource, RejectTarget,
    Storing, TaggedRecord, TcpFlowFacts, TransactionRecord, Verdict, VerdictAction,
};
pub use reference::ReferencePrefixes;
pub use stats_log::StatsLog;
pub use summary::{RuleCount, Summary};
pub use tee::{Log, Tee};
pub use totals::{Cause, DeviceTotals, HostTotals, InterfaceTotals, ProtocolTotals, RuleCost, RuleTotals, RunTotals, Seconds, Shares};

use std::path::PathBuf;

/// What can go wrong with output.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The directory cannot be made.
    #[error("cannot create the log directory {}: {source}; choose another with --log-dir", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The file cannot be opened.
    #[error("cannot create {}: {source}; check that the directory is writable, or choose another with --log-dir", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// Writing failed; events after it are lost.
    #[error("cannot write {}: {source}; {lost} events were lost; check the free space of its file system", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Events that were not written.
        lost: u64,
        /// Cause.
        source: std::io::Error,
    },
    /// A configuration file of the output cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
}
