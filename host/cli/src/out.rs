//! Standard output that a reader may close early (`| head`): the command then ends, quietly and with success, as other
//! tools do, where `println!` would panic.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// Writes to standard output.
pub fn write(text: Arguments<'_>) {
    match std::io::stdout().lock().write_fmt(text) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(crate::exit::OK.into()),
        Err(error) => {
            eprintln!("error: cannot write to standard output: {error}");
            std::process::exit(crate::exit::INTERNAL.into());
        }
    }
}

/// `print!` for the command.
macro_rules! out {
    ($($text:tt)*) => { $crate::out::write(format_args!($($text)*)) };
}

/// `println!` for the command.
macro_rules! outln {
    () => { $crate::out::write(format_args!("\n")) };
    ($($text:tt)*) => { $crate::out::write(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) use {out, outln};
