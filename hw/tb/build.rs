//! Verilates the models of `MODELS` and compiles them into this crate.
//!
//! Without Verilator (environment variable VERILATOR, else `verilator` on the path) the crate builds without the RTL and
//! its tests say SKIPPED; hw/tools/install brings it. WEIR_RTL names another folder of RTL than hw/rtl (mutation tests),
//! WEIR_RTL_MODELS the models to build, separated by commas (default: all).

#[path = "verilate.rs"]
mod verilate;

use std::env;
use std::error::Error;
use std::path::PathBuf;
use verilate::{Model, build, link_runtime, runtime};

const PARSE: &[&str] = &[
    "pkg/weir_contract_pkg.sv",
    "parse/weir_parse_pkg.sv",
    "common/weir_fifo.sv",
    "parse/weir_parse_words.sv",
    "parse/weir_parse_collect.sv",
    "parse/weir_parse_extension.sv",
    "parse/weir_option_walk.sv",
    "parse/weir_parse.sv",
];

const MATCH: &[&str] = &[
    "pkg/weir_contract_pkg.sv",
    "parse/weir_parse_pkg.sv",
    "match/weir_match_pkg.sv",
    "common/weir_ram_2r.sv",
    "common/weir_fifo.sv",
    "common/weir_delay.sv",
    "match/weir_match_windows.sv",
    "match/weir_match_bloom.sv",
    "match/weir_match_pick.sv",
    "match/weir_match_exact.sv",
    "match/weir_match.sv",
];

const SEARCH: &[&str] = &["common/weir_ram_1r1w.sv", "common/weir_fifo.sv", "judge/weir_range_search.sv"];

const FACTS: &[&str] = &[
    "pkg/weir_contract_pkg.sv",
    "parse/weir_parse_pkg.sv",
    "match/weir_match_pkg.sv",
    "match/weir_facts_pkg.sv",
    "common/weir_fifo.sv",
    "match/weir_facts.sv",
];

const MODELS: &[Model<'static>] = &[
    Model {
        name: "flow_spike",
        top: "weir_flow_spike",
        parameters: &[],
        sources: &[
            "pkg/weir_sequence_pkg.sv",
            "common/weir_ram_1r1w.sv",
            "common/weir_fifo.sv",
            "spike/weir_flow_parse.sv",
            "spike/weir_flow_verdict.sv",
            "spike/weir_flow_spike.sv",
        ],
        bench: &[],
    },
    Model {
        name: "layout",
        top: "weir_contract_layout_tb",
        parameters: &[],
        sources: &["pkg/weir_contract_pkg.sv"],
        bench: &["generated/weir_contract_layout_tb.sv"],
    },
    Model { name: "parse", top: "weir_tb_parse", parameters: &[], sources: PARSE, bench: &["sv/weir_tb_parse.sv"] },
    Model {
        name: "parse_narrow",
        top: "weir_tb_parse",
        parameters: &["-GBYTES=16"],
        sources: PARSE,
        bench: &["sv/weir_tb_parse.sv"],
    },
    Model { name: "literal", top: "weir_tb_match", parameters: &[], sources: MATCH, bench: &["sv/weir_tb_match.sv"] },
    Model {
        name: "literal_narrow",
        top: "weir_tb_match",
        // Every length, small tables.
        parameters: &[
            "-GBYTES=16",
            "-GPARTITIONS=20'h32222",
            "-GBLOOM_LOG2=40'h0e0b0b0b0b",
            "-GBUCKETS_LOG2=40'h0707070707",
        ],
        sources: MATCH,
        bench: &["sv/weir_tb_match.sv"],
    },
    Model { name: "facts", top: "weir_tb_facts", parameters: &[], sources: FACTS, bench: &["sv/weir_tb_facts.sv"] },
    Model {
        name: "facts_narrow",
        top: "weir_tb_facts",
        parameters: &["-GBYTES=16"],
        sources: FACTS,
        bench: &["sv/weir_tb_facts.sv"],
    },
    Model {
        name: "message_facts",
        top: "weir_tb_message_facts",
        parameters: &[],
        sources: &[
            "pkg/weir_contract_pkg.sv",
            "parse/weir_parse_pkg.sv",
            "common/weir_ram_1r1w.sv",
            "match/weir_message_facts.sv",
        ],
        bench: &["sv/weir_tb_message_facts.sv"],
    },
    Model {
        name: "flow",
        top: "weir_tb_flow",
        parameters: &[],
        sources: &[
            "pkg/weir_contract_pkg.sv",
            "pkg/weir_sequence_pkg.sv",
            "pkg/weir_signatures_pkg.sv",
            "parse/weir_parse_pkg.sv",
            "flow/weir_detect_pkg.sv",
            "flow/weir_flow_pkg.sv",
            "common/weir_ram_1r1w.sv",
            "common/weir_fifo.sv",
            "flow/weir_flow_access.sv",
        ],
        bench: &["sv/weir_tb_flow.sv"],
    },
    Model {
        name: "flow_table",
        top: "weir_tb_flow_table",
        parameters: &[],
        sources: &[
            "pkg/weir_contract_pkg.sv",
            "parse/weir_parse_pkg.sv",
            "common/weir_fifo.sv",
            "flow/weir_flow_key.sv",
            "flow/weir_flow_table.sv",
        ],
        bench: &["sv/weir_tb_flow_table.sv"],
    },
    Model {
        name: "queue_writer",
        top: "weir_tb_queue_writer",
        parameters: &[],
        sources: &["pkg/weir_contract_pkg.sv", "dma/weir_dma_pkg.sv", "dma/weir_queue_writer.sv"],
        bench: &["sv/weir_tb_queue_writer.sv"],
    },
    Model {
        name: "verdict",
        top: "weir_tb_verdict",
        parameters: &[],
        sources: &[
            "pkg/weir_contract_pkg.sv",
            "verdict/weir_verdict_pkg.sv",
            "common/weir_ram_1r1w.sv",
            "common/weir_fifo.sv",
            "verdict/weir_verdict_access.sv",
        ],
        bench: &["sv/weir_tb_verdict.sv"],
    },
    Model {
        name: "judge",
        top: "weir_tb_judge",
        parameters: &[],
        sources: &[
            "pkg/weir_contract_pkg.sv",
            "parse/weir_parse_pkg.sv",
            "match/weir_match_pkg.sv",
            "judge/weir_judge_pkg.sv",
            "common/weir_ram_1r1w.sv",
            "common/weir_fifo.sv",
            "judge/weir_header_rows.sv",
            "judge/weir_judge.sv",
        ],
        bench: &["sv/weir_tb_judge.sv"],
    },
    Model {
        name: "range_search",
        top: "weir_tb_range_search",
        parameters: &["-GKEY_BITS=128", "-GLOG2=8"],
        sources: SEARCH,
        bench: &["sv/weir_tb_range_search.sv"],
    },
    Model {
        name: "range_search4",
        top: "weir_tb_range_search",
        parameters: &["-GKEY_BITS=32", "-GLOG2=15"],
        sources: SEARCH,
        bench: &["sv/weir_tb_range_search.sv"],
    },
    Model {
        name: "loader",
        top: "weir_tb_loader",
        parameters: &[],
        sources: &[
            "pkg/weir_contract_pkg.sv",
            "parse/weir_parse_pkg.sv",
            "match/weir_match_pkg.sv",
            "match/weir_facts_pkg.sv",
            "judge/weir_judge_pkg.sv",
            "load/weir_load_pkg.sv",
            "common/weir_ram_1r1w.sv",
            "common/weir_fifo.sv",
            "load/weir_image_reader.sv",
            "load/weir_load_image.sv",
            "load/weir_load_guards.sv",
            "load/weir_load_lists.sv",
            "load/weir_load_entries.sv",
            "load/weir_load_ranges.sv",
            "load/weir_load_prefixes.sv",
            "load/weir_load_transpose.sv",
            "load/weir_load_blocks.sv",
            "load/weir_epochs.sv",
            "load/weir_loader.sv",
        ],
        bench: &["sv/weir_tb_loader.sv"],
    },
];

fn main() -> Result<(), Box<dyn Error>> {
    for variable in ["VERILATOR", "WEIR_RTL", "WEIR_RTL_MODELS"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    for path in ["cpp", "sv", "generated", "../rtl"] {
        println!("cargo:rerun-if-changed={path}");
    }
    for model in MODELS {
        println!("cargo:rustc-check-cfg=cfg(rtl_{})", model.name);
    }
    let verilator = env::var("VERILATOR").unwrap_or_else(|_| "verilator".into());
    let Some(runtime) = runtime(&verilator) else {
        println!("cargo:warning=no Verilator: the RTL is not built, its tests will be skipped (see hw/tools/install)");
        return Ok(());
    };
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let rtl = env::var("WEIR_RTL").map_or_else(|_| PathBuf::from("../rtl"), PathBuf::from);
    println!("cargo:rerun-if-changed={}", rtl.display());
    let wanted = env::var("WEIR_RTL_MODELS").ok();
    for model in MODELS {
        if wanted.as_ref().is_none_or(|list| list.split(',').any(|name| name == model.name)) {
            build(model, &verilator, &runtime, &out, &rtl)?;
            println!("cargo:rustc-cfg=rtl_{}", model.name);
        }
    }
    link_runtime(&runtime, &out);
    Ok(())
}
