use super::*;
use std::path::PathBuf;

fn needs() -> Needs {
    Needs { image: 5, records: 4, list_entries: 3, header_entries: 2, fragments: 7, prefixes_v4: 1, prefixes_v6: 0 }
}

fn manifest(version: u64) -> Manifest {
    Manifest {
        version,
        created: 1000,
        expires: 2000,
        contract: (weir_contract::constants::CONTRACT_MAJOR, 0),
        made_by: "test".to_owned(),
        ruleset: "00".to_owned(),
        rules: 3,
        image: "11".to_owned(),
        profile: None,
        needs: needs(),
        parts: Vec::new(),
    }
}

fn key(n: u8) -> PrivateKey {
    PrivateKey::from_seed(&[n; 32])
}

fn sealed(version: u64) -> Vec<u8> {
    seal(manifest(version), &[("tables", b"image"), ("program", b"rules and more")], &key(1)).unwrap()
}

#[test]
fn what_was_sealed_is_read() {
    let bytes = sealed(3);
    let bundle = Bundle::open(&bytes, &key(1).public()).unwrap();
    assert_eq!(bundle.part("tables"), Ok(&b"image"[..]));
    assert_eq!(bundle.part("program"), Ok(&b"rules and more"[..]));
    assert!(bundle.part("more").is_err());
    assert_eq!(bundle.usable(1500), Ok(()));
    assert_eq!(bundle.key, key(1).public().id());
}

/// Every bit counts: a bundle with one changed is refused, wherever it lies.
#[test]
fn tampered() {
    let bytes = sealed(3);
    let public = key(1).public();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            assert!(Bundle::open(&changed, &public).is_err(), "byte {at}, bit {bit}");
        }
    }
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert!(matches!(Bundle::open(&changed, &public), Err(BundleError::Part { part, .. }) if part == "program"));
    changed = bytes.clone();
    changed[HEAD + 5] ^= 1;
    assert!(matches!(Bundle::open(&changed, &public), Err(BundleError::Signature { .. })));
}

#[test]
fn truncated_and_too_long() {
    let bytes = sealed(3);
    let public = key(1).public();
    for length in 0..bytes.len() {
        assert!(matches!(Bundle::open(&bytes[..length], &public), Err(BundleError::Length { .. })), "{length} bytes");
    }
    let longer = [bytes.as_slice(), b"x"].concat();
    assert!(matches!(Bundle::open(&longer, &public), Err(BundleError::Length { .. })));
}

#[test]
fn lengths_that_are_only_claimed() {
    let mut bytes = sealed(3);
    bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(Bundle::open(&bytes, &key(1).public()), Err(BundleError::Length { at: 12, .. })));
}

#[test]
fn signed_by_another() {
    let bytes = sealed(3);
    assert!(matches!(Bundle::open(&bytes, &key(2).public()), Err(BundleError::Key { .. })));
    // The id of a key is no proof of it.
    let mut forged = seal(manifest(3), &[], &key(2)).unwrap();
    forged[16..32].copy_from_slice(&key(1).public().id_bytes());
    assert!(matches!(Bundle::open(&forged, &key(1).public()), Err(BundleError::Signature { .. })));
}

#[test]
fn expired_and_too_early() {
    let bytes = sealed(3);
    let bundle = Bundle::open(&bytes, &key(1).public()).unwrap();
    assert_eq!(bundle.usable(2000), Err(BundleError::Expired { expires: 2000, now: 2000 }));
    assert!(matches!(bundle.usable(1), Err(BundleError::Early { .. })));
    assert_eq!(bundle.usable(900), Ok(()), "clocks differ");
}

#[test]
fn of_a_later_contract() {
    let have = weir_contract::constants::CONTRACT_MINOR;
    for contract in
        [(weir_contract::constants::CONTRACT_MAJOR, have + 1), (weir_contract::constants::CONTRACT_MAJOR + 1, 0)]
    {
        let bytes = seal(Manifest { contract, ..manifest(1) }, &[], &key(1)).unwrap();
        let bundle = Bundle::open(&bytes, &key(1).public()).unwrap();
        assert!(matches!(bundle.usable(1500), Err(BundleError::Contract { .. })));
    }
}

#[test]
fn older_than_what_was_accepted() {
    let (first, second) = (sealed(3), sealed(4));
    let public = key(1).public();
    let open = |bytes| Bundle::open(bytes, &public).unwrap();
    let mut history = History::default();
    history.allows(&open(&first)).unwrap();
    history.accept(&open(&first), 1500);
    history.allows(&open(&first)).unwrap();
    history.accept(&open(&second), 1501);
    assert_eq!(history.allows(&open(&first)), Err(BundleError::Old { found: 3, accepted: 4 }));
    let other = seal(Manifest { rules: 9, ..manifest(4) }, &[], &key(1)).unwrap();
    assert_eq!(history.allows(&open(&other)), Err(BundleError::Twice(4)));
    assert_eq!(history.clone().roll_back(2), Err(BundleError::Unknown(2)));
    let mut back = history.clone();
    back.roll_back(3).unwrap();
    back.allows(&open(&first)).unwrap();
    back.allows(&open(&second)).unwrap();
    let path = folder("history").join("state.json");
    history.write(&path).unwrap();
    assert_eq!(History::read(&path).unwrap(), history);
    std::fs::write(&path, b"{").unwrap();
    assert!(matches!(History::read(&path), Err(HistoryError::Form { .. })));
}

#[test]
fn made_for_another_geometry() {
    let small = Capacity { fragments: 6, ..needs() };
    assert_eq!(needs().fit(&needs()), Ok(()));
    assert_eq!(needs().fit(&small), Err(BundleError::Geometry { what: "fragments", needed: 7, most: 6 }));
}

#[test]
fn contradictions_of_a_manifest() {
    let bad = |m: Manifest| assert!(matches!(seal(m, &[], &key(1)), Err(BundleError::Manifest { .. })));
    bad(Manifest { version: 0, ..manifest(1) });
    bad(Manifest { expires: 1000, ..manifest(1) });
    assert!(seal(manifest(1), &[("a", b""), ("a", b"")], &key(1)).is_err());
}

/// Every refusal says where, why, and what to do.
#[test]
fn refusals_have_a_remedy() {
    let bytes = sealed(1);
    let errors = [
        Bundle::open(b"ELF", &key(1).public()),
        Bundle::open(&bytes[..9], &key(1).public()),
        Bundle::open(&bytes, &key(2).public()),
    ];
    for error in errors.into_iter().map(Result::unwrap_err) {
        assert!(error.to_string().contains("at byte") && error.remedy().len() > 10, "{error}");
    }
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("weir-bundle-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn private_keys_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let path = folder("keys").join("k");
    let (public, key) = generate(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(PublicKey::read(&public).unwrap(), key);
    assert_eq!(PrivateKey::read(&path).unwrap().public(), key);
    assert!(matches!(generate(&path), Err(KeyError::Io { .. })), "a key is never written over");
    for mode in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(PrivateKey::read(&path), Err(KeyError::Mode { .. })), "{mode:o}");
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let secret = text.trim().rsplit(' ').next().unwrap().to_owned();
    let error = PublicKey::read(&path).unwrap_err().to_string();
    assert!(!error.contains(&secret), "messages never show a key");
}
