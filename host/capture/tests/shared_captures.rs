//! Every shared capture opens, and its frame count is what the manifest says.

use std::path::PathBuf;

use weir_capture::{CaptureEnd, CaptureReader};

fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("WEIR_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let found = root.join("data/pcaps/MANIFEST.tsv").is_file();
    if !found {
        eprintln!("SKIPPED: no shared captures; set WEIR_SHARED to the folder that holds data/pcaps");
    }
    found.then_some(root)
}

#[test]
fn every_shared_capture_opens() {
    let Some(root) = shared() else { return };
    let pcaps = root.join("data/pcaps");
    let manifest = std::fs::read_to_string(pcaps.join("MANIFEST.tsv")).unwrap();
    let (mut opened, mut different, mut refused) = (0, Vec::new(), Vec::new());
    for line in manifest.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let mut reader = match CaptureReader::open(pcaps.join(columns[0])) {
            Ok(reader) => reader,
            Err(error) => {
                refused.push(error.to_string());
                continue;
            }
        };
        opened += 1;
        while reader.next_frame().expect(columns[0]).is_some() {}
        assert_eq!(reader.end() == Some(&CaptureEnd::Complete), reader.position() == reader.size().unwrap());
        if columns[3].parse() != Ok(reader.frames()) {
            different.push(format!(
                "{}: {} frames, manifest {}; {}",
                columns[0],
                reader.frames(),
                columns[3],
                reader.end().unwrap()
            ));
        }
    }
    eprintln!("{opened} captures opened");
    for line in refused.iter().chain(&different) {
        eprintln!("{line}");
    }
    assert!(refused.is_empty());
    assert!(different.len() <= 10, "{} captures differ from the manifest", different.len());
}
