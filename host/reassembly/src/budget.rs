//! Memory of what waits, over all streams of an engine.
//!
//! A stream may hold a share of what is free (dynamic thresholds, Choudhury and Hahne, 1998): many streams cannot fill the
//! memory, and one cannot take it from the others. What gives way is the gap: bytes that wait behind one are delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes that a piece costs besides its own.
pub(crate) const PIECE: u64 = 64;
/// A stream may hold one part in this many of what is free.
const PART: u64 = 8;

/// Shared by the streams of one engine.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    used: AtomicU64,
    reached: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Budget::new(u64::MAX)
    }
}

impl Budget {
    /// At most `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Budget { limit, used: AtomicU64::new(0), reached: AtomicU64::new(0) }
    }

    /// One of the same size, of which nothing is used.
    pub fn fresh(&self) -> Arc<Self> {
        Arc::new(Budget::new(self.limit))
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Times that a stream gave way although its own limit was not reached.
    pub fn reached(&self) -> u64 {
        self.reached.load(Relaxed)
    }

    pub(crate) fn take(&self, bytes: u64) {
        self.used.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Relaxed);
    }

    pub(crate) fn gave_way(&self) {
        self.reached.fetch_add(1, Relaxed);
    }

    /// Most bytes that a stream may hold now.
    pub(crate) fn share(&self) -> u64 {
        self.limit.saturating_sub(self.used()) / PART
    }
}
