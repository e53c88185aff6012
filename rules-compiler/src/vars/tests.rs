use super::*;

fn address(table: &VariableTable, text: &str) -> String {
    match table.addresses(text) {
        Ok(set) if set.is_any() => "any".into(),
        Ok(set) => {
            let v4 = set.v4.iter().map(|(a, b)| format!("{a}-{b}"));
            let v6 = set.v6.iter().map(|(a, b)| format!("{a}-{b}"));
            v4.chain(v6).collect::<Vec<_>>().join(" ")
        }
        Err(e) => format!("error: {e}"),
    }
}

#[test]
fn address_expressions() {
    let mut table = VariableTable::default();
    table.set("LOOP", "[1.1.1.1,$LOOP]");
    table.set("EXTRA", "[$HOME_NET,!10.1.0.0/16]");
    let v6 = "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    for (text, expected) in [
        ("any", "any".to_owned()),
        ("1.2.3.4", "1.2.3.4-1.2.3.4".into()),
        ("10.0.0.77/8", "10.0.0.0-10.255.255.255".into()),
        ("10.0.0.0/255.255.0.0", "10.0.0.0-10.0.255.255".into()),
        ("1.1.1.1-1.1.1.9", "1.1.1.1-1.1.1.9".into()),
        ("0.0.0.0/0", "0.0.0.0-255.255.255.255".into()),
        ("2001:db8::/127", "2001:db8::-2001:db8::1".into()),
        ("[1.1.1.1,[1.1.1.2, 1.1.1.4]]", "1.1.1.1-1.1.1.2 1.1.1.4-1.1.1.4".into()),
        ("[10.0.0.0/8,!10.0.0.0/9]", "10.128.0.0-10.255.255.255".into()),
        ("[!10.0.0.0/9,10.0.0.0/8]", "10.128.0.0-10.255.255.255".into()),
        ("[!0.0.0.0/1]", format!("128.0.0.0-255.255.255.255 {v6}")),
        ("![0.0.0.0/1,!1.0.0.0/8]", format!("1.0.0.0-1.255.255.255 128.0.0.0-255.255.255.255 {v6}")),
        (
            "$EXTRA",
            "10.0.0.0-10.0.255.255 10.2.0.0-10.255.255.255 172.16.0.0-172.31.255.255 192.168.0.0-192.168.255.255"
                .into(),
        ),
        ("!$EXTERNAL_NET", "10.0.0.0-10.255.255.255 172.16.0.0-172.31.255.255 192.168.0.0-192.168.255.255".into()),
        ("!any", "error: `!any` leaves nothing to match".into()),
        ("[1.1.1.1,!1.1.1.1]", "error: `[1.1.1.1,!1.1.1.1]` leaves nothing to match".into()),
        ("$HOMENET", "error: the variable `$HOMENET` is not defined".into()),
        ("$LOOP", "error: `$LOOP` is nested more than 32 levels deep, or refers to itself".into()),
        ("[1.1.1.1", "error: unbalanced brackets in `[1.1.1.1`".into()),
        ("1.1.1.1]", "error: unbalanced brackets in `1.1.1.1]`".into()),
        ("[1.1.1.1,,2.2.2.2]", "error: empty element in `[1.1.1.1,,2.2.2.2]`".into()),
        ("[]", "error: empty element in `[]`".into()),
        ("10.0.0.0/33", "error: `10.0.0.0/33` is not an address, network, range or variable".into()),
        ("10.0.0.0/255.0.255.0", "error: `10.0.0.0/255.0.255.0` is not an address, network, range or variable".into()),
        ("2.2.2.2-1.1.1.1", "error: the range `2.2.2.2-1.1.1.1` ends before it begins".into()),
        ("", "error: empty element in ``".into()),
    ] {
        assert_eq!(address(&table, text), expected, "{text}");
    }
    assert!(matches!(table.addresses(&"[".repeat(1000)), Err(VariableError::Depth(_))));
    assert!(
        matches!(table.addresses("$HOMENET"), Err(VariableError::Undefined { suggestion: Some(s), .. }) if s == "HOME_NET")
    );
}

#[test]
fn port_expressions() {
    let table = VariableTable::default();
    for (text, expected) in [
        ("any", Some(vec![(0, 65535)])),
        ("80", Some(vec![(80, 80)])),
        ("!80", Some(vec![(0, 79), (81, 65535)])),
        ("1024:", Some(vec![(1024, 65535)])),
        (":1023", Some(vec![(0, 1023)])),
        ("[80,443,8000:8010,!8005]", Some(vec![(80, 80), (443, 443), (8000, 8004), (8006, 8010)])),
        ("[!$HTTP_PORTS,!443]", Some(vec![(0, 79), (81, 442), (444, 65535)])),
        ("$FILE_DATA_PORTS", Some(vec![(80, 80), (110, 110), (143, 143)])),
        ("![$HTTP_PORTS,:1023]", Some(vec![(1024, 65535)])),
        ("70000", None),
        ("90:80", None),
        ("!any", None),
    ] {
        assert_eq!(table.ports(text).ok().map(|p| p.ranges), expected, "{text}");
    }
}

#[test]
fn home_any_makes_external_any() {
    let mut table = VariableTable::default();
    table.set("HOME_NET", "any");
    assert!(table.addresses("$EXTERNAL_NET").unwrap().is_any());
    assert_eq!(table.notices().len(), 1);
    let mut table = VariableTable::default();
    table.set("EXTERNAL_NET", "!10.0.0.0/8");
    table.set("HOME_NET", "any");
    assert!(!table.addresses("$EXTERNAL_NET").unwrap().is_any());
    assert!(table.notices().is_empty());
}
