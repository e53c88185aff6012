//! From bytes to candidate rules: choice of fast patterns, and multi-pattern search.

pub mod matcher;
pub mod rarity;

pub use matcher::{Matcher, MatcherBuilder, PatternIndex};
