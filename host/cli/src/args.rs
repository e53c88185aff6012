//! Arguments: names are fixed by the design, so that scripts can rely on them.

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
  weir run --rules rules/ --device vfio-user:/run/weir-nic.sock  frames come from `weir sim serve --pcap`
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

/// `weir tables`
#[derive(Debug, Subcommand)]
pub enum TablesCommand {
    /// Plan rules and write the table image that a device loads.
    #[command(after_help = "Examples:
  weir tables build --rules emerging-all.rules -o weir.tables
  weir tables build --rules rules/ --seed 1        the same bytes every time
  weir tables build --rules rules/ --key my.key -o rules.bundle
  weir tables build --rules rules/ --profile monday.pcap --save-profile site.profile
  weir tables build --rules rules/ --profile site.profile --max-host-share 15
  weir tables inspect weir.tables", after_long_help = exit::TABLE)]
    Build(BuildTablesArguments),
    /// Check a table image as a device does, and show what it holds.
    #[command(after_long_help = exit::TABLE)]
    Inspect(InspectTablesArguments),
    /// Say what changes on the wire between two table images: fragments, guards, records, sets, rules.
    #[command(after_help = DIFF_HELP)]
    Diff(DiffTablesArguments),
    /// Make a bundle the active one of a running Weir, between two frames.
    #[command(after_help = DEPLOY_HELP, after_long_help = exit::TABLE)]
    Deploy(DeployArguments),
    /// Which bundle is active in a running Weir, since when, and which rules its flows are judged by.
    #[command(after_long_help = exit::TABLE)]
    Status(StatusArguments),
    /// List what was accepted and refused: of a running Weir, or of a key.
    #[command(after_long_help = exit::TABLE)]
    History(HistoryArguments),
    /// Go back to the bundle before: in a running Weir, or, with --public-key and --to, in the notes of a key.
    #[command(after_help = "In a running Weir it is an exchange like any other, of the bundle as it was deployed. In the notes of a key, later
versions are forgotten, and the next `weir run --bundle` may use that version again.", after_long_help = exit::TABLE)]
    Rollback(RollbackArguments),
    /// Make a key pair for signing bundles.
    #[command(after_long_help = exit::TABLE)]
    Keygen(KeygenArguments),
    /// Prove from the rules and the bits of an image that no frame able to match is passed over.
    #[command(after_help = VERIFY_HELP, after_long_help = exit::TABLE)]
    Verify(VerifyTablesArguments),
}

const VERIFY_HELP: &str = "The checker shares no planning with the compiler: it asks of every rule for one thing that must be true of the
traffic if the rule matches, such that every frame of which it is true leads to a record that holds. Rules and
configuration must be those that the image was made from.

Examples:
  weir tables verify weir.tables --rules emerging-all.rules
  weir tables verify weir.tables --rules rules/ --mutants 1000 --seed 7     how much would it notice?";

const DEPLOY_HELP: &str = "Weir reads the file, checks signature, expiry, version, contract and geometry, compiles its rules, proves its tables from
them (control.proof), and activates tables and rules together between two frames. Whatever is refused changes nothing.

Examples:
  weir run --bundle 1.bundle --public-key k.pub --control /run/weir.sock --pcap day.pcap --loop 0 --rate 50000
  weir tables deploy 2.bundle --control /run/weir.sock
  weir tables status --control /run/weir.sock --json
  weir tables rollback --control /run/weir.sock";

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

/// `weir tables deploy`
#[derive(Debug, Args)]
pub struct DeployArguments {
    /// Bundle, from `weir tables build --key`.
    #[arg(value_name = "BUNDLE")]
    pub file: PathBuf,
    /// As one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Which Weir.
    #[command(flatten)]
    pub control: ControlArguments,
}

/// `weir tables status`
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// As one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Which Weir.
    #[command(flatten)]
    pub control: ControlArguments,
}

/// `weir tables keygen`
#[derive(Debug, Args)]
pub struct KeygenArguments {
    /// File of the private key, mode 0600; the public key goes to FILE.pub. No file is written over.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `weir tables history`
#[derive(Debug, Args)]
pub struct HistoryArguments {
    /// Public key, in the place of a running Weir.
    #[arg(long, value_name = "FILE", conflicts_with = "control")]
    pub public_key: Option<PathBuf>,
    /// File that notes accepted bundles. Default: KEY.pub.accepted
    #[arg(long, value_name = "FILE")]
    pub bundle_state: Option<PathBuf>,
    /// As one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Which Weir.
    #[command(flatten)]
    pub control: ControlArguments,
}

/// `weir tables rollback`
#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// Public key, in the place of a running Weir.
    #[arg(long, value_name = "FILE", conflicts_with = "control", requires = "to")]
    pub public_key: Option<PathBuf>,
    /// Version that may be used again.
    #[arg(long, value_name = "VERSION", requires = "public_key")]
    pub to: Option<u64>,
    /// File that notes accepted bundles. Default: KEY.pub.accepted
    #[arg(long, value_name = "FILE", requires = "public_key")]
    pub bundle_state: Option<PathBuf>,
    /// As one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Which Weir.
    #[command(flatten)]
    pub control: ControlArguments,
}

/// `weir tables verify`
#[derive(Debug, Args)]
pub struct VerifyTablesArguments {
    /// Table image or bundle.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Rules.
    #[command(flatten)]
    pub rules: RuleArguments,
    /// Change the image in so many ways, one at a time, and say how many changes are noticed.
    #[arg(long, value_name = "N")]
    pub mutants: Option<u64>,
    /// Seed of the changes.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Rules without a proof that are printed; the JSON has all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub show: usize,
    /// As one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArguments,
}

const DIFF_HELP: &str = "Examples:
  weir tables diff yesterday.tables today.tables
  weir tables diff a.tables b.tables --json diff.json --show 0

Exit codes, those of diff(1):
  0  both look for the same and divert the same
  1  they differ
  2  no answer: wrong arguments, or an image that cannot be read or that a device would refuse
  4  a fault of Weir or of the system";

/// `weir tables diff`
#[derive(Debug, Args)]
pub struct DiffTablesArguments {
    /// Table image before.
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// Table image after.
    #[arg(value_name = "B")]
    pub after: PathBuf,
    /// Write all differences as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Entries printed per kind; the JSON file has all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub show: usize,
}

/// `weir tables build`
#[derive(Debug, Args)]
pub struct BuildTablesArguments {
    /// Rules.
    #[command(flatten)]
    pub rules: RuleArguments,
    /// File to write; an older one of that name is replaced once the new one is whole.
    #[arg(short, long, value_name = "FILE", default_value = "weir.tables")]
    pub output: PathBuf,
    /// Seed of the hash constants, for images that are the same every time. Without it the seed is random, so that no
    /// sender can aim at collisions.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Write a signed bundle: tables, host program and manifest. FILE is the private key, from `weir tables keygen`.
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Version of the bundle: older ones are not accepted after it. Default: the time, in seconds.
    #[arg(long, value_name = "N", requires = "key")]
    pub bundle_version: Option<u64>,
    /// Days until the bundle may not be used any more.
    #[arg(long, value_name = "DAYS", default_value_t = 30, requires = "key")]
    pub expires: u64,
    /// Tables that send every frame, for runs that log more than alerts.
    #[arg(long)]
    pub everything: bool,
    /// Traffic to plan by.
    #[command(flatten)]
    pub profile: ProfileArguments,
    /// Write nothing if more than so many per cent of the frames are expected at the host: exit code 5, and the rules that
    /// cost most.
    #[arg(long, value_name = "PERCENT")]
    pub max_host_share: Option<f64>,
    /// As one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArguments,
}

/// `weir tables inspect`
#[derive(Debug, Args)]
pub struct InspectTablesArguments {
    /// Table image or bundle.
    pub file: PathBuf,
    /// Public key that a bundle must be signed with.
    #[arg(long, value_name = "FILE")]
    pub public_key: Option<PathBuf>,
    /// As one JSON object.
    #[arg(long)]
    pub json: bool,
}

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

/// `weir run`
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Rules.
    #[command(flatten)]
    pub rules: RuleArguments,
    /// Capture file (pcap or pcapng).
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Listen to network interfaces; may be repeated, or a list with commas.
    #[arg(long, value_name = "IF", value_delimiter = ',', conflicts_with_all = ["pcap", "example", "inline", "passes", "rate"])]
    pub tap: Vec<String>,
    /// Stand between two network interfaces: frames go from one to the other unless they are dropped or rejected.
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

/// `weir rules`
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Load rules and report each one that cannot be used: file, line, column, cause, remedy.
    #[command(after_help = "Exit code 1 when a rule is rejected.\n\nExamples:
  weir rules check --rules local.rules
  weir rules check --rules rules/ --brief          one line per rule
  weir rules check --rules rules/ --json | jq .cause | sort | uniq -c")]
    Check(CheckArguments),
    /// Count rules by protocol, action, keyword of interest and cause of rejection.
    Stats(StatsArguments),
    /// Rank rules by what they are expected to send to the host.
    #[command(after_help = "Examples:
  weir rules cost --rules rules/                   every rule above 0.1 %
  weir rules cost --rules rules/ --profile day.pcap      by traffic of yours
  weir rules cost --rules rules/ --least 0 --top 50")]
    Cost(CostArguments),
    /// Show what Weir makes of a rule: its conditions, what the device looks for and why, what that is expected to cost.
    #[command(after_help = "Exit code 1 when a rule of that number does not load.\n\nExamples:
  weir rules explain 2049400 --rules emerging-all.rules
  weir rules explain 2049400 2049401 --rules rules/ --profile site.pcap --json")]
    Explain(ExplainArguments),
    /// Try a rule on captures: does it load, where does it match, and what does it cost behind the (simulated) device?
    #[command(after_help = TEST_HELP)]
    Test(TestArguments),
}

const TEST_HELP: &str = "The device is simulated, and its tables hold the rules given here alone.

Examples:
  weir rules test --rule 'alert http any any -> any any (msg:\"x\"; http.uri; content:\"/x\"; sid:1;)' --pcap a.pcap
  weir rules test --rules local.rules --pcap captures/ --show 50 --json result.json

Exit codes, those of grep(1) and one more:
  0  a rule under test matches
  1  none does
  2  no answer: wrong arguments, a rule under test that does not load, a capture that cannot be read
  3  alerts behind the device differ from those of the full engine: please report it
  4  a fault of Weir or of the system";

/// `weir rules test`
#[derive(Debug, Args)]
pub struct TestArguments {
    /// Rule under test, as text; may be repeated.
    #[arg(long, value_name = "RULE", required_unless_present = "rules")]
    pub rule: Vec<String>,
    /// Rule files: under test themselves; beside --rule they only stand behind it (flowbits that they set, say).
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub rules: Vec<PathBuf>,
    /// Captures, or directories that are searched for them; may be repeated.
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    pub pcap: Vec<PathBuf>,
    /// Rows printed per table; totals and the JSON file count all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub show: usize,
    /// Write the result as JSON, every match an entry.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// No progress bar.
    #[arg(short, long)]
    pub quiet: bool,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArguments,
}

/// `weir rules check`
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Rules.
    #[command(flatten)]
    pub rules: RuleArguments,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// One line per problem.
    #[arg(long, conflicts_with = "json")]
    pub brief: bool,
    /// One JSON object per problem.
    #[arg(long)]
    pub json: bool,
    /// Also report what is legal but suspicious.
    #[arg(long)]
    pub warnings: bool,
}

/// `weir rules cost`
#[derive(Debug, Args)]
pub struct CostArguments {
    /// Rules.
    #[command(flatten)]
    pub rules: RuleArguments,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Least expected share of frames, in per cent.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.1)]
    pub least: f64,
    /// At most so many rules.
    #[arg(long, value_name = "N")]
    pub top: Option<usize>,
    /// Traffic to plan by.
    #[command(flatten)]
    pub profile: ProfileArguments,
    /// As one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `weir rules stats`
#[derive(Debug, Args)]
pub struct StatsArguments {
    /// Rules.
    #[command(flatten)]
    pub rules: RuleArguments,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// As one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `weir rules explain`
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// Signature ids.
    #[arg(value_name = "SID", required = true)]
    pub sids: Vec<u32>,
    /// Rules.
    #[command(flatten)]
    pub rules: RuleArguments,
    /// Traffic to plan by.
    #[command(flatten)]
    pub profile: ProfileArguments,
    /// Do not prove anew that no frame able to match is passed over.
    #[arg(long)]
    pub no_proof: bool,
    /// As one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArguments,
}
