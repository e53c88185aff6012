//! The host's program in a bundle, and bundles on their way into a run.
//!
//! The program is what rules were loaded from (texts, lists, variables) and what the planner decided; planning and emission are
//! not repeated when a bundle is started. Rules are loaded from their texts again: that is fast, and what runs is what this
//! version of Weir makes of the texts. Whether it is what the tables were made for, the digest of the normalised rules says.

use crate::bundle_normal;
use crate::device::Tables;
use crate::exit::{Failure, INPUT, OrExit, USAGE};
use crate::pipeline::{self, Loaded};
use crate::ruleset::Inputs;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use weir_bundle::{Bundle, BundleError, Capacity, History, Manifest, Needs, PublicKey};
use weir_contract::constants::{CONTRACT_MAJOR, CONTRACT_MINOR};
use weir_contract::enums::{BlockType, CapabilityType, Scopes};
use weir_contract::layouts::{BlockEntry, Geometry, GuardParameters, ImageHeader, Record};
use weir_ir::PortSet;
use weir_management::Config;
use weir_rules::{GivenFiles, RuleSource};
use weir_rules::image::{Image, ImageReport};
use weir_rules::plan::{Class, Condition, Fragment, Plan, RulePlan, Sets, Trigger};

/// Name of the part with the table image.
pub const TABLES: &str = "tables";
/// Name of the part with the program.
pub const PROGRAM: &str = "program";
/// Most bytes of an unpacked program.
const PROGRAM_MAX: u64 = 1 << 30;
/// Memory that is taken for a part before its bytes have come.
const PART_AT_ONCE: u64 = 16 << 20;

/// A text of the inputs.
#[derive(Debug, Serialize, Deserialize)]
struct Text {
    role: Role,
    name: String,
    length: usize,
    #[serde(default)]
    firewall: bool,
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Role {
    Rules,
    Classification,
    Reference,
    Threshold,
    Categories,
    Reputation,
    Geography,
    /// A file that rules load a data set or a list of digests from.
    Data,
}

/// A condition that the host looks for in streams itself.
#[derive(Debug, Serialize, Deserialize)]
struct Evidence {
    rule: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fragment: Option<Vec<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guard: Option<u8>,
    classes: u64,
    scopes: u8,
    ports: (u16, u16),
}

/// What the texts are.
#[derive(Debug, Serialize, Deserialize)]
struct Contents {
    texts: Vec<Text>,
    vars: BTreeMap<String, String>,
    /// Directory that data sets were loaded from; the files are among the texts.
    data_directory: Option<PathBuf>,
}

/// What the planner decided, as far as a run asks. It is read beside the rules, so that both cores of a small host are busy.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    /// Digest of the normalised rules in the order of the tables.
    normal: String,
    /// A letter for each rule.
    classes: String,
    reasons: Vec<String>,
    gates: Vec<String>,
    evidence: Vec<Evidence>,
    /// Port sets that the evidence names; the first is any.
    ports: Vec<Vec<(u16, u16)>>,
    owners: Vec<Vec<u32>>,
    /// The tables send every frame.
    everything: bool,
}

/// A block of an image.
fn block(image: &[u8], kind: BlockType) -> Option<&[u8]> {
    let header = ImageHeader::read(image)?;
    let directory =
        image.get(ImageHeader::SIZE..)?.get(..(header.block_count as usize).checked_mul(BlockEntry::SIZE)?)?;
    let entry =
        directory.chunks_exact(BlockEntry::SIZE).filter_map(BlockEntry::read).find(|e| e.kind == kind as u16)?;
    image.get(usize::try_from(entry.offset).ok()?..)?.get(..usize::try_from(entry.length).ok()?)
}

/// Seconds of Unix time.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Packs the program, and gives the digest of its inputs.
pub fn pack(
    inputs: &Inputs,
    files: &BTreeMap<PathBuf, Vec<u8>>,
    loaded: &Loaded,
    tables: &Tables,
    everything: bool,
) -> Result<(Vec<u8>, String), Failure> {
    let rules = loaded.program.sources();
    let mut texts = Vec::new();
    let mut bytes = Vec::new();
    let one = |role, source: &Option<RuleSource>| source.iter().map(|s| (role, s.clone())).collect::<Vec<_>>();
    let all = inputs.sources.iter().map(|s| (Role::Rules, s.clone()));
    let lists = inputs.reputation.iter().map(|s| (Role::Reputation, s.clone()));
    let single = [
        one(Role::Classification, &inputs.classification),
        one(Role::Reference, &inputs.reference),
        one(Role::Threshold, &inputs.threshold),
        one(Role::Categories, &inputs.categories),
        one(Role::Geography, &inputs.geography),
    ];
    for (role, source) in all.chain(single.into_iter().flatten()).chain(lists) {
        texts.push(Text { role, name: source.name.to_string(), length: source.bytes.len(), firewall: source.firewall });
        bytes.extend_from_slice(&source.bytes);
    }
    for (path, content) in files {
        let name = path.to_str().ok_or_else(|| Failure {
            code: INPUT,
            error: anyhow::anyhow!("{}: the name of the data file is no UTF-8", path.display()),
            remedy: Some("give it another name".to_owned()),
        })?;
        texts.push(Text { role: Role::Data, name: name.to_owned(), length: content.len(), firewall: false });
        bytes.extend_from_slice(content);
    }
    let plan = &tables.plan;
    let common = plan.common.iter().map(|c| (None, c));
    let own = plan.rules.iter().flat_map(|planned| planned.conditions.iter().map(|c| (Some(planned.rule), c)));
    let evidence = common
        .chain(own)
        .filter(|(_, c)| c.record.scopes & (Scopes::STREAM.0 | Scopes::STREAM_PATTERN.0) != 0)
        .filter_map(|(rule, c)| {
            let (fragment, guard) = match &c.trigger {
                Trigger::Fragment(f) => (Some(f.bytes().to_vec()), None),
                Trigger::Guard(g) => (None, Some(*g)),
                Trigger::Frame => return None,
            };
            let r = &c.record;
            let ports = (r.source_ports, r.destination_ports);
            Some(Evidence { rule, fragment, guard, classes: r.class_mask, scopes: r.scopes, ports })
        })
        .collect();
    let contents = serde_json::to_vec(&Contents { texts, vars: inputs.vars.clone(), data_directory: inputs.data_directory.clone() }).or_internal()?;
    let index = Index {
        normal: bundle_normal::digest(rules),
        classes: plan.rules.iter().map(|p| p.class.letter()).collect(),
        reasons: plan.rules.iter().map(|p| p.reason.clone()).collect(),
        gates: plan.gates.iter().map(|g| g.to_string()).collect(),
        evidence,
        ports: plan.sets.ports().iter().map(|set| set.ranges.clone()).collect(),
        owners: tables.image.tables.owners.clone(),
        everything,
    };
    let head = serde_json::to_vec(&index).or_internal()?;
    let mut digest = Sha256::new();
    digest.update(&contents);
    digest.update(&bytes);
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(4));
    packed
        .write_all(&(contents.len() as u64).to_le_bytes())
        .and_then(|()| packed.write_all(&(head.len() as u64).to_le_bytes()))
        .and_then(|()| packed.write_all(&contents))
        .and_then(|()| packed.write_all(&head))
        .and_then(|()| packed.write_all(&bytes))
        .or_internal()?;
    Ok((packed.finish().or_internal()?, weir_bundle::hex(&digest.finalize())))
}

/// The manifest of an image.
pub fn manifest(
    image: &[u8],
    rules: u64,
    ruleset: String,
    version: Option<u64>,
    days: u64,
) -> Result<Manifest, Failure> {
    let header = ImageHeader::read(image).ok_or_else(|| anyhow::anyhow!("the image has no header")).or_internal()?;
    let geometry = block(image, BlockType::Geometry)
        .and_then(Geometry::read)
        .ok_or_else(|| anyhow::anyhow!("the image has no geometry"))
        .or_internal()?;
    let created = now();
    Ok(Manifest {
        version: version.unwrap_or(created),
        created,
        expires: created.saturating_add(days.saturating_mul(86_400)),
        contract: (CONTRACT_MAJOR, CONTRACT_MINOR),
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        ruleset,
        rules,
        image: weir_bundle::hex(&header.identity),
        needs: Needs::of(&geometry, image.len() as u64),
        profile: None,
        parts: Vec::new(),
    })
}

/// A refusal as a failure: place, cause, remedy.
pub fn refused(path: &Path, error: BundleError) -> Failure {
    let remedy = error.remedy();
    Failure {
        code: INPUT,
        error: anyhow::Error::new(error).context(path.display().to_string()),
        remedy: Some(remedy.to_owned()),
    }
}

/// A key that cannot be used, as a failure.
pub fn bad_key(error: weir_bundle::KeyError) -> Failure {
    let remedy = error.remedy();
    Failure { code: USAGE, error: anyhow::Error::new(error), remedy: Some(remedy.to_owned()) }
}

/// What a bundle brings into a run.
pub struct Started {
    /// Rules.
    pub loaded: Loaded,
    /// Their tables.
    pub tables: Tables,
    /// The tables send every frame.
    pub everything: bool,
    /// Version of the bundle.
    pub version: u64,
    /// Digest of the bundle.
    pub digest: String,
}

/// Checks a bundle for use and starts its program. Nothing is noted as accepted yet. Gives the bundle's bytes too.
pub fn start(
    path: &Path,
    key: &PublicKey,
    history: &History,
    capacity: Option<&Capacity>,
    config: &Config,
) -> Result<(Started, History, Vec<u8>), Failure> {
    let bytes = weir_rules::load::read_limited(path, weir_bundle::BUNDLE_MAX).or_input()?;
    let bundle = Bundle::open(&bytes, key).map_err(|e| refused(path, e))?;
    let fit = |()| capacity.map_or(Ok(()), |capacity| bundle.manifest.needs.fit(capacity));
    bundle.usable(now()).and_then(|()| history.allows(&bundle)).and_then(fit).map_err(|e| refused(path, e))?;
    let started = unpack(path, &bundle, config)?;
    let mut accepted = history.clone();
    accepted.accept(&bundle, now());
    Ok((started, accepted, bytes))
}

/// Where the bundles accepted by a key are noted, unless a file is named.
pub fn state_file(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".accepted");
    PathBuf::from(name)
}

/// What a device holds, by its capabilities; what it does not tell is not bounded.
pub fn capacity(capabilities: &[(CapabilityType, u64, u64)]) -> Capacity {
    let value =
        |kind| capabilities.iter().find(|(k, _, _)| *k == kind).map_or((u64::MAX, u64::MAX), |(_, a, b)| (*a, *b));
    let (records, header_entries) = value(CapabilityType::Records);
    let (prefixes_v4, prefixes_v6) = value(CapabilityType::Prefixes);
    Capacity {
        image: weir_contract::constants::IMAGE_LENGTH_MAX,
        records,
        header_entries,
        list_entries: value(CapabilityType::Lists).0,
        fragments: value(CapabilityType::ExactEntries).0,
        prefixes_v4,
        prefixes_v6,
    }
}

/// Program and tables of a bundle whose signature is right.
pub fn unpack(path: &Path, bundle: &Bundle<'_>, config: &Config) -> Result<Started, Failure> {
    let begin = Instant::now();
    let wrong = |why: &str| Failure {
        code: INPUT,
        error: anyhow::anyhow!("{}: part `{PROGRAM}`: {why}", path.display()),
        remedy: Some("make the bundle anew with the `weir tables build` of this version".to_owned()),
    };
    let image = bundle.part(TABLES).map_err(|e| refused(path, e))?;
    let packed = bundle.part(PROGRAM).map_err(|e| refused(path, e))?;
    let (inputs, index) = inflate(packed).map_err(|why| wrong(&why))?;
    // What the planner decided is read while the rules are loaded.
    let (loaded, planned) = std::thread::scope(|scope| {
        let planned = scope.spawn(|| {
            let index: Index = serde_json::from_slice(&index).map_err(|error| error.to_string())?;
            let plan = plan(&index).ok_or("it contradicts itself")?;
            Ok::<_, String>((index, plan, image.to_vec()))
        });
        let loaded = inputs.load(None).map(|set| {
            drop(inputs);
            pipeline::compile(set, config, begin)
        });
        (loaded, planned.join().unwrap_or_else(|_| Err("it cannot be read".to_owned())))
    });
    let mut loaded = loaded?;
    let (index, plan, image) = planned.map_err(|why| wrong(&why))?;
    let rules = loaded.program.sources();
    if bundle_normal::digest(rules) != index.normal || index.classes.len() != rules.len() || index.reasons.len() != rules.len() {
        return Err(wrong("this version of Weir makes other rules of its texts than the one that made the tables"));
    }
    let parameters = block(&image, BlockType::GuardParameters).and_then(GuardParameters::read);
    let parameters = parameters.ok_or_else(|| wrong("its tables have no parameters of guards"))?;
    let report = ImageReport {
        length: image.len(),
        records: bundle.manifest.needs.records as usize,
        fragments: [0; 5],
        list_entries: bundle.manifest.needs.list_entries as usize,
        header_entries: bundle.manifest.needs.header_entries as usize,
        ports: (0, 0),
        addresses: (0, 0),
        prefixes: (bundle.manifest.needs.prefixes_v4 as usize, bundle.manifest.needs.prefixes_v6 as usize),
        widened: Vec::new(),
        degraded: Default::default(),
    };
    let logical = weir_rules::image::tables::Tables { owners: index.owners, ..Default::default() };
    let tables =
        Tables { plan, image: Image { bytes: image, report, tables: logical, parameters }, seconds: 0.0 };
    loaded.seconds = begin.elapsed().as_secs_f64();
    Ok(Started { loaded, tables, everything: index.everything, version: bundle.manifest.version, digest: bundle.digest.clone() })
}

/// Unpacks a program: what rules are loaded with, for which nothing is read from the disk, and the index, not read yet.
fn inflate(packed: &[u8]) -> Result<(Inputs, Vec<u8>), String> {
    let mut unpacked = flate2::read::ZlibDecoder::new(packed).take(PROGRAM_MAX + 1);
    let mut part = |length: u64| {
        let mut bytes = Vec::with_capacity(usize::try_from(length.min(PART_AT_ONCE)).unwrap_or(0));
        let read = (&mut unpacked).take(length).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if read as u64 == length { Ok(bytes) } else { Err("it is cut short".to_owned()) }
    };
    let mut length = || Ok::<_, String>(part(8)?.first_chunk().map_or(0, |word| u64::from_le_bytes(*word)));
    let (contents, index) = (length()?, length()?);
    let contents: Contents = serde_json::from_slice(&part(contents)?).map_err(|error| error.to_string())?;
    let index = part(index)?;
    let mut files = GivenFiles::default();
    let data_directory = contents.data_directory;
    let mut inputs = Inputs { vars: contents.vars, data_directory, ..Inputs::default() };
    for text in contents.texts {
        let bytes = part(text.length as u64)?;
        let source = RuleSource { name: text.name.as_str().into(), bytes, firewall: text.firewall };
        match text.role {
            Role::Rules => inputs.sources.push(source),
            Role::Reputation => inputs.reputation.push(source),
            Role::Classification => inputs.classification = Some(source),
            Role::Reference => inputs.reference = Some(source),
            Role::Threshold => inputs.threshold = Some(source),
            Role::Categories => inputs.categories = Some(source),
            Role::Geography => inputs.geography = Some(source),
            Role::Data => {
                files.0.insert(PathBuf::from(&text.name), source.bytes);
            }
        }
    }
    inputs.files = Some(files);
    if unpacked.limit() == 0 {
        return Err("it is too long".to_owned());
    }
    let more = unpacked.read(&mut [0]).map_err(|error| error.to_string())?;
    if more == 0 { Ok((inputs, index)) } else { Err("there are bytes behind its texts".to_owned()) }
}

/// As much of the plan as a run needs.
fn plan(index: &Index) -> Option<Plan> {
    let mut sets = Sets::default();
    for (n, ranges) in index.ports.iter().enumerate().skip(1) {
        if usize::from(sets.port(&PortSet { ranges: ranges.clone() })) != n {
            return None;
        }
    }
    let classes: BTreeMap<char, Class> = Class::ALL.into_iter().map(|class| (class.letter(), class)).collect();
    let mut rules: Vec<RulePlan> = Vec::with_capacity(index.reasons.len());
    for (rule, (letter, reason)) in index.classes.chars().zip(&index.reasons).enumerate() {
        let class = *classes.get(&letter)?;
        rules.push(RulePlan { rule, class, reason: reason.clone(), conditions: Vec::new(), cost: 0.0 });
    }
    let mut common = Vec::new();
    for e in &index.evidence {
        let trigger = match (&e.fragment, e.guard) {
            (Some(bytes), None) => {
                Trigger::Fragment(Fragment::new(bytes, false).filter(|f| f.length() == bytes.len())?)
            }
            (None, Some(guard)) if guard < 64 => Trigger::Guard(guard),
            _ => return None,
        };
        let record = Record {
            class_mask: e.classes,
            scopes: e.scopes,
            source_ports: e.ports.0,
            destination_ports: e.ports.1,
            ..Record::ALWAYS
        };
        let condition = Condition { trigger, record };
        match e.rule {
            Some(rule) => rules.get_mut(rule)?.conditions.push(condition),
            None => common.push(condition),
        }
    }
    Some(Plan {
        rules,
        common,
        sets,
        gates: index.gates.iter().map(|g| g.as_str().into()).collect(),
        percent: Default::default(),
        equals: Default::default(),
        words: Default::default(),
    })
}

/// For fuzzing: a bundle of a known key, from bytes to rules.
pub fn fuzz(bytes: &[u8], key: &PublicKey) {
    let Ok(bundle) = Bundle::open(bytes, key).or_else(|_| Bundle::open_unverified(bytes)) else { return };
    let _ = bundle.usable(1);
    if let Ok(packed) = bundle.part(PROGRAM) {
        fuzz_program(packed);
    }
}

/// For fuzzing: packs a program.
pub fn fuzz_pack(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).and_then(|()| packed.finish()).unwrap_or_default()
}

/// For fuzzing: a packed program.
pub fn fuzz_program(packed: &[u8]) {
    let Ok((_, index)) = inflate(packed) else { return };
    if let Ok(index) = serde_json::from_slice::<Index>(&index) {
        let _ = plan(&index);
    }
}
