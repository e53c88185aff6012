//! Server messages of handshakes that the client's hello has flagged already.
//!
//! Some rules want every hello of a client (fingerprints are made of it): class C, in scope HANDSHAKE, for some addresses. Then
//! rules on the server's messages of the same flows need to flag them only where the client has sent nothing.
//!
//! Argument. Let record *c* hold for every payload frame of clients in TLS flows from *A* to *B*, and let a rule's record *s* be
//! for frames from *B* to *A*, with scope HANDSHAKE alone. Let the rule's condition ask for *s* at frame *j*, and the rule match at
//! frame *k* ≥ *j*. If the device knows that the client has had stream bytes before *j*, they came in a payload frame of
//! this flow. While the class is undecided the frame has all classes, so *c* held there, in scope HANDSHAKE. The host keeps a
//! flow with trouble in this scope while the flow may become encrypted or its handshake is not over (`FlowData::answer`). If
//! it gave the flow back before *k*, no handshake message could be read any more, and the rule would not match at *k*. So the
//! flow is with the host at *k*. If the device does not know of such bytes, the record holds as before (`reverse_max` 0). Where
//! another connection may have begun in the entry, the device knows of none.

use super::{Choice, Trigger, base};
use weir_contract::constants::SET_ANY;
use weir_contract::enums::{DirectionMask, Scopes, TransportMask};
use weir_contract::layouts::Record;
use weir_contract::protocol::AppProtocol;

/// Every frame of clients that the choice asks for, in which a server's messages may lean on it, is asked for by one of the others too.
pub(super) fn is_needless<'a>(choice: &Choice, others: impl Iterator<Item = &'a Choice> + Clone) -> bool {
    let hellos = |choice: &'_ Choice| -> Vec<Record> {
        let every = choice.conditions.iter().filter(|c| c.trigger == Trigger::Frame);
        every.map(|c| c.record).filter(is_for_hellos).collect()
    };
    let sets = |r: &Record| [r.source_addresses, r.destination_addresses, r.source_ports, r.destination_ports];
    hellos(choice).iter().all(|own| {
        let mut wider = others.clone().flat_map(hellos);
        wider.any(|other| sets(&other).iter().zip(sets(own)).all(|(wide, own)| *wide == SET_ANY || *wide == own))
    })
}

/// The record holds for every payload frame of a client in TLS flows of its addresses and ports.
fn is_for_hellos(record: &Record) -> bool {
    let tls = base::classes(AppProtocol::Tls);
    let wide = Record {
        group: record.group,
        class_mask: record.class_mask | !tls,
        scopes: record.scopes,
        transports: record.transports | !TransportMask::TCP.0,
        directions: record.directions | !DirectionMask::TO_SERVER.0,
        source_ports: record.source_ports,
        destination_ports: record.destination_ports,
        source_addresses: record.source_addresses,
        destination_addresses: record.destination_addresses,
        payload_min: record.payload_min,
        ..Record::ALWAYS
    };
    let neutral = Record {
        versions: record.versions | !(weir_contract::enums::IpMask::V4.0 | weir_contract::enums::IpMask::V6.0),
        class_mask: wide.class_mask,
        transports: wide.transports,
        directions: wide.directions,
        ..*record
    };
    record.scopes & Scopes::HANDSHAKE.0 != 0
        && record.payload_min <= 1
        && wide.class_mask == u64::MAX
        && wide.transports == u8::MAX
        && wide.directions == u8::MAX
        && neutral == Record { versions: u8::MAX, ..wide }
}

/// Narrows the records of the servers' messages of all choices.
pub(super) fn apply(choices: &mut [Choice]) {
    let mut hellos: Vec<Record> = Vec::new();
    for condition in choices.iter().flat_map(|choice| &choice.conditions) {
        if condition.trigger == Trigger::Frame
            && is_for_hellos(&condition.record)
            && !hellos.contains(&condition.record)
        {
            hellos.push(condition.record);
        }
    }
    if hellos.is_empty() {
        return;
    }
    let within = |wide: u16, narrow: u16| wide == SET_ANY || wide == narrow;
    let tls = base::classes(AppProtocol::Tls);
    for condition in choices.iter_mut().flat_map(|choice| &mut choice.conditions) {
        let s = &mut condition.record;
        let of_server = s.scopes == Scopes::HANDSHAKE.0
            && s.directions == DirectionMask::TO_CLIENT.0
            && s.transports == TransportMask::TCP.0
            && s.class_mask & !tls == 0;
        let flagged = of_server
            && hellos.iter().any(|c| {
                within(c.source_addresses, s.destination_addresses)
                    && within(c.destination_addresses, s.source_addresses)
                    && within(c.source_ports, s.destination_ports)
                    && within(c.destination_ports, s.source_ports)
            });
        if flagged {
            s.reverse_max = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::{Class, Options, plan};
    use crate::{LoadOptions, RuleSource, VariableTable, load};

    /// Bounds on the client's bytes in the records of the second rule, planned beside the first.
    fn bounds(hellos: &str, server: &str, options: &Options) -> Vec<u16> {
        let text = format!("{hellos} sid:1;)\n{server} sid:2;)\n");
        let set = load(&[RuleSource::from_text("x", text.as_str())], &VariableTable::default(), &LoadOptions::default());
        let plan = plan(&set.rules, options);
        assert_eq!(plan.rules[0].class, Class::Complete);
        plan.rules[1].conditions.iter().map(|c| c.record.reverse_max).collect()
    }

    #[test]
    fn servers_answer_hellos_that_were_flagged() {
        let hellos = "alert tls 10.0.0.0/8 any -> any any (flow:to_server; ja3.hash; content:\"0123456789abcdef0123456789abcdef\";";
        let server =
            "alert tls any any -> 10.0.0.0/8 any (flow:to_client; tls.cert_subject; content:\"CN=evil.example\";";
        let with = Options::default();
        let narrowed = |hellos: &str, server: &str| bounds(hellos, server, &with).iter().all(|b| *b == 0);
        assert!(narrowed(hellos, server));
        for other in [
            // Another client, either direction, a rule that looks at payload as well.
            "alert tls any any -> 10.0.0.0/16 any (flow:to_client; tls.cert_subject; content:\"CN=evil.example\";",
            "alert tls any any -> any any (tls.cert_subject; content:\"CN=evil.example\";",
            "alert tls any any -> 10.0.0.0/8 any (flow:to_client; content:\"payload\"; tls.cert_subject; content:\"CN=evil.example\";",
        ] {
            assert!(!narrowed(hellos, other), "{other}");
        }
        let some = "alert tls 10.0.0.0/8 any -> any 443 (flow:to_server; ja3.hash; content:\"0123456789abcdef0123456789abcdef\";";
        assert!(!narrowed(some, server), "hellos to other ports are not flagged");
        let without = Options { held_handshakes: false, ..Options::default() };
        assert!(bounds(hellos, server, &without).iter().all(|b| *b == u16::MAX));
    }
}
