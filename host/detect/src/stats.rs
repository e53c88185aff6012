//! Counters of detection.

/// What one worker counted since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Rules examined beyond their fast pattern.
    pub evaluations: u64,
    /// Rules that multi-pattern search named (once for each scan).
    pub candidates: u64,
    /// Bytes that multi-pattern search went over.
    pub scanned_bytes: u64,
    /// Executions of regular expressions.
    pub pcre_executions: u64,
    /// Regular expressions stopped by a limit (treated as no match).
    pub pcre_limit: u64,
    /// Evaluations of a buffer stopped by the step limit (treated as no match).
    pub inspection_limit: u64,
    /// Candidates forgotten because a bounded list was full.
    pub candidates_dropped: u64,
    /// Rules matched, before thresholds.
    pub matches: u64,
    /// Matches whose alert a threshold or suppression held back.
    pub suppressed: u64,
    /// Matches beyond those of a packet that may become alerts.
    pub overflowed: u64,
    /// Shared-state entries evicted because a table was full.
    pub shared_evicted: u64,
    /// Transform outputs cut at their limit.
    pub transform_limit: u64,
}

impl Counters {
    /// Add another worker's.
    pub fn add(&mut self, other: &Counters) {
        self.evaluations += other.evaluations;
        self.candidates += other.candidates;
        self.scanned_bytes += other.scanned_bytes;
        self.pcre_executions += other.pcre_executions;
        self.pcre_limit += other.pcre_limit;
        self.inspection_limit += other.inspection_limit;
        self.candidates_dropped += other.candidates_dropped;
        self.matches += other.matches;
        self.suppressed += other.suppressed;
        self.overflowed += other.overflowed;
        self.shared_evicted += other.shared_evicted;
        self.transform_limit += other.transform_limit;
    }
}
