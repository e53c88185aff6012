//! Text that Weir writes and reads besides rules: scenarios, JSON.

use crate::{Target, seeds};
use std::path::PathBuf;
use weir_output::json;

/// The targets of this room.
pub fn targets() -> [Target; 2] {
    [
        Target {
            dictionary: &[
                b"tcp ", b"udp ", b"icmp ", b" > ", b" < ", b"handshake", b"close", b"http-request ", b"dns-query ", b"segment=",
                b"order=", b"repeat=", b"lose=", b"offset=", b"fragment=", b"wrap=gre:1.1.1.1:2.2.2.2", b"vlan=", b"seq=+", b"|00|",
                b"\"", b"\n", b"wait ", b"time ", b"step ", b"4294967295", b"18446744073709551615", b"-1", b"truncate=", b"packet",
                b"flags=", b"tls-client-hello", b"isn=4294967290,4294967295",
            ],
            slow: std::time::Duration::from_secs(2),
            memory: 256 << 20,
            ..Target::new("synth", "the text of a scenario: a capture that can be read back, or an error with its line", synth, || {
                let scenarios = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
                let texts: Vec<PathBuf> =
                    seeds::files(&scenarios).into_iter().filter(|p| p.extension().is_some_and(|e| e == "txt")).collect();
                let mut found = seeds::contents(&texts);
                found.extend(crate::frames::TEXTS.iter().map(|text| text.as_bytes().to_vec()));
                found
            })
        },
        Target::new("json", "any bytes written as JSON are JSON, and text comes back as it was", json_text, || {
            vec![b"plain".to_vec(), b"\"\\\n\t\x00\x1f\x7f".to_vec(), "ä€😀\u{2028}".as_bytes().to_vec(), b"\xff\xc3(\xed\xa0\x80".to_vec()]
        }),
    ]
}

fn synth(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match weir_synth::compile(&text) {
        Ok(capture) => {
            let file = capture.to_pcap();
            if capture.frames.is_empty() {
                return;
            }
            let mut reader = match weir_capture::CaptureReader::from_reader(std::io::Cursor::new(file), None, "synth") {
                Ok(reader) => reader,
                Err(error) => panic!("{error}"),
            };
            let mut read = 0;
            while let Ok(Some(frame)) = reader.next_frame() {
                assert_eq!(capture.frames.get(read).map(|f| f.bytes.as_slice()), Some(frame.data));
                read += 1;
            }
            assert_eq!(read, capture.frames.len());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn json_text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let number = bytes.iter().fold(0u64, |n, byte| n.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    let mut out = Vec::new();
    let mut object = json::Object::new(&mut out);
    object.text("text", &text);
    object.bytes("bytes", bytes);
    object.number("number", number);
    object.plain("base64", |out| json::base64(out, bytes));
    let mut inner = object.object("inner");
    inner.flag("flag", bytes.len() % 2 == 0);
    inner.text(&text, &text);
    drop(inner);
    let mut list = object.array("list");
    list.item_text(&text);
    list.item_number(number);
    drop(list);
    drop(object);
    let value: serde_json::Value = match serde_json::from_slice(&out) {
        Ok(value) => value,
        Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&out)),
    };
    assert_eq!(value["text"].as_str(), Some(&*text));
    assert_eq!(value["number"].as_u64(), Some(number));
    assert_eq!(value["inner"][&*text].as_str(), Some(&*text));
    assert_eq!(value["list"][0].as_str(), Some(&*text));
    assert!(value["bytes"].is_string() && value["base64"].is_string());
    let mut printable = Vec::new();
    json::printable(&mut printable, bytes);
    match serde_json::from_slice::<String>(&printable) {
        Ok(text) => assert_eq!(text.chars().count(), bytes.len(), "a character for each byte"),
        Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&printable)),
    }
}
