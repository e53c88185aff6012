//! Privileges that are given up once interfaces and devices are open.
//!
//! Place: between opening and the first frame. Invariant: afterwards the process has no capability but those that it was told to keep, and neither it nor what
//! it executes can get one back. Capabilities belong to threads: it is done while there is only one, or not at all.

use crate::sys::privileges as system;
use std::fmt;
use std::io;

/// CAP_NET_ADMIN: the kernel asks for it with each message about its packet queues.
pub const NET_ADMIN: u64 = 1 << 12;

/// A user to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    name: String,
    user: u32,
    group: u32,
    groups: Vec<u32>,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What keeps privileges from being given up.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// No such user.
    #[error("there is no user {0}")]
    User(String),
    /// There are several threads.
    #[error("privileges cannot be given up: {0} threads run")]
    Threads(usize),
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl PrivilegeError {
    /// What the operator can do.
    pub fn remedy(&self) -> &'static str {
        match self {
            PrivilegeError::User(_) => "a name of /etc/passwd, or USER:GROUP in numbers",
            PrivilegeError::Threads(_) => "this is a fault of Weir: please report it",
            PrivilegeError::System { .. } => "start it as root, or leave --user and system.user out",
        }
    }
}

/// The user that a name of `passwd`, or two numbers, stand for; `passwd` and `group`: text of the files of these names.
fn find(name: &str, passwd: &str, group: &str) -> Option<User> {
    if let Some((user, group)) = name.split_once(':') {
        let (user, group) = (user.parse().ok()?, group.parse().ok()?);
        return Some(User { name: name.to_owned(), user, group, groups: vec![group] });
    }
    let fields = |line: &'_ str| -> Vec<String> { line.split(':').map(str::to_owned).collect() };
    let of_user = passwd.lines().map(fields).find(|fields| fields.first().is_some_and(|first| first == name))?;
    let (user, own) = (of_user.get(2)?.parse().ok()?, of_user.get(3)?.parse().ok()?);
    let member = |fields: &Vec<String>| fields.get(3).is_some_and(|members| members.split(',').any(|member| member == name));
    let others = group.lines().map(fields).filter(member).filter_map(|fields| fields.get(2)?.parse().ok());
    let mut groups: Vec<u32> = std::iter::once(own).chain(others).collect();
    groups.sort_unstable();
    groups.dedup();
    Some(User { name: name.to_owned(), user, group: own, groups })
}

impl User {
    /// Looks a user up: a name of `/etc/passwd`, or `USER:GROUP` in numbers.
    pub fn named(name: &str) -> Result<User, PrivilegeError> {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        find(name, &text("/etc/passwd"), &text("/etc/group")).ok_or_else(|| PrivilegeError::User(name.to_owned()))
    }
}

/// Gives all capabilities up but those of `keep` (a bit each, of those that are there), and becomes the user.
pub fn give_up(user: Option<&User>, keep: u64) -> Result<(), PrivilegeError> {
    let failed = |what| move |source| PrivilegeError::System { what, source };
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(PrivilegeError::Threads(threads));
    }
    system::lift_lock_limit();
    if let Some(User { user, group, groups, .. }) = user {
        system::become_user(*user, *group, groups).map_err(failed("becoming the user"))?;
    }
    system::keep_only(keep).map_err(failed("giving capabilities up"))?;
    let left = system::effective().map_err(failed("asking for capabilities"))?;
    if left & !keep != 0 {
        return Err(failed("giving capabilities up")(io::Error::other(format!("{left:#x} are still there"))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nweir:x:990:985::/:/usr/sbin/nologin\nodd\n";
        let group = "adm:x:4:syslog,weir\nweir:x:985:\nlog:x:7:weirs\n";
        let weir = find("weir", passwd, group).unwrap();
        assert_eq!((weir.user, weir.group, &*weir.groups), (990, 985, &[4, 985][..]));
        let numbers = find("12:13", passwd, group).unwrap();
        assert_eq!((numbers.user, numbers.group, &*numbers.groups), (12, 13, &[13][..]));
        for absent in ["", "nobody-here", "12", "a:b", "x:0:0"] {
            assert_eq!(find(absent, passwd, group), None, "{absent}");
        }
    }
}
