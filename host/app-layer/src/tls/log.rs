//! The EVE object of a TLS session.

use super::hello::Hello;
use super::state::TlsState;
use crate::LogSettings;
use crate::json::Object;

/// Name of a version, as logs write it.
fn version_name(version: u16) -> String {
    match version {
        0x0304 => "TLS 1.3".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0301 => "TLSv1".to_owned(),
        0x0300 => "SSLv3".to_owned(),
        0x0002 => "SSLv2".to_owned(),
        // RFC 8446, drafts of which had numbers of their own.
        0x7f01..=0x7fff => format!("TLS 1.3 draft-{}", version & 0xff),
        0 => "UNDETERMINED".to_owned(),
        other => format!("0x{other:04x}"),
    }
}

/// ISO 8601 without zone, of seconds since the epoch.
fn date(seconds: i64) -> String {
    // Days of eras of 400 years that begin on 1 March.
    let (days, of_day) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

fn alpns(o: &mut Object<'_>, key: &str, hello: Option<&Hello>) {
    if let Some(hello) = hello {
        o.texts(key, hello.alpn.iter().map(Vec::as_slice));
    }
}

/// What is shown of the handshake's messages themselves.
fn handshake(o: &mut Object<'_>, key: &str, hello: Option<&Hello>, client: bool) {
    let Some(hello) = hello else { return };
    let words = |words: &[u16]| words.iter().map(|w| u64::from(*w)).collect::<Vec<_>>();
    o.object(key, |o| {
        let version = hello.versions.iter().copied().filter(|v| v & 0x0f0f != 0x0a0a).max();
        o.text("version", Some(version_name(version.unwrap_or(hello.version)).as_bytes()));
        if client {
            o.numbers("ciphers", words(&hello.ciphers).into_iter());
        } else if let Some(cipher) = hello.ciphers.first() {
            o.number("cipher", (*cipher).into());
        }
        o.numbers("exts", words(&hello.extensions).into_iter());
        if client {
            o.numbers("sig_algs", words(&hello.signatures).into_iter());
            alpns(o, "alpns", Some(hello));
        }
    });
}

/// Appends the object; false if there is nothing that a log wants.
pub(super) fn write(state: &TlsState, settings: &LogSettings, always: bool, out: &mut Vec<u8>) -> bool {
    let certificate = state.certificate().filter(|c| !(c.subject.is_empty() && c.issuer.is_empty()));
    let resumed = state.resumed();
    let mut o = Object::begin("tls", out);
    let custom = settings.list("custom");
    let extended = settings.is("extended", true);
    let on = |name: &str| match &custom {
        Some(list) => list.contains(&name),
        None => extended || matches!(name, "subject" | "issuer" | "session_resumed"),
    };
    if let Some(c) = certificate {
        if on("subject") {
            o.text("subject", Some(&c.subject));
        }
        if on("issuer") {
            o.text("issuerdn", Some(&c.issuer));
        }
        if on("subjectaltname") {
            o.texts("subjectaltname", c.alternative_names.iter().map(Vec::as_slice));
        }
        if on("serial") {
            o.text("serial", Some(c.serial.as_bytes()));
        }
        if on("fingerprint") {
            o.text("fingerprint", Some(state.certificate_digest()));
        }
    }
    if resumed && on("session_resumed") {
        o.flag("session_resumed", true);
    }
    let [client, server] = state.hellos();
    if on("sni") {
        o.text("sni", client.and_then(|h| h.sni.as_deref()));
    }
    if on("version") {
        if let Some(version) = state.version() {
            o.text("version", Some(version_name(version).as_bytes()));
        }
    }
    if let Some(c) = certificate {
        for (name, time) in [("notbefore", c.not_before), ("notafter", c.not_after)] {
            if let (true, Some(time)) = (on(if name == "notbefore" { "not_before" } else { "not_after" }), time) {
                o.text(name, Some(date(time).as_bytes()));
            }
        }
    }
    let ja3 = settings.is("ja3-fingerprints", false) || custom.as_ref().is_some_and(|list| list.contains(&"ja3"));
    for (name, d) in [("ja3", 0), ("ja3s", 1)] {
        let (string, hash) = state.fingerprint(d);
        if ja3 && on(name) && !hash.is_empty() {
            o.object(name, |o| {
                o.text("hash", Some(hash.as_bytes()));
                o.text("string", Some(string.as_bytes()));
            });
        }
    }
    if on("ja4") && settings.is("ja4-fingerprints", true) {
        o.text("ja4", Some(state.ja4().as_bytes()));
    }
    if on("client_alpns") || (custom.is_none() && extended) {
        alpns(&mut o, "client_alpns", client);
    }
    if on("server_alpns") || (custom.is_none() && extended) {
        alpns(&mut o, "server_alpns", server);
    }
    if let Some((c, digest)) = state.client_certificate().filter(|_| on("client") || (custom.is_none() && extended)) {
        o.object("client", |o| {
            o.text("subject", Some(&c.subject));
            o.text("issuerdn", Some(&c.issuer));
            o.text("fingerprint", Some(digest.as_bytes()));
            o.text("serial", Some(c.serial.as_bytes()));
            for (name, time) in [("notbefore", c.not_before), ("notafter", c.not_after)] {
                if let Some(time) = time {
                    o.text(name, Some(date(time).as_bytes()));
                }
            }
        });
    }
    if custom.is_some() {
        if on("client_handshake") {
            handshake(&mut o, "client_handshake", client, true);
        }
        if on("server_handshake") {
            handshake(&mut o, "server_handshake", server, false);
        }
    }
    o.end();
    let session = settings.is("session-resumption", true) || custom.is_none();
    always || certificate.is_some() || (resumed && session) || state.without_certificate() || state.cut_short()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_versions() {
        assert_eq!(date(0), "1970-01-01T00:00:00");
        assert_eq!(date(951_782_400), "2000-02-29T00:00:00");
        assert_eq!(date(-1), "1969-12-31T23:59:59");
        assert_eq!(version_name(0x7f1c), "TLS 1.3 draft-28");
    }
}
