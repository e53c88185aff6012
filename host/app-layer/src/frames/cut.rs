//! Where a stream is cut: each protocol's cutter says what the next bytes of a direction are.
//!
//! Invariant: what is cut depends on the order in which bytes of both directions come, not on how many come at once.

use super::{Frames, binary, http1, smtp, telnet};
use crate::AppLayerConfig;
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

/// Longest beginning of a message that is needed to name its frames.
const HEAD_MAX: usize = 96 * 1024;

/// A named range of what comes: buffer, place from the beginning of the message, length; without length to where the
/// cutter says that it ends.
pub(super) type Part = (Buffer, usize, Option<u64>);

/// What the beginning of the bytes that are not cut yet says.
pub(super) enum Step {
    /// Not enough to tell.
    More,
    /// The other direction tells.
    Wait,
    /// A message of so many bytes, and its frames.
    Message(u64, Vec<Part>),
    /// So many bytes belong to what is open.
    Inside(u64),
    /// So many bytes are the last ones of what is open.
    Last(usize),
    /// Nothing can be cut from here on.
    Lost,
}

/// How a protocol's messages are found.
pub(super) enum Cutter {
    Binary(binary::Binary),
    Http1(http1::Http1),
    Smtp(smtp::Smtp),
    Telnet(telnet::Telnet),
}

impl Cutter {
    pub(super) fn new(protocol: AppProtocol, config: &Arc<AppLayerConfig>) -> Cutter {
        match protocol {
            AppProtocol::Http1 => Cutter::Http1(http1::Http1::default()),
            AppProtocol::Smtp => Cutter::Smtp(smtp::Smtp::default()),
            AppProtocol::Telnet => Cutter::Telnet(telnet::Telnet::default()),
            protocol => Cutter::Binary(binary::Binary::new(protocol, config)),
        }
    }

    fn step(&mut self, d: usize, bytes: &[u8], datagrams: bool) -> Step {
        match self {
            Cutter::Binary(cutter) => cutter.step(d, bytes, datagrams),
            Cutter::Http1(cutter) => cutter.step(d, bytes),
            Cutter::Smtp(cutter) => cutter.step(d, bytes),
            Cutter::Telnet(cutter) => cutter.step(d, bytes),
        }
    }
}

impl Frames {
    /// Cuts what can be cut of both directions, after more of `d` has come.
    pub(super) fn cut(&mut self, d: usize, transaction: Option<u64>) {
        let mut heads = [0, 1].map(|d| std::mem::take(&mut self.sides[d].head));
        let mut at = [0; 2];
        for d in [d, 1 - d] {
            while self.step(d, &heads[d], &mut at[d], transaction) {
                // What waits goes on with each message, as if nothing had come behind it: the next one may be about
                // what is found there.
                let other = 1 - d;
                if self.sides[other].waits {
                    while self.step(other, &heads[other], &mut at[other], transaction) {}
                }
            }
        }
        for ((side, head), at) in self.sides.iter_mut().zip(&mut heads).zip(at) {
            head.drain(..at.min(head.len()));
            side.head = std::mem::take(head);
        }
    }

    /// One step of a direction, at `at` of its head: whether it led on.
    fn step(&mut self, d: usize, head: &[u8], at: &mut usize, transaction: Option<u64>) -> bool {
        let rest = head.get(*at..).unwrap_or(&[]);
        if rest.is_empty() {
            return false;
        }
        // No cutter sees more of what came at once than it would of what came in pieces.
        let step = self.cutter.step(d, rest.get(..HEAD_MAX).unwrap_or(rest), self.datagrams);
        self.sides[d].waits = matches!(step, Step::Wait);
        let total = match step {
            Step::More | Step::Wait if rest.len() < HEAD_MAX => return false,
            Step::More | Step::Wait | Step::Lost => {
                let side = &mut self.sides[d];
                side.lost = true;
                side.position += rest.len() as u64;
                *at = head.len();
                self.lose(d);
                return false;
            }
            Step::Message(total, parts) => {
                for (buffer, from, length) in parts {
                    let kept =
                        length.map_or(rest.len(), |l| from.saturating_add(usize::try_from(l).unwrap_or(usize::MAX)));
                    // What has no end yet gets its bytes as they are passed on.
                    let end = if length.is_none() { usize::try_from(total).unwrap_or(usize::MAX) } else { kept };
                    let bytes = rest.get(from..end.min(rest.len())).unwrap_or(&[]);
                    self.begin(d, buffer, from as u64, length, bytes, transaction);
                }
                total
            }
            Step::Inside(length) => {
                let now = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
                self.add(d, rest.get(..now).unwrap_or(rest));
                length
            }
            Step::Last(length) => {
                self.add(d, rest.get(..length).unwrap_or(rest));
                self.end_open(d);
                length as u64
            }
        };
        let now = usize::try_from(total).unwrap_or(usize::MAX).min(rest.len());
        *at += now;
        let side = &mut self.sides[d];
        side.position += now as u64;
        side.left = total - now as u64;
        true
    }
}
