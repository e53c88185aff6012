//! SMTP: command lines, reply lines, and the data of mails (RFC 5321).

use super::cut::Step;
use super::lines::{line, number};
use weir_ir::Buffer;

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Command,
    /// DATA waits for its reply.
    Asked,
    Begin,
    Data,
    Chunk(u64),
    /// STARTTLS waits for its reply.
    Tls,
    Over,
}

/// Where the client is.
#[derive(Default)]
pub(super) struct Smtp {
    at: At,
}

/// A longer line is none.
const LINE_MAX: usize = 16 * 1024;

impl Smtp {
    pub(super) fn step(&mut self, d: usize, bytes: &[u8]) -> Step {
        match (self.at, d) {
            (At::Over, _) => Step::Lost,
            (_, 1) => self.reply(bytes),
            (At::Command, _) => self.command(bytes),
            (At::Asked | At::Tls, _) => Step::Wait,
            // A mail of nothing but its end.
            (At::Begin, _) if bytes.len() < 3 && b".\r\n".starts_with(bytes) => Step::More,
            (At::Begin, _) if bytes.starts_with(b".\r\n") => {
                self.at = At::Command;
                Step::Message(3, vec![(Buffer::FrameSmtpData, 0, Some(3))])
            }
            (At::Begin, _) => {
                self.at = At::Data;
                Step::Message(0, vec![(Buffer::FrameSmtpData, 0, None)])
            }
            (At::Data, _) => match memchr::memmem::find(bytes, b"\r\n.\r\n") {
                // The line with the dot belongs to it, as in Suricata.
                Some(at) => {
                    self.at = At::Command;
                    Step::Last(at + 5)
                }
                // The dot may be on its way.
                None if bytes.len() > 4 => Step::Inside(bytes.len() as u64 - 4),
                None => Step::More,
            },
            (At::Chunk(length), _) => {
                self.at = At::Command;
                Step::Message(length, vec![(Buffer::FrameSmtpData, 0, Some(length))])
            }
        }
    }

    fn command(&mut self, bytes: &[u8]) -> Step {
        let length = match bounded(bytes) {
            Ok(length) => length,
            Err(step) => return step,
        };
        let text = bytes[..length].trim_ascii();
        let word = text.split(|b| *b == b' ').next().unwrap_or(&[]).to_ascii_lowercase();
        match word.as_slice() {
            b"data" => self.at = At::Asked,
            b"starttls" => self.at = At::Tls,
            b"bdat" => {
                let size = text.split(|b| *b == b' ').filter(|w| !w.is_empty()).nth(1).and_then(number);
                if let Some(size) = size.filter(|size| *size > 0) {
                    self.at = At::Chunk(size);
                }
            }
            _ => {}
        }
        Step::Message(length as u64, vec![(Buffer::FrameSmtpCommandLine, 0, Some(length as u64))])
    }

    fn reply(&mut self, bytes: &[u8]) -> Step {
        let length = match bounded(bytes) {
            Ok(length) => length,
            Err(step) => return step,
        };
        let text = &bytes[..length];
        let last = text.get(3) != Some(&b'-');
        match (self.at, text.get(..3)) {
            (At::Asked, Some(b"354")) => self.at = At::Begin,
            // Replies to pipelined commands before it come first.
            (At::Asked, Some([b'4' | b'5', ..])) if last => self.at = At::Command,
            (At::Tls, Some(b"220")) if last => self.at = At::Over,
            (At::Tls, Some([b'4' | b'5', ..])) if last => self.at = At::Command,
            _ => {}
        }
        Step::Message(length as u64, vec![(Buffer::FrameSmtpResponseLine, 0, Some(length as u64))])
    }
}

/// Length of the first line; of one that is too long, a part without a frame.
fn bounded(bytes: &[u8]) -> Result<usize, Step> {
    let seen = bytes.get(..LINE_MAX);
    line(seen.unwrap_or(bytes)).ok_or(seen.map_or(Step::More, |part| Step::Message(part.len() as u64, Vec::new())))
}
