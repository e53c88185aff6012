//! Arguments of `weir tables`.

use super::{ConfigArguments, ControlArguments, ProfileArguments, RuleArguments};
use crate::exit;
use clap::{Args, Subcommand};
use std::path::PathBuf;

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
