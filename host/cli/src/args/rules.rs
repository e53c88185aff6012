//! Arguments of `weir rules`.

use super::{ConfigArguments, ProfileArguments, RuleArguments};
use clap::{Args, Subcommand};
use std::path::PathBuf;

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
  weir rules cost --rules rules/ --measure day.pcap      and what flagged its frames, measured
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
    /// Also run these captures, or directories of captures, behind the simulated device, and tell what flagged their frames;
    /// --top limits this as well.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub measure: Vec<PathBuf>,
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
