//! Which bytes win when segments that wait behind a gap overlap.
//!
//! Source: J. Novak, S. Sturges, "Target-Based TCP Stream Reassembly", 2007, table of policies.

/// Overlap policy, by the receiving system it imitates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OverlapPolicy {
    /// What came first stays; a segment that begins before it brings its own bytes.
    #[default]
    Bsd,
    /// What comes later wins unless what came first ends behind it.
    BsdRight,
    /// Always what came first.
    First,
    /// Always what came last.
    Last,
    /// As BSD; with the same start the longer one wins.
    Linux,
    /// Linux 2.2: as Linux; a copy of the same length wins, too.
    OldLinux,
    /// What came first, unless the new segment reaches beyond it on both sides.
    Windows,
    /// Solaris: later wins when it begins before or reaches further.
    Solaris,
}

impl OverlapPolicy {
    /// The new segment `[start, end)` wins against the waiting one `[old_start, old_end)` where they overlap.
    pub fn new_wins(self, start: u64, end: u64, old_start: u64, old_end: u64) -> bool {
        match self {
            OverlapPolicy::First => false,
            OverlapPolicy::Last => true,
            OverlapPolicy::Bsd => start < old_start,
            OverlapPolicy::BsdRight => start >= old_start && end >= old_end || start < old_start,
            OverlapPolicy::Linux => start < old_start || (start == old_start && end > old_end),
            OverlapPolicy::OldLinux => start < old_start || (start == old_start && end >= old_end),
            OverlapPolicy::Windows => start < old_start && end > old_end,
            OverlapPolicy::Solaris => start < old_start || end > old_end,
        }
    }
}
