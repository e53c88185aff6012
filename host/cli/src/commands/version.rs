//! `weir version`

use crate::exit::{Failure, OK};
use crate::out::outln;

pub fn run() -> Result<u8, Failure> {
    outln!("weir {}", env!("CARGO_PKG_VERSION"));
    outln!("target {}-{}", std::env::consts::ARCH, std::env::consts::OS);
    Ok(OK)
}
