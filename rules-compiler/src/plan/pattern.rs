//! What expressions say for certain: the first byte of a payload, and runs of bytes every match holds.
//!
//! Only the plainest parts are read. An expression is a concatenation of atoms if it has no alternation at the top level;
//! an atom that is a byte or a class and is repeated a fixed number of times gives that many byte sets, one that is repeated
//! at least once gives one set next to its predecessor and one next to its successor; groups, look-arounds, references
//! and everything else break the run. Negated expressions say nothing.

use super::class::{Fragment, LENGTHS};
use weir_ir::{Buffer, BufferMatch, Match, Pcre};

/// Most (value, mask) pairs a set of bytes may need.
const PAIRS_MAX: usize = 6;

/// Pairs of value and mask, one of which a payload byte satisfies, and its place: the first that an expression says something
/// about. Empty: nothing is known.
pub fn first_byte(run: &BufferMatch) -> (usize, Vec<(u8, u8)>) {
    if run.buffer != Buffer::Payload || run.matches.iter().any(|m| matches!(m, Match::Absent { .. })) {
        return (0, Vec::new());
    }
    run.matches
        .iter()
        .filter_map(|m| match m {
            Match::Pcre(p) => set_of(p),
            _ => None,
        })
        .map(|(at, set)| (at, cover(&set)))
        .filter(|(_, pairs)| !pairs.is_empty() && pairs.len() <= PAIRS_MAX)
        .min_by_key(|(_, pairs)| pairs.len())
        .unwrap_or_default()
}

type Set = [bool; 256];

fn set_of(p: &Pcre) -> Option<(usize, Set)> {
    if p.negated || p.relative || p.multiline || p.extended {
        return None;
    }
    let text = p.pattern.as_bytes();
    let rest = match text.strip_prefix(b"^") {
        Some(rest) => rest,
        None if p.anchored => text,
        None => return None,
    };
    if has_alternation(rest) {
        return None;
    }
    // Any bytes, so many (line feeds or not: their number is the same).
    let (mut at, mut rest) = (0usize, rest);
    while let Some(behind) = rest.strip_prefix(b".") {
        let (count, exact, after) = repeat(behind);
        if !exact {
            return None;
        }
        at = at.saturating_add(count);
        rest = after;
    }
    let (mut set, rest) = atom(rest)?;
    match rest.first() {
        Some(b'?' | b'*') => return None,
        Some(b'{') if !matches!(rest.get(1), Some(b'1'..=b'9')) => return None,
        _ => {}
    }
    if p.caseless {
        for b in b'a'..=b'z' {
            let upper = b.to_ascii_uppercase();
            let either = set[usize::from(b)] || set[usize::from(upper)];
            set[usize::from(b)] = either;
            set[usize::from(upper)] = either;
        }
    }
    Some((at, set))
}

/// A run of bytes that every match holds: for each position the bytes it can have.
pub type Run = Vec<Vec<u8>>;

/// Most byte strings one window may stand for.
const VARIANTS_MAX: usize = 4096;
/// Those that are looked at first.
const FEW: usize = 256;
/// Largest set at one position.
const SET_MAX: usize = 64;

/// Runs of at least four positions in the expressions of a buffer run. An expression that is relative and anchored
/// continues the content directly before it.
pub fn runs(run: &BufferMatch) -> Vec<Run> {
    if run.matches.iter().any(|m| matches!(m, Match::Absent { .. })) {
        return Vec::new();
    }
    let mut out = Vec::new();
    for (i, m) in run.matches.iter().enumerate() {
        let Match::Pcre(p) = m else { continue };
        let before = match i.checked_sub(1).and_then(|i| run.matches.get(i)) {
            Some(Match::Content(c)) if p.relative && !c.negated => Some(c),
            _ => None,
        };
        let start: Run = before.map_or_else(Vec::new, |c| {
            c.bytes.iter().map(|&b| if c.nocase { vec![b.to_ascii_lowercase(), b.to_ascii_uppercase()] } else { vec![b] }).collect()
        });
        collect(p, start, &mut out);
    }
    out.retain(|r| r.len() >= 4);
    out
}

/// Most alternatives of an expression that are told apart.
const ALTERNATIVES_MAX: usize = 8;

/// For expressions that are one choice of alternatives (optional bytes make two of one): windows of which one must occur,
/// whichever alternative matches. For each a run of four positions, or one of three with any byte before it.
pub fn alternatives(run: &BufferMatch, verbatim: impl Fn(&[u8]) -> bool) -> Vec<Vec<Fragment>> {
    if run.matches.iter().any(|m| matches!(m, Match::Absent { .. })) {
        return Vec::new();
    }
    let mut out = Vec::new();
    for (i, m) in run.matches.iter().enumerate() {
        let Match::Pcre(p) = m else { continue };
        if p.negated || p.extended || p.pattern.contains("(*") || p.pattern.contains("(?#") || p.pattern.contains("\\Q") {
            continue;
        }
        let before = match i.checked_sub(1).and_then(|i| run.matches.get(i)) {
            Some(Match::Content(c)) if p.relative && !c.negated && !c.nocase => c.bytes.iter().map(|&b| vec![b]).collect(),
            _ => Vec::new(),
        };
        let of_one = |text: &String| -> Option<Vec<Fragment>> {
            let mut runs = Vec::new();
            collect(&Pcre { pattern: text.as_str().into(), ..p.clone() }, before.clone(), &mut runs);
            let best = runs.iter().flat_map(|r| windows(r, false, &verbatim)).min_by_key(Vec::len);
            best.or_else(|| runs.iter().flat_map(|r| r.windows(3)).filter_map(|w| threes(w, &verbatim)).min_by_key(Vec::len))
        };
        out.extend(split(&p.pattern).and_then(|all| all.iter().map(of_one).collect::<Option<Vec<_>>>()).map(|all| all.concat()));
    }
    out.retain(|windows: &Vec<Fragment>| !windows.is_empty() && windows.len() <= VARIANTS_MAX);
    out
}

/// Three positions with any byte before them.
fn threes(sets: &[Vec<u8>], verbatim: &impl Fn(&[u8]) -> bool) -> Option<Vec<Fragment>> {
    let mut forms: Vec<Vec<u8>> = vec![Vec::new()];
    for set in sets {
        if forms.len() * set.len() > ALTERNATIVES_MAX {
            return None;
        }
        forms = forms.iter().flat_map(|f| set.iter().map(move |&b| [f.as_slice(), &[b]].concat())).collect();
    }
    let kept = forms.iter().all(|f| verbatim(f));
    kept.then(|| forms.iter().flat_map(|f| crate::plan::payload::with_neighbour(f, false, false)).collect())
}

/// The alternatives of an expression that is one group, or none; an optional plain byte makes two.
fn split(pattern: &str) -> Option<Vec<String>> {
    let text = pattern.as_bytes();
    let inner = text
        .strip_prefix(b"(?:")
        .or_else(|| text.strip_prefix(b"(").filter(|t| t.first() != Some(&b'?')))
        .filter(|_| skip(text).is_some_and(<[u8]>::is_empty))
        .and_then(|t| t.strip_suffix(b")"))
        .unwrap_or(text);
    let mut parts: Vec<Vec<u8>> = vec![Vec::new()];
    let mut rest = inner;
    while let Some(&first) = rest.first() {
        let after = if first == b'|' { rest.get(1..)? } else { skip(rest)? };
        let piece = rest.get(..rest.len() - after.len())?;
        rest = after;
        match (first, rest.first()) {
            (b'|', _) => parts.push(Vec::new()),
            // Alternatives so far keep the byte, copies of the last do without it.
            (_, Some(b'?')) if atom(piece).is_some() && !matches!(rest.get(1), Some(b'?' | b'+')) => {
                rest = rest.get(1..)?;
                let without = parts.last()?.clone();
                parts.last_mut()?.extend_from_slice(piece);
                // What follows belongs to both: only where nothing but the last alternative is open.
                let mut open = rest;
                while let Some(&next) = open.first().filter(|b| **b != b'|') {
                    if matches!(next, b'(' | b'?') {
                        return None;
                    }
                    open = skip(open)?;
                }
                let tail_end = rest.len() - open.len();
                let tail = rest.get(..tail_end)?;
                parts.last_mut()?.extend_from_slice(tail);
                parts.push([without.as_slice(), tail].concat());
                rest = rest.get(tail_end..)?;
            }
            _ => parts.last_mut()?.extend_from_slice(piece),
        }
        if parts.len() > ALTERNATIVES_MAX {
            return None;
        }
    }
    parts.into_iter().map(|p| String::from_utf8(p).ok()).collect()
}

fn collect(p: &Pcre, start: Run, out: &mut Vec<Run>) {
    if p.negated || p.extended || p.pattern.contains("(*") || p.pattern.contains("(?#") || p.pattern.contains("\\Q") {
        return;
    }
    let text = p.pattern.as_bytes();
    if has_alternation(text) {
        return;
    }
    let anchored = text.first() == Some(&b'^') && !p.multiline || p.anchored;
    let mut list = Vec::new();
    items(text.strip_prefix(b"^").unwrap_or(text), p.caseless, 0, &mut list);
    let mut run = if anchored { start } else { Vec::new() };
    for (i, item) in list.iter().enumerate() {
        let Some(set) = item.set.as_ref().filter(|s| s.len() <= SET_MAX && item.least > 0) else {
            out.push(std::mem::take(&mut run));
            continue;
        };
        for _ in 0..item.least.min(16) {
            run.push(set.clone());
        }
        if !item.exact || item.least > 16 {
            // What follows is one more of these, or the beginning of the next item.
            if let Some(Item { set: Some(next), least: 1.., .. }) = list.get(i + 1) {
                let mut either = set.clone();
                either.extend_from_slice(next);
                either.sort_unstable();
                either.dedup();
                if item.least <= 16 && either.len() <= SET_MAX {
                    run.push(either);
                }
            }
            out.push(std::mem::take(&mut run));
            for _ in 0..item.least.min(8) {
                run.push(set.clone());
            }
        }
    }
    out.push(run);
}

/// One step of a concatenation: a set of bytes, repeated; without a set: anything.
#[derive(Debug, Clone)]
struct Item {
    set: Option<Vec<u8>>,
    least: usize,
    exact: bool,
}

/// Deepest nesting of groups that is looked into, and most items of an expression.
const DEPTH_MAX: usize = 4;
const ITEMS_MAX: usize = 512;

/// The items of a concatenation; ends with "anything" where the expression can no longer be read.
fn items(mut rest: &[u8], caseless: bool, depth: usize, out: &mut Vec<Item>) {
    let anything = Item { set: None, least: 0, exact: false };
    while !rest.is_empty() {
        if out.len() >= ITEMS_MAX {
            out.push(anything);
            return;
        }
        if let Some((set, after)) = atom(rest) {
            let mut bytes: Vec<u8> = (0..=255u8).filter(|&b| set[usize::from(b)]).collect();
            if caseless {
                bytes = bytes.iter().flat_map(|b| [b.to_ascii_lowercase(), b.to_ascii_uppercase()]).collect();
                bytes.sort_unstable();
                bytes.dedup();
            }
            let (least, exact, after) = repeat(after);
            out.push(Item { set: Some(bytes), least, exact });
            rest = after;
            continue;
        }
        let Some(after) = skip(rest) else {
            out.push(anything);
            return;
        };
        let atom_text = rest.get(..rest.len() - after.len()).unwrap_or_default();
        let (least, exact, after) = repeat(after);
        rest = after;
        let inside = atom_text
            .strip_prefix(b"(?:")
            .or_else(|| atom_text.strip_prefix(b"(").filter(|t| t.first() != Some(&b'?')))
            .and_then(|t| t.strip_suffix(b")"));
        match inside {
            // A group without alternatives is a part of the concatenation, so often as it must stand.
            Some(inside) if least >= 1 && depth < DEPTH_MAX && !has_alternation(inside) => {
                for _ in 0..least.min(4) {
                    items(inside, caseless, depth + 1, out);
                }
                if !exact || least > 4 {
                    out.push(anything.clone());
                }
            }
            _ => out.push(anything.clone()),
        }
    }
}

/// Least number of repetitions, whether it is also the greatest, and what follows the quantifier.
fn repeat(text: &[u8]) -> (usize, bool, &[u8]) {
    let lazy = |rest: &'_ [u8]| -> usize { usize::from(matches!(rest.first(), Some(b'?' | b'+'))) };
    let tail = |n: usize| text.get(n..).unwrap_or_default();
    match text.first() {
        Some(b'?' | b'*') => (0, false, tail(1 + lazy(tail(1)))),
        Some(b'+') => (1, false, tail(1 + lazy(tail(1)))),
        Some(b'{') => {
            let Some(end) = text.iter().position(|&b| b == b'}') else { return (1, true, text) };
            let inside = std::str::from_utf8(text.get(1..end).unwrap_or_default()).unwrap_or_default();
            let rest = tail(end + 1);
            let after = tail(end + 1 + lazy(rest));
            let (low, high) = match inside.split_once(',') {
                None => (inside.parse().ok(), inside.parse().ok()),
                Some((low, high)) => (low.parse().ok(), if high.is_empty() { Some(usize::MAX) } else { high.parse().ok() }),
            };
            match (low, high) {
                (Some(low), Some(high)) => (low, low == high, after),
                // `{` that begins no quantifier is a literal; do not guess.
                _ => (0, false, after),
            }
        }
        _ => (1, true, text),
    }
}

/// Step over one atom that is not read: a group (with all it holds), an escape, a class, a dot, an assertion.
fn skip(text: &[u8]) -> Option<&[u8]> {
    match text.first()? {
        b'\\' => match text.get(1)? {
            // Escapes with operands of their own length: give up.
            b'x' | b'o' | b'p' | b'P' | b'c' | b'k' | b'g' | b'N' | b'0'..=b'9' => None,
            _ => text.get(2..),
        },
        b'[' => {
            let mut at = 1;
            if text.get(at) == Some(&b'^') {
                at += 1;
            }
            if text.get(at) == Some(&b']') {
                at += 1;
            }
            loop {
                match text.get(at)? {
                    b'\\' => at += 2,
                    b'[' => {
                        // A POSIX class.
                        if text.get(at + 1) == Some(&b':') {
                            at += 2 + text.get(at + 2..)?.windows(2).position(|w| w == b":]")? + 2;
                        } else {
                            at += 1;
                        }
                    }
                    b']' => return text.get(at + 1..),
                    _ => at += 1,
                }
            }
        }
        b'(' => {
            // Inline options would change the meaning of what follows.
            if text.get(1) == Some(&b'?') && !matches!(text.get(2), Some(b':' | b'=' | b'!' | b'<' | b'P' | b'>' | b'|')) {
                return None;
            }
            let (mut depth, mut class, mut at) = (0usize, false, 0);
            loop {
                match text.get(at)? {
                    b'\\' => at += 1,
                    b'[' if !class => {
                        class = true;
                        if text.get(at + 1) == Some(&b'^') {
                            at += 1;
                        }
                        if text.get(at + 1) == Some(&b']') {
                            at += 1;
                        }
                    }
                    b']' if class => class = false,
                    b'(' if !class => depth += 1,
                    b')' if !class => {
                        depth -= 1;
                        if depth == 0 {
                            return text.get(at + 1..);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        _ => text.get(1..),
    }
}

/// Windows of a run, each as all the fragments it can be; `verbatim` must hold for each of them.
pub fn windows(run: &Run, exact: bool, verbatim: impl Fn(&[u8]) -> bool) -> Vec<Vec<Fragment>> {
    // Large sets fill the tables: only where there is nothing else.
    let few = windows_of(run, exact, &verbatim, FEW);
    if few.is_empty() { windows_of(run, exact, &verbatim, VARIANTS_MAX) } else { few }
}

/// Those of at most so many forms.
fn windows_of(run: &Run, exact: bool, verbatim: &impl Fn(&[u8]) -> bool, most: usize) -> Vec<Vec<Fragment>> {
    let mut out = Vec::new();
    for length in LENGTHS.into_iter().rev() {
        for window in run.windows(length) {
            // Letters that differ in case only are one where case is folded.
            let sets: Vec<Vec<u8>> = window
                .iter()
                .map(|set| {
                    let mut set: Vec<u8> =
                        if exact { set.clone() } else { set.iter().map(u8::to_ascii_lowercase).collect() };
                    set.sort_unstable();
                    set.dedup();
                    set
                })
                .collect();
            if sets.iter().map(Vec::len).try_fold(1usize, |n, m| n.checked_mul(m)).is_none_or(|n| n > most) {
                continue;
            }
            let mut forms: Vec<Vec<u8>> = vec![Vec::with_capacity(length)];
            for set in &sets {
                forms = forms
                    .iter()
                    .flat_map(|f| {
                        set.iter().map(move |&b| {
                            let mut f = f.clone();
                            f.push(b);
                            f
                        })
                    })
                    .collect();
            }
            if forms.is_empty() || !forms.iter().all(|f| verbatim(f) && !crate::plan::payload::periodic(f)) {
                continue;
            }
            out.push(forms.iter().filter_map(|f| Fragment::new(f, exact)).collect());
        }
    }
    out
}

/// A `|` outside of groups and classes.
fn has_alternation(text: &[u8]) -> bool {
    let (mut depth, mut class, mut escaped) = (0i32, false, false);
    for &b in text {
        if escaped {
            escaped = false;
            continue;
        }
        match b {
            b'\\' => escaped = true,
            b'[' if !class => class = true,
            b']' if class => class = false,
            b'(' if !class => depth += 1,
            b')' if !class => depth -= 1,
            b'|' if !class && depth <= 0 => return true,
            _ => {}
        }
    }
    false
}

/// First atom: a byte or a class; and what follows it.
fn atom(text: &[u8]) -> Option<(Set, &[u8])> {
    let mut set = [false; 256];
    match *text.first()? {
        b'[' => {
            let mut rest = text.get(1..)?;
            if rest.first() == Some(&b'^') {
                return None;
            }
            loop {
                if rest.first() == Some(&b']') {
                    return Some((set, rest.get(1..)?));
                }
                if rest.first() == Some(&b'[') {
                    return None;
                }
                let (low, after) = byte(rest)?;
                rest = after;
                if rest.first() == Some(&b'-') && rest.get(1) != Some(&b']') {
                    let (high, after) = byte(rest.get(1..)?)?;
                    rest = after;
                    if high < low {
                        return None;
                    }
                    set.get_mut(usize::from(low)..=usize::from(high))?.fill(true);
                } else {
                    set[usize::from(low)] = true;
                }
            }
        }
        b'.' | b'(' | b')' | b'*' | b'+' | b'?' | b'{' | b'$' | b'^' | b'|' => None,
        b'\\' if text.get(1) == Some(&b'd') => {
            set[usize::from(b'0')..=usize::from(b'9')].fill(true);
            Some((set, text.get(2..)?))
        }
        _ => {
            let (b, rest) = byte(text)?;
            set[usize::from(b)] = true;
            Some((set, rest))
        }
    }
}

/// One byte, plain or escaped; escapes that stand for anything but one byte are not read.
fn byte(text: &[u8]) -> Option<(u8, &[u8])> {
    match *text.first()? {
        b'\\' => match *text.get(1)? {
            b'x' => {
                let digits = std::str::from_utf8(text.get(2..4)?).ok()?;
                Some((u8::from_str_radix(digits, 16).ok()?, text.get(4..)?))
            }
            b'n' => Some((b'\n', text.get(2..)?)),
            b'r' => Some((b'\r', text.get(2..)?)),
            b't' => Some((b'\t', text.get(2..)?)),
            b if b.is_ascii_alphanumeric() => None,
            b => Some((b, text.get(2..)?)),
        },
        b if b.is_ascii() => Some((b, text.get(1..)?)),
        _ => None,
    }
}

/// A set as value/mask pairs: aligned blocks of a power of two, largest first.
fn cover(set: &Set) -> Vec<(u8, u8)> {
    let mut out = Vec::new();
    let mut at = 0usize;
    while at < 256 {
        if !set.get(at).copied().unwrap_or(false) {
            at += 1;
            continue;
        }
        let mut size = 1usize;
        while at % (size * 2) == 0 && size < 256 && wide_enough(set, at, size * 2) {
            size *= 2;
        }
        out.push((at as u8, !((size - 1) as u8)));
        at += size;
    }
    out
}

/// All but an eighth of the block belongs to the set: rounding up is allowed (a superset), and saves records.
fn wide_enough(set: &Set, at: usize, size: usize) -> bool {
    let inside = set.iter().skip(at).take(size).filter(|b| **b).count();
    inside * 8 >= size * 7
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pcre(pattern: &str) -> Pcre {
        Pcre { dotall: true, ..Pcre::new(pattern) }
    }

    #[test]
    fn runs_of_expressions() {
        let text = |p: &str| {
            let mut out = Vec::new();
            collect(&pcre(p), Vec::new(), &mut out);
            out.retain(|r| !r.is_empty());
            out.iter()
                .map(|r| r.iter().map(|s| if s.len() == 1 { char::from(s[0]) } else { '#' }).collect::<String>())
                .collect::<Vec<_>>()
        };
        assert_eq!(text(r"^X-Forwarded-For\x3a[^\r\n]*\bO\x3a\d+\x3a"), ["X-Forwarded-For:", "O:##", "#:"]);
        assert_eq!(text(r"ab(?:cd|ef)gh"), ["ab", "gh"]);
        assert_eq!(text(r"abc?d"), ["ab", "d"], "c may be missing");
        assert_eq!(text(r"a{3}b"), ["aaab"]);
        assert_eq!(text(r"==(?:(?:[0-9]{1,3}\.){3}[0-9]{1,3})(?:={2})").first().map(String::as_str), Some("==##"));
        assert_eq!(text(r"a(bc)d"), ["abcd"]);
        assert_eq!(text(r"a(?:bc)+d"), ["abc", "d"]);
        assert_eq!(text(r"ab|cd"), Vec::<String>::new());
        assert_eq!(text(r"a(?i)bc"), ["a"], "options change what follows");
        assert_eq!(text(r"\x41\101x"), ["A"]);
    }

    #[test]
    fn alternatives_of_expressions() {
        let parts = |p: &str| split(p);
        let wanted = |all: &[&str]| Some(all.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert_eq!(parts(r"([\*\?]~1|~1\.?[\*\?]|\/~1\/)"), wanted(&[r"[\*\?]~1", r"~1\.[\*\?]", r"~1[\*\?]", r"\/~1\/"]));
        assert_eq!(parts("(a)(b|c)"), wanted(&["(a)(b|c)"]), "two groups");
        assert_eq!(parts("a|b[|]c"), wanted(&["a", "b[|]c"]));
        assert_eq!(parts("ab?(c|d)"), None);
        assert_eq!(parts("a+?b"), wanted(&["a+?b"]));
    }

    #[test]
    fn first_bytes() {
        let set = |p: &str| set_of(&pcre(p)).map(|(_, s)| s.iter().enumerate().filter(|(_, b)| **b).map(|(i, _)| i as u8).collect::<Vec<_>>());
        assert_eq!(set(r"^\x20\x21"), Some(vec![0x20]));
        assert_eq!(set(r"^[\x41-\x43z]+?.{8}"), Some(vec![0x41, 0x42, 0x43, b'z']));
        assert_eq!(set(r"^a?b"), None);
        assert_eq!(set(r"^(a|b)"), None);
        assert_eq!(set(r"^a|b"), None);
        assert_eq!(set("a"), None);
        assert_eq!(set(r"^\d").map(|s| s.len()), Some(10));
        assert_eq!(set(r"^\w"), None);
        let pairs = cover(&set_of(&pcre(r"^[\x20-\x7e]")).unwrap().1);
        assert_eq!(set_of(&pcre(r"^.{8}[a-z]+?x")).map(|(at, _)| at), Some(8));
        assert_eq!(set_of(&pcre("^..a")).map(|(at, _)| at), Some(2));
        assert!(set_of(&pcre("^.*a")).is_none() && set_of(&pcre("^.{2,3}a")).is_none() && set_of(&pcre("^.{8}a?")).is_none());
        assert!(pairs.len() <= 2);
        for b in 0x20..=0x7eu8 {
            assert!(pairs.iter().any(|(v, m)| b & m == *v), "{b}");
        }
        assert!(!pairs.iter().any(|(v, m)| 0x16 & m == *v));
    }
}
