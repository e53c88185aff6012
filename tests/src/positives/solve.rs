//! Bytes in which all matches of a buffer hold.
//!
//! Proposals at random, each checked with the evaluator of the engine: a template takes the matches one after the other
//! (absolute ones first, what asks for the end last), the gaps are filled, and the chain says whether it holds. Nothing
//! here decides what a match means.

use super::lay::{Spot, groups};
pub use super::template::Filler;
use super::template::{LENGTH_MAX, Template};
use std::collections::HashMap;
use weir_detect::chain::compile::chain;
use weir_detect::chain::{Evaluator, Limits};
use weir_detect::pcre::{PcreLimits, ffi};
use weir_detect::program::datasets::DatasetTable;
use weir_detect::shared::Datasets;
use weir_detect::transform;
use weir_ir::{Buffer, BufferMatch, Comparison, Match, Transform};
use weir_synth::Random;

/// Proposals for one buffer.
const ATTEMPTS: usize = 120;

/// Why no bytes were found.
pub type Cause = &'static str;

/// Makes buffers.
pub struct Solver {
    evaluator: Evaluator,
    datasets: Datasets,
    pub(super) matcher: ffi::Matcher,
    pub(super) values: HashMap<u8, u64>,
}

/// The matches of one buffer, and what its bytes have to look like besides.
pub struct Wanted<'r> {
    /// The matches.
    pub matches: &'r BufferMatch,
    /// Those of `base64_data`, where this buffer holds the encoded bytes.
    pub decoded: Option<&'r BufferMatch>,
    /// Gaps.
    pub filler: Filler,
    /// Length besides the matches' own conditions.
    pub length: Vec<Comparison>,
    /// Shape that the protocol asks of the bytes.
    pub shape: fn(&[u8]) -> bool,
    /// Bytes at the beginning, where the matches leave them free.
    pub lead: &'r [u8],
    /// Bytes at the end, where the matches leave it open.
    pub trail: &'r [u8],
}

impl<'r> Wanted<'r> {
    /// The matches alone, with text between them.
    pub fn new(matches: &'r BufferMatch) -> Wanted<'r> {
        Wanted { matches, decoded: None, filler: Filler::Text, length: Vec::new(), shape: |_| true, lead: b"", trail: b"" }
    }
}

/// One proposal.
pub(super) struct Round<'w> {
    pub(super) wanted: &'w Wanted<'w>,
    /// Bytes at the beginning that are left to the lead.
    pub(super) lead: usize,
    /// Slack that free contents leave before them.
    pub(super) gap: usize,
    /// Its number.
    pub(super) attempt: usize,
}

impl Solver {
    /// None when memory is exhausted.
    pub fn new() -> Option<Solver> {
        Some(Solver {
            evaluator: Evaluator::new(Limits::default())?,
            datasets: Datasets::default(),
            matcher: ffi::Matcher::new(PcreLimits::default())?,
            values: HashMap::new(),
        })
    }

    /// Bytes of the buffer before its transforms.
    pub fn solve(&mut self, wanted: &Wanted<'_>, random: &mut Random) -> Result<Vec<u8>, Cause> {
        self.solve_in(wanted, ATTEMPTS, random)
    }

    /// The same, with so many proposals at most.
    pub fn solve_in(&mut self, wanted: &Wanted<'_>, attempts: usize, random: &mut Random) -> Result<Vec<u8>, Cause> {
        let buffer = wanted.matches;
        if let Some(cause) = unsolvable(buffer) {
            return Err(cause);
        }
        let mut table = DatasetTable::default();
        let program = chain(buffer, wanted.decoded, &mut table).map_err(|_| "matches that the engine refuses")?;
        let steps = transform::compile(&buffer.transforms).map_err(|_| "transforms that the engine refuses")?;
        let (mut after, mut spare) = (Vec::new(), Vec::new());
        let mut cause = "no proposal holds";
        for attempt in 0..attempts {
            let transformed = match self.propose(wanted, attempt, random) {
                Ok(bytes) => bytes,
                Err(why) => {
                    cause = why;
                    continue;
                }
            };
            let Some(bytes) = inverted(&buffer.transforms, transformed) else {
                cause = "a transform without inverse";
                continue;
            };
            transform::apply(&steps, &bytes, &mut self.matcher, &mut after, &mut spare);
            self.evaluator.begin_rule();
            self.evaluator.dce_little = true;
            if !(wanted.shape)(&bytes) {
                cause = "the protocol's shape does not go with the matches";
            } else if !wanted.length.iter().all(|c| c.holds(bytes.len() as u64)) {
                cause = "length";
            } else if self.evaluator.holds(&program, &after, None, &mut self.datasets) {
                return Ok(bytes);
            } else {
                cause = "no proposal holds";
            }
        }
        Err(cause)
    }

    fn propose(&mut self, wanted: &Wanted<'_>, attempt: usize, random: &mut Random) -> Result<Vec<u8>, Cause> {
        self.values.clear();
        let matches = &wanted.matches.matches;
        let sizes = || {
            matches
                .iter()
                .filter_map(|m| if let Match::Size(c) = m { Some(*c) } else { None })
                .chain(wanted.length.iter().copied())
        };
        let exact = sizes().find_map(|c| match c {
            Comparison::Equal(n) => Some(n as usize),
            Comparison::Within(a, b) if a == b => Some(a as usize),
            _ => None,
        });
        let mut template = Template::default();
        if let Some(exact) = exact {
            if !template.reach(exact) {
                return Err("too long");
            }
            template.closed = true;
        }
        if wanted.matches.transforms.first() == Some(&Transform::DotPrefix) {
            template.put(0, b".", false);
        }
        for item in matches {
            if let Match::Dataset(set) = item {
                let entry = set.entries.first().ok_or("an empty dataset")?;
                template.put(0, entry, false);
            }
        }
        let lead = if attempt % 5 == 4 { b"" } else { wanted.lead };
        let round = Round { wanted, lead: lead.len(), gap: [0, 0, 1, 3][attempt % 4], attempt };
        let mut spot = Spot::default();
        for group in groups(matches, random) {
            spot.position = 0;
            for (n, item) in group.iter().enumerate() {
                let follows = group.get(n + 1).is_some();
                self.lay(item, &mut template, &mut spot, follows, &round, random)?;
            }
        }
        let least = spot.least;
        if !template.closed || template.cells.len() < least {
            template.closed = false;
            let size = (template.cells.len().max(least).max(lead.len())..)
                .take(LENGTH_MAX)
                .find(|n| sizes().all(|c| c.holds(*n as u64)));
            let size = size.ok_or("length")?;
            let size = if matches.iter().all(|m| matches!(m, Match::Size(_))) && size == 0 { 1 } else { size };
            if sizes().all(|c| c.holds(size as u64)) && !template.reach(size) {
                return Err("too long");
            }
        }
        if !template.closed {
            template.reach(lead.len());
            let trail = wanted.trail.len() + if attempt % 3 == 1 { 1 + random.below(4) as usize } else { 0 };
            if trail > 0 && sizes().next().is_none() {
                let end = template.cells.len() + trail;
                template.put(end - wanted.trail.len(), wanted.trail, false);
                template.reach(end);
            }
        }
        for (cell, byte) in template.cells.iter_mut().zip(lead) {
            cell.get_or_insert(*byte);
        }
        Ok(template.filled(wanted.filler, random))
    }
}

/// Buffers and transforms that only a search for preimages could serve.
fn unsolvable(buffer: &BufferMatch) -> Option<Cause> {
    let digest = matches!(
        buffer.buffer,
        Buffer::FileMd5
            | Buffer::FileSha1
            | Buffer::FileSha256
            | Buffer::TlsCertFingerprint
            | Buffer::Ja3Hash
            | Buffer::Ja3sHash
            | Buffer::Ja4Hash
            | Buffer::SshHassh
            | Buffer::SshHasshServer
            | Buffer::QuicCyuHash
            | Buffer::EmailBodyMd5
    );
    let positive =
        buffer.matches.iter().any(|m| matches!(m, Match::Content(c) if !c.negated) || matches!(m, Match::Pcre(_)));
    if digest && positive {
        return Some("a digest, which cannot be turned round");
    }
    let hashed =
        buffer.transforms.iter().any(|t| matches!(t, Transform::ToMd5 | Transform::ToSha1 | Transform::ToSha256));
    hashed.then_some("a digest, which cannot be turned round")
}

/// The bytes that the transforms turn into these.
fn inverted(transforms: &[Transform], bytes: Vec<u8>) -> Option<Vec<u8>> {
    transforms.iter().rev().try_fold(bytes, |bytes, transform| {
        Some(match transform {
            Transform::DotPrefix => bytes.strip_prefix(b".")?.to_vec(),
            Transform::Xor(key) if !key.is_empty() => {
                bytes.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k).collect()
            }
            Transform::FromBase64(..) => weir_ir::base64::encode(&bytes).collect(),
            Transform::PcreExtract(_)
            | Transform::Domain
            | Transform::Tld
            | Transform::Gunzip(_)
            | Transform::ZlibInflate(_) => return None,
            // What these leave as it is serves.
            _ => bytes,
        })
    })
}
