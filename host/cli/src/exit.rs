//! Exit codes, and errors that carry one.

use std::fmt;

/// All is well.
pub const OK: u8 = 0;
/// The command worked and found something: differences, rules that do not load, a failed check.
pub const FINDINGS: u8 = 1;
/// Wrong arguments or configuration.
pub const USAGE: u8 = 2;
/// Input that cannot be used: a capture, rule file or table image.
pub const INPUT: u8 = 3;
/// A fault of Weir or of the system.
pub const INTERNAL: u8 = 4;

/// More would reach the host than is allowed.
pub const TOO_MUCH: u8 = 5;

/// Table of the codes, for help pages.
pub const TABLE: &str = "Exit codes:
  0  all is well
  1  the command found something: differences between runs, rules that do not load, a failed check
  2  wrong arguments or configuration
  3  input that cannot be used: a capture, a rule file, a table image
  4  a fault of Weir or of the system
  5  more of the traffic is expected at the host than --max-host-share allows";

/// An error with its exit code.
#[derive(Debug)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    /// What happened, with causes.
    pub error: anyhow::Error,
    /// What to do.
    pub remedy: Option<String>,
}

impl Failure {
    /// With a remedy.
    #[must_use]
    pub fn remedy(mut self, text: impl Into<String>) -> Self {
        self.remedy = Some(text.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.error)?;
        let mut last = self.error.to_string();
        for cause in self.error.chain().skip(1) {
            let text = cause.to_string();
            // Many errors quote their source already.
            if !last.contains(&text) {
                write!(f, "\n  caused by: {text}")?;
            }
            last = text;
        }
        match &self.remedy {
            Some(remedy) => write!(f, "\n  = {remedy}"),
            None => Ok(()),
        }
    }
}

/// An error if frames are not accounted for: `broken` are the identities that do not hold, `fault` whose fault that is, and what
/// to do.
pub fn accounted<T: fmt::Display>(broken: impl IntoIterator<Item = T>, fault: &str) -> Result<(), Failure> {
    let broken: Vec<String> = broken.into_iter().map(|identity| identity.to_string()).collect();
    if broken.is_empty() {
        return Ok(());
    }
    Err(Failure {
        code: INTERNAL,
        error: anyhow::anyhow!("frames are not accounted for: {}", broken.join("; ")),
        remedy: Some(fault.to_owned()),
    })
}

/// Gives errors their exit codes.
pub trait OrExit<T> {
    /// Wrong arguments or configuration.
    fn or_usage(self) -> Result<T, Failure>;
    /// Input that cannot be used.
    fn or_input(self) -> Result<T, Failure>;
    /// A fault of Weir or of the system.
    fn or_internal(self) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_usage(self) -> Result<T, Failure> {
        self.map_err(|e| Failure { code: USAGE, error: e.into(), remedy: None })
    }
    fn or_input(self) -> Result<T, Failure> {
        self.map_err(|e| Failure { code: INPUT, error: e.into(), remedy: None })
    }
    fn or_internal(self) -> Result<T, Failure> {
        self.map_err(|e| Failure { code: INTERNAL, error: e.into(), remedy: None })
    }
}
