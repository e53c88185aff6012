//! Compounds of NFS 4 (RFC 7530 section 16, RFC 8881 section 18): operations one after the other, on a current file.
//!
//! Operations whose length is not known end the reading: what stood before them counts.

use super::xdr::Xdr;

/// Most operations that are read.
const OPERATIONS_MAX: usize = 64;

/// An operation that matters, with the handle of the current file.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// Look up or open by name; the next handle given is its.
    Name(&'a [u8]),
    Write { handle: Option<&'a [u8]>, offset: u64, data: (&'a [u8], u32), last: bool },
    Read { handle: Option<&'a [u8]>, offset: u64 },
    /// Close or commit.
    Close(Option<&'a [u8]>),
}

/// Operations of a call.
pub fn call<'a>(x: &mut Xdr<'a>) -> Option<Vec<Operation<'a>>> {
    x.short()?;
    x.word()?;
    let count = (x.word()? as usize).min(OPERATIONS_MAX);
    let mut out = Vec::new();
    let mut current = None;
    for _ in 0..count {
        if operation(x, &mut current, &mut out).is_none() {
            break;
        }
    }
    Some(out)
}

fn operation<'a>(x: &mut Xdr<'a>, current: &mut Option<&'a [u8]>, out: &mut Vec<Operation<'a>>) -> Option<()> {
    match x.word()? {
        3 => x.fixed(4).map(|_| ())?,
        4 => {
            x.fixed(20)?;
            out.push(Operation::Close(*current));
        }
        5 => {
            x.fixed(12)?;
            out.push(Operation::Close(*current));
        }
        6 => {
            match x.word()? {
                5 => x.short().map(|_| ())?,
                3 | 4 => x.fixed(8).map(|_| ())?,
                _ => {}
            }
            out.push(Operation::Name(x.short()?));
            attributes(x)?;
        }
        8 => x.fixed(16).map(|_| ())?,
        9 => x.words()?,
        10 | 16 | 23 | 24 | 27 | 31 | 32 => {}
        15 => out.push(Operation::Name(x.short()?)),
        18 => open(x, out)?,
        20 => x.fixed(20).map(|_| ())?,
        22 => *current = Some(x.short()?),
        25 => {
            x.fixed(16)?;
            out.push(Operation::Read { handle: *current, offset: x.long()? });
            x.word()?;
        }
        26 => {
            x.fixed(24)?;
            x.words()?;
        }
        28 => x.short().map(|_| ())?,
        29 => {
            x.short()?;
            x.short()?;
        }
        30 => x.fixed(8).map(|_| ())?,
        34 => {
            x.fixed(16)?;
            attributes(x)?;
        }
        36 => x.fixed(16).map(|_| ())?,
        38 => {
            x.fixed(16)?;
            let offset = x.long()?;
            let last = x.word()? == 2;
            out.push(Operation::Write { handle: *current, offset, data: x.data()?, last });
        }
        52 | 58 => x.fixed(4).map(|_| ())?,
        53 => x.fixed(32).map(|_| ())?,
        _ => return None,
    }
    Some(())
}

fn attributes(x: &mut Xdr<'_>) -> Option<()> {
    x.words()?;
    x.short().map(|_| ())
}

fn open<'a>(x: &mut Xdr<'a>, out: &mut Vec<Operation<'a>>) -> Option<()> {
    x.fixed(20)?;
    x.short()?;
    if x.word()? == 1 {
        match x.word()? {
            0 | 1 => attributes(x)?,
            2 => x.fixed(8).map(|_| ())?,
            3 => {
                x.fixed(8)?;
                attributes(x)?;
            }
            _ => return None,
        }
    }
    match x.word()? {
        0 => out.push(Operation::Name(x.short()?)),
        1 => x.fixed(4).map(|_| ())?,
        2 => {
            x.fixed(16)?;
            out.push(Operation::Name(x.short()?));
        }
        4 => {}
        _ => return None,
    }
    Some(())
}

/// What a reply gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reply<'a> {
    pub status: u32,
    /// Handles given, in order.
    pub handles: Vec<&'a [u8]>,
    /// Data read, in order, and whether it is the end.
    pub reads: Vec<((&'a [u8], u32), bool)>,
}

/// Results of a compound.
pub fn reply<'a>(x: &mut Xdr<'a>) -> Option<Reply<'a>> {
    let mut out = Reply { status: x.word()?, ..Reply::default() };
    x.short()?;
    let count = (x.word()? as usize).min(OPERATIONS_MAX);
    for _ in 0..count {
        if result(x, &mut out).is_none() {
            break;
        }
    }
    Some(out)
}

fn result<'a>(x: &mut Xdr<'a>, out: &mut Reply<'a>) -> Option<()> {
    let operation = x.word()?;
    if x.word()? != 0 {
        return None;
    }
    match operation {
        3 | 5 => x.fixed(8).map(|_| ())?,
        4 | 20 | 38 => x.fixed(16).map(|_| ())?,
        6 => {
            x.fixed(20)?;
            x.words()?;
        }
        9 => attributes(x)?,
        10 => out.handles.push(x.short()?),
        34 => x.words()?,
        15 | 16 | 22..=24 | 30..=32 | 36 | 58 => {}
        18 => {
            x.fixed(16 + 20 + 4)?;
            x.words()?;
            match x.word()? {
                0 => {}
                1 => delegation(x)?,
                2 => {
                    x.fixed(20 + 12)?;
                    ace(x)?;
                }
                _ => return None,
            }
        }
        25 => {
            let last = x.word()? != 0;
            out.reads.push((x.data()?, last));
        }
        28 => x.fixed(20).map(|_| ())?,
        29 => x.fixed(40).map(|_| ())?,
        53 => x.fixed(36).map(|_| ())?,
        _ => return None,
    }
    Some(())
}

fn delegation(x: &mut Xdr<'_>) -> Option<()> {
    x.fixed(20)?;
    ace(x)
}

fn ace(x: &mut Xdr<'_>) -> Option<()> {
    x.fixed(12)?;
    x.short().map(|_| ())
}
