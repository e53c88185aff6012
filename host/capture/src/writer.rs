//! Classic pcap with nanoseconds, little-endian.

use std::io::{self, Write};

/// Writes frames to a classic pcap of one link type.
pub struct CaptureWriter<W: Write> {
    writer: W,
    frames: u64,
}

impl<W: Write> CaptureWriter<W> {
    /// Start a capture: writes the file header.
    pub fn new(mut writer: W, link: u16) -> io::Result<Self> {
        let mut header = [0u8; 24];
        header[..4].copy_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
        header[4..6].copy_from_slice(&2u16.to_le_bytes());
        header[6..8].copy_from_slice(&4u16.to_le_bytes());
        header[16..20].copy_from_slice(&crate::MAX_FRAME.to_le_bytes());
        header[20..24].copy_from_slice(&u32::from(link).to_le_bytes());
        writer.write_all(&header)?;
        Ok(CaptureWriter { writer, frames: 0 })
    }

    /// Append a frame. `time` is in nanoseconds since the epoch; the format ends in 2106, later times are clamped.
    pub fn write(&mut self, time: u64, data: &[u8], wire_length: u32) -> io::Result<()> {
        let captured = u32::try_from(data.len())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a frame of 4 GiB or more"))?;
        let seconds = u32::try_from(time / 1_000_000_000).unwrap_or(u32::MAX);
        let mut header = [0u8; 16];
        header[..4].copy_from_slice(&seconds.to_le_bytes());
        header[4..8].copy_from_slice(&((time % 1_000_000_000) as u32).to_le_bytes());
        header[8..12].copy_from_slice(&captured.to_le_bytes());
        header[12..16].copy_from_slice(&wire_length.max(captured).to_le_bytes());
        self.writer.write_all(&header)?;
        self.writer.write_all(data)?;
        self.frames += 1;
        Ok(())
    }

    /// Frames written.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Flush, and give the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.writer.flush()?;
        Ok(self.writer)
    }
}
