//! Mutations of the RTL: each is applied alone to a copy of hw/rtl, and its block's test must notice it.

use crate::machine::Machine;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
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
    /// Rewrite docs/hardware/mutations.md.
    #[arg(long, conflicts_with = "filter")]
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
    let mut unnoticed = 0;
    let mut rows = String::new();
    for (n, mutation) in mutations.iter().enumerate() {
        let _ = fs::remove_dir_all(&copy);
        copy_folder(&root.join("hw/rtl"), &copy)?;
        let path = copy.join(&mutation.file);
        let source = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let places = source.matches(&mutation.from).count();
        ensure!(places == 1, "mutation `{}`: its text stands {places} times in {}", mutation.name, mutation.file);
        fs::write(&path, source.replace(&mutation.from, &mutation.to))?;
        let mut hasher = DefaultHasher::new();
        hash_folder(&copy, &mut hasher)?;
        (&mutation.package, &mutation.test, &mutation.only).hash(&mut hasher);
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
        unnoticed += usize::from(!noticed);
        let word = if noticed { "noticed" } else { "UNNOTICED" };
        let (name, file, test) = (&mutation.name, &mutation.file, &mutation.test);
        let _ = writeln!(rows, "| {name} | `{file}` | `{}`, `{test}` | {} |", mutation.package, word.to_lowercase());
        println!("{}/{} {word}: {} ({}, test {})", n + 1, mutations.len(), mutation.name, mutation.file, mutation.test);
    }
    println!("{} mutations, {unnoticed} unnoticed", mutations.len());
    if arguments.publish {
        let folder = root.join("docs/hardware");
        fs::create_dir_all(&folder)?;
        let text = format!(
            "# Mutations of the RTL\n\nWritten by `cargo xtask rtl-mutants --publish`, {}. Each change of hw/tb/mutations.toml was \
             made alone to a copy of `hw/rtl`; the named test must fail.\n\n{} mutations, {unnoticed} unnoticed.\n\n\
             | mutation | file | crate, test | |\n|---|---|---|---|\n{rows}",
            Machine::here(root).line(),
            mutations.len()
        );
        fs::write(folder.join("mutations.md"), text)?;
        println!("wrote docs/hardware/mutations.md");
    }
    Ok(unnoticed == 0)
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

/// All files below a folder, by path.
fn hash_folder(folder: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    let mut paths: Vec<_> =
        fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            hash_folder(&path, hasher)?;
        } else {
            (path.file_name(), fs::read(&path)?).hash(hasher);
        }
    }
    Ok(())
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
