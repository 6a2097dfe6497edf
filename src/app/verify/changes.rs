//! Replays the recorded changes of each organization: the result is its catalog, its audiences and its API clients.
//!
//! Each change must begin with what the changes before it left. The members of an audience are not kept: their number
//! and sums over their ids are compared, so that the check takes memory for the promotions and clients only.

use std::collections::BTreeMap;

use super::rows::each;
use crate::earning::history::ChangeAction;
use crate::storage::StorageError;
use crate::storage::change::{Change, ClientContent, Content, OrgContent, PromotionContent, version_count};
use crate::storage::verify::{ApiClientRow, AudienceRow, Breaches, ChangeRow, OrgRow, PromotionRow, Snapshot};

/// Organization as its changes leave it.
#[derive(Debug, Default)]
struct Replayed {
    /// Version and part of the last change.
    last: (i64, i64),
    org: Option<OrgContent>,
    promotions: BTreeMap<String, PromotionContent>,
    clients: BTreeMap<String, ClientContent>,
    audiences: BTreeMap<String, RecordedMembers>,
}

/// Number of the members of an audience, and sums over their ids that depend on no order.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct RecordedMembers {
    count: i64,
    sum: i64,
    mixed: u64,
}

impl RecordedMembers {
    /// Counts a member once, or once less.
    fn count(&mut self, id: i64, times: i64) {
        self.count += times;
        self.sum = self.sum.wrapping_add(id.wrapping_mul(times));
        self.mixed = self.mixed.wrapping_add(mix(id).wrapping_mul(times.cast_unsigned()));
    }
}

/// Spreads an id over all bits, as `SplitMix64` does, so that two pairs of ids with one sum have other sums here.
fn mix(id: i64) -> u64 {
    let mixed = id.cast_unsigned().wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Checks that replaying the changes gives what is recorded.
pub(super) async fn check(snapshot: &Snapshot) -> Result<Breaches, StorageError> {
    let mut orgs = BTreeMap::<i64, Replayed>::new();
    let mut breaches = each(snapshot, |row: ChangeRow| {
        let named = format!("change {} of version {} of organization {}", row.part, row.version, row.org_id);
        let replayed = orgs.entry(row.org_id).or_default();
        replayed.replay(row).err().map(|problem| format!("{named} {problem}"))
    })
    .await?;
    breaches.extend(compare_catalogs(snapshot, &mut orgs).await?);
    breaches.extend(compare_members(snapshot, &mut orgs).await?);
    for (org_id, left) in &orgs {
        let org = left.org.iter().map(|_| format!("organization {org_id}"));
        let promotions = left.promotions.keys().map(|id| format!("promotion {id} of organization {org_id}"));
        let clients = left.clients.keys().map(|name| format!("API client {name:?} of organization {org_id}"));
        let audiences = left.audiences.iter().filter(|(_, members)| **members != RecordedMembers::default());
        let audiences = audiences.map(|(id, _)| format!("the audience of promotion {id} of organization {org_id}"));
        let left = org.chain(promotions).chain(clients).chain(audiences);
        left.for_each(|what| breaches.add(format!("{what} is not what its changes give")));
    }
    Ok(breaches)
}

/// Compares organizations and promotions, and takes out those that are as they should be.
async fn compare_catalogs(snapshot: &Snapshot, orgs: &mut BTreeMap<i64, Replayed>) -> Result<Breaches, StorageError> {
    let mut breaches = each(snapshot, |row: OrgRow| {
        let replayed = orgs.entry(row.id).or_default();
        let (last, _) = replayed.last;
        if replayed.org == Some(row.content()) {
            replayed.org = None;
        } else {
            replayed.org.get_or_insert_default();
        }
        (row.catalog_version != last).then(|| {
            format!("organization {} has version {}, and the last of its changes {last}", row.id, row.catalog_version)
        })
    })
    .await?;
    let promotions = each(snapshot, |row: PromotionRow| {
        let replayed = orgs.entry(row.org_id).or_default();
        take(&mut replayed.promotions, &row.id, &row.content);
        None
    });
    breaches.extend(promotions.await?);
    Ok(breaches)
}

/// Compares audiences and API clients, and takes out those that are as they should be.
async fn compare_members(snapshot: &Snapshot, orgs: &mut BTreeMap<i64, Replayed>) -> Result<Breaches, StorageError> {
    let mut breaches = each(snapshot, |row: ApiClientRow| {
        let replayed = orgs.entry(row.org_id).or_default();
        take(&mut replayed.clients, &row.username, &row.content());
        None
    })
    .await?;
    let audiences = each(snapshot, |row: AudienceRow| {
        let replayed = orgs.entry(row.org_id).or_default();
        replayed.audiences.entry(row.promotion_id).or_default().count(row.customer_id, -1);
        None
    });
    breaches.extend(audiences.await?);
    Ok(breaches)
}

/// Takes out an equal element, and leaves one where the elements differ or there is none.
fn take<C: PartialEq + Default>(replayed: &mut BTreeMap<String, C>, key: &str, recorded: &C) {
    if replayed.get(key) == Some(recorded) {
        replayed.remove(key);
    } else {
        replayed.entry(key.to_owned()).or_default();
    }
}

impl Replayed {
    /// Applies a change. Returns the problem, if it does not follow from those before it; it is applied all the same,
    /// so that later changes are compared with it.
    fn replay(&mut self, row: ChangeRow) -> Result<(), String> {
        let ChangeRow { version, part, action, promotion_id, before, after, .. } = row;
        let (last_version, last_part) = std::mem::replace(&mut self.last, (version, part));
        let goes_on = version == last_version && part == last_part + 1;
        let is_next = version_count(version) == version_count(last_version) + 1 && part == 1;
        let action: ChangeAction = action.parse().map_err(|_| format!("has the unknown action {action:?}"))?;
        let read = |side: Option<String>| side.map(|text| Content::read(action, &text)).transpose();
        let sides = read(before).and_then(|before| Ok((before, read(after)?)));
        let (before, after) = sides.map_err(|error| format!("cannot be read: {error}"))?;
        let is_of_promotion = before.iter().chain(&after).any(Content::is_of_promotion);
        if Change::action(before.as_ref(), after.as_ref()) != Some(action) || is_of_promotion != promotion_id.is_some()
        {
            return Err(format!("is not of the action {}", action.name()));
        }
        let follows = self.apply(promotion_id.unwrap_or_default(), before, after);
        match (goes_on || is_next, follows) {
            (false, _) => Err(format!("does not follow change {last_part} of version {last_version}")),
            (true, false) => Err("does not begin with what the changes before it left".to_owned()),
            (true, true) => Ok(()),
        }
    }

    /// Applies a change. Returns false if it does not begin with what is there.
    fn apply(&mut self, promotion_id: String, before: Option<Content>, after: Option<Content>) -> bool {
        match (before, after) {
            (before, Some(Content::Org(after))) => {
                let recorded = self.org.replace(after).map(Content::Org);
                recorded == before
            }
            (before, Some(Content::Promotion(after))) => {
                let recorded = self.promotions.insert(promotion_id, after).map(Content::Promotion);
                recorded == before
            }
            (before, Some(Content::Client(after))) => {
                let after = ClientContent { new_secret: false, ..after };
                let recorded = self.clients.insert(after.username.clone(), after).map(Content::Client);
                recorded == before
            }
            (Some(Content::Client(before)), None) => {
                let recorded = self.clients.remove(&before.username);
                recorded == Some(before)
            }
            (before, after) => {
                let members = self.audiences.entry(promotion_id).or_default();
                for (side, times) in [(before, -1), (after, 1)] {
                    if let Some(Content::Audience(ids)) = side {
                        for id in ids {
                            members.count(id, times);
                        }
                    }
                }
                members.count >= 0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_equal_whatever_the_order_and_differ_by_one_of_them() {
        let of = |ids: &[i64]| {
            let mut members = RecordedMembers::default();
            for id in ids {
                members.count(*id, 1);
            }
            members
        };
        assert_eq!(of(&[1, 2, i64::MAX]), of(&[i64::MAX, 1, 2]));
        assert_ne!(of(&[1, 4]), of(&[2, 3]));
        assert_ne!(of(&[1, 1, 2]), of(&[1, 2, 2]));
        let mut emptied = of(&[7, 8]);
        for id in [8, 7] {
            emptied.count(id, -1);
        }
        assert_eq!(emptied, RecordedMembers::default());
    }
}
