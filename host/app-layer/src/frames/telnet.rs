//! Telnet (RFC 854): commands, and lines of text.
//!
//! As in Suricata, a server's text ends with a prompt (`: `) until somebody has logged in: the first prompt is that of the
//! name; once the client has answered, the next one is that of the password; from then on both sides send lines. Between
//! the two, what comes first ends the text, a line feed or a prompt.

use super::cut::Step;
use weir_ir::Buffer;

const IAC: u8 = 0xff;
const SUBNEGOTIATION: u8 = 0xfa;
/// A longer subnegotiation is none.
const SUBNEGOTIATION_MAX: usize = 16 * 1024;

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Login {
    /// The server asks for a name.
    #[default]
    Name,
    /// It has asked; the client has not answered.
    Asked,
    /// It asks for a password.
    Password,
    Over,
}

/// Where both sides are.
#[derive(Default)]
pub(super) struct Telnet {
    login: Login,
    /// Text of the side has begun.
    open: [bool; 2],
}

impl Telnet {
    pub(super) fn step(&mut self, d: usize, bytes: &[u8]) -> Step {
        if self.open[d] {
            return self.text(d, bytes);
        }
        match bytes {
            [IAC] | [IAC, SUBNEGOTIATION] => Step::More,
            // Up to the command that ends it, which stands for itself.
            [IAC, SUBNEGOTIATION, rest @ ..] => match memchr::memchr(IAC, rest) {
                Some(at) if at <= SUBNEGOTIATION_MAX => command(at + 2),
                None if rest.len() <= SUBNEGOTIATION_MAX => Step::More,
                // However it comes.
                _ => Step::Lost,
            },
            // WILL, WONT, DO, DONT and their option.
            [IAC, 0xfb..=0xfe, _, ..] => command(3),
            [IAC, 0xfb..=0xfe] => Step::More,
            [IAC, ..] => command(2),
            _ => {
                self.open[d] = true;
                Step::Message(0, vec![(Buffer::FrameTelnetPdu, 0, None), (Buffer::FrameTelnetData, 0, None)])
            }
        }
    }

    fn text(&mut self, d: usize, bytes: &[u8]) -> Step {
        let line = memchr::memchr(b'\n', bytes).map(|at| (at + 1, false));
        let prompt = || memchr::memmem::find(bytes, b": ").map(|at| (at + 2, true));
        let end = match self.login {
            _ if d == 0 => line,
            Login::Name | Login::Password => prompt(),
            Login::Asked => [line, prompt()].into_iter().flatten().min(),
            Login::Over => line,
        };
        let Some((end, prompted)) = end else {
            // A prompt may be on its way.
            let kept = usize::from(bytes.last() == Some(&b':'));
            return if bytes.len() > kept { Step::Inside((bytes.len() - kept) as u64) } else { Step::More };
        };
        self.open[d] = false;
        self.login = match (self.login, d, prompted) {
            (Login::Name, 1, true) => Login::Asked,
            (Login::Asked, 0, _) => Login::Password,
            (Login::Asked | Login::Password, 1, true) => Login::Over,
            (other, _, _) => other,
        };
        Step::Last(end)
    }
}

fn command(length: usize) -> Step {
    let length = length as u64;
    Step::Message(length, vec![(Buffer::FrameTelnetPdu, 0, Some(length)), (Buffer::FrameTelnetCtl, 0, Some(length))])
}
