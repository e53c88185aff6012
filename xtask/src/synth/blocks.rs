//! A block or a memory through Yosys; what it came to is kept.

use super::{Block, Cost, Row};
use crate::yosys::Tools;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

/// A memory left as a box: module, log2 of its words, bits of a word.
type Memory = (String, u32, u32);

/// What a block came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Found {
    logic: Cost,
    memories: Vec<(Memory, u64)>,
}

pub struct Yosys {
    root: PathBuf,
    kept: PathBuf,
    tools: Tools,
}

impl Yosys {
    pub fn new(root: &Path) -> Result<Yosys> {
        let kept = root.join("target/synth");
        fs::create_dir_all(&kept)?;
        Ok(Yosys { root: root.to_owned(), kept, tools: Tools::new(root)? })
    }

    fn script(&self, name: &str, commands: &str) -> Result<()> {
        self.tools.yosys(commands, &self.kept.join(format!("{name}.log")))
    }

    /// Kept result of this name, or a new one.
    fn kept<T: Serialize + for<'a> Deserialize<'a>>(
        &self,
        name: &str,
        make: impl FnOnce(&Path) -> Result<T>,
    ) -> Result<T> {
        let path = self.kept.join(format!("{name}.result.json"));
        if let Some(result) = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return Ok(result);
        }
        let result = make(&self.kept.join(name))?;
        fs::write(&path, serde_json::to_vec(&result)?)?;
        Ok(result)
    }

    /// What a block is made of, at a width: its sources, and how they are read.
    fn made_of(&self, block: &Block, width: &str) -> Result<(Vec<String>, String, u64)> {
        let mut arguments = String::new();
        let files = self.tools.needed(&block.module)?;
        let mut hasher = DefaultHasher::new();
        for file in files.iter().map(String::as_str).chain(["hw/requirements.txt"]) {
            fs::read(self.root.join(file))?.hash(&mut hasher);
        }
        for (name, value) in &block.parameters {
            let value = if value == "width" { width } else { value };
            let _ = write!(arguments, " -G {name}={value}");
        }
        for module in ["weir_ram_1r1w", "weir_ram_2r"].into_iter().chain(block.without.iter().map(String::as_str)) {
            let _ = write!(arguments, " --blackboxed-module {module}");
        }
        arguments.hash(&mut hasher);
        Ok((files, arguments, hasher.finish()))
    }

    /// Differs when anything that a block is made of does.
    pub fn sources(&self, block: &Block, width: &str) -> Result<String> {
        Ok(format!("{:016x}", self.made_of(block, width)?.2))
    }

    /// A block at a width; `commit`: where its sources stand.
    pub fn row(&self, block: &Block, width: &str, commit: &str) -> Result<Row> {
        let (found, sources) = self.block(block, width)?;
        let (mut logic, mut memories, mut memory_bits) = (Cost::default(), Cost::default(), 0);
        logic.add(found.logic, block.copies);
        for (memory, count) in &found.memories {
            memories.add(self.memory(memory)?, count * block.copies);
            memory_bits += (u64::from(memory.2) << memory.1) * count * block.copies;
        }
        let (module, group, copies) = (block.module.clone(), block.group.clone(), block.copies);
        Ok(Row { module, group, copies, logic, memories, memory_bits, commit: commit.to_owned(), sources })
    }

    fn block(&self, block: &Block, width: &str) -> Result<(Found, String)> {
        let (files, arguments, sources) = self.made_of(block, width)?;
        let found = self.kept(&format!("{}-{sources:016x}", block.module), |path| {
            let (top, files) = (&block.module, files.join(" "));
            let shown = path.display();
            self.script(
                &path.file_name().unwrap_or_default().to_string_lossy(),
                &format!(
                    "read_slang -j 1 --unroll-limit 16000 -DSYNTHESIS --top {top}{arguments} {files}\nhierarchy -top {top}\nflatten\n\
                     dump -o {shown}.boxes t:weir_*\n{}\n\
                     synth_xilinx -family xcup -noiopad -noclkbuf -flatten -top {top}\ntee -o {shown}.stat stat -json",
                    self.unset(block)
                ),
            )?;
            let stat: Value = serde_json::from_str(&fs::read_to_string(format!("{shown}.stat"))?)?;
            let cells = stat["design"]["num_cells_by_type"].as_object().context("no cells in the statistics")?;
            Ok(Found { logic: Cost::of(cells), memories: memories(&fs::read_to_string(format!("{shown}.boxes"))?)? })
        })?;
        Ok((found, format!("{sources:016x}")))
    }

    /// Boxes may keep no parameters.
    fn unset(&self, block: &Block) -> String {
        let mut names: BTreeSet<String> = ["ADDRESS_BITS", "DATA_BITS"].map(str::to_owned).into();
        for module in &block.without {
            let file = self.tools.sources.iter().find(|path| path.ends_with(&format!("/{module}.sv")));
            let text = file.and_then(|path| fs::read_to_string(self.root.join(path)).ok()).unwrap_or_default();
            // The front end leaves constants of the module's own and of its loops on the cell, too.
            let declares =
                |line: &&str| ["parameter ", "localparam ", "genvar "].iter().any(|word| line.contains(word));
            names.extend(text.lines().filter(declares).filter_map(|line| {
                let (name, _) = line.split_once('=')?;
                name.split_whitespace().last().map(str::to_owned)
            }));
        }
        names.iter().fold(String::from("setparam"), |text, name| format!("{text} -unset {name}")) + " t:weir_*"
    }

    fn memory(&self, (module, address, data): &Memory) -> Result<Cost> {
        let mut hasher = DefaultHasher::new();
        let source = self
            .tools
            .sources
            .iter()
            .find(|path| path.ends_with(&format!("/{module}.sv")))
            .context("no such memory")?;
        fs::read(self.root.join(source))?.hash(&mut hasher);
        self.kept(&format!("{module}-{address}-{data}-{:016x}", hasher.finish()), |path| {
            let shown = path.display();
            self.script(
                &path.file_name().unwrap_or_default().to_string_lossy(),
                &format!(
                    "read_slang -j 1 --top {module} -G ADDRESS_BITS={address} -G DATA_BITS={data} {source}\n\
                     synth_xilinx -family xcup -noiopad -noclkbuf -flatten -top {module}\ntee -o {shown}.stat stat -json"
                ),
            )?;
            let stat: Value = serde_json::from_str(&fs::read_to_string(format!("{shown}.stat"))?)?;
            Ok(Cost::of(stat["design"]["num_cells_by_type"].as_object().context("no cells in the statistics")?))
        })
    }
}

/// Memories of a dump of boxes (RTLIL: a cell, its parameters before or after it, `end`).
fn memories(dump: &str) -> Result<Vec<(Memory, u64)>> {
    let mut counts: BTreeMap<Memory, u64> = BTreeMap::new();
    let mut current: Option<(String, Option<u32>, Option<u32>)> = None;
    for line in dump.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["cell", module, ..] if module.starts_with("\\weir_ram_") => {
                current = Some((module.trim_start_matches('\\').to_owned(), None, None));
            }
            ["parameter", .., name, value] => {
                if let Some((_, address, data)) = &mut current {
                    let bits = value.split_once('\'').map_or(*value, |(_, bits)| bits);
                    let value = match value.split_once('\'') {
                        Some(_) => u32::from_str_radix(bits, 2),
                        None => bits.parse(),
                    };
                    match *name {
                        "\\ADDRESS_BITS" => *address = value.ok(),
                        "\\DATA_BITS" => *data = value.ok(),
                        _ => {}
                    }
                }
            }
            ["end"] => {
                if let Some((module, address, data)) = current.take() {
                    let (Some(address), Some(data)) = (address, data) else {
                        anyhow::bail!("a {module} without its size")
                    };
                    *counts.entry((module, address, data)).or_default() += 1;
                }
            }
            _ => {}
        }
    }
    Ok(counts.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_of_a_dump() {
        let dump = "attribute \\src \"x\"\n cell \\weir_ram_1r1w \\lists\n  parameter \\ADDRESS_BITS 14\n  parameter \\DATA_BITS \
                    32'00000000000000000000000000001100\n  connect \\clk_i \\clk_i\n end\n cell \\weir_fifo \\f\n end\n";
        assert_eq!(memories(dump).unwrap(), vec![(("weir_ram_1r1w".to_owned(), 14, 12), 1)]);
        assert!(memories("cell \\weir_ram_2r \\a\nend\n").is_err());
    }
}
