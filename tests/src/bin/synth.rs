//! Scenario text to a capture: `synth TRAFFIC.txt OUT.pcap` (the statements are in the documentation of `weir-synth`).

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = &arguments[..] else { bail!("usage: synth TRAFFIC.txt OUT.pcap") };
    let text = std::fs::read_to_string(input).with_context(|| input.clone())?;
    let capture = weir_synth::compile(&text).map_err(|error| anyhow::anyhow!("{input}: {error}"))?;
    std::fs::write(output, capture.to_pcap()).with_context(|| output.clone())?;
    println!("{output}: {} frames", capture.frames.len());
    Ok(())
}
