//! The rules compiler: rule text to normalised rules, and normalised rules to device tables.
//!
//! Front end (this half): [`syntax`] reads the text, [`vars`] resolves address and port expressions, [`lower`] gives
//! options their meaning and checks them as Suricata does at load time, [`load`] does that for whole files and gathers
//! a [`Ruleset`]; [`diag`] says what is wrong, where, and what to do; [`stats`] counts.
#![forbid(unsafe_code)]

pub mod config;
pub mod diag;
pub mod keywords;
pub mod load;
pub mod lower;
pub mod image;
pub mod plan;
pub mod profile;
pub mod report;
pub mod show;
pub mod stats;
pub mod support;
pub mod syntax;
pub mod vars;

pub use diag::{Cause, Diagnostic, Severity};
pub use load::{DataFiles, GivenFiles, KeptFiles, LoadOptions, Progress, ReadError, RuleSource, Ruleset, fuzz_rule_text, load};
pub use lower::{Dialect, application_protocol};
pub use support::Support;
pub use vars::VariableTable;
