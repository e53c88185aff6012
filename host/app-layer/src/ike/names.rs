//! Names of numbers, as Suricata's logs have them.

/// Payloads of IKE 1 (RFC 2408 section 3.1, RFC 3947).
pub fn payload_v1(kind: u8) -> String {
    let name = match kind {
        0 => "NoNextPayload",
        1 => "SecurityAssociation",
        2 => "Proposal",
        3 => "Transform",
        4 => "KeyExchange",
        5 => "Identification",
        6 => "Certificate",
        7 => "CertificateRequest",
        8 => "Hash",
        9 => "Signature",
        10 => "Nonce",
        11 => "Notification",
        12 => "Delete",
        13 => "VendorID",
        15 => "SaKekPayload",
        16 => "SaTekPayload",
        17 => "KeyDownload",
        18 => "SequenceNumber",
        19 => "ProofOfPossession",
        20 => "NatDiscovery",
        21 => "NatOriginalAddress",
        22 => "GroupAssociatedPolicy",
        n => return format!("Unknown-{n}"),
    };
    name.to_owned()
}

/// Payloads of IKE 2 (RFC 7296 section 3.2).
pub fn payload_v2(kind: u8) -> String {
    let name = match kind {
        0 => "NoNextPayload",
        33 => "SecurityAssociation",
        34 => "KeyExchange",
        35 => "IdentInitiator",
        36 => "IdentResponder",
        37 => "Certificate",
        38 => "CertificateRequest",
        39 => "Authentication",
        40 => "Nonce",
        41 => "Notify",
        42 => "Delete",
        43 => "VendorID",
        44 => "TrafficSelectorInitiator",
        45 => "TrafficSelectorResponder",
        46 => "EncryptedAndAuthenticated",
        47 => "Configuration",
        48 => "ExtensibleAuthentication",
        n => return format!("Unknown-{n}"),
    };
    name.to_owned()
}

/// Exchanges (RFC 2408 section 3.1, RFC 7296 section 3.1).
pub fn exchange(kind: u8) -> &'static str {
    match kind {
        0 => "None",
        1 => "Base",
        2 => "Identity Protection",
        3 => "Authentication Only",
        4 => "Aggressive",
        5 => "Informational",
        6 => "Transaction (Config Mode)",
        32 => "Quick Mode",
        33 => "New Group Mode",
        34 => "IKE_SA_INIT",
        35 => "IKE_AUTH",
        36 => "CREATE_CHILD_SA",
        37 => "INFORMATIONAL",
        38 => "IKE_SESSION_RESUME",
        _ => "Unknown",
    }
}

/// Attributes of IKE 1 (RFC 2409 appendix A): name, and name of the value.
pub fn attribute(kind: u16, value: u64) -> Option<(&'static str, &'static str)> {
    const UNKNOWN: &str = "Unknown";
    Some(match kind {
        1 => ("alg_enc", match value {
            1 => "EncDesCbc",
            2 => "EncIdeaCbc",
            3 => "EncBlowfishCbc",
            4 => "EncRc5R16B64Cbc",
            5 => "EncTripleDesCbc",
            6 => "EncCastCbc",
            7 => "EncAesCbc",
            8 => "EncCamelliaCbc",
            _ => UNKNOWN,
        }),
        2 => ("alg_hash", match value {
            1 => "HashMd5",
            2 => "HashSha",
            3 => "HashTiger",
            4 => "HashSha2_256",
            5 => "HashSha2_384",
            6 => "HashSha2_512",
            _ => UNKNOWN,
        }),
        3 => ("alg_auth", match value {
            1 => "AuthPreSharedKey",
            2 => "AuthDssSignatures",
            3 => "AuthRsaSignatures",
            4 => "AuthEncryptionWithRsa",
            5 => "AuthRevisedEncryptionWithRsa",
            9 => "AuthEcdsaSha256",
            10 => "AuthEcdsaSha384",
            11 => "AuthEcdsaSha512",
            _ => UNKNOWN,
        }),
        4 => ("alg_dh", match value {
            1 => "GroupDefault768BitModp",
            2 => "GroupAlternate1024BitModpGroup",
            3 => "GroupEc2nOnGp2p155",
            4 => "GroupEc2nOnGp2p185",
            5 => "GroupModp1536Bit",
            14 => "GroupModp2048Bit",
            15 => "GroupModp3072Bit",
            16 => "GroupModp4096Bit",
            17 => "GroupModp6144Bit",
            18 => "GroupModp8192Bit",
            19 => "GroupRandomEcp256Bit",
            20 => "GroupRandomEcp384Bit",
            21 => "GroupRandomEcp521Bit",
            22 => "GroupModp1024BitWith160BitPrime",
            23 => "GroupModp2048BitWith224BitPrime",
            24 => "GroupModp2048BitWith256BitPrime",
            25 => "GroupRandomEcp192Bit",
            26 => "GroupRandomEcp224Bit",
            27 => "GroupBrainpoolP224r1",
            28 => "GroupBrainpoolP256r1",
            29 => "GroupBrainpoolP384r1",
            30 => "GroupBrainpoolP512r1",
            _ => UNKNOWN,
        }),
        5 => ("sa_group_type", match value {
            1 => "GroupTypeModp",
            2 => "GroupTypeEcp",
            3 => "GroupTypeEc2n",
            _ => UNKNOWN,
        }),
        11 => ("sa_life_type", match value {
            1 => "LifeTypeSeconds",
            2 => "LifeTypeKilobytes",
            _ => UNKNOWN,
        }),
        12 => ("sa_life_duration", UNKNOWN),
        13 => ("alg_prf", UNKNOWN),
        14 => ("sa_key_length", UNKNOWN),
        15 => ("sa_field_size", UNKNOWN),
        _ => return None,
    })
}

/// Encryption algorithms of IKE 2 (IANA's registry of transform type 1).
pub fn encryption(id: u16) -> String {
    let name = match id {
        1 => "ENCR_DES_IV64",
        2 => "ENCR_DES",
        3 => "ENCR_3DES",
        4 => "ENCR_RC5",
        5 => "ENCR_IDEA",
        6 => "ENCR_CAST",
        7 => "ENCR_BLOWFISH",
        8 => "ENCR_3IDEA",
        9 => "ENCR_DES_IV32",
        11 => "ENCR_NULL",
        12 => "ENCR_AES_CBC",
        13 => "ENCR_AES_CTR",
        14 => "ENCR_AES_CCM_8",
        15 => "ENCR_AES_CCM_12",
        16 => "ENCR_AES_CCM_16",
        18 => "ENCR_AES_GCM_8",
        19 => "ENCR_AES_GCM_12",
        20 => "ENCR_AES_GCM_16",
        21 => "ENCR_NULL_AUTH_AES_GMAC",
        23 => "ENCR_CAMELLIA_CBC",
        24 => "ENCR_CAMELLIA_CTR",
        25 => "ENCR_CAMELLIA_CCM_8",
        26 => "ENCR_CAMELLIA_CCM_12",
        27 => "ENCR_CAMELLIA_CCM_16",
        28 => "ENCR_CHACHA20_POLY1305",
        n => return format!("Unknown-{n}"),
    };
    name.to_owned()
}

/// Pseudo-random functions (transform type 2).
pub fn prf(id: u16) -> String {
    let name = match id {
        0 => "PRF_NULL",
        1 => "PRF_HMAC_MD5",
        2 => "PRF_HMAC_SHA1",
        3 => "PRF_HMAC_TIGER",
        4 => "PRF_AES128_XCBC",
        5 => "PRF_HMAC_SHA2_256",
        6 => "PRF_HMAC_SHA2_384",
        7 => "PRF_HMAC_SHA2_512",
        8 => "PRF_AES128_CMAC",
        n => return format!("Unknown-{n}"),
    };
    name.to_owned()
}

/// Integrity algorithms (transform type 3).
pub fn integrity(id: u16) -> String {
    let name = match id {
        0 => "NONE",
        1 => "AUTH_HMAC_MD5_96",
        2 => "AUTH_HMAC_SHA1_96",
        3 => "AUTH_DES_MAC",
        4 => "AUTH_KPDK_MD5",
        5 => "AUTH_AES_XCBC_96",
        6 => "AUTH_HMAC_MD5_128",
        7 => "AUTH_HMAC_SHA1_160",
        8 => "AUTH_AES_CMAC_96",
        9 => "AUTH_AES_128_GMAC",
        10 => "AUTH_AES_192_GMAC",
        11 => "AUTH_AES_256_GMAC",
        12 => "AUTH_HMAC_SHA2_256_128",
        13 => "AUTH_HMAC_SHA2_384_192",
        14 => "AUTH_HMAC_SHA2_512_256",
        n => return format!("Unknown-{n}"),
    };
    name.to_owned()
}

/// Groups of key exchange (transform type 4).
pub fn group(id: u16) -> String {
    let name = match id {
        0 => "None",
        1 => "Modp768",
        2 => "Modp1024",
        5 => "Modp1536",
        14 => "Modp2048",
        15 => "Modp3072",
        16 => "Modp4096",
        17 => "Modp6144",
        18 => "Modp8192",
        19 => "Ecp256",
        20 => "Ecp384",
        21 => "Ecp521",
        22 => "Modp1024s160",
        23 => "Modp2048s224",
        24 => "Modp2048s256",
        25 => "Ecp192",
        26 => "Ecp224",
        27 => "BrainpoolP224r1",
        28 => "BrainpoolP256r1",
        29 => "BrainpoolP384r1",
        30 => "BrainpoolP512r1",
        31 => "Curve25519",
        32 => "Curve448",
        n => return format!("Unknown-{n}"),
    };
    name.to_owned()
}

/// Extended sequence numbers (transform type 5).
pub fn sequence(id: u16) -> String {
    match id {
        0 => "NoESN".to_owned(),
        1 => "ESN".to_owned(),
        n => format!("Unknown-{n}"),
    }
}

/// Notifications (RFC 7296 section 3.10.1, and IANA's registry).
pub fn notification(kind: u16) -> String {
    let name = match kind {
        1 => "UNSUPPORTED_CRITICAL_PAYLOAD",
        4 => "INVALID_IKE_SPI",
        5 => "INVALID_MAJOR_VERSION",
        7 => "INVALID_SYNTAX",
        9 => "INVALID_MESSAGE_ID",
        11 => "INVALID_SPI",
        14 => "NO_PROPOSAL_CHOSEN",
        17 => "INVALID_KE_PAYLOAD",
        24 => "AUTHENTICATION_FAILED",
        34 => "SINGLE_PAIR_REQUIRED",
        35 => "NO_ADDITIONAL_SAS",
        36 => "INTERNAL_ADDRESS_FAILURE",
        37 => "FAILED_CP_REQUIRED",
        38 => "TS_UNACCEPTABLE",
        39 => "INVALID_SELECTORS",
        43 => "TEMPORARY_FAILURE",
        44 => "CHILD_SA_NOT_FOUND",
        16384 => "INITIAL_CONTACT",
        16385 => "SET_WINDOW_SIZE",
        16386 => "ADDITIONAL_TS_POSSIBLE",
        16387 => "IPCOMP_SUPPORTED",
        16388 => "NAT_DETECTION_SOURCE_IP",
        16389 => "NAT_DETECTION_DESTINATION_IP",
        16390 => "COOKIE",
        16391 => "USE_TRANSPORT_MODE",
        16392 => "HTTP_CERT_LOOKUP_SUPPORTED",
        16393 => "REKEY_SA",
        16394 => "ESP_TFC_PADDING_NOT_SUPPORTED",
        16395 => "NON_FIRST_FRAGMENTS_ALSO",
        16396 => "MOBIKE_SUPPORTED",
        16404 => "MULTIPLE_AUTH_SUPPORTED",
        16406 => "REDIRECT_SUPPORTED",
        16430 => "IKEV2_FRAGMENTATION_SUPPORTED",
        16431 => "SIGNATURE_HASH_ALGORITHMS",
        n => return format!("Unknown-{n}"),
    };
    name.to_owned()
}
