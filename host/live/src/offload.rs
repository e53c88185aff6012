//! Offloads of an interface that would show other frames than those on the wire, or send others than those judged.
//!
//! They are switched off while Weir has the interface and set back when it leaves, or the interface is refused, or they are
//! left alone, as the operator says. (A process that is killed leaves them switched off, unless it has released them to another.)

use crate::LiveError;
use crate::sys::{self, Feature};

/// What to do about offloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Switch them off, and back at the end.
    Off,
    /// Refuse an interface that has one on.
    Refuse,
    /// Leave them.
    Keep,
}

/// One offload.
struct Offload {
    /// As `ethtool -K` calls it.
    name: &'static str,
    feature: Feature,
    /// Bit of the features that share one command.
    bit: Option<u32>,
    /// Only where frames are sent.
    transmit: bool,
}

const FLAGS: Feature = Feature(0x25, 0x26);

const fn offload(name: &'static str, get: u32, set: u32, transmit: bool) -> Offload {
    Offload { name, feature: Feature(get, set), bit: None, transmit }
}

const fn flag(name: &'static str, bit: u32, transmit: bool) -> Offload {
    Offload { name, feature: FLAGS, bit: Some(1 << bit), transmit }
}

/// Large ones first: some need others.
const ALL: [Offload; 8] = [
    offload("gro", 0x2b, 0x2c, false),
    flag("lro", 15, false),
    flag("rxvlan", 8, false),
    offload("rx", 0x14, 0x15, false),
    offload("tso", 0x1e, 0x1f, true),
    offload("gso", 0x23, 0x24, true),
    flag("txvlan", 7, true),
    offload("tx", 0x16, 0x17, true),
];

impl Offload {
    /// Whether it is on; none where the interface does not know it.
    fn get(&self, interface: &str) -> Option<bool> {
        let value = sys::feature(interface, self.feature)?;
        Some(value & self.bit.unwrap_or(u32::MAX) != 0)
    }

    fn set(&self, interface: &str, on: bool) -> std::io::Result<()> {
        let value = match self.bit {
            None => u32::from(on),
            Some(bit) => {
                let all = sys::feature(interface, self.feature).unwrap_or(0);
                if on { all | bit } else { all & !bit }
            }
        };
        sys::set_feature(interface, self.feature, value)
    }
}

/// Offloads of an interface that were switched off; they come back when this is dropped.
pub struct Offloads {
    interface: String,
    changed: Vec<&'static Offload>,
    /// Who has released them does not switch them on again.
    released: bool,
}

impl Offloads {
    /// Looks at an interface's offloads and does what the policy says. `sends`: frames go out by it.
    pub fn settle(interface: &str, policy: Policy, sends: bool) -> Result<Offloads, LiveError> {
        let mut offloads = Offloads { interface: interface.to_owned(), changed: Vec::new(), released: false };
        if policy == Policy::Keep {
            return Ok(offloads);
        }
        let relevant = || ALL.iter().filter(|offload| sends || !offload.transmit);
        let on: Vec<&str> = relevant().filter(|o| o.get(interface) == Some(true)).map(|o| o.name).collect();
        if policy == Policy::Refuse && !on.is_empty() {
            return Err(LiveError::Offloads { interface: interface.to_owned(), on: on.join(", "), command: command(interface, &on) });
        }
        // One that was on may have gone with another.
        for offload in relevant().filter(|offload| on.contains(&offload.name)) {
            if offload.get(interface) != Some(true) {
                offloads.changed.push(offload);
                continue;
            }
            match offload.set(interface, false) {
                Ok(()) if offload.get(interface) != Some(true) => offloads.changed.push(offload),
                // The checksums of an interface that has no hardware are completed here anyway.
                Ok(()) => tracing::info!("{interface}: offload {} stays on: the interface fixes it", offload.name),
                Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                    return Err(LiveError::Offloads { interface: interface.to_owned(), on: on.join(", "), command: command(interface, &on) });
                }
                Err(error) => tracing::warn!("{interface}: offload {} stays on: {error}", offload.name),
            }
        }
        Ok(offloads)
    }

    /// Names of what was switched off; it stays so when this is dropped.
    pub fn release(&mut self) -> Vec<&'static str> {
        self.released = true;
        self.changed()
    }

    /// Names of what was switched off.
    pub fn changed(&self) -> Vec<&'static str> {
        self.changed.iter().map(|offload| offload.name).collect()
    }
}

impl Drop for Offloads {
    fn drop(&mut self) {
        for offload in self.changed.iter().rev().filter(|_| !self.released) {
            if let Err(error) = offload.set(&self.interface, true) {
                tracing::warn!("{}: offload {} could not be switched on again: {error}", self.interface, offload.name);
            }
        }
    }
}

/// Switches offloads on again that were released.
pub fn restore<'a>(interface: &str, names: impl Iterator<Item = &'a str>) {
    let changed = names.filter_map(|name| ALL.iter().find(|offload| offload.name == name)).collect();
    drop(Offloads { interface: interface.to_owned(), changed, released: false });
}

/// What the operator would do.
fn command(interface: &str, on: &[&str]) -> String {
    on.iter().fold(format!("ethtool -K {interface}"), |line, name| format!("{line} {name} off"))
}
