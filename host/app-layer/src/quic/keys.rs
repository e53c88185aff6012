//! Protection of Initial packets (RFC 9001 section 5, RFC 9369 section 3.3).

use super::header::{V1, V2};
use aes::Aes128;
use aes::cipher::{BlockEncrypt, KeyInit};
use aes_gcm::aead::AeadInPlace;
use aes_gcm::{Aes128Gcm, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;

/// Bytes of the authentication tag.
const TAG: usize = 16;

/// The salt of a version (RFC 9001 section 5.2, RFC 9369 section 3.3.1, and the drafts).
fn salt(version: u32) -> Option<[u8; 20]> {
    let hex: u128 = match version {
        V1 | 0xff00_0021 | 0xff00_0022 => 0x3876_2cf7_f559_34b3_4d17_9ae6_a4c8_0cad,
        V2 => 0x0ded_e3de_f700_a6db_8193_81be_6e26_9dcb,
        0xff00_001d..=0xff00_0020 => 0xafbf_ec28_9993_d24c_9e97_86f1_9c61_11e0,
        0xff00_0017..=0xff00_001c => 0xc3ee_f712_c72e_bb5a_11a7_d243_2bb4_6365,
        0xff00_0016 => 0x7fbc_db0e_7c66_bbe9_2a96_cd21_519e_bd7a,
        _ => return None,
    };
    let tail: u32 = match version {
        V1 | 0xff00_0021 | 0xff00_0022 => 0xccbb_7f0a,
        V2 => 0xf9bd_2ed9,
        0xff00_001d..=0xff00_0020 => 0x4390_a899,
        0xff00_0017..=0xff00_001c => 0xbef9_f502,
        _ => 0xf026_44a0,
    };
    let mut out = [0; 20];
    out[..16].copy_from_slice(&hex.to_be_bytes());
    out[16..].copy_from_slice(&tail.to_be_bytes());
    Some(out)
}

/// Keys of one direction.
struct Side {
    seal: Aes128Gcm,
    iv: [u8; 12],
    mask: Aes128,
}

/// Keys of both directions.
pub struct Keys {
    sides: [Side; 2],
}

/// HKDF-Expand-Label with an empty context (RFC 8446 section 7.1).
fn expand(secret: &Hkdf<Sha256>, label: &str, out: &mut [u8]) -> Option<()> {
    let length = (out.len() as u16).to_be_bytes();
    let full = 6 + label.len() as u8;
    secret.expand_multi_info(&[&length, &[full], b"tls13 ", label.as_bytes(), &[0]], out).ok()
}

fn side(secret: &Hkdf<Sha256>, name: &str, version: u32) -> Option<Side> {
    let mut own = [0; 32];
    expand(secret, name, &mut own)?;
    let own = Hkdf::<Sha256>::from_prk(&own).ok()?;
    let [key, iv, mask] =
        if version == V2 { ["quicv2 key", "quicv2 iv", "quicv2 hp"] } else { ["quic key", "quic iv", "quic hp"] };
    let (mut k, mut i, mut m) = ([0; 16], [0; 12], [0; 16]);
    expand(&own, key, &mut k)?;
    expand(&own, iv, &mut i)?;
    expand(&own, mask, &mut m)?;
    Some(Side { seal: Aes128Gcm::new(&k.into()), iv: i, mask: Aes128::new(&m.into()) })
}

impl Keys {
    /// The keys that follow from the destination of the client's first Initial packet.
    pub fn new(version: u32, destination: &[u8]) -> Option<Keys> {
        let secret = Hkdf::<Sha256>::new(Some(&salt(version)?), destination);
        Some(Keys { sides: [side(&secret, "client in", version)?, side(&secret, "server in", version)?] })
    }

    /// Remove the protection of the packet `bytes` whose number begins at `number_at`; the payload goes to `out`.
    pub fn open(&self, direction: usize, bytes: &[u8], number_at: usize, out: &mut Vec<u8>) -> Option<()> {
        let side = self.sides.get(direction)?;
        // Header protection (section 5.4): the sample lies behind the longest number.
        let mut block: [u8; 16] = bytes.get(number_at + 4..number_at + 20)?.try_into().ok()?;
        side.mask.encrypt_block((&mut block).into());
        let first = bytes.first()? ^ block[0] & 0x0f;
        let length = usize::from(first & 3) + 1;
        let mut header = bytes.get(..number_at + length)?.to_vec();
        header[0] = first;
        let mut number = 0u64;
        for n in 0..length {
            header[number_at + n] ^= block[n + 1];
            number = number << 8 | u64::from(header[number_at + n]);
        }
        // Initial packets have small numbers: what is sent of them is all.
        let mut nonce = side.iv;
        for (a, b) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *a ^= b;
        }
        let sealed = bytes.get(number_at + length..)?;
        let (text, tag) = sealed.split_at(sealed.len().checked_sub(TAG)?);
        out.clear();
        out.extend_from_slice(text);
        side.seal.decrypt_in_place_detached(Nonce::from_slice(&nonce), &header, out, Tag::from_slice(tag)).ok()
    }
}

#[cfg(test)]
impl Keys {
    /// Protect a packet: its header with the number, and the payload.
    pub fn seal(&self, direction: usize, header: &[u8], payload: &[u8], number: u64) -> Vec<u8> {
        let side = &self.sides[direction];
        let length = usize::from(header[0] & 3) + 1;
        let number_at = header.len() - length;
        let mut nonce = side.iv;
        nonce.iter_mut().rev().zip(number.to_le_bytes()).for_each(|(a, b)| *a ^= b);
        let mut text = payload.to_vec();
        let tag = side.seal.encrypt_in_place_detached(Nonce::from_slice(&nonce), header, &mut text).unwrap();
        let mut out = [header, &text, &tag].concat();
        let mut block: [u8; 16] = out[number_at + 4..number_at + 20].try_into().unwrap();
        side.mask.encrypt_block((&mut block).into());
        out[0] ^= block[0] & 0x0f;
        (0..length).for_each(|n| out[number_at + n] ^= block[n + 1]);
        out
    }
}
