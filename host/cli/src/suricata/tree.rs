//! Suricata's configuration as a tree of named nodes: what dotted names and `--set` address.
//!
//! Items of a list are nodes named `0`, `1`, …; an item `- fast: {…}` has the value `fast` and a child of that name, as in
//! Suricata's documentation of `--set outputs.0.fast.enabled=no`. Underscores of keys count as dashes.

use super::yaml::{Yaml, YamlError};
use std::path::{Path, PathBuf};

/// Files that include each other.
const INCLUDE_MAX: usize = 16;
/// Bytes of a configuration file.
const FILE_MAX: u64 = 4 << 20;

/// A node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Name within its parent.
    pub name: String,
    /// Value, of a scalar, or of a list item that is a mapping of one key.
    pub value: Option<String>,
    /// Children, in order.
    pub children: Vec<Node>,
    /// The children are the items of a list.
    pub list: bool,
}

/// Why a configuration cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The file cannot be opened.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// File.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// It is no YAML.
    #[error("{}: {source}", path.display())]
    Yaml {
        /// File.
        path: PathBuf,
        /// Cause.
        source: YamlError,
    },
    /// Files include each other.
    #[error("{}: files include each other more than {INCLUDE_MAX} deep", .0.display())]
    Includes(PathBuf),
    /// `--set` without a value.
    #[error("`--set {0}`: a value is missing; write NAME=VALUE")]
    Argument(String),
}

impl Node {
    /// The tree of a file, with what it includes.
    pub fn load(path: &Path) -> Result<Node, TreeError> {
        let mut root = Node::default();
        root.include(path, 0)?;
        Ok(root)
    }

    /// Puts the content of another file on top.
    pub fn merge_file(&mut self, path: &Path) -> Result<(), TreeError> {
        self.include(path, 0)
    }

    fn include(&mut self, path: &Path, depth: usize) -> Result<(), TreeError> {
        if depth > INCLUDE_MAX {
            return Err(TreeError::Includes(path.to_owned()));
        }
        let read = |source| TreeError::Read { path: path.to_owned(), source };
        let length = std::fs::metadata(path).map_err(read)?.len();
        if length > FILE_MAX {
            return Err(read(std::io::Error::other(format!("it has {length} bytes; at most {FILE_MAX} are read"))));
        }
        let bytes = std::fs::read(path).map_err(read)?;
        let text = String::from_utf8_lossy(&bytes);
        let yaml = Yaml::parse(&text).map_err(|source| TreeError::Yaml { path: path.to_owned(), source })?;
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        self.put_members(&yaml, &directory, depth, true)
    }

    fn put_members(&mut self, yaml: &Yaml, directory: &Path, depth: usize, mangle: bool) -> Result<(), TreeError> {
        for (key, value) in yaml.members() {
            if key == "include" {
                let one = std::slice::from_ref(value);
                let files = if let Yaml::Sequence(items) = value { items.as_slice() } else { one };
                for file in files.iter().filter_map(Yaml::text) {
                    self.include(&directory.join(file), depth + 1)?;
                }
                continue;
            }
            // Names of variables keep their underscores.
            let variables = self.name == "vars" || matches!(self.name.as_str(), "address-groups" | "port-groups");
            let name = if mangle && !variables { key.replace('_', "-") } else { key.clone() };
            let child = self.child_mut(&name);
            child.children.clear();
            child.value = None;
            child.put(value, directory, depth)?;
        }
        Ok(())
    }

    fn put(&mut self, yaml: &Yaml, directory: &Path, depth: usize) -> Result<(), TreeError> {
        match yaml {
            Yaml::Scalar { text, plain } => {
                self.value = (!(*plain && (text.is_empty() || text == "~" || text == "null"))).then(|| text.clone());
            }
            Yaml::Mapping(_) => self.put_members(yaml, directory, depth, true)?,
            Yaml::Sequence(items) => {
                self.list = true;
                for (n, item) in items.iter().enumerate() {
                    let mut child = Node { name: n.to_string(), ..Node::default() };
                    child.put(item, directory, depth)?;
                    if let (None, Some(first)) = (&child.value, child.children.first()) {
                        child.value = Some(first.name.clone());
                    }
                    self.children.push(child);
                }
            }
        }
        Ok(())
    }

    fn child_mut(&mut self, name: &str) -> &mut Node {
        let at = match self.children.iter().position(|c| c.name == name) {
            Some(at) => at,
            None => {
                self.children.push(Node { name: name.to_owned(), ..Node::default() });
                self.children.len() - 1
            }
        };
        &mut self.children[at]
    }

    /// `--set NAME=VALUE`
    pub fn set_argument(&mut self, argument: &str) -> Result<(), TreeError> {
        let (name, value) = argument.split_once('=').ok_or_else(|| TreeError::Argument(argument.to_owned()))?;
        self.set(name.trim(), value.trim());
        Ok(())
    }

    /// Gives the node of a dotted name a value.
    pub fn set(&mut self, path: &str, value: &str) {
        let mut node = self;
        for word in path.split('.') {
            if node.children.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) && !word.is_empty() {
                node.list = true;
            }
            // `outputs.0.fast`: what the item is called, even if `--set` made it.
            if node.value.is_none() && node.name.bytes().all(|b| b.is_ascii_digit()) && !node.name.is_empty() {
                node.value = Some(word.to_owned());
            }
            node = node.child_mut(word);
        }
        node.value = Some(value.to_owned());
    }

    /// The node of a dotted name.
    pub fn get(&self, path: &str) -> Option<&Node> {
        path.split('.').try_fold(self, |node, word| node.children.iter().find(|c| c.name == word))
    }

    /// Value of a dotted name.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.get(path)?.value.as_deref()
    }

    /// Truth of a dotted name, as Suricata reads it; none when it is not there or says neither.
    pub fn flag(&self, path: &str) -> Option<bool> {
        truth(self.text(path)?)
    }

    /// A number of a dotted name.
    pub fn number(&self, path: &str) -> Option<u64> {
        let text = self.text(path)?;
        match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        }
    }

    /// Bytes of a dotted name: `32kb`, `1 MiB`, `100`.
    pub fn size(&self, path: &str) -> Option<u64> {
        size(self.text(path)?)
    }

    /// Texts of a list, or of a list written into a scalar with commas.
    pub fn texts(&self, path: &str) -> Vec<String> {
        let Some(node) = self.get(path) else { return Vec::new() };
        if node.children.is_empty() {
            return node
                .value
                .iter()
                .flat_map(|v| v.trim_matches(['[', ']']).split(','))
                .map(|t| t.trim().to_owned())
                .filter(|t| !t.is_empty())
                .collect();
        }
        node.children.iter().filter_map(|c| c.value.clone()).collect()
    }

    /// Every scalar with its dotted name.
    pub fn walk(&self, prefix: &str, see: &mut dyn FnMut(&str, &str)) {
        for child in &self.children {
            let name = if prefix.is_empty() { child.name.clone() } else { format!("{prefix}.{}", child.name) };
            if let Some(value) = &child.value {
                see(&name, value);
            }
            child.walk(&name, see);
        }
    }
}

/// Suricata's words for true and false.
pub fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" | "enabled" => Some(true),
        "0" | "no" | "false" | "off" | "disabled" => Some(false),
        _ => None,
    }
}

/// A number of bytes with Suricata's units, which are powers of 1024.
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..at].parse().ok()?;
    let factor: u64 = match text[at..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    Some((number * factor as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Node {
        let mut root = Node::default();
        root.put_members(&Yaml::parse(text).expect("YAML"), Path::new(""), 0, true).expect("a tree");
        root
    }

    #[test]
    fn names_and_overrides() {
        let mut root = tree(
            "vars:\n  address-groups:\n    HOME_NET: any\noutputs:\n  - fast:\n      enabled: yes\n  - eve-log:\n      types: [alert, {http: {extended: yes}}]\nflow_timeouts:\n  tcp: {new: 5}\nempty:\n",
        );
        assert_eq!(root.text("vars.address-groups.HOME_NET"), Some("any"));
        assert_eq!(root.text("outputs.0"), Some("fast"));
        assert_eq!(root.flag("outputs.0.fast.enabled"), Some(true));
        assert_eq!(root.texts("outputs.1.eve-log.types"), ["alert", "http"]);
        assert_eq!(root.flag("outputs.1.eve-log.types.1.http.extended"), Some(true));
        assert_eq!(root.number("flow-timeouts.tcp.new"), Some(5));
        assert!(root.get("empty").is_some() && root.text("empty").is_none());
        root.set_argument("outputs.0.fast.enabled=no").expect("set");
        root.set_argument("outputs.2.stats.enabled = yes").expect("set");
        assert_eq!(root.flag("outputs.0.fast.enabled"), Some(false));
        assert_eq!(root.text("outputs.2"), Some("stats"));
        assert!(root.set_argument("nothing").is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(size("32kb"), Some(32 << 10));
        assert_eq!(size("1 MiB"), Some(1 << 20));
        assert_eq!(size("1.5k"), Some(1536));
        assert_eq!(size("7"), Some(7));
        assert_eq!(size("many"), None);
    }
}
