//! Arguments: names are fixed by the design, so that scripts can rely on them.

mod device;
mod rules;
mod tables;

pub use device::*;
pub use rules::*;
pub use tables::*;

use crate::attached::DeviceName;
use crate::exit;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  weir run --rules emerging-all.rules --pcap day.pcap           alerts in log/eve.json, totals in log/stats.json
  weir run --rules rules/ --pcap day.pcap --set vars.HOME_NET=any --set capture.checksums=ignore
  weir rules check --rules rules/                               what does not load, and why
  weir audit equivalence --rules rules/ --pcap captures/        are the alerts behind the device those of the full engine?
  weir rules explain 2002383 --rules rules/                     what Weir makes of a rule";

const RUN_EXAMPLES: &str = "Examples:
  weir run --example                                            the bundled rules and traffic
  weir run --rules emerging-all.rules --pcap day.pcap           alerts in log/eve.json, totals in log/stats.json
  weir run --rules rules/ --pcap day.pcap --device none         everything in software, no device
  weir run --rules rules/ --pcap day.pcap --log-dir /var/log/weir --config weir.toml
  weir run --rules rules/ --tap eth1,eth2                       listen; needs CAP_NET_RAW and CAP_NET_ADMIN
  weir run --rules rules/ --inline eth1,eth2                    stand between, drop and reject
  weir run --rules rules/ --inline xdp:eth1,xdp:eth2            by AF_XDP
  weir run --rules rules/ --inline nfqueue:0-3                  give verdicts to packets that the firewall queues
  weir run --rules rules/ --device vfio-user:/run/weir-nic.sock  frames come from `weir sim serve --pcap`
  weir run --rules new/ --device vfio-user:/run/weir-nic.sock --control /run/weir.sock --replace   the next host, in place
  weir run --rules rules/ --device vfio:0000:03:00.0            a function that `weir device list` shows

Ctrl-C or SIGTERM ends a run with its summary; a second one ends it at once.";

const SURICATA_EXAMPLES: &str = "The device is chosen by WEIR_DEVICE: sim (the default) or none.

Examples:
  weir suricata -c suricata.yaml -S local.rules -r day.pcap -l log/ -k none
  WEIR_DEVICE=none weir suricata -c suricata.yaml -r day.pcap -l log/ --simulate-ips --set stream.midstream=true";

/// Intrusion prevention that inspects on the CPU only what a device in front of it flags.
#[derive(Debug, Parser)]
#[command(name = "weir", version, max_term_width = 110, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::TABLE))]
pub struct Arguments {
    /// Command.
    #[command(subcommand)]
    pub command: Command,
    /// Say more on stderr (-v: progress of stages, -vv: details, -vvv: everything).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Inspect a capture or live traffic: alerts to DIR/eve.json, totals to DIR/stats.json, a summary to the terminal.
    #[command(after_help = RUN_EXAMPLES, after_long_help = format!("{RUN_EXAMPLES}\n\n{}", exit::TABLE))]
    Run(RunArguments),
    /// Check, count and explain rules.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Make and look at the tables that a device loads.
    #[command(subcommand)]
    Tables(TablesCommand),
    /// Ask a device what it is and what it counted.
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Serve the simulated NIC to another process: to `weir run --device vfio-user:SOCKET`, or to a virtual machine.
    #[command(subcommand)]
    Sim(SimCommand),
    /// Prove what Weir promises on captures of your own.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Show, check and describe the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Suricata's command line: its options and its configuration file, with Weir's engine.
    #[command(after_help = SURICATA_EXAMPLES, args_override_self = true)]
    Suricata(Box<crate::suricata::SuricataArguments>),
    /// Switch offloads on again once the input ends: a process of `weir run`.
    #[command(hide = true)]
    RestoreOffloads {
        /// Interface and names.
        #[arg(value_name = "IF=NAME,...")]
        offloads: Vec<String>,
    },
    /// Version, and what this build can do.
    Version,
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Args)]
pub struct ConfigArguments {
    /// Configuration file (TOML). Without it the defaults hold.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one key on top of the file; may be repeated. `weir config docs` lists the keys.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// `weir config`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read a configuration and report every problem with its place.
    Check(ConfigArguments),
    /// Print the configuration in force, defaults included, as TOML.
    Show(ConfigArguments),
    /// Print the reference page of all keys (Markdown).
    Docs,
    /// Print a commented first weir.toml.
    Starter,
    /// Translate a suricata.yaml: weir.toml to stdout, what was not taken over to stderr.
    Import {
        /// The suricata.yaml.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Which running Weir.
#[derive(Debug, Args)]
pub struct ControlArguments {
    /// Control socket of the running Weir. Default: control.socket of the configuration
    #[arg(long, value_name = "SOCKET")]
    pub control: Option<PathBuf>,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArguments,
}

/// Where the rules come from.
#[derive(Debug, Clone, Args)]
pub struct RuleArguments {
    /// Rule files, or directories of *.rules; may be repeated.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub rules: Vec<PathBuf>,
}

/// What the planner expects of traffic.
#[derive(Debug, Clone, Default, Args)]
pub struct ProfileArguments {
    /// Plan by this traffic in the place of the built-in statistics: captures, directories of captures, or a file that
    /// --save-profile wrote. It is run once behind the simulated device. Which alerts are raised does not depend on it.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub profile: Vec<PathBuf>,
    /// Write what was learned, for later builds: rates and sampled facts of frames, no payload, addresses as networks.
    #[arg(long, value_name = "FILE", requires = "profile")]
    pub save_profile: Option<PathBuf>,
}

/// `weir audit`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Run captures through the full engine and behind the device, and compare every alert.
    #[command(after_long_help = exit::TABLE)]
    Equivalence(EquivalenceArguments),
}

/// `weir audit equivalence`
#[derive(Debug, Args)]
pub struct EquivalenceArguments {
    /// Rules.
    #[command(flatten)]
    pub rules: RuleArguments,
    /// Captures, or directories that are searched for them; may be repeated.
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    pub pcap: Vec<PathBuf>,
    /// Traffic to plan by.
    #[command(flatten)]
    pub profile: ProfileArguments,
    /// Look at every N-th capture only.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub every: u32,
    /// What inspects in front of the host.
    #[arg(long, value_enum, default_value = "sim")]
    pub device: Device,
    /// Write the result as JSON, a capture an entry.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Exchange the rules every N frames while they come, on the device and on the host: what is said in each epoch must be
    /// what its rules say alone.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub swaps: Option<u64>,
    /// Rules that take turns with --rules; without, the same rules under other hash constants.
    #[arg(long, value_name = "PATH", num_args = 1.., requires = "swaps")]
    pub swap_rules: Vec<PathBuf>,
    /// Differences printed per capture.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub show: usize,
    /// No progress bar, and no line for captures that are equal.
    #[arg(short, long)]
    pub quiet: bool,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArguments,
}

/// `weir run`
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Rules.
    #[command(flatten)]
    pub rules: RuleArguments,
    /// Capture file (pcap or pcapng).
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Listen to network interfaces; may be repeated, or a list with commas. xdp:IF: by AF_XDP, which takes frames away from the
    /// host's own stack.
    #[arg(long, value_name = "IF", value_delimiter = ',', conflicts_with_all = ["pcap", "example", "inline", "passes", "rate"])]
    pub tap: Vec<String>,
    /// Stand between two network interfaces: frames go from one to the other unless they are dropped or rejected
    /// (xdp:IF: by AF_XDP). Or give verdicts to packets that the firewall of this host queues: nfqueue:N, or nfqueue:N-M for several queues.
    #[arg(long, value_name = "IF1,IF2", value_delimiter = ',', conflicts_with_all = ["pcap", "example", "passes", "rate"])]
    pub inline: Vec<String>,
    /// With --tap or --inline: end after so many frames.
    #[arg(long, value_name = "N")]
    pub frames: Option<u64>,
    /// With --tap or --inline: end after so many seconds.
    #[arg(long, value_name = "S")]
    pub seconds: Option<u64>,
    /// Run the bundled example: made-up office traffic and a few rules.
    #[arg(long, conflicts_with_all = ["pcap", "rules"])]
    pub example: bool,
    /// Rules and tables from a bundle that `weir tables build --key` wrote, in the place of --rules.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rules", "example"], requires = "public_key")]
    pub bundle: Option<PathBuf>,
    /// Public key that bundles must be signed with: that of --bundle, and those deployed later.
    #[arg(long, value_name = "FILE")]
    pub public_key: Option<PathBuf>,
    /// File that notes which bundles were accepted, so that no older one is later. Default: KEY.pub.accepted
    #[arg(long, value_name = "FILE", requires = "public_key")]
    pub bundle_state: Option<PathBuf>,
    /// Listen at this Unix socket for `weir tables deploy|status|rollback|history`. Bundles must be signed with
    /// --public-key. Default: control.socket of the configuration
    #[arg(long, value_name = "SOCKET")]
    pub control: Option<PathBuf>,
    /// Take the device over from the Weir that listens at --control, once rules are loaded and tables ready, without a reset
    /// between. For --device vfio-user:SOCKET.
    #[arg(long, conflicts_with_all = ["pcap", "tap", "inline", "example"])]
    pub replace: bool,
    /// Play the capture N times, an hour of frame time after each other; 0: until Ctrl-C.
    #[arg(long = "loop", value_name = "N", default_value_t = 1)]
    pub passes: u64,
    /// At most so many frames in a second.
    #[arg(long, value_name = "FRAMES", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// What inspects in front of the host: sim, rtl or none; or a device that has frames of its own, in the place of
    /// --pcap: vfio-user:SOCKET (a simulated NIC that `weir sim serve` serves) or vfio:ADDRESS (a PCI function).
    #[arg(long, value_name = "DEVICE", default_value = "sim")]
    pub device: DeviceName,
    /// Live, once interfaces and device are open: become this user (a name of /etc/passwd, or USER:GROUP in numbers). Capabilities
    /// are given up with or without it (system.drop-privileges). Default: system.user of the configuration
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Directory of eve.json and stats.json; made if it is missing.
    #[arg(long, value_name = "DIR", default_value = "log")]
    pub log_dir: PathBuf,
    /// Traffic to plan by.
    #[command(flatten)]
    pub profile: ProfileArguments,
    /// Do not run if more than so many per cent of the frames are expected at the host: exit code 5, and the rules that
    /// cost most.
    #[arg(long, value_name = "PERCENT", conflicts_with = "bundle")]
    pub max_host_share: Option<f64>,
    /// Measure what each rule costs: the most expensive ones to the terminal, all to DIR/rule-profile.json.
    #[arg(long)]
    pub profile_rules: bool,
    /// No summary and no progress bar.
    #[arg(short, long)]
    pub quiet: bool,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArguments,
}
