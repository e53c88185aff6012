//! Matches within buffers, and transforms.

use super::condition::comparison;
use super::{operation, quoted};
use weir_ir::content::ENTROPY_UNITS;
use weir_ir::{
    Base64Decode, ByteBase, ByteExtract, ByteJump, ByteMath, ByteTest, Content, DatasetOperation, Endian, Entropy, IsDataAt,
    MathOperator, Match, Number, Pcre, TestOperator, Transform,
};

/// One match, with its modifiers.
pub fn find(found: &Match) -> String {
    match found {
        Match::Content(content) => content_text(content),
        Match::Pcre(pcre) => expression(pcre),
        Match::ByteTest(test) => byte_test(test),
        Match::ByteJump(jump) => byte_jump(jump),
        Match::ByteExtract(extract) => byte_extract(extract),
        Match::ByteMath(math) => byte_math(math),
        Match::IsDataAt(IsDataAt { position, negated, relative }) => {
            format!("isdataat:{}{}{}", not(*negated), number(*position), if *relative { ",relative" } else { "" })
        }
        Match::Size(c) => format!("bsize:{}", comparison(*c)),
        Match::Absent { or_else } => if *or_else { "absent:or_else" } else { "absent" }.to_owned(),
        Match::Base64Decode(Base64Decode { bytes, offset, relative }) => {
            let mut words = Vec::new();
            words.extend(bytes.map(|n| format!("bytes {n}")));
            words.extend((*offset != 0).then(|| format!("offset {offset}")));
            words.extend(relative.then(|| "relative".to_owned()));
            if words.is_empty() { "base64_decode".to_owned() } else { format!("base64_decode:{}", words.join(",")) }
        }
        Match::Dataset(dataset) => data_set(dataset),
        Match::Entropy(Entropy { bytes, offset, size }) => {
            // In billionths of a bit.
            let value = |n: u64| n as f64 / ENTROPY_UNITS;
            use weir_ir::Comparison as C;
            let size = match *size {
                C::Equal(n) => format!("= {}", value(n)),
                C::NotEqual(n) => format!("!= {}", value(n)),
                C::Less(n) => format!("< {}", value(n)),
                C::LessEqual(n) => format!("<= {}", value(n)),
                C::Greater(n) => format!("> {}", value(n)),
                C::GreaterEqual(n) => format!(">= {}", value(n)),
                C::Between(a, b) | C::Within(a, b) => format!("{}-{}", value(a), value(b)),
                other => comparison(other),
            };
            format!("entropy:bytes {bytes},offset {offset},value {size}")
        }
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "!" } else { "" }
}

/// A constant, or a variable of the rule by its number.
fn number(n: Number) -> String {
    match n {
        Number::Constant(n) => n.to_string(),
        Number::Variable(id) => format!("var{id}"),
    }
}

fn content_text(c: &Content) -> String {
    let mut out = format!("content:{}{}", not(c.negated), quoted(&c.bytes));
    for (word, value) in [("offset", c.offset), ("depth", c.depth), ("distance", c.distance), ("within", c.within)] {
        if let Some(n) = value {
            out += &format!("; {word}:{}", number(n));
        }
    }
    let words = [
        (c.nocase, "nocase"),
        (c.anchor.start, "startswith"),
        (c.anchor.end, "endswith"),
        (c.raw, "rawbytes"),
        (c.fast_pattern_only, "fast_pattern:only"),
        (c.fast_pattern && !c.fast_pattern_only && c.fast_pattern_chop.is_none(), "fast_pattern"),
    ];
    for (_, word) in words.into_iter().filter(|(is, _)| *is) {
        out += "; ";
        out += word;
    }
    if let Some((offset, length)) = c.fast_pattern_chop {
        out += &format!("; fast_pattern:{offset},{length}");
    }
    out
}

fn expression(p: &Pcre) -> String {
    let flags = [
        (p.caseless, 'i'),
        (p.multiline, 'm'),
        (p.dotall, 's'),
        (p.extended, 'x'),
        (p.anchored, 'A'),
        (p.dollar_endonly, 'E'),
        (p.ungreedy, 'G'),
        (p.relative, 'R'),
        (p.no_limit, 'O'),
    ];
    let flags: String = flags.into_iter().filter(|(is, _)| *is).map(|(_, flag)| flag).collect();
    let captures: String = p.captures.iter().map(|name| format!(", {name}")).collect();
    let pattern: String = p.pattern.chars().flat_map(|c| {
        // An expression may hold what a terminal would obey.
        if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }
    }).collect();
    format!("pcre:{}\"/{pattern}/{flags}{captures}\"", not(p.negated))
}

/// Words that fields have in common, each with a comma before it.
fn field(relative: bool, endian: Endian, base: ByteBase, bitmask: Option<u64>) -> String {
    let mut out = String::new();
    if relative {
        out += ",relative";
    }
    match endian {
        Endian::Big => {}
        Endian::Little => out += ",little",
        Endian::Dce => out += ",dce",
    }
    match base {
        ByteBase::Binary => {}
        ByteBase::String(0) => out += ",string",
        ByteBase::String(8) => out += ",string,oct",
        ByteBase::String(16) => out += ",string,hex",
        ByteBase::String(_) => out += ",string,dec",
    }
    if let Some(mask) = bitmask {
        out += &format!(",bitmask {mask:#x}");
    }
    out
}

fn byte_test(t: &ByteTest) -> String {
    let operator = match t.operator {
        TestOperator::Less => "<",
        TestOperator::LessEqual => "<=",
        TestOperator::Greater => ">",
        TestOperator::GreaterEqual => ">=",
        TestOperator::Equal => "=",
        TestOperator::And => "&",
        TestOperator::Xor => "^",
    };
    format!(
        "byte_test:{},{}{operator},{},{}{}",
        number(t.count),
        not(t.negated),
        number(t.value),
        number(t.offset),
        field(t.relative, t.endian, t.base, t.bitmask)
    )
}

fn byte_jump(j: &ByteJump) -> String {
    let mut out = format!("byte_jump:{},{}{}", number(j.count), number(j.offset), field(j.relative, j.endian, j.base, j.bitmask));
    if j.multiplier > 1 {
        out += &format!(",multiplier {}", j.multiplier);
    }
    for (_, word) in [(j.align, ",align"), (j.from_beginning, ",from_beginning"), (j.from_end, ",from_end")]
        .into_iter()
        .filter(|(is, _)| *is)
    {
        out += word;
    }
    if j.post_offset != Number::Constant(0) {
        out += &format!(",post_offset {}", number(j.post_offset));
    }
    out
}

fn byte_extract(e: &ByteExtract) -> String {
    let mut out = format!(
        "byte_extract:{},{},var{}{}",
        e.count,
        number(e.offset),
        e.variable,
        field(e.relative, e.endian, e.base, e.bitmask)
    );
    if e.multiplier > 1 {
        out += &format!(",multiplier {}", e.multiplier);
    }
    if e.align > 0 {
        out += &format!(",align {}", e.align);
    }
    out
}

fn byte_math(m: &ByteMath) -> String {
    let operator = match m.operator {
        MathOperator::Add => "+",
        MathOperator::Subtract => "-",
        MathOperator::Multiply => "*",
        MathOperator::Divide => "/",
        MathOperator::ShiftLeft => "<<",
        MathOperator::ShiftRight => ">>",
    };
    format!(
        "byte_math:bytes {},offset {},oper {operator},rvalue {},result var{}{}",
        number(m.count),
        number(m.offset),
        number(m.value),
        m.variable,
        field(m.relative, m.endian, m.base, m.bitmask)
    )
}

fn data_set(d: &DatasetOperation) -> String {
    let keyword = if d.reputation.is_some() { "datarep" } else { "dataset" };
    let mut out = match d.reputation {
        Some(c) => format!("{keyword}:{},{},type {}", d.name, comparison(c), d.kind),
        None => format!("{keyword}:{},{},type {}", operation(d.operation), d.name, d.kind),
    };
    if let Some(file) = &d.file {
        out += &format!(",load {file}");
    }
    if let Some(file) = &d.saved {
        out += &format!(",save {file}");
    }
    out + &format!(" ({} entries loaded)", d.entries.len())
}

/// A transform.
pub fn transform(t: &Transform) -> String {
    match t {
        Transform::DotPrefix => "dotprefix".to_owned(),
        Transform::StripWhitespace => "strip_whitespace".to_owned(),
        Transform::CompressWhitespace => "compress_whitespace".to_owned(),
        Transform::ToMd5 => "to_md5".to_owned(),
        Transform::ToSha1 => "to_sha1".to_owned(),
        Transform::ToSha256 => "to_sha256".to_owned(),
        Transform::UrlDecode => "url_decode".to_owned(),
        Transform::Xor(key) => format!("xor:\"{}\"", key.iter().map(|b| format!("{b:02x}")).collect::<String>()),
        Transform::PcreExtract(pattern) => format!("pcrexform:\"{pattern}\""),
        Transform::HeaderLowercase => "header_lowercase".to_owned(),
        Transform::StripPseudoHeaders => "strip_pseudo_headers".to_owned(),
        Transform::ToLowercase => "to_lowercase".to_owned(),
        Transform::ToUppercase => "to_uppercase".to_owned(),
        Transform::FromBase64(bytes, offset, mode) => {
            let mode = match mode {
                0 => "rfc4648",
                1 => "rfc2045",
                _ => "strict",
            };
            format!("from_base64:bytes {bytes},offset {offset},mode {mode}")
        }
        Transform::Domain => "domain".to_owned(),
        Transform::Tld => "tld".to_owned(),
        Transform::Gunzip(limit) => format!("gunzip:max-size {limit}"),
        Transform::ZlibInflate(limit) => format!("zlib_deflate:max-size {limit}"),
    }
}
