//! The self-test passes on the model, and notices a device that does not keep what the contract promises.

#![allow(missing_docs)]

use weir_contract::layouts::Record;
use weir_device::selftest::{Outcome, Step, selftest};
use weir_sim::faults::Countdown;
use weir_sim::testing::ImageBuilder;
use weir_sim::{Frame, SimConfig, Simulator};

/// Runs the test with what is done to a frame before the device gets it.
fn run(model: &Simulator, change: impl Fn(&mut Vec<u8>)) -> Vec<Step> {
    let mut builder = ImageBuilder::new(8);
    builder.literal(b"selftest", Record::ALWAYS);
    let image = builder.build();
    let port = model.clone();
    let mut feed = |number, time, data: &[u8]| {
        let mut data = data.to_vec();
        change(&mut data);
        port.offer(&Frame { number, time, link: 1, data: &data, wire_length: data.len() as u32 });
    };
    selftest(model.clone(), &image, Some(&mut feed), &mut |_| {})
}

fn model() -> Simulator {
    Simulator::new(SimConfig { queues: 4, flow_entries: 4096 })
}

fn failed(steps: &[Step]) -> Vec<&'static str> {
    steps.iter().filter(|step| matches!(step.outcome, Outcome::Failed(_))).map(|step| step.name).collect()
}

#[test]
fn the_model_passes() {
    let steps = run(&model(), |_| {});
    assert!(steps.iter().all(|step| matches!(step.outcome, Outcome::Passed(_))), "{steps:#?}");
    assert_eq!(steps.len(), 13);
}

#[test]
fn without_a_port_what_needs_frames_is_skipped() {
    let mut builder = ImageBuilder::new(8);
    builder.literal(b"selftest", Record::ALWAYS);
    let steps = selftest(model(), &builder.build(), None, &mut |_| {});
    let skipped: Vec<_> = steps.iter().filter(|s| matches!(s.outcome, Outcome::Skipped(_))).map(|s| s.name).collect();
    assert_eq!((skipped, failed(&steps)), (vec!["frames", "fail mode"], vec![]));
}

#[test]
fn faults_are_noticed() {
    let damaged = model();
    damaged.inject(|faults| faults.corrupt_image(100));
    assert_eq!(failed(&run(&damaged, |_| {})), ["tables"]);
    let unreadable = model();
    unreadable.inject(|faults| faults.fail_reads(Countdown::new(0, 1)));
    assert_eq!(failed(&run(&unreadable, |_| {})), ["tables"]);
    let forgetful = model();
    forgetful.inject(|faults| faults.fail_writes(Countdown::new(3, u64::MAX)));
    assert_eq!(failed(&run(&forgetful, |_| {})), ["frames"]);
    let full = model();
    full.inject(|faults| faults.full_table(true));
    assert_eq!(failed(&run(&full, |_| {})), ["frames"], "harmless frames are diverted");
    // Blind: the fragment is not on the wire that the device sees.
    let blind = run(&model(), |data| data.iter_mut().skip(42).for_each(|byte| *byte ^= 0xff));
    assert_eq!(failed(&blind), ["frames"]);
    // Wrong bytes in history.
    let wrong = run(&model(), |data| data.iter_mut().skip(55).for_each(|byte| *byte ^= 1));
    assert_eq!(failed(&wrong), ["frames"]);
}

#[test]
fn a_device_in_use_is_left_alone() {
    let model = model();
    let mut driver = weir_device::Driver::probe(model.clone()).unwrap();
    driver.set_up(&weir_device::DriverConfig::default()).unwrap();
    let _ = driver.enable(false);
    let steps = run(&model, |_| {});
    assert_eq!((steps.len(), failed(&steps)), (1, vec!["identity"]));
}
