//! Smaller inputs that fail in the same way.

use crate::target::Target;
use std::time::{Duration, Instant};

/// Leaves parts out and simplifies bytes as long as `fails` says that the failure is the same.
pub fn minimise(target: &Target, input: &[u8], limit: Duration, fails: &mut dyn FnMut(&[u8]) -> bool) -> Vec<u8> {
    let start = Instant::now();
    let mut best = input.to_vec();
    let mut again = true;
    while again && start.elapsed() < limit {
        again = false;
        if let Some(parts) = target.parts {
            again |= without_parts(&mut best, parts, start, limit, fails);
        }
        again |= without_blocks(&mut best, start, limit, fails);
    }
    simpler_bytes(&mut best, start, limit, fails);
    best
}

fn without_parts(
    best: &mut Vec<u8>,
    parts: fn(&[u8]) -> Vec<std::ops::Range<usize>>,
    start: Instant,
    limit: Duration,
    fails: &mut dyn FnMut(&[u8]) -> bool,
) -> bool {
    let mut smaller = false;
    let mut step = parts(best).len().next_power_of_two();
    while step > 0 {
        let mut at = 0;
        loop {
            let list = parts(best);
            let Some(from) = list.get(at).map(|r| r.start) else { break };
            let to = list.get((at + step).min(list.len()) - 1).map_or(from, |r| r.end);
            let shorter = [best.get(..from).unwrap_or_default(), best.get(to..).unwrap_or_default()].concat();
            if start.elapsed() > limit {
                return smaller;
            }
            if shorter.len() < best.len() && fails(&shorter) {
                *best = shorter;
                smaller = true;
            } else {
                at += step;
            }
        }
        step /= 2;
    }
    smaller
}

fn without_blocks(best: &mut Vec<u8>, start: Instant, limit: Duration, fails: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    let mut smaller = false;
    let mut block = best.len() / 2;
    while block > 0 {
        let mut at = 0;
        while at < best.len() {
            if start.elapsed() > limit {
                return smaller;
            }
            let end = (at + block).min(best.len());
            let shorter = [&best[..at], &best[end..]].concat();
            if fails(&shorter) {
                *best = shorter;
                smaller = true;
            } else {
                at = end;
            }
        }
        block /= 2;
    }
    smaller
}

fn simpler_bytes(best: &mut Vec<u8>, start: Instant, limit: Duration, fails: &mut dyn FnMut(&[u8]) -> bool) {
    for at in 0..best.len() {
        for simple in [0, b'a'] {
            let before = best[at];
            if before == simple || before == 0 {
                break;
            }
            if start.elapsed() > limit {
                return;
            }
            best[at] = simple;
            if fails(best) {
                break;
            }
            best[at] = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_stays() {
        let target = Target::new("t", "", |_| {}, Vec::new);
        let input: Vec<u8> = (0..200u8).chain(*b"needle").chain(0..200).collect();
        let found = minimise(&target, &input, Duration::from_secs(5), &mut |bytes| {
            bytes.windows(6).any(|w| w == b"needle") && bytes.contains(&199)
        });
        assert_eq!(found.len(), 7);
    }
}
