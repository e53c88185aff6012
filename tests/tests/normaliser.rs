//! What the planner believes of the host's normalisers, against the normalisers themselves.

use weir_app_layer::http1::normalise;
use weir_contract::facts::in_set;
use weir_contract::hidden;

/// UTF-8 of any code point in any of its lengths, overlong ones too.
fn forms(point: u32) -> impl Iterator<Item = Vec<u8>> {
    let tail = |shift: u32| 0x80 | (point >> shift & 0x3f) as u8;
    let two = (point < 0x800).then(|| vec![0xc0 | (point >> 6) as u8, tail(0)]);
    let three = (point < 0x1_0000).then(|| vec![0xe0 | (point >> 12) as u8, tail(6), tail(0)]);
    let four = vec![0xf0 | (point >> 18) as u8, tail(12), tail(6), tail(0)];
    two.into_iter().chain(three).chain([four])
}

fn fit_or_slash(fit: Option<&[u8]>) -> &[u8] {
    fit.filter(|fit| !fit.is_empty()).unwrap_or(b"/")
}

#[test]
fn characters_that_paths_show_as_ascii_begin_with_a_known_byte() {
    let mut seen = Vec::new();
    for point in 0..0x11_0000u32 {
        for bytes in forms(point) {
            let path = [b"/a".as_slice(), &bytes, b"b"].concat();
            let mut normal = Vec::new();
            normalise(&path, false, &mut normal);
            // Slashes and dots may vanish with what stands beside them.
            let fits = normal.strip_prefix(b"/a").and_then(|n| n.strip_suffix(b"b"));
            if fits.is_none_or(|fit| fit.is_ascii() && fit != b"?") {
                // What vanishes was a slash or a dot.
                let made = fit_or_slash(fits);
                let known = made.iter().all(|byte| in_set(&hidden::uri(&[*byte]).escapes, bytes[0]));
                assert!(known, "{point:#x} as {bytes:02x?} becomes {:?}", normal.escape_ascii());
                seen.push(bytes[0]);
            }
        }
    }
    seen.sort_unstable();
    seen.dedup();
    let made = (0x21..0x7f).filter(|byte| *byte != b'?').map(|byte| hidden::uri(&[byte]).escapes);
    let escapes = made.fold([0; 4], |all, one| std::array::from_fn(|n| all[n] | one[n]));
    let leads: Vec<u8> = (0x80..=0xff).filter(|byte| in_set(&escapes, *byte)).collect();
    seen.retain(|byte| *byte >= 0x80);
    assert_eq!(seen, leads, "escapes of no other bytes are armed");
}

/// `?` stands for what has no best fit, and for bytes that are no UTF-8.
#[test]
fn every_byte_above_ascii_may_become_a_question_mark() {
    for byte in 0x80..=0xffu8 {
        let mut normal = Vec::new();
        normalise(&[b'/', b'a', byte, b'b'], false, &mut normal);
        assert_eq!(normal, b"/a?b", "{byte:#x}");
    }
}
