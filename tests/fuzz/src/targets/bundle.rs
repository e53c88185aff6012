//! Bundles: manifest, parts and the host's program.

use crate::Target;
use weir_rules::profile::Profile;
use weir_bundle::{Bundle, Manifest, Needs, PrivateKey, seal};

/// The targets of this room.
pub fn targets() -> [Target; 3] {
    let dictionary: &[&[u8]] =
        &[b"WEIRBNDL", b"\"parts\"", b"\"sha256\"", b"\"length\"", b"\"version\"", b"\"expires\"", b"\"needs\""];
    [
        Target {
            dictionary,
            ..Target::new(
                "bundle",
                "any bytes as a bundle: refused with a place, or what is read is what was signed",
                bundle,
                || vec![sealed(), b"WEIRBNDL\x01\0\0\0\xff\xff\xff\xff".to_vec()],
            )
        },
        Target {
            dictionary,
            ..Target::new(
                "bundle-program",
                "any bytes as the host's program in a bundle, packed: refused, or its texts and plan hang together",
                |bytes| weir::bundle::fuzz_program(&pack(bytes)),
                || vec![program()],
            )
        },
        Target::new(
            "profile",
            "any bytes as a profile, checksum made right: refused, or it is written as it was read",
            |bytes| {
                for bytes in [bytes.to_vec(), summed(bytes)] {
                    if let Ok(profile) = Profile::decode(&bytes) {
                        let again = Profile::decode(&profile.encode()).expect("what was read can be written");
                        assert_eq!(again.sample, profile.sample);
                    }
                }
            },
            || vec![Profile::default().encode(), b"WEIRPROF\x01\0\0\0".to_vec()],
        ),
    ]
}

/// With the right checksum, and its body packed.
fn summed(bytes: &[u8]) -> Vec<u8> {
    let packed = pack(bytes.get(16..).unwrap_or_default());
    let mut out = b"WEIRPROF\x01\0\0\0".to_vec();
    out.extend(weir_contract::crc::crc32c(&packed).to_le_bytes());
    out.extend(packed);
    out
}

fn key() -> PrivateKey {
    PrivateKey::from_seed(&[7; 32])
}

fn sealed() -> Vec<u8> {
    let manifest = Manifest {
        version: 3,
        created: 0,
        expires: 9,
        contract: (1, 0),
        made_by: "fuzz".to_owned(),
        ruleset: String::new(),
        rules: 1,
        image: String::new(),
        profile: None,
        needs: Needs {
            image: 1,
            records: 1,
            list_entries: 1,
            header_entries: 1,
            fragments: 1,
            prefixes_v4: 1,
            prefixes_v6: 1,
        },
        parts: Vec::new(),
    };
    let packed = pack(&program());
    seal(manifest, &[("tables", b"image"), ("program", &packed)], &key()).unwrap_or_default()
}

/// An index and a text.
fn program() -> Vec<u8> {
    let contents = br#"{"texts":[{"role":"Rules","name":"x","length":4}],"vars":{"A":"any"},"data":{}}"#;
    let index = br#"{"normal":"","classes":"LD","reasons":["a","b"],"gates":["g"],"evidence":[{"rule":0,"fragment":[97,98,99,100],"classes":3,"scopes":2,"ports":[0,1]},{"rule":null,"guard":4,"classes":1,"scopes":2,"ports":[0,0]}],"ports":[[[0,65535]],[[80,80]]],"owners":[[0,1]],"everything":false}"#;
    let lengths = [contents.len() as u64, index.len() as u64].map(u64::to_le_bytes).concat();
    [&lengths[..], contents, index, b"rule"].concat()
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    weir::bundle::fuzz_pack(bytes)
}

fn bundle(bytes: &[u8]) {
    let public = key().public();
    if let Err(error) = Bundle::open(bytes, &public) {
        assert!(error.to_string().contains("at byte"), "{error}");
        assert!(!error.remedy().is_empty());
    } else {
        // Whatever else the bytes are, the head and the manifest are those that were signed.
        assert!(sealed().starts_with(&bytes[..weir_bundle::HEAD]));
    }
    weir::bundle::fuzz(bytes, &public);
}
