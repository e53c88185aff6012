//! `weir version`

use crate::exit::{Failure, OK};

pub fn run() -> Result<u8, Failure> {
    println!("weir {}", env!("CARGO_PKG_VERSION"));
    println!("target {}-{}", std::env::consts::ARCH, std::env::consts::OS);
    Ok(OK)
}
