//! What the judge keeps beside lists and header table so that few records are asked (`weir_judge_pkg`), made from the model's tables.

use weir_contract::layouts::Record;
use weir_hw_tb::bits::BitWriter;
use weir_sim::tables::Tables;

/// Conditions that the header table's rows are made by (`weir_judge_pkg`).
pub const CONDITIONS: usize = 352;
/// Entries of the lists that are looked at together.
pub const LIST_WORD: usize = 8;

/// The record admits a condition, as the RTL numbers them: by direction and states, by protocol class, by version and transport.
pub fn condition(record: &Record, n: usize) -> bool {
    match n {
        0..256 => usize::from(record.directions) & n >> 6 & 3 != 0 && usize::from(record.states) & n & 63 != 0,
        256..320 => record.class_mask >> (n - 256) & 1 != 0,
        _ => {
            let (version, transport) = ((n - 320) / 8, n % 8);
            version < 3 && transport < 7 && record.versions >> version & record.transports >> transport & 1 != 0
        }
    }
}

/// What lies beside a word of list entries: of each record destination ports, source ports (10 bits each), directions (2),
/// transports (7), from bit 0 on.
pub fn summaries(tables: &Tables, ids: &[u32]) -> BitWriter {
    let mut bits = BitWriter::default();
    for record in ids.iter().filter_map(|id| tables.records.get(*id as usize)) {
        bits.number(record.destination_ports.into(), 10).number(record.source_ports.into(), 10);
        bits.number((record.directions & 3).into(), 2).number((record.transports & 0x7f).into(), 7);
    }
    bits
}
