//! A batch of earnings: the facts that it needs, and its writes.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashSet;

use super::catalogs::CatalogVersions;
use crate::earning::{CustomerId, EarningKey, Grant, Holder, Instance, ObjectId, OrgId};

/// Keys of the facts that a batch needs, without repeats. Batches take their locks in this order.
#[derive(Debug, Default)]
pub struct EarningsWanted {
    /// Catalogs that the batch is decided from.
    pub catalogs: CatalogVersions,
    /// Customers who may not be recorded.
    pub customers: BTreeSet<(OrgId, CustomerId)>,
    /// Earnings that may be recorded.
    pub earnings: BTreeSet<EarningKey>,
    /// True if every earning is named once.
    pub each_named_once: bool,
    /// Customers and the capped promotions that they would earn, with the cap period of each promotion.
    pub capped: BTreeMap<Holder, i64>,
    /// Customers and the promotions that they would earn and that are limited to an audience.
    pub limited: BTreeSet<Holder>,
}

impl EarningsWanted {
    /// Returns true if the cap of one of the promotions was set after the promotion was earned.
    pub(in crate::storage) fn has_late_caps(&self) -> bool {
        self.capped.values().any(|period| *period > 0)
    }
}

/// Writes of a batch.
#[derive(Debug, Default)]
pub struct Grants {
    /// New instances.
    pub grants: Vec<Grant>,
    /// Grants to each customer of each capped promotion.
    pub under_cap: BTreeMap<Holder, UnderCap>,
    /// Promotions that are earned for the first time.
    pub first_of: BTreeSet<(OrgId, ObjectId)>,
}

/// Grants to one customer of one capped promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderCap {
    /// Number of instances granted.
    pub granted: u32,
    /// Cap of the promotion.
    pub cap: u32,
    /// Cap period of the promotion.
    pub cap_period: i64,
}

impl Grants {
    /// Returns the earnings of `wanted` that the batch does not begin.
    pub(in crate::storage) fn untouched<'a>(&self, wanted: &'a EarningsWanted) -> Vec<&'a EarningKey> {
        let begun = self.grants.iter().filter(|grant| grant.first_ordinal == 1).map(|grant| &grant.key);
        if begun.clone().count() == wanted.earnings.len() {
            return Vec::new();
        }
        let begun: HashSet<_> = begun.collect();
        wanted.earnings.iter().filter(|key| !begun.contains(key)).collect()
    }
}

/// Row of the wallet: the grant, the ordinal of the instance within its earning, and the instance.
#[derive(Debug, Clone, Copy)]
pub(in crate::storage) struct InstanceRow<'a> {
    pub grant: &'a Grant,
    pub ordinal: u32,
    pub instance: &'a Instance,
}

/// Lists the rows to write, in the order of their keys.
pub(in crate::storage) fn rows(grants: &Grants) -> Vec<InstanceRow<'_>> {
    let mut sorted: Vec<_> = grants.grants.iter().collect();
    sorted.sort_by(|one, other| (&one.key, one.first_ordinal).cmp(&(&other.key, other.first_ordinal)));
    let mut rows = Vec::new();
    for grant in sorted {
        let numbered = (grant.first_ordinal..).zip(&grant.instances);
        rows.extend(numbered.map(|(ordinal, instance)| InstanceRow { grant, ordinal, instance }));
    }
    rows
}
