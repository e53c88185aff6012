//! Running cases.

use super::case::{Case, Data};
use super::check::{self, Failed};
use super::requires;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What became of a case.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Everything holds.
    Passed,
    /// The case cannot be run, and why.
    Skipped(String),
    /// Something does not hold.
    Failed {
        /// What kind of thing.
        cause: String,
        /// What.
        details: Vec<String>,
    },
}

/// How cases are run.
#[derive(Debug, Clone)]
pub struct Runner {
    /// The `weir` command.
    pub weir: PathBuf,
    /// `none` or `sim`.
    pub device: String,
    /// Where logs go.
    pub work: PathBuf,
    /// Data that cases name.
    pub data: Data,
    /// Longest run.
    pub limit: Duration,
}

impl Runner {
    /// Runs one case. The log directory stays.
    pub fn run(&self, case: &Case) -> Result<Outcome> {
        if let Some(reason) = requires::unmet(&case.description["requires"]) {
            return Ok(Outcome::Skipped(reason));
        }
        if let Some(skip) = case.description.get("skip") {
            if !skip.is_array() {
                return Ok(Outcome::Skipped("the case says so".to_owned()));
            }
        }
        let output = self.output(case);
        let _ = std::fs::remove_dir_all(&output);
        std::fs::create_dir_all(&output).with_context(|| format!("making {}", output.display()))?;
        if let Some(failure) = self.prepare(case, &output)? {
            return Ok(failure);
        }
        let times = case.description["count"].as_u64().unwrap_or(1);
        let expected = case.description["exit-code"].as_i64().unwrap_or(0);
        for _ in 0..times {
            let result = self.command(case, &output)?;
            if result != Some(expected) {
                return Ok(stopped(&output, result, expected));
            }
        }
        let failed = check::run(case, &output, &self.data)?;
        Ok(if failed.is_empty() { Outcome::Passed } else { unlike(&failed, &output) })
    }

    /// The log directory of a case.
    pub fn output(&self, case: &Case) -> PathBuf {
        self.work.join(&self.device).join(&case.name)
    }

    fn prepare(&self, case: &Case, output: &Path) -> Result<Option<Outcome>> {
        for step in case.description["setup"].as_array().map_or(&[][..], Vec::as_slice) {
            let Some(script) = step["script"].as_str() else { continue };
            let status = Command::new("/bin/bash")
                .arg("-c")
                .arg(case.expand(script, output, &self.data))
                .current_dir(output)
                .envs(self.environment(case, output))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .context("running bash")?;
            if !status.success() {
                return Ok(Some(Outcome::Failed { cause: "set-up".to_owned(), details: vec![script.to_owned()] }));
            }
        }
        Ok(None)
    }

    fn environment(&self, case: &Case, output: &Path) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        let mut all = vec![
            ("TEST_DIR".to_owned(), text(&case.directory)),
            ("OUTPUT_DIR".to_owned(), text(output)),
            ("SRCDIR".to_owned(), text(&self.data.source)),
            ("TZ".to_owned(), "UTC".to_owned()),
            ("WEIR_DEVICE".to_owned(), self.device.clone()),
        ];
        for (key, value) in case.description["env"].as_object().into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            all.push((key.clone(), case.expand(&value, output, &self.data)));
        }
        all
    }

    /// Runs the case's command; its exit status, none when it took too long or was killed.
    fn command(&self, case: &Case, output: &Path) -> Result<Option<i64>> {
        let mut command = match case.description["command"].as_str() {
            // The directory that stands for Suricata's source has a `src/suricata` that is `weir suricata`.
            Some(script) => {
                let mut command = Command::new("/bin/bash");
                command.arg("-c").arg(case.expand(script, output, &self.data));
                command
            }
            None => {
                let mut command = Command::new(&self.weir);
                command.arg("suricata").args(case.arguments(output, &self.data)?);
                command
            }
        };
        let file = |name: &str| std::fs::File::create(output.join(name)).context("making a log");
        let mut child = command
            .current_dir(&case.directory)
            .envs(self.environment(case, output))
            .stdin(Stdio::null())
            .stdout(file("stdout")?)
            .stderr(file("stderr")?)
            .spawn()
            .context("starting the command")?;
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status.code().map(i64::from));
            }
            if start.elapsed() > self.limit {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The command did not end as it should.
fn stopped(output: &Path, result: Option<i64>, expected: i64) -> Outcome {
    let said = std::fs::read_to_string(output.join("stderr")).unwrap_or_default();
    let mut details: Vec<String> = said.lines().take(6).map(str::to_owned).collect();
    details.insert(0, format!("exit status {}, expected {expected}", result.map_or("none".to_owned(), |c| c.to_string())));
    let cause = if result.is_none() {
        "crash or time limit"
    } else if said.contains("panicked") {
        "crash"
    } else if expected != 0 {
        "an error that is expected does not come"
    } else if said.contains("error parsing signature") {
        "rule rejected"
    } else if said.contains("not supported") {
        "option not supported"
    } else {
        "error"
    };
    Outcome::Failed { cause: cause.to_owned(), details }
}

/// The logs are not what they should be.
fn unlike(failed: &[Failed], output: &Path) -> Outcome {
    let mut abouts: Vec<&str> = failed.iter().map(|f| f.about.as_str()).collect();
    abouts.sort_unstable();
    abouts.dedup();
    let rejected = std::fs::read_to_string(output.join("stderr")).unwrap_or_default();
    let cause = if rejected.contains("error parsing signature") {
        "rule rejected".to_owned()
    } else if abouts == ["alert"] {
        "alerts differ".to_owned()
    } else {
        format!("records: {}", abouts.join(", "))
    };
    let details = failed.iter().map(|f| format!("check {}: {}", f.number, f.message)).collect();
    Outcome::Failed { cause, details }
}
