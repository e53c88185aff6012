//! The machine and the commit that figures belong to.

use serde::Serialize;
use std::path::Path;
use std::process::Command;

/// What is measured, on what.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub kernel: String,
    pub compiler: String,
    pub commit: String,
    /// The working tree differs from the commit.
    pub changed: bool,
    pub date: String,
}

impl Machine {
    /// This one.
    pub fn here(root: &Path) -> Machine {
        let field = |path: &str, name: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
            line.trim_start_matches([' ', '\t', ':']).trim().to_owned()
        };
        let say = |program: &str, arguments: &[&str]| say(root, program, arguments);
        let memory: u64 =
            field("/proc/meminfo", "MemTotal").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        Machine {
            processor: format!(
                "{} (family {})",
                field("/proc/cpuinfo", "model name"),
                field("/proc/cpuinfo", "cpu family")
            ),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (memory + (1 << 19)) >> 20,
            kernel: say("uname", &["-sr"]),
            compiler: say("rustc", &["--version"]),
            commit: head(root),
            changed: !say("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty(),
            date: say("date", &["-u", "+%Y-%m-%d"]),
        }
    }

    /// The commit that a folder's files stand at; `+` behind it where they differ from it.
    pub fn commit_of(root: &Path, folder: &str) -> String {
        let changed = !say(root, "git", &["status", "--porcelain", "--", folder]).is_empty();
        head(root) + if changed { "+" } else { "" }
    }

    /// In one line.
    pub fn line(&self) -> String {
        format!(
            "{}, {} cores, {} GiB, {}, {}; commit {}{}, {}",
            self.processor,
            self.cores,
            self.memory_gib,
            self.kernel,
            self.compiler,
            self.commit,
            if self.changed { " with local changes" } else { "" },
            self.date
        )
    }
}

/// What a program prints; nothing where it cannot be run.
fn say(root: &Path, program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).current_dir(root).output();
    out.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default()
}

/// The commit that is checked out.
fn head(root: &Path) -> String {
    say(root, "git", &["rev-parse", "--short=12", "HEAD"])
}
