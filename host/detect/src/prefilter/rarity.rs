//! How common byte strings are in ordinary traffic: a fixed estimate that ranks fast patterns and their windows.
//!
//! Only speed depends on it, never a result.

use std::collections::HashMap;
use std::sync::OnceLock;

/// Estimated probability of a folded byte in mixed traffic (text protocols and binary alike).
pub fn probability(byte: u8) -> f64 {
    let per_mille = match byte {
        0 => 40.0,
        b'e' => 45.0,
        b't' | b'a' => 38.0,
        b'o' | b'i' | b'n' | b's' | b'r' => 32.0,
        b'c' | b'l' | b'd' | b'p' | b'm' | b'h' | b'u' => 20.0,
        b'f' | b'g' | b'b' | b'w' | b'y' | b'v' => 10.0,
        b'x' | b'k' | b'z' | b'j' | b'q' => 5.0,
        b' ' => 35.0,
        b'0' | b'1' | b'2' => 14.0,
        b'3'..=b'9' => 9.0,
        b'.' | b'/' | b'-' | b'=' | b'"' | b'\r' | b'\n' => 14.0,
        b':' | b';' | b',' | b'_' | b'&' | b'%' | b'<' | b'>' | b'(' | b')' => 7.0,
        0xff | 0x01 => 10.0,
        0x02..=0x1f => 3.5,
        b'!'..=b'~' => 3.0,
        _ => 2.5,
    };
    per_mille / 1000.0
}

/// Text that opens ordinary messages. Strings found in it are poor fast patterns.
const COMMON: &[u8] = b"get / http/1.1\r\nhost: www.example.com\r\nuser-agent: mozilla/5.0 (windows nt 10.0; win64; x64) \
applewebkit/537.36 (khtml, like gecko) chrome/120.0.0.0 safari/537.36 firefox/ gecko/20100101 msie 9.0; trident/ \
macintosh; intel mac os x version/ mobile android linux x86_64; .net clr \r\naccept: text/html,application/xhtml+xml,\
application/xml;q=0.9,image/webp,*/*;q=0.8\r\naccept-language: en-us,en;q=0.5\r\naccept-encoding: gzip, deflate, br\r\n\
connection: keep-alive\r\ncookie: session=\r\nreferer: https://www.\r\nupgrade-insecure-requests: 1\r\ncache-control: \
no-cache, max-age=0, private\r\npragma: no-cache\r\ncontent-type: application/x-www-form-urlencoded; charset=utf-8\r\n\
content-length: 1000\r\n\r\nhttp/1.1 200 ok\r\nserver: apache nginx\r\ndate: mon, 01 jan 2024 00:00:00 gmt\r\n\
last-modified: etag: transfer-encoding: chunked\r\nvary: set-cookie: path=/; expires=; domain=.com; \
x-powered-by: php location: <!doctype html><html><head><title></title><meta http-equiv=\"content-type\" content=\"\
text/html; charset=utf-8\"><link rel=\"stylesheet\" type=\"text/css\" href=\"<script type=\"text/javascript\" src=\"\
</script></head><body><div class=\"<a href=\"http://www.</a></div><img src=\"<p></p><span style=\"</span><td></td>\
<tr></tr><table></table></body></html>function(){return var document.getelementbyid window.location new if(this.\
length for(var i=0; .js .css .php .html index.php?id= .jpg .png .gif .com .net .org .info /images/ post put head \
microsoft google update version=\"1.0\" encoding=\"utf-8\"?><?xml  smtp ehlo mail from:<rcpt to:<user pass 220 250 \
digicert inc certificate authority global root ca let's encrypt\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xffsmb@";

/// Occurrences in [`COMMON`] of strings of one to four bytes.
fn common_counts() -> &'static HashMap<(u8, u32), u32> {
    static COUNTS: OnceLock<HashMap<(u8, u32), u32>> = OnceLock::new();
    COUNTS.get_or_init(|| {
        let mut counts = HashMap::new();
        for length in 1..=4u8 {
            for window in COMMON.windows(usize::from(length)) {
                *counts.entry((length, pack(window))).or_default() += 1;
            }
        }
        counts
    })
}

fn pack(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |v, b| v << 8 | u32::from(b.to_ascii_lowercase()))
}

/// How often a folded string is in [`COMMON`], at most: as often as the rarest four bytes of it.
fn common_count(bytes: &[u8]) -> u32 {
    let counts = common_counts();
    let width = bytes.len().min(4);
    bytes.windows(width).map(|w| counts.get(&(width as u8, pack(w))).copied().unwrap_or(0)).min().unwrap_or(0)
}

/// Estimated probability that a folded string starts at a given position of traffic.
pub fn string_probability(bytes: &[u8]) -> f64 {
    if bytes.is_empty() {
        return 1.0;
    }
    // Text is far from independent bytes: neighbours predict each other.
    static TEXT: OnceLock<[f64; 256]> = OnceLock::new();
    let table = TEXT.get_or_init(|| std::array::from_fn(|b| probability((b as u8).to_ascii_lowercase()).powf(0.8)));
    let text: f64 = bytes.iter().filter_map(|&b| table.get(usize::from(b))).product();
    text + f64::from(common_count(bytes)) / 2000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_text_ranks_behind_rare() {
        assert!(string_probability(b"HTTP") > string_probability(b"zqx~"));
        assert!(string_probability(b"\0\0\0\0") > string_probability(b"\x13\x37\xca\xfe"));
        assert!(string_probability(b"a") > string_probability(b"ab"));
    }
}
