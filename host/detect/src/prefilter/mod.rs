//! From bytes to candidate rules: choice of fast patterns, and multi-pattern search.

pub mod matcher;
pub mod rarity;
#[cfg(target_arch = "x86_64")]
mod wide;

pub use matcher::{Matcher, MatcherBuilder, PatternIndex};
