//! The pieces of one datagram: which fragment owns which bytes.

use super::OverlapPolicy;

/// Fragments kept of one datagram. 64 KiB in pieces of 8 bytes.
const MAX_PIECES: usize = 8192;
/// Bookkeeping of a piece, for the bound on bytes.
const PIECE_COST: usize = 64;

/// A fragment that was kept.
#[derive(Debug)]
struct Piece {
    start: u32,
    data: Box<[u8]>,
}

/// Bytes `start..end`, owned by a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
    piece: u16,
}

/// Pieces and a partition of the bytes they cover.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pieces: Vec<Piece>,
    /// Sorted, disjoint.
    spans: Vec<Span>,
    bytes: usize,
}

pub(super) enum Inserted {
    Clean,
    Overlapping,
    TooMany,
}

impl Pieces {
    /// Memory held.
    pub fn cost(&self) -> usize {
        self.bytes
    }

    /// End of the last covered byte.
    pub fn end(&self) -> u32 {
        self.spans.last().map_or(0, |span| span.end)
    }

    /// Length of the covered start.
    pub fn contiguous(&self) -> u32 {
        let mut end = 0;
        for span in &self.spans {
            if span.start != end {
                break;
            }
            end = span.end;
        }
        end
    }

    /// Add a fragment.
    pub fn insert(&mut self, start: u32, data: &[u8], policy: OverlapPolicy) -> Inserted {
        let end = start + data.len() as u32;
        if start == end {
            return Inserted::Clean;
        }
        // In order, the usual case.
        let first = self.spans.partition_point(|span| span.end <= start);
        let after = self.spans.partition_point(|span| span.start < end);
        let overlapping = after > first;
        let Ok(piece) = u16::try_from(self.pieces.len()) else { return Inserted::TooMany };
        if self.pieces.len() >= MAX_PIECES {
            return Inserted::TooMany;
        }
        let mut fresh = Vec::new();
        let mut at = start;
        let mut won = false;
        let mut push = |span: Span| {
            if span.start < span.end {
                won |= span.piece == piece;
                match fresh.last_mut() {
                    Some(Span { end, piece, .. }) if *piece == span.piece && *end == span.start => *end = span.end,
                    _ => fresh.push(span),
                }
            }
        };
        for span in self.spans.get(first..after).unwrap_or_default() {
            push(Span { start: at, end: span.start.max(at), piece });
            let owner = self.pieces.get(usize::from(span.piece));
            let old =
                owner.map_or((span.start, span.end), |owner| (owner.start, owner.start + owner.data.len() as u32));
            let (from, to) = (span.start.max(start), span.end.min(end));
            push(Span { start: span.start, end: from, piece: span.piece });
            let winner = if policy.newcomer_wins(old, (start, end)) { piece } else { span.piece };
            push(Span { start: from, end: to, piece: winner });
            push(Span { start: to, end: span.end, piece: span.piece });
            at = to;
        }
        push(Span { start: at, end, piece });
        if won {
            self.spans.splice(first..after, fresh);
            self.pieces.push(Piece { start, data: data.into() });
            self.bytes += data.len() + PIECE_COST;
        }
        if overlapping { Inserted::Overlapping } else { Inserted::Clean }
    }

    /// Append the first `total` bytes to `out`.
    pub fn write(&self, total: u32, out: &mut Vec<u8>) {
        for span in &self.spans {
            let end = span.end.min(total);
            if span.start >= end {
                break;
            }
            if let Some(piece) = self.pieces.get(usize::from(span.piece)) {
                let range = (span.start - piece.start) as usize..(end - piece.start) as usize;
                out.extend_from_slice(piece.data.get(range).unwrap_or_default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICIES: [OverlapPolicy; 7] = [
        OverlapPolicy::First,
        OverlapPolicy::Last,
        OverlapPolicy::Bsd,
        OverlapPolicy::BsdRight,
        OverlapPolicy::Linux,
        OverlapPolicy::Windows,
        OverlapPolicy::Solaris,
    ];

    /// Six fragments over each other, in the manner of Novak's paper, read with each policy.
    #[test]
    fn six_fragments_over_each_other() {
        // (number, start, end) in units of 8 bytes, in order of arrival.
        let arrivals = [(1, 0, 3), (2, 4, 6), (3, 6, 9), (4, 1, 5), (5, 6, 8), (6, 9, 12)];
        let expected = [
            (OverlapPolicy::First, "111422333666"),
            (OverlapPolicy::Last, "144442553666"),
            (OverlapPolicy::Bsd, "111442333666"),
            (OverlapPolicy::BsdRight, "144422553666"),
            (OverlapPolicy::Linux, "111442553666"),
        ];
        for (policy, wanted) in expected {
            let mut pieces = Pieces::default();
            for (number, start, end) in arrivals {
                let data = vec![b'0' + number; (end - start) as usize * 8];
                pieces.insert(start * 8, &data, policy);
            }
            let mut out = Vec::new();
            pieces.write(96, &mut out);
            let digits: String = out.chunks(8).map(|unit| unit[0] as char).collect();
            assert_eq!(digits, wanted, "{policy:?}");
        }
    }

    proptest! {
        /// Against a map from byte to owner.
        #[test]
        fn same_as_a_byte_map(
            policy in prop::sample::select(&POLICIES[..]),
            arrivals in prop::collection::vec((0u32..40, 1usize..20), 1..30),
        ) {
            let mut pieces = Pieces::default();
            let mut model: Vec<Option<(u8, (u32, u32))>> = vec![None; 64];
            for (index, (start, length)) in arrivals.iter().enumerate() {
                let range = (*start, start + *length as u32);
                pieces.insert(*start, &vec![index as u8; *length], policy);
                for at in range.0..range.1 {
                    let slot = &mut model[at as usize];
                    if slot.is_none_or(|(_, old)| policy.newcomer_wins(old, range)) {
                        *slot = Some((index as u8, range));
                    }
                }
            }
            let end = model.iter().position(Option::is_none).unwrap_or(64);
            prop_assert_eq!(pieces.contiguous() as usize, end);
            let mut out = Vec::new();
            pieces.write(end as u32, &mut out);
            let wanted: Vec<u8> = model[..end].iter().flatten().map(|(owner, _)| *owner).collect();
            prop_assert_eq!(out, wanted);
        }
    }
}
