//! Names of numbers that clients send, as records write them.

/// Releases of Windows by the build number of their client.
const BUILDS: [(u32, &str); 21] = [
    (528, "Windows NT 3.1"),
    (807, "Windows NT 3.5"),
    (1057, "Windows NT 3.51"),
    (1381, "Windows NT 4.0"),
    (2195, "Windows 2000"),
    (2600, "Windows XP"),
    (3790, "Windows Server 2003"),
    (6000, "Windows Vista RTM"),
    (6001, "Windows Vista SP1"),
    (6002, "Windows Vista SP2"),
    (7600, "Windows 7 RTM"),
    (7601, "Windows 7 SP1"),
    (9200, "Windows 8"),
    (9600, "Windows 8.1"),
    (10240, "Windows 10 TH1"),
    (10586, "Windows 10 TH2"),
    (14393, "Windows 10 RS1"),
    (15063, "Windows 10 RS2"),
    (16299, "Windows 10 RS3"),
    (17134, "Windows 10 RS4"),
    (17763, "Windows 10 RS5"),
];

/// Keyboard layouts by language identifier (MS-LCID section 2.2).
#[rustfmt::skip]
const LAYOUTS: [(u16, &str); 449] = [
    (0x1, "ar"), (0x2, "bg"), (0x3, "ca"), (0x4, "zh-Hans"), (0x5, "cs"), (0x6, "da"), (0x7, "de"), (0x8, "el"),
    (0x9, "en"), (0xa, "es"), (0xb, "fi"), (0xc, "fr"), (0xd, "he"), (0xe, "hu"), (0xf, "is"), (0x10, "it"),
    (0x11, "ja"), (0x12, "ko"), (0x13, "nl"), (0x14, "no"), (0x15, "pl"), (0x16, "pt"), (0x17, "rm"), (0x18, "ro"),
    (0x19, "ru"), (0x1a, "hr"), (0x1b, "sk"), (0x1c, "sq"), (0x1d, "sv"), (0x1e, "th"), (0x1f, "tr"), (0x20, "ur"),
    (0x21, "id"), (0x22, "uk"), (0x23, "be"), (0x24, "sl"), (0x25, "et"), (0x26, "lv"), (0x27, "lt"), (0x28, "tg"),
    (0x29, "fa"), (0x2a, "vi"), (0x2b, "hy"), (0x2c, "az"), (0x2d, "eu"), (0x2e, "hsb"), (0x2f, "mk"), (0x30, "st"),
    (0x31, "ts"), (0x32, "tn"), (0x33, "ve"), (0x34, "xh"), (0x35, "zu"), (0x36, "af"), (0x37, "ka"), (0x38, "fo"),
    (0x39, "hi"), (0x3a, "mt"), (0x3b, "se"), (0x3c, "ga"), (0x3d, "yi"), (0x3e, "ms"), (0x3f, "kk"), (0x40, "ky"),
    (0x41, "sw"), (0x42, "tk"), (0x43, "uz"), (0x44, "tt"), (0x45, "bn"), (0x46, "pa"), (0x47, "gu"), (0x48, "or"),
    (0x49, "ta"), (0x4a, "te"), (0x4b, "kn"), (0x4c, "ml"), (0x4d, "as"), (0x4e, "mr"), (0x4f, "sa"), (0x50, "mn"),
    (0x51, "bo"), (0x52, "cy"), (0x53, "km"), (0x54, "lo"), (0x55, "my"), (0x56, "gl"), (0x57, "kok"), (0x58, "mni"),
    (0x59, "sd"), (0x5a, "syr"), (0x5b, "si"), (0x5c, "chr"), (0x5d, "iu"), (0x5e, "am"), (0x5f, "tzm"), (0x60, "ks"),
    (0x61, "ne"), (0x62, "fy"), (0x63, "ps"), (0x64, "fil"), (0x65, "dv"), (0x66, "bin"), (0x67, "ff"), (0x68, "ha"),
    (0x69, "ibb"), (0x6a, "yo"), (0x6b, "quz"), (0x6c, "nso"), (0x6d, "ba"), (0x6e, "lb"), (0x6f, "kl"), (0x70, "ig"),
    (0x71, "kr"), (0x72, "om"), (0x73, "ti"), (0x74, "gn"), (0x75, "haw"), (0x76, "la"), (0x77, "so"), (0x78, "ii"),
    (0x79, "pap"), (0x7a, "arn"), (0x7c, "moh"), (0x7e, "br"), (0x80, "ug"), (0x81, "mi"), (0x82, "oc"), (0x83, "co"),
    (0x84, "gsw"), (0x85, "sah"), (0x86, "qut"), (0x87, "rw"), (0x88, "wo"), (0x8c, "prs"), (0x91, "gd"), (0x92, "ku"),
    (0x93, "quc"), (0x401, "ar-SA"), (0x402, "bg-BG"), (0x403, "ca-ES"), (0x404, "zh-TW"), (0x405, "cs-CZ"),
    (0x406, "da-DK"), (0x407, "de-DE"), (0x408, "el-GR"), (0x409, "en-US"), (0x40a, "es-ES_tradnl"), (0x40b, "fi-FI"),
    (0x40c, "fr-FR"), (0x40d, "he-IL"), (0x40e, "hu-HU"), (0x40f, "is-IS"), (0x410, "it-IT"), (0x411, "ja-JP"),
    (0x412, "ko-KR"), (0x413, "nl-NL"), (0x414, "nb-NO"), (0x415, "pl-PL"), (0x416, "pt-BR"), (0x417, "rm-CH"),
    (0x418, "ro-RO"), (0x419, "ru-RU"), (0x41a, "hr-HR"), (0x41b, "sk-SK"), (0x41c, "sq-AL"), (0x41d, "sv-SE"),
    (0x41e, "th-TH"), (0x41f, "tr-TR"), (0x420, "ur-PK"), (0x421, "id-ID"), (0x422, "uk-UA"), (0x423, "be-BY"),
    (0x424, "sl-SI"), (0x425, "et-EE"), (0x426, "lv-LV"), (0x427, "lt-LT"), (0x428, "tg-Cyrl-TJ"), (0x429, "fa-IR"),
    (0x42a, "vi-VN"), (0x42b, "hy-AM"), (0x42c, "az-Latn-AZ"), (0x42d, "eu-ES"), (0x42e, "hsb-DE"), (0x42f, "mk-MK"),
    (0x430, "st-ZA"), (0x431, "ts-ZA"), (0x432, "tn-ZA"), (0x433, "ve-ZA"), (0x434, "xh-ZA"), (0x435, "zu-ZA"),
    (0x436, "af-ZA"), (0x437, "ka-GE"), (0x438, "fo-FO"), (0x439, "hi-IN"), (0x43a, "mt-MT"), (0x43b, "se-NO"),
    (0x43d, "yi-Hebr"), (0x43e, "ms-MY"), (0x43f, "kk-KZ"), (0x440, "ky-KG"), (0x441, "sw-KE"), (0x442, "tk-TM"),
    (0x443, "uz-Latn-UZ"), (0x444, "tt-RU"), (0x445, "bn-IN"), (0x446, "pa-IN"), (0x447, "gu-IN"), (0x448, "or-IN"),
    (0x449, "ta-IN"), (0x44a, "te-IN"), (0x44b, "kn-IN"), (0x44c, "ml-IN"), (0x44d, "as-IN"), (0x44e, "mr-IN"),
    (0x44f, "sa-IN"), (0x450, "mn-MN"), (0x451, "bo-CN"), (0x452, "cy-GB"), (0x453, "km-KH"), (0x454, "lo-LA"),
    (0x455, "my-MM"), (0x456, "gl-ES"), (0x457, "kok-IN"), (0x458, "mni-IN"), (0x459, "sd-Deva-IN"), (0x45a, "syr-SY"),
    (0x45b, "si-LK"), (0x45c, "chr-Cher-US"), (0x45d, "iu-Cans-CA"), (0x45e, "am-ET"), (0x45f, "tzm-Arab-MA"),
    (0x460, "ks-Arab"), (0x461, "ne-NP"), (0x462, "fy-NL"), (0x463, "ps-AF"), (0x464, "fil-PH"), (0x465, "dv-MV"),
    (0x466, "bin-NG"), (0x467, "fuv-NG"), (0x468, "ha-Latn-NG"), (0x469, "ibb-NG"), (0x46a, "yo-NG"),
    (0x46b, "quz-BO"), (0x46c, "nso-ZA"), (0x46d, "ba-RU"), (0x46e, "lb-LU"), (0x46f, "kl-GL"), (0x470, "ig-NG"),
    (0x471, "kr-NG"), (0x472, "om-ET"), (0x473, "ti-ET"), (0x474, "gn-PY"), (0x475, "haw-US"), (0x476, "la-Latn"),
    (0x477, "so-SO"), (0x478, "ii-CN"), (0x479, "pap-029"), (0x47a, "arn-CL"), (0x47c, "moh-CA"), (0x47e, "br-FR"),
    (0x480, "ug-CN"), (0x481, "mi-NZ"), (0x482, "oc-FR"), (0x483, "co-FR"), (0x484, "gsw-FR"), (0x485, "sah-RU"),
    (0x486, "qut-GT"), (0x487, "rw-RW"), (0x488, "wo-SN"), (0x48c, "prs-AF"), (0x48d, "plt-MG"), (0x48e, "zh-yue-HK"),
    (0x48f, "tdd-Tale-CN"), (0x490, "khb-Talu-CN"), (0x491, "gd-GB"), (0x492, "ku-Arab-IQ"), (0x493, "quc-CO"),
    (0x501, "qps-ploc"), (0x5fe, "qps-ploca"), (0x801, "ar-IQ"), (0x803, "ca-ES-valencia"), (0x804, "zh-CN"),
    (0x807, "de-CH"), (0x809, "en-GB"), (0x80a, "es-MX"), (0x80c, "fr-BE"), (0x810, "it-CH"), (0x811, "ja-Ploc-JP"),
    (0x813, "nl-BE"), (0x814, "nn-NO"), (0x816, "pt-PT"), (0x818, "ro-MD"), (0x819, "ru-MD"), (0x81a, "sr-Latn-CS"),
    (0x81d, "sv-FI"), (0x820, "ur-IN"), (0x82c, "az-Cyrl-AZ"), (0x82e, "dsb-DE"), (0x832, "tn-BW"), (0x83b, "se-SE"),
    (0x83c, "ga-IE"), (0x83e, "ms-BN"), (0x843, "uz-Cyrl-UZ"), (0x845, "bn-BD"), (0x846, "pa-Arab-PK"),
    (0x849, "ta-LK"), (0x850, "mn-Mong-CN"), (0x851, "bo-BT"), (0x859, "sd-Arab-PK"), (0x85d, "iu-Latn-CA"),
    (0x85f, "tzm-Latn-DZ"), (0x860, "ks-Deva"), (0x861, "ne-IN"), (0x867, "ff-Latn-SN"), (0x86b, "quz-EC"),
    (0x873, "ti-ER"), (0x9ff, "qps-plocm"), (0xc01, "ar-EG"), (0xc04, "zh-HK"), (0xc07, "de-AT"), (0xc09, "en-AU"),
    (0xc0a, "es-ES"), (0xc0c, "fr-CA"), (0xc1a, "sr-Cyrl-CS"), (0xc3b, "se-FI"), (0xc50, "mn-Mong-MN"),
    (0xc51, "dz-BT"), (0xc5f, "tmz-MA"), (0xc6b, "quz-PE"), (0x1001, "ar-LY"), (0x1004, "zh-SG"), (0x1007, "de-LU"),
    (0x1009, "en-CA"), (0x100a, "es-GT"), (0x100c, "fr-CH"), (0x101a, "hr-BA"), (0x103b, "smj-NO"),
    (0x105f, "tzm-Tfng-MA"), (0x1401, "ar-DZ"), (0x1404, "zh-MO"), (0x1407, "de-LI"), (0x1409, "en-NZ"),
    (0x140a, "es-CR"), (0x140c, "fr-LU"), (0x141a, "bs-Latn-BA"), (0x143b, "smj-SE"), (0x1801, "ar-MA"),
    (0x1809, "en-IE"), (0x180a, "es-PA"), (0x180c, "fr-MC"), (0x181a, "sr-Latn-BA"), (0x183b, "sma-NO"),
    (0x1c01, "ar-TN"), (0x1c09, "en-ZA"), (0x1c0a, "es-DO"), (0x1c1a, "sr-Cyrl-BA"), (0x1c3b, "sma-SE"),
    (0x2001, "ar-OM"), (0x2009, "en-JM"), (0x200a, "es-VE"), (0x200c, "fr-RE"), (0x201a, "bs-Cyrl-BA"),
    (0x203b, "sms-FI"), (0x2401, "ar-YE"), (0x2409, "en-029"), (0x240a, "es-CO"), (0x240c, "fr-CD"),
    (0x241a, "sr-Latn-RS"), (0x243b, "smn-FI"), (0x2801, "ar-SY"), (0x2809, "en-BZ"), (0x280a, "es-PE"),
    (0x280c, "fr-SN"), (0x281a, "sr-Cyrl-RS"), (0x2c01, "ar-JO"), (0x2c09, "en-TT"), (0x2c0a, "es-AR"),
    (0x2c0c, "fr-CM"), (0x2c1a, "sr-Latn-ME"), (0x3001, "ar-LB"), (0x3009, "en-ZW"), (0x300a, "es-EC"),
    (0x300c, "fr-CI"), (0x301a, "sr-Cyrl-ME"), (0x3401, "ar-KW"), (0x3409, "en-PH"), (0x340a, "es-CL"),
    (0x340c, "fr-ML"), (0x3801, "ar-AE"), (0x3809, "en-ID"), (0x380a, "es-UY"), (0x380c, "fr-MA"), (0x3c01, "ar-BH"),
    (0x3c09, "en-HK"), (0x3c0a, "es-PY"), (0x3c0c, "fr-HT"), (0x4001, "ar-QA"), (0x4009, "en-IN"), (0x400a, "es-BO"),
    (0x4401, "ar-Ploc-SA"), (0x4409, "en-MY"), (0x440a, "es-SV"), (0x4801, "ar-145"), (0x4809, "en-SG"),
    (0x480a, "es-HN"), (0x4c09, "en-AE"), (0x4c0a, "es-NI"), (0x5009, "en-BH"), (0x500a, "es-PR"), (0x5409, "en-EG"),
    (0x540a, "es-US"), (0x5809, "en-JO"), (0x580a, "es-419"), (0x5c09, "en-KW"), (0x5c0a, "es-CU"), (0x6009, "en-TR"),
    (0x6409, "en-YE"), (0x641a, "bs-Cyrl"), (0x681a, "bs-Latn"), (0x6c1a, "sr-Cyrl"), (0x701a, "sr-Latn"),
    (0x703b, "smn"), (0x742c, "az-Cyrl"), (0x743b, "sms"), (0x7804, "zh"), (0x7814, "nn"), (0x781a, "bs"),
    (0x782c, "az-Latn"), (0x783b, "sma"), (0x7843, "uz-Cyrl"), (0x7850, "mn-Cyrl"), (0x785d, "iu-Cans"),
    (0x785f, "tzm-Tfng"), (0x7c04, "zh-Hant"), (0x7c14, "nb"), (0x7c1a, "sr"), (0x7c28, "tg-Cyrl"), (0x7c2e, "dsb"),
    (0x7c3b, "smj"), (0x7c43, "uz-Latn"), (0x7c46, "pa-Arab"), (0x7c50, "mn-Mong"), (0x7c59, "sd-Arab"),
    (0x7c5c, "chr-Cher"), (0x7c5d, "iu-Latn"), (0x7c5f, "tzm-Latn"), (0x7c67, "ff-Latn"), (0x7c68, "ha-Latn"),
    (0x7c92, "ku-Arab"),];

/// Release of Windows.
pub(super) fn build(number: u32) -> &'static str {
    BUILDS.iter().find(|(n, _)| *n == number).map_or("unknown", |(_, name)| name)
}

/// Keyboard layout.
pub(super) fn layout(number: u32) -> &'static str {
    let at = u16::try_from(number).ok().and_then(|n| LAYOUTS.binary_search_by_key(&n, |(n, _)| *n).ok());
    at.and_then(|at| LAYOUTS.get(at)).map_or("unknown", |(_, name)| name)
}

/// Version of the protocol (MS-RDPBCGR section 2.2.1.3.2, `version`).
pub(super) fn version(number: u32) -> &'static str {
    match number {
        0x0008_0001 => "v4",
        0x0008_0004 => "v5",
        0x0008_0005 => "v10.0",
        0x0008_0006 => "v10.1",
        0x0008_0007 => "v10.2",
        0x0008_0008 => "v10.3",
        0x0008_0009 => "v10.4",
        0x0008_000a => "v10.5",
        0x0008_000b => "v10.6",
        0x0008_000c => "v10.7",
        _ => "unknown",
    }
}

/// Kinds of keyboards, from 1.
pub(super) const KEYBOARDS: [&str; 7] = ["xt", "ico", "at", "enhanced", "1050", "9140", "jp"];
/// Kinds of connections, from 1.
pub(super) const CONNECTIONS: [&str; 7] =
    ["modem", "low_broadband", "satellite", "high_broadband", "wan", "lan", "autodetect"];
/// Early capabilities, from bit 0.
pub(super) const CAPABILITIES: [&str; 11] = [
    "support_errinfo_pdf", "want_32bpp_session", "support_statusinfo_pdu", "strong_asymmetric_keys", "",
    "valid_connection_type", "support_monitor_layout_pdu", "support_netchar_autodetect", "support_dynvc_gfx_protocol",
    "support_dynamic_time_zone", "support_heartbeat_pdu",
];
/// Flags of a request, from bit 0; one bit has no name.
pub(super) const REQUEST_FLAGS: [&str; 4] =
    ["restricted_admin_mode_required", "redirected_authentication_mode_required", "", "correlation_info_present"];
/// Flags of an answer, from bit 0.
pub(super) const ANSWER_FLAGS: [&str; 5] =
    ["extended_client_data", "dynvc_gfx", "", "restricted_admin", "redirected_authentication"];
/// Reasons of a refusal, from 1.
pub(super) const REFUSALS: [&str; 6] = [
    "ssl required by server", "ssl not allowed by server", "ssl cert not on server", "inconsistent flags",
    "hybrid required by server", "ssl with user auth required by server",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        assert!(LAYOUTS.is_sorted_by_key(|(n, _)| *n));
        assert_eq!((layout(0x409), layout(0x1_0409), layout(0)), ("en-US", "unknown", "unknown"));
        assert_eq!((build(2600), build(1), version(0x8_0004)), ("Windows XP", "unknown", "v5"));
    }
}
