//! `weir suricata`: from its arguments to a run.

use super::import::{self, Imported};
use super::log::{EngineLog, Level};
use super::options::SuricataArguments;
use super::outputs::{self, Output};
use super::tree::Node;
use crate::args::Device;
use crate::commands::run::{inspect, references};
use crate::exit::{FINDINGS, Failure, OK, OrExit, USAGE};
use crate::out::{out, outln};
use crate::pipeline::{self, Loaded, Source};
use crate::ruleset;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime};
use weir_management::{Checksums, Config};
use weir_output::{Captures, EveWriter, EventSink, FastLog, FileStore, OutputFile, RunTotals, StatsLog, Tee};

/// Suricata's version that Weir's behaviour is compared with.
pub const VERSION: &str = "8.0.8";

/// Largest file that is stored.
const STORED_MAX: u64 = 16 << 20;

/// Runs the command. Like Suricata's, its exit status is 0 or 1.
pub fn run(arguments: &SuricataArguments) -> Result<u8, Failure> {
    if arguments.version {
        outln!("This is Suricata version {VERSION} RELEASE (Weir {})", env!("CARGO_PKG_VERSION"));
        return Ok(OK);
    }
    if arguments.list_app_layer_frames {
        out!("{}", frames());
        return Ok(OK);
    }
    if let Some(which) = &arguments.list_keywords {
        return super::lists::keywords(which);
    }
    if arguments.list_app_layer_protos.is_some() {
        out!("{}", super::lists::protocols());
        return Ok(OK);
    }
    if arguments.build_info {
        out!("{}", build_info());
        return Ok(OK);
    }
    let fail = |failure: Failure| Failure { code: FINDINGS, ..failure };
    refuse(arguments).map_err(fail)?;
    let root = tree(arguments).map_err(fail)?;
    if arguments.dump_config {
        root.walk("", &mut |name, value| outln!("{name} = {value}"));
        return Ok(OK);
    }
    let directory = arguments
        .log_dir
        .clone()
        .or_else(|| root.text("default-log-dir").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("/var/log/suricata"));
    let mut log = EngineLog::default();
    let level = root.text("logging.default-log-level");
    log.details = level.is_some_and(|level| matches!(level, "info" | "perf" | "config" | "debug"));
    log.say(Level::Info, format!("This is Suricata version {VERSION} RELEASE (Weir {})", env!("CARGO_PKG_VERSION")));
    let result = work(arguments, &root, &directory, &mut log);
    if let Err(failure) = &result {
        let remedy = failure.remedy.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
        log.say(Level::Error, format!("{:#}{remedy}", failure.error));
    }
    log.write(&root, &directory, arguments.config.is_some());
    Ok(if result.is_ok() { OK } else { FINDINGS })
}

fn work(arguments: &SuricataArguments, root: &Node, directory: &Path, log: &mut EngineLog) -> Result<(), Failure> {
    exists("/etc/passwd", "user", arguments.user.as_deref().or(root.text("run-as.user")))?;
    exists("/etc/group", "group", arguments.group.as_deref().or(root.text("run-as.group")))?;
    if let Some(policy) = root.text("exception-policy") {
        log.say_of("exception-policy", Level::Info, format!("master exception-policy set to: {policy}"));
    }
    let here = std::env::current_dir().or_internal()?;
    let mut imported = import::import(root, &here, arguments.simulate_ips).map_err(|message| Failure {
        code: FINDINGS,
        error: anyhow::anyhow!(message),
        remedy: None,
    })?;
    if arguments.config.is_none() {
        imported.outputs = outputs::usual();
        // The configuration that Suricata comes with.
        let limits = &mut imported.config.app_layer;
        for (key, limit) in [
            ("request-body-limit", &mut limits.request_body_limit),
            ("response-body-limit", &mut limits.response_body_limit),
        ] {
            if root.text(&format!("app-layer.protocols.http.libhtp.default-config.{key}")).is_none() {
                limit.0 = 100 << 10;
            }
        }
    }
    let Imported { mut config, outputs, remarks } = imported;
    remarks.into_iter().for_each(|remark| log.say(Level::Info, remark));
    apply(arguments, &mut config);
    config.output.file_digests = outputs.iter().any(|output| match output {
        Output::Eve { options, .. } => options.file_digests.contains(&true),
        Output::FileStore { .. } => true,
        _ => false,
    });
    // What is stored must be kept.
    if outputs.iter().any(|output| matches!(output, Output::FileStore { .. })) {
        config.app_layer.body_limit.0 = config.app_layer.body_limit.0.max(STORED_MAX);
        let limits = &mut config.app_layer;
        for limit in [&mut limits.inflate_limit, &mut limits.request_body_limit, &mut limits.response_body_limit] {
            limit.0 = limit.0.max(STORED_MAX);
        }
    }
    if let Err(message) = crate::firewall::policies(&config.firewall.policies) {
        return Err(Failure { code: FINDINGS, error: anyhow::anyhow!(message), remedy: None });
    }
    let (loaded, files) = load(arguments, &config)?;
    // A rule that is meant for other versions is skipped, not wrong.
    let (other, wrong): (Vec<_>, Vec<_>) =
        loaded.ruleset.rejected.iter().partition(|d| d.cause == weir_rules::diag::Cause::Requires);
    for skipped in &other {
        if let Some(words) = &skipped.known_as {
            log.say_of("detect-parse", Level::Info, words.clone());
        }
        log.say(Level::Info, format!("skipping signature \"{}\": {}", skipped.excerpt.trim(), skipped.message));
    }
    for rejected in &wrong {
        let text = weir_rules::diag::render_text(rejected);
        if let Some(words) = &rejected.known_as {
            log.say_of("detect-parse", Level::Error, words.clone());
        }
        log.say_of("detect", Level::Error, format!("error parsing signature \"{}\": {text}", rejected.excerpt.trim()));
    }
    for refused in &loaded.refused {
        log.say_of("detect", Level::Error, format!("error parsing signature: {refused}"));
    }
    if loaded.totals.loaded == 0 && files > 0 {
        let text = format!("{files} rule files specified, but no rules were loaded!");
        log.say_of("detect", Level::Warning, text);
    } else {
        let text = format!(
            "{files} rule files processed. {} rules successfully loaded, {} rules failed, {} rules skipped",
            loaded.totals.loaded,
            wrong.len() + loaded.refused.len(),
            other.len()
        );
        log.say_of("detect", Level::Info, text);
    }
    log.say_of("detect", Level::Info, format!("{} signatures processed", loaded.totals.loaded));
    let stores = loaded.program.sources().iter().any(|rule| rule.app_layer.contains(&weir_ir::AppLayerCondition::FileStore));
    if stores && !outputs.iter().any(|output| matches!(output, Output::FileStore { .. })) {
        log.say_of(
            "detect",
            Level::Warning,
            "One or more rule(s) depends on the file-store output log which is not enabled. Enable the output \"file-store\".",
        );
    }
    let broken = !wrong.is_empty() || !loaded.refused.is_empty();
    if broken && (arguments.init_errors_fatal || arguments.test) {
        return Err(Failure {
            code: FINDINGS,
            error: anyhow::anyhow!("{} rules do not load", loaded.totals.rejected),
            remedy: Some("correct them, or leave --init-errors-fatal out".to_owned()),
        });
    }
    if arguments.test {
        log.say(Level::Notice, "Configuration provided was successfully loaded. Exiting.");
        return Ok(());
    }
    if arguments.engine_analysis {
        super::analysis::write(loaded.program.sources(), root, directory)?;
        return Ok(());
    }
    let Some(read) = &arguments.read else {
        return Err(Failure {
            code: USAGE,
            error: anyhow::anyhow!("there is nothing to read"),
            remedy: Some("name a capture file or a directory of them with -r".to_owned()),
        });
    };
    let totals = inspect_all(&loaded, &config, &outputs, directory, &captures(read, arguments.pcap_file_recursive)?)?;
    match &arguments.data_dir {
        Some(directory) => keep_datasets(directory, &totals),
        None => Ok(()),
    }
}

/// Writes the data sets that rules want kept. The compiler has checked that their paths stay below the directory.
fn keep_datasets(directory: &Path, totals: &RunTotals) -> Result<(), Failure> {
    for (file, content) in &totals.datasets {
        let path = directory.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(anyhow::Error::from).or_internal()?;
        }
        std::fs::write(&path, content).map_err(anyhow::Error::from).or_internal()?;
    }
    Ok(())
}

/// A user or group must exist, although captures are read as whoever starts the run.
fn exists(file: &str, kind: &str, name: Option<&str>) -> Result<(), Failure> {
    let Some(name) = name else { return Ok(()) };
    let known = std::fs::read_to_string(file).unwrap_or_default();
    // Field 1 is the name, field 3 the number (passwd(5), group(5)).
    let found = known.lines().any(|line| {
        let mut fields = line.split(':');
        fields.next() == Some(name) || fields.nth(1) == Some(name)
    });
    if found {
        return Ok(());
    }
    Err(Failure {
        code: FINDINGS,
        error: anyhow::anyhow!("{name}: unable to get the {kind} ID, check if {kind} exist!!"),
        remedy: Some(format!("name a {kind} of {file}, or leave run-as out")),
    })
}

/// Options that would change what Weir does, and that it has not.
fn refuse(arguments: &SuricataArguments) -> Result<(), Failure> {
    let option = match () {
        () if arguments.pcap_file_continuous => "--pcap-file-continuous",
        () if arguments.pcap_file_delete => "--pcap-file-delete",
        () if !arguments.filter.is_empty() => "a packet filter",
        () => return Ok(()),
    };
    Err(Failure { code: USAGE, error: anyhow::anyhow!("{option} is not supported by weir suricata"), remedy: None })
}

/// The configuration file with what the command line puts on top.
fn tree(arguments: &SuricataArguments) -> Result<Node, Failure> {
    let mut root = match &arguments.config {
        Some(path) => Node::load(path).or_usage()?,
        None => Node::default(),
    };
    for file in &arguments.include {
        root.merge_file(file).or_usage()?;
    }
    for argument in &arguments.set {
        root.set_argument(argument).or_usage()?;
    }
    Ok(root)
}

fn apply(arguments: &SuricataArguments, config: &mut Config) {
    match arguments.checksums.as_deref() {
        Some("none") => config.capture.checksums = Checksums::Ignore,
        Some("all") => config.capture.checksums = Checksums::Validate,
        _ => {}
    }
    config.inline.simulate |= arguments.simulate_ips;
    config.firewall.enabled |= arguments.firewall || !arguments.firewall_rules_exclusive.is_empty();
}

/// The rules, and the number of their files.
fn load(arguments: &SuricataArguments, config: &Config) -> Result<(Loaded, usize), Failure> {
    let start = Instant::now();
    let mut paths = Vec::new();
    match (&arguments.exclusive_rules, arguments.disable_detection) {
        (_, true) => {}
        (Some(pattern), false) => paths.extend(expand(pattern)),
        (None, false) => {
            for file in &config.rules.files {
                paths.extend(expand(&file.to_string_lossy()));
            }
            arguments.rules.iter().for_each(|pattern| paths.extend(expand(pattern)));
        }
    }
    let mut config = config.clone();
    // Beside the rules Suricata looks for nothing.
    for side in [&mut config.rules.classification, &mut config.rules.reference, &mut config.rules.threshold] {
        side.get_or_insert_with(|| PathBuf::from("/dev/null"));
    }
    let mut sources = ruleset::sources(&paths)?;
    let mut firewall_paths = arguments.firewall_rules_exclusive.clone();
    if firewall_paths.is_empty() {
        firewall_paths = config.firewall.files.clone();
    }
    if config.firewall.enabled {
        let mut own = ruleset::sources(&firewall_paths)?;
        own.iter_mut().for_each(|source| source.firewall = true);
        sources.splice(0..0, own);
        paths.extend(firewall_paths);
    }
    let set = ruleset::load_sources(&sources, Some((&paths, None)), &config)?;
    Ok((pipeline::compile(set, &config, start), sources.len()))
}

/// Files that a name with `*` and `?` in its last part stands for, in order; the name itself without those.
fn expand(pattern: &str) -> Vec<PathBuf> {
    if !pattern.contains(['*', '?']) {
        return vec![PathBuf::from(pattern)];
    }
    let path = Path::new(pattern);
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| matches(name.as_bytes(), entry.file_name().to_string_lossy().as_bytes()))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// `*` any text, `?` any byte.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut back) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p + 1, t));
                p += 1;
            }
            Some(&b) if b == b'?' || b == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match back {
                Some((after, from)) => {
                    p = after;
                    t = from + 1;
                    back = Some((after, t));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// Captures of `-r`, oldest file first where it is a directory.
fn captures(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    let mut directories = vec![path.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).or_input()?.flatten() {
            let file = entry.path();
            if file.is_dir() {
                if recursive {
                    directories.push(file);
                }
            } else if file.extension().is_some_and(|e| e == "pcap" || e == "pcapng") {
                let changed = entry.metadata().and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                found.push((changed, file));
            }
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, file)| file).collect())
}

/// The device of `WEIR_DEVICE`.
fn device() -> Result<Device, Failure> {
    match std::env::var("WEIR_DEVICE").as_deref() {
        Err(_) | Ok("sim" | "") => Ok(Device::Sim),
        Ok("none") => Ok(Device::None),
        Ok(other) => Err(Failure {
            code: USAGE,
            error: anyhow::anyhow!("WEIR_DEVICE={other}: there is no such device"),
            remedy: Some("sim or none".to_owned()),
        }),
    }
}

fn inspect_all(
    loaded: &Loaded,
    config: &Config,
    outputs: &[Output],
    directory: &Path,
    files: &[PathBuf],
) -> Result<RunTotals, Failure> {
    OutputFile::create_directory(directory).or_internal()?;
    let open = || Source::open_all(files);
    let mut source = open()?;
    let validate = pipeline::validates_checksums(config, &open)?;
    let create = |file: &str| OutputFile::create(&directory.join(file)).or_internal();
    let mut sinks = Tee::default();
    let mut eves = Vec::new();
    for output in outputs {
        match output {
            Output::Eve { file, options } => {
                let mut options = (**options).clone();
                options.references = references(loaded);
                fingerprints(loaded, &mut options);
                options.inline = config.inline.simulate;
                let mut eve = EveWriter::new(create(file)?, options);
                let names = files.iter().map(|f| f.display().to_string()).collect();
                eve.reading(Captures { names, starts: source.starts() });
                eves.push(eve);
            }
            Output::Fast { file } => sinks.push(Box::new(FastLog::new(create(file)?))),
            Output::Stats { file } => sinks.push(Box::new(StatsLog::new(create(file)?))),
            Output::FileStore { directory: below, all, fileinfo } => {
                sinks.push(Box::new(FileStore::new(directory.join(below), *all, *fileinfo)));
            }
        }
    }
    for eve in eves {
        sinks.push(Box::new(eve));
    }
    let stop = AtomicBool::new(false);
    let totals = inspect(device()?, true, loaded, config, validate, &mut source, &mut sinks, &stop)?;
    sinks.stats(totals.last_time, &totals);
    for remark in source.remarks() {
        tracing::info!("{remark}");
    }
    sinks.finish().or_internal()?;
    Ok(totals)
}

/// JA3 is logged where rules use it, unless the configuration says.
fn fingerprints(loaded: &Loaded, options: &mut weir_output::EveOptions) {
    use weir_ir::Buffer;
    let used = loaded.program.sources().iter().flat_map(|rule| &rule.buffers).any(|b| {
        matches!(b.buffer, Buffer::Ja3Hash | Buffer::Ja3String | Buffer::Ja3sHash | Buffer::Ja3sString)
    });
    if used {
        let tls = options.protocol_settings.entry("tls".to_owned()).or_default();
        tls.entry("ja3-fingerprints".to_owned()).or_insert_with(|| "yes".to_owned());
    }
}

/// Names of the frames, by transport.
fn frames() -> String {
    use weir_contract::protocol::AppProtocol as P;
    let mut text = "=========Supported App Layer Frames=========\n".to_owned();
    for frame in weir_ir::Buffer::frames() {
        let name = frame.name().trim_start_matches("frame:");
        let (tcp, udp) = match frame.protocol() {
            Some(P::Mdns) => (false, true),
            Some(P::Dns | P::Enip | P::Sip | P::Ldap) => (true, !name.ends_with(".stream")),
            _ => (true, false),
        };
        for (transport, carries) in [("tcp", tcp), ("udp", udp)] {
            if carries {
                text.push_str(&format!("{transport}: {name}\n"));
            }
        }
    }
    text
}

fn build_info() -> String {
    format!(
        "This is Suricata version {VERSION} RELEASE (Weir {})\nFeatures: HAVE_JA3 HAVE_JA4 MAGIC PCRE_JIT RUST\nSIMD support: run-time\n",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, same) in [
            ("*.rules", "a.rules", true),
            ("*.rules", "a.rulesx", false),
            ("a?c", "abc", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyy", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), same, "{pattern} {text}");
        }
    }
}
