//! From rule files to a [`Ruleset`].
//!
//! Files are read with a bound on their size; bytes that are not UTF-8 are legal. Each rule stands for itself: a rule
//! that cannot be used is rejected with a [`Diagnostic`], the rest load. Of rules with equal gid and sid the one with
//! the highest rev counts.

use crate::config::geography::Geography;
use crate::config::reputation::Reputation;
use crate::config::{Classifications, References, Suppression, ThresholdConfig, ThresholdEntry};
use crate::diag::{Cause, Diagnostic, Severity};
use crate::lower::{Dialect, Fault, Session, lower};
use crate::support::Support;
use crate::syntax::{Chunk, Origin, RuleText, Span, Splitter, parse_rule};
use crate::vars::{Resolver, VariableTable};
use std::collections::{BTreeMap, HashMap};
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_ir::{Pcre, Rule};

/// Largest rule file.
pub const RULE_FILE_MAX: u64 = 1 << 30;
/// Largest configuration file.
const CONFIG_FILE_MAX: u64 = 16 << 20;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system says no.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Larger than allowed.
    #[error("{path} is larger than {limit} bytes", path = path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Bound.
        limit: u64,
    },
}

/// The text of one rule file.
#[derive(Debug, Clone)]
pub struct RuleSource {
    /// Name for messages.
    pub name: Arc<str>,
    /// The text.
    pub bytes: Vec<u8>,
    /// Its rules belong to the firewall's tables.
    pub firewall: bool,
}

impl RuleSource {
    /// From memory.
    pub fn from_text(name: &str, text: impl Into<Vec<u8>>) -> Self {
        RuleSource { name: name.into(), bytes: text.into(), firewall: false }
    }

    /// Read a file of at most [`RULE_FILE_MAX`] bytes.
    pub fn from_file(path: &Path) -> Result<Self, ReadError> {
        Ok(RuleSource { name: path.to_string_lossy().as_ref().into(), bytes: read_limited(path, RULE_FILE_MAX)?, firewall: false })
    }

    /// Read files, and the `*.rules` files of directories (sorted by name, not below them).
    pub fn from_paths<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<Self>, ReadError> {
        let mut sources = Vec::new();
        for path in paths {
            let path = path.as_ref();
            if !path.is_dir() {
                sources.push(Self::from_file(path)?);
                continue;
            }
            let mut files = Vec::new();
            find(path, DEPTH_MAX, &mut files)?;
            files.sort();
            for file in files {
                sources.push(Self::from_file(&file)?);
            }
        }
        Ok(sources)
    }
}

/// Directories searched below the one that was named.
const DEPTH_MAX: usize = 8;

/// The `*.rules` files in and below a directory. Links to directories are not followed.
fn find(directory: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), ReadError> {
    let io = |source| ReadError::Io { path: directory.to_owned(), source };
    for entry in std::fs::read_dir(directory).map_err(io)? {
        let entry = entry.map_err(io)?;
        let path = entry.path();
        if entry.file_type().map_err(io)?.is_dir() {
            if depth > 0 {
                find(&path, depth - 1, files)?;
            }
        } else if path.extension().is_some_and(|e| e == "rules") && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// Read a whole file, but not more than `limit` bytes.
pub fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let expected = file.metadata().map_err(io)?.len().min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(expected.min(64 << 20)).unwrap_or(0));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

/// How far a load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read so far, and in all.
    pub bytes: (u64, u64),
    /// Rules seen so far.
    pub rules: usize,
}

/// Says why an expression cannot be used.
pub type PcreCheck<'a> = &'a dyn Fn(&Pcre) -> Result<(), String>;

/// Where files that rules name (lists of values and of digests) are read from, where that is not the disk.
pub trait DataFiles {
    /// There is such a file.
    fn holds(&self, path: &Path) -> bool;
    /// Its bytes.
    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, ReadError>;
}

/// Files of the disk, of which everything that is read is kept.
#[derive(Debug, Default)]
pub struct KeptFiles(std::cell::RefCell<BTreeMap<PathBuf, Vec<u8>>>);

impl KeptFiles {
    /// What was read.
    pub fn into_files(self) -> BTreeMap<PathBuf, Vec<u8>> {
        self.0.into_inner()
    }
}

impl DataFiles for KeptFiles {
    fn holds(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
        let bytes = read_limited(path, limit)?;
        self.0.borrow_mut().insert(path.to_owned(), bytes.clone());
        Ok(bytes)
    }
}

/// Files that were given, by their paths; the disk is not asked.
#[derive(Debug, Default)]
pub struct GivenFiles(pub BTreeMap<PathBuf, Vec<u8>>);

impl DataFiles for GivenFiles {
    fn holds(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    fn read(&self, path: &Path, _: u64) -> Result<Vec<u8>, ReadError> {
        let missing = || std::io::Error::new(std::io::ErrorKind::NotFound, "it is not among the files that were given");
        self.0.get(path).cloned().ok_or_else(|| ReadError::Io { path: path.to_owned(), source: missing() })
    }
}

/// What a load depends on besides rules and variables.
#[derive(Default)]
pub struct LoadOptions<'a> {
    /// What the engine can do.
    pub support: Support,
    /// Rule language.
    pub dialect: Dialect,
    /// classification.config: name and text.
    pub classification: Option<RuleSource>,
    /// reference.config
    pub reference: Option<RuleSource>,
    /// threshold.config
    pub threshold: Option<RuleSource>,
    /// Directory that data sets are loaded from.
    pub data_directory: Option<&'a Path>,
    /// Where files that rules name are read from; none: the disk.
    pub files: Option<&'a dyn DataFiles>,
    /// Reputation of addresses, for `iprep`.
    pub reputation: Option<&'a Reputation>,
    /// Countries of addresses, for `geoip`.
    pub geography: Option<&'a Geography>,
    /// Called for every expression; the error rejects the rule. The engine passes its compiler.
    pub check_pcre: Option<PcreCheck<'a>>,
    /// Called now and then, and at the end.
    pub progress: Option<&'a dyn Fn(Progress)>,
}

impl std::fmt::Debug for LoadOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadOptions")
            .field("dialect", &self.dialect)
            .field("data_directory", &self.data_directory)
            .finish_non_exhaustive()
    }
}

impl LoadOptions<'_> {
    /// Take classification.config, reference.config and threshold.config from a directory, those that are there.
    pub fn configuration_from(&mut self, directory: &Path) -> Result<(), ReadError> {
        let read = |name: &str| -> Result<Option<RuleSource>, ReadError> {
            let path = directory.join(name);
            if !path.is_file() {
                return Ok(None);
            }
            let bytes = read_limited(&path, CONFIG_FILE_MAX)?;
            Ok(Some(RuleSource { name: path.to_string_lossy().as_ref().into(), bytes, firewall: false }))
        };
        self.classification = read("classification.config")?;
        self.reference = read("reference.config")?;
        self.threshold = read("threshold.config")?;
        Ok(())
    }
}

/// The result of a load.
#[derive(Debug, Clone, Default)]
pub struct Ruleset {
    /// Rules in the order of the files.
    pub rules: Vec<Rule>,
    /// One for each rule that was not loaded.
    pub rejected: Vec<Diagnostic>,
    /// About rules that were loaded, and about configuration files.
    pub warnings: Vec<Diagnostic>,
    /// Rules that are commented out.
    pub disabled: usize,
    /// Rules that are not commented out: loaded, rejected and replaced ones.
    pub total: usize,
    /// Rules replaced by one with a higher rev.
    pub replaced: usize,
    /// Classes.
    pub classifications: Classifications,
    /// Reference systems.
    pub references: References,
    /// `suppress` lines.
    pub suppressions: Vec<Suppression>,
    /// Thresholds from outside of rules.
    pub thresholds: Vec<ThresholdEntry>,
}

/// Rules between two calls of the progress function.
const PROGRESS_STEP: usize = 512;

/// Load rules. Never fails as a whole.
pub fn load(sources: &[RuleSource], variables: &VariableTable, options: &LoadOptions<'_>) -> Ruleset {
    let mut set = Ruleset::default();
    if let Some(file) = &options.classification {
        set.classifications = Classifications::parse(&file.name, &file.bytes, &mut set.warnings);
    }
    if let Some(file) = &options.reference {
        set.references = References::parse(&file.name, &file.bytes, &mut set.warnings);
    }
    let mut resolver = Resolver::new(variables);
    if let Some(file) = &options.threshold {
        let found = ThresholdConfig::parse(&file.name, &file.bytes, &mut resolver, &mut set.warnings);
        (set.suppressions, set.thresholds) = (found.suppressions, found.thresholds);
    }
    for notice in variables.notices() {
        let file: Arc<str> = "variables".into();
        set.warnings.push(Diagnostic::general(&file, Severity::Notice, Cause::Configuration, notice.clone(), None));
    }
    let (classifications, references) = (std::mem::take(&mut set.classifications), std::mem::take(&mut set.references));
    let mut session = Session::new(resolver, &options.support, &classifications, &references, options);
    let total_bytes: u64 = sources.iter().map(|s| s.bytes.len() as u64).sum();
    let mut before: u64 = 0;
    let mut known: HashMap<(u32, u32), usize> = HashMap::new();
    let mut slots: Vec<Option<Rule>> = Vec::new();
    let report = |bytes: u64, rules: usize| {
        if let Some(progress) = options.progress {
            progress(Progress { bytes: (bytes, total_bytes), rules });
        }
    };
    for source in sources {
        session.firewall = source.firewall;
        let mut splitter = Splitter::new(&source.bytes);
        while let Some(chunk) = splitter.next() {
            let text = match chunk {
                Chunk::Disabled(_) => {
                    set.disabled += 1;
                    continue;
                }
                Chunk::Rule(text) => text,
            };
            set.total += 1;
            if set.total % PROGRESS_STEP == 0 {
                report(before + splitter.position() as u64, set.total);
            }
            let place = At { source, text: &text };
            let syntax = match parse_rule(&text.text) {
                Ok(syntax) => syntax,
                Err(e) => {
                    let fault = Fault {
                        span: e.span,
                        cause: Cause::Syntax,
                        message: e.message.into(),
                        remedy: Some(e.remedy.into()),
                        known_as: known_syntax(&text.text, e.span, e.message),
                    };
                    set.rejected.push(place.diagnostic(fault, Severity::Error, None));
                    continue;
                }
            };
            let outcome = lower(&mut session, &syntax, &text.text, &source.name, text.line);
            let sid = outcome.sid;
            match outcome.rule {
                Err(fault) => set.rejected.push(place.diagnostic(fault, Severity::Error, sid)),
                Ok(rule) => {
                    set.warnings
                        .extend(outcome.warnings.into_iter().map(|w| place.diagnostic(w, Severity::Warning, sid)));
                    let span = sid_span(&syntax, &text.text);
                    set.insert(rule, &mut slots, &mut known, |message, remedy, severity| {
                        place.diagnostic(Fault::new(span, Cause::Identity, message, remedy), severity, sid)
                    });
                }
            }
        }
        before += source.bytes.len() as u64;
    }
    report(total_bytes, set.total);
    set.rules = slots.into_iter().flatten().collect();
    (set.classifications, set.references) = (classifications, references);
    set
}

impl Ruleset {
    /// The highest rev of a sid counts; equal ones are rejected.
    fn insert(
        &mut self,
        rule: Rule,
        slots: &mut Vec<Option<Rule>>,
        known: &mut HashMap<(u32, u32), usize>,
        say: impl Fn(String, &str, Severity) -> Diagnostic,
    ) {
        let identity = rule.identity;
        match known.entry((identity.gid, identity.sid)) {
            Entry::Vacant(free) => {
                free.insert(slots.len());
                slots.push(Some(rule));
            }
            Entry::Occupied(mut taken) => {
                let Some(other) = slots.get(*taken.get()).and_then(Option::as_ref) else { return };
                let (at, rev) = (format!("{}:{}", other.source.file, other.source.line), other.identity.rev);
                if identity.rev > rev {
                    let message = format!("sid {} replaces the rule at {at}, whose rev is {rev}", identity.sid);
                    self.warnings.push(say(message, "remove the older rule", Severity::Warning));
                    self.replaced += 1;
                    if let Some(old) = slots.get_mut(*taken.get()) {
                        *old = None;
                    }
                    taken.insert(slots.len());
                    slots.push(Some(rule));
                } else {
                    let message = format!("sid {} is taken by the rule at {at}, whose rev is {rev}", identity.sid);
                    self.rejected.push(say(
                        message,
                        "give the rule a sid of its own, or a higher rev if it replaces the other",
                        Severity::Error,
                    ));
                }
            }
        }
    }
}

/// How Suricata's users know a fault within an option.
fn known_syntax(text: &[u8], span: Span, message: &str) -> Option<String> {
    if message == "an empty option" {
        return Some("unknown rule keyword ''.".to_owned());
    }
    let at = (span.start as usize).min(text.len());
    let start = text.get(..at)?.iter().rposition(|b| matches!(b, b';' | b'('))? + 1;
    let end = text.get(at..)?.iter().position(|b| *b == b';').map_or(text.len(), |n| at + n);
    let option = String::from_utf8_lossy(text.get(start..end)?).into_owned();
    let (keyword, value) = option.split_once(':')?;
    let (keyword, value) = (keyword.trim(), value.trim());
    Some(format!("bad option value formatting (possible missing semicolon) for keyword {keyword}: '{value}'"))
}

fn sid_span(syntax: &crate::syntax::RuleSyntax, text: &[u8]) -> Span {
    syntax.options.iter().find(|o| o.name.of(text).eq_ignore_ascii_case(b"sid")).map_or(Span::default(), |o| o.span())
}

/// A rule's place, to give spans of its text a place in the file.
struct At<'a> {
    source: &'a RuleSource,
    text: &'a RuleText<'a>,
}

impl At<'_> {
    fn diagnostic(&self, fault: Fault, severity: Severity, sid: Option<u32>) -> Diagnostic {
        let origin: &Origin = &self.text.origin;
        let start = origin.file_offset(fault.span.start as usize);
        let end = match fault.span.is_empty() {
            true => start,
            false => origin.file_offset(fault.span.end as usize - 1) + 1,
        };
        let hint = (origin.file_offset(0), self.text.line);
        let mut out = Diagnostic::at(
            &self.source.name,
            &self.source.bytes,
            Span::new(start, end),
            hint,
            severity,
            fault.cause,
            fault.message,
        );
        out.remedy = fault.remedy;
        out.known_as = fault.known_as;
        out.sid = sid;
        out
    }
}

/// Entry point for fuzzing: any bytes are a rule file. Loads them twice (engine's support, everything) and renders
/// every diagnostic; must not panic, and every span lies within the input.
pub fn fuzz_rule_text(bytes: &[u8]) {
    let sources = [RuleSource::from_text("fuzz", bytes)];
    let variables = VariableTable::default();
    for support in [Support::default(), Support::everything()] {
        let options = LoadOptions { support, ..LoadOptions::default() };
        let set = load(&sources, &variables, &options);
        for diagnostic in set.rejected.iter().chain(&set.warnings) {
            assert!(diagnostic.span.start <= diagnostic.span.end && diagnostic.span.end as usize <= bytes.len());
            let _ = crate::diag::render_text(diagnostic);
        }
        assert_eq!(set.rules.len() + set.rejected.len() + set.replaced, set.total);
    }
}
