//! The targets, by what they feed.

pub mod app_layer;
pub mod bundle;
pub mod capture;
pub mod configuration;
pub mod contract;
pub mod control;
pub mod device;
pub mod engine;
pub mod frames;
pub mod live;
pub mod reassembly;
pub mod rules;
pub mod text;
pub mod vfio_user;

use crate::Target;

/// All targets, in the order in which they run.
pub fn all() -> Vec<Target> {
    let mut all = Vec::new();
    all.extend(rules::targets());
    all.extend(configuration::targets());
    all.extend(text::targets());
    all.extend(bundle::targets());
    all.extend(control::targets());
    all.extend(vfio_user::targets());
    all.extend(capture::targets());
    all.extend(contract::targets());
    all.extend(frames::targets());
    all.extend(live::targets());
    all.extend(reassembly::targets());
    all.extend(device::targets());
    all.extend(app_layer::targets());
    all.extend(engine::targets());
    all
}

/// A target by name.
pub fn find(name: &str) -> Option<Target> {
    all().into_iter().find(|target| target.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_seeds_pass() {
        let mut names: Vec<_> = all().iter().map(|t| t.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().len());
        for target in all() {
            assert!(find(target.name).is_some());
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{} has no seeds", target.name);
            for seed in seeds {
                (target.run)(&seed);
            }
        }
    }
}
