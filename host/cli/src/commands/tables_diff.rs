//! `weir tables diff`: what changes for the wire from one table image to another.

use super::image_view::{Entries, View};
use super::tables::{self, hex};
use super::{right, table};
use crate::args::DiffTablesArguments;
use crate::exit::{FINDINGS, Failure, INPUT, OK, OrExit, USAGE};
use crate::out::outln;
use comfy_table::Cell;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use weir_output::summary::{group, visible};
use weir_rules::report::Explanation;

/// Characters of an entry that are printed; JSON has all.
const SHOWN: usize = 150;

pub fn run(arguments: &DiffTablesArguments) -> Result<u8, Failure> {
    // As with diff(1), whatever prevents an answer is code 2.
    let [a, b] = [view(&arguments.before)?, view(&arguments.after)?];
    let kinds = kinds(&a.1, &b.1);
    let rules = rules(&a.1, &b.1);
    let equal = kinds.iter().all(|kind| kind.entries.is_empty()) && rules.is_empty();
    if let Some(path) = &arguments.json {
        let text = format!("{:#}\n", to_json(&a, &b, &kinds, &rules, equal));
        std::fs::write(path, text)
            .map_err(|e| anyhow::anyhow!("cannot write {}: {e}", path.display()))
            .or_internal()?;
    }
    for (mark, (identity, view), path) in [('A', &a, &arguments.before), ('B', &b, &arguments.after)] {
        let rules = view.rules.as_ref().map_or_else(|| "unknown".to_owned(), |rules| group(rules.len() as u64));
        outln!("{mark}  {}: image {identity}, {rules} rules", path.display());
    }
    if a.1.rules.is_none() || b.1.rules.is_none() {
        outln!("note: an image has no certificate (it was made without blocks for the host): rules are not compared.");
    }
    if equal {
        outln!("Equal: both look for the same, and divert the same frames.");
        return Ok(OK);
    }
    print(&a.1, &b.1, &kinds, &rules, arguments.show);
    Ok(FINDINGS)
}

fn view(path: &Path) -> Result<(String, View), Failure> {
    let no_answer = |failure: Failure| if failure.code == INPUT { Failure { code: USAGE, ..failure } } else { failure };
    let image = tables::read(path).map_err(no_answer)?;
    let view = View::new(&image).map_err(|error| Failure {
        code: USAGE,
        error: error.context(format!("{}: the certificate of the rules cannot be read", path.display())),
        remedy: Some("make the image anew with the `weir tables build` of this version".to_owned()),
    })?;
    Ok((hex(&image.header.identity), view))
}

/// What happened to an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Added,
    Removed,
    Changed,
}

impl Change {
    fn mark(self) -> char {
        match self {
            Change::Added => '+',
            Change::Removed => '-',
            Change::Changed => '~',
        }
    }

    fn name(self) -> &'static str {
        match self {
            Change::Added => "added",
            Change::Removed => "removed",
            Change::Changed => "changed",
        }
    }
}

/// Differences of one kind of entry.
struct Kind {
    name: &'static str,
    /// Entries before and after.
    sizes: (usize, usize),
    entries: Vec<Entry>,
}

struct Entry {
    change: Change,
    text: String,
    /// Records that it leads to now and did not, and the reverse.
    records: [Vec<String>; 2],
}

fn kinds(a: &View, b: &View) -> Vec<Kind> {
    let settings = |view: &View| -> Entries {
        view.settings.iter().map(|(name, value)| ((*name).to_owned(), BTreeSet::from([value.clone()]))).collect()
    };
    vec![
        lists("fragments", &a.fragments, &b.fragments),
        lists("guards", &a.guards, &b.guards),
        items("header table", &a.header, &b.header),
        items("records", &a.records, &b.records),
        items("port sets", &a.ports, &b.ports),
        items("address sets", &a.addresses, &b.addresses),
        lists("bounds", &settings(a), &settings(b)),
    ]
}

fn items(name: &'static str, a: &BTreeSet<String>, b: &BTreeSet<String>) -> Kind {
    let entry = |change| move |text: &String| Entry { change, text: text.clone(), records: Default::default() };
    let removed = a.difference(b).map(entry(Change::Removed));
    let entries = removed.chain(b.difference(a).map(entry(Change::Added))).collect();
    Kind { name, sizes: (a.len(), b.len()), entries }
}

fn lists(name: &'static str, a: &Entries, b: &Entries) -> Kind {
    let mut entries = Vec::new();
    let none = BTreeSet::new();
    for text in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
        let (before, after) = (a.get(text), b.get(text));
        let change = match (before, after) {
            (Some(x), Some(y)) if x == y => continue,
            (Some(_), Some(_)) => Change::Changed,
            (Some(_), None) => Change::Removed,
            _ => Change::Added,
        };
        let (before, after) = (before.unwrap_or(&none), after.unwrap_or(&none));
        let records = [after.difference(before).cloned().collect(), before.difference(after).cloned().collect()];
        entries.push(Entry { change, text: text.clone(), records });
    }
    Kind { name, sizes: (a.len(), b.len()), entries }
}

/// A rule that is new, gone, or planned otherwise.
struct RuleChange<'a> {
    before: Option<&'a Explanation>,
    after: Option<&'a Explanation>,
}

impl RuleChange<'_> {
    fn change(&self) -> Change {
        match (self.before, self.after) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            _ => Change::Changed,
        }
    }
}

/// None if one of the images does not say what its rules are.
fn rules<'a>(a: &'a View, b: &'a View) -> BTreeMap<(u32, u32), RuleChange<'a>> {
    let (Some(a), Some(b)) = (&a.rules, &b.rules) else { return BTreeMap::new() };
    let ids: BTreeSet<(u32, u32)> = a.keys().chain(b.keys()).copied().collect();
    let changes = ids.into_iter().map(|id| (id, RuleChange { before: a.get(&id), after: b.get(&id) }));
    // Another revision or wording that asks for the same is no change for the wire.
    let asked = |rule: Option<&Explanation>| rule.map(|r| Explanation { rev: 0, reason: String::new(), ..r.clone() });
    changes.filter(|(_, change)| asked(change.before) != asked(change.after)).collect()
}

fn print(a: &View, b: &View, kinds: &[Kind], rules: &BTreeMap<(u32, u32), RuleChange<'_>>, show: usize) {
    let mut out = table(&["tables", "A", "B", "added", "removed", "changed"]);
    for kind in kinds {
        let count = |change| kind.entries.iter().filter(|entry| entry.change == change).count() as u64;
        let [added, removed, changed] =
            [Change::Added, Change::Removed, Change::Changed].map(|c| right(group(count(c))));
        let sizes = [kind.sizes.0, kind.sizes.1].map(|n| right(group(n as u64)));
        let [before, after] = sizes;
        out.add_row([Cell::new(kind.name), before, after, added, removed, changed]);
    }
    let count = |change| right(group(rules.values().filter(|rule| rule.change() == change).count() as u64));
    let all = |view: &View| right(view.rules.as_ref().map_or_else(|| "?".to_owned(), |r| group(r.len() as u64)));
    let [added, removed, changed] = [Change::Added, Change::Removed, Change::Changed].map(count);
    out.add_row([Cell::new("rules"), all(a), all(b), added, removed, changed]);
    outln!("{out}");
    for kind in kinds.iter().filter(|kind| !kind.entries.is_empty() && show > 0) {
        outln!("{}", kind.name);
        for entry in kind.entries.iter().take(show) {
            let [added, removed] = &entry.records;
            let records = match (entry.change, kind.name) {
                (_, "bounds") => format!(": {} to {}", removed.join(","), added.join(",")),
                (Change::Changed, _) => format!(": {} records added, {} removed", added.len(), removed.len()),
                _ => String::new(),
            };
            outln!("  {} {}{records}", entry.change.mark(), shortened(&entry.text));
        }
        more(kind.entries.len(), show);
    }
    if !rules.is_empty() && show > 0 {
        let mut out = table(&["", "sid", "rev", "class", "expected", "the device looks for"]);
        for ((_, sid), rule) in rules.iter().take(show) {
            let cell = |text: &dyn Fn(&Explanation) -> String| match (rule.before.map(text), rule.after.map(text)) {
                (Some(x), Some(y)) if x != y => format!("{x} > {y}"),
                (x, y) => y.or(x).unwrap_or_default(),
            };
            out.add_row([
                Cell::new(rule.change().mark()),
                right(sid.to_string()),
                right(cell(&|r| r.rev.to_string())),
                Cell::new(cell(&|r| r.class.letter().to_string())),
                right(cell(&|r| format!("{:.4} %", 100.0 * r.cost.min(1.0)))),
                Cell::new(visible(&cell(&looks_for))),
            ]);
        }
        outln!("{out}");
        more(rules.len(), show);
    }
    if let (Some(before), Some(after)) = (a.expected_share(None), b.expected_share(None)) {
        let classes = |view: &View| {
            view.by_class().iter().map(|(class, n)| format!("{class} {}", group(*n))).collect::<Vec<_>>().join(", ")
        };
        outln!("Rules by class: {} before, {} after.", classes(a), classes(b));
        outln!(
            "Expected share of frames that reach the host: {:.4} % before, {:.4} % after; by what only A asks for {:.4} %, by what \
             only B asks for {:.4} % (built-in byte statistics, as if what rules ask for occurred independently: upper \
             estimates; measure with `weir run`).",
            100.0 * before,
            100.0 * after,
            100.0 * a.expected_share(Some(b)).unwrap_or(0.0),
            100.0 * b.expected_share(Some(a)).unwrap_or(0.0)
        );
    }
}

fn more(all: usize, shown: usize) {
    if all > shown {
        outln!("  … and {} more (--show N, --json FILE)", group((all - shown) as u64));
    }
}

fn looks_for(rule: &Explanation) -> String {
    let fragments = rule.fragments.iter().map(|f| format!("\"{f}\""));
    let all: Vec<String> = fragments.chain(rule.guards.iter().cloned()).collect();
    let text = if all.is_empty() { rule.reason.clone() } else { all.join(", ") };
    shortened(&text)
}

fn shortened(text: &str) -> String {
    let text = visible(text);
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

fn to_json(
    a: &(String, View),
    b: &(String, View),
    kinds: &[Kind],
    rules: &BTreeMap<(u32, u32), RuleChange<'_>>,
    equal: bool,
) -> Value {
    let side = |(identity, view): &(String, View), other: &View| {
        json!({
            "identity": identity,
            "rules": view.rules.as_ref().map(BTreeMap::len),
            "by_class": view.by_class().into_iter().map(|(c, n)| (c.to_string(), n)).collect::<BTreeMap<_, _>>(),
            "expected_share": view.expected_share(None),
            "expected_share_alone": view.expected_share(Some(other)),
        })
    };
    let tables: BTreeMap<&str, Value> = kinds
        .iter()
        .map(|kind| {
            let entries = kind.entries.iter().map(|entry| {
                let [added, removed] = &entry.records;
                json!({ "change": entry.change.name(), "entry": entry.text, "leads_to_added": added, "leads_to_removed": removed })
            });
            let value = json!({ "a": kind.sizes.0, "b": kind.sizes.1, "differences": entries.collect::<Vec<_>>() });
            (kind.name, value)
        })
        .collect();
    let plan = |rule: Option<&Explanation>| {
        rule.map(|r| {
            json!({ "rev": r.rev, "class": r.class.letter().to_string(), "reason": r.reason, "fragments": r.fragments,
                    "guards": r.guards, "scopes": r.scopes, "records": r.records, "expected_share": r.cost })
        })
    };
    let rules: Vec<Value> = rules
        .iter()
        .map(|((gid, sid), rule)| {
            json!({ "gid": gid, "sid": sid, "change": rule.change().name(), "before": plan(rule.before),
                    "after": plan(rule.after) })
        })
        .collect();
    json!({ "equal": equal, "a": side(a, &b.1), "b": side(b, &a.1), "tables": tables, "rules": rules })
}
