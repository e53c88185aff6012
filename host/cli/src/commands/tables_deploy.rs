//! `weir tables deploy|status|rollback|history`: what a running Weir is told and asked, and the notes of a key.

use super::{configuration, right, table};
use crate::args::{ControlArguments, DeployArguments, HistoryArguments, RollbackArguments, StatusArguments};
use crate::bundle;
use crate::deployment::{attempts, socket};
use crate::exit::{Failure, OK, OrExit, USAGE};
use crate::out::outln;
use comfy_table::Cell;
use serde_json::{Value, json};
use std::path::PathBuf;
use weir_bundle::History;
use weir_management::control::Command;
use weir_output::summary::group;

/// The socket that is meant.
pub(super) fn path(arguments: &ControlArguments) -> Result<PathBuf, Failure> {
    let named = match &arguments.control {
        Some(path) => Some(path.clone()),
        None => configuration(&arguments.config)?.control.socket,
    };
    named.ok_or_else(|| Failure {
        code: USAGE,
        error: anyhow::anyhow!("no control socket is named"),
        remedy: Some("name that of the running Weir with --control, or set control.socket in weir.toml".to_owned()),
    })
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

/// `weir tables deploy`
pub fn deploy(arguments: &DeployArguments) -> Result<u8, Failure> {
    // The running Weir has another working directory.
    let bundle = std::path::absolute(&arguments.file).or_usage()?;
    told(&socket::ask(&path(&arguments.control)?, &Command::Deploy { bundle })?, arguments.json)
}

fn told(done: &Value, json: bool) -> Result<u8, Failure> {
    if json {
        outln!("{done:#}");
        return Ok(OK);
    }
    let milliseconds = |name: &str| done.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    outln!(
        "Epoch {} began behind frame {}: version {}, {} rules, bundle {}",
        number(done, "epoch"),
        group(number(done, "frames")),
        number(done, "version"),
        group(number(done, "rules")),
        short(text(done, "digest"))
    );
    outln!(
        "Checked{} in {:.0} ms, beside {} frames, tables loaded in {:.1} ms, exchanged in {:.3} ms",
        if done.get("proven") == Some(&Value::Bool(true)) { ", compiled and proven" } else { " and compiled" },
        milliseconds("ready_ms"),
        group(number(done, "frames_meanwhile")),
        milliseconds("load_ms"),
        milliseconds("switch_ms")
    );
    if let Some(why) = done.get("noted").and_then(Value::as_str) {
        outln!("It could not be noted: {why}");
    }
    Ok(OK)
}

/// `weir tables status`
pub fn status(arguments: &StatusArguments) -> Result<u8, Failure> {
    let status = socket::ask(&path(&arguments.control)?, &Command::Status {})?;
    if arguments.json {
        outln!("{status:#}");
        return Ok(OK);
    }
    let since = bundle::now().saturating_sub(number(&status, "since"));
    match status.get("bundle").filter(|bundle| !bundle.is_null()) {
        Some(bundle) => outln!(
            "Epoch {} for {} s: version {}, {} rules, bundle {} ({})",
            number(&status, "epoch"),
            group(since),
            number(bundle, "version"),
            group(number(bundle, "rules")),
            short(text(bundle, "digest")),
            text(bundle, "file")
        ),
        None => outln!("Epoch {} for {} s: rules from files, no bundle", number(&status, "epoch"), group(since)),
    }
    if number(&status, "judging") < number(&status, "epoch") {
        outln!("No frame of it has reached the host yet.");
    }
    outln!(
        "{} frames, {} alerts, {} live flows on the host ({} last seen in epochs whose rules are gone), {} MB resident",
        group(number(&status, "frames")),
        group(number(&status, "alerts")),
        group(number(&status, "flows")),
        group(number(&status, "flows_of_freed_epochs")),
        group(number(&status, "resident_bytes") / 1_000_000)
    );
    let mut rows = table(&["epoch", "version", "flows", "tables, bytes", "process grew by, bytes"]);
    for program in status.get("programs").and_then(Value::as_array).into_iter().flatten() {
        let version = program.get("version").and_then(Value::as_u64).map_or("files".to_owned(), |v| v.to_string());
        rows.add_row([
            right(number(program, "epoch").to_string()),
            right(version),
            right(group(number(program, "flows"))),
            right(group(number(program, "image_bytes"))),
            right(group(number(program, "grown_bytes"))),
        ]);
    }
    outln!("{rows}");
    let earlier = status.get("earlier").and_then(Value::as_array);
    let earlier: Vec<String> = earlier.into_iter().flatten().map(|b| number(b, "version").to_string()).collect();
    if !earlier.is_empty() {
        outln!("Rollback goes to version {}", earlier.join(", then "));
    }
    if let Some(refusal) = status.get("last_refusal").filter(|refusal| !refusal.is_null()) {
        outln!(
            "Last refusal, {} s ago: {} of {}: {}",
            group(bundle::now().saturating_sub(number(refusal, "at"))),
            text(refusal, "what"),
            text(refusal, "file"),
            text(refusal, "refused")
        );
    }
    Ok(OK)
}

/// `weir tables history`
pub fn history(arguments: &HistoryArguments) -> Result<u8, Failure> {
    let history = match &arguments.public_key {
        Some(key) => {
            let state = arguments.bundle_state.clone().unwrap_or_else(|| bundle::state_file(key));
            json!(History::read(&state).or_input()?)
        }
        None => socket::ask(&path(&arguments.control)?, &Command::History {})?,
    };
    if arguments.json {
        outln!("{history:#}");
        return Ok(OK);
    }
    let mut rows = table(&["version", "accepted at", "bundle", "rules"]);
    for accepted in history.get("accepted").and_then(Value::as_array).into_iter().flatten() {
        rows.add_row([
            right(number(accepted, "version").to_string()),
            right(number(accepted, "at").to_string()),
            Cell::new(short(text(accepted, "digest"))),
            Cell::new(short(text(accepted, "ruleset"))),
        ]);
    }
    outln!("{rows}");
    let tried = attempts(&history);
    if !tried.is_empty() {
        let mut rows = table(&["at", "what", "file", "result"]);
        for (at, what, file, result) in tried {
            rows.add_row([right(at.to_string()), Cell::new(what), Cell::new(file), Cell::new(result)]);
        }
        outln!("{rows}");
    }
    outln!("No bundle below version {} is accepted.", number(&history, "greatest"));
    Ok(OK)
}

/// `weir tables rollback`
pub fn rollback(arguments: &RollbackArguments) -> Result<u8, Failure> {
    let (Some(key), Some(to)) = (&arguments.public_key, arguments.to) else {
        return told(&socket::ask(&path(&arguments.control)?, &Command::Rollback {})?, arguments.json);
    };
    let state = arguments.bundle_state.clone().unwrap_or_else(|| bundle::state_file(key));
    let mut history = History::read(&state).or_input()?;
    history.roll_back(to).map_err(|e| bundle::refused(&state, e))?;
    history.write(&state).or_internal()?;
    if arguments.json {
        outln!("{:#}", json!(history));
    } else {
        outln!("{}: version {to} may be used again.", state.display());
    }
    Ok(OK)
}
