//! What clients and servers of the tests do.

use super::{Lab, SERVER};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// How long an end waits for the other.
pub const PATIENCE: Option<Duration> = Some(Duration::from_millis(1500));

/// What an end has got, and how its connection ended.
pub type Got = (Vec<u8>, Option<ErrorKind>);

pub fn read_all(stream: &mut TcpStream) -> Got {
    stream.set_read_timeout(PATIENCE).unwrap();
    let (mut all, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (all, None),
            Ok(n) => all.extend_from_slice(&buffer[..n]),
            Err(error) => return (all, Some(error.kind())),
        }
    }
}

/// Sends bytes one by one to a server that reads all; what both got.
pub fn spell(lab: &Lab, family: usize, port: u16, text: &'static [u8]) -> [Got; 2] {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let server = lab.server.within(move || {
        let listener = TcpListener::bind((SERVER[family], port)).unwrap();
        ready.send(()).unwrap();
        read_all(&mut listener.accept().unwrap().0)
    });
    is_ready.recv().unwrap();
    let client = lab.client.within(move || {
        let mut stream = TcpStream::connect((SERVER[family], port)).unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in text {
            if let Err(error) = stream.write_all(&[*byte]) {
                return (Vec::new(), Some(error.kind()));
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        read_all(&mut stream)
    });
    [client.join().unwrap(), server.join().unwrap()]
}

/// Rules for what an attack meets: a drop, a reject of a stream and of a datagram, an alert, by the server's port.
pub const ATTACKS: &str = r#"drop tcp any any -> any 9001 (msg:"drop"; content:"attack-here"; sid:1;)
reject tcp any any -> any 9002 (msg:"reject"; content:"attack-here"; sid:2;)
reject udp any any -> any 9003 (msg:"datagram"; content:"attack-here"; sid:3;)
alert tcp any any -> any 9004 (msg:"alert"; content:"attack-here"; sid:4;)
"#;

/// Attacks in streams, under [`ATTACKS`]: those that are dropped or rejected end before their last byte, the other arrives.
pub fn attacks_in_streams(lab: &Lab, family: usize, device: &str) {
    let text = b"nothing yet, then attack-here and more";
    let until = &text[..text.iter().position(|b| *b == b'-').unwrap() + 4];
    let [client, server] = spell(lab, family, 9001, text);
    assert_eq!((&*server.0, server.1), (until, Some(ErrorKind::WouldBlock)), "drop, {device}");
    assert_eq!(client.1, Some(ErrorKind::WouldBlock), "drop, {device}");
    let [client, server] = spell(lab, family, 9002, text);
    assert_eq!((&*server.0, server.1), (until, Some(ErrorKind::ConnectionReset)), "reject, {device}");
    assert_eq!(client.1, Some(ErrorKind::ConnectionReset), "reject, {device}");
    let [_, server] = spell(lab, family, 9004, text);
    assert_eq!(server.0, text, "alert, {device}");
}

/// Bytes that hold nothing that repeats.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
        .collect()
}

/// Both ends send so many bytes at once; what both got: the client those of `noise(1, ..)`, the server those of `noise(2, ..)`.
pub fn exchange(lab: &Lab, family: usize, port: u16, length: usize) -> [Got; 2] {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let end = move |seed: u64, mut stream: TcpStream| {
        let mut writer = stream.try_clone().unwrap();
        let sends = std::thread::spawn(move || {
            writer.write_all(&noise(seed, length)).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let got = read_all(&mut stream);
        sends.join().unwrap();
        got
    };
    let server = lab.server.within(move || {
        let listener = TcpListener::bind((SERVER[family], port)).unwrap();
        ready.send(()).unwrap();
        end(1, listener.accept().unwrap().0)
    });
    is_ready.recv().unwrap();
    let client = lab.client.within(move || end(2, TcpStream::connect((SERVER[family], port)).unwrap()));
    [client.join().unwrap(), server.join().unwrap()]
}
