//! Rules of the command line or the configuration, loaded.

use crate::args::RuleArguments;
use crate::exit::{Failure, INPUT, OrExit, USAGE};
use crate::progress;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use weir_ir::Pcre;
use weir_management::Config;
use weir_rules::config::geography::Geography;
use weir_rules::config::reputation::Reputation;
use weir_rules::load::read_limited;
use weir_rules::{DataFiles, GivenFiles, KeptFiles, LoadOptions, RuleSource, Ruleset, VariableTable, load};

/// Largest classification.config and the like.
const CONFIG_MAX: u64 = 16 << 20;
/// Largest database of countries.
const GEOGRAPHY_MAX: u64 = 256 << 20;

/// Rule paths: those of the arguments, else those of the configuration.
pub fn paths(arguments: &RuleArguments, config: &Config) -> Result<Vec<PathBuf>, Failure> {
    let paths = if arguments.rules.is_empty() { config.rules.files.clone() } else { arguments.rules.clone() };
    if paths.is_empty() {
        return Err(Failure {
            code: USAGE,
            error: anyhow::anyhow!("no rules are given"),
            remedy: Some("name rule files or directories with --rules, or set rules.files in weir.toml".to_owned()),
        });
    }
    Ok(paths)
}

/// Variables of rules: the built-in ones with those of the configuration on top.
pub fn variables(config: &Config) -> VariableTable {
    let mut table = VariableTable::default();
    for (name, text) in &config.vars {
        table.set(name, text);
    }
    table
}

/// Loads rule files with the classification, reference and threshold files of the configuration, or those that lie
/// beside the rules or one directory above.
pub fn load_rules(
    paths: &[PathBuf],
    config: &Config,
    check_pcre: Option<&dyn Fn(&Pcre) -> Result<(), String>>,
) -> Result<Ruleset, Failure> {
    load_sources(&sources(paths)?, Some((paths, check_pcre)), config)
}

/// The texts of rule files and directories.
pub fn sources(paths: &[PathBuf]) -> Result<Vec<RuleSource>, Failure> {
    let mut sources = Vec::new();
    for path in paths {
        let found = RuleSource::from_paths(std::slice::from_ref(path)).or_input()?;
        if found.is_empty() {
            return Err(Failure {
                code: INPUT,
                error: anyhow::anyhow!("{}: the directory holds no *.rules files", path.display()),
                remedy: Some("name a rule file, or the directory that holds them".to_owned()),
            });
        }
        sources.extend(found);
    }
    Ok(sources)
}

/// Loads rule texts. `paths` says where they come from, when they come from files.
pub fn load_sources(
    sources: &[RuleSource],
    from: Option<(&[PathBuf], Option<&dyn Fn(&Pcre) -> Result<(), String>>)>,
    config: &Config,
) -> Result<Ruleset, Failure> {
    let (paths, check_pcre) = from.unwrap_or((&[], None));
    Inputs::gather(sources.to_vec(), paths, config)?.load(check_pcre)
}

/// All that rules are loaded with: the same inputs give the same rules.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Rule texts.
    pub sources: Vec<RuleSource>,
    /// classification.config.
    pub classification: Option<RuleSource>,
    /// reference.config.
    pub reference: Option<RuleSource>,
    /// threshold.config.
    pub threshold: Option<RuleSource>,
    /// Categories of reputation lists.
    pub categories: Option<RuleSource>,
    /// Reputation lists.
    pub reputation: Vec<RuleSource>,
    /// Database of countries.
    pub geography: Option<RuleSource>,
    /// Variables.
    pub vars: BTreeMap<String, String>,
    /// Directory that data sets are loaded from.
    pub data_directory: Option<PathBuf>,
    /// Files of data sets, of rules that come with them; none: the disk's.
    pub files: Option<GivenFiles>,
}

impl Inputs {
    /// Reads what the configuration names, or what lies beside the rules.
    pub fn gather(sources: Vec<RuleSource>, paths: &[PathBuf], config: &Config) -> Result<Inputs, Failure> {
        let read = |path: &Path| -> Result<RuleSource, Failure> {
            let bytes = read_limited(path, CONFIG_MAX).or_input()?;
            Ok(RuleSource { name: path.to_string_lossy().as_ref().into(), bytes, firewall: false })
        };
        let side = |explicit: &Option<PathBuf>, name: &str| -> Result<Option<RuleSource>, Failure> {
            let Some(path) = explicit.clone().or_else(|| beside(paths, name)) else { return Ok(None) };
            tracing::info!("{name}: {}", path.display());
            read(&path).map(Some)
        };
        let directory = paths.first().and_then(|path| if path.is_dir() { Some(path.as_path()) } else { path.parent() });
        let geography = match &config.rules.geoip_database {
            Some(path) => {
                let bytes = read_limited(path, GEOGRAPHY_MAX).or_input()?;
                Some(RuleSource { name: path.to_string_lossy().as_ref().into(), bytes, firewall: false })
            }
            None => None,
        };
        let categories = config.rules.reputation_categories.as_deref().map(read).transpose()?;
        let lists = if categories.is_some() { config.rules.reputation_files.as_slice() } else { &[] };
        Ok(Inputs {
            sources,
            classification: side(&config.rules.classification, "classification.config")?,
            reference: side(&config.rules.reference, "reference.config")?,
            threshold: side(&config.rules.threshold, "threshold.config")?,
            categories,
            reputation: lists.iter().map(|path| read(path)).collect::<Result<_, _>>()?,
            geography,
            vars: config.vars.clone(),
            data_directory: directory.map(Path::to_owned),
            files: None,
        })
    }

    /// Loads the rules.
    pub fn load(&self, check_pcre: Option<&dyn Fn(&Pcre) -> Result<(), String>>) -> Result<Ruleset, Failure> {
        self.load_from(self.files.as_ref().map(|files| files as &dyn DataFiles), check_pcre)
    }

    /// Loads the rules, and gives the files of data sets that were read for them.
    pub fn load_keeping(&self) -> Result<(Ruleset, BTreeMap<PathBuf, Vec<u8>>), Failure> {
        let kept = KeptFiles::default();
        let set = self.load_from(Some(&kept), None)?;
        Ok((set, kept.into_files()))
    }

    fn load_from(
        &self,
        files: Option<&dyn DataFiles>,
        check_pcre: Option<&dyn Fn(&Pcre) -> Result<(), String>>,
    ) -> Result<Ruleset, Failure> {
        let bar = progress::bytes(self.sources.iter().map(|s| s.bytes.len() as u64).sum(), "rules");
        let show = |progress: weir_rules::Progress| {
            bar.set_position(progress.bytes.0);
            bar.set_message(format!("{} rules", progress.rules));
        };
        let reputation = self.lists()?;
        let geography = self.geography.as_ref().map(|source| Geography::read(source.bytes.clone()).map_err(|m| wrong(source, m)));
        let geography = geography.transpose()?;
        let mut variables = VariableTable::default();
        for (name, text) in &self.vars {
            variables.set(name, text);
        }
        let options = LoadOptions {
            classification: self.classification.clone(),
            reference: self.reference.clone(),
            threshold: self.threshold.clone(),
            data_directory: self.data_directory.as_deref(),
            files,
            reputation: reputation.as_ref(),
            geography: geography.as_ref(),
            check_pcre,
            progress: Some(&show),
            ..LoadOptions::default()
        };
        let set = load(&self.sources, &variables, &options);
        bar.finish_and_clear();
        Ok(set)
    }

    /// The reputation lists; none without a list of categories.
    fn lists(&self) -> Result<Option<Reputation>, Failure> {
        let Some(categories) = &self.categories else { return Ok(None) };
        let mut lists = Reputation::default();
        let text = |source: &RuleSource| String::from_utf8_lossy(&source.bytes).into_owned();
        lists.read_categories(&text(categories)).map_err(|message| wrong(categories, message))?;
        for source in &self.reputation {
            lists.read_scores(&text(source)).map_err(|message| wrong(source, message))?;
        }
        Ok(Some(lists))
    }
}

fn wrong(source: &RuleSource, message: String) -> Failure {
    Failure { code: INPUT, error: anyhow::anyhow!("{}: {message}", source.name), remedy: None }
}

fn beside(paths: &[PathBuf], name: &str) -> Option<PathBuf> {
    let directories =
        paths.iter().map(|path| if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(Path::new("")) });
    directories
        .flat_map(|directory| [directory.join(name), directory.join("..").join(name)])
        .find(|candidate| candidate.is_file())
}

/// Rejected rules by cause.
pub fn rejected_by_cause(set: &Ruleset) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for diagnostic in &set.rejected {
        let name = serde_json::to_value(diagnostic.cause).ok().and_then(|v| v.as_str().map(str::to_owned));
        *counts.entry(name.unwrap_or_default()).or_default() += 1;
    }
    counts
}
