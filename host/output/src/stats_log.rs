//! `stats.log`: counters as a table.

use crate::OutputError;
use crate::file::OutputFile;
use crate::record::{AlertRecord, EventSink};
use crate::tee::Log;
use crate::time::civil;
use crate::totals::RunTotals;

/// Writes `stats.log`.
#[derive(Debug)]
pub struct StatsLog {
    file: OutputFile,
}

impl StatsLog {
    /// Into `file`.
    pub fn new(file: OutputFile) -> Self {
        StatsLog { file }
    }
}

impl EventSink for StatsLog {
    fn alert(&mut self, _: &AlertRecord<'_>) {}

    fn finish(&mut self) -> Result<(), OutputError> {
        self.file.finish()
    }
}

impl Log for StatsLog {
    fn stats(&mut self, time: u64, totals: &RunTotals) {
        let rule = "-".repeat(82);
        let t = civil(time);
        let mut text = format!(
            "{rule}\nDate: {}/{}/{} -- {:02}:{:02}:{:02} (uptime: 0d, 00h 00m 00s)\n{rule}\n{:<45} | {:<25} | Value\n{rule}\n",
            t.month, t.day, t.year, t.hour, t.minute, t.second, "Counter", "TM Name",
        );
        for (name, value) in &totals.named {
            if *value > 0 {
                text.push_str(&format!("{name:<45} | {:<25} | {value}\n", "Total"));
            }
        }
        self.file.write(text.as_bytes());
    }
}
