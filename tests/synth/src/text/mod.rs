//! Scenario text to captures: see the crate's documentation for the statements.

mod arguments;
mod statement;
mod token;

use std::fmt;

use crate::Capture;

/// What is wrong with a scenario, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ScenarioError {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

/// Turn the text of a scenario into a capture.
pub fn compile(text: &str) -> Result<Capture, ScenarioError> {
    let mut compiler = statement::Compiler::default();
    for (line, content) in (1..).zip(text.lines()) {
        let located = |(column, message)| ScenarioError { line, column, message };
        let tokens = token::tokens(content).map_err(located)?;
        if !tokens.is_empty() {
            compiler.statement(&tokens).map_err(located)?;
        }
    }
    Ok(compiler.finish())
}
