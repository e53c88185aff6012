//! What is kept of a flow while its protocol is not known.

use crate::Direction;
use std::ops::{Deref, DerefMut};
use std::sync::LazyLock;
use weir_contract::protocol::{AppProtocol, Detector};

/// Bytes per direction kept while the protocol is unknown. Detection decides within the first bytes of a direction, so
/// only a direction that waits for the other can pile up more.
pub(super) const WAITING_LIMIT: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Side {
    pub waiting: Vec<u8>,
    pub ended: bool,
}

/// While the protocol is not known.
#[derive(Debug, Default)]
pub(super) struct Detecting {
    pub detector: Detector,
    pub sides: [Side; 2],
    /// Who sent the first bytes.
    pub first: Option<Direction>,
    /// Gaps fall between what waits; the parser cannot be given what came before one.
    pub gap: [u64; 2],
    /// What a protocol change announced.
    pub expected: Option<AppProtocol>,
    /// Nothing but line ends has come since the head that ended HTTP: they belong to neither protocol.
    pub empty_lines: [bool; 2],
}

impl Detecting {
    /// A direction's bytes without the empty lines behind a head, however they are cut.
    pub fn behind_empty_lines<'a>(&mut self, d: usize, bytes: &'a [u8]) -> &'a [u8] {
        if !self.empty_lines[d] {
            return bytes;
        }
        let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n'));
        self.empty_lines[d] = start.is_none();
        bytes.get(start.unwrap_or(bytes.len())..).unwrap_or(&[])
    }
}

/// Made when something comes: of a flood's flows most never carry a byte.
#[derive(Debug, Default)]
pub(super) struct Lazy(pub Option<Box<Detecting>>);

static NOTHING_YET: LazyLock<Detecting> = LazyLock::new(Detecting::default);

impl Deref for Lazy {
    type Target = Detecting;
    fn deref(&self) -> &Detecting {
        match &self.0 {
            Some(detecting) => detecting,
            None => &NOTHING_YET,
        }
    }
}

impl DerefMut for Lazy {
    fn deref_mut(&mut self) -> &mut Detecting {
        self.0.get_or_insert_default()
    }
}
