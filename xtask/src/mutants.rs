//! Mutations of the RTL: each is applied alone to a copy of hw/rtl, and its block's test must notice it. The published
//! table says of each at which commit it ran: a few may be published anew, the others stay.

use crate::machine::Machine;
use crate::rtl;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::{Command, Stdio};

/// What to mutate.
#[derive(Debug, Args)]
pub struct MutantArguments {
    /// Only mutations whose test or name contains this.
    filter: Option<String>,
    /// Rewrite docs/hardware/mutations.{md,json}; what is not asked for stays as it is there.
    #[arg(long)]
    publish: bool,
}

struct Mutation {
    name: String,
    /// Crate of the test.
    package: String,
    test: String,
    /// The one of its functions that is run; empty: all.
    only: String,
    models: String,
    file: String,
    from: String,
    to: String,
}

/// What became of one.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    name: String,
    /// Differs when the mutation does.
    change: String,
    noticed: bool,
    /// Where the RTL stood.
    commit: String,
}

/// Runs them; `false` if one goes unnoticed.
pub fn run(root: &Path, arguments: &MutantArguments) -> Result<bool> {
    let list = root.join("hw/tb/mutations.toml");
    let wanted = arguments.filter.clone().unwrap_or_default();
    let mutations: Vec<Mutation> =
        read(&list)?.into_iter().filter(|m| m.test.contains(&wanted) || m.name.contains(&wanted)).collect();
    ensure!(!mutations.is_empty(), "no mutation of {} matches `{wanted}`", list.display());
    let copy = root.join("target/mutants/rtl");
    // What was noticed stays so while the RTL is the same, however much better a test becomes.
    let kept = root.join("target/mutants/noticed");
    fs::create_dir_all(&kept).with_context(|| kept.display().to_string())?;
    let commit = Machine::commit_of(root, "hw/rtl");
    let all = rtl::sources(root)?;
    let benches = benches(root, &all)?;
    let mut outcomes = Vec::new();
    for (n, mutation) in mutations.iter().enumerate() {
        let _ = fs::remove_dir_all(&copy);
        copy_folder(&root.join("hw/rtl"), &copy)?;
        let path = copy.join(&mutation.file);
        let source = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let places = source.matches(&mutation.from).count();
        ensure!(places == 1, "mutation `{}`: its text stands {places} times in {}", mutation.name, mutation.file);
        fs::write(&path, source.replace(&mutation.from, &mutation.to))?;
        let change = change(mutation);
        let mut hasher = DefaultHasher::new();
        change.hash(&mut hasher);
        for file in sources(mutation, &all, &benches)? {
            (fs::read(root.join(file)).with_context(|| file.clone())?, file).hash(&mut hasher);
        }
        let stamp = kept.join(format!("{:016x}", hasher.finish()));
        let cargo = |more: &[&str]| {
            let mut command = Command::new(env!("CARGO"));
            command
                .args(["test", "--release", "--quiet", "--package", &mutation.package, "--test", &mutation.test])
                .args(more)
                .current_dir(root)
                .env("WEIR_RTL", &copy)
                .env("WEIR_RTL_MODELS", &mutation.models)
                // Apart, so that the models of the unchanged RTL stay built.
                .env("CARGO_TARGET_DIR", root.join("target/mutants/build"))
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command.status()
        };
        let known = stamp.exists();
        ensure!(known || cargo(&["--no-run"])?.success(), "mutation `{}` does not compile", mutation.name);
        let noticed = known || !cargo(&["--", &mutation.only])?.success();
        if noticed {
            fs::write(&stamp, &mutation.name)?;
        }
        let word = if noticed { "noticed" } else { "UNNOTICED" };
        println!("{}/{} {word}: {} ({}, test {})", n + 1, mutations.len(), mutation.name, mutation.file, mutation.test);
        outcomes.push(Outcome { name: mutation.name.clone(), change, noticed, commit: commit.clone() });
    }
    let unnoticed = outcomes.iter().filter(|outcome| !outcome.noticed).count();
    println!("{} mutations, {unnoticed} unnoticed", mutations.len());
    if arguments.publish {
        publish(root, &read(&list)?, outcomes)?;
    }
    Ok(unnoticed == 0)
}

/// Differs when what is changed or who must notice it does.
fn change(m: &Mutation) -> String {
    let mut hasher = DefaultHasher::new();
    (&m.package, &m.test, &m.only, &m.file, &m.from, &m.to).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Files of the RTL that each bench of a single block reads.
fn benches(root: &Path, all: &[String]) -> Result<Vec<Vec<String>>> {
    let mut found = Vec::new();
    for bench in fs::read_dir(root.join("hw/tb/sv"))? {
        let bench = format!("hw/tb/sv/{}", bench?.file_name().to_string_lossy());
        let name = rtl::stem(&bench);
        if name != "weir_tb_core" {
            let mut files = rtl::needed(root, &[all, &[bench]].concat(), &name)?;
            files.retain(|file| file.starts_with("hw/rtl/"));
            found.push(files);
        }
    }
    Ok(found)
}

/// Files of the RTL that a mutation's test reads: those of the benches of single blocks that its file belongs to, or all.
fn sources<'a>(mutation: &Mutation, all: &'a [String], benches: &'a [Vec<String>]) -> Result<BTreeSet<&'a String>> {
    if mutation.package != "weir-hw-tb" {
        return Ok(all.iter().collect());
    }
    let own = |files: &&Vec<String>| files.iter().any(|file| file.strip_prefix("hw/rtl/") == Some(&mutation.file));
    let found: BTreeSet<_> = benches.iter().filter(own).flatten().collect();
    ensure!(!found.is_empty(), "mutation `{}`: no bench of hw/tb/sv holds {}", mutation.name, mutation.file);
    Ok(found)
}

/// Outcomes of this call take the place of those in the committed table.
fn publish(root: &Path, mutations: &[Mutation], mut outcomes: Vec<Outcome>) -> Result<()> {
    let folder = root.join("docs/hardware");
    fs::create_dir_all(&folder)?;
    let path = folder.join("mutations.json");
    let old = match fs::read(&path) {
        Ok(text) => {
            let value: Value = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
            serde_json::from_value(value["outcomes"].clone()).with_context(|| path.display().to_string())?
        }
        Err(_) => Vec::<Outcome>::new(),
    };
    for outcome in old {
        if outcomes.iter().all(|new| new.change != outcome.change) {
            outcomes.push(outcome);
        }
    }
    let machine = Machine::here(root);
    let (mut rows, mut kept, mut counts) = (String::new(), Vec::new(), [0; 3]);
    for m in mutations {
        let change = change(m);
        let found = outcomes.iter().find(|outcome| outcome.change == change);
        let (n, word, commit) = match found {
            Some(outcome) if outcome.noticed => (0, "noticed", outcome.commit.as_str()),
            Some(outcome) => (1, "**unnoticed**", outcome.commit.as_str()),
            None => (2, "not run", ""),
        };
        counts[n] += 1;
        kept.extend(found);
        let _ = writeln!(rows, "| {} | `{}` | `{}`, `{}` | {word} | {commit} |", m.name, m.file, m.package, m.test);
    }
    let [noticed, unnoticed, not_run] = counts;
    let text = format!(
        "# Mutations of the RTL\n\nWritten by `cargo xtask rtl-mutants --publish`, {}. Each change of hw/tb/mutations.toml was \
         made alone to a copy of `hw/rtl`; the named test must fail. The commit is that at which a mutation ran.\n\n\
         {} mutations: {noticed} noticed, {unnoticed} unnoticed, {not_run} not run.\n\n\
         | mutation | file | crate, test | | commit |\n|---|---|---|---|---|\n{rows}",
        machine.line(),
        mutations.len()
    );
    fs::write(folder.join("mutations.md"), text)?;
    fs::write(path, format!("{:#}\n", json!({ "machine": machine, "outcomes": kept })))?;
    println!("wrote docs/hardware/mutations.md and mutations.json");
    Ok(())
}

fn read(path: &Path) -> Result<Vec<Mutation>> {
    let table: toml::Table = fs::read_to_string(path)
        .with_context(|| path.display().to_string())?
        .parse()
        .with_context(|| path.display().to_string())?;
    let Some(entries) = table.get("mutation").and_then(|v| v.as_array()) else {
        bail!("{}: no [[mutation]]", path.display());
    };
    entries
        .iter()
        .map(|entry| {
            let text = |key: &str| {
                let value = entry.get(key).and_then(|v| v.as_str()).map(str::to_owned);
                value.with_context(|| format!("{}: a mutation without `{key}`", path.display()))
            };
            Ok(Mutation {
                name: text("name")?,
                package: text("package").unwrap_or_else(|_| "weir-hw-tb".to_owned()),
                test: text("test")?,
                only: text("only").unwrap_or_default(),
                models: text("models")?,
                file: text("file")?,
                from: text("from")?,
                to: text("to")?,
            })
        })
        .collect()
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_s_mutations_outlast_changes_elsewhere() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let all = rtl::sources(&root).unwrap();
        let benches = benches(&root, &all).unwrap();
        for mutation in read(&root.join("hw/tb/mutations.toml")).unwrap() {
            let files = sources(&mutation, &all, &benches).unwrap();
            assert!(files.contains(&format!("hw/rtl/{}", mutation.file)), "{}", mutation.name);
            let whole = files.iter().any(|file| file.starts_with("hw/rtl/top/") && !file.ends_with("_pkg.sv"));
            assert_eq!(whole, mutation.package != "weir-hw-tb", "{}", mutation.name);
        }
    }
}
