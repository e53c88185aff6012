//! What a bundle says of itself.

use crate::{BundleError, PARTS_MAX};
use serde::{Deserialize, Serialize};
use weir_contract::constants::{CONTRACT_MAJOR, CONTRACT_MINOR};
use weir_contract::layouts::Geometry;

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Name.
    pub name: String,
    /// Bytes.
    pub length: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

/// Entries that the tables have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// Bytes of the image.
    pub image: u64,
    /// Records.
    pub records: u64,
    /// List entries.
    pub list_entries: u64,
    /// Entries of the header table.
    pub header_entries: u64,
    /// Fragments of the length that has most.
    pub fragments: u64,
    /// IPv4 prefixes.
    pub prefixes_v4: u64,
    /// IPv6 prefixes.
    pub prefixes_v6: u64,
}

/// What a device holds, in the same terms.
pub type Capacity = Needs;

impl Needs {
    /// Of an image's geometry.
    pub fn of(geometry: &Geometry, image: u64) -> Self {
        Needs {
            image,
            records: geometry.records.into(),
            list_entries: geometry.list_entries.into(),
            header_entries: geometry.header_entries.into(),
            fragments: geometry.lengths.iter().map(|l| u64::from(l.entries)).max().unwrap_or(0),
            prefixes_v4: geometry.prefixes_v4.into(),
            prefixes_v6: geometry.prefixes_v6.into(),
        }
    }

    /// A device of this capacity can hold it.
    pub fn fit(&self, most: &Capacity) -> Result<(), BundleError> {
        let pairs = [
            ("image", self.image, most.image),
            ("records", self.records, most.records),
            ("list_entries", self.list_entries, most.list_entries),
            ("header_entries", self.header_entries, most.header_entries),
            ("fragments", self.fragments, most.fragments),
            ("prefixes_v4", self.prefixes_v4, most.prefixes_v4),
            ("prefixes_v6", self.prefixes_v6, most.prefixes_v6),
        ];
        match pairs.into_iter().find(|(_, needed, most)| needed > most) {
            Some((what, needed, most)) => Err(BundleError::Geometry { what, needed, most }),
            None => Ok(()),
        }
    }
}

/// The manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Grows from bundle to bundle: an older one is not accepted after a newer one.
    pub version: u64,
    /// When it was made, seconds of Unix time.
    pub created: u64,
    /// Until when it may be used, seconds of Unix time.
    pub expires: u64,
    /// Least version of the device contract: major and minor.
    pub contract: (u16, u16),
    /// Version of Weir that made it.
    pub made_by: String,
    /// SHA-256 of the rules and of all that they were loaded with, hexadecimal.
    pub ruleset: String,
    /// Rules loaded.
    pub rules: u64,
    /// Identity of the table image, hexadecimal.
    pub image: String,
    /// Entries of the tables.
    pub needs: Needs,
    /// Traffic that the tables were planned by; none: the built-in statistics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<PlannedBy>,
    /// Parts, in the order of the file.
    pub parts: Vec<Part>,
}

/// A profile, by what it says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedBy {
    /// Digest of its file.
    pub digest: String,
    /// What it was learned from.
    pub source: String,
    /// Frames of that.
    pub frames: u64,
    /// When, seconds of Unix time.
    pub learned: u64,
}

impl Manifest {
    /// It does not contradict itself.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.version == 0 {
            return Err("`version` is 0".to_owned());
        }
        if self.expires <= self.created {
            return Err("`expires` is not behind `created`".to_owned());
        }
        if self.parts.len() > PARTS_MAX {
            return Err(format!("{} parts, more than {PARTS_MAX}", self.parts.len()));
        }
        for (n, part) in self.parts.iter().enumerate() {
            let digits = part.sha256.len() == 64
                && part.sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            if !digits {
                return Err(format!("part `{}` has no digest", part.name));
            }
            if self.parts.iter().take(n).any(|other| other.name == part.name) {
                return Err(format!("part `{}` stands twice", part.name));
            }
        }
        Ok(())
    }

    /// It may be used at this time and by this version.
    pub(crate) fn usable(&self, now: u64) -> Result<(), BundleError> {
        // Clocks differ.
        const SKEW: u64 = 300;
        if now >= self.expires {
            return Err(BundleError::Expired { expires: self.expires, now });
        }
        if self.created > now + SKEW {
            return Err(BundleError::Early { created: self.created, now });
        }
        let (major, minor) = self.contract;
        if major != CONTRACT_MAJOR || minor > CONTRACT_MINOR {
            return Err(BundleError::Contract {
                needed: format!("{major}.{minor}"),
                have: format!("{CONTRACT_MAJOR}.{CONTRACT_MINOR}"),
            });
        }
        Ok(())
    }
}
