//! What the guest told: see `tests/vm/guest/src/report.rs`.

use std::collections::BTreeMap;

/// All that came over the serial line.
#[derive(Debug, Default)]
pub struct Report {
    /// What holds, and what does not.
    pub checks: Vec<(String, bool)>,
    /// Files by name.
    pub files: BTreeMap<String, String>,
    /// Why the guest stopped.
    pub failures: Vec<String>,
    /// The guest says that it got to the end.
    pub done: bool,
}

impl Report {
    /// Of the line's text.
    pub fn parse(text: &str) -> Report {
        let mut report = Report::default();
        let mut lines = text.lines().map(|line| line.trim_end_matches('\r'));
        while let Some(line) = lines.next() {
            match line.split_once('\t') {
                Some(("holds", what)) => report.checks.push((what.to_owned(), true)),
                Some(("broken", what)) => report.checks.push((what.to_owned(), false)),
                Some(("failed", why)) => report.failures.push(why.to_owned()),
                Some(("done", answer)) => report.done = answer == "yes",
                Some(("file", what)) => {
                    let (name, count) = what.split_once('\t').unwrap_or((what, "0"));
                    let content: Vec<_> = lines.by_ref().take(count.parse().unwrap_or(0)).collect();
                    report.files.insert(name.to_owned(), content.join("\n"));
                }
                _ => report.failures.push(format!("the guest said: {line}")),
            }
        }
        if !report.done && report.failures.is_empty() {
            report.failures.push("the guest did not get to its end".to_owned());
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_files() {
        let report = Report::parse("holds\ta b\r\nbroken\tc: why\r\nfile\tx\t2\r\ndone\tno\r\n{}\r\ndone\tyes\r\n");
        assert_eq!(report.checks, [("a b".to_owned(), true), ("c: why".to_owned(), false)]);
        assert_eq!(report.files["x"], "done\tno\n{}");
        assert!(report.done && report.failures.is_empty());
        assert!(!Report::parse("holds\ta\n").failures.is_empty(), "it ended early");
        assert!(!Report::parse("").done);
    }
}
