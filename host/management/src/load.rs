//! From TOML text or `KEY=VALUE` to a [`Config`].

use crate::config::Config;
use crate::error::{ConfigError, Origin, Problem};
use crate::key::keys;
use crate::position::line_column;
use crate::value::Value;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Lists within lists of a value; deeper ones are of no type a key has.
const DEPTH_MAX: usize = 4;
/// Bytes of a configuration file that are read.
const FILE_MAX: u64 = 4 << 20;

impl Config {
    /// The defaults with a file on top. Relative paths of `rules.*` are taken from the file's directory.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let unreadable = |error| ConfigError::unreadable(path.to_owned(), error);
        let length = std::fs::metadata(path).map_err(unreadable)?.len();
        if length > FILE_MAX {
            return Err(unreadable(std::io::Error::other(format!(
                "it has {length} bytes; at most {FILE_MAX} are read"
            ))));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let mut config = Config::default();
        config.merge_text(&path.display().to_string(), &text)?;
        if let Some(directory) = path.parent() {
            config.rules.anchor(directory);
        }
        Ok(config)
    }

    /// Puts the keys of `text` on top. With a problem nothing is changed.
    pub fn merge_text(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        let place = |offset: usize| {
            let (line, column) = line_column(text, offset);
            let text = text.lines().nth(line - 1).unwrap_or_default().to_owned();
            Origin::File { name: name.to_owned(), line, column, text }
        };
        let table = DeTable::parse(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            ConfigError::one(place(offset), format!("this is not TOML: {}", error.message()), None)
        })?;
        let mut found = Vec::new();
        let mut problems = Vec::new();
        flatten(table.get_ref(), String::new(), 0, &mut found);
        let mut changed = self.clone();
        for entry in found {
            if let Err(complaint) = changed.apply(&entry.name, &entry.value) {
                let offset = if complaint.about_key { entry.key_at } else { entry.value_at };
                problems.push(Problem { origin: place(offset), message: complaint.message, remedy: complaint.remedy });
            }
        }
        if !problems.is_empty() {
            return Err(ConfigError { problems, unreadable: None });
        }
        *self = changed;
        Ok(())
    }

    /// `--set KEY=VALUE`
    pub fn set_argument(&mut self, argument: &str) -> Result<(), ConfigError> {
        match argument.split_once('=') {
            Some((key, value)) => self.set(key, value),
            None => Err(ConfigError::one(
                Origin::CommandLine(argument.to_owned()),
                "a value is missing".to_owned(),
                Some("write KEY=VALUE, for example `--set vars.HOME_NET=any`".to_owned()),
            )),
        }
    }

    /// Sets one key from text; its type decides how the text is read.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let key = key.trim();
        self.apply(key, &Value::Raw(value.trim().to_owned())).map_err(|complaint| {
            ConfigError::one(Origin::CommandLine(format!("{key}={value}")), complaint.message, complaint.remedy)
        })
    }

    fn apply(&mut self, name: &str, value: &Value) -> Result<(), Complaint> {
        if let Some(variable) = name.strip_prefix("vars.") {
            return self.apply_variable(variable, value);
        }
        let Some(key) = keys().find(|key| key.name == name) else {
            return Err(unknown(name));
        };
        (key.set)(self, value).map_err(|message| Complaint {
            message: format!("`{name}`: {message}"),
            remedy: Some(format!("{} Default: {}.", key.doc, (key.show)(&Config::default()))),
            about_key: false,
        })
    }

    fn apply_variable(&mut self, name: &str, value: &Value) -> Result<(), Complaint> {
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(valid) {
            return Err(Complaint {
                message: format!("`vars.{name}` is not the name of a variable"),
                remedy: Some("use letters, digits and underscores, for example `vars.HOME_NET`".to_owned()),
                about_key: true,
            });
        }
        let text = variable_text(value).ok_or_else(|| Complaint {
            message: format!(
                "`vars.{name}`: expected addresses or ports as text, a number, or a list of them, found {}",
                value.describe()
            ),
            remedy: Some("for example \"[10.0.0.0/8,!10.1.0.0/16]\", \"any\", 80 or [80, 8080]".to_owned()),
            about_key: false,
        })?;
        self.vars.insert(name.to_owned(), text);
        Ok(())
    }
}

impl crate::config::RulesSection {
    fn anchor(&mut self, directory: &Path) {
        let anchor = |path: &mut PathBuf| *path = directory.join(&*path);
        self.files.iter_mut().for_each(anchor);
        self.reputation_files.iter_mut().for_each(anchor);
        [&mut self.classification, &mut self.reference, &mut self.threshold, &mut self.reputation_categories, &mut self.geoip_database].into_iter().flatten().for_each(anchor);
    }
}

struct Complaint {
    message: String,
    remedy: Option<String>,
    about_key: bool,
}

struct Entry {
    name: String,
    value: Value,
    key_at: usize,
    value_at: usize,
}

fn variable_text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) | Value::Raw(text) => Some(text.clone()),
        Value::Integer(n) => Some(n.to_string()),
        Value::List(items) => {
            let items: Option<Vec<_>> = items.iter().map(variable_text).collect();
            Some(format!("[{}]", items?.join(",")))
        }
        Value::Bool(_) | Value::Other(_) => None,
    }
}

fn unknown(name: &str) -> Complaint {
    // A suggestion is worth making when most of the letters are right.
    let nearest = keys()
        .map(|key| (strsim::damerau_levenshtein(name, key.name), key.name))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min();
    let remedy = match nearest {
        Some((_, candidate)) => format!("did you mean `{candidate}`?"),
        None => {
            // A word that ends or begins a key is likely the same word in the wrong section.
            let last = name.rsplit('.').next().unwrap_or(name);
            match keys().find(|key| key.name.rsplit('.').next() == Some(last)) {
                Some(key) => format!("did you mean `{}`?", key.name),
                None => "`weir config docs` lists all keys".to_owned(),
            }
        }
    };
    Complaint { message: format!("unknown key `{name}`"), remedy: Some(remedy), about_key: true }
}

/// Tables become dotted names, except where a dotted name is a key of its own.
fn flatten(table: &DeTable<'_>, prefix: String, depth: usize, out: &mut Vec<Entry>) {
    for (key, value) in table.iter() {
        let word: &str = key.get_ref();
        let name = if prefix.is_empty() { word.to_owned() } else { format!("{prefix}.{word}") };
        match value.get_ref() {
            DeValue::Table(inner) if depth < DEPTH_MAX && !keys().any(|k| k.name == name) => {
                flatten(inner, name, depth + 1, out);
            }
            _ => {
                out.push(Entry { name, value: read(value, 0), key_at: key.span().start, value_at: value.span().start })
            }
        }
    }
}

fn read(value: &Spanned<DeValue<'_>>, depth: usize) -> Value {
    match value.get_ref() {
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Integer(n) => {
            let digits: String = n.as_str().chars().filter(|c| *c != '_').collect();
            i64::from_str_radix(&digits, n.radix()).map_or(Value::Other("number that is too large"), Value::Integer)
        }
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Array(items) if depth < DEPTH_MAX => Value::List(items.iter().map(|i| read(i, depth + 1)).collect()),
        DeValue::Array(_) => Value::Other("list that is nested too deeply"),
        DeValue::Float(_) => Value::Other("number with a fraction"),
        DeValue::Datetime(_) => Value::Other("date"),
        DeValue::Table(_) => Value::Other("table"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Size;

    fn problems(text: &str) -> Vec<String> {
        let error = Config::default().merge_text("weir.toml", text).unwrap_err();
        error.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_of_all_kinds() {
        let mut config = Config::default();
        let text = "vars.HOME_NET = \"any\"\n[vars]\nHTTP_PORTS = [80, \"8080\"]\nSSH_PORTS = 22\n\
                    [stream]\nmidstream = true\nreassembly.depth = \"2 MiB\"\n[capture]\nvxlan-ports = [1, 2]\n";
        // `vars` twice is an error of TOML itself.
        assert!(config.merge_text("weir.toml", text).is_err());
        config.merge_text("weir.toml", &text.replace("vars.HOME_NET = \"any\"\n", "")).unwrap();
        assert_eq!(config.vars["HTTP_PORTS"], "[80,8080]");
        assert_eq!(config.vars["SSH_PORTS"], "22");
        assert!(config.stream.midstream);
        assert_eq!(config.stream.depth, Size(2 << 20));
        assert_eq!(config.capture.vxlan_ports, [1, 2]);
    }

    #[test]
    fn every_problem_has_its_place() {
        let found =
            problems("[stream]\nmidstraem = true\npolicy = \"best\"\n\n[device]\n  queues = 3\n[flow]\nmax = -1\n");
        assert_eq!(found.len(), 4, "{found:#?}");
        let all = found.join("\n");
        for needle in [
            "weir.toml:2:1: unknown key `stream.midstraem`",
            "did you mean `stream.midstream`?",
            "weir.toml:3:10: `stream.policy`: expected one of \"first\"",
            "weir.toml:6:12: `device.queues`: the integer 3 is not possible: a power of two up to 64",
            "weir.toml:8:7: `flow.max`: expected an integer from 0",
        ] {
            assert!(all.contains(needle), "{needle} is missing in\n{all}");
        }
    }

    #[test]
    fn broken_toml_has_a_place() {
        assert!(
            problems("[stream]\nmidstream = \n")[0].starts_with("weir.toml:2:"),
            "{:?}",
            problems("[stream]\nmidstream = \n")
        );
    }

    #[test]
    fn a_problem_changes_nothing() {
        let mut config = Config::default();
        config.merge_text("a", "[stream]\nmidstream = true\nnonsense = 1").unwrap_err();
        assert_eq!(config, Config::default());
    }

    #[test]
    fn overlays() {
        let mut config = Config::default();
        config.set_argument("vars.HOME_NET=any").unwrap();
        config.set_argument("capture.checksums=ignore").unwrap();
        config.set_argument("stream.midstream=true").unwrap();
        config.set_argument("device.history-size=64KiB").unwrap();
        config.set_argument("vars.X=[10.0.0.0/8,!10.1.0.0/16]").unwrap();
        assert_eq!(config.vars["HOME_NET"], "any");
        assert_eq!(config.vars["X"], "[10.0.0.0/8,!10.1.0.0/16]");
        assert_eq!(config.device.history_size, Size(65536));
        let missing = config.set_argument("vars.HOME_NET").unwrap_err().to_string();
        assert!(missing.contains("KEY=VALUE"), "{missing}");
        let unknown = config.set_argument("history-size=1").unwrap_err().to_string();
        assert!(unknown.contains("did you mean `device.history-size`?"), "{unknown}");
        assert!(config.set_argument("vars.A-B=1").is_err());
        assert!(config.set_argument("device.history-size=65537").is_err());
    }

    #[test]
    fn tables_where_values_belong() {
        assert!(problems("[stream.midstream]\nx = 1")[0].contains("found a table"));
        assert!(problems("vars = 1")[0].contains("unknown key `vars`"));
        assert!(problems(&format!("x{} = 1", ".x".repeat(20)))[0].contains("unknown key"));
        assert!(!problems(&format!("x{} = 1", ".x".repeat(2000))).is_empty());
    }

    #[test]
    fn rule_paths_start_at_the_file() {
        let directory = std::env::temp_dir().join(format!("weir-config-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("weir.toml");
        std::fs::write(&path, "rules.files = [\"local.rules\", \"/abs.rules\"]\n").unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!(config.rules.files, [directory.join("local.rules"), "/abs.rules".into()]);
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(Config::load(&path).unwrap_err().to_string().contains("cannot be read"));
    }
}
