//! Link frames (IEEE 1815 clause 9): a head of ten bytes, then blocks of up to sixteen, each behind with its CRC.

/// Bytes of the head, CRC included.
pub const HEAD: usize = 10;
const BLOCK: usize = 16;

/// CRC-16/DNP: polynomial 0x3d65, reflected, inverted.
pub fn crc(bytes: &[u8]) -> u16 {
    !bytes.iter().fold(0u16, |crc, b| {
        (0..8).fold(crc ^ u16::from(*b), |crc, _| if crc & 1 != 0 { crc >> 1 ^ 0xa6bc } else { crc >> 1 })
    })
}

fn sound(bytes: &[u8]) -> bool {
    let Some((data, sum)) = bytes.split_last_chunk() else { return false };
    crc(data) == u16::from_le_bytes(*sum)
}

/// Length of a frame by its length field; none if the field is too small.
pub fn length(field: u8) -> Option<usize> {
    let data = usize::from(field).checked_sub(5)?;
    Some(HEAD + data + data.div_ceil(BLOCK) * 2)
}

/// Head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub control: u8,
    pub destination: u16,
    pub source: u16,
    pub crc_sound: bool,
}

/// Read the head of a whole frame.
pub fn head(frame: &[u8]) -> Option<Head> {
    let &[_, _, _, control, d0, d1, s0, s1, _, _] = frame.first_chunk()?;
    Some(Head {
        control,
        destination: u16::from_le_bytes([d0, d1]),
        source: u16::from_le_bytes([s0, s1]),
        crc_sound: sound(&frame[..HEAD]),
    })
}

/// Data of a whole frame without CRCs; false: one of them is wrong.
pub fn data(frame: &[u8], out: &mut Vec<u8>) -> bool {
    let mut all = true;
    for block in frame.get(HEAD..).unwrap_or(&[]).chunks(BLOCK + 2) {
        all &= sound(block);
        out.extend_from_slice(&block[..block.len().saturating_sub(2)]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame() {
        // The head of a reset of link states, with its CRC.
        let frame = [0x05, 0x64, 0x05, 0xc0, 0x01, 0x00, 0x0c, 0x00, 0xb1, 0x90];
        let computed = crc(&frame[..8]);
        let frame = [&frame[..8], &computed.to_le_bytes()].concat();
        assert_eq!(head(&frame), Some(Head { control: 0xc0, destination: 1, source: 12, crc_sound: true }));
        assert_eq!(crc(b"123456789"), 0xea82);
        assert_eq!((length(5), length(4), length(6), length(255)), (Some(10), None, Some(13), Some(292)));
    }
}
