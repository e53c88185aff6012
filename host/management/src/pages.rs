//! The pages that come from the table of keys.

use crate::config::{Config, SECTIONS};
use crate::key::keys;
use crate::value::quote;
use std::fmt::Write;

/// A first `weir.toml`, with the keys that most sites set.
pub const STARTER: &str = r#"# weir.toml: configuration of Weir. Every key is optional; `weir config docs` describes all of them.
# `--set KEY=VALUE` on the command line goes on top, for example `--set vars.HOME_NET=any`.

[vars]
# What the rules protect, and what they protect it from: addresses, networks, lists, negation.
HOME_NET = "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]"
EXTERNAL_NET = "!$HOME_NET"
# Servers and ports by role; the built-in values follow HOME_NET and the well-known ports.
# HTTP_SERVERS = "$HOME_NET"
# HTTP_PORTS = "[80,8080]"

[rules]
# Files, or directories of *.rules. Relative paths start at this file.
# files = ["rules"]
# classification-file = "classification.config"
# reference-file = "reference.config"
# threshold-file = "threshold.config"

[capture]
# "ignore" for captures taken on a host that leaves checksums to its network card.
checksums = "validate"

[stream]
# Follow TCP sessions whose start was not seen.
midstream = false
# Bytes of each direction that are put together.
# reassembly.depth = "1 MiB"

[device]
# Rings in host memory, per queue. A larger history means fewer flows handed over before they end.
# queues = 1
# history-size = "64 MiB"
# flow-entries = 65536
# fail-mode = "open"

[output]
# Records of eve.json besides alerts.
flow = false
anomaly = false
# payload = true
# community-id = true
"#;

/// The configuration as a file that would give it, keys in the order of the reference page.
pub fn show(config: &Config) -> String {
    let mut out = String::new();
    for (name, text) in &config.vars {
        let _ = writeln!(out, "vars.{name} = {}", quote(text));
    }
    for key in keys() {
        let _ = writeln!(out, "{} = {}", key.name, (key.show)(config));
    }
    out
}

/// The keys that differ from the defaults, and all variables.
pub fn show_changed(config: &Config) -> String {
    let defaults = Config::default();
    let mut out = String::new();
    for (name, text) in &config.vars {
        let _ = writeln!(out, "vars.{name} = {}", quote(text));
    }
    for key in keys().filter(|key| (key.show)(config) != (key.show)(&defaults)) {
        let _ = writeln!(out, "{} = {}", key.name, (key.show)(config));
    }
    out
}

/// docs/reference/configuration.md
pub fn reference_page() -> String {
    let defaults = Config::default();
    let mut out = String::from(
        "# Configuration\n\n\
         Written by `weir config docs` from the table of keys; do not edit.\n\n\
         Weir reads the TOML file given with `--config`, then each `--set KEY=VALUE`. Names below are dotted:\n\
         `stream.reassembly.depth` is `depth` in `[stream.reassembly]`. An unknown key, a wrong type or an impossible\n\
         value is an error with its place; nothing is ignored silently.\n\n\
         ## vars\n\n\
         `vars.NAME` defines the variable `$NAME` of rules: addresses or ports, as text (`\"[10.0.0.0/8,!10.1.0.0/16]\"`,\n\
         `\"any\"`), a number, or a list. `weir config show` prints the built-in ones with their values.\n",
    );
    for section in SECTIONS {
        let name = section.keys.first().and_then(|key| key.name.split('.').next()).unwrap_or_default();
        let _ = write!(
            out,
            "\n## {name}\n\n{}\n\n| key | type | default | meaning |\n|---|---|---|---|\n",
            section.doc.trim()
        );
        for key in section.keys {
            let cell = |text: &str| text.replace('|', "\\|");
            let _ = writeln!(
                out,
                "| `{}` | {} | `{}` | {} |",
                key.name,
                cell(&(key.kind)()),
                cell(&(key.show)(&defaults)),
                cell(key.doc)
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_is_shown_can_be_read() {
        let mut config = Config::default();
        config.set("vars.HOME_NET", "any").unwrap();
        config.set("device.queues", "4").unwrap();
        config.set("rules.files", "a.rules,b").unwrap();
        let mut again = Config::default();
        again.merge_text("shown", &show(&config)).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn the_starter_is_the_default_with_and_without_its_comments() {
        let mut config = Config::default();
        config.merge_text("starter", STARTER).unwrap();
        config.vars.clear();
        assert_eq!(config, Config::default());
        let uncommented: String = STARTER
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.contains(" = ") => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        Config::default().merge_text("starter", &uncommented).unwrap();
        assert!(STARTER.lines().count() <= 45);
    }

    #[test]
    fn names_are_unique_and_documented() {
        let names: BTreeSet<_> = keys().map(|key| key.name).collect();
        assert_eq!(names.len(), keys().count());
        assert!(keys().all(|key| key.doc.ends_with('.') && key.name.contains('.')));
    }

    #[test]
    fn the_committed_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/configuration.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == reference_page(), "docs/reference/configuration.md: run `weir config docs > {path}`");
    }
}
