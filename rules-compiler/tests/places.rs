//! Where windows may lie that stand for what a rule fixes at a place.

mod common;

use weir_contract::guards::Guard;
use weir_rules::plan::{Options, Trigger, plan};

/// A payload may end behind what a rule asks for: a window over bytes that nobody asks for would not be there.
#[test]
fn windows_at_a_beginning_lie_in_what_is_there() {
    let text = |rest: &str| format!("alert tcp any any -> any 1913 (msg:\"x\"; flow:established,to_server; {rest} sid:1;)");
    for (rest, windows) in [
        ("content:\"|05 01 00|\"; depth:3;", 0),
        ("content:\"|18 03|\"; depth:2; byte_test:1,<,4,2;", 0),
        ("content:\"|18 03|\"; depth:2; byte_test:1,<,4,2; byte_test:2,>,150,3;", 1024),
        ("content:\"|05 01|\"; depth:2; content:\"|00 02|\"; offset:3; depth:2;", 256),
    ] {
        let options = Options { without_guards: Guard::Word.bit(), ..Options::default() };
        let planned = plan(&common::rules(&text(rest)), &options);
        let found = planned.rules[0].conditions.iter().filter(|c| matches!(c.trigger, Trigger::Fragment(_))).count();
        assert!(if windows == 0 { found == 0 } else { found > 0 }, "{rest}: {found} windows");
    }
}
