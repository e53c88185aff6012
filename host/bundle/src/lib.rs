//! Bundles: everything that a deployment of rules consists of, in one signed file.
//!
//! Place: `weir tables build --key` writes one, `weir run --bundle` and `weir tables inspect|diff|verify` read it. A bundle
//! holds the table image (with its certificate), the program of the host, and a manifest that names versions, times and
//! digests. Layout, all numbers little-endian:
//!
//! ```text
//!  0   8  "WEIRBNDL"
//!  8   2  format, 1
//! 10   2  0
//! 12   4  bytes of the manifest, at most MANIFEST_MAX
//! 16  16  key id: the first bytes of SHA-256 of the public key
//! 32      manifest: one JSON object
//!         64 bytes: Ed25519 signature (RFC 8032) of CONTEXT, the 32 bytes above and the manifest
//!         the parts that the manifest lists, one behind the other, nothing behind the last
//! ```
//!
//! The signature covers the parts through their SHA-256 digests. Nothing of a bundle is looked at before its signature is
//! right, but for the lengths that say where the signature lies.
//!
//! Invariants: reading never panics and never allocates by a length that the file only claims; a refused bundle changes
//! nothing; private keys are never printed, and no type that holds one can be.
#![forbid(unsafe_code)]

mod history;
mod key;
mod manifest;

pub use history::{Accepted, Attempt, History, HistoryError};
pub use key::{KeyError, PrivateKey, PublicKey, generate};
pub use manifest::{Capacity, Manifest, Needs, Part, PlannedBy};

use ed25519_dalek::{Signature, Signer};
use sha2::{Digest, Sha256};

/// First bytes of a bundle.
pub const MAGIC: [u8; 8] = *b"WEIRBNDL";
/// Version of the layout.
pub const FORMAT: u16 = 1;
/// Bytes of the head.
pub const HEAD: usize = 32;
/// Most bytes of a manifest.
pub const MANIFEST_MAX: usize = 1 << 20;
/// Most parts.
pub const PARTS_MAX: usize = 16;
/// Most bytes of a bundle.
pub const BUNDLE_MAX: u64 = 4 << 30;
/// What a signature of a bundle begins with, so that it is one of nothing else.
const CONTEXT: &[u8] = b"weir bundle, format 1\0";
const SIGNATURE: usize = 64;

/// Why a bundle is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It begins otherwise.
    #[error("at byte 0: this is no bundle")]
    Magic,
    /// A layout that this version does not know.
    #[error("at byte 8: the bundle has format {0}, this version reads format 1")]
    Format(u16),
    /// Bytes are missing, or too many.
    #[error("at byte {at}: {what} is cut short or too long")]
    Length {
        /// What.
        what: String,
        /// Where.
        at: u64,
    },
    /// Signed with another key.
    #[error("at byte 16: the bundle is signed with key {found}, not with {wanted}")]
    Key {
        /// In the bundle.
        found: String,
        /// The one given.
        wanted: String,
    },
    /// Not signed by the key.
    #[error(
        "at byte {at}: the signature is wrong: the bundle was changed after it was signed, or signed by someone else"
    )]
    Signature {
        /// Where the signature lies.
        at: u64,
    },
    /// The manifest cannot be read, or contradicts itself.
    #[error("in the manifest, at byte {at}: {why}")]
    Manifest {
        /// Where it begins.
        at: u64,
        /// Why.
        why: String,
    },
    /// A part is not the one that was signed.
    #[error("at byte {at}: part `{part}` has another digest than the manifest says: it was changed")]
    Part {
        /// Name.
        part: String,
        /// Where it begins.
        at: u64,
    },
    /// Too late.
    #[error("in the manifest, `expires`: the bundle expired at {expires} s of Unix time, it is {now} now")]
    Expired {
        /// Seconds of Unix time.
        expires: u64,
        /// Now.
        now: u64,
    },
    /// From the future.
    #[error("in the manifest, `created`: the bundle was made at {created} s of Unix time, it is only {now} now")]
    Early {
        /// Seconds of Unix time.
        created: u64,
        /// Now.
        now: u64,
    },
    /// An older one than what was accepted before.
    #[error("in the manifest, `version`: the bundle has version {found}; version {accepted} was accepted before it")]
    Old {
        /// In the bundle.
        found: u64,
        /// Greatest accepted one.
        accepted: u64,
    },
    /// Was never accepted.
    #[error("no bundle of version {0} was accepted before")]
    Unknown(u64),
    /// Another bundle has this version.
    #[error("in the manifest, `version`: another bundle of version {0} was accepted before")]
    Twice(u64),
    /// The device or this program speaks an older contract.
    #[error("in the manifest, `contract`: the bundle needs contract {needed}, there is {have}")]
    Contract {
        /// In the bundle.
        needed: String,
        /// Here.
        have: String,
    },
    /// The device is too small for it.
    #[error(
        "in the manifest, `needs.{what}`: the bundle was made for another geometry: it has {needed}, the device holds {most}"
    )]
    Geometry {
        /// Which table.
        what: &'static str,
        /// Entries.
        needed: u64,
        /// Capacity.
        most: u64,
    },
}

impl BundleError {
    /// What to do.
    pub fn remedy(&self) -> &'static str {
        match self {
            BundleError::Magic => "name a file that `weir tables build --key` wrote",
            BundleError::Format(_) => {
                "use the version of Weir that the bundle was made for, or make the bundle anew with this one"
            }
            BundleError::Length { .. } | BundleError::Part { .. } => {
                "fetch the file again; if that does not help, make the bundle anew"
            }
            BundleError::Key { .. } => {
                "name the public key that belongs to it with --public-key, or have the bundle signed with yours"
            }
            BundleError::Signature { .. } => {
                "do not use it: fetch it again from its source, and find out who changed it"
            }
            BundleError::Manifest { .. } => "make the bundle anew with this version",
            BundleError::Expired { .. } => "fetch a newer bundle, or make it anew",
            BundleError::Early { .. } => "set the clock",
            BundleError::Old { .. } | BundleError::Twice(_) => {
                "build it with a greater --bundle-version; `weir tables rollback` lets an accepted one come back"
            }
            BundleError::Unknown(_) => "`weir tables history` lists the versions that were",
            BundleError::Contract { .. } => "update the device or Weir, or make the bundle for the older contract",
            BundleError::Geometry { .. } => "make the bundle for this device, or load fewer rules",
        }
    }
}

/// A bundle whose signature and digests are right.
#[derive(Debug)]
pub struct Bundle<'a> {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Id of the key.
    pub key: String,
    /// SHA-256 of head and manifest: names the bundle.
    pub digest: String,
    parts: Vec<(String, &'a [u8])>,
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Where things lie in a file: head, manifest, signature, parts.
struct Layout<'a> {
    signed: &'a [u8],
    manifest: &'a [u8],
    signature: [u8; SIGNATURE],
    parts: &'a [u8],
}

impl<'a> Layout<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, BundleError> {
        let length = |what: &str, at: usize| BundleError::Length { what: what.to_owned(), at: at as u64 };
        if !bytes.starts_with(&MAGIC) {
            return Err(if MAGIC.starts_with(bytes) { length("the head", 0) } else { BundleError::Magic });
        }
        let head: &[u8; HEAD] = bytes.first_chunk().ok_or_else(|| length("the head", 0))?;
        let format = u16::from_le_bytes([head[8], head[9]]);
        if format != FORMAT || head[10..12] != [0, 0] {
            return Err(BundleError::Format(format));
        }
        let size = u32::from_le_bytes([head[12], head[13], head[14], head[15]]) as usize;
        if size > MANIFEST_MAX {
            return Err(length("the manifest", 12));
        }
        let end = HEAD + size;
        let signed = bytes.get(..end).ok_or_else(|| length("the manifest", HEAD))?;
        let signature =
            bytes.get(end..).and_then(|rest| rest.first_chunk()).ok_or_else(|| length("the signature", end))?;
        let parts = bytes.get(end + SIGNATURE..).unwrap_or(&[]);
        Ok(Layout { signed, manifest: signed.get(HEAD..).unwrap_or(&[]), signature: *signature, parts })
    }
}

/// This is a bundle, right or wrong.
pub fn is_bundle(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

impl<'a> Bundle<'a> {
    /// Reads a bundle and checks its signature by the key and the digests of its parts.
    pub fn open(bytes: &'a [u8], key: &PublicKey) -> Result<Self, BundleError> {
        Self::read(bytes, Some(key))
    }

    /// Reads a bundle without asking who signed it: digests are checked. For people who look at it; never to use it.
    pub fn open_unverified(bytes: &'a [u8]) -> Result<Self, BundleError> {
        Self::read(bytes, None)
    }

    fn read(bytes: &'a [u8], key: Option<&PublicKey>) -> Result<Self, BundleError> {
        let layout = Layout::of(bytes)?;
        let at = layout.signed.len() as u64;
        let found = hex(layout.signed.get(16..HEAD).unwrap_or(&[]));
        if let Some(key) = key {
            if found != key.id() {
                return Err(BundleError::Key { found, wanted: key.id() });
            }
            let message = [CONTEXT, layout.signed].concat();
            let signature = Signature::from_bytes(&layout.signature);
            key.key().verify_strict(&message, &signature).map_err(|_| BundleError::Signature { at })?;
        }
        let wrong = |why: String| BundleError::Manifest { at: HEAD as u64, why };
        let manifest: Manifest = serde_json::from_slice(layout.manifest).map_err(|error| wrong(error.to_string()))?;
        manifest.check().map_err(wrong)?;
        let mut rest = layout.parts;
        let mut at = at + SIGNATURE as u64;
        let mut parts = Vec::with_capacity(manifest.parts.len());
        for part in &manifest.parts {
            let length = usize::try_from(part.length).ok();
            let Some((bytes, behind)) = length.and_then(|length| rest.split_at_checked(length)) else {
                return Err(BundleError::Length { what: format!("part `{}`", part.name), at });
            };
            if digest(bytes) != part.sha256 {
                return Err(BundleError::Part { part: part.name.clone(), at });
            }
            parts.push((part.name.clone(), bytes));
            at += part.length;
            rest = behind;
        }
        if !rest.is_empty() {
            return Err(BundleError::Length { what: "the file".to_owned(), at });
        }
        Ok(Bundle { manifest, key: found, digest: digest(layout.signed), parts })
    }

    /// A part by name.
    pub fn part(&self, name: &str) -> Result<&'a [u8], BundleError> {
        let found = self.parts.iter().find(|(n, _)| n == name).map(|(_, bytes)| *bytes);
        found.ok_or_else(|| BundleError::Manifest { at: HEAD as u64, why: format!("there is no part `{name}`") })
    }

    /// It may be used at this time (seconds of Unix time) and by this version of the contract.
    pub fn usable(&self, now: u64) -> Result<(), BundleError> {
        self.manifest.usable(now)
    }
}

/// Makes a bundle of parts. The manifest's list of parts is filled in.
pub fn seal(mut manifest: Manifest, parts: &[(&str, &[u8])], key: &PrivateKey) -> Result<Vec<u8>, BundleError> {
    manifest.parts = parts
        .iter()
        .map(|(name, bytes)| Part { name: (*name).to_owned(), length: bytes.len() as u64, sha256: digest(bytes) })
        .collect();
    let wrong = |why: String| BundleError::Manifest { at: HEAD as u64, why };
    manifest.check().map_err(wrong)?;
    let text = serde_json::to_vec(&manifest).map_err(|error| wrong(error.to_string()))?;
    if text.len() > MANIFEST_MAX {
        return Err(BundleError::Length { what: "the manifest".to_owned(), at: 12 });
    }
    let mut out = Vec::with_capacity(HEAD + text.len() + SIGNATURE + parts.iter().map(|(_, b)| b.len()).sum::<usize>());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(&key.public().id_bytes());
    out.extend_from_slice(&text);
    let signature = key.key().sign(&[CONTEXT, &out].concat());
    out.extend_from_slice(&signature.to_bytes());
    for (_, bytes) in parts {
        out.extend_from_slice(bytes);
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
