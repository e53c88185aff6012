//! The EVE object of a transaction.

use super::message::{Known, Message};
use super::uri::split_port;
use crate::LogSettings;
use crate::json::Object;

/// What Suricata shows where no request was seen.
const NO_TARGET: &[u8] = b"/libhtp::request_uri_not_seen";

/// Most bytes of a header line that are shown.
const LINE_MAX: usize = 8191;

/// Further fields of the request that a log may ask for: name in the record, name of the field.
const REQUEST_FIELDS: [(&str, &[u8]); 24] = [
    ("accept", b"accept"),
    ("accept_charset", b"accept-charset"),
    ("accept_datetime", b"accept-datetime"),
    ("accept_encoding", b"accept-encoding"),
    ("accept_language", b"accept-language"),
    ("authorization", b"authorization"),
    ("cache_control", b"cache-control"),
    ("cookie", b"cookie"),
    ("dnt", b"dnt"),
    ("from", b"from"),
    ("max_forwards", b"max-forwards"),
    ("org_src_ip", b"org-src-ip"),
    ("origin", b"origin"),
    ("pragma", b"pragma"),
    ("proxy_authorization", b"proxy-authorization"),
    ("range", b"range"),
    ("te", b"te"),
    ("true_client_ip", b"true-client-ip"),
    ("via", b"via"),
    ("x_authenticated_user", b"x-authenticated-user"),
    ("x_bluecoat_via", b"x-bluecoat-via"),
    ("x_flash_version", b"x-flash-version"),
    ("x_forwarded_proto", b"x-forwarded-proto"),
    ("x_requested_with", b"x-requested-with"),
];

/// The same of the response.
const RESPONSE_FIELDS: [(&str, &[u8]); 21] = [
    ("accept_range", b"accept-range"),
    ("age", b"age"),
    ("allow", b"allow"),
    ("connection", b"connection"),
    ("content_encoding", b"content-encoding"),
    ("content_language", b"content-language"),
    ("content_length", b"content-length"),
    ("content_location", b"content-location"),
    ("content_md5", b"content-md5"),
    ("content_range", b"content-range"),
    ("date", b"date"),
    ("etag", b"etag"),
    ("last_modified", b"last-modified"),
    ("link", b"link"),
    ("location", b"location"),
    ("proxy_authenticate", b"proxy-authenticate"),
    ("refresh", b"refresh"),
    ("server", b"server"),
    ("set_cookie", b"set-cookie"),
    ("trailer", b"trailer"),
    ("transfer_encoding", b"transfer-encoding"),
];

/// `bytes 0-9/10` (RFC 9110 section 14.4), as far as it says so.
pub(super) fn content_range(value: &[u8]) -> Option<(u64, u64, Option<u64>)> {
    let text = std::str::from_utf8(value).ok()?.trim().strip_prefix("bytes")?.trim_start();
    let (range, size) = text.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, end.trim().parse().ok()?, size.trim().parse().ok()))
}

fn field<'m>(m: &'m Message, name: &[u8]) -> Option<&'m [u8]> {
    m.fields().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Appends the object.
pub(super) fn write([request, response]: &[Message; 2], settings: &LogSettings, out: &mut Vec<u8>) {
    let mut o = Object::begin("http", out);
    o.text("hostname", request.host.as_deref());
    let port = request.target.port.or_else(|| request.header(Known::Host).and_then(|h| split_port(h).1));
    if let Some(Some(port)) = port {
        o.number("http_port", port.into());
    }
    let seen = !request.line().is_empty();
    o.text("url", if seen { request.second() } else { Some(NO_TARGET) });
    o.text("http_user_agent", request.header(Known::UserAgent));
    let content_type = response.header(Known::ContentType);
    o.text("http_content_type", content_type.map(|value| value.split(|b| *b == b';').next().unwrap_or(value)));
    if let Some(raw) = field(response, b"content-range") {
        o.object("content_range", |o| {
            o.text("raw", Some(raw));
            if let Some((start, end, size)) = content_range(raw) {
                o.number("start", start);
                o.number("end", end);
                if let Some(size) = size {
                    o.number("size", size);
                }
            }
        });
    }
    if let Some(custom) = settings.list("custom") {
        for (fields, m) in [(REQUEST_FIELDS.as_slice(), request), (RESPONSE_FIELDS.as_slice(), response)] {
            for (key, name) in fields {
                if custom.iter().any(|c| c.eq_ignore_ascii_case(key) || c.as_bytes().eq_ignore_ascii_case(name)) {
                    o.text(key, field(m, name));
                }
            }
        }
    }
    if settings.is("extended", true) {
        o.text("http_refer", request.header(Known::Referer));
        if seen {
            o.text("http_method", Some(request.first()));
            o.text("protocol", request.third());
        }
        if response.status > 0 {
            o.number("status", response.status.into());
        } else {
            o.text("status_string", response.second());
        }
        if (300..400).contains(&response.status) {
            o.text("redirect", response.header(Known::Location));
        }
        o.number("length", response.wire);
    }
    let all = settings.text("dump-all-headers").unwrap_or("none");
    for (key, m, wanted) in [("request_headers", request, "request"), ("response_headers", response, "response")] {
        if all == "both" || all == wanted {
            o.objects(key, m.fields(), |o, (name, value)| {
                o.always("name", name.get(..LINE_MAX).unwrap_or(name));
                o.always("value", value.get(..LINE_MAX).unwrap_or(value));
            });
        }
    }
    o.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(content_range(b"bytes 0-9/100"), Some((0, 9, Some(100))));
        assert_eq!(content_range(b"bytes 5-9/*"), Some((5, 9, None)));
        assert_eq!(content_range(b"bytes */100"), None);
        assert_eq!(content_range(b"lines 1-2/3"), None);
    }
}
