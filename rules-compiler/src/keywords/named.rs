//! Names of numeric values, by keyword.

/// A name and its number.
pub type NamedValue = (&'static str, u64);

/// The names a keyword's number may be written with; empty when it is only a number.
pub fn numbers_of(keyword: &str) -> &'static [NamedValue] {
    match keyword {
        "dns.rcode" => DNS_RCODE,
        "dns.rrtype" => DNS_RRTYPE,
        "ip_proto" => IP_PROTOCOL,
        "ipopts" => IP_OPTIONS,
        "mqtt.type" => MQTT_TYPE,
        "snmp.pdu_type" => SNMP_PDU,
        "snmp.trap_type" => SNMP_TRAP,
        "http2.frametype" => HTTP2_FRAME,
        "http2.errorcode" => HTTP2_ERROR,
        "rfb.secresult" => RFB_RESULT,
        "websocket.opcode" => WEBSOCKET_OPCODE,
        "nfs_procedure" => &[],
        "ldap.request.operation" | "ldap.responses.operation" => LDAP_OPERATION,
        "ldap.responses.result_code" => LDAP_RESULT,
        "enip_command" | "enip.command" => ENIP_COMMAND,
        "enip.status" => ENIP_STATUS,
        "dnp3_func" => DNP3_FUNCTION,
        "ntp.mode" => NTP_MODE,
        "krb5.ticket_encryption" => KERBEROS_ENCRYPTION,
        "ftpdata_command" => FTP_DATA_COMMAND,
        "ftp.mode" => &[("active", 0), ("passive", 1)],
        "ftp.reply_received" | "krb5.weak_encryption" | "mqtt.connack.session_present" | "websocket.mask" => BOOLEAN,
        _ => &[],
    }
}

#[rustfmt::skip]
const BOOLEAN: &[NamedValue] = &[("no", 0), ("false", 0), ("off", 0), ("yes", 1), ("true", 1), ("on", 1)];

/// RFC 6895, section 2.3.
#[rustfmt::skip]
const DNS_RCODE: &[NamedValue] = &[
    ("NOERROR", 0), ("FORMERR", 1), ("SERVFAIL", 2), ("NXDOMAIN", 3), ("NOTIMP", 4), ("REFUSED", 5), ("YXDOMAIN", 6),
    ("YXRRSET", 7), ("NXRRSET", 8), ("NOTAUTH", 9), ("NOTZONE", 10), ("BADVERS", 16), ("BADSIG", 16), ("BADKEY", 17),
    ("BADTIME", 18), ("BADMODE", 19), ("BADNAME", 20), ("BADALG", 21), ("BADTRUNC", 22),
];

/// IANA's registry of resource record types.
#[rustfmt::skip]
const DNS_RRTYPE: &[NamedValue] = &[
    ("A", 1), ("NS", 2), ("MD", 3), ("MF", 4), ("CNAME", 5), ("SOA", 6), ("MB", 7), ("MG", 8), ("MR", 9), ("NULL", 10),
    ("WKS", 11), ("PTR", 12), ("HINFO", 13), ("MINFO", 14), ("MX", 15), ("TXT", 16), ("RP", 17), ("AFSDB", 18), ("X25", 19),
    ("ISDN", 20), ("RT", 21), ("NSAP", 22), ("NSAPPTR", 23), ("SIG", 24), ("KEY", 25), ("PX", 26), ("GPOS", 27), ("AAAA", 28),
    ("LOC", 29), ("NXT", 30), ("SRV", 33), ("ATMA", 34), ("NAPTR", 35), ("KX", 36), ("CERT", 37), ("A6", 38), ("DNAME", 39),
    ("OPT", 41), ("APL", 42), ("DS", 43), ("SSHFP", 44), ("IPSECKEY", 45), ("RRSIG", 46), ("NSEC", 47), ("DNSKEY", 48),
    ("DHCID", 49), ("NSEC3", 50), ("NSEC3PARAM", 51), ("TLSA", 52), ("HIP", 55), ("CDS", 59), ("CDNSKEY", 60),
    ("HTTPS", 65), ("SPF", 99), ("TKEY", 249), ("TSIG", 250), ("IXFR", 251), ("AXFR", 252), ("MAILA", 254), ("ANY", 255),
    ("URI", 256),
];

/// IANA's registry of assigned protocol numbers; names as in `/etc/protocols`.
#[rustfmt::skip]
const IP_PROTOCOL: &[NamedValue] = &[
    ("ip", 0), ("hopopt", 0), ("icmp", 1), ("igmp", 2), ("ggp", 3), ("ipencap", 4), ("ipip", 4), ("st", 5), ("tcp", 6),
    ("egp", 8), ("igp", 9), ("pup", 12), ("udp", 17), ("hmp", 20), ("xns-idp", 22), ("rdp", 27), ("iso-tp4", 29),
    ("dccp", 33), ("xtp", 36), ("ddp", 37), ("idpr-cmtp", 38), ("ipv6", 41), ("ipv6-route", 43), ("ipv6-frag", 44),
    ("idrp", 45), ("rsvp", 46), ("gre", 47), ("esp", 50), ("ipsec-esp", 50), ("ah", 51), ("ipsec-ah", 51), ("skip", 57),
    ("ipv6-icmp", 58), ("icmpv6", 58), ("ipv6-nonxt", 59), ("ipv6-opts", 60), ("rspf", 73), ("cphb", 73), ("vmtp", 81),
    ("eigrp", 88), ("ospf", 89), ("ospfigp", 89), ("ax.25", 93), ("etherip", 97), ("encap", 98), ("pim", 103),
    ("ipcomp", 108), ("vrrp", 112), ("l2tp", 115), ("isis", 124), ("sctp", 132), ("fc", 133), ("mobility-header", 135),
    ("udplite", 136), ("mpls-in-ip", 137), ("manet", 138), ("hip", 139), ("shim6", 140), ("wesp", 141), ("rohc", 142),
];

/// Option numbers, RFC 791 section 3.1 and IANA's registry.
#[rustfmt::skip]
const IP_OPTIONS: &[NamedValue] = &[
    ("eol", 0), ("nop", 1), ("rr", 7), ("qs", 25), ("ts", 68), ("sec", 130), ("lsrr", 131), ("esec", 133), ("cipso", 134),
    ("satid", 136), ("ssrr", 137), ("rtralt", 148),
];

#[rustfmt::skip]
const MQTT_TYPE: &[NamedValue] = &[
    ("UNASSIGNED", 0), ("CONNECT", 1), ("CONNACK", 2), ("PUBLISH", 3), ("PUBACK", 4), ("PUBREC", 5), ("PUBREL", 6), ("PUBCOMP", 7),
    ("SUBSCRIBE", 8), ("SUBACK", 9), ("UNSUBSCRIBE", 10), ("UNSUBACK", 11), ("PINGREQ", 12), ("PINGRESP", 13),
    ("DISCONNECT", 14), ("AUTH", 15),
];

/// Generic traps (RFC 1157, 4.1.6).
const SNMP_TRAP: &[NamedValue] = &[
    ("coldstart", 0),
    ("warmstart", 1),
    ("linkdown", 2),
    ("linkup", 3),
    ("authenticationfailure", 4),
    ("egpneighborloss", 5),
    ("enterprisespecific", 6),
];

#[rustfmt::skip]
const SNMP_PDU: &[NamedValue] = &[
    ("get_request", 0), ("get_next_request", 1), ("response", 2), ("set_request", 3), ("trap_v1", 4),
    ("get_bulk_request", 5), ("inform_request", 6), ("trap_v2", 7), ("report", 8),
];

/// RFC 9113, section 6.
#[rustfmt::skip]
const HTTP2_FRAME: &[NamedValue] = &[
    ("DATA", 0), ("HEADERS", 1), ("PRIORITY", 2), ("RSTSTREAM", 3), ("SETTINGS", 4), ("PUSHPROMISE", 5), ("PING", 6),
    ("GOAWAY", 7), ("WINDOWUPDATE", 8), ("CONTINUATION", 9),
];

/// RFC 9113, section 7.
#[rustfmt::skip]
const HTTP2_ERROR: &[NamedValue] = &[
    ("NO_ERROR", 0), ("PROTOCOL_ERROR", 1), ("INTERNAL_ERROR", 2), ("FLOW_CONTROL_ERROR", 3), ("SETTINGS_TIMEOUT", 4),
    ("STREAM_CLOSED", 5), ("FRAME_SIZE_ERROR", 6), ("REFUSED_STREAM", 7), ("CANCEL", 8), ("COMPRESSION_ERROR", 9),
    ("CONNECT_ERROR", 10), ("ENHANCE_YOUR_CALM", 11), ("INADEQUATE_SECURITY", 12), ("HTTP_1_1_REQUIRED", 13),
];

#[rustfmt::skip]
const RFB_RESULT: &[NamedValue] = &[("ok", 0), ("fail", 1), ("toomany", 2), ("unknown", 3)];

/// RFC 6455, section 5.2.
#[rustfmt::skip]
const WEBSOCKET_OPCODE: &[NamedValue] = &[("continuation", 0), ("text", 1), ("binary", 2), ("connection_close", 8), ("close", 8), ("ping", 9), ("pong", 10)];

/// RFC 4511, section 4.2 ff: the application tags.
#[rustfmt::skip]
const LDAP_OPERATION: &[NamedValue] = &[
    ("bind_request", 0), ("bind_response", 1), ("unbind_request", 2), ("search_request", 3), ("search_result_entry", 4),
    ("search_result_done", 5), ("modify_request", 6), ("modify_response", 7), ("add_request", 8), ("add_response", 9),
    ("del_request", 10), ("del_response", 11), ("mod_dn_request", 12), ("mod_dn_response", 13), ("compare_request", 14),
    ("compare_response", 15), ("abandon_request", 16), ("search_result_reference", 19), ("extended_request", 23),
    ("extended_response", 24), ("intermediate_response", 25),
];

/// RFC 4511, section 4.1.9.
#[rustfmt::skip]
const LDAP_RESULT: &[NamedValue] = &[
    ("success", 0), ("operations_error", 1), ("protocol_error", 2), ("time_limit_exceeded", 3),
    ("size_limit_exceeded", 4), ("compare_false", 5), ("compare_true", 6), ("auth_method_not_supported", 7),
    ("stronger_auth_required", 8), ("referral", 10), ("admin_limit_exceeded", 11),
    ("unavailable_critical_extension", 12), ("confidentiality_required", 13), ("sasl_bind_in_progress", 14),
    ("no_such_attribute", 16), ("undefined_attribute_type", 17), ("inappropriate_matching", 18),
    ("constraint_violation", 19), ("attribute_or_value_exists", 20), ("invalid_attribute_syntax", 21),
    ("no_such_object", 32), ("alias_problem", 33), ("invalid_dns_syntax", 34), ("alias_dereferencing_problem", 36),
    ("inappropriate_authentication", 48), ("invalid_credentials", 49), ("insufficient_access_rights", 50), ("busy", 51),
    ("unavailable", 52), ("unwilling_to_perform", 53), ("loop_detect", 54), ("naming_violation", 64),
    ("object_class_violation", 65), ("not_allowed_on_non_leaf", 66), ("not_allowed_on_rdn", 67),
    ("entry_already_exists", 68), ("object_class_mods_prohibited", 69), ("results_too_large", 70), ("affects_multiple_dsas", 71), ("other", 80),
    ("is_leaf", 35), ("canceled", 118), ("no_such_operation", 119), ("too_late", 120), ("cannot_cancel", 121),
    ("assertion_failed", 122), ("authorization_denied", 123), ("e_sync_refresh_required", 4096), ("no_operation", 16_654),
];

/// IEEE 1815, table 4-1.
#[rustfmt::skip]
const DNP3_FUNCTION: &[NamedValue] = &[
    ("confirm", 0), ("read", 1), ("write", 2), ("select", 3), ("operate", 4), ("direct_operate", 5),
    ("direct_operate_nr", 6), ("immed_freeze", 7), ("immed_freeze_nr", 8), ("freeze_clear", 9), ("freeze_clear_nr", 10),
    ("freeze_at_time", 11), ("freeze_at_time_nr", 12), ("cold_restart", 13), ("warm_restart", 14),
    ("initialize_data", 15), ("initialize_appl", 16), ("start_appl", 17), ("stop_appl", 18), ("save_config", 19),
    ("enable_unsolicited", 20), ("disable_unsolicited", 21), ("assign_class", 22), ("delay_measure", 23),
    ("record_current_time", 24), ("open_file", 25), ("close_file", 26), ("delete_file", 27), ("get_file_info", 28),
    ("authenticate_file", 29), ("abort_file", 30), ("activate_config", 31), ("authenticate_req", 32),
    ("authenticate_err", 33), ("response", 129), ("unsolicited_resp", 130), ("authenticate_resp", 131),
];

/// CIP Networks Library volume 2, table 2-3.2.
#[rustfmt::skip]
const ENIP_COMMAND: &[NamedValue] = &[
    ("nop", 0), ("list_services", 4), ("list_identity", 99), ("list_interfaces", 100), ("register_session", 101),
    ("unregister_session", 102), ("send_rr_data", 111), ("send_unit_data", 112), ("indicate_status", 114), ("cancel", 115),
];

/// CIP Networks Library volume 2, table 2-3.3.
#[rustfmt::skip]
const ENIP_STATUS: &[NamedValue] = &[
    ("success", 0), ("invalid_cmd", 1), ("no_resources", 2), ("incorrect_data", 3), ("invalid_session", 100),
    ("invalid_length", 101), ("unsupported_protocol_revision", 105), ("unsupported_prot_rev", 105), ("encapsulation_header_error", 106),
];

/// RFC 5905, figure 10.
#[rustfmt::skip]
const NTP_MODE: &[NamedValue] = &[
    ("reserved", 0), ("symmetric_active", 1), ("symmetric_passive", 2), ("client", 3), ("server", 4), ("broadcast", 5),
    ("control", 6), ("private", 7),
];

/// IANA's registry of Kerberos encryption types; those below zero (RFC 4757 and private use) as their two's complement.
#[rustfmt::skip]
const KERBEROS_ENCRYPTION: &[NamedValue] = &[
    ("des-cbc-crc", 1), ("des-cbc-md4", 2), ("des-cbc-md5", 3), ("des3-cbc-md5", 5), ("des3-cbc-sha1", 7),
    ("dsawithsha1-cmsoid", 9), ("md5withrsaencryption-cmsoid", 10), ("sha1withrsaencryption-cmsoid", 11),
    ("rc2cbc-envoid", 12), ("rsaencryption-envoid", 13), ("rsaes-oaep-env-oid", 14), ("des-ede3-cbc-env-oid", 15),
    ("des3-cbc-sha1-kd", 16), ("aes128-cts-hmac-sha1-96", 17), ("aes256-cts-hmac-sha1-96", 18),
    ("aes128-cts-hmac-sha256-128", 19), ("aes256-cts-hmac-sha384-192", 20), ("rc4-hmac", 23), ("rc4-hmac-exp", 24),
    ("camellia128-cts-cmac", 25), ("camellia256-cts-cmac", 26), ("subkey-keymaterial", 65),
    ("rc4-md4", -128i64 as u64), ("rc4-plain2", -129i64 as u64), ("rc4-lm", -130i64 as u64), ("rc4-sha", -131i64 as u64),
    ("des-plain", -132i64 as u64), ("rc4-hmac-old", -133i64 as u64), ("rc4-plain-old", -134i64 as u64),
    ("rc4-hmac-old-exp", -135i64 as u64), ("rc4-plain-old-exp", -136i64 as u64), ("rc4-plain", -140i64 as u64),
    ("rc4-plain-exp", -141i64 as u64),
];

/// RFC 959 section 4.1.3, RFC 3659: commands that use a data connection.
const FTP_DATA_COMMAND: &[NamedValue] = &[("stor", 0), ("retr", 1), ("list", 2), ("nlst", 3), ("mlsd", 4), ("appe", 5)];
