//! HTTP/1 exchanges of a rule.

use super::conversation::{Maker, Turn, somewhere, turn, way};
use super::solve::{Cause, Filler, Wanted};
use weir_ir::{Buffer, BufferMatch, Rule};
use weir_synth::Way;

type Field = (Vec<u8>, Vec<u8>);

fn any(_: &[u8]) -> bool {
    true
}

fn value(text: &[u8]) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| matches!(b, b' ' | b'\t'));
    !text.contains(&b'\n') && !edge(text.first()) && !edge(text.last())
}

fn token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| b.is_ascii_graphic())
}

fn request_line(text: &[u8]) -> bool {
    !text.contains(&b'\n') && text.iter().filter(|b| **b == b' ').count() >= 2
}

fn start(text: &[u8]) -> bool {
    text.windows(2).position(|w| w == b"\r\n").is_some_and(|n| request_line(&text[..n]))
}

fn names(text: &[u8]) -> bool {
    text.starts_with(b"\r\n") && text.ends_with(b"\r\n\r\n") && text.len() > 5
}

/// Turns of one request, and of its response.
pub fn turns(maker: &mut Maker<'_, '_>, rule: &Rule) -> Result<Vec<Turn>, Cause> {
    let answers = way(rule) == Way::ToClient;
    if has(rule, Buffer::Payload) && maker.variant % 3 == 1 {
        let lead: &[u8] = if answers {
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
        } else {
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        };
        let mut own = maker.raw(rule, lead, |_| {})?;
        if answers {
            own.insert(
                0,
                turn(
                    Way::ToServer,
                    request_of(b"GET", b"/", b"HTTP/1.1", &[(b"Host".to_vec(), b"example.com".to_vec())], b""),
                ),
            );
        }
        return Ok(own);
    }
    let request = if answers { None } else { Some(request(maker, rule)?) };
    let plain = || {
        let host = vec![(b"Host".to_vec(), b"example.com".to_vec())];
        request_of(b"GET", b"/index.html", b"HTTP/1.1", &host, b"")
    };
    let response = if answers { response(maker, rule)? } else { message(b"HTTP/1.1 200 OK", &[], b"ok", true) };
    let mut request = turn(Way::ToServer, request.unwrap_or_else(plain));
    let mut response = turn(Way::ToClient, response);
    let packet = matches!(rule.header.protocol, weir_ir::RuleProtocol::TcpPacket);
    if answers {
        response.whole = packet
    } else {
        request.whole = packet
    };
    Ok(vec![request, response])
}

fn has(rule: &Rule, buffer: Buffer) -> bool {
    rule.buffers.iter().any(|b| b.buffer == buffer)
}

fn message(line: &[u8], fields: &[Field], body: &[u8], length: bool) -> Vec<u8> {
    let mut out = [line, b"\r\n"].concat();
    for (name, value) in fields {
        out.extend([&name[..], b": ", value, b"\r\n"].concat());
    }
    let own = fields
        .iter()
        .any(|(n, _)| n.eq_ignore_ascii_case(b"content-length") || n.eq_ignore_ascii_case(b"transfer-encoding"));
    if !own && (length || !body.is_empty()) {
        out.extend(format!("Content-Length: {}\r\n", body.len()).into_bytes());
    }
    out.extend(b"\r\n");
    out.extend(body);
    out
}

fn request_of(method: &[u8], uri: &[u8], protocol: &[u8], fields: &[Field], body: &[u8]) -> Vec<u8> {
    message(&[method, b" ", uri, b" ", protocol].concat(), fields, body, false)
}

/// Escapes what a request line cannot hold (RFC 3986 section 2.1).
fn escaped(uri: &[u8]) -> Vec<u8> {
    let escape = |byte: &u8| match byte {
        b'%' | 0..=b' ' | 0x7f.. => format!("%{byte:02x}").into_bytes(),
        _ => vec![*byte],
    };
    uri.iter().flat_map(escape).collect()
}

/// The body, as long as `http.content_len` asks for.
fn sized(maker: &mut Maker<'_, '_>, rule: &Rule, body: &mut Vec<u8>) -> Result<(), Cause> {
    if !has(rule, Buffer::HttpContentLength) {
        return Ok(());
    }
    let number = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|t| t.parse::<usize>().ok());
    // The body's own length may do, or one that is a little larger.
    for longer in 0..300 {
        let text = (body.len() + longer).to_string();
        for run in rule.buffers.iter().filter(|b| b.buffer == Buffer::HttpContentLength) {
            let mut fixed = run.clone();
            fixed.matches.push(somewhere(text.as_bytes()));
            fixed.matches.push(weir_ir::Match::Size(weir_ir::Comparison::Equal(text.len() as u64)));
            let wanted = Wanted {
                matches: &fixed,
                decoded: None,
                filler: Filler::Digits,
                length: Vec::new(),
                shape: |_| true,
                lead: b"",
                trail: b"",
            };
            if maker.solver.solve_in(&wanted, 2, &mut maker.random).is_ok() {
                body.resize(body.len() + longer, b'z');
                return Ok(());
            }
        }
    }
    let asked =
        maker.buffer(rule, Buffer::HttpContentLength, Filler::Digits, b"", |t| t.iter().all(u8::is_ascii_digit))?;
    match asked.and_then(|text| number(&text)) {
        Some(length) if length >= body.len() && length < 100_000 => body.resize(length, b'z'),
        _ => return Err("a length that the body does not have"),
    }
    Ok(())
}

/// Header lines, as fields; what is no line of a header becomes the value of one.
fn fields_of(block: &[u8], variant: usize) -> Vec<Field> {
    // Names of which a block may hold the beginning, with a value.
    const BEGUN: [(&str, &str); 10] = [
        ("Host", "www.example.com"),
        ("Connection", "Keep-Alive"),
        ("Cache-Control", "no-cache"),
        ("Accept-Encoding", "identity"),
        ("Accept", "*/*"),
        ("User-Agent", "Agent/1.0"),
        ("Content-Length", "0"),
        ("Content-Type", "text/plain"),
        ("Cookie", "a=b"),
        ("Pragma", "no-cache"),
    ];
    let mut fields: Vec<Field> = Vec::new();
    let mut rest = block;
    while !rest.is_empty() {
        let end = rest.windows(2).position(|w| w == b"\r\n");
        let line = &rest[..end.unwrap_or(rest.len())];
        rest = rest.get(end.map_or(rest.len(), |n| n + 2)..).unwrap_or(&[]);
        if line.is_empty() {
            continue;
        }
        match line.iter().position(|b| *b == b':').filter(|n| *n > 0 && line[..*n].iter().all(|b| b.is_ascii_graphic()))
        {
            Some(n) => {
                let value = line[n + 1..].strip_prefix(b" ").unwrap_or(&line[n + 1..]);
                fields.push((line[..n].to_vec(), value.to_vec()));
            }
            None => {
                let begun = BEGUN.iter().find(|(name, _)| !fields.is_empty() && name.as_bytes().starts_with(line));
                match begun {
                    Some((name, value)) => fields.push((name.as_bytes().to_vec(), value.as_bytes().to_vec())),
                    None => {
                        let name = ["X-Note", "Host", "User-Agent", "Accept"][variant % 4];
                        fields.push((name.as_bytes().to_vec(), line.to_vec()));
                    }
                }
            }
        }
    }
    fields
}

const REQUEST_FIELDS: [(Buffer, &str); 10] = [
    (Buffer::HttpHost, "Host"),
    (Buffer::HttpHostRaw, "Host"),
    (Buffer::HttpUserAgent, "User-Agent"),
    (Buffer::HttpReferer, "Referer"),
    (Buffer::HttpAccept, "Accept"),
    (Buffer::HttpAcceptEncoding, "Accept-Encoding"),
    (Buffer::HttpAcceptLanguage, "Accept-Language"),
    (Buffer::HttpConnection, "Connection"),
    (Buffer::HttpContentType, "Content-Type"),
    (Buffer::HttpCookie, "Cookie"),
];

const RESPONSE_FIELDS: [(Buffer, &str); 5] = [
    (Buffer::HttpServer, "Server"),
    (Buffer::HttpLocation, "Location"),
    (Buffer::HttpContentType, "Content-Type"),
    (Buffer::HttpConnection, "Connection"),
    (Buffer::HttpCookie, "Set-Cookie"),
];

fn known(fields: &[Field], name: &[u8]) -> bool {
    fields.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
}

/// Fields that sticky buffers and header blocks ask for, in an order that `http.header_names` takes.
fn fields(
    maker: &mut Maker<'_, '_>,
    rule: &Rule,
    list: &[(Buffer, &str)],
    host: bool,
    body: Option<usize>,
) -> Result<Vec<Field>, Cause> {
    let mut fields: Vec<Field> = Vec::new();
    for buffer in [Buffer::HttpHeader, Buffer::HttpHeaderRaw, Buffer::HttpRequestHeader, Buffer::HttpResponseHeader] {
        if has(rule, buffer) {
            let lead: &[u8] = if maker.variant % 2 == 1 { b"Accept: " } else { b"" };
            let single = matches!(buffer, Buffer::HttpRequestHeader | Buffer::HttpResponseHeader);
            for n in 0..if single { rule.buffers.len() } else { 1 } {
                let one;
                let source = if single {
                    if rule.buffers[n].buffer != buffer {
                        continue;
                    }
                    one = Rule { buffers: vec![rule.buffers[n].clone()], ..rule.clone() };
                    &one
                } else {
                    rule
                };
                let block = maker.buffer(source, buffer, Filler::Text, lead, any)?.unwrap_or_default();
                fields.extend(fields_of(&block, maker.variant));
            }
        }
    }
    for (buffer, name) in list {
        // A buffer may be asked to be empty: `bsize:0`, or only what it must not hold.
        let filler = if *buffer == Buffer::HttpHost { Filler::Name } else { Filler::Text };
        if let Some(value) = maker.buffer(rule, *buffer, filler, b"", value)? {
            match fields.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())) {
                Some(field) if *buffer != Buffer::HttpCookie => field.1 = value,
                _ => fields.push((name.as_bytes().to_vec(), value)),
            }
        }
    }
    if let Some(body) = body {
        let length = body.to_string().into_bytes();
        if !known(&fields, b"Transfer-Encoding") {
            match fields.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(b"content-length")) {
                Some(field) if !has(rule, Buffer::HttpHeader) => field.1 = length,
                Some(_) => {}
                None => fields.push((b"Content-Length".to_vec(), length)),
            }
        }
    }
    let wanted: Vec<&BufferMatch> = rule.buffers.iter().filter(|b| b.buffer == Buffer::HttpHeaderNames).collect();
    let refused = |name: &[u8]| {
        wanted.iter().flat_map(|b| &b.matches).any(|m| match m {
            weir_ir::Match::Content(c) => {
                c.negated && c.bytes.to_ascii_lowercase().windows(name.len()).any(|w| w.eq_ignore_ascii_case(name))
            }
            _ => false,
        })
    };
    if host && !known(&fields, b"host") && !refused(b"Host") {
        let host = format!("www{}.example.com", maker.random.below(1000)).into_bytes();
        let at = if maker.variant.is_multiple_of(2) { 0 } else { fields.len() };
        fields.insert(at, (b"Host".to_vec(), host));
    }
    let Some(matches) = wanted.first() else { return Ok(fields) };
    if host && fields.is_empty() && !refused(b"Accept") {
        fields.push((b"Accept".to_vec(), b"*/*".to_vec()));
    }
    let order = order(maker, matches, &fields)?;
    let mut sorted = Vec::new();
    for name in order {
        match fields.iter().position(|(n, _)| n.eq_ignore_ascii_case(&name)) {
            Some(at) => {
                let (_, value) = fields.remove(at);
                sorted.push((name, value));
            }
            None => {
                let value: &[u8] = match &name.to_ascii_lowercase()[..] {
                    b"host" => b"www.example.com",
                    b"content-length" => b"0",
                    b"connection" => b"Keep-Alive",
                    b"accept" => b"*/*",
                    b"content-type" => b"text/plain",
                    b"user-agent" => b"Agent/1.0",
                    b"accept-encoding" => b"identity",
                    b"transfer-encoding" => b"identity",
                    b"expect" => b"none",
                    b"cookie" => b"a=b",
                    _ => b"x",
                };
                sorted.push((name, value.to_vec()));
            }
        }
    }
    sorted.extend(fields);
    Ok(sorted)
}

/// Names in an order that holds, with all of the fields' own where there is room.
fn order(maker: &mut Maker<'_, '_>, matches: &BufferMatch, fields: &[Field]) -> Result<Vec<Vec<u8>>, Cause> {
    let mut with = matches.clone();
    for (name, _) in fields {
        with.matches.push(somewhere(&[b"\r\n", &name[..], b"\r\n"].concat()));
    }
    let mut solved = Err("no proposal holds");
    for wanted in [&with, matches] {
        let wanted = Wanted::new(wanted);
        // The list begins and ends with an empty line, which no match has to name.
        let framed = Framed(&wanted).solve(maker);
        if framed.is_ok() {
            solved = framed;
            break;
        }
    }
    let text = solved?;
    Ok(text
        .split(|b| *b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
        .filter(|l| !l.is_empty())
        .collect())
}

struct Framed<'w, 'r>(&'w Wanted<'r>);

impl Framed<'_, '_> {
    fn solve(&self, maker: &mut Maker<'_, '_>) -> Result<Vec<u8>, Cause> {
        let Wanted { matches, .. } = *self.0;
        // As it is, or with an end of its own.
        let mut ended = matches.clone();
        ended.matches.push(weir_ir::Match::Content(weir_ir::Content {
            bytes: b"\r\n\r\n"[..].into(),
            anchor: weir_ir::Anchor { start: false, end: true },
            ..weir_ir::Content::default()
        }));
        let mut last = Err("no proposal holds");
        for candidate in [&ended, matches] {
            let wanted = Wanted {
                matches: candidate,
                decoded: None,
                filler: Filler::Text,
                length: Vec::new(),
                shape: names,
                lead: b"\r\n",
                trail: b"",
            };
            last = maker.solver.solve(&wanted, &mut maker.random);
            if last.is_ok() {
                break;
            }
        }
        last
    }
}

fn request(maker: &mut Maker<'_, '_>, rule: &Rule) -> Result<Vec<u8>, Cause> {
    let mut body = Vec::new();
    let mut has_body = false;
    for buffer in [Buffer::HttpRequestBody, Buffer::FileData] {
        if let Some(bytes) = maker.buffer(rule, buffer, Filler::Text, b"", any)? {
            body = bytes;
            has_body = true;
        }
    }
    if has(rule, Buffer::Payload) {
        for part in maker.raw(rule, b"", |_| {})? {
            body.extend(part.bytes);
        }
        has_body = true;
    }
    let file = maker.buffer(rule, Buffer::FileName, Filler::Text, b"", value)?;
    let method = maker.buffer(rule, Buffer::HttpMethod, Filler::Text, b"", token)?;
    let method = method.unwrap_or_else(|| if has_body { b"POST".to_vec() } else { b"GET".to_vec() });
    let protocol =
        maker.buffer(rule, Buffer::HttpProtocol, Filler::Text, b"", token)?.unwrap_or_else(|| b"HTTP/1.1".to_vec());
    let mut uri = uri(maker, rule)?;
    if let Some(file) = file {
        uri = [b"/", &file[..]].concat();
    }
    if let Some(text) = maker.framed(rule, Buffer::HttpStart, Filler::Text, (b"GET /", b" HTTP/1.1\r\n"), start)? {
        let end = text.windows(2).position(|w| w == b"\r\n").unwrap_or(0);
        let mut own = fields_of(&text[end..], maker.variant);
        for field in fields(maker, rule, &REQUEST_FIELDS, true, None)? {
            if !known(&own, &field.0) {
                own.push(field);
            }
        }
        return Ok(message(&text[..end], &own, &body, has_body));
    }
    sized(maker, rule, &mut body)?;
    let posts = has_body || has(rule, Buffer::HttpContentLength) || (method == b"POST" && maker.variant % 4 != 3);
    let fields = fields(maker, rule, &REQUEST_FIELDS, true, posts.then_some(body.len()))?;
    if let Some(line) =
        maker.framed(rule, Buffer::HttpRequestLine, Filler::Text, (b"GET /", b" HTTP/1.1"), request_line)?
    {
        return Ok(message(&line, &fields, &body, false));
    }
    Ok(request_of(&method, &uri, &protocol, &fields, &body))
}

/// The request target.
fn uri(maker: &mut Maker<'_, '_>, rule: &Rule) -> Result<Vec<u8>, Cause> {
    let matches = |buffer| rule.buffers.iter().filter(move |b| b.buffer == buffer && b.transforms.is_empty());
    let (raw, normal) = (matches(Buffer::HttpUriRaw).next(), matches(Buffer::HttpUri).next());
    let lead: &[u8] = [&b"/"[..], b"", b"/a?", b"/a/bcd"][maker.variant % 4];
    let legible: fn(&[u8]) -> bool = |text| !text.is_empty() && text.iter().all(|b| b.is_ascii_graphic());
    match (raw, normal) {
        (Some(raw), Some(normal)) => {
            let mut both = raw.clone();
            both.matches.extend(normal.matches.iter().cloned());
            let wanted = Wanted {
                matches: &both,
                decoded: None,
                filler: Filler::Name,
                length: Vec::new(),
                shape: legible,
                lead,
                trail: b"",
            };
            if let Ok(uri) = maker.solver.solve(&wanted, &mut maker.random) {
                return Ok(uri);
            }
            let uri = maker.buffer(rule, Buffer::HttpUriRaw, Filler::Name, lead, legible)?;
            Ok(uri.unwrap_or_else(|| b"/".to_vec()))
        }
        (Some(_), None) => {
            Ok(maker.buffer(rule, Buffer::HttpUriRaw, Filler::Name, lead, legible)?.unwrap_or_else(|| b"/".to_vec()))
        }
        _ => {
            let uri = maker.buffer(rule, Buffer::HttpUri, Filler::Name, lead, |text| !text.is_empty())?;
            Ok(uri.map_or_else(|| b"/index.html".to_vec(), |uri| escaped(&uri)))
        }
    }
}

fn response(maker: &mut Maker<'_, '_>, rule: &Rule) -> Result<Vec<u8>, Cause> {
    let mut body = Vec::new();
    for buffer in [Buffer::FileData, Buffer::HttpResponseBody] {
        if let Some(bytes) = maker.buffer(rule, buffer, Filler::Text, b"", any)? {
            if !body.is_empty() {
                // Two names of the same bytes.
                body.extend(b" ");
            }
            body.extend(bytes);
        }
    }
    if has(rule, Buffer::Payload) {
        for part in maker.raw(rule, b"", |_| {})? {
            body.extend(part.bytes);
        }
    }
    let code = maker.buffer(rule, Buffer::HttpStatusCode, Filler::Digits, b"200", |t| {
        t.len() == 3 && t.iter().all(u8::is_ascii_digit)
    })?;
    let message_text = maker.buffer(rule, Buffer::HttpStatusMessage, Filler::Text, b"", value)?;
    let protocol =
        maker.buffer(rule, Buffer::HttpProtocol, Filler::Text, b"", token)?.unwrap_or_else(|| b"HTTP/1.1".to_vec());
    let code = code.unwrap_or_else(|| b"200".to_vec());
    let text = message_text.unwrap_or_else(|| b"OK".to_vec());
    let mut line = [&protocol[..], b" ", &code, b" ", &text].concat();
    if let Some(own) =
        maker.buffer(rule, Buffer::HttpResponseLine, Filler::Text, b"HTTP/1.1 200 ", |t| t.starts_with(b"HTTP/"))?
    {
        line = own;
    }
    if let Some(text) = maker.buffer(rule, Buffer::HttpStart, Filler::Text, b"HTTP/1.1 200 OK\r\n", start)? {
        let end = text.windows(2).position(|w| w == b"\r\n").unwrap_or(0);
        return Ok(message(&text[..end], &fields_of(&text[end..], maker.variant), &body, true));
    }
    sized(maker, rule, &mut body)?;
    let named = has(rule, Buffer::HttpHeaderNames) || has(rule, Buffer::HttpContentLength);
    let fields = fields(maker, rule, &RESPONSE_FIELDS, false, (named || !body.is_empty()).then_some(body.len()))?;
    Ok(message(&line, &fields, &body, true))
}
