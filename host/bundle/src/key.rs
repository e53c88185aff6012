//! Keys and their files.
//!
//! A private key's file holds one line of text and can be read by its owner only; a file that others can read is
//! refused. Neither the key nor a part of it appears in messages: no type here that holds it implements `Debug`.

use crate::hex;
use ed25519_dalek::{SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const PRIVATE: &str = "weir-private-key-1 ";
const PUBLIC: &str = "weir-public-key-1 ";
/// Most bytes of a key's file.
const FILE_MAX: u64 = 4096;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// File.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others can read a private key.
    #[error("{path}: the private key has mode {mode:04o}: others than its owner can read or change it")]
    Mode {
        /// File.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// Not a key.
    #[error("{path}: this is no {what} key of Weir")]
    Form {
        /// File.
        path: PathBuf,
        /// private or public.
        what: &'static str,
    },
}

impl KeyError {
    /// What to do.
    pub fn remedy(&self) -> &'static str {
        match self {
            KeyError::Io { .. } => {
                "name a file that exists and that you may read; `weir tables keygen` writes new ones, over none that exists"
            }
            KeyError::Mode { .. } => {
                "chmod 600 it; if someone may have read it, make a new key with `weir tables keygen`"
            }
            KeyError::Form { .. } => "name a key that `weir tables keygen` wrote",
        }
    }
}

/// Signs. Not printable.
pub struct PrivateKey(SigningKey);

/// Tells who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

fn io(path: &Path) -> impl Fn(std::io::Error) -> KeyError + '_ {
    move |source| KeyError::Io { path: path.to_owned(), source }
}

fn text(file: File, path: &Path) -> Result<String, KeyError> {
    let mut out = String::new();
    file.take(FILE_MAX).read_to_string(&mut out).map_err(io(path))?;
    Ok(out)
}

fn bytes(text: &str, prefix: &str) -> Option<[u8; 32]> {
    let digits = text.trim_end().strip_prefix(prefix)?;
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    let mut out = [0; 32];
    for (slot, pair) in out.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *slot = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

impl PrivateKey {
    /// From 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        PrivateKey(SigningKey::from_bytes(seed))
    }

    /// From its file, which only its owner may read.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let file = File::open(path).map_err(io(path))?;
        let mode = file.metadata().map_err(io(path))?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Mode { path: path.to_owned(), mode });
        }
        let seed = bytes(&text(file, path)?, PRIVATE)
            .ok_or_else(|| KeyError::Form { path: path.to_owned(), what: "private" })?;
        Ok(Self::from_seed(&seed))
    }

    /// The key that tells its signatures.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(crate) fn key(&self) -> &SigningKey {
        &self.0
    }
}

impl PublicKey {
    /// From its file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let form = || KeyError::Form { path: path.to_owned(), what: "public" };
        let key = bytes(&text(File::open(path).map_err(io(path))?, path)?, PUBLIC).ok_or_else(form)?;
        VerifyingKey::from_bytes(&key).map(PublicKey).map_err(|_| form())
    }

    pub(crate) fn id_bytes(&self) -> [u8; 16] {
        let digest: [u8; 32] = Sha256::digest(self.0.as_bytes()).into();
        digest.first_chunk().copied().unwrap_or([0; 16])
    }

    /// Its name: hexadecimal digits of the first half of its SHA-256.
    pub fn id(&self) -> String {
        hex(&self.id_bytes())
    }

    pub(crate) fn key(&self) -> &VerifyingKey {
        &self.0
    }
}

/// Makes a key pair by the system's randomness: `path` (mode 0600) and `path` with `.pub` behind. Files that exist stay.
pub fn generate(path: &Path) -> Result<(PathBuf, PublicKey), KeyError> {
    let mut seed = [0; 32];
    let source = Path::new("/dev/urandom");
    File::open(source).and_then(|mut file| file.read_exact(&mut seed)).map_err(io(source))?;
    let key = PrivateKey::from_seed(&seed);
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    let public = PathBuf::from(name);
    let write = |path: &Path, mode: u32, line: String| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(io(path))?;
        file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(io(path))
    };
    write(path, 0o600, format!("{PRIVATE}{}\n", hex(&seed)))?;
    write(&public, 0o644, format!("{PUBLIC}{}\n", hex(key.public().0.as_bytes())))?;
    Ok((public, key.public()))
}
