//! The EVE object of a transaction.

use super::message::*;
use crate::json::Object;
use crate::pairs::Pair;

/// Result codes (RFC 4511 section 4.1.9), as Suricata writes them.
const CODES: &[(u64, &str)] = &[
    (0, "success"),
    (1, "operations_error"),
    (2, "protocol_error"),
    (3, "time_limit_exceeded"),
    (4, "size_limit_exceeded"),
    (5, "compare_false"),
    (6, "compare_true"),
    (7, "auth_method_not_supported"),
    (8, "stronger_auth_required"),
    (10, "referral"),
    (11, "admin_limit_exceeded"),
    (12, "unavailable_critical_extension"),
    (13, "confidentiality_required"),
    (14, "sasl_bind_in_progress"),
    (16, "no_such_attribute"),
    (17, "undefined_attribute_type"),
    (18, "inappropriate_matching"),
    (19, "constraint_violation"),
    (20, "attribute_or_value_exists"),
    (21, "invalid_attribute_syntax"),
    (32, "no_such_object"),
    (33, "alias_problem"),
    (34, "invalid_dns_syntax"),
    (36, "alias_dereferencing_problem"),
    (48, "inappropriate_authentication"),
    (49, "invalid_credentials"),
    (50, "insufficient_access_rights"),
    (51, "busy"),
    (52, "unavailable"),
    (53, "unwilling_to_perform"),
    (54, "loop_detect"),
    (64, "naming_violation"),
    (65, "object_class_violation"),
    (66, "not_allowed_on_non_leaf"),
    (67, "not_allowed_on_rdn"),
    (68, "entry_already_exists"),
    (69, "object_class_mods_prohibited"),
    (71, "affects_multiple_dsas"),
    (80, "other"),
];

const OPERATIONS: &[(u8, &str)] = &[
    (0, "bind_request"),
    (1, "bind_response"),
    (2, "unbind_request"),
    (3, "search_request"),
    (4, "search_result_entry"),
    (5, "search_result_done"),
    (6, "modify_request"),
    (7, "modify_response"),
    (8, "add_request"),
    (9, "add_response"),
    (10, "del_request"),
    (11, "del_response"),
    (12, "mod_dn_request"),
    (13, "mod_dn_response"),
    (14, "compare_request"),
    (15, "compare_response"),
    (16, "abandon_request"),
    (19, "search_result_reference"),
    (23, "extended_request"),
    (24, "extended_response"),
    (25, "intermediate_response"),
];

fn operation(code: u8) -> &'static str {
    OPERATIONS.iter().find(|o| o.0 == code).map_or("unknown", |o| o.1)
}

pub fn ldap(pair: &Pair<Message, Message>, out: &mut Vec<u8>) {
    let mut ldap = Object::begin("ldap", out);
    if let Some(m) = &pair.request {
        ldap.object("request", |o| {
            o.number("message_id", m.id);
            one(o, m);
        });
    }
    if !pair.responses.is_empty() {
        ldap.list("responses", |list| pair.responses.iter().for_each(|m| list.object(|o| one(o, m))));
    }
    ldap.end();
}

fn one(object: &mut Object<'_>, m: &Message) {
    object.text("operation", Some(operation(m.operation).as_bytes()));
    match m.operation {
        UNBIND_REQUEST | SEARCH_REFERENCE | ABANDON_REQUEST => {}
        _ => object.object(operation(m.operation), |o| content(o, m)),
    }
}

fn content(o: &mut Object<'_>, m: &Message) {
    let dn = m.dn.as_deref().unwrap_or(&[]);
    let number = |at: usize| m.numbers.get(at).copied().unwrap_or(0);
    match m.operation {
        BIND_REQUEST => {
            o.number("version", number(0));
            o.string("name", dn);
            if let Some(mechanism) = &m.name {
                o.object("sasl", |sasl| {
                    sasl.string("mechanism", mechanism);
                    sasl.text("credentials", m.value.as_deref());
                });
            }
        }
        SEARCH_REQUEST => {
            o.string("base_object", dn);
            for (at, name) in ["scope", "deref_alias", "size_limit", "time_limit"].into_iter().enumerate() {
                o.number(name, number(at));
            }
            o.boolean("types_only", number(4) != 0);
            o.texts("attributes", m.attributes.iter().map(|a| a.0.as_slice()));
        }
        SEARCH_ENTRY => {
            o.string("base_object", dn);
            attributes(o, "type", &m.attributes);
        }
        ADD_REQUEST => {
            o.string("entry", dn);
            attributes(o, "name", &m.attributes);
        }
        MODIFY_REQUEST => {
            o.string("object", dn);
            o.list("changes", |list| {
                for ((name, values), change) in m.attributes.iter().zip(&m.changes) {
                    list.object(|o| {
                        let operation: &[u8] = match change {
                            0 => b"add",
                            1 => b"delete",
                            2 => b"replace",
                            _ => b"increment",
                        };
                        o.text("operation", Some(operation));
                        o.object("modification", |o| {
                            o.string("attribute_type", name);
                            o.texts("attribute_values", values.iter().map(Vec::as_slice));
                        });
                    });
                }
            });
        }
        DELETE_REQUEST => o.string("dn", dn),
        MOD_DN_REQUEST => {
            o.string("entry", dn);
            o.string("new_rdn", m.name.as_deref().unwrap_or(&[]));
            o.boolean("delete_old_rdn", number(0) != 0);
            o.text("new_superior", m.value.as_deref());
        }
        COMPARE_REQUEST => {
            o.string("entry", dn);
            if let Some((name, values)) = m.attributes.first() {
                o.object("attribute_value_assertion", |o| {
                    o.string("description", name);
                    o.string("value", values.first().map_or(&[], Vec::as_slice));
                });
            }
        }
        _ => {
            if let Some(outcome) = &m.outcome {
                let code = CODES.iter().find(|c| c.0 == outcome.code).map(|c| c.1);
                o.string("result_code", code.map_or(format!("unknown({})", outcome.code).as_bytes(), str::as_bytes));
                o.string("matched_dn", &outcome.matched);
                o.string("message", &outcome.message);
            }
            o.text("name", m.name.as_deref());
            match m.value.as_deref() {
                Some(credentials) if m.operation == 1 => {
                    o.text("server_sasl_creds", Some(crate::digest::hex(credentials).as_bytes()));
                }
                value => o.text("value", value),
            }
        }
    }
}

fn attributes(o: &mut Object<'_>, key: &str, attributes: &[Attribute]) {
    if attributes.is_empty() {
        return;
    }
    o.list("attributes", |list| {
        for (name, values) in attributes {
            list.object(|o| {
                o.string(key, name);
                o.texts("values", values.iter().map(Vec::as_slice));
            });
        }
    });
}
