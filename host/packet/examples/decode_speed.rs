//! How fast captures are read, and frames decoded: `decode_speed FILE [ROUNDS]`.

use std::time::Instant;

use weir_capture::CaptureReader;
use weir_packet::{Checksums, Decoder, DecoderConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: decode_speed FILE [ROUNDS]")?;
    let rounds: u32 = arguments.next().map_or(Ok(3), |rounds| rounds.parse())?;
    for _ in 0..rounds {
        let start = Instant::now();
        let mut reader = CaptureReader::open(&path)?;
        while reader.next_frame()?.is_some() {}
        let seconds = start.elapsed().as_secs_f64();
        let (frames, bytes) = (reader.frames() as f64, reader.position() as f64);
        println!("read        {:8.2} Mframes/s {:6.2} GB/s", frames / seconds / 1e6, bytes / seconds / 1e9);
        for checksums in [Checksums::Ignore, Checksums::Validate] {
            let start = Instant::now();
            let mut reader = CaptureReader::open(&path)?;
            let mut decoder = Decoder::new(DecoderConfig { checksums, ..DecoderConfig::default() });
            let mut payload = 0;
            while let Some(frame) = reader.next_frame()? {
                decoder.decode(&frame, &mut |packet| payload += packet.payload.len());
            }
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "{checksums:10?}  {:8.2} Mframes/s {:6.2} GB/s ({payload} payload bytes)",
                frames / seconds / 1e6,
                bytes / seconds / 1e9
            );
        }
    }
    Ok(())
}
