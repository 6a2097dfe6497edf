//! Access groups by name.

use strum::VariantNames as _;

use super::violation::Violations;
use crate::access::groups::AccessGroup;

/// Returns the groups of these names. `at` is the path of their list.
pub fn access_groups(at: &str, names: &[String], violations: &mut Violations) -> Vec<AccessGroup> {
    let groups = names.iter().enumerate().filter_map(|(index, name)| {
        let group = name.parse().ok();
        if group.is_none() {
            let known = AccessGroup::VARIANTS.join(", ");
            violations.add(format_args!("{at}[{index}]"), format!("must be one of {known}"));
        }
        group
    });
    groups.collect()
}
