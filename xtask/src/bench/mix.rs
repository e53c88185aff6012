//! Workloads: mixes made from many small captures, kept in target/bench, or captures of the user's own.

use super::Place;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A capture to measure on.
#[derive(Debug, Clone, Serialize)]
pub struct Workload {
    pub name: String,
    pub about: String,
    #[serde(skip)]
    pub path: PathBuf,
    /// Where it comes from: `captures`, `made up`, `file`.
    pub origin: &'static str,
    pub frames: u64,
    /// Captured bytes of frames.
    pub bytes: u64,
}

impl Workload {
    fn new(place: &Place, name: &str, about: &str, path: PathBuf, origin: &'static str) -> Result<Workload> {
        let out = Command::new(place.binaries.join("weir-bench")).arg("size").arg(&path).output()?;
        if !out.status.success() {
            bail!("{}: {}", path.display(), String::from_utf8_lossy(&out.stderr).trim());
        }
        #[derive(Deserialize)]
        struct Size {
            frames: u64,
            bytes: u64,
        }
        let Size { frames, bytes } = serde_json::from_slice(&out.stdout).context("weir-bench size")?;
        Ok(Workload { name: name.to_owned(), about: about.to_owned(), path, origin, frames, bytes })
    }

    /// A capture of the user's own.
    pub fn capture(place: &Place, path: &Path) -> Result<Workload> {
        if !path.is_file() {
            bail!("{} is not a file", path.display());
        }
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Workload::new(place, &name, "a capture", path.to_owned(), "file")
    }
}

/// A file of benches/mixes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Mix {
    about: String,
    /// Folders of data/pcaps.
    folders: Vec<String>,
    /// Bounds of the mean frame length of a source, in bytes.
    mean_frame_min: Option<f64>,
    mean_frame_max: Option<f64>,
    /// Start times of the replayed captures are spread over this time.
    window_seconds: u32,
    /// Longer pauses within a source are shortened to this.
    max_gap_seconds: u32,
    seed: u64,
    /// Kind of made-up traffic that takes its place.
    synthetic: Option<String>,
}

/// Makes the named mixes (all, if none is named) of about `bytes` bytes, or finds them in the cache.
pub fn make(place: &Place, names: &[String], bytes: u64) -> Result<Vec<Workload>> {
    let folder = place.root.join("benches/mixes");
    let mut all: Vec<String> = std::fs::read_dir(&folder)
        .with_context(|| folder.display().to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    all.sort();
    for name in names {
        if !all.contains(name) {
            bail!("there is no mix `{name}`; there are: {}", all.join(", "));
        }
    }
    let names = if names.is_empty() { &all } else { names };
    let mut workloads = Vec::new();
    for name in names {
        let path = folder.join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mix: Mix = toml::from_str(&text).with_context(|| path.display().to_string())?;
        workloads.extend(make_one(place, name, &mix, bytes)?);
    }
    if workloads.is_empty() {
        bail!("there is nothing to measure on");
    }
    Ok(workloads)
}

fn make_one(place: &Place, name: &str, mix: &Mix, bytes: u64) -> Result<Option<Workload>> {
    let folder = place.cache.join("mixes");
    std::fs::create_dir_all(&folder)?;
    let workload = |path, origin| Workload::new(place, name, &mix.about, path, origin).map(Some);
    let tool = place.shared.as_ref().map(|shared| shared.join("tools/pcapmix.c")).filter(|tool| tool.is_file());
    let Some((shared, tool)) = place.shared.as_ref().zip(tool) else {
        let Some(kind) = &mix.synthetic else {
            eprintln!("SKIPPED: mix {name}: its captures are not there, and nothing made up stands for them");
            return Ok(None);
        };
        let path = folder.join(format!("{name}-synthetic-{}.pcap", bytes / 1_000_000));
        finish(&path, |part| {
            let mut command = Command::new(place.binaries.join("weir-bench"));
            command.args(["synthetic", "--kind", kind, "--bytes", &bytes.to_string(), "--out"]).arg(part);
            run(&mut command)
        })?;
        return workload(path, "made up");
    };
    let list = sources(&shared.join("data/pcaps"), mix)?;
    if list.is_empty() {
        eprintln!("SKIPPED: mix {name}: no capture is of its kind");
        return Ok(None);
    }
    // The name carries what the mix is made from, so that a changed list is a new file.
    let text: String = list.iter().map(|path| format!("1 {}\n", path.display())).collect();
    let recipe = format!("{text}{} {} {}", mix.window_seconds, mix.max_gap_seconds, mix.seed);
    let path = folder.join(format!("{name}-{}-{:08x}.pcap", bytes / 1_000_000, fingerprint(recipe.as_bytes())));
    finish(&path, |part| {
        let program = place.cache.join("pcapmix");
        if !program.is_file() {
            let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
            run(Command::new(compiler).args(["-O2", "-w", "-o"]).arg(&program).arg(&tool))?;
        }
        let sources = folder.join(format!("{name}.list"));
        std::fs::write(&sources, &text)?;
        eprintln!("making mix {name}: {} captures, {} MB", list.len(), bytes / 1_000_000);
        let (window, gap) = (mix.window_seconds.to_string(), mix.max_gap_seconds.to_string());
        run(Command::new(&program)
            .arg(part)
            .args([&bytes.to_string(), &window, &mix.seed.to_string(), &gap])
            .arg(&sources))
    })?;
    workload(path, "captures")
}

/// Makes a file under another name first, so that what has its name is whole.
fn finish(path: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if path.is_file() {
        return Ok(());
    }
    let part = path.with_extension("part");
    make(&part)?;
    std::fs::rename(&part, path).with_context(|| format!("{} cannot be written", path.display()))
}

fn run(command: &mut Command) -> Result<()> {
    let out = command.output().with_context(|| format!("{:?} does not start", command.get_program()))?;
    if !out.status.success() {
        bail!("{:?} failed:\n{}", command.get_program(), String::from_utf8_lossy(&out.stderr));
    }
    Ok(())
}

/// Captures of the manifest that a mix takes; `pcapmix` reads classic pcap only.
fn sources(pcaps: &Path, mix: &Mix) -> Result<Vec<PathBuf>> {
    let manifest = pcaps.join("MANIFEST.tsv");
    let text = std::fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
    let chosen = text.lines().skip(1).filter(|line| takes(line, mix));
    Ok(chosen.filter_map(|line| Some(pcaps.join(line.split('\t').next()?))).filter(|path| path.is_file()).collect())
}

fn takes(line: &str, mix: &Mix) -> bool {
    let mut fields = line.split('\t');
    let (Some(file), Some(bytes), Some(packets)) = (fields.next(), fields.nth(1), fields.next()) else { return false };
    let (Ok(bytes), Ok(packets)) = (bytes.parse::<f64>(), packets.parse::<f64>()) else { return false };
    // A record of pcap has a header of 16 bytes.
    let mean = bytes / packets.max(1.0) - 16.0;
    let folder = file.split('/').next().unwrap_or("");
    mix.folders.iter().any(|f| f == folder)
        && !file.ends_with(".pcapng")
        && mix.mean_frame_min.is_none_or(|min| mean >= min)
        && mix.mean_frame_max.is_none_or(|max| mean <= max)
}

/// FNV-1a, 32 bits: names differ where recipes do.
fn fingerprint(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_takes_captures_of_its_kind() {
        let mix: Mix = toml::from_str(
            "about = \"x\"\nfolders = [\"attack\"]\nmean-frame-max = 100\nwindow-seconds = 1\nmax-gap-seconds = 1\nseed = 1",
        )
        .unwrap();
        assert!(takes("attack/a.pcap\tsum\t1160\t10\tsource", &mix));
        assert!(!takes("attack/a.pcap\tsum\t1170\t10\tsource", &mix));
        assert!(!takes("benign/a.pcap\tsum\t1160\t10\tsource", &mix));
        assert!(!takes("attack/a.pcapng\tsum\t1160\t10\tsource", &mix));
        assert!(!takes("attack/a.pcap", &mix));
    }

    #[test]
    fn every_mix_of_the_repository_reads() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/mixes");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let mix: Mix = toml::from_str(&text).unwrap();
            assert!(!mix.folders.is_empty());
            count += 1;
        }
        assert!(count >= 4);
    }
}
