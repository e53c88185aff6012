//! Kerberos of one flow, over UDP or behind length fields over TCP (RFC 4120 section 7.2).

use super::parser::{Message, is_weak, message};
use crate::messages::Messages;
use crate::wire::be32;
use crate::{AppLayerConfig, BufferState, Direction, Input, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 2] = ["malformed_data", "weak_encryption"];
/// Longest message over TCP.
const MESSAGE_MAX: usize = 256 * 1024;

/// Kerberos of one flow.
pub struct KerberosState {
    tcp: bool,
    held: [Vec<u8>; 2],
    lost: [bool; 2],
    messages: Messages<Message>,
    /// Kind of the latest request: an error answers it.
    failed: Option<u64>,
}

impl KerberosState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>, tcp: bool) -> Self {
        KerberosState {
            tcp,
            held: Default::default(),
            lost: [false; 2],
            messages: Messages::new(config.transactions),
            failed: None,
        }
    }

    fn message(&mut self, direction: Direction, bytes: &[u8]) {
        let parsed = message(bytes);
        let weak = |m: &Message| m.encryption.is_some_and(is_weak);
        let events = match &parsed {
            None => vec![0],
            Some(m) if weak(m) => vec![1],
            Some(_) => Vec::new(),
        };
        if let Some(kind) = parsed.as_ref().map(|m| m.kind).filter(|kind| matches!(kind, 10 | 12 | 14)) {
            self.failed = Some(kind);
        }
        self.messages.push(direction, parsed.unwrap_or_default(), events);
    }

    fn stream(&mut self, direction: Direction, bytes: &[u8]) {
        let d = direction as usize;
        let mut held = std::mem::take(&mut self.held[d]);
        held.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(length) = be32(&held, at) {
            let length = length as usize;
            if length > MESSAGE_MAX {
                self.message(direction, &[]);
                self.lost[d] = true;
                return;
            }
            let Some(bytes) = held.get(at + 4..at + 4 + length) else { break };
            let bytes = bytes.to_vec();
            self.message(direction, &bytes);
            at += 4 + length;
        }
        held.drain(..at);
        self.held[d] = held;
    }
}

impl ProtocolState for KerberosState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Krb5
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        let d = direction as usize;
        match input {
            Input::Data(_) if self.lost[d] => {}
            Input::Data(bytes) if self.tcp => self.stream(direction, bytes),
            Input::Data(bytes) => self.message(direction, bytes),
            Input::Gap(_) | Input::End => {
                self.lost[d] = true;
                self.held[d] = Vec::new();
            }
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.messages.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        let Some(message) = self.messages.of(index, direction) else { return BufferState::Absent };
        let names = match buffer {
            Buffer::KerberosClientName => &message.client,
            Buffer::KerberosServerName => &message.server,
            _ => return BufferState::Absent,
        };
        names.get(instance).map_or(BufferState::Absent, |bytes| BufferState::whole(bytes))
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        let message = self.messages.of(index, direction)?;
        let number = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
        match name {
            "krb5_msg_type" => Some(message.kind).filter(|kind| *kind > 0),
            "krb5_err_code" => number(message.error),
            name if name.starts_with("krb5.ticket_encryption") => {
                let ticket = message.ticket?;
                let list = name.strip_prefix("krb5.ticket_encryption.")?;
                let holds = if list == "weak" { is_weak(ticket) } else { list.split(',').any(|n| n.parse() == Ok(ticket)) };
                Some(holds.into())
            }
            // Without a value the keyword asks whether there is any.
            "krb5.weak_encryption" => message.encryption.filter(|e| is_weak(*e)).map(|_| 1),
            _ => None,
        }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn mark_inspected(&mut self) {
        self.messages.clear();
    }

    fn is_open(&self, direction: Direction) -> bool {
        !self.held[direction as usize].is_empty()
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        let Some((_, message)) = self.messages.get(index) else { return };
        let mut object = crate::json::Object::begin("krb5", out);
        let kind: &[u8] = match message.kind {
            10 => b"KRB_AS_REQ",
            11 => b"KRB_AS_REP",
            12 => b"KRB_TGS_REQ",
            13 => b"KRB_TGS_REP",
            14 => b"KRB_AP_REQ",
            15 => b"KRB_AP_REP",
            30 => b"KRB_ERROR",
            _ => b"UNKNOWN",
        };
        object.text("msg_type", Some(kind));
        if message.kind == 30 {
            object.text("failed_request", self.failed.map(request_name));
            let code = message.error.unwrap_or(0);
            object.text("error_code", Some(error_name(code).as_bytes()));
        }
        let name = |parts: &[Vec<u8>]| if parts.is_empty() { b"<empty>".to_vec() } else { parts.join(&b'/') };
        object.always("cname", &name(&message.client));
        object.always("realm", if message.realm.is_empty() { b"<empty>" } else { &message.realm });
        object.always("sname", &name(&message.server));
        let encryption = |n: Option<i64>| n.map_or_else(|| "<none>".to_owned(), encryption_name);
        object.always("encryption", encryption(message.encryption).as_bytes());
        object.flag("weak_encryption", message.encryption.is_some_and(is_weak));
        if let Some(ticket) = message.ticket {
            object.always("ticket_encryption", encryption_name(ticket).as_bytes());
            object.flag("ticket_weak_encryption", is_weak(ticket));
        }
        object.end();
    }
}

/// Name of the request that an error answers.
fn request_name(kind: u64) -> &'static [u8] {
    match kind {
        10 => b"KRB_AS_REQ",
        12 => b"KRB_TGS_REQ",
        14 => b"KRB_AP_REQ",
        _ => b"UNKNOWN",
    }
}

/// Name of an encryption type (IANA Kerberos encryption type numbers).
fn encryption_name(n: i64) -> String {
    let name = match n {
        0 => "null",
        1 => "des-cbc-crc",
        2 => "des-cbc-md4",
        3 => "des-cbc-md5",
        5 => "des3-cbc-md5",
        7 => "des3-cbc-sha1",
        9 => "dsaWithSHA1-CmsOID",
        10 => "md5WithRSAEncryption-CmsOID",
        11 => "sha1WithRSAEncryption-CmsOID",
        12 => "rc2CBC-EnvOID",
        13 => "rsaEncryption-EnvOID",
        14 => "rsaES-OAEP-ENV-OID",
        15 => "des-ede3-cbc-Env-OID",
        16 => "des3-cbc-sha1-kd",
        17 => "aes128-cts-hmac-sha1-96",
        18 => "aes256-cts-hmac-sha1-96",
        19 => "aes128-cts-hmac-sha256-128",
        20 => "aes256-cts-hmac-sha384-192",
        23 => "rc4-hmac",
        24 => "rc4-hmac-exp",
        25 => "camellia128-cts-cmac",
        26 => "camellia256-cts-cmac",
        65 => "subkey-keymaterial",
        -128 => "rc4-md4",
        -133 => "rc4-hmac-old",
        -135 => "rc4-hmac-old-exp",
        _ => return format!("<{n}>"),
    };
    name.to_owned()
}

/// Name of an error (RFC 4120 section 7.5.9).
fn error_name(code: i64) -> String {
    let name = match code {
        0 => "KDC_ERR_NONE",
        1 => "KDC_ERR_NAME_EXP",
        2 => "KDC_ERR_SERVICE_EXP",
        3 => "KDC_ERR_BAD_PVNO",
        6 => "KDC_ERR_C_PRINCIPAL_UNKNOWN",
        7 => "KDC_ERR_S_PRINCIPAL_UNKNOWN",
        8 => "KDC_ERR_PRINCIPAL_NOT_UNIQUE",
        9 => "KDC_ERR_NULL_KEY",
        10 => "KDC_ERR_CANNOT_POSTDATE",
        12 => "KDC_ERR_POLICY",
        13 => "KDC_ERR_BADOPTION",
        14 => "KDC_ERR_ETYPE_NOSUPP",
        15 => "KDC_ERR_SUMTYPE_NOSUPP",
        16 => "KDC_ERR_PADATA_TYPE_NOSUPP",
        18 => "KDC_ERR_CLIENT_REVOKED",
        23 => "KDC_ERR_KEY_EXPIRED",
        24 => "KDC_ERR_PREAUTH_FAILED",
        25 => "KDC_ERR_PREAUTH_REQUIRED",
        31 => "KRB_AP_ERR_BAD_INTEGRITY",
        32 => "KRB_AP_ERR_TKT_EXPIRED",
        33 => "KRB_AP_ERR_TKT_NYV",
        34 => "KRB_AP_ERR_REPEAT",
        35 => "KRB_AP_ERR_NOT_US",
        36 => "KRB_AP_ERR_BADMATCH",
        37 => "KRB_AP_ERR_SKEW",
        40 => "KRB_AP_ERR_MSG_TYPE",
        41 => "KRB_AP_ERR_MODIFIED",
        52 => "KRB_ERR_RESPONSE_TOO_BIG",
        60 => "KRB_ERR_GENERIC",
        68 => "KDC_ERR_WRONG_REALM",
        _ => return format!("<{code}>"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::parser::tests::reply;
    use super::*;
    use Direction::ToClient;

    #[test]
    fn a_reply_over_tcp() {
        let reply = reply(23, 18);
        let bytes = [&(reply.len() as u32).to_be_bytes()[..], &reply].concat();
        for step in [1, 9, 10_000] {
            let mut state = KerberosState::new(&Default::default(), true);
            bytes.chunks(step).for_each(|part| state.feed(ToClient, Input::Data(part), 1));
            assert_eq!(state.transactions().len(), 1);
            assert_eq!(state.event_name(state.transactions()[0].events[0]), "weak_encryption");
            assert_eq!(state.number(0, ToClient, "krb5_msg_type"), Some(13));
            assert_eq!(state.number(0, ToClient, "krb5.ticket_encryption.23,18"), Some(1));
            assert_eq!(state.number(0, ToClient, "krb5.ticket_encryption.weak"), Some(0));
            assert_eq!(state.number(0, ToClient, "krb5.weak_encryption"), Some(1));
            let name = state.buffer(0, ToClient, Buffer::KerberosServerName, 1);
            assert!(matches!(name, BufferState::Present(v) if v.bytes == b"dc"));
        }
        let mut state = KerberosState::new(&Default::default(), true);
        state.feed(ToClient, Input::Data(&[0xff; 8]), 1);
        state.feed(ToClient, Input::Data(&bytes), 2);
        assert_eq!(state.transactions().len(), 1);
    }
}
