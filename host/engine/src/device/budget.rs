//! Who may use the host while it lags behind.
//!
//! Behind a device the host gets what the device flags. Whoever knows a fragment that flags can send it in flows of one packet
//! each, and so have every packet of theirs diverted. While the host keeps up, everything is inspected, and this module only
//! counts. When it lags, a source that has had more than its share of the host's work is answered without inspection, by the
//! fail mode, and counted: other sources are served.
//!
//! Work is counted by source address (a /64 of IPv6) in a count-min sketch (Cormode and Muthukrishnan, 2005) of fixed size,
//! with a secret hash; counts are halved as they grow, so that they tell of the recent past. An estimate is never too low: a
//! source that sends too much is found; one that shares both of its counters with such a source may be taken for it.

use std::net::IpAddr;
use weir_contract::hash::splitmix64;

/// Counters of each of the two rows.
const SLOTS: usize = 4096;
/// Work that a frame is besides its bytes: descriptor, decoding, look-ups.
const FRAME: u32 = 256;
/// Work after which counts are halved: some 16 000 full-size frames.
const HORIZON: u64 = 1 << 25;
/// Work that nobody is refused: a source must be seen for a while before it is said to take more than its share.
const LEAST: u64 = 1 << 16;

/// Work of the host by source.
#[derive(Debug)]
pub struct Budget {
    /// Part of the recent work that a source may have while the host lags, in 1/1024.
    share: u64,
    secret: u64,
    rows: [Box<[u32]>; 2],
    total: u64,
}

impl Budget {
    /// A source may have `share` (0 to 1) of the host's work while the host lags; 1: all of it.
    pub fn new(share: f64, secret: u64) -> Self {
        let row = || vec![0; SLOTS].into_boxed_slice();
        Budget { share: (share.clamp(0.0, 1.0) * 1024.0) as u64, secret, rows: [row(), row()], total: 0 }
    }

    fn slots(&self, source: IpAddr) -> [usize; 2] {
        let bits = match source {
            IpAddr::V4(v4) => u64::from(v4.to_bits()) | 1 << 32,
            // A customer has a /64 (RFC 6177), or more.
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        };
        let mut state = self.secret ^ bits;
        let hash = splitmix64(&mut state);
        [hash as usize % SLOTS, (hash >> 32) as usize % SLOTS]
    }

    /// Recent work for a source, and for all.
    pub fn work(&self, source: IpAddr) -> (u64, u64) {
        let [a, b] = self.slots(source);
        let of = |row: usize, slot: usize| self.rows[row].get(slot).copied().unwrap_or(0);
        (of(0, a).min(of(1, b)).into(), self.total)
    }

    /// A source may have more of a host that lags.
    pub fn allows(&self, source: IpAddr) -> bool {
        let (of_source, all) = self.work(source);
        self.share >= 1024 || of_source <= LEAST.max(all * self.share / 1024)
    }

    /// A frame of `bytes` from `source` is inspected.
    pub fn count(&mut self, source: IpAddr, bytes: usize) {
        let work = FRAME.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        let slots = self.slots(source);
        for (row, slot) in self.rows.iter_mut().zip(slots) {
            if let Some(count) = row.get_mut(slot) {
                *count = count.saturating_add(work);
            }
        }
        self.total += u64::from(work);
        if self.total >= HORIZON {
            self.rows.iter_mut().flat_map(|row| row.iter_mut()).for_each(|count| *count /= 2);
            self.total /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Budget {
        /// As the runtime does: is the frame to be inspected? If so, it counts.
        fn admit(&mut self, source: IpAddr, bytes: usize, lags: bool) -> bool {
            let admitted = !lags || self.allows(source);
            if admitted {
                self.count(source, bytes);
            }
            admitted
        }
    }

    fn v4(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    /// One source sends nine frames of ten; the others are served, and it is kept to its share.
    #[test]
    fn a_source_that_takes_all_is_kept_to_its_share() {
        let mut budget = Budget::new(0.25, 7);
        let (mut refused, mut of_others, mut inspected) = (0, 0, [0u64; 2]);
        for n in 0..200_000u32 {
            let attacker = n % 10 != 0;
            let source = if attacker { v4(1) } else { v4(1000 + n % 977) };
            if budget.admit(source, 64, true) {
                inspected[usize::from(attacker)] += 1;
            } else if attacker {
                refused += 1;
            } else {
                of_others += 1;
            }
        }
        assert_eq!(of_others, 0);
        assert!(refused > 160_000);
        let share = inspected[1] as f64 / (inspected[0] + inspected[1]) as f64;
        assert!((0.2..0.3).contains(&share), "{share}");
    }

    #[test]
    fn nobody_is_refused_while_the_host_keeps_up() {
        let mut budget = Budget::new(0.1, 7);
        assert!((0..100_000).all(|_| budget.admit(v4(1), 1500, false)));
        assert!(!budget.admit(v4(1), 1500, true), "and it is remembered");
        // A new source has not had anything.
        assert!(budget.admit(v4(2), 1500, true));
        let mut all = Budget::new(1.0, 7);
        assert!((0..100_000).all(|_| all.admit(v4(1), 1500, true)), "no limit");
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let mut budget = Budget::new(0.25, 3);
        let of = |host: u128| IpAddr::V6((0x2001_0db8_0000_0001_u128 << 64 | host).into());
        let admitted = (0..10_000u128).filter(|n| budget.admit(of(*n), 64, true)).count();
        assert!(admitted < 500, "{admitted}");
        assert!(budget.admit(IpAddr::V6((0x2001_0db8_0000_0002_u128 << 64).into()), 64, true));
    }

    /// What was long ago does not count.
    #[test]
    fn counts_fade() {
        let mut budget = Budget::new(0.25, 3);
        for _ in 0..20_000 {
            budget.admit(v4(1), 1500, false);
        }
        assert!(!budget.admit(v4(1), 64, true));
        for n in 0..100_000u32 {
            budget.admit(v4(100 + n % 500), 1500, false);
        }
        assert!(budget.admit(v4(1), 64, true));
    }
}
