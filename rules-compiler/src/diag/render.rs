//! Diagnostics as text and as JSON lines.

use super::{Diagnostic, Severity};
use std::fmt::Write as _;

/// Place, excerpt with a mark below, remedy.
///
/// ```text
/// error[unknown-keyword]: there is no keyword `http.url`
///   --> local.rules:3:58 (sid 1000)
///    |
///  3 | alert http any any -> any any (http.url; content:"x"; sid:1000;)
///    |                                ^^^^^^^^
///    = help: did you mean `http.uri`?
/// ```
pub fn render_text(diagnostic: &Diagnostic) -> String {
    let mut out = String::with_capacity(256);
    let word = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Notice => "notice",
    };
    let cause = serde_json::to_value(diagnostic.cause).ok();
    let cause = cause.as_ref().and_then(|c| c.as_str()).unwrap_or("other");
    let _ = writeln!(out, "{word}[{cause}]: {}", clean(&diagnostic.message));
    let sid = diagnostic.sid.map(|sid| format!(" (sid {sid})")).unwrap_or_default();
    if diagnostic.line == 0 {
        let _ = writeln!(out, "  --> {}{sid}", clean(&diagnostic.file));
    } else {
        let number = diagnostic.line.to_string();
        let gutter = " ".repeat(number.len());
        let _ = writeln!(out, "{gutter}--> {}:{}:{}{sid}", clean(&diagnostic.file), diagnostic.line, diagnostic.column);
        let _ = writeln!(out, "{gutter} |");
        let _ = writeln!(out, "{number} | {}", diagnostic.excerpt);
        let (column, length) = diagnostic.mark;
        let _ = writeln!(out, "{gutter} | {}{}", " ".repeat(column as usize), "^".repeat(length.max(1) as usize));
    }
    if let Some(remedy) = &diagnostic.remedy {
        let gutter = " ".repeat(diagnostic.line.to_string().len());
        let _ = writeln!(out, "{gutter} = help: {}", clean(remedy));
    }
    out
}

/// One JSON object on one line.
pub fn render_json(diagnostic: &Diagnostic) -> String {
    serde_json::to_string(diagnostic).unwrap_or_else(|_| String::from("{}"))
}

/// Text of a rule may hold terminal escapes.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;

    #[test]
    fn marks_the_place() {
        let text = "# first\nalert http any any -> any any (http.url; sid:1000;)\n";
        let at = text.find("http.url").unwrap();
        let mut d = Diagnostic::at(
            &"local.rules".into(),
            text.as_bytes(),
            Span::new(at, at + 8),
            (0, 1),
            Severity::Error,
            Cause::UnknownKeyword,
            "there is no keyword `http.url`".into(),
        );
        d.sid = Some(1000);
        d.remedy = Some("did you mean `http.uri`?".into());
        let expected = "\
error[unknown-keyword]: there is no keyword `http.url`
 --> local.rules:2:32 (sid 1000)
  |
2 | alert http any any -> any any (http.url; sid:1000;)
  |                                ^^^^^^^^
  = help: did you mean `http.uri`?
";
        assert_eq!(render_text(&d), expected);
        let json: serde_json::Value = serde_json::from_str(&render_json(&d)).unwrap();
        assert_eq!(json["cause"], "unknown-keyword");
        assert_eq!(json["line"], 2);
    }

    #[test]
    fn long_lines_are_cut_around_the_mark() {
        let text = format!("{}BAD{}", "x".repeat(5000), "y".repeat(5000));
        let d = Diagnostic::at(
            &"f".into(),
            text.as_bytes(),
            Span::new(5000, 5003),
            (0, 1),
            Severity::Error,
            Cause::Syntax,
            "m".into(),
        );
        assert!(d.excerpt.chars().count() <= 130);
        let marked: String = d.excerpt.chars().skip(d.mark.0 as usize).take(d.mark.1 as usize).collect();
        assert_eq!(marked, "BAD");
    }
}
