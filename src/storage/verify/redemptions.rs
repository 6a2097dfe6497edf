//! Checks of redemptions: the number of earned promotions of each transaction, and its content beside the wallet's
//! rows.

use std::collections::HashMap;

use sea_orm::{DerivePartialModel, FromQueryResult};

use super::columns::columns;
use super::pages::{PageCursor, VerifyPage, Walk, Walked};
use super::snapshot::Snapshot;
use crate::earning::change::RecordedStatus;
use crate::earning::{CustomerId, OrgId, Redemption, Timestamp};
use crate::storage::StorageError;
use crate::storage::batch::change_read::by_earn_id;
use crate::storage::entity::stored::StoredStatus;
use crate::storage::entity::{earned_promotion, redemption};
use crate::storage::org_owned::table;
use crate::storage::redemption_content;
use crate::storage::rows::{Rows, WANTED};
use crate::storage::statement::{On, Placed};

/// Transactions that are read at once; each has up to a thousand lines.
const PAGE_ROWS: u64 = 100;

/// Returns checks for transactions that the wallet names and that are not recorded for the customer, and for
/// transactions that redeemed another number of earned promotions than they record.
///
/// Each side is grouped by itself first, because on Citus the two tables are distributed differently.
pub(super) fn statements() -> Vec<String> {
    columns!(earned_promotion: org_id = OrgId, customer_id = CustomerId, transaction = TransactionIdentifier,
        status = EarnedStatus);
    columns!(redemption: instances = Instances);
    let (wallet, redemptions) = (table::<earned_promotion::Entity>(), table::<redemption::Entity>());
    let redeemed = StoredStatus::text(RecordedStatus::Redeemed);
    let both = format!(
        "WITH spent AS MATERIALIZED (
             SELECT {org_id}, {customer_id}, {transaction}, count(*) AS spent
             FROM {wallet} WHERE {status} = '{redeemed}' GROUP BY {org_id}, {customer_id}, {transaction}),
         recorded AS MATERIALIZED (
             SELECT {org_id}, {customer_id}, {transaction}, max({instances}) AS said
             FROM {redemptions} GROUP BY {org_id}, {customer_id}, {transaction})"
    );
    let same = [org_id, customer_id, transaction].map(|column| format!("s.{column} = r.{column}")).join(" AND ");
    let by_nothing = format!(
        "{both} SELECT s.spent || ' earned promotions of customer ' || s.{customer_id} || ' of organization ' || s.{org_id}
             || ' are redeemed by transaction ' || s.{transaction} || ', which is not recorded for them' AS breach
         FROM spent AS s LEFT JOIN recorded AS r ON {same} WHERE r.{org_id} IS NULL"
    );
    let uneven = format!(
        "{both} SELECT 'transaction ' || r.{transaction} || ' of organization ' || r.{org_id} || ' redeemed ' || r.said
             || ' earned promotions, and the wallet has ' || coalesce(s.spent, 0) || ' of it' AS breach
         FROM recorded AS r LEFT JOIN spent AS s ON {same} WHERE r.said <> coalesce(s.spent, 0)"
    );
    vec![by_nothing, uneven]
}

/// Transaction as it is stored.
#[derive(Debug, FromQueryResult)]
pub struct RedemptionRow {
    org_id: i64,
    transaction_identifier: String,
    customer_id: i64,
    instances: i64,
    redeemed_at_ms: Timestamp,
    digest: String,
    content: String,
}

impl Walked for RedemptionRow {
    type Entity = redemption::Entity;

    fn walk() -> Walk<redemption::Entity> {
        use redemption::Column;
        Walk {
            by: &[Column::OrgId, Column::TransactionIdentifier],
            beside: &[Column::CustomerId, Column::Instances, Column::RedeemedAtMs, Column::Digest, Column::Content],
            condition: None,
            rows: PAGE_ROWS,
        }
    }
}

/// Earned promotion that a transaction names, as it is stored.
#[derive(Debug, Clone, DerivePartialModel)]
#[sea_orm(entity = "earned_promotion::Entity")]
pub struct RedeemedInstance {
    /// Promotion that was earned.
    pub promotion_id: String,
    /// Time of the event.
    pub event_time_ms: Timestamp,
    /// Last millisecond at which the earned promotion is valid.
    pub valid_till_ms: Timestamp,
    /// Stored status.
    pub earned_status: String,
    /// Time of the redemption or revocation.
    pub changed_at_ms: Option<Timestamp>,
    /// Transaction that redeemed the earned promotion.
    pub transaction_identifier: Option<String>,
}

impl RedeemedInstance {
    /// Returns true if the transaction with this identifier redeemed the earned promotion.
    pub fn is_redeemed_by(&self, transaction_identifier: &str) -> bool {
        self.earned_status == StoredStatus::text(RecordedStatus::Redeemed)
            && self.transaction_identifier.as_deref() == Some(transaction_identifier)
    }
}

/// Recorded transaction, with the wallet's rows of the earned promotions that it names.
#[derive(Debug)]
pub struct RecordedRedemption {
    /// Organization.
    pub org_id: OrgId,
    /// Identifier of the transaction, unique within the organization.
    pub transaction_identifier: String,
    /// Number of earned promotions that the transaction redeemed.
    pub instances: i64,
    /// Time of the record.
    pub redeemed_at: Timestamp,
    /// Digest of the content.
    pub digest: String,
    /// Content of the transaction, or the reason why it cannot be read.
    pub content: Result<Redemption, String>,
    /// Earned promotions of the customer that the transaction names, by their earn ids.
    pub held: HashMap<String, RedeemedInstance>,
}

impl From<RedemptionRow> for RecordedRedemption {
    fn from(row: RedemptionRow) -> Self {
        Self {
            org_id: OrgId(row.org_id),
            transaction_identifier: row.transaction_identifier,
            instances: row.instances,
            redeemed_at: row.redeemed_at_ms,
            digest: row.digest,
            content: redemption_content::read(CustomerId(row.customer_id), &row.content)
                .map_err(|error| error.to_string()),
            held: HashMap::new(),
        }
    }
}

impl Snapshot {
    /// Reads the page of transactions after `after`, in the order of their identifiers.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn redemptions(
        &self,
        after: Option<&PageCursor>,
    ) -> Result<VerifyPage<RecordedRedemption>, StorageError> {
        let VerifyPage { rows, last } = self.page::<RedemptionRow>(after).await?;
        let mut rows: Vec<Result<RecordedRedemption, String>> =
            rows.into_iter().map(|row| row.map(Into::into)).collect();
        let mut keys = Vec::new();
        for (index, recorded) in rows.iter().enumerate() {
            let Ok(RecordedRedemption { org_id, content: Ok(content), .. }) = recorded else { continue };
            let ids = content.lines().map(|line| line.earned_promotion.text.clone());
            keys.extend(ids.map(|earn_id| (index, *org_id, content.customer_id, earn_id)));
        }
        if keys.is_empty() {
            return Ok(VerifyPage { rows, last });
        }
        let wanted = Rows::of_orgs(keys.iter().map(|(_, org_id, ..)| *org_id))
            .integers(earned_promotion::Column::CustomerId, keys.iter().map(|(.., customer_id, _)| customer_id.0))
            .texts(earned_promotion::Column::EarnId, keys.iter().map(|(.., earn_id)| earn_id.as_str()));
        let on = On { dialect: self.dialect, database: &self.transaction };
        let text = by_earn_id().text::<RedeemedInstance>(self.dialect, WANTED);
        let mut unreadable = Vec::new();
        for row in on.query(&text, wanted).await? {
            match Placed::<RedeemedInstance>::read(&row).and_then(|found| Ok((found.of(&keys)?.clone(), found.row))) {
                Ok(((index, .., earn_id), instance)) => {
                    if let Some(Ok(recorded)) = rows.get_mut(index) {
                        recorded.held.insert(earn_id, instance);
                    }
                }
                Err(error) => unreadable.push(Err(format!("an earned promotion of a transaction: {error}"))),
            }
        }
        rows.extend(unreadable);
        Ok(VerifyPage { rows, last })
    }
}
