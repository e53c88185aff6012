//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

/// Where a problem is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a file.
    File {
        /// As the user named it.
        name: String,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// Text of the line.
        text: String,
    },
    /// In `--set`.
    CommandLine(String),
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// What.
    pub message: String,
    /// What to do.
    pub remedy: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File { name, line, column, text } => {
                write!(f, "{name}:{line}:{column}: {}", self.message)?;
                if !text.trim().is_empty() && text.chars().count() <= 200 {
                    let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                    write!(f, "\n  | {shown}\n  | {:>1$}", '^', column)?;
                }
            }
            Origin::CommandLine(given) => write!(f, "--set {given}: {}", self.message)?,
        }
        match &self.remedy {
            Some(remedy) => write!(f, "\n  = {remedy}"),
            None => Ok(()),
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    /// All problems, in the order of the file. Never empty.
    pub problems: Vec<Problem>,
    /// The file could not be read at all.
    #[source]
    pub unreadable: Option<std::io::Error>,
}

impl ConfigError {
    pub(crate) fn one(origin: Origin, message: String, remedy: Option<String>) -> Self {
        ConfigError { problems: vec![Problem { origin, message, remedy }], unreadable: None }
    }

    pub(crate) fn unreadable(path: PathBuf, error: std::io::Error) -> Self {
        let name = path.display().to_string();
        let problem = Problem {
            origin: Origin::File { name, line: 1, column: 1, text: String::new() },
            message: "the configuration cannot be read".to_owned(),
            remedy: Some(
                "check the path given with --config, or write a first file with `weir config starter`".to_owned(),
            ),
        };
        ConfigError { problems: vec![problem], unreadable: Some(error) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if i > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}
