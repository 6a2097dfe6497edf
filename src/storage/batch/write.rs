//! The rows of the wallet that a batch of earnings writes.

use sea_orm::{Statement, Value};

use super::earnings::InstanceRow;
use crate::earning::{Details, Grant, Timestamp};
use crate::storage::entity::earned_promotion::{Column, Entity};
use crate::storage::entity::stored::{StoredCriteria, StoredEarnedFromType};
use crate::storage::org_owned::{Insertion, Present, RowValues, names};
use crate::storage::rows::Rows;
use sea_orm::IdenStatic as _;

/// Columns of every row, after the organization.
pub(in crate::storage) const COLUMNS: [Column; 10] = [
    Column::CustomerId,
    Column::EarnId,
    Column::PromotionId,
    Column::EventId,
    Column::EarnedFromId,
    Column::Ordinal,
    Column::EarnedFromType,
    Column::EventTimeMs,
    Column::ValidTillMs,
    Column::GrantedAtMs,
];
/// Additional columns, written if an earning of the batch has details.
const DETAILS: [Column; 3] = [Column::EventType, Column::EventPayload, Column::SupplementaryCriteria];

/// Returns the details that a row stores: those of its earning, on the first instance only.
fn details<'a>(row: &InstanceRow<'a>) -> Option<&'a Details> {
    let grant: &'a Grant = row.grant;
    grant.details.as_deref().filter(|_| row.ordinal == 1)
}

/// Returns true if any row has details.
pub(in crate::storage) fn any_details(rows: &[InstanceRow<'_>]) -> bool {
    rows.iter().any(|row| details(row).is_some())
}

/// Returns the insertion for a list that [`list`] made.
pub(in crate::storage) fn insertion(with_details: bool, present: Present, answers: bool) -> Insertion<Entity> {
    let (mut columns, mut values) = (COLUMNS.to_vec(), names(&COLUMNS));
    if with_details {
        columns.extend(DETAILS);
        for column in DETAILS {
            // A list has no nulls, and an existing text is not empty.
            values = format!("{values}, NULLIF({}, '')", column.as_str());
        }
    }
    Insertion { columns, values, present, answers }
}

/// Lists rows, with the column names of the wallet.
pub(in crate::storage) fn list<'a>(rows: &[InstanceRow<'a>], now: Timestamp) -> Rows<'a> {
    let text = |of: fn(&'a Grant) -> &'a str| rows.iter().map(move |row| of(row.grant));
    let list = Rows::of_orgs(rows.iter().map(|row| row.grant.key.org_id))
        .integers(Column::CustomerId, rows.iter().map(|row| row.grant.key.customer_id.0))
        .ids(Column::EarnId, rows.iter().map(|row| row.instance.earn_id))
        .ids(Column::PromotionId, rows.iter().map(|row| row.grant.key.promotion_id))
        .texts(Column::EventId, text(|grant| &grant.key.event_id))
        .texts(Column::EarnedFromId, text(|grant| &grant.key.earned_from_id))
        .integers(Column::Ordinal, rows.iter().map(|row| i64::from(row.ordinal)))
        .texts(Column::EarnedFromType, text(|grant| StoredEarnedFromType::text(grant.earned_from_type)))
        .times(Column::EventTimeMs, rows.iter().map(|row| row.grant.event_time))
        .times(Column::ValidTillMs, rows.iter().map(|row| row.instance.valid_till))
        .times(Column::GrantedAtMs, rows.iter().map(|_| now));
    if !any_details(rows) {
        return list;
    }
    let detail = |of: fn(&'a Details) -> Option<&'a str>| {
        rows.iter().map(move |row| details(row).and_then(of).unwrap_or_default())
    };
    let criteria = rows.iter().map(|row| criteria(row).map(|criteria| criteria.to_string()).unwrap_or_default());
    list.texts(Column::EventType, detail(|details| details.event_type.as_deref()))
        .texts(Column::EventPayload, detail(|details| details.event_payload.as_deref()))
        .owned_texts(Column::SupplementaryCriteria, criteria)
}

fn criteria(row: &InstanceRow<'_>) -> Option<StoredCriteria> {
    details(row)?.supplementary_criteria.map(StoredCriteria)
}

/// Inserts rows value by value, on SQLite.
pub(in crate::storage) fn values(rows: &[InstanceRow<'_>], now: Timestamp) -> Statement {
    let with_details = any_details(rows);
    let mut columns = COLUMNS.to_vec();
    columns.extend(DETAILS.iter().filter(|_| with_details));
    let mut values = RowValues::with_capacity(rows.len() * (columns.len() + 1));
    for row in rows {
        let InstanceRow { grant, ordinal, instance } = row;
        let base = [
            Value::from(grant.key.customer_id.0),
            instance.earn_id.to_string().into(),
            grant.key.promotion_id.to_string().into(),
            grant.key.event_id.as_ref().into(),
            grant.key.earned_from_id.as_ref().into(),
            i64::from(*ordinal).into(),
            StoredEarnedFromType::text(grant.earned_from_type).into(),
            grant.event_time.into(),
            instance.valid_till.into(),
            now.into(),
        ];
        let further = with_details.then(|| {
            let details = details(row).cloned().unwrap_or_default();
            [
                Value::from(details.event_type.map(String::from)),
                details.event_payload.map(String::from).into(),
                criteria(row).map(|criteria| criteria.to_string()).into(),
            ]
        });
        values.push(grant.key.org_id, base.into_iter().chain(further.into_iter().flatten()));
    }
    values.insertion::<Entity>(&columns)
}
