//! Arguments and results of NFS 2 and 3.

use super::xdr::Xdr;

/// Arguments that matter.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Arguments<'a> {
    pub handle: Option<&'a [u8]>,
    pub name: Option<&'a [u8]>,
    pub rename_to: Option<&'a [u8]>,
    pub offset: u64,
    /// Data that is written: what is there, and how long it is.
    pub data: Option<(&'a [u8], u32)>,
    /// The last that is written (RFC 1813 section 3.3.7: it is synchronous).
    pub last: bool,
}

/// What a READ gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read<'a> {
    pub data: (&'a [u8], u32),
    pub last: bool,
}

/// Results that matter.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Results<'a> {
    pub status: u32,
    /// Handle of what was looked up or created.
    pub handle: Option<&'a [u8]>,
    pub read: Option<Read<'a>>,
    /// Names and handles of a directory.
    pub entries: Vec<(&'a [u8], &'a [u8])>,
}

/// Most entries of a directory whose names are kept.
const ENTRIES_MAX: usize = 128;
/// Length of a handle of version 2, and of the attributes of both (RFC 1094 section 2.3, RFC 1813 section 2.5).
const HANDLE_V2: usize = 32;
const ATTRIBUTES_V2: usize = 68;
const ATTRIBUTES_V3: usize = 84;

/// Arguments of a call of version 2 or 3; none: it ends too early.
pub fn arguments<'a>(version: u32, procedure: u32, x: &mut Xdr<'a>) -> Option<Arguments<'a>> {
    let mut a = Arguments::default();
    if version == 2 {
        match procedure {
            1 | 2 | 5 | 12 | 16 | 17 => a.handle = Some(x.fixed(HANDLE_V2)?),
            4 | 9 | 10 | 13..=15 => (a.handle, a.name) = (Some(x.fixed(HANDLE_V2)?), Some(x.short()?)),
            6 => (a.handle, a.offset) = (Some(x.fixed(HANDLE_V2)?), x.word()?.into()),
            11 => {
                (a.handle, a.name) = (Some(x.fixed(HANDLE_V2)?), Some(x.short()?));
                x.fixed(HANDLE_V2)?;
                a.rename_to = Some(x.short()?);
            }
            _ => {}
        }
        return Some(a);
    }
    match procedure {
        1 | 2 | 4 | 5 | 15..=21 => a.handle = Some(x.short()?),
        3 | 8..=13 => (a.handle, a.name) = (Some(x.short()?), Some(x.short()?)),
        6 => (a.handle, a.offset) = (Some(x.short()?), x.long()?),
        7 => {
            (a.handle, a.offset) = (Some(x.short()?), x.long()?);
            x.word()?;
            a.last = x.word()? == 2;
            a.data = Some(x.data()?);
        }
        14 => {
            (a.handle, a.name) = (Some(x.short()?), Some(x.short()?));
            x.short()?;
            a.rename_to = Some(x.short()?);
        }
        _ => {}
    }
    Some(a)
}

/// Results of a call; `offset` is where a READ began.
pub fn results<'a>(version: u32, procedure: u32, offset: u64, x: &mut Xdr<'a>) -> Option<Results<'a>> {
    let mut r = Results::default();
    // NULL has none.
    if procedure == 0 {
        return Some(r);
    }
    r.status = x.word()?;
    if r.status != 0 {
        return Some(r);
    }
    match (version, procedure) {
        (2, 4 | 9 | 14) => r.handle = Some(x.fixed(HANDLE_V2)?),
        (2, 6) => {
            let attributes = x.fixed(ATTRIBUTES_V2)?;
            let size = u64::from(Xdr(&attributes[20..]).word()?);
            let data = x.data()?;
            r.read = Some(Read { data, last: offset + u64::from(data.1) >= size });
        }
        (3, 3) => r.handle = Some(x.short()?),
        (3, 8 | 9) => r.handle = optional_handle(x)?,
        (3, 6) => {
            attributes(x)?;
            x.word()?;
            let last = x.word()? != 0;
            r.read = Some(Read { data: x.data()?, last });
        }
        (3, 17) => {
            attributes(x)?;
            x.long()?;
            while r.entries.len() < ENTRIES_MAX && x.word()? == 1 {
                x.long()?;
                let name = x.short()?;
                x.long()?;
                attributes(x)?;
                if let Some(handle) = optional_handle(x)? {
                    r.entries.push((name, handle));
                }
            }
        }
        _ => {}
    }
    Some(r)
}

fn attributes(x: &mut Xdr<'_>) -> Option<()> {
    if x.word()? != 0 {
        x.fixed(ATTRIBUTES_V3)?;
    }
    Some(())
}

fn optional_handle<'a>(x: &mut Xdr<'a>) -> Option<Option<&'a [u8]>> {
    Some(if x.word()? != 0 { Some(x.short()?) } else { None })
}
