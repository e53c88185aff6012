use crate::{Output, Spec};
pub fn generate(_spec: &Spec) -> Vec<Output> {
    Vec::new()
}
