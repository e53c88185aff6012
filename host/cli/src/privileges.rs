//! Privileges of live runs: given up before the first frame.
//!
//! What needs one later has a process of its own that does nothing else: offloads come back on when Weir ends, however it ends.

use crate::exit::{Failure, INTERNAL, OK, USAGE};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};
use weir_live::privileges::{NET_ADMIN, PrivilegeError, User, give_up};
use weir_live::{Link, restore_offloads};
use weir_management::Config;

fn failure(error: PrivilegeError) -> Failure {
    let code = if matches!(error, PrivilegeError::Threads(_)) { INTERNAL } else { USAGE };
    let remedy = Some(error.remedy().to_owned());
    Failure { code, error: error.into(), remedy }
}

/// Who Weir is to become; to be asked before anything is opened.
pub fn user(named: Option<&str>, config: &Config) -> Result<Option<User>, Failure> {
    let name = named.or(Some(&*config.system.user)).filter(|name| !name.is_empty());
    name.map(User::named).transpose().map_err(failure)
}

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// What verdicts on packets of the firewall's queues need.
    Queues,
}

/// Gives privileges up: `system.drop-privileges`, or a user was named.
pub fn drop(user: Option<&User>, keep: Keep, config: &Config) -> Result<(), Failure> {
    if !config.system.drop_privileges && user.is_none() {
        return Ok(());
    }
    give_up(user, if keep == Keep::Queues { NET_ADMIN } else { 0 }).map_err(failure)?;
    if let Some(user) = user {
        tracing::info!("Weir is user {user} from here on");
    }
    Ok(())
}

/// Offloads that are off come on again when this is dropped, or the process ends.
pub struct Restorer(#[expect(dead_code, reason = "its end is the sign")] ChildStdin);

/// Starts the process that will switch on again what a link has switched off; none where there is nothing to do.
pub fn restorer(link: &mut Link) -> Option<Restorer> {
    let offloads = link.release_offloads().into_iter().filter(|(_, names)| !names.is_empty());
    let named: Vec<String> = offloads.map(|(interface, names)| format!("{interface}={}", names.join(","))).collect();
    if named.is_empty() {
        return None;
    }
    // (The file may have been replaced since this process began.)
    let mut command = Command::new("/proc/self/exe");
    command.arg("restore-offloads").args(named).stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
    match command.spawn() {
        Ok(mut child) => child.stdin.take().map(Restorer),
        Err(error) => {
            tracing::warn!("offloads will stay off at the end: {error}");
            None
        }
    }
}

/// `weir restore-offloads IF=NAME,...`: waits for the end of its input.
pub fn restore(offloads: &[String]) -> Result<u8, Failure> {
    // All processes of a service are asked to end at once; this one ends when the other has.
    let _ = ctrlc::set_handler(|| {});
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    for (interface, names) in offloads.iter().filter_map(|text| text.split_once('=')) {
        restore_offloads(interface, names.split(','));
    }
    Ok(OK)
}
