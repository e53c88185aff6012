//! From seeds to inputs: input `n` is a function of seeds, the run's seed and `n`.

use crate::random::Random;
use crate::target::Target;

/// Numbers at which lengths, counters and signs break.
const INTERESTING: [u64; 24] = [
    0,
    1,
    2,
    7,
    8,
    0x0f,
    0x10,
    0x1f,
    0x20,
    0x3f,
    0x40,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// Input `n` of a run.
pub fn input(target: &Target, seeds: &[Vec<u8>], seed: u64, n: u64) -> Vec<u8> {
    let mut random = Random::new(seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    // Every seed runs as it is first.
    if let Some(first) = usize::try_from(n).ok().and_then(|n| seeds.get(n)) {
        return first.clone();
    }
    let mut bytes = random.pick(seeds).cloned().unwrap_or_default();
    let other = random.pick(seeds).map_or(&[][..], Vec::as_slice);
    match target.mutate {
        Some(mutate) if !random.one_in(4) => {
            mutate(&mut bytes, other, &mut random);
            if random.one_in(4) {
                mutate_bytes(&mut bytes, other, target.dictionary, &mut random);
            }
        }
        _ => mutate_bytes(&mut bytes, other, target.dictionary, &mut random),
    }
    if let Some(repair) = target.repair {
        if !random.one_in(4) {
            repair(&mut bytes);
        }
    }
    bytes.truncate(target.longest);
    bytes
}

/// A few mutations of bytes, one on top of the other.
pub fn mutate_bytes(bytes: &mut Vec<u8>, other: &[u8], dictionary: &[&[u8]], random: &mut Random) {
    let most = if random.one_in(4) { 16 } else { 4 };
    for _ in 0..1 + random.below(most) {
        mutate_once(bytes, other, dictionary, random);
    }
}

fn mutate_once(bytes: &mut Vec<u8>, other: &[u8], dictionary: &[&[u8]], random: &mut Random) {
    let length = bytes.len();
    let at = random.below(length.max(1));
    match random.below(13) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.byte();
            }
        }
        2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = byte.wrapping_add(random.below(33) as u8).wrapping_sub(16);
            }
        }
        3 | 4 => number(bytes, at, random),
        5 => {
            // Leave a block out.
            let end = (at + random.length(length.max(1))).min(length);
            bytes.drain(at.min(length)..end);
        }
        6 => {
            // Repeat a block here.
            let from = random.below(length.max(1));
            let block = bytes.get(from..(from + random.length(64)).min(length)).unwrap_or_default().to_vec();
            insert(bytes, at, &block);
        }
        7 => {
            // Copy a block over another.
            let from = random.below(length.max(1));
            let block = bytes.get(from..(from + random.length(64)).min(length)).unwrap_or_default().to_vec();
            overwrite(bytes, at, &block);
        }
        8 => {
            let block: Vec<u8> = (0..random.length(32)).map(|_| random.byte()).collect();
            insert(bytes, at, &block);
        }
        9 => {
            let block = vec![random.byte(); random.length(256)];
            if random.one_in(2) { insert(bytes, at, &block) } else { overwrite(bytes, at, &block) }
        }
        10 => {
            // The head of one, the tail of another.
            bytes.truncate(at);
            bytes.extend_from_slice(other.get(random.below(other.len().max(1))..).unwrap_or_default());
        }
        _ => {
            let Some(word) = random.pick(dictionary).copied() else { return number(bytes, at, random) };
            if random.one_in(3) { overwrite(bytes, at, word) } else { insert(bytes, at, word) }
        }
    }
}

/// Overwrite one to eight bytes with an interesting number.
fn number(bytes: &mut [u8], at: usize, random: &mut Random) {
    let value = random.pick(&INTERESTING).copied().unwrap_or(0);
    let value = if random.one_in(4) { value.wrapping_add(random.below(5) as u64).wrapping_sub(2) } else { value };
    let size = 1 << random.below(4);
    let raw = if random.one_in(2) { value.to_le_bytes() } else { (value << (64 - 8 * size)).to_be_bytes() };
    for (place, byte) in bytes.iter_mut().skip(at).zip(raw).take(size) {
        *place = byte;
    }
}

/// Insert a block.
pub fn insert(bytes: &mut Vec<u8>, at: usize, block: &[u8]) {
    let at = at.min(bytes.len());
    bytes.splice(at..at, block.iter().copied());
}

fn overwrite(bytes: &mut [u8], at: usize, block: &[u8]) {
    for (place, byte) in bytes.iter_mut().skip(at).zip(block) {
        *place = *byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_repeat_and_differ() {
        let seeds: Vec<Vec<u8>> = vec![b"hello world, hello".to_vec(), vec![0; 40]];
        let target = Target { dictionary: &[b"word"], longest: 64, ..Target::new("t", "", |_| {}, Vec::new) };
        assert_eq!(input(&target, &seeds, 7, 1), seeds[1]);
        let all: Vec<_> = (2..2000).map(|n| input(&target, &seeds, 7, n)).collect();
        assert_eq!(all, (2..2000).map(|n| input(&target, &seeds, 7, n)).collect::<Vec<_>>());
        assert!(all.iter().all(|bytes| bytes.len() <= 64));
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert!(distinct.len() > 1500, "{}", distinct.len());
        assert!(all.iter().any(|bytes| bytes.windows(4).any(|w| w == b"word")));
    }
}
