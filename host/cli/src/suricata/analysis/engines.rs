//! Names of buffers, and the engines that inspect them, in Suricata's terms.

use weir_contract::protocol::AppProtocol;
use weir_ir::{Buffer, BufferDirection, Rule, RuleProtocol};

/// An engine: protocol, to server, step of the transaction from which it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Engine {
    /// Protocol's name.
    pub protocol: &'static str,
    /// To server.
    pub to_server: bool,
    /// Step.
    pub progress: u8,
}

/// Suricata's name of a buffer's list.
pub fn name(buffer: Buffer) -> String {
    let name = match buffer {
        Buffer::HttpUriRaw => "http_raw_uri",
        Buffer::HttpHeaderRaw => "http_raw_header",
        Buffer::HttpHostRaw => "http_raw_host",
        Buffer::HttpRequestBody => "http_client_body",
        Buffer::HttpResponseBody | Buffer::FileData => "file_data",
        Buffer::FileMagic => "file.magic",
        Buffer::FileName => "files",
        Buffer::HttpRequestHeader => "http_request_header",
        Buffer::HttpResponseHeader => "http_response_header",
        Buffer::HttpAcceptEncoding => "http_accept_enc",
        Buffer::HttpAcceptLanguage => "http_accept_lang",
        Buffer::HttpStatusCode => "http_stat_code",
        Buffer::HttpStatusMessage => "http_stat_msg",
        Buffer::DnsQuery => "dns_query",
        Buffer::Ja3Hash => "ja3.hash",
        Buffer::Payload => "payload",
        Buffer::Base64Data => "base64_data",
        other => {
            let name = other.name();
            return if name.starts_with("http.") { name.replace('.', "_") } else { name.to_owned() };
        }
    };
    name.to_owned()
}

/// Step of HTTP/1's states at which a buffer is there: line, headers, body.
fn http_step(buffer: Buffer) -> u8 {
    match buffer {
        Buffer::HttpUri
        | Buffer::HttpUriRaw
        | Buffer::HttpMethod
        | Buffer::HttpProtocol
        | Buffer::HttpRequestLine
        | Buffer::HttpResponseLine
        | Buffer::HttpStatusCode
        | Buffer::HttpStatusMessage => 1,
        Buffer::HttpRequestBody | Buffer::HttpResponseBody | Buffer::FileData => 3,
        _ => 2,
    }
}

/// The rule names its HTTP buffers as modifiers of contents, which belong to HTTP/1 alone.
fn modifiers(rule: &Rule) -> bool {
    // The header's own word: the buffers have made the rule's protocol HTTP since.
    let word = rule.source.text.split_whitespace().nth(1).unwrap_or("");
    !word.starts_with("http") && !rule.source.text.contains("http.")
}

/// Engines of a buffer for a rule, in the order in which they run.
pub fn engines(rule: &Rule, buffer: Buffer, fast: bool) -> Vec<Engine> {
    let mut found = Vec::new();
    let both = [true, false];
    let sides: Vec<bool> = match buffer.direction() {
        BufferDirection::ToServer => vec![true],
        BufferDirection::ToClient => vec![false],
        BufferDirection::Both => both.to_vec(),
    };
    let mut add = |protocol: &'static str, to_server: bool, progress: u8| {
        found.push(Engine { protocol, to_server, progress });
    };
    let http = buffer.protocol() == Some(AppProtocol::Http);
    let file = matches!(buffer, Buffer::FileData | Buffer::FileMagic | Buffer::FileName);
    if http {
        for &side in &sides {
            add("http", side, http_step(buffer));
        }
        if !modifiers(rule) {
            for &side in &sides {
                add("http2", side, if http_step(buffer) == 3 { 4 } else { 1 });
            }
        }
    } else if file {
        for (protocol, to_server, to_client) in [
            ("http", buffer != Buffer::FileData, true),
            ("smtp", true, false),
            ("nfs", true, true),
            ("smb", true, true),
            ("ftp-data", true, true),
            ("http2", true, true),
        ] {
            for side in [(true, to_server), (false, to_client)].into_iter().filter(|s| s.1).map(|s| s.0) {
                add(protocol, side, if protocol == "http" { 3 } else { 0 });
            }
        }
    } else {
        let protocol = buffer.protocol().map_or("unknown", weir_app_layer::eve_name);
        for &side in &sides {
            add(protocol, side, u8::from(buffer.protocol() != Some(AppProtocol::Dns)));
        }
    }
    // What rule's protocol and flow leave.
    let flow = rule.flow.unwrap_or_default();
    found.retain(|engine| {
        let protocol = match rule.header.protocol {
            RuleProtocol::App(AppProtocol::Http) => matches!(engine.protocol, "http" | "http2"),
            RuleProtocol::App(AppProtocol::Http1) => engine.protocol == "http",
            RuleProtocol::App(AppProtocol::Doh2) => matches!(engine.protocol, "http2" | "dns"),
            RuleProtocol::App(protocol) => engine.protocol == weir_app_layer::eve_name(protocol),
            _ => true,
        };
        protocol && (!flow.to_server || engine.to_server) && (!flow.to_client || !engine.to_server)
    });
    if fast {
        // Each engine of the fast pattern's buffer goes in front.
        found.reverse();
    }
    found
}
