//! What the run itself says: to stderr, and to the files that `logging.outputs` names.

use super::tree::Node;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;
use weir_output::json::Object;

/// How grave a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The run cannot go on, or not as it should.
    Error,
    /// It goes on, differently.
    Warning,
    /// Of interest.
    Notice,
    /// Details.
    Info,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Error => "Error",
            Level::Warning => "Warning",
            Level::Notice => "Notice",
            Level::Info => "Info",
        }
    }
}

/// A message.
#[derive(Debug, Clone)]
struct Message {
    level: Level,
    module: &'static str,
    text: String,
}

/// The messages of a run.
#[derive(Debug, Default)]
pub struct EngineLog {
    messages: Vec<Message>,
    /// Details go to stdout as well.
    pub details: bool,
}

impl EngineLog {
    /// One more. Errors go to stderr at once, warnings and notices to stdout.
    pub fn say(&mut self, level: Level, text: impl Into<String>) {
        self.say_of("weir", level, text);
    }

    /// The same, of one of Suricata's modules.
    pub fn say_of(&mut self, module: &'static str, level: Level, text: impl Into<String>) {
        let text = text.into();
        match level {
            Level::Error => eprintln!("E: {text}"),
            Level::Warning => crate::out::outln!("W: {text}"),
            Level::Notice => crate::out::outln!("{text}"),
            Level::Info if self.details => crate::out::outln!("{text}"),
            Level::Info => tracing::info!("{text}"),
        }
        self.messages.push(Message { level, module, text });
    }

    /// Writes the files. A file that cannot be written is told on stderr; the run does not depend on it.
    pub fn write(&self, root: &Node, directory: &Path, configured: bool) {
        // Suricata's packaged configuration has this file.
        if !configured {
            self.append(&directory.join("suricata.log"), Level::Info, false);
        }
        let outputs = root.get("logging.outputs").map_or(&[][..], |node| &node.children);
        for item in outputs {
            let Some(file) = item.get("file").filter(|_| item.value.as_deref() == Some("file")) else { continue };
            if file.flag("enabled") == Some(false) {
                continue;
            }
            let path = directory.join(file.text("filename").unwrap_or("suricata.log"));
            let level = file.text("level").or(root.text("logging.default-log-level")).unwrap_or("info");
            let least = match level {
                "error" => Level::Error,
                "warning" => Level::Warning,
                "notice" => Level::Notice,
                _ => Level::Info,
            };
            let json = file.text("type") == Some("json");
            self.append(&path, least, json);
        }
    }

    fn append(&self, path: &Path, least: Level, json: bool) {
        let mut out = Vec::new();
        for message in self.messages.iter().filter(|m| m.level <= least) {
            line(&mut out, message, json);
        }
        if let Some(directory) = path.parent() {
            let _ = std::fs::create_dir_all(directory);
        }
        let result = OpenOptions::new().create(true).append(true).open(path).and_then(|mut f| f.write_all(&out));
        if let Err(error) = result {
            eprintln!("W: cannot write {}: {error}", path.display());
        }
    }
}

fn line(out: &mut Vec<u8>, message: &Message, json: bool) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    if json {
        let mut root = Object::new(out);
        root.plain("timestamp", |out| weir_output::time::timestamp(out, now));
        root.text("log_level", message.level.name());
        root.text("event_type", "engine");
        let mut engine = root.object("engine");
        engine.text("message", &message.text);
        engine.text("module", message.module);
    } else {
        weir_output::time::timestamp(out, now);
        out.extend_from_slice(format!(" - {} - {}", message.level.name(), message.text).as_bytes());
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let message = Message { level: Level::Error, module: "detect", text: "a \"b\"".to_owned() };
        let mut out = Vec::new();
        line(&mut out, &message, true);
        let value: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!((value["event_type"].as_str(), value["engine"]["message"].as_str()), (Some("engine"), Some("a \"b\"")));
        assert_eq!(value["log_level"], "Error");
    }
}
