//! Mutations of the RTL: each is applied alone to a copy of hw/rtl, and its block's test must notice it.

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What to mutate.
#[derive(Debug, Args)]
pub struct MutantArguments {
    /// Only mutations whose test or name contains this.
    filter: Option<String>,
}

struct Mutation {
    name: String,
    /// Crate of the test.
    package: String,
    test: String,
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
    let mut unnoticed = 0;
    for (n, mutation) in mutations.iter().enumerate() {
        let _ = fs::remove_dir_all(&copy);
        copy_folder(&root.join("hw/rtl"), &copy)?;
        let path = copy.join(&mutation.file);
        let source = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let places = source.matches(&mutation.from).count();
        ensure!(places == 1, "mutation `{}`: its text stands {places} times in {}", mutation.name, mutation.file);
        fs::write(&path, source.replace(&mutation.from, &mutation.to))?;
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
        ensure!(cargo(&["--no-run"])?.success(), "mutation `{}` does not compile", mutation.name);
        let noticed = !cargo(&[])?.success();
        unnoticed += usize::from(!noticed);
        let word = if noticed { "noticed" } else { "UNNOTICED" };
        println!("{}/{} {word}: {} ({}, test {})", n + 1, mutations.len(), mutation.name, mutation.file, mutation.test);
    }
    println!("{} mutations, {unnoticed} unnoticed", mutations.len());
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
