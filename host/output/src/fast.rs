//! One line an alert, for people and `tail -f`.

use crate::OutputError;
use crate::address::{address, protocol};
use crate::file::OutputFile;
use crate::record::{AlertRecord, EventSink};
use crate::time::civil;
use std::io::Write;

/// Writes `fast.log`.
#[derive(Debug)]
pub struct FastLog {
    file: OutputFile,
    line: Vec<u8>,
}

impl FastLog {
    /// Into `file`.
    pub fn new(file: OutputFile) -> Self {
        FastLog { file, line: Vec::with_capacity(256) }
    }
}

/// Appends the line of an alert, line end included.
pub fn line(out: &mut Vec<u8>, record: &AlertRecord<'_>) {
    let rule = record.rule;
    let t = civil(record.packet.time);
    let id = rule.identity;
    let message: &str = &rule.meta.message;
    let message = if message.is_empty() { "(null)" } else { message };
    let _ = write!(
        out,
        "{:02}/{:02}/{:04}-{:02}:{:02}:{:02}.{:06}  {}[**] [{}:{}:{}] {} [**] [Classification: {}] [Priority: {}] {{",
        t.month,
        t.day,
        t.year,
        t.hour,
        t.minute,
        t.second,
        t.microsecond,
        if record.blocked { "[Drop] " } else { "" },
        id.gid,
        id.sid,
        id.rev,
        message,
        rule.meta.class_description.as_deref().unwrap_or("(null)"),
        rule.meta.priority,
    );
    if let Some(ends) = record.packet.ends {
        protocol(out, ends.protocol);
        out.extend_from_slice(b"} ");
        address(out, ends.source);
        let icmp = record.packet.icmp;
        let (a, b) = icmp.map_or((ends.source_port, ends.destination_port), |(k, c)| (k.into(), c.into()));
        let _ = write!(out, ":{a} -> ");
        address(out, ends.destination);
        let _ = write!(out, ":{b}");
    } else {
        out.extend_from_slice(b"}");
    }
    out.push(b'\n');
}

impl EventSink for FastLog {
    fn alert(&mut self, record: &AlertRecord<'_>) {
        self.line.clear();
        line(&mut self.line, record);
        self.file.write(&self.line);
    }

    fn finish(&mut self) -> Result<(), OutputError> {
        self.file.finish()
    }
}
