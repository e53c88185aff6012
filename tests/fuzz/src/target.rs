//! What a fuzz target is.

use crate::random::Random;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

/// A fuzz target: a function of bytes that panics when a property does not hold.
#[derive(Clone, Copy)]
pub struct Target {
    /// Name on the command line and of its folder in the corpus.
    pub name: &'static str,
    /// What is fed, and what must hold.
    pub about: &'static str,
    /// The function.
    pub run: fn(&[u8]),
    /// Our own seeds.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Seeds from the shared data, whose folder is given.
    pub shared: fn(&Path) -> Vec<Vec<u8>>,
    /// Words that its inputs are made of.
    pub dictionary: &'static [&'static [u8]],
    /// Structured mutation, chosen half of the time: an input and another seed.
    pub mutate: Option<fn(&mut Vec<u8>, &[u8], &mut Random)>,
    /// Makes checksums right again; applied to three of four inputs.
    pub repair: Option<fn(&mut Vec<u8>)>,
    /// Parts that minimising tries to leave out first.
    pub parts: Option<fn(&[u8]) -> Vec<Range<usize>>>,
    /// Longest input.
    pub longest: usize,
    /// An input that takes longer is a finding.
    pub slow: Duration,
    /// Bytes that may be allocated at the same time while an input runs.
    pub memory: usize,
    /// Setting up takes longer than a short run: left to long ones.
    pub heavy: bool,
}

impl Target {
    /// A target with no seeds from outside, bytewise mutation and the usual limits.
    pub const fn new(name: &'static str, about: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Self {
        Target {
            name,
            about,
            run,
            seeds,
            shared: |_| Vec::new(),
            dictionary: &[],
            mutate: None,
            repair: None,
            parts: None,
            longest: 8 << 10,
            slow: Duration::from_secs(1),
            memory: 64 << 20,
            heavy: false,
        }
    }
}
