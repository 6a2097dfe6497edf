//! Reads what customers hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::gates::SMALL_PAGE;
use super::{App, ReadSlot};
use crate::earning::change::{EarnedStatus, RecordedStatus};
use crate::earning::time::MILLISECOND;
use crate::earning::{Catalog, CustomerId, ObjectId, OrgId, Timestamp};
use crate::storage::listing::{ListingRange, WalletPart, WalletRow};
use crate::storage::{StorageError, Store};
use crate::writer::error::WalletError;

/// Maximum number of rows of a later part.
const MAX_PART: usize = 500;
/// Approximate size of the texts of a later part, in bytes. Reading a part keeps a processor from other calls for that
/// long.
const PART_BYTES: usize = 256 * 1024;

/// A request for a page of a wallet.
#[derive(Debug, Clone)]
pub struct ListWallet {
    /// Organization of the caller.
    pub org_id: OrgId,
    /// Customer whose wallet is read.
    pub customer_id: CustomerId,
    /// Maximum number of entries.
    pub limit: usize,
    /// Position after which the page begins: end of validity and earn id of the last entry before it.
    pub after: Option<(Timestamp, ObjectId)>,
    /// Filters by status.
    pub statuses: BTreeSet<EarnedStatus>,
    /// Filters by promotion; empty means all promotions.
    pub promotions: BTreeSet<ObjectId>,
}

/// An earned promotion in its present state.
#[derive(Debug, Clone)]
pub struct WalletItem {
    /// The recorded row.
    pub row: WalletRow,
    /// Present status.
    pub status: EarnedStatus,
    /// Name of the promotion.
    pub promotion_name: String,
    /// True when the promotion is active.
    pub promotion_active: bool,
}

/// A page of a wallet.
#[derive(Debug)]
pub struct Page {
    /// Entries of the page.
    pub entries: Vec<WalletItem>,
    /// Position of the last entry, when more follow.
    pub more_after: Option<(Timestamp, ObjectId)>,
    /// The client's slot for large pages, held until the page is encoded.
    pub slot: Option<ReadSlot>,
}

/// Returns a page of a wallet of the organization of `catalog`, as of `now`, ordered by end of validity, the latest first. Returns `None` when there is no such customer.
///
/// # Errors
/// Returns the error of the database.
pub async fn page(
    store: &Store,
    catalog: &Catalog,
    list: &ListWallet,
    now: Timestamp,
) -> Result<Option<Page>, StorageError> {
    let mut parts = Parts::new(list, usize::MAX, now);
    while parts.read(store).await? {}
    parts.page(store, catalog).await
}

/// A page that is read in parts, so that other calls are served in between. A part begins behind the last row of the
/// part before it, as pages do: a concurrent change neither shows a row twice nor hides another.
struct Parts<'a> {
    list: &'a ListWallet,
    now: Timestamp,
    rows: Vec<WalletRow>,
    /// Size of the texts in these rows, in bytes.
    bytes: usize,
    /// Size of texts in bytes beyond which the last row does not fit into an answer.
    room: usize,
    /// True while there may be more rows in the wallet.
    more: bool,
}

impl<'a> Parts<'a> {
    fn new(list: &'a ListWallet, room: usize, now: Timestamp) -> Self {
        Self { list, now, rows: Vec::new(), bytes: 0, room, more: true }
    }

    /// Reads the next part. Returns true while the page needs another.
    async fn read(&mut self, store: &Store) -> Result<bool, StorageError> {
        let Self { list, now, .. } = *self;
        let most = match self.bytes.checked_div(self.rows.len()) {
            None => SMALL_PAGE + 1,
            Some(bytes_of_a_row) => (PART_BYTES / bytes_of_a_row.max(1)).clamp(1, MAX_PART),
        };
        // One row more than the page shows tells whether another follows.
        let limit = most.min(list.limit + 1 - self.rows.len());
        let part = WalletPart {
            org_id: list.org_id,
            customer_id: list.customer_id,
            ranges: &ranges(&list.statuses, now),
            promotions: &list.promotions,
            after: self.rows.last().map(place).or(list.after),
            limit,
        };
        let rows = store.wallet(&part).await?;
        self.more = rows.len() == limit;
        self.bytes += rows.iter().map(text_bytes).sum::<usize>();
        self.rows.extend(rows);
        Ok(self.more && self.rows.len() <= list.limit && self.bytes <= self.room)
    }

    /// Returns the page of the parts that were read; `None` when there is no such customer.
    async fn page(mut self, store: &Store, catalog: &Catalog) -> Result<Option<Page>, StorageError> {
        let Self { list, now, .. } = self;
        if self.rows.is_empty()
            && !catalog.org.accept_unknown_customers
            && !store.is_customer(list.org_id, list.customer_id).await?
        {
            return Ok(None);
        }
        self.rows.truncate(list.limit);
        let more_after = self.rows.last().filter(|_| self.more).map(place);
        let entries = self.rows.into_iter().map(|row| entry(catalog, row, now)).collect();
        Ok(Some(Page { entries, more_after, slot: None }))
    }
}

/// Returns the position of a row in its wallet.
fn place(row: &WalletRow) -> (Timestamp, ObjectId) {
    (row.held.valid_till, row.key.earn_id)
}

/// Returns the size in bytes of the texts that an answer repeats for a row.
fn text_bytes(row: &WalletRow) -> usize {
    let payload = row.details.event_payload.as_ref().map_or(0, |payload| payload.len());
    payload + row.event_id.len() + row.earned_from_id.len()
}

impl App {
    /// Returns a page of a wallet, ordered by end of validity, the latest first, for an answer of at most `room` bytes:
    /// a larger page is cut to its first rows.
    ///
    /// # Errors
    /// Returns why the wallet could not be read.
    pub async fn list_wallet(&self, client: &Arc<str>, list: &ListWallet, room: usize) -> Result<Page, WalletError> {
        let named = |error| match error {
            WalletError::Unavailable(source) => WalletError::CustomerLookupFailed(list.customer_id, source),
            other => other,
        };
        let page = self.read_wallet(client, list, room).await.map_err(named)?;
        page.ok_or(WalletError::CustomerNotFound(list.customer_id))
    }

    async fn read_wallet(
        &self,
        client: &Arc<str>,
        list: &ListWallet,
        room: usize,
    ) -> Result<Option<Page>, WalletError> {
        let slot = self.gates.large_read(client, list.limit).await?;
        let mut parts = Parts::new(list, room, self.now());
        while self.reading(client, async { Ok::<_, WalletError>(parts.read(&self.store).await?) }).await? {}
        self.reading(client, async {
            let catalog = self.catalog(list.org_id).await?;
            let mut page = parts.page(&self.store, &catalog).await?;
            if let Some(page) = &mut page {
                self.name_unknown(list.org_id, &mut page.entries).await?;
                page.slot = slot;
            }
            Ok(page)
        })
        .await
    }

    /// Returns one earned promotion; `None` when the organization has none of this id.
    ///
    /// # Errors
    /// Returns why it could not be looked up.
    pub async fn earned_promotion(
        &self,
        client: &Arc<str>,
        org_id: OrgId,
        earn_id: ObjectId,
    ) -> Result<Option<WalletItem>, WalletError> {
        self.reading(client, async {
            let catalog = self.catalog(org_id).await?;
            let row = self.store.earned_promotion(org_id, earn_id).await?;
            let mut found: Vec<_> = row.into_iter().map(|row| entry(&catalog, row, self.now())).collect();
            self.name_unknown(org_id, &mut found).await?;
            Ok(found.pop())
        })
        .await
    }

    /// Looks again for promotions that another process created a moment ago.
    async fn name_unknown(&self, org_id: OrgId, entries: &mut [WalletItem]) -> Result<(), WalletError> {
        if entries.iter().all(|entry| !entry.promotion_name.is_empty()) {
            return Ok(());
        }
        let compared = self.catalogs.current(&BTreeSet::from([org_id])).await?.remove(&org_id);
        for entry in entries {
            let id = entry.row.held.promotion_id;
            if let Some(promotion) = compared.as_ref().and_then(|catalog| catalog.promotions.get(&id)) {
                (entry.promotion_name, entry.promotion_active) = (promotion.name.clone(), promotion.active);
            }
        }
        Ok(())
    }

    /// Returns the present catalog of an organization.
    pub(super) async fn catalog(&self, org_id: OrgId) -> Result<Arc<Catalog>, WalletError> {
        let catalog = self.catalogs.current(&BTreeSet::from([org_id])).await?.remove(&org_id);
        catalog.ok_or_else(|| WalletError::no_organization(org_id))
    }
}

/// Returns the ranges of recorded status and validity that have these statuses at `now`.
fn ranges(statuses: &BTreeSet<EarnedStatus>, now: Timestamp) -> Vec<ListingRange> {
    let mut ranges = Vec::new();
    let (unlocked, expired) = (statuses.contains(&EarnedStatus::Unlocked), statuses.contains(&EarnedStatus::Expired));
    if unlocked || expired {
        ranges.push(ListingRange {
            status: RecordedStatus::Unlocked,
            from: if expired { Timestamp::MIN } else { now },
            to: if unlocked { Timestamp::MAX } else { now - MILLISECOND },
        });
    }
    for (wanted, status) in
        [(EarnedStatus::Redeemed, RecordedStatus::Redeemed), (EarnedStatus::Revoked, RecordedStatus::Revoked)]
    {
        if statuses.contains(&wanted) {
            ranges.push(ListingRange { status, from: Timestamp::MIN, to: Timestamp::MAX });
        }
    }
    ranges
}

fn entry(catalog: &Catalog, row: WalletRow, now: Timestamp) -> WalletItem {
    let promotion = catalog.promotions.get(&row.held.promotion_id);
    WalletItem {
        status: row.held.status_at(now),
        promotion_name: promotion.map(|promotion| promotion.name.clone()).unwrap_or_default(),
        promotion_active: promotion.is_some_and(|promotion| promotion.active),
        row,
    }
}
