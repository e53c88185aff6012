//! From normalised matches to a [`Chain`].

use super::{Chain, ContentElement, DatasetElement, Element, EntropyElement, MAX_ELEMENTS, MAX_VARIABLES, PcreElement, viability};
use crate::chain::search::Needle;
use crate::pcre;
use crate::program::datasets::DatasetTable;
use weir_ir::{BufferMatch, Match, Number};

/// Why a rule cannot be compiled.
pub type Cause = String;

fn uses_variable(number: &Option<Number>) -> bool {
    matches!(number, Some(Number::Variable(_)))
}

fn check_variable(number: &Number) -> Result<(), Cause> {
    match number {
        Number::Variable(v) if *v as usize >= MAX_VARIABLES => {
            Err(format!("more than {MAX_VARIABLES} byte_extract/byte_math variables in one rule"))
        }
        _ => Ok(()),
    }
}

/// Compile the matches of one buffer. `following` are the matches on `base64_data` that belong to a `base64_decode`
/// of this buffer.
pub fn chain(
    buffer: &BufferMatch,
    following: Option<&BufferMatch>,
    datasets: &mut DatasetTable,
) -> Result<Chain, Cause> {
    if buffer.matches.len() > MAX_ELEMENTS {
        return Err(format!("more than {MAX_ELEMENTS} matches in one buffer"));
    }
    let mut chain = Chain::default();
    for item in &buffer.matches {
        let element = element(item, buffer.buffer, following, datasets, &mut chain)?;
        chain.elements.extend(element);
    }
    mark_relative(&mut chain.elements);
    Ok(chain)
}

fn element(
    item: &Match,
    name: weir_ir::Buffer,
    following: Option<&BufferMatch>,
    datasets: &mut DatasetTable,
    chain: &mut Chain,
) -> Result<Option<Element>, Cause> {
    Ok(Some(match item {
        Match::Content(c) => {
            for number in [c.offset, c.depth, c.distance, c.within].iter().flatten() {
                check_variable(number)?;
            }
            chain.variables |= [&c.offset, &c.depth, &c.distance, &c.within].into_iter().any(uses_variable);
            chain.touches |= !c.negated;
            chain.waits_for_end |= c.negated || c.anchor.end;
            if c.bytes.is_empty() {
                return Err("empty content".into());
            }
            Element::Content(ContentElement {
                needle: Needle::new(&c.bytes, c.nocase),
                negated: c.negated,
                offset: c.offset,
                depth: c.depth,
                distance: c.distance,
                within: c.within,
                start: c.anchor.start,
                end: c.anchor.end,
                next_relative: false,
            })
        }
        Match::Pcre(p) => {
            chain.touches |= !p.negated;
            chain.waits_for_end |= p.negated || sees_end(&p.pattern);
            Element::Pcre(PcreElement {
                code: pcre::compile(p).map_err(|e| format!("pcre \"{}\": {e}", p.pattern))?,
                lead: viability::lead(p),
                negated: p.negated,
                relative: p.relative,
                no_limit: p.no_limit,
                next_relative: false,
                captures: pcre::captures(p),
            })
        }
        Match::ByteTest(t) => {
            for number in [&t.count, &t.value, &t.offset] {
                check_variable(number)?;
                chain.variables |= matches!(number, Number::Variable(_));
            }
            chain.touches = true;
            Element::Test(t.clone())
        }
        Match::ByteJump(j) => {
            for number in [&j.count, &j.offset, &j.post_offset] {
                check_variable(number)?;
                chain.variables |= matches!(number, Number::Variable(_));
            }
            chain.touches = true;
            chain.waits_for_end |= j.from_end;
            Element::Jump(j.clone())
        }
        Match::ByteExtract(e) => {
            check_variable(&e.offset)?;
            check_variable(&Number::Variable(e.variable))?;
            chain.variables = true;
            chain.touches = true;
            Element::Extract(e.clone())
        }
        Match::ByteMath(m) => {
            for number in [&m.count, &m.offset, &m.value, &Number::Variable(m.variable)] {
                check_variable(number)?;
            }
            chain.variables = true;
            chain.touches = true;
            Element::Math(m.clone())
        }
        Match::IsDataAt(d) => {
            check_variable(&d.position)?;
            chain.variables |= matches!(d.position, Number::Variable(_));
            chain.touches |= !d.negated;
            chain.waits_for_end |= d.negated;
            Element::DataAt(d.clone())
        }
        Match::Size(size) => {
            chain.waits_for_end = true;
            Element::Size(*size)
        }
        // Handled where the buffer is fetched.
        Match::Absent { .. } => return Ok(None),
        Match::Base64Decode(decode) => {
            let inner = following.map(|f| self::chain(f, None, datasets)).transpose()?;
            if let Some(inner) = &inner {
                chain.waits_for_end |= inner.waits_for_end;
                chain.variables |= inner.variables;
            }
            // Cut input decodes to less, which a longer one repeats: no waiting for its own sake.
            Element::Base64(decode.clone(), inner.map(Box::new))
        }
        Match::Dataset(operation) => {
            chain.waits_for_end = true;
            Element::Dataset(DatasetElement {
                set: datasets.intern(operation)?,
                operation: operation.operation,
                context: operation.context.as_ref().map(|(key, _)| key.clone()),
            })
        }
        Match::Entropy(entropy) => {
            chain.waits_for_end = true;
            let name = match name {
                weir_ir::Buffer::Payload => "content".to_owned(),
                other => other.name().replace('.', "_"),
            };
            Element::Entropy(EntropyElement { entropy: *entropy, name: name.into() })
        }
    }))
}

/// The expression asks for the end of its subject.
fn sees_end(pattern: &str) -> bool {
    let bytes = pattern.as_bytes();
    let mut i = 0;
    let mut class = false;
    while let Some(&b) = bytes.get(i) {
        match b {
            b'\\' => {
                if !class && matches!(bytes.get(i + 1), Some(b'z' | b'Z')) {
                    return true;
                }
                i += 1;
            }
            b'[' => class = true,
            b']' => class = false,
            b'$' if !class => return true,
            b'(' if !class && (bytes[i..].starts_with(b"(?!") || bytes[i..].starts_with(b"(?<!")) => return true,
            _ => {}
        }
        i += 1;
    }
    false
}

enum Place {
    /// Relative to the match before.
    Relative,
    /// Moves to a place of its own.
    Absolute,
    /// Neither moves nor hangs on a place.
    Neutral,
}

fn place(element: &Element) -> Place {
    let (relative, moves) = match element {
        Element::Content(c) => (c.is_relative(), !c.negated),
        Element::Pcre(p) => (p.relative, !p.negated),
        Element::Test(t) => (t.relative, false),
        Element::Jump(j) => (j.relative, true),
        Element::Extract(e) => (e.relative, true),
        Element::Math(m) => (m.relative, true),
        Element::DataAt(d) => (d.relative, false),
        Element::Base64(b, _) => (b.relative, false),
        Element::Asn1(_) | Element::Size(_) | Element::Dataset(_) | Element::Entropy(_) => (false, false),
    };
    match (relative, moves) {
        (true, _) => Place::Relative,
        (false, true) => Place::Absolute,
        (false, false) => Place::Neutral,
    }
}

fn mark_relative(elements: &mut [Element]) {
    let mut follows = false;
    for element in elements.iter_mut().rev() {
        match element {
            Element::Content(c) => c.next_relative = follows,
            Element::Pcre(p) => p.next_relative = follows,
            _ => {}
        }
        follows = match place(element) {
            Place::Relative => true,
            Place::Absolute => false,
            Place::Neutral => follows,
        };
    }
}
