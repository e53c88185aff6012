//! Application messages (IEEE 1815 clause 4): control, function, indications, objects.

use crate::tls::Reader;

/// Most objects of a message.
const OBJECTS_MAX: usize = 256;
/// Most points of an object and of a message, as their sizes are walked.
const POINTS_MAX: u64 = 16_384;

/// What is odd about a message's objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    pub unknown_object: bool,
    pub too_many_objects: bool,
    pub too_many_points: bool,
}

/// The head of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object {
    pub group: u8,
    pub variation: u8,
    pub qualifier: u8,
    pub start: u32,
    pub stop: u32,
    pub count: u32,
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    pub control: u8,
    pub function: u8,
    /// Internal indications of a response.
    pub indications: Option<u16>,
    pub objects: Vec<Object>,
    /// The objects could be read to their end.
    pub complete: bool,
}

/// Function codes of responses.
fn is_response(function: u8) -> bool {
    matches!(function, 129..=131)
}

/// Size of a point.
enum Size {
    Bits(u64),
    Bytes(u64),
    /// Said by a prefix.
    Prefix,
}

/// Sizes of points by group and variation (IEEE 1815 annex A).
fn size(group: u8, variation: u8) -> Option<Size> {
    use Size::{Bits, Bytes, Prefix};
    let from = |sizes: &[u64]| sizes.get(usize::from(variation).checked_sub(1)?).filter(|n| **n > 0).map(|n| Bytes(*n));
    match group {
        1 | 10 | 80 if variation == 1 => Some(Bits(1)),
        3 if variation == 1 => Some(Bits(2)),
        12 if variation == 3 => Some(Bits(1)),
        1 | 3 | 10 if variation == 2 => Some(Bytes(1)),
        2 | 4 => from(&[1, 7, 3]),
        11 | 13 => from(&[1, 7]),
        12 => from(&[11, 11]),
        20 => from(&[5, 3, 5, 3, 4, 2, 4, 2]),
        21 => from(&[5, 3, 5, 3, 11, 9, 11, 9, 4, 2, 4, 2]),
        22 | 23 => from(&[5, 3, 5, 3, 11, 9, 11, 9]),
        30 => from(&[5, 3, 4, 2, 5, 9]),
        31 => from(&[5, 3, 11, 9, 4, 2, 5, 9]),
        32 | 33 | 42 => from(&[5, 3, 11, 9, 5, 9, 11, 15]),
        34 => from(&[2, 4, 4]),
        40 => from(&[5, 3, 5, 9]),
        41 => from(&[5, 3, 5, 9]),
        43 => from(&[5, 3, 11, 9, 5, 9, 11, 15]),
        50 => from(&[6, 10, 6, 11]),
        51 => from(&[6, 6]),
        52 => from(&[2, 2]),
        70 | 83 | 85 | 87 | 88 | 91 | 120 => Some(Prefix),
        86 => from(&[0, 1, 0]).or(Some(Prefix)),
        102 => from(&[1]),
        110..=113 => Some(Bytes(variation.into())),
        121 => from(&[7]),
        122 => from(&[13, 11]),
        _ => None,
    }
}

/// Read a message; none if its head is not there.
pub fn read(bytes: &[u8]) -> Option<(Message, Oddities)> {
    let mut r = Reader(bytes);
    let mut message = Message { control: r.u8()?, function: r.u8()?, ..Message::default() };
    if is_response(message.function) {
        message.indications = Some(r.u16()?);
    }
    let mut oddities = Oddities::default();
    let mut points = 0;
    while !r.0.is_empty() {
        if message.objects.len() >= OBJECTS_MAX {
            oddities.too_many_objects = true;
            return Some((message, oddities));
        }
        if object(&mut r, &mut message, &mut oddities, &mut points).is_none() {
            return Some((message, oddities));
        }
    }
    message.complete = true;
    Some((message, oddities))
}

fn number(r: &mut Reader<'_>, bytes: usize) -> Option<u32> {
    Some(r.take(bytes)?.iter().rev().fold(0, |n, b| n << 8 | u32::from(*b)))
}

fn object(r: &mut Reader<'_>, message: &mut Message, oddities: &mut Oddities, points: &mut u64) -> Option<()> {
    let (group, variation, qualifier) = (r.u8()?, r.u8()?, r.u8()?);
    let (prefix, range) = (qualifier >> 4 & 7, qualifier & 15);
    let mut object = Object { group, variation, qualifier, start: 0, stop: 0, count: 0 };
    match range {
        0..=2 | 3..=5 => {
            let width = 1 << (range % 3);
            (object.start, object.stop) = (number(r, width)?, number(r, width)?);
            object.count = object.stop.checked_sub(object.start)?.saturating_add(1);
        }
        6 => {}
        7..=9 => object.count = number(r, 1 << (range - 7))?,
        0xb => object.count = number(r, 1)?,
        _ => return None,
    }
    message.objects.push(object);
    // A request to read names points, and has none.
    if message.function == 1 || object.count == 0 || variation == 0 && !matches!(group, 110..=113) {
        return Some(());
    }
    *points += u64::from(object.count);
    if *points > POINTS_MAX {
        oddities.too_many_points = true;
        return None;
    }
    let Some(size) = size(group, variation) else {
        oddities.unknown_object = true;
        return None;
    };
    let count = u64::from(object.count);
    let index = [0, 1, 2, 4].get(usize::from(prefix)).copied();
    match (size, index) {
        (Size::Bits(bits), _) => {
            r.take(usize::try_from((count * bits).div_ceil(8)).ok()?)?;
        }
        (Size::Bytes(bytes), Some(index)) => {
            r.take(usize::try_from(count * (bytes + index)).ok()?)?;
        }
        (_, None) => {
            // Each point says its size.
            let width = *[1, 2, 4].get(usize::from(prefix) - 4)?;
            for _ in 0..count {
                let length = number(r, width)? as usize;
                r.take(length)?;
            }
        }
        (Size::Prefix, Some(_)) => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects() {
        let (m, o) = read(&[0xcb, 20, 60, 2, 6, 60, 3, 6, 60, 4, 6]).unwrap();
        assert_eq!((m.objects.len(), m.complete, o), (3, true, Oddities::default()));
        assert_eq!(m.objects[2], Object { group: 60, variation: 4, qualifier: 6, start: 0, stop: 0, count: 0 });
        // A response: indications, ten binary inputs, two analog ones with an index.
        let (m, o) = read(&[0xc0, 129, 0x80, 0, 1, 1, 0, 0, 9, 0xff, 3, 30, 2, 0x17, 2, 5, 1, 2, 3, 6, 4, 5, 6]).unwrap();
        assert_eq!((m.indications, m.complete, o), (Some(0x8000), true, Oddities::default()));
        assert_eq!((m.objects[0].count, m.objects[1].count), (10, 2));
        // A file, by size.
        let (m, _) = read(&[0xc0, 25, 70, 3, 0x5b, 1, 3, 0, b'a', b'b', b'c']).unwrap();
        assert!(m.complete);
        assert!(read(&[0xc0, 2, 99, 9, 7, 1, 0]).unwrap().1.unknown_object);
        assert!(read(&[0xc0, 2, 30, 1, 8, 0xff, 0xff]).unwrap().1.too_many_points);
        assert!(read(&[&[0xc0, 1][..], &[60, 2, 6].repeat(300)].concat()).unwrap().1.too_many_objects);
        assert!(!read(&[0xc0, 2, 30, 1, 0, 9, 0]).unwrap().0.complete);
        assert!(read(&[0xc0]).is_none());
    }
}
