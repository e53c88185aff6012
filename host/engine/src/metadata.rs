//! What rules have left on a flow, as members of records: `metadata` (bits, variables, captured bytes, entropies) and
//! `traffic` (bits named `traffic/id/…` and `traffic/label/…`).

use weir_detect::notes::{Note, Place, Value};
use weir_detect::{FlowDetect, Program};
use weir_output::json::{Object, real};

/// Appends the members for records of a flow. `packet`: what a match tells of its packet.
pub fn of_flow(detect: Option<&FlowDetect>, program: &Program, packet: &[Note], out: &mut Vec<u8>) {
    let (bits, ints) = detect.map(|detect| detect.names(program)).unwrap_or_default();
    let notes = detect.map_or(&[][..], FlowDetect::notes);
    let of = |place: Place| notes.iter().filter(move |note| note.place == place);
    let (traffic, plain): (Vec<&str>, Vec<&str>) = bits.into_iter().partition(|name| name.starts_with("traffic/"));
    let packet: Vec<&Note> = packet.iter().filter(|note| note.place == Place::Packet).collect();
    let any = !plain.is_empty() || !ints.is_empty() || !notes.is_empty() || !packet.is_empty();
    if any {
        let mut members = Vec::new();
        let mut metadata = Object::new(&mut members);
        if !plain.is_empty() {
            let mut names = metadata.array("flowbits");
            plain.iter().for_each(|name| names.item_text(name));
        }
        if !ints.is_empty() {
            let mut values = metadata.object("flowints");
            ints.iter().for_each(|(name, value)| values.number(name, u64::from(*value)));
        }
        if of(Place::Flow).next().is_some() {
            let mut list = metadata.array("flowvars");
            of(Place::Flow).for_each(|note| value(&mut list.item_object(), note));
        }
        if !packet.is_empty() {
            let mut list = metadata.array("pktvars");
            packet.iter().for_each(|note| value(&mut list.item_object(), note));
        }
        if of(Place::Entropy).next().is_some() {
            let mut all = metadata.object("entropy");
            of(Place::Entropy).for_each(|note| value(&mut all, note));
        }
        drop(metadata);
        put("metadata", &members, out);
    }
    let named = |prefix: &str| traffic.iter().filter_map(|name| name.strip_prefix(prefix)).collect::<Vec<_>>();
    let (ids, labels) = (named("traffic/id/"), named("traffic/label/"));
    if !ids.is_empty() || !labels.is_empty() {
        let mut members = Vec::new();
        let mut object = Object::new(&mut members);
        for (key, list) in [("id", ids), ("label", labels)].into_iter().filter(|(_, list)| !list.is_empty()) {
            let mut names = object.array(key);
            list.iter().for_each(|name| names.item_text(name));
        }
        drop(object);
        put("traffic", &members, out);
    }
}

/// Appends the members of an alert's `context`.
pub fn context(notes: &[Note], out: &mut Vec<u8>) {
    let mut members = Vec::new();
    let mut object = Object::new(&mut members);
    notes.iter().filter(|note| note.place == Place::Alert).for_each(|note| value(&mut object, note));
    drop(object);
    // Without the braces.
    out.extend_from_slice(members.get(1..members.len().saturating_sub(1)).unwrap_or_default());
}

fn put(key: &str, object: &[u8], out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b',');
    }
    out.extend_from_slice(format!("\"{key}\":").as_bytes());
    out.extend_from_slice(object);
}

fn value(object: &mut Object<'_>, note: &Note) {
    match &note.value {
        Value::Bytes(bytes) => object.bytes(&note.key, bytes),
        Value::Json(text) => object.raw(&note.key, text.as_bytes()),
        Value::Real(number) => object.raw(&note.key, &real(*number)),
    }
}
