//! Suricata's command line, as far as scripts and test runners use it.

use clap::Args;
use std::path::PathBuf;

/// `weir suricata`
#[derive(Debug, Clone, Default, Args)]
#[command(disable_version_flag = true)]
pub struct SuricataArguments {
    /// Configuration file.
    #[arg(short = 'c', value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Capture file, or directory of captures (oldest first).
    #[arg(short = 'r', value_name = "PATH")]
    pub read: Option<PathBuf>,
    /// These rules besides those of the configuration; `*` and `?` are expanded.
    #[arg(short = 's', value_name = "FILE")]
    pub rules: Vec<String>,
    /// These rules only.
    #[arg(short = 'S', value_name = "FILE")]
    pub exclusive_rules: Option<String>,
    /// Log directory.
    #[arg(short = 'l', value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// Checksums: all, or none to take every one for right.
    #[arg(short = 'k', value_name = "MODE")]
    pub checksums: Option<String>,
    /// Test the configuration and the rules, then end.
    #[arg(short = 'T')]
    pub test: bool,
    /// Version.
    #[arg(short = 'V')]
    pub version: bool,
    /// Set one value of the configuration; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// One more configuration file on top; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub include: Vec<PathBuf>,
    /// Threads; Weir's runs do not depend on them.
    #[arg(long, value_name = "MODE")]
    pub runmode: Option<String>,
    /// Decide as an inline system would: packets are dropped, in the log.
    #[arg(long)]
    pub simulate_ips: bool,
    /// A rule that does not load ends the run before it begins.
    #[arg(long)]
    pub init_errors_fatal: bool,
    /// Keywords whose values must be right even where Suricata is lenient, or all.
    #[arg(long, value_name = "KEYWORDS", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    pub strict_rule_keywords: Option<String>,
    /// Write what becomes of each rule to rules.json.
    #[arg(long)]
    pub engine_analysis: bool,
    /// No rules, only logs.
    #[arg(long)]
    pub disable_detection: bool,
    /// Rules of the firewall table; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub firewall_rules_exclusive: Vec<PathBuf>,
    /// Firewall mode: what no rule accepts is dropped.
    #[arg(long)]
    pub firewall: bool,
    /// Directory of datasets and other state.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Sizes are never random in Weir.
    #[arg(long)]
    pub no_random: bool,
    /// Wait for more of the capture file.
    #[arg(long)]
    pub pcap_file_continuous: bool,
    /// Search the capture directory's subdirectories as well.
    #[arg(long)]
    pub pcap_file_recursive: bool,
    /// Delete each capture when it is done.
    #[arg(long)]
    pub pcap_file_delete: bool,
    /// Print the configuration and end.
    #[arg(long)]
    pub dump_config: bool,
    /// Print what the build can do and end.
    #[arg(long)]
    pub build_info: bool,
    /// Print the keywords and end.
    #[arg(long, value_name = "KEYWORD", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub list_keywords: Option<String>,
    /// Print the protocols and end.
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    pub list_app_layer_protos: Option<String>,
    /// Print the frames that rules may name and end.
    #[arg(long)]
    pub list_app_layer_frames: bool,
    /// User that the process becomes; Weir reads captures as the user who starts it.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Group that the process becomes.
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Berkeley packet filter.
    #[arg(value_name = "FILTER")]
    pub filter: Vec<String>,
}
