//! What tests of the command line share: a directory of their own, and `weir` run in it.
// Each test takes a part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory of one test.
pub struct Place(pub PathBuf);

impl Place {
    /// An empty one.
    pub fn empty(name: &str) -> Place {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), bytes).unwrap();
    }

    /// The capture of the bundled example.
    pub fn traffic(&self) {
        self.write("office.pcap", weir_synth::example::example(7, 300).to_pcap());
    }

    /// Exit code, standard output, standard error.
    pub fn weir(&self, arguments: &[&str]) -> (i32, String, String) {
        let done = Command::new(env!("CARGO_BIN_EXE_weir")).args(arguments).current_dir(&self.0).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
    }

    /// Standard output of what succeeds.
    pub fn good(&self, arguments: &[&str]) -> String {
        let (code, out, error) = self.weir(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{error}");
        out
    }

    /// A bundle, signed with the key `k`.
    pub fn bundle_of(&self, rules: &str, name: &str, version: &str, more: &[&str]) {
        let common = ["tables", "build", "--rules", rules, "--key", "k", "--bundle-version", version, "-o", name];
        self.good(&[&common[..], more].concat());
    }
}
