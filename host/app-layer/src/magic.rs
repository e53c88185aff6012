//! What kind of file bytes are, in the words of file(1), as rules ask for it (`file.magic`).
//!
//! A table of signatures at fixed places, a few formats whose kind stands behind an offset (PE, ZIP), and text. The words
//! are fixed for each kind: sizes, dates and names that file(1) adds are left out.

use crate::wire::{le16, le32};

/// Bytes that are enough to decide, unless the file is shorter.
pub(crate) const ENOUGH: usize = 1024;

struct Signature {
    at: usize,
    bytes: &'static [u8],
    words: &'static str,
}

const fn at(at: usize, bytes: &'static [u8], words: &'static str) -> Signature {
    Signature { at, bytes, words }
}

/// Longer ones first where one begins with another.
#[rustfmt::skip]
const SIGNATURES: &[Signature] = &[
    at(0, b"%PDF-1.0", "PDF document, version 1.0"), at(0, b"%PDF-1.1", "PDF document, version 1.1"),
    at(0, b"%PDF-1.2", "PDF document, version 1.2"), at(0, b"%PDF-1.3", "PDF document, version 1.3"),
    at(0, b"%PDF-1.4", "PDF document, version 1.4"), at(0, b"%PDF-1.5", "PDF document, version 1.5"),
    at(0, b"%PDF-1.6", "PDF document, version 1.6"), at(0, b"%PDF-1.7", "PDF document, version 1.7"),
    at(0, b"%PDF-2.0", "PDF document, version 2.0"), at(0, b"%PDF-", "PDF document"),
    at(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Composite Document File V2 Document"),
    at(0, b"{\\rtf1", "Rich Text Format data, version 1"), at(0, b"{\\rtf", "Rich Text Format data"),
    at(0, b"%!PS-Adobe", "PostScript document text"),
    at(0, b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F", "MS Windows shortcut"),
    at(0, b"\xe4R\\{\x8c\xd8\xa7M\xae\xb1Sx\xd0)\x96\xd3", "Microsoft OneNote"),
    at(0, b"ITSF\x03\0\0\0", "MS Windows HtmlHelp Data"),
    at(0, b"regf", "MS Windows registry file, NT/2000 or above"),
    at(0, b"MSCF\0\0\0\0", "Microsoft Cabinet archive data"),
    at(0, b"Rar!\x1a\x07\x01\0", "RAR archive data, v5"), at(0, b"Rar!\x1a\x07\0", "RAR archive data"),
    at(0, b"7z\xbc\xaf\x27\x1c", "7-zip archive data"),
    at(0, b"\x1f\x8b", "gzip compressed data"), at(0, b"\x1f\x9d", "compress'd data"),
    at(0, b"BZh", "bzip2 compressed data"), at(0, b"\xfd7zXZ\0", "XZ compressed data"),
    at(0, b"\x28\xb5\x2f\xfd", "Zstandard compressed data"), at(0, b"\x04\"M\x18", "LZ4 compressed data"),
    at(0, b"LZIP", "lzip compressed data"), at(0, b"\x5d\0\0", "LZMA compressed data"),
    at(257, b"ustar\0", "POSIX tar archive"), at(257, b"ustar  \0", "POSIX tar archive (GNU)"),
    at(0, b"!<arch>\ndebian", "Debian binary package"), at(0, b"!<arch>\n", "current ar archive"),
    at(0, b"\xed\xab\xee\xdb", "RPM"), at(0, b"070701", "ASCII cpio archive"),
    at(0x8001, b"CD001", "ISO 9660 CD-ROM filesystem data"), at(2, b"-lh", "LHa archive data"),
    at(0, b"xar!", "xar archive"), at(0, b"**ACE**", "ACE archive data"),
    at(0, b"\x60\xea", "ARJ archive data"),
    at(0, b"\xca\xfe\xba\xbe\0\0\0", "compiled Java class data"), at(0, b"\xca\xfe\xd0\x0d", "Java Pack200 archive"),
    at(0, b"\xac\xed\0\x05", "Java serialization data, version 5"),
    at(0, b"\xfe\xed\xfa\xce", "Mach-O executable"), at(0, b"\xfe\xed\xfa\xcf", "Mach-O 64-bit executable"),
    at(0, b"\xce\xfa\xed\xfe", "Mach-O executable"), at(0, b"\xcf\xfa\xed\xfe", "Mach-O 64-bit executable"),
    at(0, b"dex\n035\0", "Dalvik dex file version 035"), at(0, b"dex\n", "Dalvik dex file"),
    at(0, b"\0asm", "WebAssembly (wasm) binary module"),
    at(0, b"FWS", "Macromedia Flash data"), at(0, b"CWS", "Macromedia Flash data (compressed)"),
    at(0, b"ZWS", "Macromedia Flash data (lzma compressed)"), at(0, b"FLV\x01", "Macromedia Flash Video"),
    at(0, b"GIF89a", "GIF image data, version 89a"), at(0, b"GIF87a", "GIF image data, version 87a"),
    at(0, b"\xff\xd8\xff", "JPEG image data"), at(0, b"\x89PNG\r\n\x1a\n", "PNG image data"),
    at(0, b"BM", "PC bitmap"), at(0, b"II*\0", "TIFF image data, little-endian"),
    at(0, b"MM\0*", "TIFF image data, big-endian"), at(0, b"\0\0\x01\0", "MS Windows icon resource"),
    at(0, b"8BPS", "Adobe Photoshop Image"), at(8, b"WEBP", "RIFF (little-endian) data, Web/P image"),
    at(8, b"AVI ", "RIFF (little-endian) data, AVI"), at(8, b"WAVE", "RIFF (little-endian) data, WAVE audio"),
    at(0, b"RIFF", "RIFF (little-endian) data"), at(0, b"OggS", "Ogg data"), at(0, b"fLaC", "FLAC audio bitstream data"),
    at(0, b"ID3", "Audio file with ID3"), at(0, b"\xff\xfb", "MPEG ADTS, layer III, v1"),
    at(4, b"ftyp", "ISO Media"), at(0, b"\x1aE\xdf\xa3", "Matroska data"), at(0, b"\0\0\x01\xba", "MPEG sequence"),
    at(0, b"0&\xb2u\x8ef\xcf\x11", "Microsoft ASF"), at(0, b"MThd", "Standard MIDI data"),
    at(0, b"wOFF", "Web Open Font Format"), at(0, b"wOF2", "Web Open Font Format (Version 2)"),
    at(0, b"\0\x01\0\0\0", "TrueType Font data"), at(0, b"OTTO", "OpenType font data"),
    at(0, b"SQLite format 3\0", "SQLite 3.x database"), at(0, b"\0\x01\0\0Standard Jet DB", "Microsoft Access Database"),
    at(0, b"!BDN", "Microsoft Outlook email folder"), at(0, b"\x78\x9f\x3e\x22", "Transport Neutral Encapsulation Format (TNEF)"),
    at(0, b"\xd4\xc3\xb2\xa1", "pcap capture file, microsecond ts (little-endian)"),
    at(0, b"\xa1\xb2\xc3\xd4", "pcap capture file, microsecond ts (big-endian)"), at(0, b"\n\r\r\n", "pcapng capture file"),
    at(0, b"Cr24", "Google Chrome extension"),
    at(0, b"-----BEGIN CERTIFICATE", "PEM certificate"), at(0, b"-----BEGIN PGP", "PGP"),
    at(0, b"-----BEGIN RSA PRIVATE", "PEM RSA private key"), at(0, b"d8:announce", "BitTorrent file"),
    at(0, b"#!/bin/sh", "POSIX shell script, ASCII text executable"),
    at(0, b"#!/bin/bash", "Bourne-Again shell script, ASCII text executable"),
    at(0, b"#!/usr/bin/python", "Python script, ASCII text executable"),
    at(0, b"#!/usr/bin/env python", "Python script, ASCII text executable"),
    at(0, b"#!/usr/bin/perl", "Perl script text executable"), at(0, b"#!", "script text executable"),
    at(0, b"<?php", "PHP script, ASCII text"),
    at(0, b"[autorun]", "Microsoft Windows Autorun file"), at(0, b"[InternetShortcut]", "MS Windows 95 Internet shortcut text"),
    at(0, b"BEGIN:VCARD", "vCard visiting card"), at(0, b"BEGIN:VCALENDAR", "vCalendar calendar file"),
];

/// The kind of a file that begins with these bytes.
pub(crate) fn describe(bytes: &[u8]) -> &'static str {
    if bytes.is_empty() {
        return "empty";
    }
    // The text that scanners are tried with (eicar.org).
    if bytes.starts_with(b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*") {
        return "EICAR virus test files";
    }
    if bytes.starts_with(b"MZ") {
        return executable(bytes);
    }
    if bytes.starts_with(b"\x7fELF") {
        return elf(bytes);
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return zip(bytes);
    }
    let found = SIGNATURES.iter().find(|s| bytes.get(s.at..).is_some_and(|rest| rest.starts_with(s.bytes)));
    found.map_or_else(|| text(bytes), |s| s.words)
}

/// MZ, and what it leads to (the PE format's specification, section "File Headers").
fn executable(bytes: &[u8]) -> &'static str {
    let header = || {
        let at = usize::try_from(le32(bytes, 0x3c)?).ok()?;
        let head = bytes.get(at..)?;
        if head.starts_with(b"NE") {
            return Some("MS-DOS executable, NE for MS Windows 3.x");
        }
        if head.starts_with(b"LE") || head.starts_with(b"LX") {
            return Some("MS-DOS executable, LE executable");
        }
        if !head.starts_with(b"PE\0\0") {
            return None;
        }
        let dll = le16(head, 22)? & 0x2000 != 0;
        let wide = le16(head, 24) == Some(0x20b);
        let subsystem = le16(head, 24 + 68);
        Some(match (wide, dll, subsystem) {
            (_, _, Some(1)) if wide => "PE32+ executable (native) x86-64, for MS Windows",
            (_, _, Some(1)) => "PE32 executable (native) Intel 80386, for MS Windows",
            (false, true, Some(3)) => "PE32 executable (DLL) (console) Intel 80386, for MS Windows",
            (false, true, _) => "PE32 executable (DLL) (GUI) Intel 80386, for MS Windows",
            (false, false, Some(3)) => "PE32 executable (console) Intel 80386, for MS Windows",
            (false, false, _) => "PE32 executable (GUI) Intel 80386, for MS Windows",
            (true, true, Some(3)) => "PE32+ executable (DLL) (console) x86-64, for MS Windows",
            (true, true, _) => "PE32+ executable (DLL) (GUI) x86-64, for MS Windows",
            (true, false, Some(3)) => "PE32+ executable (console) x86-64, for MS Windows",
            (true, false, _) => "PE32+ executable (GUI) x86-64, for MS Windows",
        })
    };
    header().unwrap_or("MS-DOS executable")
}

/// Class, byte order and type (System V ABI, chapter 4).
fn elf(bytes: &[u8]) -> &'static str {
    let little = bytes.get(5) != Some(&2);
    let kind = le16(bytes, 16).map(|n| if little { n } else { n.swap_bytes() });
    match (bytes.get(4), little, kind) {
        (Some(2), true, Some(3)) => "ELF 64-bit LSB shared object",
        (Some(2), true, Some(1)) => "ELF 64-bit LSB relocatable",
        (Some(2), true, Some(4)) => "ELF 64-bit LSB core file",
        (Some(2), true, _) => "ELF 64-bit LSB executable",
        (Some(2), false, _) => "ELF 64-bit MSB executable",
        (_, true, Some(3)) => "ELF 32-bit LSB shared object",
        (_, true, Some(1)) => "ELF 32-bit LSB relocatable",
        (_, true, _) => "ELF 32-bit LSB executable",
        (_, false, _) => "ELF 32-bit MSB executable",
    }
}

/// The first member tells what an archive is for (APPNOTE.TXT section 4.3.7, ECMA-376 part 2, ODF part 3).
fn zip(bytes: &[u8]) -> &'static str {
    let member = || {
        let length = usize::from(le16(bytes, 26)?);
        let extra = usize::from(le16(bytes, 28)?);
        let name = bytes.get(30..30 + length)?;
        Some((name, bytes.get(30 + length + extra..).unwrap_or(&[])))
    };
    let has = |part: &[u8]| memchr::memmem::find(bytes, part).is_some();
    match member() {
        Some((b"mimetype", content)) if content.starts_with(b"application/vnd.oasis.opendocument") => "OpenDocument",
        Some((b"mimetype", content)) if content.starts_with(b"application/epub+zip") => "EPUB document",
        Some((name, _)) if name.starts_with(b"META-INF/") => "Java archive data (JAR)",
        Some((b"AndroidManifest.xml" | b"classes.dex", _)) => "Android package (APK)",
        Some((b"[Content_Types].xml" | b"_rels/.rels" | b"docProps/app.xml", _)) => {
            if has(b"word/") {
                "Microsoft Word 2007+"
            } else if has(b"xl/") {
                "Microsoft Excel 2007+"
            } else if has(b"ppt/") {
                "Microsoft PowerPoint 2007+"
            } else {
                "Microsoft OOXML"
            }
        }
        Some((name, _)) if name.starts_with(b"word/") => "Microsoft Word 2007+",
        _ => "Zip archive data",
    }
}

fn text(bytes: &[u8]) -> &'static str {
    let start = bytes.get(..ENOUGH).unwrap_or(bytes);
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        return "Unicode text, UTF-16";
    }
    let plain = |b: &u8| matches!(b, 0x20..=0x7e | b'\t' | b'\n' | b'\r' | 0x0c | 0x08 | 0x1b | 0x80..);
    if !start.iter().all(plain) {
        return "data";
    }
    let ascii = start.is_ascii();
    let lower = start.to_ascii_lowercase();
    let begins = lower.trim_ascii_start();
    let begins = begins.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begins);
    if begins.starts_with(b"<?xml") && memchr::memmem::find(&lower, b"<html").is_none() {
        let svg = memchr::memmem::find(&lower, b"<svg").is_some();
        return if svg { "SVG Scalable Vector Graphics image" } else { "XML 1.0 document, ASCII text" };
    }
    // file(1) looks for these anywhere in the beginning.
    let html = [&b"<!doctype html"[..], b"<html", b"<head", b"<title", b"<body", b"<script", b"<style", b"<table", b"<a href="];
    if html.iter().any(|tag| memchr::memmem::find(&lower, tag).is_some()) {
        return lines(start, if ascii { HTML_LINES } else { HTML_UTF8_LINES });
    }
    if begins.starts_with(b"<svg") {
        return "SVG Scalable Vector Graphics image";
    }
    if begins.starts_with(b"{\"") || begins.starts_with(b"[{\"") {
        return "JSON text data";
    }
    let whole = start.get(..start.len().saturating_sub(3)).unwrap_or(start);
    match (ascii, std::str::from_utf8(start).is_ok() || std::str::from_utf8(whole).is_ok()) {
        (true, _) => lines(start, ASCII_LINES),
        (false, true) => lines(start, UTF8_LINES),
        (false, false) => lines(start, LATIN_LINES),
    }
}

/// A kind of text by how its lines end: by LF, by CRLF, by both, not at all.
type Lines = [&'static str; 4];
macro_rules! by_lines {
    ($kind:literal) => {
        [
            $kind,
            concat!($kind, ", with CRLF line terminators"),
            concat!($kind, ", with CRLF, LF line terminators"),
            concat!($kind, ", with no line terminators"),
        ]
    };
}
const ASCII_LINES: Lines = by_lines!("ASCII text");
const UTF8_LINES: Lines = by_lines!("Unicode text, UTF-8 text");
const LATIN_LINES: Lines = by_lines!("ISO-8859 text");
const HTML_LINES: Lines = by_lines!("HTML document, ASCII text");
const HTML_UTF8_LINES: Lines = by_lines!("HTML document, Unicode text, UTF-8 text");

fn lines(start: &[u8], words: Lines) -> &'static str {
    let ends = memchr::memchr_iter(b'\n', start);
    let (crlf, lf) = ends.fold((false, false), |(crlf, lf), at| match at.checked_sub(1).and_then(|before| start.get(before)) {
        Some(b'\r') => (true, lf),
        _ => (crlf, true),
    });
    words[match (crlf, lf) {
        (false, true) => 0,
        (true, false) => 1,
        (true, true) => 2,
        (false, false) => 3,
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pe(wide: bool, flags: u16, subsystem: u16) -> Vec<u8> {
        let mut out = vec![0; 0x200];
        out[..2].copy_from_slice(b"MZ");
        out[0x3c] = 0x80;
        out[0x80..0x84].copy_from_slice(b"PE\0\0");
        out[0x80 + 22..0x80 + 24].copy_from_slice(&flags.to_le_bytes());
        out[0x80 + 24..0x80 + 26].copy_from_slice(&if wide { 0x20bu16 } else { 0x10b }.to_le_bytes());
        out[0x80 + 24 + 68..0x80 + 24 + 70].copy_from_slice(&subsystem.to_le_bytes());
        out
    }

    fn archive(name: &[u8], content: &[u8]) -> Vec<u8> {
        let mut out = b"PK\x03\x04".to_vec();
        out.resize(30, 0);
        out[26] = name.len() as u8;
        [out.as_slice(), name, content].concat()
    }

    #[test]
    fn kinds() {
        for (bytes, words) in [
            (pe(false, 2, 2), "PE32 executable (GUI) Intel 80386, for MS Windows"),
            (pe(false, 0x2002, 2), "PE32 executable (DLL) (GUI) Intel 80386, for MS Windows"),
            (pe(true, 2, 3), "PE32+ executable (console) x86-64, for MS Windows"),
            (b"MZ".to_vec(), "MS-DOS executable"),
            (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec(), "ELF 64-bit LSB executable"),
            (b"\x7fELF\x01\x02\x01\0\0\0\0\0\0\0\0\0\0\x02".to_vec(), "ELF 32-bit MSB executable"),
            (b"%PDF-1.4\n".to_vec(), "PDF document, version 1.4"),
            (archive(b"a.txt", b""), "Zip archive data"),
            (archive(b"META-INF/MANIFEST.MF", b""), "Java archive data (JAR)"),
            (archive(b"[Content_Types].xml", b"...word/document.xml"), "Microsoft Word 2007+"),
            (b"<!DOCTYPE HTML><p>\n".to_vec(), "HTML document, ASCII text"),
            (b"<!DOCTYPE HTML>\r\n<p>\n".to_vec(), "HTML document, ASCII text, with CRLF, LF line terminators"),
            (b"hello\r\n".to_vec(), "ASCII text, with CRLF line terminators"),
            ("gr\u{fc}n".as_bytes().to_vec(), "Unicode text, UTF-8 text, with no line terminators"),
            (b"\x01\x02\x03".to_vec(), "data"),
            (Vec::new(), "empty"),
        ] {
            assert_eq!(describe(&bytes), words);
            for n in 0..bytes.len() {
                let _ = describe(&bytes[..n]);
            }
        }
    }
}
