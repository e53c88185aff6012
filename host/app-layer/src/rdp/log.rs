//! The `rdp` record of a message.

use super::Message;
use super::client::{Connect, Core};
use super::names::{self, ANSWER_FLAGS, CAPABILITIES, CONNECTIONS, KEYBOARDS, REFUSALS, REQUEST_FLAGS};
use super::tpkt::Answer;
use crate::json::Object;

/// Names of the bits that are set.
fn bits<'a>(names: &'a [&'static str], set: u64) -> impl Iterator<Item = &'static [u8]> + 'a {
    names
        .iter()
        .enumerate()
        .filter(move |(n, name)| set >> n & 1 != 0 && !name.is_empty())
        .map(|(_, name)| name.as_bytes())
}

/// Name of a number that counts from one.
fn named(names: &[&'static str], number: u64) -> Option<&'static [u8]> {
    let at = usize::try_from(number.checked_sub(1)?).ok()?;
    names.get(at).map(|name| name.as_bytes())
}

/// Write the record of the transaction with this number, from one.
pub(super) fn write(number: u64, message: &Message, out: &mut Vec<u8>) {
    let mut object = Object::begin("rdp", out);
    object.number("tx_id", number);
    let kind: &[u8] = match message {
        Message::Request(_) => b"initial_request",
        Message::Confirm(_) => b"initial_response",
        Message::Connect(_) => b"connect_request",
        Message::Connected => b"connect_response",
        Message::Certificates(_) => b"tls_handshake",
    };
    object.string("event_type", kind);
    match message {
        Message::Request(request) => {
            if let Some(cookie) = &request.cookie {
                object.string("cookie", cookie);
            }
            if let Some(flags) = request.flags.filter(|flags| *flags != 0) {
                object.texts_always("flags", bits(&REQUEST_FLAGS, flags.into()));
            }
        }
        Message::Confirm(Some(Answer::Agreed { flags, protocol })) => {
            if *flags != 0 {
                object.texts_always("server_supports", bits(&ANSWER_FLAGS, (*flags).into()));
            }
            let protocol: &[u8] = match protocol {
                0 => b"rdp",
                1 => b"ssl",
                2 => b"hybrid",
                4 => b"rds_tls",
                _ => b"hybrid_ex",
            };
            object.string("protocol", protocol);
        }
        Message::Confirm(Some(Answer::Refused(code))) => {
            object.number("error_code", (*code).into());
            object.text("reason", named(&REFUSALS, (*code).into()));
        }
        Message::Confirm(None) | Message::Connected => {}
        Message::Connect(connect) => {
            let Connect { core, channels, channels_first } = connect;
            let tell = |object: &mut Object<'_>| object.texts("channels", channels.iter().flatten().map(Vec::as_slice));
            if *channels_first {
                tell(&mut object);
            }
            if let Some(core) = core {
                object.object("client", |o| client(o, core));
            }
            if !*channels_first {
                tell(&mut object);
            }
        }
        Message::Certificates(serials) => object.texts_always("x509_serials", serials.iter().map(String::as_bytes)),
    }
    object.end();
}

fn client(o: &mut Object<'_>, core: &Core) {
    let number = |o: &mut Object<'_>, key: &str, value: Option<u64>| {
        if let Some(value) = value {
            o.number(key, value);
        }
    };
    o.string("version", names::version(core.version).as_bytes());
    o.number("desktop_width", core.width.into());
    o.number("desktop_height", core.height.into());
    number(o, "color_depth", core.color_depth.map(u64::from));
    o.string("keyboard_layout", names::layout(core.layout).as_bytes());
    o.string("build", names::build(core.build).as_bytes());
    o.text("client_name", Some(&core.name));
    o.text("keyboard_type", named(&KEYBOARDS, core.keyboard.into()));
    number(o, "keyboard_subtype", (core.keyboard_subtype != 0).then_some(core.keyboard_subtype.into()));
    number(o, "function_keys", (core.function_keys != 0).then_some(core.function_keys.into()));
    o.text("ime", Some(&core.input_method));
    number(o, "product_id", core.product.map(u64::from));
    number(o, "serial_number", core.serial.filter(|n| *n != 0).map(u64::from));
    o.texts("capabilities", bits(&CAPABILITIES, core.capabilities.unwrap_or(0).into()));
    o.text("id", core.id.as_deref());
    o.text("connection_hint", core.connection.and_then(|n| named(&CONNECTIONS, n.into())));
    number(o, "physical_width", core.physical_width.map(u64::from));
    number(o, "physical_height", core.physical_height.map(u64::from));
    number(o, "desktop_orientation", core.orientation.map(u64::from));
    number(o, "scale_factor", core.scale.map(u64::from));
    number(o, "device_scale_factor", core.device_scale.map(u64::from));
}
