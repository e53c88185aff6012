//! "Did you mean": the nearest name by edit distance.

/// The candidate nearest to `word`, if it is near enough to be a slip of the pen (a third of the length, at most 4;
/// case does not count). Words beyond 64 bytes get no suggestion.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    let limit = (word.len() / 3).clamp(1, 4);
    let lower = word.to_ascii_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate.len().abs_diff(word.len()) > limit || candidate.len() > 80 {
            continue;
        }
        let found = distance(lower.as_bytes(), candidate.to_ascii_lowercase().as_bytes());
        if found <= limit && best.is_none_or(|(d, _)| found < d) {
            best = Some((found, candidate));
        }
    }
    best.map(|(_, name)| name)
}

/// Optimal string alignment: insertions, deletions, substitutions, exchanges of neighbours.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let width = b.len() + 1;
    let mut before: Vec<usize> = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    let mut row: Vec<usize> = vec![0; width];
    for i in 1..=a.len() {
        row[0] = i;
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut value = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                value = value.min(before[j - 2] + 1);
            }
            row[j] = value;
        }
        std::mem::swap(&mut before, &mut last);
        std::mem::swap(&mut last, &mut row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips() {
        let names = ["http.uri", "http.host", "content", "HOME_NET", "HTTP_PORTS"];
        for (word, expected) in [
            ("http.url", Some("http.uri")),
            ("contnet", Some("content")),
            ("HOMENET", Some("HOME_NET")),
            ("home_net", Some("HOME_NET")),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names), expected, "{word}");
        }
        assert_eq!(distance(b"kitten", b"sitting"), 3);
        assert_eq!(distance(b"ab", b"ba"), 1);
    }
}
