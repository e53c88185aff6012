//! Messages of the hash table, and their log.

use super::bencode::{Value, find, next};
use crate::digest::hex;
use crate::json::Object;
use crate::messages::Messages;
use crate::{AppLayerConfig, Direction, Input, ProtocolState, Transaction};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;

const EVENTS: [&str; 1] = ["malformed_packet"];
/// Most peers or nodes kept of a message.
const PEERS_MAX: usize = 256;

#[derive(Debug, PartialEq, Eq)]
struct Node {
    id: Vec<u8>,
    address: String,
    port: u16,
}

#[derive(Debug, Default)]
struct Request {
    kind: Vec<u8>,
    id: Vec<u8>,
    target: Option<Vec<u8>>,
    info_hash: Option<Vec<u8>>,
    token: Option<Vec<u8>>,
    implied_port: Option<i64>,
    port: Option<i64>,
}

#[derive(Debug, Default)]
struct Response {
    id: Vec<u8>,
    nodes: Vec<Node>,
    nodes6: Vec<Node>,
    values: Vec<Node>,
    token: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Body {
    Request(Request),
    Response(Response),
    Error(i64, Vec<u8>),
}

#[derive(Debug)]
struct Message {
    transaction: Vec<u8>,
    client: Option<Vec<u8>>,
    /// None: it is none, or lacks something.
    body: Option<Body>,
    malformed: bool,
}

/// BitTorrent's hash table of one flow.
pub struct DhtState {
    messages: Messages<Message>,
}

impl DhtState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        DhtState { messages: Messages::new(config.transactions) }
    }
}

fn owned(dictionary: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    Some(find(dictionary, key)?.bytes()?.to_vec())
}

/// Compact addresses of peers, with identifiers of `id` bytes before them.
fn nodes(bytes: &[u8], id: usize, v6: bool) -> Vec<Node> {
    let length = id + if v6 { 18 } else { 6 };
    bytes
        .chunks_exact(length)
        .take(PEERS_MAX)
        .map(|one| {
            let (id, rest) = one.split_at(id);
            let (address, port) = rest.split_at(rest.len() - 2);
            let address = match <[u8; 4]>::try_from(address) {
                Ok(v4) => Ipv4Addr::from(v4).to_string(),
                Err(_) => crate::wire::full_ipv6(Ipv6Addr::from(<[u8; 16]>::try_from(address).unwrap_or_default())),
            };
            Node { id: id.to_vec(), address, port: u16::from_be_bytes([port[0], port[1]]) }
        })
        .collect()
}

fn read(mut bytes: &[u8]) -> Message {
    let message = next(&mut bytes, 0).and_then(Value::dictionary).unwrap_or(&[]);
    let body = body(message);
    let transaction = owned(message, b"t");
    Message {
        malformed: body.is_none() || transaction.is_none(),
        transaction: transaction.unwrap_or_default(),
        client: owned(message, b"v"),
        body,
    }
}

fn body(message: &[u8]) -> Option<Body> {
    Some(match find(message, b"y")?.bytes()? {
        b"q" => {
            let arguments = find(message, b"a")?.dictionary()?;
            let number = |key| find(arguments, key).and_then(Value::integer);
            Body::Request(Request {
                kind: owned(message, b"q")?,
                id: owned(arguments, b"id")?,
                target: owned(arguments, b"target"),
                info_hash: owned(arguments, b"info_hash"),
                token: owned(arguments, b"token"),
                implied_port: number(b"implied_port"),
                port: number(b"port"),
            })
        }
        b"r" => {
            let values = find(message, b"r")?.dictionary()?;
            let peers = find(values, b"values").into_iter().flat_map(Value::items).filter_map(Value::bytes).take(PEERS_MAX);
            Body::Response(Response {
                id: owned(values, b"id")?,
                nodes: find(values, b"nodes").and_then(Value::bytes).map_or(Vec::new(), |b| nodes(b, 20, false)),
                nodes6: find(values, b"nodes6").and_then(Value::bytes).map_or(Vec::new(), |b| nodes(b, 20, true)),
                values: peers.flat_map(|b| nodes(b, 0, b.len() == 18)).collect(),
                token: owned(values, b"token"),
            })
        }
        b"e" => {
            let mut items = find(message, b"e")?.items();
            Body::Error(items.next()?.integer()?, items.next()?.bytes()?.to_vec())
        }
        _ => return None,
    })
}

fn log_nodes(o: &mut Object<'_>, key: &str, nodes: &[Node]) {
    o.objects(key, nodes.iter(), |o, node| {
        if !node.id.is_empty() {
            o.string("id", hex(&node.id).as_bytes());
        }
        o.string("ip", node.address.as_bytes());
        o.number("port", node.port.into());
    });
}

impl ProtocolState for DhtState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::BittorrentDht
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        // Data between peers (uTP) may come from the same port: it is no dictionary.
        if let Input::Data(bytes @ [b'd', ..]) = input {
            let message = read(bytes);
            let events = if message.malformed { vec![0] } else { Vec::new() };
            self.messages.push(direction, message, events);
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.messages.transactions
    }

    fn event_names(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn mark_inspected(&mut self) {
        self.messages.clear();
    }

    fn is_open(&self, _direction: Direction) -> bool {
        false
    }

    fn log_direction(&self, index: usize) -> Option<Direction> {
        self.messages.get(index).map(|(direction, _)| *direction)
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        let Some((_, message)) = self.messages.get(index) else { return };
        let mut o = Object::begin("bittorrent_dht", out);
        let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(hex);
        o.string("transaction_id", hex(&message.transaction).as_bytes());
        o.text("client_version", text(&message.client).as_deref().map(str::as_bytes));
        match &message.body {
            None => {}
            Some(Body::Error(number, text)) => o.object("error", |o| {
                o.signed("num", *number);
                o.string("msg", text);
            }),
            Some(Body::Request(r)) => {
                o.string("request_type", &r.kind);
                o.object("request", |o| {
                    o.string("id", hex(&r.id).as_bytes());
                    for (key, value) in [("target", &r.target), ("info_hash", &r.info_hash), ("token", &r.token)] {
                        o.text(key, text(value).as_deref().map(str::as_bytes));
                    }
                    for (key, value) in [("implied_port", r.implied_port), ("port", r.port)] {
                        if let Some(value) = value {
                            o.signed(key, value);
                        }
                    }
                });
            }
            Some(Body::Response(r)) => o.object("response", |o| {
                o.string("id", hex(&r.id).as_bytes());
                log_nodes(o, "nodes", &r.nodes);
                log_nodes(o, "nodes6", &r.nodes6);
                log_nodes(o, "values", &r.values);
                o.text("token", text(&r.token).as_deref().map(str::as_bytes));
            }),
        }
        o.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(message: &[u8]) -> (String, usize) {
        let mut state = DhtState::new(&Default::default());
        state.feed(Direction::ToServer, Input::Data(message), 1);
        let mut out = Vec::new();
        state.log(0, &mut out);
        (String::from_utf8(out).unwrap(), state.transactions()[0].events.len())
    }

    #[test]
    fn messages() {
        let (text, events) = log(b"d1:ad2:id2:ab6:target2:cd12:implied_porti1ee1:q9:find_node1:t2:aa1:v2:UT1:y1:qe");
        assert_eq!(events, 0);
        assert!(text.contains(r#""client_version":"5554","request_type":"find_node","request":{"id":"6162","target":"6364","implied_port":1}"#), "{text}");
        let (text, _) = log(b"d1:rd2:id2:ab5:token1:x6:valuesl6:axje.uee1:t2:aa1:y1:re");
        assert!(text.contains(r#""values":[{"ip":"97.120.106.101","port":11893}],"token":"78""#), "{text}");
        let (text, _) = log(b"d1:eli201e5:Oopsse1:t2:aa1:y1:ee");
        assert!(text.contains(r#""error":{"num":201,"msg":"Oopss"}"#), "{text}");
        assert_eq!(log(b"d1:ad2:id20:short"), ("\"bittorrent_dht\":{\"transaction_id\":\"\"}".to_owned(), 1));
        let (text, events) = log(b"d1:ad2:id1:ae1:q4:ping1:y1:qe");
        assert!(text.contains(r#""transaction_id":"","request_type":"ping""#) && events == 1, "{text}");
    }

    #[test]
    fn bounds() {
        let mut state = DhtState::new(&Default::default());
        let many = [&b"d1:rd2:id1:a6:valuesl"[..], &b"6:aaaabb".repeat(5_000), b"ee1:t1:a1:y1:re"].concat();
        (0..5_000).for_each(|_| state.feed(Direction::ToServer, Input::Data(&many[..many.len().min(65_000)]), 1));
        assert!(state.transactions().len() <= 256);
        assert!(matches!(state.messages.get(0), Some((_, Message { body: Some(Body::Response(r)), .. })) if r.values.len() == PEERS_MAX));
    }
}
