//! Arguments of `weir device` and `weir sim`.

use crate::attached::DeviceName;
use super::{ConfigArguments, ControlArguments, RuleArguments};
use crate::exit;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `weir device`
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// PCI functions of this machine that Weir can use: address, driver, IOMMU group, and what is missing.
    List(DeviceListArguments),
    /// Kind, contract version and capabilities.
    Info(DeviceInfoArguments),
    /// All counters after a capture, and whether every frame is accounted for.
    #[command(after_help = "The simulated NIC lives inside of one command, so it counts the traffic given here; a device that has frames of its
own counts those until its source ends or Ctrl-C.

Examples:
  weir device counters --check                                        the bundled example
  weir device counters --rules rules/ --pcap day.pcap --check --json", after_long_help = exit::TABLE)]
    Counters(CountersArguments),
    /// Flows that the device of a running Weir drops, and how to let one go.
    #[command(after_help = "A flow that a rule drops or rejects is dropped in the device's flow table until its entry ages (inline.drop-time: until
so long after). One that is let go is forgotten by device and host: what comes of it then is a flow whose beginning was not seen.

Examples:
  weir run --inline eth1,eth2 --rules rules/ --control /run/weir.sock
  weir device flows --control /run/weir.sock
  weir device flows --control /run/weir.sock --undo 4711:3", after_long_help = exit::TABLE)]
    Flows(FlowsArguments),
    /// Try what the contract promises, step by step: registers, tables by DMA, interrupts, the frame path, the fail mode.
    #[command(after_help = "The device is reset before and after, and must not be in use. Exit code 1 if a step fails.

Examples:
  weir device selftest
  weir device selftest --device rtl      a build with `--features rtl`", after_long_help = exit::TABLE)]
    Selftest(DeviceInfoArguments),
}

/// `weir device flows`
#[derive(Debug, Args)]
pub struct FlowsArguments {
    /// Let this flow go: its number in the list.
    #[arg(long, value_name = "FLOW", value_parser = flow_number)]
    pub undo: Option<(u32, u32)>,
    /// As one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Which Weir.
    #[command(flatten)]
    pub control: ControlArguments,
}

fn flow_number(text: &str) -> Result<(u32, u32), String> {
    let numbers = text.split_once(':').and_then(|(entry, generation)| Some((entry.parse().ok()?, generation.parse().ok()?)));
    numbers.ok_or_else(|| "a flow is named by two numbers, such as 4711:3".to_owned())
}

/// `weir device list`
#[derive(Debug, Args)]
pub struct DeviceListArguments {
    /// As one JSON array.
    #[arg(long)]
    pub json: bool,
}

/// `weir sim`
#[derive(Debug, Subcommand)]
pub enum SimCommand {
    /// Listen at a Unix socket as a vfio-user device: one client at a time, again and again, until Ctrl-C or SIGTERM.
    #[command(after_help = SERVE_HELP, after_long_help = exit::TABLE)]
    Serve(ServeArguments),
}

const SERVE_HELP: &str = "The frames of --pcap begin to come once the client's driver has enabled the device, and again after each reset.
The configuration is the model's: device.queues and device.flow-entries are its size, device.latency and device.batch how
often a source that can wait lets the host catch up.

Examples:
  weir sim serve --socket /run/weir-nic.sock --pcap day.pcap
  weir run --rules rules/ --device vfio-user:/run/weir-nic.sock     in another terminal
  weir sim serve --socket /run/weir-nic.sock --inline eth1,eth2       ports that go on when the host does not
  weir run --rules rules/ --device vfio-user:/run/weir-nic.sock --set device.inline=true
  qemu-system-x86_64 … -object memory-backend-memfd,id=ram0,size=1G,share=on \\
    -device '{\"driver\":\"vfio-user-pci\",\"socket\":{\"type\":\"unix\",\"path\":\"/run/weir-nic.sock\"}}'";

/// `weir sim serve`
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Socket to listen at, mode 0600: the user that serves, and root, may attach.
    #[arg(long, value_name = "SOCKET")]
    pub socket: PathBuf,
    /// Capture that is played into the port (pcap or pcapng); without it no frames come.
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Play the capture N times, an hour of frame time after each other; 0: until the end.
    #[arg(long = "loop", value_name = "N", default_value_t = 1, requires = "pcap")]
    pub passes: u64,
    /// At most so many frames in a second.
    #[arg(long, value_name = "FRAMES", requires = "pcap", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// Network interfaces as ports that are listened to.
    #[arg(long, value_name = "IF", value_delimiter = ',', conflicts_with_all = ["pcap", "inline"])]
    pub tap: Vec<String>,
    /// Two network interfaces as ports that are joined: frames go from one to the other.
    #[arg(long, value_name = "IF1,IF2", value_delimiter = ',', conflicts_with = "pcap")]
    pub inline: Vec<String>,
    /// With --tap or --inline, once they are open: become this user (a name of /etc/passwd, or USER:GROUP in numbers). Capabilities
    /// are given up with or without it (system.drop-privileges). Default: system.user of the configuration
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Say nothing but errors.
    #[arg(short, long)]
    pub quiet: bool,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArguments,
}

/// `weir device info`
#[derive(Debug, Args)]
pub struct DeviceInfoArguments {
    /// Which device: sim, vfio-user:SOCKET or vfio:ADDRESS.
    #[arg(long, value_name = "DEVICE", default_value = "sim")]
    pub device: DeviceName,
    /// As one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArguments,
}

/// `weir device counters`
#[derive(Debug, Args)]
pub struct CountersArguments {
    /// Which device: sim, vfio-user:SOCKET or vfio:ADDRESS.
    #[arg(long, value_name = "DEVICE", default_value = "sim")]
    pub device: DeviceName,
    /// Rules.
    #[command(flatten)]
    pub rules: RuleArguments,
    /// Capture to run; without it the bundled example with its rules.
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Show the conservation identities instead; exit code 1 if one is broken.
    #[arg(long)]
    pub check: bool,
    /// Show counters that are zero as well.
    #[arg(long)]
    pub all: bool,
    /// As one JSON object: counters, guards, identities.
    #[arg(long)]
    pub json: bool,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArguments,
}

/// What inspects in front of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Device {
    /// The simulated NIC: a bit-exact software model of the pre-filter. No hardware is involved.
    Sim,
    /// The pre-filter's RTL under Verilator: far slower, for tests of the hardware. No hardware is involved.
    Rtl,
    /// Nothing: the engine inspects every packet.
    None,
}
