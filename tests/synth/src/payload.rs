//! Messages of common protocols.

use std::net::IpAddr;

/// An HTTP/1 request. `headers` are whole lines without CRLF; a body adds Content-Length.
pub fn http_request(method: &str, uri: &str, host: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut out = format!("{method} {uri} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
    finish_http(&mut out, headers, body, matches!(method, "POST" | "PUT"));
    out
}

/// An HTTP/1 response.
pub fn http_response(status: u16, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        500 => "Internal Server Error",
        _ => "Status",
    };
    let mut out = format!("HTTP/1.1 {status} {reason}\r\n").into_bytes();
    finish_http(&mut out, headers, body, !matches!(status, 204 | 304));
    out
}

fn finish_http(out: &mut Vec<u8>, headers: &[&str], body: &[u8], always_length: bool) {
    for header in headers {
        out.extend(header.as_bytes());
        out.extend(b"\r\n");
    }
    let own = headers.iter().any(|header| {
        let name = header.split(':').next().unwrap_or_default();
        name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding")
    });
    if !own && (always_length || !body.is_empty()) {
        out.extend(format!("Content-Length: {}\r\n", body.len()).into_bytes());
    }
    out.extend(b"\r\n");
    out.extend(body);
}

/// Numbers of DNS record types by name.
pub fn dns_type(name: &str) -> Option<u16> {
    Some(match name.to_ascii_uppercase().as_str() {
        "A" => 1,
        "NS" => 2,
        "CNAME" => 5,
        "SOA" => 6,
        "PTR" => 12,
        "MX" => 15,
        "TXT" => 16,
        "AAAA" => 28,
        "SRV" => 33,
        "ANY" => 255,
        _ => return name.parse().ok(),
    })
}

fn dns_name(name: &str, out: &mut Vec<u8>) {
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(63)];
        out.push(label.len() as u8);
        out.extend(label);
    }
    out.push(0);
}

fn dns_header(id: u16, flags: u16, answers: u16) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [id, flags, 1, answers, 0, 0] {
        out.extend(word.to_be_bytes());
    }
    out
}

/// A DNS query for one name.
pub fn dns_query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut out = dns_header(id, 0x0100, 0);
    dns_name(name, &mut out);
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    out
}

/// A DNS answer: the question, and a record for each of `data`.
pub fn dns_answer(id: u16, name: &str, kind: u16, code: u8, data: &[Vec<u8>]) -> Vec<u8> {
    let mut out = dns_header(id, 0x8180 | u16::from(code & 15), data.len() as u16);
    dns_name(name, &mut out);
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    for record in data {
        // The name by a pointer to the question.
        out.extend([0xc0, 0x0c]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 1, 0x2c]);
        out.extend((record.len() as u16).to_be_bytes());
        out.extend(record);
    }
    out
}

/// Record data from text: an address, or a name (for CNAME, NS, PTR), or a string (TXT).
pub fn dns_data(kind: u16, text: &str) -> Vec<u8> {
    match (kind, text.parse::<IpAddr>()) {
        (1, Ok(IpAddr::V4(v4))) => v4.octets().to_vec(),
        (28, Ok(IpAddr::V6(v6))) => v6.octets().to_vec(),
        (16, _) => {
            let bytes = &text.as_bytes()[..text.len().min(255)];
            [&[bytes.len() as u8], bytes].concat()
        }
        (2 | 5 | 12, _) => {
            let mut out = Vec::new();
            dns_name(text, &mut out);
            out
        }
        _ => text.as_bytes().to_vec(),
    }
}

/// Content of a TLS ClientHello.
#[derive(Debug, Clone)]
pub struct ClientHello<'a> {
    /// Server name; none without the extension.
    pub server_name: Option<&'a str>,
    /// Protocols of ALPN.
    pub alpn: &'a [&'a str],
    /// Cipher suites.
    pub suites: &'a [u16],
    /// Offer TLS 1.3.
    pub tls13: bool,
    /// The 32 random bytes start with this number.
    pub random: u64,
}

fn sized16(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u16).to_be_bytes()[..], body].concat()
}

fn tls_record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 1][..], &sized16(body)].concat()
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&[kind][..], &length[1..], body].concat()
}

fn random_field(seed: u64) -> Vec<u8> {
    crate::Random::new(seed).bytes(32)
}

/// A TLS ClientHello in one record.
pub fn tls_client_hello(hello: &ClientHello<'_>) -> Vec<u8> {
    let mut extensions = Vec::new();
    let mut extension = |kind: u16, body: &[u8]| {
        extensions.extend(kind.to_be_bytes());
        extensions.extend(sized16(body));
    };
    if let Some(name) = hello.server_name {
        let entry = [&[0][..], &sized16(name.as_bytes())].concat();
        extension(0, &sized16(&entry));
    }
    extension(10, &sized16(&[0, 29, 0, 23, 0, 24]));
    extension(11, &[1, 0]);
    extension(13, &sized16(&[4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1]));
    if !hello.alpn.is_empty() {
        let list: Vec<u8> =
            hello.alpn.iter().flat_map(|name| [&[name.len() as u8][..], name.as_bytes()].concat()).collect();
        extension(16, &sized16(&list));
    }
    if hello.tls13 {
        extension(43, &[4, 3, 4, 3, 3]);
        let share = [&[0, 29][..], &sized16(&random_field(hello.random ^ 1))].concat();
        extension(51, &sized16(&share));
    }
    let suites: Vec<u8> = hello.suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let mut body = vec![3, 3];
    body.extend(random_field(hello.random));
    body.push(0);
    body.extend(sized16(&suites));
    body.extend([1, 0]);
    body.extend(sized16(&extensions));
    tls_record(22, &handshake(1, &body))
}

/// A TLS 1.2 ServerHello, ServerHelloDone; and what follows until data is encrypted, as the server sends it.
pub fn tls_server_hello(suite: u16, random: u64) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend(random_field(random));
    body.push(0);
    body.extend(suite.to_be_bytes());
    body.push(0);
    body.extend(sized16(&[]));
    let mut out = tls_record(22, &handshake(2, &body));
    out.extend(tls_record(22, &handshake(14, &[])));
    out
}

/// ChangeCipherSpec and an encrypted handshake message.
pub fn tls_change_cipher(random: u64) -> Vec<u8> {
    let mut out = tls_record(20, &[1]);
    out.extend(tls_record(22, &crate::Random::new(random).bytes(40)));
    out
}

/// Encrypted application data.
pub fn tls_data(length: usize, random: u64) -> Vec<u8> {
    tls_record(23, &crate::Random::new(random).bytes(length.min(16_384)))
}
