//! Messages of the control socket: one line of JSON each way.
//!
//! Place: between `weir tables deploy|status|rollback|history`, `weir device flows` and a running Weir. Pure: bytes in, messages out. Invariants:
//! every message is bounded and says its version; what is not understood is refused, never guessed. The reference is
//! docs/reference/control.md.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// Most bytes of a table image that comes with a request.
pub const IMAGE_MAX: u64 = 1 << 30;
/// Version of the messages.
pub const VERSION: u32 = 1;
/// Most bytes of a request, its line end included.
pub const REQUEST_MAX: usize = 16 << 10;
/// Most bytes of an answer, its line end included.
pub const ANSWER_MAX: usize = 1 << 20;

/// What a running Weir is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Take over the rules and tables of a bundle.
    Deploy {
        /// The file, by its absolute path.
        bundle: PathBuf,
    },
    /// Go back to the bundle before.
    Rollback {},
    /// What is active, and how it goes.
    Status {},
    /// What was tried.
    History {},
    /// Flows that the device drops.
    Flows {},
    /// Give the device to the process that asks, which has rules and tables ready: so many bytes of a table image follow the line. The
    /// answer brings what the device is reached by.
    HandOver {
        /// Bytes of the image.
        image: u64,
    },
    /// Let such a flow go.
    UndoDrop {
        /// Its entry in the device's flow table, and which of those that had it before and after.
        flow: (u32, u32),
    },
}

/// Why something was refused: place, cause, remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Exit code of the command line.
    pub code: u8,
    /// What is wrong, and where.
    pub error: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// A message that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Longer than allowed.
    #[error("the message is longer than {0} bytes")]
    Long(usize),
    /// Ended before its line did.
    #[error("the message ends without a line end")]
    Cut,
    /// No JSON object of the form.
    #[error("the message is not understood: {0}")]
    Form(String),
    /// Another version.
    #[error("the message is of version {0}, understood is version {VERSION}")]
    Version(u64),
}

fn line(mut text: Vec<u8>, most: usize) -> Result<Vec<u8>, ControlError> {
    text.push(b'\n');
    if text.len() > most { Err(ControlError::Long(most)) } else { Ok(text) }
}

/// The JSON of a line, once its version is the one understood.
fn open(bytes: &[u8], most: usize) -> Result<serde_json::Map<String, Value>, ControlError> {
    if bytes.len() > most {
        return Err(ControlError::Long(most));
    }
    let Some((b'\n', text)) = bytes.split_last() else { return Err(ControlError::Cut) };
    if text.contains(&b'\n') {
        return Err(ControlError::Form("there are bytes behind the line end".to_owned()));
    }
    let mut map: serde_json::Map<String, Value> =
        serde_json::from_slice(text).map_err(|error| ControlError::Form(error.to_string()))?;
    match map.remove("weir").as_ref().and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => Ok(map),
        Some(version) => Err(ControlError::Version(version)),
        None => Err(ControlError::Form("`weir`, the version, is missing".to_owned())),
    }
}

fn close(message: &impl Serialize, most: usize) -> Result<Vec<u8>, ControlError> {
    let form = |error: serde_json::Error| ControlError::Form(error.to_string());
    let mut value = serde_json::to_value(message).map_err(form)?;
    if let Value::Object(map) = &mut value {
        map.insert("weir".to_owned(), VERSION.into());
    }
    line(serde_json::to_vec(&value).map_err(form)?, most)
}

impl Command {
    /// As a line.
    pub fn encode(&self) -> Result<Vec<u8>, ControlError> {
        close(self, REQUEST_MAX)
    }

    /// Of a line, its end included.
    pub fn decode(bytes: &[u8]) -> Result<Self, ControlError> {
        let map = open(bytes, REQUEST_MAX)?;
        let command: Command =
            serde_json::from_value(Value::Object(map)).map_err(|error| ControlError::Form(error.to_string()))?;
        match &command {
            Command::Deploy { bundle } if !bundle.is_absolute() => {
                Err(ControlError::Form(format!("`bundle` is no absolute path: {}", bundle.display())))
            }
            Command::HandOver { image } if *image > IMAGE_MAX => {
                Err(ControlError::Form(format!("`image` is more than {IMAGE_MAX} bytes")))
            }
            _ => Ok(command),
        }
    }
}

/// What a running Weir says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// It is done, or this is what was asked for.
    Done(Value),
    /// It is not.
    Refused(Refusal),
}

impl Answer {
    /// As a line.
    pub fn encode(&self) -> Result<Vec<u8>, ControlError> {
        close(self, ANSWER_MAX)
    }

    /// Of a line, its end included.
    pub fn decode(bytes: &[u8]) -> Result<Self, ControlError> {
        let map = open(bytes, ANSWER_MAX)?;
        serde_json::from_value(Value::Object(map)).map_err(|error| ControlError::Form(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were() {
        for command in [
            Command::Deploy { bundle: "/a b/ü.bundle".into() },
            Command::Rollback {},
            Command::Status {},
            Command::History {},
            Command::HandOver { image: 4096 },
        ] {
            assert_eq!(Command::decode(&command.encode().unwrap()), Ok(command));
        }
        let refusal = Refusal { code: 3, error: "a: b".to_owned(), remedy: Some("c".to_owned()) };
        for answer in [Answer::Done(serde_json::json!({ "epoch": 2 })), Answer::Refused(refusal)] {
            assert_eq!(Answer::decode(&answer.encode().unwrap()), Ok(answer));
        }
        assert_eq!(
            String::from_utf8(Command::Status {}.encode().unwrap()).unwrap(),
            "{\"command\":\"status\",\"weir\":1}\n"
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let decode = |text: &str| Command::decode(text.as_bytes()).unwrap_err();
        assert_eq!(decode("{\"weir\":1,\"command\":\"status\"}"), ControlError::Cut);
        assert_eq!(decode("{\"weir\":2,\"command\":\"status\"}\n"), ControlError::Version(2));
        for text in [
            "\n",
            "[]\n",
            "{\"command\":\"status\"}\n",
            "{\"weir\":1,\"command\":\"reboot\"}\n",
            "{\"weir\":1,\"command\":\"status\",\"more\":1}\n",
            "{\"weir\":1,\"command\":\"deploy\"}\n",
            "{\"weir\":1,\"command\":\"hand-over\",\"image\":9999999999}\n",
            "{\"weir\":1,\"command\":\"deploy\",\"bundle\":\"x\"}\n",
            "{\"weir\":1,\"command\":\"status\"}\n\n",
        ] {
            assert!(matches!(decode(text), ControlError::Form(_)), "{text}");
        }
        let long = format!("{{\"weir\":1,\"command\":\"deploy\",\"bundle\":\"/{}\"}}\n", "x".repeat(REQUEST_MAX));
        assert_eq!(decode(&long), ControlError::Long(REQUEST_MAX));
        let deep = format!("{{\"weir\":1,\"command\":{}\n", "[".repeat(10_000));
        assert!(matches!(decode(&deep), ControlError::Form(_)));
    }
}
