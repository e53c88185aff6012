#!/usr/bin/env python3
"""Make src/plan/statistics.bin from captures: learn-statistics.py OUT.bin CAPTURE.pcap...

Counts, per kind of traffic, the frames that hold each folded run of three and four bytes. Only classic pcap files with
Ethernet, raw IP or Linux cooked frames are read; others are skipped with a message. The table's layout is described in
src/plan/cost.rs.
"""
import math
import struct
import sys

KINDS = ["request", "response", "dns", "tls", "stream", "datagram"]
BITS = 16
KEPT = 8000
FOLD = bytes(b + 32 if 65 <= b <= 90 else b for b in range(256))
METHODS = (b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI", b"DELE", b"CONN", b"PROP")


def slot(run):
    h = 0x811C9DC5
    for b in run:
        h = ((h ^ b) * 0x01000193) & 0xFFFFFFFF
    return (h ^ (h >> 15)) & ((1 << BITS) - 1)


def frames(path):
    with open(path, "rb") as f:
        data = f.read()
    magic = data[:4]
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\x4d\x3c\xb2\xa1": "<"}.get(magic)
    if order is None:
        print("skipped (not classic pcap):", path, file=sys.stderr)
        return
    link = struct.unpack(order + "I", data[20:24])[0] & 0xFFFF
    at = 24
    while at + 16 <= len(data):
        captured = struct.unpack(order + "I", data[at + 8 : at + 12])[0]
        yield link, data[at + 16 : at + 16 + captured]
        at += 16 + captured


def payload(link, frame):
    """(key, reverse key, transport, source port, destination port, payload) or None."""
    if link == 1:
        at, kind = 12, frame[12:14]
        while kind in (b"\x81\x00", b"\x88\xa8"):
            at += 4
            kind = frame[at : at + 2]
        ip = frame[at + 2 :]
    elif link == 113:
        ip = frame[16:]
    elif link in (12, 101):
        ip = frame
    else:
        return None
    if len(ip) < 20:
        return None
    if ip[0] >> 4 == 4:
        if ip[6] & 0x3F or ip[7]:
            return None
        header, proto = (ip[0] & 15) * 4, ip[9]
        body = ip[header : (ip[2] << 8) | ip[3]]
        ends = ip[12:16], ip[16:20]
    elif ip[0] >> 4 == 6 and len(ip) >= 40:
        proto, body = ip[6], ip[40 : 40 + ((ip[4] << 8) | ip[5])]
        ends = ip[8:24], ip[24:40]
    else:
        return None
    if proto == 6 and len(body) >= 20:
        data = body[(body[12] >> 4) * 4 :]
    elif proto == 17 and len(body) >= 8:
        data = body[8:]
    else:
        return None
    source, destination = struct.unpack(">HH", body[:4])
    return (ends[0], source, ends[1], destination, proto), (ends[1], destination, ends[0], source, proto), proto, source, destination, data


def main():
    out, paths = sys.argv[1], sys.argv[2:]
    grams = [[{}, {}] for _ in KINDS]
    totals = [0] * len(KINDS)
    for path in paths:
        classes = {}
        for link, frame in frames(path):
            parsed = payload(link, frame)
            if not parsed or not parsed[5]:
                continue
            key, reverse, proto, source, destination, data = parsed
            if proto == 17:
                kind = 2 if 53 in (source, destination) or 5353 in (source, destination) else 5
            else:
                known = classes.get(key)
                if known is None:
                    if data[:4] in METHODS or data[:5] == b"HTTP/":
                        known = "http"
                    elif data[:2] == b"\x16\x03":
                        known = "tls"
                    else:
                        known = "other"
                    classes[key] = known
                    classes.setdefault(reverse, known)
                if known == "http":
                    first = classes.setdefault(("client",) + key, data[:4] in METHODS or (data[:5] != b"HTTP/" and destination < source))
                    kind = 0 if first else 1
                else:
                    kind = 3 if known == "tls" else 4
            if kind == 3 and data[0] == 0x17:
                continue  # encrypted records are not inspected
            totals[kind] += 1
            folded = data[:1460].translate(FOLD)
            for n in (3, 4):
                counts = grams[kind][n - 3]
                if len(counts) > 1_500_000:
                    # What was seen once in so much traffic is not among the frequent ones.
                    for run in [run for run, count in counts.items() if count == 1]:
                        del counts[run]
                for run in {folded[i : i + n] for i in range(len(folded) - n + 1)}:
                    counts[run] = counts.get(run, 0) + 1
    table = bytearray()
    for kind, total in enumerate(totals):
        print(KINDS[kind], total, [len(g) for g in grams[kind]], file=sys.stderr)
        for counts in grams[kind]:
            kept = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:KEPT]
            floor = max(0.5, kept[-1][1] / 2) if len(kept) == KEPT else 0.5
            slots = [floor] * (1 << BITS)
            for run, count in kept:
                at = slot(run)
                slots[at] = max(slots[at], count)
            table += bytes(min(255, max(0, round(-8 * math.log2(c / max(total, 1))))) for c in slots)
    with open(out, "wb") as f:
        f.write(table)


main()
