//! Counts about a ruleset.
