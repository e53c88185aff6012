//! The property that URI fragments rest on: what the normaliser hides from the wire, a guard sees.

use weir_app_layer::http1::normalise;
use weir_contract::facts::payload_facts;
use weir_contract::guards::Guard;
use weir_contract::hash::splitmix64;
use weir_contract::hidden;
use weir_contract::layouts::GuardParameters;

fn folded(bytes: &[u8]) -> Vec<u8> {
    bytes.to_ascii_lowercase()
}

/// Windows of the normal form that a planner may choose.
fn windows(normal: &[u8], length: usize) -> impl Iterator<Item = &[u8]> {
    normal.windows(length).filter(|w| w.iter().all(|&b| (0x21..0x7f).contains(&b) && !b"%\\#".contains(&b)))
}

fn check(target: &[u8]) -> usize {
    let mut normal = Vec::new();
    normalise(target, false, &mut normal);
    let mut wire = b"GET ".to_vec();
    wire.extend_from_slice(target);
    wire.extend_from_slice(b" HTTP/1.1\r\n");
    let visible = folded(&wire);
    let mut hidden_windows = 0;
    for length in 1..=5 {
        for window in windows(&normal, length) {
            let fold = folded(window);
            if visible.windows(length).any(|w| w == fold) {
                continue;
            }
            hidden_windows += 1;
            let hiding = hidden::uri(window);
            let parameters = GuardParameters { uri_percent_set: hiding.escapes, ..GuardParameters::ZERO };
            let facts = payload_facts(hiding.guards, &parameters, false, b"", &wire);
            assert!(
                facts & hiding.guards != 0,
                "`{}` of `{}` is not on the wire in `{}`, and no guard says so",
                window.escape_ascii(),
                normal.escape_ascii(),
                target.escape_ascii()
            );
        }
    }
    hidden_windows
}

#[test]
fn what_normalisation_hides_a_guard_sees() {
    let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    let seed = std::env::var("WEIR_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(start);
    println!("WEIR_SEED={seed}");
    let mut state = seed;
    let pieces: &[&[u8]] = &[
        b"/", b"/", b"//", b"/./", b"/../", b"..", b".", b"\\", b"%2f", b"%5C", b"%2e", b"%25", b"%", b"%u0041", b"%uff0f", b"%u", b"?",
        b"#", b":", b"://", b"http:", b"a", b"b", b"Cd", b"passwd", b"x=1&", b"+", b"%61", b"%c0%af", b"%C1%A1", b"\xc0\xae",
        b"\xef\xbc\xa1", b"%EF%BC%8F", b"%e2%88%95", b"\xff", b"%80", b"@", b";", b"%00", b"%e0%80%ae", b"%f0%80%80%af", b"%3f", b"%23", b"%20",
    ];
    let mut hidden_windows = 0;
    for _ in 0..60_000 {
        let mut target = Vec::new();
        for _ in 0..1 + splitmix64(&mut state) % 9 {
            target.extend_from_slice(pieces[(splitmix64(&mut state) % pieces.len() as u64) as usize]);
        }
        hidden_windows += check(&target);
    }
    assert!(hidden_windows > 100_000, "{hidden_windows} windows only");
}

/// Every character, escaped, raw and overlong.
#[test]
fn every_character_that_becomes_ascii() {
    let mut ascii = 0;
    for point in 0x80..=0x1_ffffu32 {
        let Some(c) = char::from_u32(point) else { continue };
        let mut buffer = [0; 4];
        let bytes = c.encode_utf8(&mut buffer).as_bytes();
        let escaped: Vec<u8> = bytes.iter().flat_map(|b| format!("%{b:02x}").into_bytes()).collect();
        ascii += check(&[b"/", escaped.as_slice()].concat());
        check(&[b"/", bytes].concat());
    }
    assert!(ascii > 500, "{ascii}");
    for byte in 0u8..0x80 {
        for overlong in [
            vec![0xc0 | byte >> 6, 0x80 | byte & 0x3f],
            vec![0xe0, 0x80 | byte >> 6, 0x80 | byte & 0x3f],
            vec![0xf0, 0x80, 0x80 | byte >> 6, 0x80 | byte & 0x3f],
        ] {
            check(&[b"/", overlong.as_slice()].concat());
            let escaped: Vec<u8> = overlong.iter().flat_map(|b| format!("%{b:02X}").into_bytes()).collect();
            check(&[b"/x", escaped.as_slice()].concat());
        }
    }
    assert!(Guard::UriHighByte.bit() & hidden::uri(b"abcd").guards != 0);
}
