//! Profiles: learned, written, read back, asked.

use super::estimate::Estimator;
use super::learn::{Learner, Seen};
use super::*;
use crate::image::{ImageOptions, emit};
use crate::plan::cost::{Statistics, Traffic};
use crate::plan::{Options, plan};
use crate::{LoadOptions, RuleSource, VariableTable, load};
use std::net::IpAddr;
use weir_contract::enums::{DirectionMask, IpMask, StateMask, TransportMask};
use weir_contract::layouts::GuardParameters;
use weir_contract::protocol::AppProtocol;
use weir_contract::record::FrameFacts;

fn facts(payload: &[u8]) -> FrameFacts {
    FrameFacts {
        transport: TransportMask::TCP.0,
        version: IpMask::V4.0,
        directions: DirectionMask::TO_SERVER.0,
        states: StateMask::ESTABLISHED.0,
        classes: 1 << AppProtocol::Http1 as u8,
        protocol: Some(6),
        tcp_flags: Some(0x18),
        icmp: None,
        payload_length: payload.len() as u32,
        packet_first: ([0; 16], 0),
        stream_first: None,
        stream_start_lost: false,
        stream_offset: Some(0),
        reverse_bytes: Some(0),
        address_classes: (0, 0),
        port_classes: (0, 0),
        scopes: u8::MAX,
    }
}

/// Requests, every tenth of which holds `word`, from a client to port 80.
fn learned(word: &str, windows: &[&[u8]]) -> Profile {
    let windows = windows.iter().map(|w| (Fragment::new(w, false).unwrap().window(), w.len()));
    let mut learner = Learner::new(windows);
    let client: IpAddr = "10.1.2.3".parse().unwrap();
    let server: IpAddr = "192.0.2.9".parse().unwrap();
    learner.capture();
    for n in 0..2000u32 {
        let text = format!("GET /{n:x}{} HTTP/1.1\r\nHost: a\r\n\r\n", if n % 10 == 0 { word } else { "" });
        learner.frame(&Seen {
            facts: &facts(text.as_bytes()),
            ends: Some((client, server)),
            ports: (40_000, 80),
            guards: 0,
            tail: &[],
            payload: text.as_bytes(),
            parameters: &GuardParameters::ZERO,
            length: 54 + text.len() as u32,
        });
        learner.frame(&Seen {
            facts: &FrameFacts { payload_length: 0, directions: DirectionMask::TO_CLIENT.0, ..facts(b"") },
            ends: Some((server, client)),
            ports: (80, 40_000),
            guards: 0,
            tail: &[],
            payload: &[],
            parameters: &GuardParameters::ZERO,
            length: 54,
        });
    }
    learner.finish("made up".to_owned(), 7, Measured::default())
}

#[test]
fn what_was_counted_is_the_rate() {
    let profile = learned("/SeldomWord", &[b"seldomwo", b"neverwas"]);
    assert_eq!(profile.head.kinds, [2000, 0, 0, 0, 0, 0]);
    let statistics = Statistics::new(Some(Arc::new(profile)));
    let rate = |bytes: &[u8], traffic| statistics.rate(traffic, &Fragment::new(bytes, true).unwrap());
    let seldom = rate(b"SeldomWo", Traffic::Request);
    assert!((0.085..0.11).contains(&seldom), "{seldom}");
    assert!(rate(b"neverwas", Traffic::Request) < 1e-3);
    // By its runs, for nobody asked to count it.
    let not_counted = rate(b"eldomWor", Traffic::Request);
    assert!((0.03..0.15).contains(&not_counted), "{not_counted}");
    // Nothing is known of DNS: the built-in rate.
    assert_eq!(
        rate(b"SeldomWo", Traffic::Dns),
        Statistics::default().rate(Traffic::Dns, &Fragment::new(b"SeldomWo", true).unwrap())
    );
}

#[test]
fn a_profile_is_what_its_file_says() {
    let profile = learned("/SeldomWord", &[b"seldomwo"]);
    let file = profile.encode();
    assert!(file.len() < 200_000, "{} bytes", file.len());
    let back = Profile::decode(&file).unwrap();
    assert_eq!(Profile { digest: String::new(), ..back.clone() }, profile);
    assert_eq!(back.encode(), file);
    assert!(!back.digest.is_empty());
    // No payload: not even the hosts of the frames.
    assert!(
        back.sample
            .iter()
            .all(|f| f.networks.is_none_or(|(a, b)| [a, b].iter().all(|a| a.to_string().ends_with(".1"))))
    );
    for at in [0, 8, 13, 40, file.len() / 2, file.len() - 1] {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(Profile::decode(&changed).is_err(), "byte {at}");
        assert!(Profile::decode(&file[..at]).is_err(), "{at} bytes");
    }
}

/// `WEIR_PROFILE=FILE cargo test -p weir-rules built_in` takes a profile that `--save-profile` wrote in its place. What it
/// expects by its sample of the tables that it plans is `expected.by_sample` of `weir rules cost --json`, frames and bytes, in
/// `WEIR_EXPECTED=0.1,0.2`.
#[test]
fn the_built_in_profile_is_there() {
    if let Some(path) = std::env::var_os("WEIR_PROFILE") {
        let mut learned = Profile::decode(&std::fs::read(path).unwrap()).unwrap();
        let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/profile/builtin.profile");
        if let Some(text) = std::env::var_os("WEIR_EXPECTED") {
            let text = text.into_string().unwrap();
            let (frames, bytes) = text.split_once(',').unwrap();
            learned.head.measured.expected = Part { frames: frames.parse().unwrap(), bytes: bytes.parse().unwrap() };
        }
        std::fs::write(place, learned.compact().encode()).unwrap();
        return;
    }
    let profile = Profile::built_in();
    assert_eq!(profile.sample.len(), SAMPLE_MAX);
    assert!(profile.has_rates() && profile.head.captures > 200);
    assert!(profile.head.measured.host.frames > profile.head.measured.flagged.frames);
}

#[test]
fn another_fragment_is_chosen_where_traffic_is_full_of_one() {
    let rule = r#"alert http any any -> any any (http.uri; content:"/wonderful"; content:"/ordinary"; sid:1;)"#;
    let set = load(&[RuleSource::from_text("x", rule)], &VariableTable::default(), &LoadOptions::default());
    let looked_for = |profile: Option<Profile>| {
        let options = Options { profile: profile.map(Arc::new), ..Options::default() };
        let plan = plan(&set.rules, &options);
        plan.rules[0].reason.clone()
    };
    let windows: Vec<&[u8]> = [&b"/wonderful"[..], b"/ordinary"].iter().flat_map(|c| c.windows(8)).collect();
    let full_of = |word: &str| looked_for(Some(learned(word, &windows)));
    assert!(!full_of("/wonderful").contains("onder"), "{}", full_of("/wonderful"));
    assert!(!full_of("/ordinary").contains("rdina"), "{}", full_of("/ordinary"));
}

#[test]
fn shares_are_those_of_the_sample() {
    let text = "alert tcp any any -> any 80 (msg:\"all\"; dsize:>5; sid:1;)\n\
                alert tcp any any -> 10.0.0.0/8 any (msg:\"answers\"; ack:7; sid:2;)\n\
                alert tcp any any -> any 80 (content:\"SeldomWord\"; sid:3;)\n\
                alert udp any any -> any any (dsize:>5; sid:4;)\n";
    let set = load(&[RuleSource::from_text("x", text)], &VariableTable::default(), &LoadOptions::default());
    let profile = Arc::new(learned("/SeldomWord", &[b"seldomwo", b"eldomwor", b"ldomword"]));
    let options = Options { profile: Some(Arc::clone(&profile)), ..Options::default() };
    let mut plan = plan(&set.rules, &options);
    let estimator = Estimator::new(Arc::clone(&profile), Statistics::new(Some(profile)));
    let share = |n: usize| estimator.conditions(&plan.rules[n].conditions, &plan.sets);
    // Half of the frames are requests to port 80, the other half empty answers to the client.
    assert_eq!((share(0), share(1), share(3)), (0.5, 0.5, 0.0));
    let seldom = share(2);
    assert!((0.04..0.06).contains(&seldom), "{seldom}");
    let image = emit(&set.rules, &mut plan, &ImageOptions::default()).unwrap();
    let expected = estimator.tables(&image.tables, &plan.sets);
    assert!((expected.flagged.frames - 1.0).abs() < 1e-9, "{expected:?}");
}
