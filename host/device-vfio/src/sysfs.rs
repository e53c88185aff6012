//! What sysfs says of PCI functions.

use std::fs;
use std::path::{Path, PathBuf};
use weir_contract::constants::{PCI_DEVICE, PCI_VENDOR};

/// Where functions are listed.
pub(crate) const DEVICES: &str = "/sys/bus/pci/devices";

/// A function with the contract's vendor and device id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Address: domain:bus:device.function.
    pub address: String,
    /// Driver bound to it.
    pub driver: Option<String>,
    /// IOMMU group.
    pub group: Option<u32>,
    /// Why it cannot be opened yet, with the remedy; none: it can.
    pub obstacle: Option<String>,
}

/// All candidates of this machine, by address. An unreadable sysfs (no PCI, no rights) is an empty list.
pub fn list() -> Vec<Candidate> {
    list_in(Path::new(DEVICES), Path::new("/dev/vfio"))
}

pub(crate) fn list_in(devices: &Path, vfio: &Path) -> Vec<Candidate> {
    let Ok(entries) = fs::read_dir(devices) else { return Vec::new() };
    let mut found: Vec<Candidate> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let ours = hex(&path.join("vendor")) == Some(PCI_VENDOR) && hex(&path.join("device")) == Some(PCI_DEVICE);
            ours.then(|| candidate(&path, vfio)).flatten()
        })
        .collect();
    found.sort_by(|a, b| a.address.cmp(&b.address));
    found
}

/// Describe the function at a sysfs path, whatever its ids.
pub(crate) fn candidate(path: &Path, vfio: &Path) -> Option<Candidate> {
    let address = path.file_name()?.to_str()?.to_owned();
    let driver = link_name(&path.join("driver"));
    let group = link_name(&path.join("iommu_group")).and_then(|name| name.parse().ok());
    let obstacle = obstacle(&address, driver.as_deref(), group, vfio);
    Some(Candidate { address, driver, group, obstacle })
}

/// Vendor and device id of a function.
pub(crate) fn ids(path: &Path) -> Option<(u16, u16)> {
    Some((hex(&path.join("vendor"))?, hex(&path.join("device"))?))
}

fn obstacle(address: &str, driver: Option<&str>, group: Option<u32>, vfio: &Path) -> Option<String> {
    let Some(group) = group else {
        return Some(
            "it is in no IOMMU group; enable the IOMMU in the firmware and the kernel (intel_iommu=on or amd_iommu=on)"
                .into(),
        );
    };
    if driver != Some("vfio-pci") {
        let now = driver.map_or("no driver".into(), |d| format!("driver {d}"));
        return Some(format!(
            "{now} is bound to it; load vfio-pci, write vfio-pci to {DEVICES}/{address}/driver_override, unbind the \
             driver, then write {address} to /sys/bus/pci/drivers_probe"
        ));
    }
    let node = vfio.join(group.to_string());
    match fs::OpenOptions::new().read(true).write(true).open(&node) {
        Ok(_) => None,
        // The group can be open once only: someone else has it, or it is closing.
        Err(e) if e.raw_os_error() == Some(16) => Some(format!("{} is in use by another process", node.display())),
        Err(e) => Some(format!("{}: {e}; give this user read and write access to it", node.display())),
    }
}

/// Accept `0000:03:00.0` and `03:00.0`; anything else could leave the folder.
pub(crate) fn path_of(devices: &Path, address: &str) -> Option<PathBuf> {
    let full = if address.matches(':').count() == 1 { format!("0000:{address}") } else { address.to_owned() };
    let good = full.len() == 12
        && full.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b':',
            10 => byte == b'.',
            _ => byte.is_ascii_hexdigit(),
        });
    good.then(|| devices.join(full.to_ascii_lowercase()))
}

fn hex(path: &Path) -> Option<u16> {
    let text = fs::read_to_string(path).ok()?;
    u16::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

fn link_name(path: &Path) -> Option<String> {
    Some(fs::read_link(path).ok()?.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn function(root: &Path, address: &str, vendor: &str, driver: Option<&str>, group: Option<u32>) {
        let folder = root.join("devices").join(address);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("vendor"), vendor).unwrap();
        fs::write(folder.join("device"), format!("{PCI_DEVICE:#06x}\n")).unwrap();
        if let Some(driver) = driver {
            symlink(root.join("drivers").join(driver), folder.join("driver")).unwrap();
        }
        if let Some(group) = group {
            symlink(root.join("groups").join(group.to_string()), folder.join("iommu_group")).unwrap();
        }
    }

    #[test]
    fn candidates_say_what_is_missing() {
        let root = std::env::temp_dir().join(format!("weir-sysfs-{}", std::process::id()));
        let ours = format!("{PCI_VENDOR:#06x}\n");
        function(&root, "0000:03:00.0", &ours, Some("vfio-pci"), Some(7));
        function(&root, "0000:04:00.0", &ours, None, None);
        function(&root, "0000:05:00.0", &ours, Some("other"), Some(8));
        function(&root, "0000:06:00.0", &ours, Some("vfio-pci"), Some(9));
        function(&root, "0000:07:00.0", "0x8086\n", Some("vfio-pci"), Some(7));
        fs::create_dir_all(root.join("vfio")).unwrap();
        fs::write(root.join("vfio/7"), "").unwrap();
        let found = list_in(&root.join("devices"), &root.join("vfio"));
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(found.len(), 4, "the function of another vendor is none of ours");
        assert_eq!((found[0].address.as_str(), found[0].group, &found[0].obstacle), ("0000:03:00.0", Some(7), &None));
        let says = |i: usize, word: &str| found[i].obstacle.as_deref().is_some_and(|o| o.contains(word));
        assert!(says(1, "IOMMU") && says(2, "driver_override") && says(3, "/9"), "{found:?}");
        assert!(list_in(Path::new("/nonexistent"), Path::new("/dev/vfio")).is_empty());
    }

    #[test]
    fn addresses_stay_in_the_folder() {
        let of = |address| path_of(Path::new("/d"), address);
        assert_eq!(of("0000:03:00.0"), Some(PathBuf::from("/d/0000:03:00.0")));
        assert_eq!(of("AF:00.1"), Some(PathBuf::from("/d/0000:af:00.1")));
        for bad in ["", "..", "0000:03:00", "0000:03.00:0", "../../etc", "0000:03:00.0/..", "00000:3:00.0"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
