//! What Weir can do, in the form in which scripts ask Suricata for it.

use crate::exit::{FINDINGS, Failure, OK};
use crate::out::{outln};
use std::collections::BTreeSet;
use weir_contract::protocol::AppProtocol;
use weir_rules::keywords::{self, Keyword};

/// `--list-keywords`: all names, a table (`csv`), everything known of each (`all`), or one keyword.
pub fn keywords(which: &str) -> Result<u8, Failure> {
    let known = || keywords::all().iter().filter(|keyword| keyword.is_supported());
    match which {
        "" => {
            outln!("=====Supported keywords=====");
            let names: BTreeSet<&str> = known().flat_map(names).collect();
            names.iter().for_each(|name| outln!("- {name}"));
        }
        "csv" => {
            outln!("name;description;app layer;features;documentation");
            for name in known().flat_map(names) {
                outln!("{name};;Unset;none;");
            }
        }
        "all" => known().for_each(|keyword| describe(keyword, keyword.name)),
        name => match keywords::find(name.as_bytes()).filter(|keyword| keyword.is_supported()) {
            Some(keyword) => describe(keyword, name),
            None => {
                outln!("Non existing keyword");
                return Ok(FINDINGS);
            }
        },
    }
    Ok(OK)
}

fn names(keyword: &Keyword) -> impl Iterator<Item = &'static str> {
    std::iter::once(keyword.name).chain(keyword.aliases.iter().copied())
}

fn describe(keyword: &Keyword, name: &str) {
    outln!("= {name} =");
    if name != keyword.name {
        outln!("Alias of: {}", keyword.name);
    }
    if keyword.arguments.is_empty() {
        outln!("Features: No option");
    } else {
        outln!("Value: {}", keyword.arguments);
    }
}

/// `--list-app-layer-protos`: the protocols, by the names that configurations give them.
pub fn protocols() -> String {
    use AppProtocol as P;
    const PROTOCOLS: [AppProtocol; 34] = [
        P::Ftp, P::Smtp, P::Tls, P::Ssh, P::Imap, P::Smb, P::DceRpc, P::Dns, P::Modbus, P::Enip, P::Dnp3, P::Nfs, P::Ntp,
        P::FtpData, P::Tftp, P::Ike, P::Krb5, P::Quic, P::Dhcp, P::Sip, P::Rfb, P::Mqtt, P::Pgsql, P::Telnet,
        P::WebSocket, P::Ldap, P::Doh2, P::Rdp, P::Http2, P::BittorrentDht, P::Pop3, P::Mdns, P::Snmp, P::Http1,
    ];
    let mut text = "=========Supported App Layer Protocols=========\n".to_owned();
    for protocol in PROTOCOLS {
        let name = if protocol == P::Http1 { "http" } else { protocol.name() };
        text.push_str(name);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn protocols_have_the_names_of_configurations() {
        let text = super::protocols();
        for name in ["http", "http2", "ftp-data", "bittorrent-dht", "krb5", "telnet"] {
            assert!(text.lines().any(|line| line == name), "{name} in {text}");
        }
    }
}
