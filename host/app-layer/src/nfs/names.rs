//! Names of numbers, as Suricata's logs have them.

const V2: [&str; 18] = [
    "NULL", "GETATTR", "SETATTR", "ROOT", "LOOKUP", "READLINK", "READ", "WRITECACHE", "WRITE", "CREATE", "REMOVE", "RENAME",
    "LINK", "SYMLINK", "MKDIR", "RMDIR", "READDIR", "STATFS",
];
const V3: [&str; 22] = [
    "NULL", "GETATTR", "SETATTR", "LOOKUP", "ACCESS", "READLINK", "READ", "WRITE", "CREATE", "MKDIR", "SYMLINK", "MKNOD", "REMOVE",
    "RMDIR", "RENAME", "LINK", "READDIR", "READDIRPLUS", "FSSTAT", "FSINFO", "PATHCONF", "COMMIT",
];

/// Name of a procedure; of version 4 of the operation.
pub fn procedure(version: u32, number: u32) -> String {
    let known = match (version, number) {
        (2, n) => V2.get(n as usize).copied(),
        (3, n) => V3.get(n as usize).copied(),
        (_, 25) => Some("READ"),
        (_, 38) => Some("WRITE"),
        _ => None,
    };
    known.map_or_else(|| number.to_string(), str::to_owned)
}

/// Name of a status (RFC 1813 section 2.6, RFC 7530 section 13.1).
pub fn status(code: u32) -> String {
    let name = match code {
        0 => "OK",
        1 => "ERR_PERM",
        2 => "ERR_NOENT",
        5 => "ERR_IO",
        6 => "ERR_NXIO",
        13 => "ERR_ACCES",
        17 => "ERR_EXIST",
        18 => "ERR_XDEV",
        19 => "ERR_NODEV",
        20 => "ERR_NOTDIR",
        21 => "ERR_ISDIR",
        22 => "ERR_INVAL",
        27 => "ERR_FBIG",
        28 => "ERR_NOSPC",
        30 => "ERR_ROFS",
        31 => "ERR_MLINK",
        63 => "ERR_NAMETOOLONG",
        66 => "ERR_NOTEMPTY",
        69 => "ERR_DQUOT",
        70 => "ERR_STALE",
        71 => "ERR_REMOTE",
        10_001 => "ERR_BADHANDLE",
        10_002 => "ERR_NOT_SYNC",
        10_003 => "ERR_BAD_COOKIE",
        10_004 => "ERR_NOTSUPP",
        10_005 => "ERR_TOOSMALL",
        10_006 => "ERR_SERVERFAULT",
        10_007 => "ERR_BADTYPE",
        10_008 => "ERR_JUKEBOX",
        n => return n.to_string(),
    };
    name.to_owned()
}

/// Name of a flavor of credentials (RFC 5531 section 8.2, RFC 2203).
pub fn flavor(number: u32) -> String {
    match number {
        0 => "NULL".to_owned(),
        1 => "UNIX".to_owned(),
        2 => "SHORT".to_owned(),
        3 => "DES".to_owned(),
        6 => "GSS".to_owned(),
        n => n.to_string(),
    }
}
