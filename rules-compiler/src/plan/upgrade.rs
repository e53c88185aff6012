//! Changes of protocol: a flow keeps its class on the device, so once its bytes may mean another protocol, the host
//! takes it for good.
//!
//! The engine does not release a flow that changed protocol. What is left is to flag the change itself, in flows whose
//! class can change, by the words without which there is none: `CONNECT` requests and `101` responses of HTTP,
//! `STARTTLS`, `STLS`, `AUTH TLS` of the mail protocols and FTP, StartTLS of LDAP, and
//! PostgreSQL's request for it.
//!
//! Data connections of FTP are announced on the control connection, and become FTP data by it whatever their bytes look
//! like. The engine announces at the command that names the file, so that command is flagged as well: the host then has
//! all of the control connection when the first bytes of the data connection come.

use super::base;
use super::class::{Condition, Fragment, Trigger};
use weir_contract::enums::{DirectionMask, IpMask, Scopes, TransportMask};
use weir_contract::layouts::Record;
use weir_contract::protocol::AppProtocol as P;
use weir_ir::Rule;

/// Words, the class they matter in, and their direction.
const WORDS: &[(&[u8], P, u8)] = &[
    (b"connect ", P::Http1, DirectionMask::TO_SERVER.0),
    (b"connect\t", P::Http1, DirectionMask::TO_SERVER.0),
    (b" 101", P::Http1, DirectionMask::TO_CLIENT.0),
    (b"\t101", P::Http1, DirectionMask::TO_CLIENT.0),
    (b"starttls", P::Smtp, DirectionMask::TO_SERVER.0),
    (b"starttls", P::Imap, DirectionMask::TO_SERVER.0),
    (b"stls", P::Pop3, DirectionMask::TO_SERVER.0),
    // The end of StartTLS's object identifier (RFC 4511 section 4.14.1).
    (b"66.20037", P::Ldap, DirectionMask::TO_SERVER.0),
    (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", P::Pgsql, DirectionMask::TO_SERVER.0),
    (b"auth", P::Ftp, DirectionMask::TO_SERVER.0),
    (b"retr", P::Ftp, DirectionMask::TO_SERVER.0),
    (b"stor", P::Ftp, DirectionMask::TO_SERVER.0),
    (b"stou", P::Ftp, DirectionMask::TO_SERVER.0),
    (b"list", P::Ftp, DirectionMask::TO_SERVER.0),
    (b"nlst", P::Ftp, DirectionMask::TO_SERVER.0),
    (b"mlsd", P::Ftp, DirectionMask::TO_SERVER.0),
    (b"appe", P::Ftp, DirectionMask::TO_SERVER.0),
];

/// Conditions of the whole rule set; none where no rule asks for payload.
pub fn conditions(rules: &[Rule]) -> Vec<Condition> {
    let any_payload = rules.iter().any(|r| !r.buffers.is_empty() || !r.app_layer.is_empty() || base::header_protocol(r).is_some());
    if !any_payload {
        return Vec::new();
    }
    WORDS
        .iter()
        .filter_map(|&(word, class, directions)| {
            let record = Record {
                class_mask: base::classes(class),
                scopes: Scopes::APP.0 | Scopes::HANDSHAKE.0,
                transports: TransportMask::TCP.0,
                versions: IpMask::V4.0 | IpMask::V6.0,
                directions,
                ..Record::ALWAYS
            };
            Some(Condition { trigger: Trigger::Fragment(Fragment::new(word, false)?), record })
        })
        .collect()
}
