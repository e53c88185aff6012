//! What a fragment is expected to cost: statistics of bytes in traffic.
//!
//! A profile ([`crate::profile`]) has, per kind of traffic, the share of frames that hold each folded pair of bytes, and each of the
//! most frequent runs of three and of four (hashed to 2^16 slots; the greater of colliding ones stays), as -8·log2; all other
//! slots hold half of the least share kept. A window's rate is what was counted of it, or
//! estimated as the geometric mean of two: a chain (share of its first four bytes, times, for each further byte, the share of
//! the four bytes that end with it over the share of their first three), and the share of its rarest four bytes.
//!
//! The built-in statistics are a profile of the project's captures. Where another profile knows a kind of traffic, its rates are taken in
//! the place of the built-in ones. All of it steers the choice only, never soundness.

use super::class::Fragment;
use super::sets::Sets;
use crate::profile::{KINDS, Profile, RUNS, SLOTS};
use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;
use weir_contract::constants::{GUARDS_MAX, SET_ANY};
use weir_contract::enums::DirectionMask;
use weir_contract::guards::Guard;
use weir_contract::layouts::Record;
use weir_contract::protocol::AppProtocol;

/// Kinds of traffic with statistics of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Heads of HTTP requests.
    Request,
    /// HTTP responses, heads and bodies.
    Response,
    /// DNS.
    Dns,
    /// TLS.
    Tls,
    /// Everything else on TCP.
    Stream,
    /// Everything else.
    Datagram,
    /// All of them.
    Any,
}

impl Traffic {
    /// Traffic of a protocol in some directions.
    pub fn of(protocol: AppProtocol, directions: u8) -> Self {
        match protocol {
            AppProtocol::Http | AppProtocol::Http1 | AppProtocol::Http2 => Self::body(directions),
            AppProtocol::Dns | AppProtocol::Mdns => Traffic::Dns,
            AppProtocol::Tls => Traffic::Tls,
            _ => Traffic::Stream,
        }
    }

    /// HTTP by direction.
    pub fn body(directions: u8) -> Self {
        if directions & DirectionMask::TO_CLIENT.0 == 0 { Traffic::Request } else { Traffic::Response }
    }
}

/// The statistics.
#[derive(Debug, Clone, Default)]
pub struct Statistics {
    profile: Option<Arc<Profile>>,
    /// Shares of each kind's frames that raise a guard, where a profile tells them.
    guards: Option<Arc<[[f64; GUARDS_MAX]; KINDS]>>,
    /// Windows whose rates were asked for, folded, with their lengths; none: they are not noted.
    asked: Option<RefCell<HashSet<(u64, usize)>>>,
}

/// Rate of what no statistics know.
const UNKNOWN: f64 = 1e-3;

/// Most windows that are noted.
const ASKED_MAX: usize = 1 << 22;

impl Statistics {
    /// Of a profile, or the built-in ones.
    pub fn new(profile: Option<Arc<Profile>>) -> Self {
        let profile = profile.filter(|p| p.has_rates());
        let guards = Some(Arc::new(profile.as_ref().unwrap_or(Profile::built_in()).guard_rates()));
        Statistics { profile, guards, asked: None }
    }

    /// These, with a note of every window that is asked for.
    pub(super) fn noting() -> Self {
        Statistics { asked: Some(RefCell::default()), ..Statistics::default() }
    }

    /// Windows that were asked for.
    pub(super) fn into_asked(self) -> HashSet<(u64, usize)> {
        self.asked.map(RefCell::into_inner).unwrap_or_default()
    }

    /// Expected share of the traffic's frames that hold the window.
    pub fn rate(&self, traffic: Traffic, window: &Fragment) -> f64 {
        if let Some(asked) = &self.asked {
            let mut asked = asked.borrow_mut();
            if asked.len() < ASKED_MAX {
                asked.insert((window.window(), window.length()));
            }
        }
        self.of(traffic, |kind| self.rate_of_kind(kind, window))
    }

    /// The same of one kind, by its number.
    pub fn rate_of_kind(&self, kind: usize, window: &Fragment) -> f64 {
        let prior = Profile::built_in().rate(kind, window, None);
        let learned = self.profile.as_ref().and_then(|p| p.rate(kind, window, prior));
        learned.or(prior).unwrap_or(UNKNOWN)
    }

    /// Expected share of the traffic's frames that hold these two or three bytes, whatever stands beside them.
    pub fn rate_of_run(&self, traffic: Traffic, run: &[u8]) -> f64 {
        self.of(traffic, |kind| self.rate_of_run_of_kind(kind, run))
    }

    /// The same of one kind, by its number.
    pub fn rate_of_run_of_kind(&self, kind: usize, run: &[u8]) -> f64 {
        let folded: Vec<u8> = run.iter().take(3).map(u8::to_ascii_lowercase).collect();
        let prior = Profile::built_in().rate_of_run(kind, &folded, None);
        let learned = self.profile.as_ref().and_then(|p| p.rate_of_run(kind, &folded, prior));
        learned.or(prior).unwrap_or(UNKNOWN)
    }

    /// What guards cost that a condition needs besides its window: as a profile has it, or `built_in`.
    pub fn guards(&self, traffic: Traffic, guards: impl IntoIterator<Item = Guard>, built_in: f64) -> f64 {
        let Some(rates) = &self.guards else { return built_in };
        let of_kind = |kind: usize, guard: Guard| rates.get(kind).and_then(|r| r.get(guard as usize)).copied().unwrap_or(0.0);
        guards.into_iter().map(|guard| self.of(traffic, |kind| of_kind(kind, guard))).sum::<f64>().min(1.0)
    }

    fn of(&self, traffic: Traffic, rate: impl Fn(usize) -> f64) -> f64 {
        match (traffic, &self.profile) {
            (Traffic::Any, None) => (0..KINDS).map(rate).sum::<f64>() / KINDS as f64,
            (Traffic::Any, Some(profile)) => profile.parts().iter().enumerate().map(|(kind, part)| part * rate(kind)).sum(),
            (kind, _) => rate(kind as usize),
        }
    }
}

/// Expected share of a kind's frames that hold some bytes, by a table of runs.
pub(crate) fn chain(table: &[u8], kind: usize, bytes: &[u8]) -> f64 {
    let (mut total, mut least) = (0.0, 0.0f64);
    for (i, four) in bytes.windows(4).enumerate() {
        let whole = share(table, kind, four);
        least = least.max(whole);
        total += if i == 0 { whole } else { (whole - share(table, kind, &four[..3])).max(0.0) };
    }
    // The chain takes what follows three bytes as chance, and words for rarer than they are; the rarest four bytes are a
    // bound from above. Between the two.
    (-(total + least) / 16.0).exp2()
}

/// -8·log2 of the share of frames with this run of one of [`RUNS`].
pub(crate) fn share(table: &[u8], kind: usize, run: &[u8]) -> f64 {
    let at = (kind * RUNS.len() + run.len().saturating_sub(RUNS[0])) * SLOTS + slot(run);
    f64::from(table.get(at).copied().unwrap_or(u8::MAX))
}

/// Slot of a run: a pair's own, else FNV-1a, folded to 16 bits.
pub(crate) fn slot(run: &[u8]) -> usize {
    if let [a, b] = run {
        return usize::from(*a) << 8 | usize::from(*b);
    }
    let hash = run.iter().fold(0x811c_9dc5u32, |h, &b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    (hash ^ (hash >> 15)) as usize & (SLOTS - 1)
}

/// Share of traffic that a record's ports and addresses leave, roughly.
pub fn narrowing(record: &Record, sets: &Sets) -> f64 {
    let port = |id: u16| match sets.ports().get(usize::from(id)) {
        Some(set) if id != SET_ANY => {
            let many: u32 = set.ranges.iter().map(|&(a, b)| u32::from(b - a) + 1).sum();
            (f64::from(many) / 65536.0).max(0.02)
        }
        _ => 1.0,
    };
    let address = |id: u16| if id == SET_ANY { 1.0 } else { 0.7 };
    port(record.source_ports)
        * port(record.destination_ports)
        * address(record.source_addresses)
        * address(record.destination_addresses)
}
