//! Users and capabilities of this process.

use super::check;
use std::io;

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
/// CAP_SETPCAP: the bounding set may be cut.
const SETPCAP: u32 = 8;

/// `struct __user_cap_data_struct`: effective, permitted, inheritable; two of them, of 32 capabilities each.
type Sets = [[u32; 3]; 2];

fn sets() -> io::Result<Sets> {
    let header = [CAPABILITY_VERSION_3, 0];
    let mut sets: Sets = [[0; 3]; 2];
    // SAFETY: header and data have the layout of version 3 and live through the call.
    let result = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) };
    check(result as i32).map(|_| sets)
}

/// Capabilities in force, a bit each.
pub fn effective() -> io::Result<u64> {
    let [[low, ..], [high, ..]] = sets()?;
    Ok(u64::from(high) << 32 | u64::from(low))
}

fn prctl(operation: i32, argument: u64) -> io::Result<()> {
    // SAFETY: these operations take numbers only.
    check(unsafe { libc::prctl(operation, argument, 0, 0, 0) }).map(|_| ())
}

/// Memory may be locked without limit, where the privilege for that is there: a device needs its rings locked.
pub fn lift_lock_limit() {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` lives through the call.
    let _ = check(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) });
}

/// From now on the process is this user's, with these groups and no others; its permitted capabilities stay until [`keep_only`].
pub fn become_user(user: u32, group: u32, groups: &[u32]) -> io::Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, 1)?;
    // SAFETY: `groups` has the length that is told. (The C library changes all threads.)
    check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
    // SAFETY: numbers only.
    check(unsafe { libc::setresgid(group, group, group) })?;
    // SAFETY: numbers only.
    check(unsafe { libc::setresuid(user, user, user) }).map(|_| ())
}

/// Keeps these of the permitted capabilities (a bit each) and no others, for good: nothing that is executed gets any back. For the thread
/// that calls and those that it starts.
pub fn keep_only(keep: u64) -> io::Result<()> {
    let [[low, permitted_low, _], [high, permitted_high, _]] = sets()?;
    if (low | permitted_low) & 1 << SETPCAP != 0 {
        // (One that is permitted and not in force is put in force first.)
        let _ = set([[low | permitted_low & 1 << SETPCAP, permitted_low, 0], [high, permitted_high, 0]]);
        for capability in (0..64).filter(|n| keep & 1 << n == 0) {
            // Those that the kernel does not know are the last.
            if prctl(libc::PR_CAPBSET_DROP, capability).is_err() {
                break;
            }
        }
    }
    // SAFETY: numbers only. (Kernels before 4.3 have no ambient set.)
    let _ = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    let (keep_low, keep_high) = (keep as u32 & permitted_low, (keep >> 32) as u32 & permitted_high);
    set([[keep_low, keep_low, 0], [keep_high, keep_high, 0]])?;
    prctl(libc::PR_SET_KEEPCAPS, 0)?;
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

fn set(sets: Sets) -> io::Result<()> {
    let header = [CAPABILITY_VERSION_3, 0];
    // SAFETY: header and data have the layout of version 3 and live through the call.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    check(result as i32).map(|_| ())
}
