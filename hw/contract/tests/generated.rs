//! The committed files are what the specification says, and the layouts agree with their vectors.

use std::path::Path;

#[test]
fn committed_files_match_the_specification() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let drift = weir_contract_gen::drift(&root).expect("specification");
    assert!(drift.is_empty(), "run `cargo xtask gen` and commit: {drift:?}");
}
