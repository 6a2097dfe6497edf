//! Reading a wallet page by page, and single earned promotions.
//!
//! A page is merged from the beginnings of a few ranges of the listing index, at least one for each status, and only
//! these rows are sorted. However large a wallet is, reading a page costs in proportion to the page.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, DerivePartialModel, IdenStatic};

use super::batch::read::{details, earnings, of_earnings};
use super::dialect::Dialect;
use super::entity::earned_promotion::{Column, LISTING};
use super::entity::stored::{Id, StoredCriteria, StoredEarnedFromType, StoredStatus};
use super::entity::{customer, earned_promotion};
use super::org_owned::{OrgQuery, Search, column};
use super::statement::On;
use super::{StorageError, Store};
use crate::earning::change::{HeldPromotion, InstanceKey, RecordedStatus};
use crate::earning::time::MILLISECOND;
use crate::earning::{CustomerId, Details, EarnedFromType, EarningKey, ObjectId, OrgId, Timestamp};

/// Earned promotion as it is listed.
#[derive(Debug, DerivePartialModel)]
#[sea_orm(entity = "earned_promotion::Entity")]
struct ListedRow {
    earn_id: Id,
    customer_id: i64,
    promotion_id: Id,
    event_id: String,
    earned_from_id: String,
    earned_from_type: StoredEarnedFromType,
    earned_status: StoredStatus,
    ordinal: i64,
    event_time_ms: Timestamp,
    valid_till_ms: Timestamp,
    granted_at_ms: Timestamp,
    event_type: Option<String>,
    event_payload: Option<String>,
    supplementary_criteria: Option<StoredCriteria>,
    transaction_identifier: Option<String>,
}

/// Details of an earning, which are on its first instance.
#[derive(Debug, DerivePartialModel)]
#[sea_orm(entity = "earned_promotion::Entity")]
struct DetailsRow {
    event_type: Option<String>,
    event_payload: Option<String>,
    supplementary_criteria: Option<StoredCriteria>,
}

/// Searches the first instances of earnings.
fn firsts() -> Search<earned_promotion::Entity> {
    Search { condition: format!("{} = 1", column::<earned_promotion::Entity>(Column::Ordinal)), ..earnings() }
}

/// Range of the listing: earned promotions with one status whose validity ends from `from` to `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListingRange {
    /// Status of the earned promotions.
    pub status: RecordedStatus,
    /// Earliest end of validity.
    pub from: Timestamp,
    /// Latest end of validity, inclusive.
    pub to: Timestamp,
}

/// Part of a wallet to read.
#[derive(Debug)]
pub struct WalletPart<'a> {
    /// Organization.
    pub org_id: OrgId,
    /// Customer who holds the wallet.
    pub customer_id: CustomerId,
    /// Ranges to read.
    pub ranges: &'a [ListingRange],
    /// Promotions to read; empty for all.
    pub promotions: &'a BTreeSet<ObjectId>,
    /// End of validity and earn id of the last earned promotion of the page before.
    pub after: Option<(Timestamp, ObjectId)>,
    /// Largest number of rows to return.
    pub limit: usize,
}

/// Earned promotion with its recorded data.
#[derive(Debug, Clone)]
pub struct WalletRow {
    /// Key of the earned promotion.
    pub key: InstanceKey,
    /// Promotion, times and status.
    pub held: HeldPromotion,
    /// The caller's identifier of the event.
    pub event_id: String,
    /// The caller's identifier of the earning within the event.
    pub earned_from_id: String,
    /// Type under which the promotion was earned.
    pub earned_from_type: EarnedFromType,
    /// Time of the grant.
    pub granted_at: Timestamp,
    /// Details of the earning.
    pub details: Details,
}

impl WalletRow {
    /// Returns the key of the earning.
    fn earning_key(&self) -> EarningKey {
        EarningKey {
            org_id: self.key.org_id,
            customer_id: self.key.customer_id,
            event_id: self.event_id.as_str().into(),
            promotion_id: self.held.promotion_id,
            earned_from_id: self.earned_from_id.as_str().into(),
        }
    }
}

impl Store {
    /// Returns the earned promotions of the part, with the latest end of validity first, and by earn id where it is
    /// equal.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn wallet(&self, part: &WalletPart<'_>) -> Result<Vec<WalletRow>, StorageError> {
        let (query, order) = listing(part, self.engine);
        let connection = self.reads.acquire().await?;
        let rows = query.run(&connection, &order).await?;
        let rows = complete(&self.on(&connection), part.org_id, rows).await?;
        connection.release();
        Ok(rows)
    }

    /// Returns the earned promotion with this earn id; `None` if there is none.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn earned_promotion(&self, org_id: OrgId, earn_id: ObjectId) -> Result<Option<WalletRow>, StorageError> {
        let mut query = OrgQuery::about(org_id);
        // The second condition is that of the index of earn ids on PostgreSQL, so that the search uses that index.
        let column = Column::EarnId.as_str();
        let condition = format!("{column} = {} AND {column} >= ''", query.place(earn_id.to_string()));
        query.select::<earned_promotion::Entity, ListedRow>("", &condition);
        let connection = self.reads.acquire().await?;
        let rows = query.run(&connection, "LIMIT 1").await?;
        let mut rows = complete(&self.on(&connection), org_id, rows).await?;
        connection.release();
        Ok(rows.pop())
    }

    /// Returns true if the customer is recorded.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn is_customer(&self, org_id: OrgId, customer_id: CustomerId) -> Result<bool, StorageError> {
        let mut query = OrgQuery::about(org_id);
        let condition = format!("{} = {}", customer::Column::CustomerId.as_str(), query.place(customer_id.0));
        query.select::<customer::Entity, customer::Model>("", &condition);
        let connection = self.reads.acquire().await?;
        let found = query.run::<customer::Model>(&connection, "").await?;
        connection.release();
        Ok(!found.is_empty())
    }
}

/// Reads the details of earnings for the rows that are not a first instance. Returns all rows.
async fn complete(
    on: &On<'_, impl ConnectionTrait>,
    org_id: OrgId,
    rows: Vec<ListedRow>,
) -> Result<Vec<WalletRow>, StorageError> {
    let later_instance: Vec<_> = rows.iter().map(|row| row.ordinal > 1).collect();
    let mut complete: Vec<_> = rows.into_iter().map(|row| wallet_row(org_id, row)).collect();
    // The details of an earning are read once, however many of its instances are shown.
    let mut later: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (place, row) in complete.iter().enumerate().filter(|(place, _)| later_instance[*place]) {
        later.entry(row.earning_key()).or_default().push(place);
    }
    let keys: Vec<_> = later.keys().collect();
    for found in firsts().run::<DetailsRow>(on, of_earnings(&keys)).await? {
        let key = *found.of(&keys)?;
        let DetailsRow { event_type, event_payload, supplementary_criteria } = found.row;
        let details = details(event_type, event_payload, supplementary_criteria);
        for place in &later[key] {
            complete[*place].details = details.clone();
        }
    }
    Ok(complete)
}

fn wallet_row(org_id: OrgId, row: ListedRow) -> WalletRow {
    WalletRow {
        key: InstanceKey { org_id, customer_id: CustomerId(row.customer_id), earn_id: row.earn_id.0 },
        held: HeldPromotion {
            promotion_id: row.promotion_id.0,
            event_time: row.event_time_ms,
            valid_till: row.valid_till_ms,
            status: row.earned_status.into(),
            redeemed_by: row.transaction_identifier.map(Into::into),
        },
        event_id: row.event_id,
        earned_from_id: row.earned_from_id,
        earned_from_type: row.earned_from_type.into(),
        granted_at: row.granted_at_ms,
        details: details(row.event_type, row.event_payload, row.supplementary_criteria),
    }
}

/// Builds the queries for the beginnings of all ranges, and the clause that merges them.
fn listing(part: &WalletPart<'_>, dialect: &dyn Dialect) -> (OrgQuery, String) {
    let mut query = OrgQuery::about(part.org_id);
    let customer = query.place(part.customer_id.0);
    let limit = query.place(i64::try_from(part.limit).unwrap_or(i64::MAX));
    let [customer_id, status_column, valid_till, earn_id_column, promotion_id] =
        [Column::CustomerId, Column::EarnedStatus, Column::ValidTillMs, Column::EarnId, Column::PromotionId]
            .map(|column| column.as_str());
    let order = format!("ORDER BY {valid_till} DESC, {earn_id_column} LIMIT {limit}");
    let mut filter = String::new();
    if !part.promotions.is_empty() {
        let place = query.place(dialect.texts(part.promotions.iter().map(ToString::to_string).collect()));
        filter = format!("AND {}", dialect.is_one_of(promotion_id, &place));
    }
    // SQLite would otherwise choose the index of another order, and sort.
    let index = dialect.index_hint(LISTING);
    let beginning = |query: &mut OrgQuery, status: &str, condition: String| {
        let condition = format!(
            "{customer_id} = {customer} AND {status_column} = {status} AND {status_column} <> '' AND {condition} {filter} \
             {order}"
        );
        query.select::<earned_promotion::Entity, ListedRow>(&index, &condition);
    };
    for range in part.ranges {
        let status = query.place(StoredStatus::text(range.status));
        let mut to = range.to;
        if let Some((last, earn_id)) = part.after {
            if (range.from..=range.to).contains(&last) {
                let (at, earn_id) = (query.place(last), query.place(earn_id.to_string()));
                beginning(&mut query, &status, format!("{valid_till} = {at} AND {earn_id_column} > {earn_id}"));
            }
            to = to.min(last - MILLISECOND);
        }
        if range.from <= to {
            let (from, to) = (query.place(range.from), query.place(to));
            beginning(&mut query, &status, format!("{valid_till} >= {from} AND {valid_till} <= {to}"));
        }
    }
    (query, order)
}

#[cfg(test)]
mod tests {
    use super::super::schema_tests;
    use super::*;

    /// Returns the query plan of SQLite.
    async fn plan(part: &WalletPart<'_>) -> Vec<String> {
        let (_directory, store) = schema_tests::store().await;
        let (query, order) = listing(part, store.engine);
        schema_tests::plan(&store.reads.database(), query.statement(store.engine.backend(), &order)).await
    }

    #[tokio::test]
    async fn a_page_is_read_in_the_order_of_its_index_from_where_it_begins() {
        let unlocked =
            ListingRange { status: RecordedStatus::Unlocked, from: Timestamp::from_millis(5), to: Timestamp::MAX };
        let revoked = ListingRange { status: RecordedStatus::Revoked, from: Timestamp::MIN, to: Timestamp::MAX };
        let promotions = BTreeSet::from([ObjectId([1; 12])]);
        for (ranges, after, searches) in [
            (&[unlocked][..], None, 1),
            (&[unlocked], Some((Timestamp::from_millis(7), ObjectId([2; 12]))), 2),
            (&[unlocked, revoked], Some((Timestamp::from_millis(7), ObjectId([2; 12]))), 4),
            // This range ends before the page begins.
            (&[unlocked, revoked], Some((Timestamp::from_millis(4), ObjectId([2; 12]))), 2),
        ] {
            for promotions in [&BTreeSet::new(), &promotions] {
                let part =
                    WalletPart { org_id: OrgId(1), customer_id: CustomerId(1), ranges, promotions, after, limit: 11 };
                let plan = plan(&part).await;
                let by_index = "USING INDEX earned_promotions_listing (org_id=? AND customer_id=? AND earned_status=? AND valid_till_ms";
                let found = plan.iter().filter(|line| line.contains("SEARCH") && line.contains(by_index)).count();
                assert_eq!(found, searches, "{plan:#?}");
                assert!(!plan.iter().any(|line| line.contains("SCAN earned_promotions")), "{plan:#?}");
                // The merged beginnings are sorted, but not the wallet.
                for lines in plan.windows(2).filter(|lines| lines[1].contains("TEMP B-TREE")) {
                    assert_eq!(lines[0], "SCAN part", "{plan:#?}");
                }
            }
        }
    }
}
