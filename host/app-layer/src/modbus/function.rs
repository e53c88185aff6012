//! Function codes: names, what they touch, and who assigned them (Modbus Application Protocol, section 5).

/// Reads.
pub const READ: u64 = 1;
/// Writes.
pub const WRITE: u64 = 1 << 1;
/// Discrete inputs.
pub const DISCRETES: u64 = 1 << 2;
/// Coils.
pub const COILS: u64 = 1 << 3;
/// Input registers.
pub const INPUT: u64 = 1 << 4;
/// Holding registers.
pub const HOLDING: u64 = 1 << 5;
/// One of them.
pub const SINGLE: u64 = 1 << 6;
/// Several.
pub const MULTIPLE: u64 = 1 << 7;

/// Public and assigned.
pub const ASSIGNED: u64 = 1;
/// Public, without meaning.
pub const UNASSIGNED: u64 = 1 << 1;
/// For users to define.
pub const USER: u64 = 1 << 2;
/// In use by legacy products.
pub const RESERVED: u64 = 1 << 3;

/// Name as Suricata writes it, and what is accessed.
pub const fn describe(code: u8) -> (&'static str, u64) {
    match code {
        1 => ("RdCoils", READ | COILS),
        2 => ("RdDiscreteInputs", READ | DISCRETES),
        3 => ("RdHoldRegs", READ | HOLDING),
        4 => ("RdInputRegs", READ | INPUT),
        5 => ("WrSingleCoil", WRITE | COILS | SINGLE),
        6 => ("WrSingleReg", WRITE | HOLDING | SINGLE),
        7 => ("RdExcStatus", 0),
        8 => ("Diagnostic", 0),
        9 => ("Program484", 0),
        10 => ("Poll484", 0),
        11 => ("GetCommEventCtr", 0),
        12 => ("GetCommEventLog", 0),
        13 => ("ProgramController", 0),
        14 => ("PollController", 0),
        15 => ("WrMultCoils", WRITE | COILS | MULTIPLE),
        16 => ("WrMultRegs", WRITE | HOLDING | MULTIPLE),
        17 => ("ReportServerID", 0),
        18 => ("Program884", 0),
        19 => ("ResetCommLink", 0),
        20 => ("RdFileRec", 0),
        21 => ("WrFileRec", 0),
        22 => ("MaskWrReg", WRITE | HOLDING),
        23 => ("RdWrMultRegs", READ | WRITE | HOLDING | MULTIPLE),
        24 => ("RdFIFOQueue", 0),
        43 => ("MEI", 0),
        _ => ("Unknown", 0),
    }
}

/// Who assigned a request's function; `sub` is the subfunction of diagnostics, or the type of an encapsulated interface.
pub const fn category(code: u8, sub: Option<u16>) -> u64 {
    match (code, sub) {
        (8, Some(0..=4 | 10..=18 | 20)) | (43, Some(13 | 14)) => ASSIGNED,
        (8 | 43, _) => RESERVED,
        (1..=7 | 11 | 12 | 15..=17 | 20..=24, _) => ASSIGNED,
        (9 | 10 | 13 | 14 | 18 | 19 | 41 | 42 | 90 | 91 | 125 | 126 | 127, _) => RESERVED,
        (65..=72 | 100..=110, _) => USER,
        (0 | 128.., _) => 0,
        _ => UNASSIGNED,
    }
}

/// Name of a subfunction of diagnostics (section 6.8.1).
pub const fn diagnostic(code: u16) -> &'static str {
    match code {
        0 => "RetQueryData",
        1 => "RestartCommOpt",
        2 => "RetDiagReg",
        3 => "ChangeInputDelimiter",
        4 => "ForceListenOnlyMode",
        10 => "ClearCtrDiagReg",
        11 => "RetBusMsgCount",
        12 => "RetBusCommErrCount",
        13 => "RetBusExcErrCount",
        14 => "RetServerMsgCount",
        15 => "RetServerNoRespCount",
        16 => "RetServerNAKCount",
        17 => "RetServerBusyCount",
        18 => "RetBusCharOverCount",
        19 => "RetOverrunErrCount",
        20 => "ClearOverrunCounterFlag",
        21 => "GetClearPlusStats",
        _ => "Reserved",
    }
}

/// Name of an exception (section 7).
pub const fn exception(code: u8) -> &'static str {
    match code {
        1 => "IllegalFunction",
        2 => "IllegalDataAddr",
        3 => "IllegalDataValue",
        4 => "ServerDeviceFail",
        5 => "Ack",
        6 => "ServerDeviceBusy",
        7 => "NegAck",
        8 => "MemParityErr",
        10 => "GatewayPathUnavailable",
        11 => "GatewayTargetFailToResp",
        _ => "Unknown",
    }
}

/// Name of an encapsulated interface (section 6.19).
pub const fn interface(code: u8) -> &'static str {
    match code {
        13 => "CANOpenGenRefReqResp",
        14 => "RdDevId",
        _ => "Unknown",
    }
}
