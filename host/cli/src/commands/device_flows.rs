//! `weir device flows`: what the device of a running Weir drops.

use super::{right, table, tables_deploy};
use crate::args::FlowsArguments;
use crate::deployment::socket;
use crate::exit::{Failure, OK};
use crate::out::outln;
use comfy_table::Cell;
use serde_json::Value;
use weir_management::control::Command;
use weir_output::summary::group;

pub fn run(arguments: &FlowsArguments) -> Result<u8, Failure> {
    let command = match arguments.undo {
        Some(flow) => Command::UndoDrop { flow },
        None => Command::Flows {},
    };
    let answer = socket::ask(&tables_deploy::path(&arguments.control)?, &command)?;
    if arguments.json {
        outln!("{answer:#}");
        return Ok(OK);
    }
    if arguments.undo.is_some() {
        outln!("Flow {} is let go.", name(&answer));
        return Ok(OK);
    }
    let flows = answer.get("flows").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if flows.is_empty() {
        outln!("The device drops no flow.");
        return Ok(OK);
    }
    let mut rows = table(&["flow", "protocol", "client", "server", "VLAN", "rejected", "first frame", "seconds"]);
    for flow in flows {
        let number = |key: &str| flow.get(key).and_then(Value::as_u64).unwrap_or(0);
        let end = |address: &str, port: &str| {
            let address = flow.get(address).and_then(Value::as_str).unwrap_or("");
            format!("{address} port {}", number(port))
        };
        let vlan: Vec<String> = flow.get("vlan").and_then(Value::as_array).into_iter().flatten().map(Value::to_string).collect();
        let protocol = match number("protocol") {
            6 => "TCP".to_owned(),
            17 => "UDP".to_owned(),
            other => other.to_string(),
        };
        rows.add_row([
            Cell::new(name(flow)),
            Cell::new(protocol),
            Cell::new(end("client", "client_port")),
            Cell::new(end("server", "server_port")),
            Cell::new(vlan.join(", ")),
            Cell::new(if flow.get("rejected") == Some(&Value::Bool(true)) { "yes" } else { "no" }),
            right(group(number("frame"))),
            right(group(number("seconds"))),
        ]);
    }
    outln!("{rows}");
    match answer.get("more").and_then(Value::as_u64) {
        Some(more) if more > 0 => outln!("… and {} more", group(more)),
        _ => {}
    }
    Ok(OK)
}

/// As `--undo` takes it.
fn name(value: &Value) -> String {
    let number = |n: usize| value.get("flow").and_then(|flow| flow.get(n)).and_then(Value::as_u64).unwrap_or(0);
    format!("{}:{}", number(0), number(1))
}
