//! Records of one direction: session messages over NetBIOS (RFC 1002 section 4.3) or direct TCP (MS-SMB2 section 2.1).

/// Bytes of a record that are held to read its messages; more of a read or a write flows through.
const HOLD: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    #[default]
    Head,
    /// Collecting a session message of this length.
    Body(usize),
    /// So many bytes of a message were not held.
    Rest(usize),
    /// So many bytes of another kind of record.
    Skip(usize),
    /// The framing is lost: look for the next message.
    Search,
}

/// What comes out of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// A message, or its first [`HOLD`] bytes, of so many bytes in all.
    Message(&'a [u8], usize),
    /// More of that message.
    More(&'a [u8]),
    /// So many bytes of it are lost.
    MoreLost(u64),
    /// A record that begins like no message.
    Odd,
}

/// The framing of one direction.
#[derive(Debug, Default)]
pub(super) struct Framing {
    at: At,
    held: Vec<u8>,
}

/// A session message with one of SMB's signatures stands at the start.
fn starts_message(bytes: &[u8]) -> bool {
    matches!(bytes, [0, _, _, _, 0xfc..=0xff, b'S', b'M', b'B', ..])
}

impl Framing {
    /// Feed bytes; each record is given to `take`.
    pub fn push(&mut self, mut input: &[u8], take: &mut dyn FnMut(Record<'_>)) {
        while !input.is_empty() {
            match self.at {
                At::Head => {
                    self.collect(&mut input, 4);
                    let [kind, a, b, c] = self.held[..] else { return };
                    self.held.clear();
                    // Over NetBIOS the length has 17 bits, over TCP 24; the larger reading covers both.
                    let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                    self.at = match (kind, length) {
                        (_, 0) => At::Head,
                        (0, _) => At::Body(length),
                        (0x81..=0x85, _) => At::Skip(length),
                        _ => {
                            take(Record::Odd);
                            At::Search
                        }
                    };
                }
                At::Body(length) => {
                    self.collect(&mut input, length.min(HOLD));
                    if self.held.len() < length.min(HOLD) {
                        return;
                    }
                    take(Record::Message(&self.held, length));
                    self.at = if length > HOLD { At::Rest(length - HOLD) } else { At::Head };
                    self.held.clear();
                }
                At::Rest(left) => {
                    let now = left.min(input.len());
                    take(Record::More(input.get(..now).unwrap_or(&[])));
                    input = input.get(now..).unwrap_or(&[]);
                    self.at = if now == left { At::Head } else { At::Rest(left - now) };
                }
                At::Skip(left) => {
                    let now = left.min(input.len());
                    input = input.get(now..).unwrap_or(&[]);
                    self.at = if now == left { At::Head } else { At::Skip(left - now) };
                }
                At::Search => {
                    // The beginning of a message may lie in two deliveries.
                    self.held.extend_from_slice(input);
                    let found = (0..self.held.len()).find(|&n| starts_message(&self.held[n..]));
                    let keep = found.unwrap_or(self.held.len().saturating_sub(7));
                    let rest = self.held.split_off(keep);
                    self.held.clear();
                    if found.is_none() {
                        self.held = rest;
                        return;
                    }
                    self.at = At::Head;
                    self.push(&rest, take);
                    return;
                }
            }
        }
    }

    fn collect(&mut self, input: &mut &[u8], length: usize) {
        let now = length.saturating_sub(self.held.len()).min(input.len());
        self.held.extend_from_slice(input.get(..now).unwrap_or(&[]));
        *input = input.get(now..).unwrap_or(&[]);
    }

    /// So many bytes are lost.
    pub fn gap(&mut self, length: u64, take: &mut dyn FnMut(Record<'_>)) {
        let within = |left: usize| usize::try_from(length).ok().and_then(|length| left.checked_sub(length));
        self.at = match self.at {
            At::Rest(left) => match within(left) {
                Some(left) => {
                    take(Record::MoreLost(length));
                    if left == 0 { At::Head } else { At::Rest(left) }
                }
                None => {
                    take(Record::MoreLost(left as u64));
                    At::Search
                }
            },
            At::Skip(left) if within(left).is_some_and(|left| left > 0) => At::Skip(within(left).unwrap_or(0)),
            // A read or write whose beginning is held: its messages are read as far as they go.
            At::Body(total) => {
                let left = total.saturating_sub(self.held.len());
                take(Record::Message(&self.held, total));
                self.held.clear();
                match within(left) {
                    Some(rest) => {
                        take(Record::MoreLost(length));
                        if rest == 0 { At::Head } else { At::Rest(rest) }
                    }
                    None => {
                        take(Record::MoreLost(left as u64));
                        At::Search
                    }
                }
            }
            _ => {
                self.held.clear();
                At::Search
            }
        };
    }

    /// Whether a record has begun.
    pub fn is_open(&self) -> bool {
        self.at != At::Head || !self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(steps: &[Result<&[u8], u64>], step: usize) -> Vec<String> {
        let (mut framing, mut out) = (Framing::default(), Vec::new());
        let mut take = |record: Record<'_>| {
            out.push(match record {
                Record::Message(bytes, length) => format!("message {} of {length}", bytes.len()),
                Record::More(bytes) => format!("more {}", bytes.len()),
                Record::MoreLost(n) => format!("lost {n}"),
                Record::Odd => "odd".into(),
            });
        };
        for s in steps {
            match s {
                Ok(bytes) => bytes.chunks(step).for_each(|part| framing.push(part, &mut take)),
                Err(gap) => framing.gap(*gap, &mut take),
            }
        }
        out
    }

    fn record(length: usize) -> Vec<u8> {
        let mut out = vec![0, (length >> 16) as u8, (length >> 8) as u8, length as u8];
        out.extend_from_slice(b"\xfeSMB");
        out.resize(4 + length, 1);
        out
    }

    #[test]
    fn records() {
        let bytes = [&record(100)[..], &[0x81, 0, 0, 2, 9, 9], &[0x85, 0, 0, 0], &record(20)].concat();
        for step in [1, 3, 1000] {
            assert_eq!(run(&[Ok(&bytes)], step), ["message 100 of 100", "message 20 of 20"]);
        }
        let long = record(HOLD + 10);
        assert_eq!(run(&[Ok(&long)], 1 << 20), ["message 65536 of 65546", "more 10"]);
    }

    #[test]
    fn a_lost_framing_is_found_again() {
        let bytes = [b"no record at all".as_slice(), &record(20)].concat();
        for step in [1, 5, 1000] {
            assert_eq!(run(&[Ok(&bytes)], step), ["odd", "message 20 of 20"]);
        }
        let start = &record(100)[..50];
        assert_eq!(run(&[Ok(start), Err(54), Ok(&record(20))], 1000), ["message 46 of 100", "lost 54", "message 20 of 20"]);
        assert_eq!(run(&[Ok(start), Err(60), Ok(&[1; 9]), Ok(&record(20))], 4), ["message 46 of 100", "lost 54", "message 20 of 20"]);
    }
}
