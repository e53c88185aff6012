//! Which bundles were accepted: the state that keeps an older one from coming back.

use crate::{Bundle, BundleError, digest};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Most entries kept.
const ENTRIES_MAX: usize = 1000;
/// Most bytes of a state file.
const FILE_MAX: u64 = 4 << 20;

/// The state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// File.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what this module writes.
    #[error("{path}: the state of bundles cannot be read: {why}")]
    Form {
        /// File.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// An accepted bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Its version.
    pub version: u64,
    /// Its digest.
    pub digest: String,
    /// Of its rules.
    pub ruleset: String,
    /// When, seconds of Unix time.
    pub at: u64,
}

/// A try to make a bundle the active one of a running Weir.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When, seconds of Unix time.
    pub at: u64,
    /// `deploy` or `rollback`.
    pub what: String,
    /// File.
    pub file: String,
    /// Its version, if it was accepted.
    pub version: Option<u64>,
    /// Epoch that it began, if it was accepted.
    pub epoch: Option<u32>,
    /// Why it was refused.
    pub refused: Option<String>,
}

/// Most attempts kept.
const ATTEMPTS_MAX: usize = 200;
/// Most bytes of a reason that are kept.
const REASON_MAX: usize = 1000;

/// Accepted bundles, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Greatest version ever accepted.
    pub greatest: u64,
    /// Accepted ones.
    pub accepted: Vec<Accepted>,
    /// What was tried with running Weirs, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
}

impl History {
    /// From its file; without one: nothing was accepted yet.
    pub fn read(path: &Path) -> Result<Self, HistoryError> {
        let io = |source| HistoryError::Io { path: path.to_owned(), source };
        let bytes = match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(History::default()),
            Err(error) => return Err(io(error)),
            Ok(meta) if meta.len() > FILE_MAX => {
                return Err(HistoryError::Form { path: path.to_owned(), why: "it is too long".to_owned() });
            }
            Ok(_) => std::fs::read(path).map_err(io)?,
        };
        serde_json::from_slice(&bytes)
            .map_err(|error| HistoryError::Form { path: path.to_owned(), why: error.to_string() })
    }

    /// The bundle is not older than what was accepted.
    pub fn allows(&self, bundle: &Bundle<'_>) -> Result<(), BundleError> {
        let version = bundle.manifest.version;
        if version < self.greatest {
            return Err(BundleError::Old { found: version, accepted: self.greatest });
        }
        let same = self.accepted.iter().find(|a| a.version == version);
        match same {
            Some(a) if a.digest != bundle.digest => Err(BundleError::Twice(version)),
            _ => Ok(()),
        }
    }

    /// Notes it.
    pub fn accept(&mut self, bundle: &Bundle<'_>, now: u64) {
        let m = &bundle.manifest;
        self.greatest = self.greatest.max(m.version);
        if self.accepted.last().is_some_and(|a| a.digest == bundle.digest) {
            return;
        }
        self.accepted.push(Accepted {
            version: m.version,
            digest: bundle.digest.clone(),
            ruleset: m.ruleset.clone(),
            at: now,
        });
        let excess = self.accepted.len().saturating_sub(ENTRIES_MAX);
        self.accepted.drain(..excess);
    }

    /// Notes an attempt.
    pub fn attempt(&mut self, mut attempt: Attempt) {
        if let Some(why) = &mut attempt.refused {
            let end = why.floor_char_boundary(REASON_MAX);
            why.truncate(end);
        }
        self.attempts.push(attempt);
        let excess = self.attempts.len().saturating_sub(ATTEMPTS_MAX);
        self.attempts.drain(..excess);
    }

    /// Lets an accepted bundle come back: later ones are forgotten.
    pub fn roll_back(&mut self, version: u64) -> Result<(), BundleError> {
        if !self.accepted.iter().any(|a| a.version == version) {
            return Err(BundleError::Unknown(version));
        }
        self.accepted.retain(|a| a.version <= version);
        self.greatest = version;
        Ok(())
    }

    /// Writes it beside the file and moves it there, so that it is always whole.
    pub fn write(&self, path: &Path) -> Result<(), HistoryError> {
        let io = |source| HistoryError::Io { path: path.to_owned(), source };
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| HistoryError::Form { path: path.to_owned(), why: e.to_string() })?;
        let part = path.with_extension(format!("part-{}", digest(&text).get(..8).unwrap_or("0")));
        let written =
            std::fs::File::create(&part).and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()));
        written.and_then(|()| std::fs::rename(&part, path)).map_err(|error| {
            let _ = std::fs::remove_file(&part);
            io(error)
        })
    }
}
