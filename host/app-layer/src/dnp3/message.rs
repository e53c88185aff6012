//! Application messages (IEEE 1815 clause 4): control, function, indications, objects.

use super::points::{Skip, layout, number, walk};
use crate::tls::Reader;

/// Most objects of a message.
const OBJECTS_MAX: usize = 256;
/// Most points of an object and of a message, as their sizes are walked.
pub const POINTS_MAX: u64 = 16_384;

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
    /// Where its points begin in the message.
    pub at: usize,
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
    /// Bytes in all.
    length: usize,
}

/// Read a message; none if its head is not there. Who sends it says whether it is a response.
pub fn read(bytes: &[u8], response: bool) -> Option<(Message, Oddities)> {
    let mut r = Reader(bytes);
    let mut message = Message { control: r.u8()?, function: r.u8()?, length: bytes.len(), ..Message::default() };
    if response {
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

/// The range field: from which point to which, or how many.
fn range_of(r: &mut Reader<'_>, code: u8, object: &mut Object) -> Option<()> {
    match code {
        0..=5 => {
            let width = 1 << (code % 3);
            (object.start, object.stop) = (number(r, width)? as u32, number(r, width)? as u32);
            object.count = object.stop.wrapping_sub(object.start).wrapping_add(1);
        }
        6 => {}
        7..=9 => object.count = number(r, 1 << (code - 7))? as u32,
        0xb => object.count = number(r, 1)? as u32,
        _ => return None,
    }
    Some(())
}

fn object(r: &mut Reader<'_>, message: &mut Message, oddities: &mut Oddities, points: &mut u64) -> Option<()> {
    let (group, variation, qualifier) = (r.u8()?, r.u8()?, r.u8()?);
    let (prefix, range) = (qualifier >> 4 & 7, qualifier & 15);
    let mut object = Object { group, variation, qualifier, start: 0, stop: 0, count: 0, at: 0 };
    let known = range_of(r, range, &mut object);
    let (start, count) = (object.start, object.count);
    object.at = message.length - r.0.len();
    message.objects.push(object);
    // An object is named even if it cannot be told how many points follow.
    known?;
    // Variation 0 names points, and has none.
    if variation == 0 || count == 0 {
        return Some(());
    }
    *points += u64::from(count);
    if *points > POINTS_MAX {
        oddities.too_many_points = true;
        return None;
    }
    let walked = layout(group, variation).and_then(|layout| walk(layout, prefix, start, count, r, &mut Skip));
    oddities.unknown_object |= walked.is_none();
    walked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects() {
        let (m, o) = read(&[0xcb, 20, 60, 2, 6, 60, 3, 6, 60, 4, 6], false).unwrap();
        assert_eq!((m.objects.len(), m.complete, o), (3, true, Oddities::default()));
        assert_eq!(m.objects[2], Object { group: 60, variation: 4, qualifier: 6, start: 0, stop: 0, count: 0, at: 11 });
        // A response: indications, ten binary inputs, two analog ones with an index.
        let (m, o) = read(&[0xc0, 129, 0x80, 0, 1, 1, 0, 0, 9, 0xff, 3, 30, 2, 0x17, 2, 5, 1, 2, 3, 6, 4, 5, 6], true).unwrap();
        assert_eq!((m.indications, m.complete, o), (Some(0x8000), true, Oddities::default()));
        assert_eq!((m.objects[0].count, m.objects[1].count, m.objects[1].at), (10, 2, 15));
        // A file, by size.
        let (m, _) = read(&[0xc0, 25, 70, 8, 0x5b, 1, 3, 0, b'a', b'b', b'c'], false).unwrap();
        assert!(m.complete);
        for unknown in [&[0xc0, 2, 99, 9, 7, 1, 0][..], &[0xc0, 2, 30, 1, 0, 0, 0, 1], &[0xc0, 2, 110, 4, 7, 1, 1, 2, 3, 4]] {
            let (m, o) = read(unknown, false).unwrap();
            assert!(o.unknown_object && !m.complete && m.objects.len() == 1);
        }
        assert!(read(&[0xc0, 2, 30, 1, 8, 0xff, 0xff], false).unwrap().1.too_many_points);
        assert!(read(&[&[0xc0, 1][..], &[60, 2, 6].repeat(300)].concat(), false).unwrap().1.too_many_objects);
        // The last point before the first: more than any message has.
        assert!(read(&[0xc0, 2, 30, 1, 0, 9, 0], false).unwrap().1.too_many_points);
        assert!(read(&[0xc0], false).is_none());
    }
}
