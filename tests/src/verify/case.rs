//! A case: one directory with test.yaml.

use super::value;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A case as its directory describes it.
#[derive(Debug, Clone)]
pub struct Case {
    /// Name: the path below the directory of all cases.
    pub name: String,
    /// Its directory.
    pub directory: PathBuf,
    /// test.yaml.
    pub description: Value,
}

impl Case {
    /// Reads a case.
    pub fn load(root: &Path, directory: &Path) -> Result<Case> {
        let description = value::load(&directory.join("test.yaml"))?;
        let name = directory.strip_prefix(root).unwrap_or(directory).display().to_string();
        Ok(Case { name, directory: directory.to_owned(), description })
    }

    /// Directories of cases below `root`, sorted.
    pub fn find(root: &Path) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut open = vec![root.to_owned()];
        while let Some(directory) = open.pop() {
            if directory.join("test.yaml").is_file() {
                found.push(directory.clone());
            }
            for entry in std::fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))? {
                let path = entry?.path();
                if path.is_dir() && !path.is_symlink() {
                    open.push(path);
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Files of the directory with one of these endings, sorted.
    fn files(&self, endings: &[&str]) -> Result<Vec<PathBuf>> {
        let mut found: Vec<PathBuf> = std::fs::read_dir(&self.directory)?
            .filter_map(|entry| entry.ok().map(|e| e.path()))
            .filter(|path| path.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending)))
            .collect();
        found.sort();
        Ok(found)
    }

    /// The arguments of Suricata's command line for this case.
    pub fn arguments(&self, output: &Path, data: &Data) -> Result<Vec<String>> {
        let text = |path: &Path| path.display().to_string();
        let mut arguments = Vec::new();
        for argument in self.description["args"].as_array().map_or(&[][..], Vec::as_slice) {
            let line = argument.as_str().map_or_else(|| argument.to_string(), str::to_owned);
            arguments.extend(line.split_whitespace().map(|word| self.expand(word, output, data)));
        }
        for (key, file) in [("classification-file", &data.classification), ("reference-config-file", &data.reference)] {
            arguments.extend(["--set".to_owned(), format!("{key}={}", text(file))]);
        }
        arguments.extend(["--init-errors-fatal".to_owned(), "-l".to_owned(), text(output)]);
        if !arguments.iter().any(|a| a == "-c") {
            let own = self.directory.join("suricata.yaml");
            if own.is_file() {
                arguments.extend(["-c".to_owned(), text(&own)]);
            } else if let Some(default) = &data.configuration {
                arguments.extend(["-c".to_owned(), text(default)]);
            }
        }
        if !arguments.iter().any(|a| a == "-r") {
            match self.description["pcap"].as_str() {
                Some(name) => {
                    let path = self.directory.join(name);
                    arguments.extend(["-r".to_owned(), text(&path)]);
                }
                None => match self.files(&["pcap", "pcapng"])?.as_slice() {
                    [one] => arguments.extend(["-r".to_owned(), text(one)]),
                    [] => {}
                    _ => bail!("there is more than one capture"),
                },
            }
        }
        // A case about prevention says so by its name.
        let simulates = arguments.iter().any(|a| a == "--simulate-ips");
        if !simulates && self.name.rsplit('/').next().is_some_and(|name| name.split('-').any(|word| word == "ips")) {
            arguments.push("--simulate-ips".to_owned());
        }
        let firewall = self.directory.join("firewall.rules");
        if firewall.is_file() {
            arguments.extend(["--firewall-rules-exclusive".to_owned(), text(&firewall)]);
        }
        let rules: Vec<PathBuf> = self.files(&["rules"])?.into_iter().filter(|path| *path != firewall).collect();
        match rules.as_slice() {
            [one] if !arguments.iter().any(|a| a == "-S" || a == "-s") => {
                arguments.extend(["-S".to_owned(), text(one)]);
            }
            [] if !firewall.is_file() => arguments.push("--disable-detection".to_owned()),
            [_] | [] => {}
            _ if arguments.iter().any(|a| a == "-S" || a == "-s") => {}
            _ => bail!("there is more than one rule file"),
        }
        Ok(arguments)
    }

    /// `${TEST_DIR}` and the like.
    pub fn expand(&self, text: &str, output: &Path, data: &Data) -> String {
        text.replace("${TEST_DIR}", &self.directory.display().to_string())
            .replace("${OUTPUT_DIR}", &output.display().to_string())
            .replace("${SRCDIR}", &data.source.display().to_string())
    }
}

/// What cases expect to lie in Suricata's source directory.
#[derive(Debug, Clone)]
pub struct Data {
    /// Its place; holds `etc/` with the two files below and `src/suricata`.
    pub source: PathBuf,
    /// classification.config
    pub classification: PathBuf,
    /// reference.config
    pub reference: PathBuf,
    /// Configuration of cases without one; none: what `weir suricata` does without.
    pub configuration: Option<PathBuf>,
}
