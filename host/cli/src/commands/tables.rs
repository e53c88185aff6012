//! `weir tables`: the image that the device loads, made and looked at.

use super::{configuration, right, table};
use crate::args::{BuildTablesArguments, InspectTablesArguments, TablesCommand};
use crate::exit::{Failure, INPUT, OK, OrExit};
use crate::out::outln;
use crate::planning::Planning;
use crate::{bundle, device, pipeline, ruleset};
use comfy_table::Cell;
use serde_json::json;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use weir_bundle::{Bundle, PrivateKey, PublicKey};
use weir_contract::constants as c;
use weir_contract::enums::{BlockFlags, BlockType, TableError};
use weir_contract::guards::Guard;
use weir_contract::layouts::ImageHeader;
use weir_output::summary::{group, percent};
use weir_rules::image::{ImageOptions, ImageReport, random_seed};
use weir_rules::plan::{Class, Options};
use weir_sim::literal::LengthTable;
use weir_sim::tables::Tables;

pub fn run(command: &TablesCommand) -> Result<u8, Failure> {
    match command {
        TablesCommand::Build(arguments) => build(arguments),
        TablesCommand::Inspect(arguments) => inspect(arguments),
        TablesCommand::Diff(arguments) => super::tables_diff::run(arguments),
        TablesCommand::Deploy(arguments) => super::tables_deploy::deploy(arguments),
        TablesCommand::Status(arguments) => super::tables_deploy::status(arguments),
        TablesCommand::History(arguments) => super::tables_deploy::history(arguments),
        TablesCommand::Rollback(arguments) => super::tables_deploy::rollback(arguments),
        TablesCommand::Keygen(arguments) => keygen(&arguments.file),
        TablesCommand::Verify(arguments) => super::tables_verify::run(arguments),
    }
}

fn keygen(path: &Path) -> Result<u8, Failure> {
    let (public, key) = weir_bundle::generate(path).map_err(bundle::bad_key)?;
    outln!("{}: private key, keep it to yourself", path.display());
    outln!("{}: public key {}, for those who run your bundles", public.display(), key.id());
    Ok(OK)
}

/// Bytes of the largest image that is read.
const IMAGE_MAX: u64 = c::IMAGE_LENGTH_MAX;

fn build(arguments: &BuildTablesArguments) -> Result<u8, Failure> {
    let config = configuration(&arguments.config)?;
    // A key that cannot be used is told before the work.
    let key = arguments.key.as_deref().map(PrivateKey::read).transpose().map_err(bundle::bad_key)?;
    let paths = ruleset::paths(&arguments.rules, &config)?;
    let begin = std::time::Instant::now();
    let inputs = ruleset::Inputs::gather(ruleset::sources(&paths)?, &paths, &config)?;
    let (set, files) = inputs.load_keeping()?;
    let mut loaded = pipeline::compile(set, &config, begin);
    loaded.planning = Planning::read(&arguments.profile, &loaded, &config, arguments.json)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let image_options = match arguments.seed {
        Some(seed) => ImageOptions { seed, ..ImageOptions::default() },
        None => ImageOptions { seed: random_seed(), created: now, ..ImageOptions::default() },
    };
    let everything = arguments.everything || device::needs_everything(&config);
    let tables = device::tables_as(&loaded, &Options { everything, ..Options::default() }, &image_options)?;
    super::cost::enforce(arguments.max_host_share, &loaded, &tables, arguments.json)?;
    // What cannot be loaded must not be written.
    Tables::load(&tables.image.bytes).or_internal()?;
    let sealed = match &key {
        Some(key) => {
            let (program, ruleset) = bundle::pack(&inputs, &files, &loaded, &tables, everything)?;
            let image = tables.image.bytes.as_slice();
            let mut manifest = bundle::manifest(image, loaded.totals.loaded, ruleset, arguments.bundle_version, arguments.expires)?;
            manifest.profile = loaded.planning.profile.as_ref().map(|profile| weir_bundle::PlannedBy {
                digest: profile.digest.clone(),
                source: profile.head.source.clone(),
                frames: profile.head.frames,
                learned: profile.head.created,
            });
            let parts = [(bundle::TABLES, image), (bundle::PROGRAM, program.as_slice())];
            Some(weir_bundle::seal(manifest, &parts, key).map_err(|e| bundle::refused(&arguments.output, e))?)
        }
        None => None,
    };
    let output = sealed.as_deref().unwrap_or(&tables.image.bytes);
    write(&arguments.output, output)?;
    let plan = &tables.plan;
    let report = &tables.image.report;
    let seconds = loaded.seconds + tables.seconds;
    if arguments.json {
        let classes: serde_json::Map<String, serde_json::Value> =
            Class::ALL.iter().map(|&class| (class.letter().to_string(), plan.count(class).into())).collect();
        let value = json!({
            "file": arguments.output.display().to_string(),
            "rules": { "total": loaded.totals.total, "loaded": loaded.totals.loaded, "rejected": loaded.totals.rejected,
                       "by_class": classes },
            "image": report,
            "bytes": output.len(),
            "bundle": sealed.is_some(),
            "planned_by": loaded.planning.describe(),
            "expected": loaded.planning.expected(&tables),
            "seconds": seconds,
        });
        outln!("{value:#}");
        return Ok(OK);
    }
    let mut classes = table(&["class", "what the device checks", "rules", "share"]);
    let all = plan.rules.len().max(1) as f64;
    for class in Class::ALL {
        let n = plan.count(class);
        classes.add_row([
            Cell::new(class.letter()),
            Cell::new(class.meaning()),
            right(group(n as u64)),
            right(percent(n as f64 / all)),
        ]);
    }
    outln!("{classes}");
    let mut sizes = table(&["table", "entries"]);
    for (n, count) in report.fragments.iter().enumerate() {
        sizes.add_row([Cell::new(format!("fragments of {} bytes", n + c::WINDOW_MIN)), right(group(*count as u64))]);
    }
    for (name, n) in [
        ("records", report.records),
        ("list entries", report.list_entries),
        ("header table", report.header_entries),
        ("port sets", report.ports.0 as usize),
        ("address sets", report.addresses.0 as usize),
        ("IPv4 prefixes", report.prefixes.0),
        ("IPv6 prefixes", report.prefixes.1),
    ] {
        sizes.add_row([Cell::new(name), right(group(n as u64))]);
    }
    outln!("{sizes}");
    for line in given_up(report) {
        outln!("The device is too small: {line}.");
    }
    let expected = loaded.planning.expected(&tables);
    outln!(
        "Planned by {}: {} of the frames are expected at the host, {} of them flagged by a record.",
        loaded.planning.describe(),
        percent(expected.host.frames),
        percent(expected.flagged.frames)
    );
    outln!(
        "{}: {}{} bytes from {} rules ({} rejected) in {seconds:.2} s",
        arguments.output.display(),
        if sealed.is_some() { "bundle of " } else { "" },
        group(output.len() as u64),
        group(loaded.totals.loaded),
        group(loaded.totals.rejected),
    );
    Ok(OK)
}

/// What was given up because the device is too small.
fn given_up(report: &ImageReport) -> Vec<String> {
    let d = &report.degraded;
    let mut lines = Vec::new();
    if d.shortened > 0 {
        lines.push(format!("{} rules look for shorter fragments", group(d.shortened as u64)));
    }
    if d.unplaced > 0 {
        lines.push(format!("{} rules look for their fragments at any place", group(d.unplaced as u64)));
    }
    if !report.widened.is_empty() {
        lines.push(format!("{} rules became class C", group(report.widened.len() as u64)));
    }
    lines.extend(d.loosened.iter().map(|step| format!("records ask for less ({step})")));
    lines.extend(d.enlarged.iter().cloned());
    lines
}

/// Written beside the target and moved there, so that a file of that name is always whole.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let result = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path));
    result.map_err(|error| {
        let _ = std::fs::remove_file(&part);
        Failure {
            code: crate::exit::INTERNAL,
            error: anyhow::Error::new(error).context(format!("cannot write {}", path.display())),
            remedy: Some("choose another place with --output".to_owned()),
        }
    })
}

/// An image from a file, checked as a device checks it.
pub struct Read {
    pub bytes: Vec<u8>,
    pub tables: Tables,
    pub header: ImageHeader,
}

/// Reads an image; what is wrong with it is named with its cause and remedy.
pub fn read(path: &Path) -> Result<Read, Failure> {
    Ok(read_signed(path, None)?.0)
}

/// The same; a bundle gives its image. With a key, its signature is checked; without, only its digests.
pub fn read_signed(path: &Path, key: Option<&PublicKey>) -> Result<(Read, Option<Signed>), Failure> {
    let mut bytes = weir_rules::load::read_limited(path, IMAGE_MAX.max(weir_bundle::BUNDLE_MAX)).or_input()?;
    let mut signed = None;
    if weir_bundle::is_bundle(&bytes) {
        let opened = match key {
            Some(key) => Bundle::open(&bytes, key),
            None => Bundle::open_unverified(&bytes),
        };
        let bundle = opened.map_err(|e| bundle::refused(path, e))?;
        let image = bundle.part(bundle::TABLES).map_err(|e| bundle::refused(path, e))?.to_vec();
        signed = Some(Signed { manifest: bundle.manifest, key: bundle.key, digest: bundle.digest, checked: key.is_some() });
        bytes = image;
    }
    let refused = |error: anyhow::Error, remedy: &str| Failure {
        code: INPUT,
        error: error.context(path.display().to_string()),
        remedy: Some(remedy.to_owned()),
    };
    let tables = Tables::load(&bytes).map_err(|refusal| {
        let (cause, remedy) = explain(refusal.error);
        refused(anyhow::Error::new(refusal).context(cause), remedy)
    })?;
    let header = ImageHeader::read(&bytes).ok_or_else(|| refused(anyhow::anyhow!("the file is too short"), ANEW))?;
    Ok((Read { bytes, tables, header }, signed))
}

/// What a bundle says of itself.
pub struct Signed {
    pub manifest: weir_bundle::Manifest,
    pub key: String,
    pub digest: String,
    /// The signature was checked.
    pub checked: bool,
}

const ANEW: &str = "make the image anew with `weir tables build`; a device would refuse it as well";

/// A refusal in words, and what to do.
pub fn explain(error: TableError) -> (&'static str, &'static str) {
    match error {
        TableError::Magic => ("this is no table image", "name a file that `weir tables build` wrote"),
        TableError::Version => (
            "the image is of another version of the device contract",
            "make the image anew with the `weir tables build` of this version",
        ),
        TableError::Length => ("the image is cut short, or has bytes behind its end", ANEW),
        TableError::HeaderCrc | TableError::BlockCrc => ("a checksum is wrong: the image was changed or damaged", ANEW),
        TableError::Geometry | TableError::Capacity | TableError::BlockSize => {
            ("the geometry of the image is not one that this device has", ANEW)
        }
        _ => ("the image contradicts itself", ANEW),
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn inspect(arguments: &InspectTablesArguments) -> Result<u8, Failure> {
    let path = &arguments.file;
    let key = arguments.public_key.as_deref().map(PublicKey::read).transpose().map_err(bundle::bad_key)?;
    let (Read { tables, header, .. }, signed) = read_signed(path, key.as_ref())?;
    let identity = hex(&header.identity);
    let armed: Vec<&str> = Guard::ALL.iter().filter(|g| tables.armed & g.bit() != 0).map(|g| g.name()).collect();
    let blocks: Vec<_> = tables
        .directory()
        .iter()
        .map(|entry| {
            let name = BlockType::from_raw(entry.kind)
                .map_or_else(|| format!("{:#x}", entry.kind), |kind| format!("{kind:?}"));
            (name, entry.flags & BlockFlags::HOST_ONLY.0 != 0, *entry)
        })
        .collect();
    let lengths: Vec<_> = tables.filter.tables().iter().map(occupancy).collect();
    if arguments.json {
        let value = json!({
            "identity": identity,
            "contract": format!("{}.{}", header.major, header.minor),
            "bytes": header.length,
            "created": header.created,
            "rules": header.rule_count,
            "records": tables.records.len(),
            "list_entries": tables.lists.len(),
            "header_entries": tables.header.len(),
            "limits": { "candidates": tables.limits.candidates, "list_entries": tables.limits.list_entries },
            "guards_armed": armed,
            "fragments": lengths.iter().map(|l| json!({
                "bytes": l.length, "entries": l.entries, "slots": l.slots, "bloom_bits": l.bloom_bits,
                "bloom_fill": l.bloom_fill,
            })).collect::<Vec<_>>(),
            "bundle": signed.as_ref().map(|s| json!({
                "manifest": s.manifest, "key": s.key, "digest": s.digest, "signature_checked": s.checked,
            })),
            "blocks": blocks.iter().map(|(name, host_only, entry)| json!({
                "name": name, "offset": entry.offset, "bytes": entry.length, "crc": entry.crc, "host_only": host_only,
            })).collect::<Vec<_>>(),
        });
        outln!("{value:#}");
        return Ok(OK);
    }
    if let Some(s) = &signed {
        print_manifest(path, s);
    }
    outln!(
        "{}: table image {identity}, contract {}.{}, {} rules, {} bytes, checksums good",
        path.display(),
        header.major,
        header.minor,
        group(u64::from(header.rule_count)),
        group(header.length)
    );
    let mut rows = table(&["fragments", "entries", "slots", "occupied", "Bloom bits", "set"]);
    for l in &lengths {
        rows.add_row([
            Cell::new(format!("{} bytes", l.length)),
            right(group(l.entries)),
            right(group(l.slots)),
            right(percent(l.entries as f64 / l.slots.max(1) as f64)),
            right(group(l.bloom_bits)),
            right(percent(l.bloom_fill)),
        ]);
    }
    outln!("{rows}");
    let mut rows = table(&["block", "offset", "bytes", "CRC-32C", "for"]);
    for (name, host_only, entry) in &blocks {
        rows.add_row([
            Cell::new(name),
            right(group(entry.offset)),
            right(group(entry.length)),
            Cell::new(format!("{:08x}", entry.crc)),
            Cell::new(if *host_only { "host" } else { "device" }),
        ]);
    }
    outln!("{rows}");
    outln!(
        "Per frame at most {} candidates and {} list entries; what exceeds them is diverted.",
        group(u64::from(tables.limits.candidates)),
        group(u64::from(tables.limits.list_entries))
    );
    outln!("Guards armed: {}", armed.join(", "));
    Ok(OK)
}

fn print_manifest(path: &Path, s: &Signed) {
    let m = &s.manifest;
    let signature = if s.checked { "signature good" } else { "signature NOT checked (--public-key FILE checks it)" };
    outln!("{}: bundle version {}, key {}, {signature}", path.display(), m.version, s.key);
    let days = m.expires.saturating_sub(bundle::now()) / 86_400;
    let left = if m.expires <= bundle::now() { "EXPIRED".to_owned() } else { format!("{days} days left") };
    outln!("  digest {}\n  made by Weir {} at {}, expires at {} (seconds of Unix time; {left})", s.digest, m.made_by, m.created, m.expires);
    outln!("  {} rules, digest {}; needs contract {}.{}", group(m.rules), m.ruleset, m.contract.0, m.contract.1);
    match &m.profile {
        None => outln!("  planned by the built-in statistics"),
        Some(p) => outln!("  planned by profile {} ({}, {} frames, learned at {})", p.digest, p.source, group(p.frames), p.learned),
    }
    for part in &m.parts {
        outln!("  part {}: {} bytes, SHA-256 {}", part.name, group(part.length), part.sha256);
    }
}

/// How full the structures of one window length are.
struct Occupancy {
    length: usize,
    entries: u64,
    slots: u64,
    bloom_bits: u64,
    /// Share of bits that are set, 0 to 1.
    bloom_fill: f64,
}

fn occupancy(table: &LengthTable) -> Occupancy {
    let bloom_bits = table.bloom.len() as u64 * 64;
    let set: u64 = table.bloom.iter().map(|word| u64::from(word.count_ones())).sum();
    Occupancy {
        length: table.length,
        entries: u64::from(table.shape.entries),
        slots: table.exact.len() as u64,
        bloom_bits,
        bloom_fill: set as f64 / bloom_bits.max(1) as f64,
    }
}
