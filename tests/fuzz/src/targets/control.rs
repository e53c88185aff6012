//! Messages of the control socket.

use crate::Target;
use weir_management::control::{Answer, Command, Refusal};

/// The targets of this room.
pub fn targets() -> [Target; 2] {
    let dictionary: &[&[u8]] =
        &[b"\"weir\":1", b"\"command\":", b"\"deploy\"", b"\"bundle\":\"/", b"\"refused\":{", b"\"done\":", b"\n"];
    [
        Target {
            dictionary,
            ..Target::new(
                "control-command",
                "any bytes as a request: refused, or what is understood comes back as it was",
                |bytes| {
                    if let Ok(command) = Command::decode(bytes) {
                        assert_eq!(command.encode().and_then(|line| Command::decode(&line)), Ok(command));
                    }
                },
                || {
                    let all = [
                        Command::Deploy { bundle: "/a.bundle".into() },
                        Command::Rollback {},
                        Command::Status {},
                        Command::History {},
                        Command::Flows {},
                        Command::HandOver { image: 4096 },
                        Command::UndoDrop { flow: (7, 9) },
                    ];
                    all.iter().filter_map(|command| command.encode().ok()).collect()
                },
            )
        },
        Target {
            dictionary,
            ..Target::new(
                "control-answer",
                "any bytes as an answer: refused, or what is understood comes back as it was",
                |bytes| {
                    if let Ok(answer) = Answer::decode(bytes) {
                        // (Escapes may need more room than what they stand for had.)
                        if let Ok(line) = answer.encode() {
                            assert_eq!(Answer::decode(&line), Ok(answer));
                        }
                    }
                },
                || {
                    let refusal =
                        Refusal { code: 3, error: "place: cause".to_owned(), remedy: Some("remedy".to_owned()) };
                    let done = Answer::Done(serde_json::json!({ "epoch": 2, "flows": [1, 2.5, null] }));
                    [Answer::Refused(refusal), done].iter().filter_map(|answer| answer.encode().ok()).collect()
                },
            )
        },
    ]
}
