//! Runs small rules, a few for each keyword, through Weir and through Suricata on the same captures.

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use weir_tests::compare::suricata::{Answer, Suricata};
use weir_tests::compare::tally::Tally;
use weir_tests::compare::{Counts, command, engine};

/// Compare what Weir and a real Suricata alert on, as (flow, signature, count): given rules on given captures, or, keyword by
/// keyword, the rules in tests/differential on captures spread over all categories of the shared data.
#[derive(Parser, Debug)]
#[command(name = "differential", after_help = command::EXIT_HELP)]
struct Options {
    /// Rule files or directories instead of tests/differential
    #[arg(long, value_name = "PATH", num_args = 1..)]
    rules: Vec<PathBuf>,
    /// Captures, or directories of them, instead of the shared data's
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pcap: Vec<PathBuf>,
    /// Captures of each category (0: all)
    #[arg(long, value_name = "N", default_value_t = 25)]
    per_category: usize,
    /// Leave out captures of more bytes
    #[arg(long, value_name = "BYTES", default_value_t = 1_000_000)]
    max_bytes: u64,
    /// Keep Suricata's answers in this directory, and use those that are there
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    #[command(flatten)]
    common: command::Common,
}

fn main() -> ExitCode {
    command::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<ExitCode> {
    let common = &options.common;
    let Some(data) = weir_tests::shared_data("differential") else { return Ok(ExitCode::SUCCESS) };
    let Some(suricata) = common.suricata(&data)? else {
        eprintln!("SKIPPED: differential: no Suricata: give --suricata or WEIR_SURICATA");
        return Ok(ExitCode::SUCCESS);
    };
    let paths = match options.rules.is_empty() {
        true => vec![weir_tests::workspace().join("tests/differential")],
        false => options.rules.clone(),
    };
    let rules = engine::load(&paths, &data.join("rules"))?;
    rules.notes.iter().for_each(|note| println!("{note}"));
    // One file at a time: Suricata stops after 255 alerts of a packet.
    let suricata = suricata.with_packet_alerts(u8::MAX);
    let mut groups = vec![];
    let mut rejected = BTreeSet::new();
    for path in rule_files(&paths)? {
        let own = engine::load(std::slice::from_ref(&path), &data.join("rules"))?;
        let number = groups.len();
        let file = std::env::temp_dir().join(format!("weir-differential-{}-{number}.rules", std::process::id()));
        std::fs::write(&file, own.text_with_setters(&own.loaded))?;
        let refused = suricata.rejected(&file)?;
        let text = own.text_with_setters(&own.loaded.difference(&refused).copied().collect());
        std::fs::write(&file, &text)?;
        rejected.extend(refused);
        groups.push((own, file, text));
    }
    if !rejected.is_empty() {
        println!("rejected by Suricata, not compared: {rejected:?}");
    }
    let captures = match options.pcap.is_empty() {
        true => choose(&data.join("pcaps"), options)?,
        false => given(&options.pcap)?,
    };
    let results = command::each("captures", &captures, common.jobs, |at, name| -> Result<(Counts, Answer)> {
        // (A given path that is absolute stays what it is.)
        let capture = data.join("pcaps").join(name);
        let (mut ours, mut theirs) = (Counts::new(), Counts::new());
        for (number, (rules, file, text)) in groups.iter().enumerate() {
            ours.extend(engine::run(rules, &capture)?.pairs);
            let cached = options.cache.as_deref().map(|folder| cached(folder, &suricata, text, name));
            let known = cached.as_ref().and_then(|path| read_cached(path));
            let answer = match known {
                Some(answer) => answer,
                None => suricata.run(&format!("differential-{at}-{number}"), file, &capture)?,
            };
            if let Some(path) = cached {
                write_cached(&path, &answer)?;
            }
            match answer {
                Answer::Pairs(pairs) => theirs.extend(pairs),
                unreadable => return Ok((ours, unreadable)),
            }
        }
        ours.retain(|pair, _| !rejected.contains(&pair.0));
        Ok((ours, Answer::Pairs(theirs)))
    });
    for (_, file, _) in &groups {
        std::fs::remove_file(file)?;
    }
    let mut all = Tally::default();
    let mut families: BTreeMap<String, Tally> = BTreeMap::new();
    for (name, result) in captures.iter().zip(results) {
        let (ours, answer) = result?;
        let Answer::Pairs(theirs) = answer else {
            all.unreadable.push(name.clone());
            continue;
        };
        all.add_counted(name, &theirs, &ours);
        let mut split: BTreeMap<String, (Counts, Counts)> = BTreeMap::new();
        for (pair, count) in theirs {
            split.entry(family(rules.message(pair.0))).or_default().0.insert(pair, count);
        }
        for (pair, count) in ours {
            split.entry(family(rules.message(pair.0))).or_default().1.insert(pair, count);
        }
        for (family, (theirs, ours)) in split {
            families.entry(family).or_default().add_counted(name, &theirs, &ours);
        }
    }
    all.print(common.rows, |sid| rules.message(sid).to_owned());
    for (name, tally) in &families {
        println!("{name:12} {}", tally.summary());
    }
    println!("{:12} {}", "all", all.summary());
    let by_family: BTreeMap<_, _> = families.iter().map(|(name, tally)| (name, tally.json())).collect();
    common.conclude(&all, &json!({"suricata": suricata.version, "all": all.json(), "families": by_family}))
}

/// The word before the colon of a rule's message.
fn family(message: &str) -> String {
    message.split_once(':').map_or("other", |(family, _)| family).to_owned()
}

/// The rule files themselves.
fn rule_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = vec![];
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        for entry in std::fs::read_dir(path)? {
            files.push(entry?.path());
        }
    }
    files.retain(|file| file.extension().is_some_and(|e| e == "rules"));
    files.sort();
    Ok(files)
}

/// The captures that were named, those of directories by name, as absolute paths.
fn given(paths: &[PathBuf]) -> Result<Vec<String>> {
    let mut found = vec![];
    for path in paths {
        let path = path.canonicalize().with_context(|| format!("--pcap {}", path.display()))?;
        if path.is_dir() {
            let mut below: Vec<PathBuf> = std::fs::read_dir(&path)?.map(|e| e.map(|e| e.path())).collect::<std::io::Result<_>>()?;
            below.sort();
            found.extend(given(&below)?);
        } else {
            found.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

/// Captures spread evenly over each category, in the order of their names.
fn choose(pcaps: &Path, options: &Options) -> Result<Vec<String>> {
    let mut chosen = vec![];
    let mut categories: Vec<PathBuf> =
        std::fs::read_dir(pcaps)?.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<_>>()?;
    categories.retain(|path| path.is_dir());
    categories.sort();
    for category in categories {
        let name = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let mut files: Vec<String> = std::fs::read_dir(&category)?
            .map(|entry| entry.map(|e| format!("{}/{}", name(&category), name(&e.path()))))
            .collect::<std::io::Result<_>>()?;
        files.retain(|file| file.contains(&options.common.only));
        files.retain(|file| std::fs::metadata(pcaps.join(file)).is_ok_and(|m| m.len() <= options.max_bytes));
        files.sort();
        let step = match options.per_category {
            0 => 1,
            wanted => files.len().div_ceil(wanted).max(1),
        };
        chosen.extend(files.into_iter().step_by(step));
    }
    chosen.truncate(options.common.limit.unwrap_or(usize::MAX));
    Ok(chosen)
}

fn cached(folder: &Path, suricata: &Suricata, rules: &str, capture: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (&suricata.version, rules, capture).hash(&mut hasher);
    folder.join(format!("{:016x}.json", hasher.finish()))
}

fn read_cached(path: &Path) -> Option<Answer> {
    let text = std::fs::read_to_string(path).ok()?;
    match serde_json::from_str::<Option<Vec<_>>>(&text).ok()? {
        Some(pairs) => Some(Answer::Pairs(pairs.into_iter().collect())),
        None => Some(Answer::Unreadable(String::new())),
    }
}

fn write_cached(path: &Path, answer: &Answer) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let pairs = match answer {
        Answer::Pairs(pairs) => Some(pairs.iter().collect::<Vec<_>>()),
        Answer::Unreadable(_) => None,
    };
    std::fs::write(path, serde_json::to_string(&pairs)?)?;
    Ok(())
}
