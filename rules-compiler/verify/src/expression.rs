//! What an expression certainly matches, read from the syntax tree of `regex-syntax`.
//!
//! Expressions are PCRE2's; only those are read that mean the same in both: what one of the two reads otherwise, or not
//! at all, gives nothing here, and the rule needs another proof.

use crate::place::Cell;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Look};
use weir_ir::{BufferMatch, Match, Pcre};

/// For each place the bytes that can stand there.
pub type Run = Vec<Vec<u8>>;

/// Most bytes that can stand at one place of a run.
const SET_MAX: usize = 64;
/// Repetitions that are written out.
const REPEAT_MAX: u32 = 16;
/// Steps of an expression.
const STEPS_MAX: usize = 4096;

#[derive(Debug, Clone)]
enum Step {
    /// One of these bytes.
    Byte(Vec<u8>),
    /// Perhaps more of `again`, perhaps not: runs go on behind with copies of it.
    More(Vec<Vec<u8>>),
    /// Anything.
    Break,
}

/// The expression as a tree, if it means the same here as in PCRE2.
fn tree(p: &Pcre) -> Option<Hir> {
    if p.negated || p.extended {
        return None;
    }
    let anything = without_references(&p.pattern);
    read(&p.pattern, p).or_else(|| read(anything.as_deref()?, p)).or_else(|| read(before_group(&p.pattern)?, p))
}

/// The text with anything in the place of references to named groups: every match of the one is a match of the other.
/// None where a class might hold what looks like one, or nothing is changed.
fn without_references(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let (mut at, mut class) = (0, false);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let named = |open: &str, close: char| {
            let (name, behind) = rest.strip_prefix(open)?.split_once(close)?;
            let word = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            (word && !class).then_some(rest.len() - behind.len())
        };
        if let Some(length) = named("(?P<", '>') {
            out.push('(');
            at += length;
        } else if let Some(length) = named("(?P=", ')') {
            out.push_str("(?s:.*)");
            at += length;
        } else {
            let length = rest.chars().take(if rest.starts_with('\\') { 2 } else { 1 }).map(char::len_utf8).sum();
            match rest.as_bytes().first() {
                Some(b'[') => class = true,
                Some(b']') => class = false,
                _ => {}
            }
            out.push_str(rest.get(..length)?);
            at += length;
        }
    }
    (out != text).then_some(out)
}

/// What stands before the first group, if every match begins with it.
fn before_group(text: &str) -> Option<&str> {
    let (mut depth, mut class, mut escaped, mut group) = (0i32, false, false, None);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'[' if !class => class = true,
            b']' if class => class = false,
            b'(' if !class => {
                group = group.or(Some(at));
                depth += 1;
            }
            b')' if !class => depth -= 1,
            b'|' if !class && depth <= 0 => return None,
            _ => {}
        }
    }
    text.get(..group?)
}

/// A brace that begins no quantifier is a brace to PCRE2; `regex-syntax` wants it escaped.
fn braces(text: &str) -> String {
    let quantifier = |rest: &str| {
        let Some((inside, _)) = rest.split_once('}') else { return false };
        let (low, high) = inside.split_once(',').unwrap_or((inside, ""));
        !low.is_empty() && [low, high].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()))
    };
    let mut out = String::with_capacity(text.len());
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == '{' && !escaped && !text.get(at + 1..).is_some_and(quantifier) {
            out.push('\\');
        }
        escaped = c == '\\' && !escaped;
        out.push(c);
    }
    out
}

/// A class holds what `regex-syntax` takes for a class within or for an operator of sets, and PCRE2 for bytes.
fn has_odd_class(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (mut at, mut class) = (0, false);
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied();
        match byte {
            b'\\' => at += 1,
            b'[' if !class => {
                class = true;
                at += usize::from(next == Some(b'^'));
                // One that comes first is a byte.
                at += usize::from(bytes.get(at + 1) == Some(&b']'));
            }
            b']' => class = false,
            b'[' if next != Some(b':') => return true,
            b'&' | b'-' | b'~' if class && next == Some(byte) => return true,
            // To the end of the named class.
            b'[' => match text.get(at..).and_then(|rest| rest.find(":]")) {
                Some(end) => at += end + 1,
                None => return true,
            },
            _ => {}
        }
        at += 1;
    }
    false
}

fn read(text: &str, p: &Pcre) -> Option<Hir> {
    if !text.is_ascii() {
        return None;
    }
    for other in ["(*", "(?#", "(?<", "(?>", "(?=", "(?!", "(?|", "(?P", "(?R", "(?(", "(?x", "{,"] {
        if text.contains(other) {
            return None;
        }
    }
    if has_odd_class(text) {
        return None;
    }
    // Inline options may change how the text itself is read.
    let options = text.split("(?").skip(1).filter_map(|rest| rest.split([')', ':']).next());
    if options.into_iter().any(|o| o.contains(['x', 'n', 'J'])) {
        return None;
    }
    let mut escaped = text.split('\\').skip(1).peekable();
    while let Some(rest) = escaped.next() {
        match rest.bytes().next() {
            // `\\`: the next part begins behind it.
            None => {
                escaped.next();
            }
            Some(b) if b.is_ascii_alphanumeric() && !b"dDwWsSnrtfxbB".contains(&b) => return None,
            _ => {}
        }
    }
    ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .case_insensitive(p.caseless)
        .multi_line(p.multiline)
        .dot_matches_new_line(p.dotall)
        .nest_limit(64)
        .build()
        .parse(&braces(text))
        .ok()
}

fn bytes_of(class: &Class) -> Vec<u8> {
    match class {
        Class::Bytes(class) => class.ranges().iter().flat_map(|r| r.start()..=r.end()).collect(),
        Class::Unicode(class) => {
            let all: Vec<u8> =
                class.ranges().iter().flat_map(|r| r.start()..=r.end()).filter_map(|c| u8::try_from(c).ok()).collect();
            let ascii = class.ranges().iter().all(|r| r.end().is_ascii());
            if ascii { all } else { (0..=255).collect() }
        }
    }
}

fn steps(hir: &Hir, out: &mut Vec<Step>) {
    if out.len() > STEPS_MAX {
        return out.push(Step::Break);
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => out.extend(literal.0.iter().map(|&b| Step::Byte(vec![b]))),
        HirKind::Class(class) => match bytes_of(class) {
            set if set.is_empty() || set.len() > SET_MAX => out.push(Step::Break),
            set => out.push(Step::Byte(set)),
        },
        HirKind::Capture(capture) => steps(&capture.sub, out),
        HirKind::Concat(parts) => parts.iter().for_each(|part| steps(part, out)),
        HirKind::Alternation(_) => out.push(Step::Break),
        HirKind::Repetition(r) => {
            let mut one = Vec::new();
            steps(&r.sub, &mut one);
            let fixed: Option<Vec<Vec<u8>>> =
                one.iter().map(|step| if let Step::Byte(set) = step { Some(set.clone()) } else { None }).collect();
            let times = r.min.min(REPEAT_MAX);
            match fixed {
                Some(sets) if times > 0 => {
                    for _ in 0..times {
                        out.extend(sets.iter().cloned().map(Step::Byte));
                    }
                    if r.max != Some(times) {
                        out.push(Step::More(sets));
                    }
                }
                // A part that is not read has its first copies in any case, one behind the other.
                None if r.min > 0 => {
                    (0..r.min.min(2)).for_each(|_| out.extend(one.iter().cloned()));
                    out.push(Step::Break);
                }
                _ => out.push(Step::Break),
            }
        }
    }
}

/// The expression begins where the match before it ended (`R` and `^`), or the buffer does.
fn tied(p: &Pcre, hir: &Hir) -> bool {
    p.anchored || !p.multiline && hir.properties().look_set_prefix().contains(Look::Start)
}

/// What stands before a match of the expression at this index: the content that it is tied to.
fn before(run: &BufferMatch, index: usize, p: &Pcre, hir: &Hir) -> Run {
    let either = |b: u8| vec![b.to_ascii_lowercase(), b.to_ascii_uppercase()];
    match index.checked_sub(1).and_then(|n| run.matches.get(n)) {
        Some(Match::Content(c)) if p.relative && !c.negated && tied(p, hir) => {
            c.bytes.iter().map(|&b| if c.nocase { either(b) } else { vec![b] }).collect()
        }
        _ => Run::new(),
    }
}

/// Runs of at least four bytes that each match holds.
pub fn runs(run: &BufferMatch) -> Vec<Run> {
    if run.matches.iter().any(|m| matches!(m, Match::Absent { .. })) {
        return Vec::new();
    }
    let mut out: Vec<Run> = Vec::new();
    for (n, m) in run.matches.iter().enumerate() {
        let Match::Pcre(p) = m else { continue };
        let Some(hir) = tree(p) else { continue };
        let mut list = Vec::new();
        steps(&hir, &mut list);
        let now = before(run, n, p, &hir);
        walk(&list, now, &mut out);
    }
    out.retain(|r| r.len() >= 4);
    out
}

/// Runs of a list of steps, behind what is known before it.
fn walk(list: &[Step], mut now: Run, out: &mut Vec<Run>) {
    for (i, step) in list.iter().enumerate() {
        match step {
            Step::Byte(set) => now.push(set.clone()),
            Step::Break => out.push(std::mem::take(&mut now)),
            Step::More(again) => {
                // Behind the least number stands one more of them, or what follows.
                if let (Some(Step::Byte(next)), [one]) = (list.get(i + 1), again.as_slice()) {
                    let mut set = [one.as_slice(), next.as_slice()].concat();
                    set.sort_unstable();
                    set.dedup();
                    if set.len() <= SET_MAX {
                        now.push(set);
                    }
                }
                let copies = now.clone();
                out.push(std::mem::take(&mut now));
                // The last copies stand before what follows.
                if let [one] = again.as_slice() {
                    let many = copies
                        .iter()
                        .rev()
                        .skip_while(|set| *set != one)
                        .take_while(|set| *set == one)
                        .count()
                        .clamp(1, 8);
                    now = vec![one.clone(); many];
                } else {
                    now.clone_from(again);
                }
            }
        }
    }
    out.push(now);
}

/// Most ways through an expression that are written out.
const WAYS_MAX: usize = 32;

/// All ways through an expression: each match takes one of them.
fn ways(hir: &Hir) -> Option<Vec<Vec<Step>>> {
    let alone = |hir: &Hir| {
        let mut list = Vec::new();
        steps(hir, &mut list);
        vec![list]
    };
    let out = match hir.kind() {
        HirKind::Capture(capture) => ways(&capture.sub)?,
        HirKind::Alternation(parts) => parts.iter().map(ways).collect::<Option<Vec<_>>>()?.concat(),
        HirKind::Repetition(r) if (r.min, r.max) == (0, Some(1)) => {
            let mut out = ways(&r.sub)?;
            out.push(Vec::new());
            out
        }
        HirKind::Concat(parts) => {
            let mut out: Vec<Vec<Step>> = vec![Vec::new()];
            for part in parts {
                let next = ways(part)?;
                if out.len() * next.len() > WAYS_MAX {
                    return None;
                }
                out = out.iter().flat_map(|way| next.iter().map(move |n| [way.as_slice(), n].concat())).collect();
            }
            out
        }
        _ => alone(hir),
    };
    (out.len() <= WAYS_MAX).then_some(out)
}

/// For each expression the runs of at least three bytes of each way through it.
pub fn alternatives(run: &BufferMatch) -> Vec<Vec<Vec<Run>>> {
    let mut out = Vec::new();
    if run.matches.iter().any(|m| matches!(m, Match::Absent { .. })) {
        return out;
    }
    for (n, m) in run.matches.iter().enumerate() {
        let Match::Pcre(p) = m else { continue };
        let Some(hir) = tree(p) else { continue };
        let runs = |list: Vec<Step>| {
            let mut out = Vec::new();
            walk(&list, before(run, n, p, &hir), &mut out);
            out.retain(|r| r.len() >= 3);
            out
        };
        out.extend(ways(&hir).map(|all| all.into_iter().map(runs).collect::<Vec<_>>()));
    }
    out
}

/// Places of the buffer's beginning and the bytes that can stand there, by expressions that are tied to it.
pub fn first_bytes(run: &BufferMatch) -> Vec<(usize, Vec<u8>)> {
    let mut out = Vec::new();
    if run.matches.iter().any(|m| matches!(m, Match::Absent { .. })) {
        return out;
    }
    for m in &run.matches {
        let Match::Pcre(p) = m else { continue };
        let Some(hir) = tree(p).filter(|hir| !p.relative && !p.multiline && tied(p, hir)) else { continue };
        out.extend((0..16).filter_map(|at| Some((at, byte_at(&hir, at).filter(|set| set.len() < 192)?))));
    }
    out
}

/// Bytes that every match can have at a place, where it has one.
fn byte_at(hir: &Hir, at: usize) -> Option<Vec<u8>> {
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.get(at).map(|b| vec![*b]),
        HirKind::Class(class) => Some(bytes_of(class)).filter(|set| at == 0 && !set.is_empty()),
        HirKind::Capture(capture) => byte_at(&capture.sub, at),
        HirKind::Repetition(r) => {
            let part = r.sub.properties();
            let length = part.minimum_len().filter(|least| Some(*least) == part.maximum_len());
            match length {
                Some(length @ 1..) if at / length < r.min as usize => byte_at(&r.sub, at % length),
                _ if at == 0 && r.min > 0 => byte_at(&r.sub, 0),
                _ => None,
            }
        }
        HirKind::Concat(parts) => {
            let mut left = at;
            for part in parts {
                let (least, most) = (part.properties().minimum_len(), part.properties().maximum_len());
                match (least, most) {
                    (Some(least), Some(most)) if least == most && least <= left => left -= least,
                    _ => return byte_at(part, left),
                }
            }
            None
        }
        HirKind::Alternation(parts) => {
            let mut all = parts.iter().map(|part| byte_at(part, at)).collect::<Option<Vec<_>>>()?.concat();
            all.sort_unstable();
            all.dedup();
            Some(all)
        }
        HirKind::Empty | HirKind::Look(_) => None,
    }
}

/// Windows of a run, each as all the byte strings it can be; `certain` must hold for each.
pub fn windows(run: &Run, most: usize, certain: impl Fn(&[u8]) -> bool) -> Vec<Vec<Vec<Cell>>> {
    (4..=8).rev().flat_map(|length| windows_of(run, length, most, &certain)).collect()
}

/// The same of one length.
pub fn windows_of(run: &Run, length: usize, most: usize, certain: impl Fn(&[u8]) -> bool) -> Vec<Vec<Vec<Cell>>> {
    let mut out = Vec::new();
    {
        for window in run.windows(length) {
            // Letters that differ in case only are one.
            let sets: Vec<Vec<u8>> = window
                .iter()
                .map(|set| {
                    let mut set: Vec<u8> = set.iter().map(u8::to_ascii_lowercase).collect();
                    set.sort_unstable();
                    set.dedup();
                    set
                })
                .collect();
            let count = sets.iter().try_fold(1usize, |n, set| n.checked_mul(set.len()));
            if count.is_none_or(|n| n > most) {
                continue;
            }
            let mut forms: Vec<Vec<u8>> = vec![Vec::new()];
            for set in &sets {
                forms = forms.iter().flat_map(|f| set.iter().map(move |&b| [f.as_slice(), &[b]].concat())).collect();
            }
            if forms.iter().all(|f| certain(f)) {
                out.push(
                    forms
                        .into_iter()
                        .map(|f| f.into_iter().map(|byte| Cell { byte, exact: false }).collect())
                        .collect(),
                );
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pcre(pattern: &str) -> Pcre {
        Pcre { dotall: true, ..Pcre::new(pattern) }
    }

    fn of(pattern: &str) -> Vec<String> {
        let run = payload(pattern);
        let text = |r: &Run| r.iter().map(|s| if let [b] = s.as_slice() { char::from(*b) } else { '#' }).collect();
        runs(&run).iter().map(text).collect()
    }

    fn payload(pattern: &str) -> BufferMatch {
        BufferMatch {
            buffer: weir_ir::Buffer::Payload,
            transforms: Vec::new(),
            matches: vec![Match::Pcre(pcre(pattern))],
            side: None,
        }
    }

    #[test]
    fn bytes_at_places() {
        let at = |pattern: &str| -> Vec<(usize, usize)> {
            first_bytes(&payload(pattern)).into_iter().map(|(at, set)| (at, set.len())).collect()
        };
        assert_eq!(at(r"^.{8}[ -~]+?x"), [(8, 95)]);
        assert_eq!(
            at(r"^[ab]c{2}(?:d|ee)f"),
            [(0, 2), (1, 1), (2, 1), (3, 2)],
            "behind two lengths nothing is certain"
        );
        assert!(at(r"^.*a").is_empty() && at(r"^.{2,3}a").is_empty() && at(r"a").is_empty() && at(r"^a?b").is_empty());
    }

    #[test]
    fn every_match_takes_one_of_the_ways() {
        let ways = |pattern: &str| -> Vec<Vec<usize>> {
            let all = alternatives(&payload(pattern));
            all.iter().flatten().map(|runs| runs.iter().map(Vec::len).collect()).collect()
        };
        assert_eq!(ways(r"([*?]~1|~1\.?[*?]|/~1/)"), [vec![3], vec![4], vec![3], vec![4]]);
        assert_eq!(ways(r"ab(cd|e|)f"), [vec![5], vec![4], vec![3]]);
        assert_eq!(ways(r"abcd"), [vec![4]]);
    }

    #[test]
    fn runs_are_what_every_match_holds() {
        assert_eq!(of(r"^GET /[a-f]{4}\.php\?x"), ["GET /####.php?x"]);
        assert_eq!(of(r"abcd(?:ef|gh)ijkl"), ["abcd", "ijkl"]);
        assert_eq!(of(r"abcd?efgh"), ["efgh"]);
        assert_eq!(of(r"(?:abcd.*efgh){2,}"), ["abcd", "efghabcd", "efgh"]);
        assert_eq!(of(r"abcde+fgh"), ["abcde#", "efgh"]);
        assert!(of(r"abcd|efgh").is_empty());
        assert!(of(r"abcd\hefgh").is_empty(), "a class that only PCRE2 has");
        assert!(of(r"abcd\Kefgh").is_empty());
        assert_eq!(of(r"^POST\x20(?<var>a+)b(?P=var)"), ["POST "], "up to what is not read");
        assert_eq!(of(r"(?P<s>.{2})abcd(?P=s)efgh"), ["abcd", "efgh"], "a reference can be anything");
        assert!(of(r"(?P<s>.{2})abcd[(?P=s)]efgh").is_empty(), "a class with the same bytes");
        assert!(of(r"^POST\x20(?<var>a+)|b").is_empty());
        assert_eq!(of(r"{abc{d}"), ["{abc{d}"], "braces that are no quantifiers");
        assert_eq!(of(r"\{ab{2}c"), ["{abbc"]);
        assert_eq!(of(r"a\\hbcd"), ["a\\hbcd"], "a backslash, no class");
        assert_eq!(of(r" -- "), [" -- "], "an operator of sets in a class only");
        assert_eq!(of(r"ab--[]^-]cd"), ["ab--#cd"]);
        for odd in [r"abcd[a--b]", r"abcd[]--b]", r"abcd[a&&b]", r"abcd[x[ab]y]", r"abcd[[:alpha:]~~b]"] {
            assert!(of(odd).is_empty(), "{odd}");
        }
        assert!(!of(r"abcd[[:digit:]_]efgh").is_empty(), "a named class");
    }
}
