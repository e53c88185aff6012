//! Conversations of SMTP, FTP, SSH, SMB and DCERPC.

use super::conversation::{Maker, Turn, turn, way};
use super::solve::{Cause, Filler};
use weir_contract::protocol::AppProtocol;
use weir_ir::{Buffer, Rule};
use weir_synth::Way::{self, ToClient, ToServer};

/// Turns of a protocol that is neither HTTP, TLS nor DNS.
pub fn turns(maker: &mut Maker<'_, '_>, rule: &Rule, protocol: AppProtocol) -> Result<Vec<Turn>, Cause> {
    match protocol {
        AppProtocol::Smtp => mail(maker, rule),
        AppProtocol::Ftp => files(maker, rule),
        AppProtocol::Ssh => shell(maker, rule),
        AppProtocol::Smb => shares(maker, rule),
        AppProtocol::DceRpc => {
            maker.raw(rule, b"\x05\0\x0b\x03\x10\0\0\0\x48\0\0\0\x01\0\0\0\xb8\x10\xb8\x10\0\0\0\0\x01\0\0\0", |_| {})
        }
        _ => maker.raw(rule, b"", |_| {}),
    }
}

fn said(dialogue: &[(Way, &[u8])]) -> Vec<Turn> {
    dialogue.iter().map(|(way, bytes)| turn(*way, bytes.to_vec())).collect()
}

fn no_line_end(text: &[u8]) -> bool {
    !text.contains(&b'\r') && !text.contains(&b'\n')
}

fn mail(maker: &mut Maker<'_, '_>, rule: &Rule) -> Result<Vec<Turn>, Cause> {
    let mut line = |buffer, usual: &[u8]| -> Result<Vec<u8>, Cause> {
        Ok(maker.buffer(rule, buffer, Filler::Text, b"", no_line_end)?.unwrap_or_else(|| usual.to_vec()))
    };
    let helo = line(Buffer::SmtpHelo, b"client.example.com")?;
    let from = line(Buffer::SmtpMailFrom, b"ann@example.com")?;
    let to = line(Buffer::SmtpRcptTo, b"bob@example.net")?;
    let subject = line(Buffer::EmailSubject, b"Lunch")?;
    let sender = line(Buffer::EmailFrom, b"ann@example.com")?;
    let file = maker.buffer(rule, Buffer::FileData, Filler::Text, b"", |_| true)?;
    let name = maker.buffer(rule, Buffer::FileName, Filler::Text, b"", no_line_end)?;
    let payload = match rule.buffers.iter().any(|b| b.buffer == Buffer::Payload) {
        true => maker.raw(rule, b"", |_| {})?.pop(),
        false => None,
    };
    if let Some(payload) = payload.as_ref().filter(|_| maker.variant % 2 == 1 || way(rule) == ToClient) {
        let mut turns = said(&[(ToClient, b"220 mail.example.net ESMTP\r\n")]);
        if payload.way == ToClient || maker.variant % 4 == 3 {
            turns.extend(said(&[(ToServer, b"EHLO client.example.com\r\n")]));
        }
        turns.push(payload.clone());
        turns.extend(said(&[(payload.way, b"\r\n"), (ToServer, b"QUIT\r\n"), (ToClient, b"221 bye\r\n")]));
        return Ok(turns);
    }
    let mut message =
        [b"From: ", &sender[..], b"\r\nTo: bob@example.net\r\nSubject: ", &subject, b"\r\nMIME-Version: 1.0\r\n"]
            .concat();
    let text = payload.map_or_else(|| b"Shall we meet at noon?".to_vec(), |p| p.bytes);
    match (file, name) {
        (None, None) => {
            // Header lines among the telling bytes belong to the header.
            let header = text
                .iter()
                .position(|b| *b == b':')
                .is_some_and(|n| n < 30 && text[..n].iter().all(|b| b.is_ascii_alphabetic() || *b == b'-'));
            if !header {
                message.extend(b"Content-Type: text/plain\r\n\r\n");
            }
            message.extend(&text);
            if header {
                message.extend(b"\r\nContent-Type: text/plain\r\n\r\nhello");
            }
        }
        (file, name) => {
            let name = name.unwrap_or_else(|| b"note.txt".to_vec());
            message.extend(b"Content-Type: multipart/mixed; boundary=\"=-bound\"\r\n\r\n--=-bound\r\nContent-Type: text/plain\r\n\r\n");
            message.extend(&text);
            message.extend(b"\r\n--=-bound\r\nContent-Type: application/octet-stream; name=\"");
            message.extend(&name);
            message.extend(b"\"\r\nContent-Disposition: attachment; filename=\"");
            message.extend(&name);
            message.extend(b"\"\r\nContent-Transfer-Encoding: base64\r\n\r\n");
            let encoded: Vec<u8> = weir_ir::base64::encode(&file.unwrap_or_else(|| b"attached".to_vec())).collect();
            for line in encoded.chunks(76) {
                message.extend(line);
                message.extend(b"\r\n");
            }
            message.extend(b"--=-bound--");
        }
    }
    message.extend(b"\r\n.\r\n");
    let mut turns = said(&[(ToClient, b"220 mail.example.net ESMTP\r\n")]);
    turns.push(turn(ToServer, [b"EHLO ", &helo[..], b"\r\n"].concat()));
    turns.extend(said(&[(ToClient, b"250 mail.example.net\r\n")]));
    turns.push(turn(ToServer, [b"MAIL FROM:<", &from[..], b">\r\n"].concat()));
    turns.extend(said(&[(ToClient, b"250 ok\r\n")]));
    turns.push(turn(ToServer, [b"RCPT TO:<", &to[..], b">\r\n"].concat()));
    turns.extend(said(&[(ToClient, b"250 ok\r\n"), (ToServer, b"DATA\r\n"), (ToClient, b"354 go ahead\r\n")]));
    turns.push(turn(ToServer, message));
    turns.extend(said(&[(ToClient, b"250 queued\r\n"), (ToServer, b"QUIT\r\n"), (ToClient, b"221 bye\r\n")]));
    Ok(turns)
}

fn files(maker: &mut Maker<'_, '_>, rule: &Rule) -> Result<Vec<Turn>, Cause> {
    let command = maker.buffer(rule, Buffer::FtpCommand, Filler::Text, b"", no_line_end)?;
    let data = maker.buffer(rule, Buffer::FtpCommandData, Filler::Text, b"", no_line_end)?;
    let mut turns = said(&[(ToClient, b"220 files.example.org ready\r\n")]);
    if maker.variant % 3 == 1 {
        turns.extend(said(&[
            (ToServer, b"USER anonymous\r\n"),
            (ToClient, b"331 send your address\r\n"),
            (ToServer, b"PASS guest@example.com\r\n"),
            (ToClient, b"230 welcome\r\n"),
        ]));
    }
    if command.is_some() || data.is_some() {
        let command = command.unwrap_or_else(|| b"USER".to_vec());
        let data = data.map_or_else(Vec::new, |data| [b" ", &data[..]].concat());
        turns.push(turn(ToServer, [&command[..], &data, b"\r\n"].concat()));
    }
    if rule.buffers.iter().any(|b| b.buffer == Buffer::Payload) {
        let lead: &[u8] = if way(rule) == ToClient { b"230 " } else { b"" };
        let mut own = maker.raw(rule, lead, |_| {})?;
        if maker.variant % 3 == 2 {
            turns.clear();
        }
        if let Some(last) = own.last_mut().filter(|t| !t.whole && !t.bytes.ends_with(b"\n")) {
            last.bytes.extend(b"\r\n");
        }
        if way(rule) == ToClient && maker.variant % 2 == 1 {
            turns.extend(said(&[(ToServer, b"SYST\r\n")]));
        }
        turns.extend(own);
    }
    turns.extend(said(&[(ToClient, b"200 ok\r\n"), (ToServer, b"QUIT\r\n"), (ToClient, b"221 bye\r\n")]));
    Ok(turns)
}

fn shell(maker: &mut Maker<'_, '_>, rule: &Rule) -> Result<Vec<Turn>, Cause> {
    let protocol =
        maker.buffer(rule, Buffer::SshProto, Filler::Text, b"", no_line_end)?.unwrap_or_else(|| b"2.0".to_vec());
    let software = maker
        .buffer(rule, Buffer::SshSoftware, Filler::Text, b"", no_line_end)?
        .unwrap_or_else(|| b"OpenSSH_9.8".to_vec());
    let own = match rule.buffers.iter().any(|b| b.buffer == Buffer::Payload) {
        true => maker.raw(rule, b"SSH-2.0-OpenSSH_9.8\r\n", |_| {})?.pop().map(|t| t.bytes),
        false => None,
    };
    let mut banner = own.unwrap_or_else(|| [b"SSH-", &protocol[..], b"-", &software].concat());
    if !banner.ends_with(b"\n") {
        banner.extend(b"\r\n");
    }
    let usual = b"SSH-2.0-OpenSSH_9.6\r\n".to_vec();
    let (server, client) = if way(rule) == ToClient { (banner, usual) } else { (usual, banner) };
    let mut turns = vec![turn(ToServer, client), turn(ToClient, server)];
    for way in [ToServer, ToClient] {
        let body = maker.random.bytes(60);
        turns.push(turn(way, [&((body.len() + 2) as u32).to_be_bytes()[..], &[4, 20], &body].concat()));
    }
    Ok(turns)
}

/// Header of an SMB1 message behind that of its NetBIOS session.
const SMB1: &[u8] = b"\0\0\0\x55\xffSMB\x72\0\0\0\0\x18\x53\xc8\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xfe\0\0\0\0";
const SMB2: &[u8] = b"\0\0\0\x55\xfeSMB\x40\0\0\0\0\0\0\0\0\0\x1f\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xfe\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

fn shares(maker: &mut Maker<'_, '_>, rule: &Rule) -> Result<Vec<Turn>, Cause> {
    // RFC 1002 section 4.3.1: the length of what follows.
    let session = |bytes: &mut Vec<u8>| {
        let length = (bytes.len().saturating_sub(4) as u32).to_be_bytes();
        if bytes.len() > 8 && bytes[0] == 0 && matches!(bytes[4], 0xff | 0xfe) {
            bytes[1..4].copy_from_slice(&length[1..]);
        }
    };
    let lead = if maker.variant.is_multiple_of(2) { SMB1 } else { SMB2 };
    let own = maker.raw(rule, lead, session)?;
    // Either side has to be known before the other's bytes are SMB's.
    let mut hello = [lead, b"\0\x31\0\x02NT LM 0.12\0\x02SMB 2.002\0"].concat();
    session(&mut hello);
    let mut turns = Vec::new();
    if own.iter().any(|t| t.way == ToClient) || maker.variant % 4 > 1 {
        turns.push(turn(ToServer, hello));
    }
    turns.extend(own);
    Ok(turns)
}
