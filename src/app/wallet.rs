//! Showing what customers hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::App;
use super::error::WalletError;
use crate::earning::change::{EarnedStatus, RecordedStatus};
use crate::earning::{Catalogue, CustomerId, ObjectId, OrgId};
use crate::storage::listing::{Part, Stretch, WalletRow};
use crate::storage::{StorageError, Store};

/// What of a wallet is asked for.
#[derive(Debug, Clone)]
pub struct ListWallet {
    /// Organization of the caller.
    pub org_id: OrgId,
    /// Whose wallet.
    pub customer_id: CustomerId,
    /// How many at most.
    pub limit: usize,
    /// What comes after the one that is valid until then (milliseconds since 1970-01-01T00:00:00Z) and has this earn id.
    pub after: Option<(i64, ObjectId)>,
    /// Only what is so.
    pub statuses: BTreeSet<EarnedStatus>,
    /// Only of these promotions; empty: of all.
    pub promotions: BTreeSet<ObjectId>,
}

/// An earned promotion as it is now.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As the wallet has it.
    pub row: WalletRow,
    /// What became of it.
    pub status: EarnedStatus,
    /// The promotion's name.
    pub promotion_name: String,
    /// Whether the promotion runs.
    pub promotion_active: bool,
}

/// A page of a wallet.
#[derive(Debug)]
pub struct Page {
    /// What it shows.
    pub entries: Vec<Entry>,
    /// The last of it, when more comes after.
    pub more_after: Option<(i64, ObjectId)>,
}

/// A page of a wallet of the organization of `catalogue`, as it is at `now_ms` (milliseconds since
/// 1970-01-01T00:00:00Z): what is valid the longest first. `None` when there is no such customer.
///
/// # Errors
/// Of the database.
pub async fn page(
    store: &Store,
    catalogue: &Catalogue,
    list: &ListWallet,
    now_ms: i64,
) -> Result<Option<Page>, StorageError> {
    let part = Part {
        org_id: list.org_id,
        customer_id: list.customer_id,
        stretches: &stretches(&list.statuses, now_ms),
        promotions: &list.promotions,
        after: list.after,
        // One more, to know whether there is one.
        limit: list.limit + 1,
    };
    let mut rows = store.wallet(&part).await?;
    if rows.is_empty()
        && !catalogue.org.accept_unknown_customers
        && !store.is_customer(list.org_id, list.customer_id).await?
    {
        return Ok(None);
    }
    let more = rows.len() > list.limit;
    rows.truncate(list.limit);
    let more_after = rows.last().filter(|_| more).map(|row| (row.held.valid_till_ms, row.key.earn_id));
    let entries = rows.into_iter().map(|row| entry(catalogue, row, now_ms)).collect();
    Ok(Some(Page { entries, more_after }))
}

impl App {
    /// A page of a wallet: what is valid the longest first.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn list_wallet(&self, client: &Arc<str>, list: &ListWallet) -> Result<Page, WalletError> {
        let page = self.reading(client, async {
            let catalogue = self.catalogue(list.org_id).await?;
            let mut page = page(&self.store, &catalogue, list, self.now_ms()).await?;
            if let Some(page) = &mut page {
                self.name_unknown(list.org_id, &mut page.entries).await?;
            }
            Ok(page)
        });
        let page = page.await.map_err(|error| match error {
            WalletError::Unavailable(source) => WalletError::CustomerLookupFailed(list.customer_id, source),
            other => other,
        })?;
        page.ok_or(WalletError::CustomerNotFound(list.customer_id))
    }

    /// One earned promotion; `None` when the organization has none of this id.
    ///
    /// # Errors
    /// Why it could not be looked up.
    pub async fn earned_promotion(
        &self,
        client: &Arc<str>,
        org_id: OrgId,
        earn_id: ObjectId,
    ) -> Result<Option<Entry>, WalletError> {
        self.reading(client, async {
            let catalogue = self.catalogue(org_id).await?;
            let row = self.store.earned_promotion(org_id, earn_id).await?;
            let mut found: Vec<_> = row.into_iter().map(|row| entry(&catalogue, row, self.now_ms())).collect();
            self.name_unknown(org_id, &mut found).await?;
            Ok(found.pop())
        })
        .await
    }

    /// Looks once more for promotions that another process made a moment ago.
    async fn name_unknown(&self, org_id: OrgId, entries: &mut [Entry]) -> Result<(), WalletError> {
        if entries.iter().all(|entry| !entry.promotion_name.is_empty()) {
            return Ok(());
        }
        let compared = self.catalogues.current(&BTreeSet::from([org_id])).await?.remove(&org_id);
        for entry in entries {
            let id = entry.row.held.promotion_id;
            if let Some(promotion) = compared.as_ref().and_then(|catalogue| catalogue.promotions.get(&id)) {
                (entry.promotion_name, entry.promotion_active) = (promotion.name.clone(), promotion.active);
            }
        }
        Ok(())
    }

    /// The catalog of an organization as it is now.
    pub(super) async fn catalogue(&self, org_id: OrgId) -> Result<Arc<Catalogue>, WalletError> {
        let catalogue = self.catalogues.current(&BTreeSet::from([org_id])).await?.remove(&org_id);
        catalogue.ok_or_else(|| WalletError::no_organization(org_id))
    }
}

/// Where what is so is found at `now_ms`.
fn stretches(statuses: &BTreeSet<EarnedStatus>, now_ms: i64) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    let (unlocked, expired) = (statuses.contains(&EarnedStatus::Unlocked), statuses.contains(&EarnedStatus::Expired));
    if unlocked || expired {
        stretches.push(Stretch {
            status: RecordedStatus::Unlocked,
            from_ms: if expired { i64::MIN } else { now_ms },
            to_ms: if unlocked { i64::MAX } else { now_ms - 1 },
        });
    }
    for (wanted, status) in
        [(EarnedStatus::Redeemed, RecordedStatus::Redeemed), (EarnedStatus::Revoked, RecordedStatus::Revoked)]
    {
        if statuses.contains(&wanted) {
            stretches.push(Stretch { status, from_ms: i64::MIN, to_ms: i64::MAX });
        }
    }
    stretches
}

fn entry(catalogue: &Catalogue, row: WalletRow, now_ms: i64) -> Entry {
    let promotion = catalogue.promotions.get(&row.held.promotion_id);
    Entry {
        status: row.held.status_at(now_ms),
        promotion_name: promotion.map(|promotion| promotion.name.clone()).unwrap_or_default(),
        promotion_active: promotion.is_some_and(|promotion| promotion.active),
        row,
    }
}
