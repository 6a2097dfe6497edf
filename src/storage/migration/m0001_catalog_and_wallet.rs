//! The first tables: organizations, promotions, audiences, customers, API clients, the wallet, the history of
//! catalogs, and the keys for access tokens.
//!
//! The tables enforce the invariants that must hold whatever the code does: types, positive ids and counts, and the
//! uniqueness of instances and of earn ids. The tables of a wallet have the organization and the customer in their
//! primary key and in every unique constraint, so that the wallet can be distributed by customer. A transaction has its
//! identifier instead, which is unique in the organization.
//!
//! The wallet has two unique keys. The earn id grows with time, so new rows go to the end of its index. The earning key
//! does the same if the callers' event ids grow, as the documented ones do. On SQLite the earn id is the primary key,
//! so that the table itself grows at its end. On PostgreSQL the earning key is the primary key. The index of earn ids
//! has a condition there that every row meets and that no search by earning key names, so that the planner cannot
//! choose between the two by its statistics of the table. The listing index has such a condition too.
//!
//! The wallet has no foreign keys: checking one for every row costs as much as the row, and rows of the catalog are
//! never deleted.

use sea_orm::sea_query::{
    Check, ColumnDef, ConditionalStatement, Expr, ExprTrait, ForeignKey, Index, IndexCreateStatement, IndexOrder,
    IntoIden, Table, TableCreateStatement,
};
use sea_orm::{DbBackend, IdenStatic};

use crate::storage::entity::{
    api_client, audience, cap_usage, catalog_change, customer, earned_promotion, former_term, org, promotion,
    redemption, token_key,
};

/// Returns the statements of the migration, in order.
pub(super) fn statements(backend: DbBackend) -> Vec<String> {
    let tables = [
        orgs,
        promotions,
        audiences,
        customers,
        api_clients,
        earned_promotions,
        cap_usage,
        redemptions,
        former_terms,
        catalog_changes,
        token_keys,
    ];
    let tables = tables.map(|table| {
        let mut table = table(backend);
        if backend == DbBackend::Sqlite {
            // The primary key is the table, which saves one B-tree for every row written.
            table.extra("WITHOUT ROWID");
        }
        backend.build(&table).sql
    });
    let (texts, of_engine): (&[&str], _) = match backend {
        DbBackend::Sqlite => (&[KEEP_CHANGES_SQLITE], earning_key().unique().to_owned()),
        _ => (&[HOLD_CATALOG, KEEP_CHANGES_POSTGRES], earn_id()),
    };
    let indexes = [changes_of_promotion(), active_promotion_name(), listing(), of_engine];
    let indexes = indexes.map(|index| backend.build(&index).sql);
    tables.into_iter().chain(texts.iter().map(|text| (*text).to_owned())).chain(indexes).collect()
}

fn integer(column: impl IntoIden) -> ColumnDef {
    ColumnDef::new(column).big_integer().not_null().take()
}

/// Returns a column of positive integers, null where there is none.
fn positive<C: IdenStatic>(column: C) -> ColumnDef {
    let condition = format!("{} > 0", column.as_str());
    ColumnDef::new(column).big_integer().check(Expr::cust(condition)).take()
}

/// Defines a text column that is compared byte by byte, as on SQLite. No text here is sorted for people, and collations
/// of a language are slow.
fn nullable_text(backend: DbBackend, column: impl IntoIden) -> ColumnDef {
    let mut column = ColumnDef::new(column).text().take();
    if backend == DbBackend::Postgres {
        column.extra(r#"COLLATE "C""#);
    }
    column
}

fn text(backend: DbBackend, column: impl IntoIden) -> ColumnDef {
    nullable_text(backend, column).not_null().take()
}

fn boolean(column: impl IntoIden) -> ColumnDef {
    ColumnDef::new(column).boolean().not_null().take()
}

fn orgs(backend: DbBackend) -> TableCreateStatement {
    use org::Column;
    Table::create()
        .table(org::Entity)
        .col(integer(Column::Id).check(Expr::cust("id > 0")))
        .col(text(backend, Column::Name))
        .col(text(backend, Column::TimeZone))
        .col(integer(Column::MaxActivePromotions).check(Expr::cust("max_active_promotions > 0")))
        .col(boolean(Column::AcceptUnknownCustomers))
        .col(integer(Column::CatalogVersion))
        .primary_key(Index::create().name("orgs_pkey").col(Column::Id))
        .to_owned()
}

fn promotions(backend: DbBackend) -> TableCreateStatement {
    use promotion::Column;
    Table::create()
        .table(promotion::Entity)
        .col(integer(Column::OrgId))
        .col(text(backend, Column::Id).check(Expr::cust("length(id) = 24")))
        .col(text(backend, Column::Name))
        .col(text(backend, Column::Kind).check(Expr::cust("type IN ('POS', 'CODE', 'CUSTOMER', 'EARNING', 'REWARD')")))
        .col(boolean(Column::Active))
        .col(integer(Column::StartMs))
        .col(integer(Column::EndMs))
        .col(positive(Column::Cap))
        .col(integer(Column::CapPeriod).check(Expr::cust("cap_period >= 0")))
        .col(positive(Column::ExpiryDays))
        .col(boolean(Column::LimitedToAudience))
        .col(boolean(Column::Earned))
        .check(Expr::cust("start_ms <= end_ms"))
        .primary_key(Index::create().name("promotions_pkey").col(Column::OrgId).col(Column::Id))
        .foreign_key(
            ForeignKey::create()
                .name("promotions_org")
                .from(promotion::Entity, Column::OrgId)
                .to(org::Entity, org::Column::Id),
        )
        .to_owned()
}

fn active_promotion_name() -> IndexCreateStatement {
    use promotion::Column;
    Index::create()
        .name("promotions_active_name")
        .table(promotion::Entity)
        .col(Column::OrgId)
        .col(Column::Name)
        .unique()
        .and_where(Expr::col(Column::Active).eq(true))
        .to_owned()
}

fn audiences(backend: DbBackend) -> TableCreateStatement {
    use audience::Column;
    Table::create()
        .table(audience::Entity)
        .col(integer(Column::OrgId))
        .col(integer(Column::CustomerId).check(Expr::cust("customer_id > 0")))
        .col(text(backend, Column::PromotionId))
        .primary_key(
            Index::create().name("audiences_pkey").col(Column::OrgId).col(Column::CustomerId).col(Column::PromotionId),
        )
        .foreign_key(
            ForeignKey::create()
                .name("audiences_promotion")
                .from(audience::Entity, (Column::OrgId, Column::PromotionId))
                .to(promotion::Entity, (promotion::Column::OrgId, promotion::Column::Id)),
        )
        .to_owned()
}

fn customers(_backend: DbBackend) -> TableCreateStatement {
    use customer::Column;
    Table::create()
        .table(customer::Entity)
        .col(integer(Column::OrgId))
        .col(integer(Column::CustomerId).check(Expr::cust("customer_id > 0")))
        .primary_key(Index::create().name("customers_pkey").col(Column::OrgId).col(Column::CustomerId))
        .foreign_key(
            ForeignKey::create()
                .name("customers_org")
                .from(customer::Entity, Column::OrgId)
                .to(org::Entity, org::Column::Id),
        )
        .to_owned()
}

fn api_clients(backend: DbBackend) -> TableCreateStatement {
    use api_client::Column;
    Table::create()
        .table(api_client::Entity)
        .col(text(backend, Column::Username).check(Expr::cust("username <> ''")))
        .col(text(backend, Column::SecretHash))
        .col(integer(Column::OrgId))
        .col(text(backend, Column::Access))
        .col(boolean(Column::Disabled).default(false))
        .col(
            ColumnDef::new(Column::RequestsPerMinute)
                .big_integer()
                .check(Expr::cust("requests_per_minute BETWEEN 0 AND 4294967295")),
        )
        .primary_key(Index::create().name("api_clients_pkey").col(Column::Username))
        .foreign_key(
            ForeignKey::create()
                .name("api_clients_org")
                .from(api_client::Entity, Column::OrgId)
                .to(org::Entity, org::Column::Id),
        )
        .to_owned()
}

fn earned_promotions(backend: DbBackend) -> TableCreateStatement {
    use earned_promotion::Column;
    Table::create()
        .table(earned_promotion::Entity)
        .col(integer(Column::OrgId))
        .col(integer(Column::CustomerId).check(Expr::cust("customer_id > 0")))
        .col(text(backend, Column::EarnId).check(Expr::cust("length(earn_id) = 24")))
        .col(text(backend, Column::PromotionId).check(Expr::cust("length(promotion_id) = 24")))
        .col(text(backend, Column::EventId).check(Expr::cust("event_id <> ''")))
        .col(text(backend, Column::EarnedFromId).check(Expr::cust("earned_from_id <> ''")))
        .col(integer(Column::Ordinal).check(Expr::cust("ordinal > 0")))
        .col(
            text(backend, Column::EarnedFromType)
                .check(Expr::cust("earned_from_type IN ('BULK_ISSUE', 'ACTIVITY', 'MILESTONE', 'REWARD')")),
        )
        .col(integer(Column::EventTimeMs))
        .col(integer(Column::ValidTillMs))
        .col(integer(Column::GrantedAtMs))
        .col(
            text(backend, Column::EarnedStatus)
                .default("UNLOCKED")
                .check(Expr::cust("earned_status IN ('UNLOCKED', 'REDEEMED', 'REVOKED')")),
        )
        .col(ColumnDef::new(Column::ChangedAtMs).big_integer())
        .col(nullable_text(backend, Column::TransactionIdentifier))
        .col(nullable_text(backend, Column::EventType))
        .col(nullable_text(backend, Column::EventPayload))
        .col(nullable_text(backend, Column::SupplementaryCriteria))
        .check(Check::named(
            "earned_promotions_details_on_first",
            Expr::cust("ordinal = 1 OR coalesce(event_type, event_payload, supplementary_criteria) IS NULL"),
        ))
        .check(Check::named(
            "earned_promotions_change_complete",
            Expr::cust(
                "(earned_status <> 'UNLOCKED') = (changed_at_ms IS NOT NULL) \
                 AND (earned_status = 'REDEEMED') = (transaction_identifier IS NOT NULL)",
            ),
        ))
        .primary_key(&mut match backend {
            DbBackend::Sqlite => Index::create()
                .name("earned_promotions_pkey")
                .col(Column::OrgId)
                .col(Column::EarnId)
                .col(Column::CustomerId)
                .to_owned(),
            _ => earning_key(),
        })
        .to_owned()
}

/// One row for each customer and capped promotion that the customer earned. The check holds under concurrency: of two
/// writers that together would exceed the cap, the second one violates it.
fn cap_usage(backend: DbBackend) -> TableCreateStatement {
    use cap_usage::Column;
    Table::create()
        .table(cap_usage::Entity)
        .col(integer(Column::OrgId))
        .col(integer(Column::CustomerId).check(Expr::cust("customer_id > 0")))
        .col(text(backend, Column::PromotionId).check(Expr::cust("length(promotion_id) = 24")))
        .col(integer(Column::Used).check(Expr::cust("used >= 0")))
        .col(integer(Column::Cap))
        .col(integer(Column::CapPeriod).check(Expr::cust("cap_period >= 0")))
        .col(integer(Column::LastChange))
        .check(Check::named("cap_usage_used_within_cap", Expr::cust("used <= cap")))
        .primary_key(
            Index::create().name("cap_usage_pkey").col(Column::OrgId).col(Column::CustomerId).col(Column::PromotionId),
        )
        .to_owned()
}

/// One row for each transaction. It is found by its identifier alone: on Citus it is distributed by that, not by its
/// customer.
fn redemptions(backend: DbBackend) -> TableCreateStatement {
    use redemption::Column;
    Table::create()
        .table(redemption::Entity)
        .col(integer(Column::OrgId))
        .col(text(backend, Column::TransactionIdentifier).check(Expr::cust("transaction_identifier <> ''")))
        .col(integer(Column::CustomerId).check(Expr::cust("customer_id > 0")))
        .col(integer(Column::Instances).check(Expr::cust("instances > 0")))
        .col(integer(Column::RedeemedAtMs))
        .col(text(backend, Column::Digest).check(Expr::cust("digest <> ''")))
        .col(text(backend, Column::Content))
        .primary_key(Index::create().name("redemptions_pkey").col(Column::OrgId).col(Column::TransactionIdentifier))
        .to_owned()
}

/// One row for each end of a promotion and time zone of its organization under which it was earned and that changed
/// since.
fn former_terms(backend: DbBackend) -> TableCreateStatement {
    use former_term::Column;
    Table::create()
        .table(former_term::Entity)
        .col(integer(Column::OrgId))
        .col(text(backend, Column::PromotionId).check(Expr::cust("length(promotion_id) = 24")))
        .col(integer(Column::EndMs))
        .col(text(backend, Column::TimeZone))
        .primary_key(
            Index::create()
                .name("former_terms_pkey")
                .col(Column::OrgId)
                .col(Column::PromotionId)
                .col(Column::EndMs)
                .col(Column::TimeZone),
        )
        .to_owned()
}

/// One row for each change of an organization, a promotion, an audience or an API client, which is kept as it was
/// recorded.
fn catalog_changes(backend: DbBackend) -> TableCreateStatement {
    use catalog_change::Column;
    Table::create()
        .table(catalog_change::Entity)
        .col(integer(Column::OrgId))
        .col(integer(Column::Version).check(Expr::cust("version > 0")))
        .col(integer(Column::Part).check(Expr::cust("part > 0")))
        .col(integer(Column::ChangedAtMs))
        .col(text(backend, Column::Actor).check(Expr::cust("actor <> ''")))
        .col(nullable_text(backend, Column::RequestId))
        .col(text(backend, Column::Action).check(Expr::cust("action <> ''")))
        .col(nullable_text(backend, Column::PromotionId).check(Expr::cust("length(promotion_id) = 24")))
        .col(nullable_text(backend, Column::Before))
        .col(nullable_text(backend, Column::After))
        .primary_key(
            Index::create().name("catalog_changes_pkey").col(Column::OrgId).col(Column::Version).col(Column::Part),
        )
        .to_owned()
}

/// One row for each key that the servers on the database share.
fn token_keys(backend: DbBackend) -> TableCreateStatement {
    use token_key::Column;
    Table::create()
        .table(token_key::Entity)
        .col(text(backend, Column::Kid).check(Expr::cust("kid <> ''")))
        .col(text(backend, Column::Pem).check(Expr::cust("pem <> ''")))
        .primary_key(Index::create().name("token_keys_pkey").col(Column::Kid))
        .to_owned()
}

/// Index of the changes of a promotion, in their order.
fn changes_of_promotion() -> IndexCreateStatement {
    use catalog_change::Column;
    Index::create()
        .name("catalog_changes_of_promotion")
        .table(catalog_change::Entity)
        .col(Column::OrgId)
        .col(Column::PromotionId)
        .col(Column::Version)
        .col(Column::Part)
        .and_where(Expr::col(Column::PromotionId).is_not_null())
        .to_owned()
}

/// Refuses to change or remove a recorded change. No code does; this keeps an operator from it, and a defect.
const KEEP_CHANGES_SQLITE: &str = "
    CREATE TRIGGER catalog_changes_not_updated BEFORE UPDATE ON catalog_changes
        BEGIN SELECT RAISE(ABORT, 'a recorded change of a catalog is never changed or removed'); END;
    CREATE TRIGGER catalog_changes_not_deleted BEFORE DELETE ON catalog_changes
        BEGIN SELECT RAISE(ABORT, 'a recorded change of a catalog is never changed or removed'); END";

/// The same on PostgreSQL, where `TRUNCATE` removes rows too.
const KEEP_CHANGES_POSTGRES: &str = "
    CREATE FUNCTION keep_catalog_changes() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'a recorded change of a catalog is never changed or removed';
    END $$;
    CREATE TRIGGER catalog_changes_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON catalog_changes
        FOR EACH STATEMENT EXECUTE FUNCTION keep_catalog_changes()";

/// Locks the catalog of an organization in shared mode until the transaction ends. Returns true if it still has
/// `version`.
///
/// The lock comes first. The version is read after it by a separate query with its own snapshot, which `VOLATILE`
/// allows. Within one plain statement the version would be as old as the statement. Advisory locks are granted in the
/// order of their requests, so a change waits for the batches in progress, and no later batch overtakes it.
const HOLD_CATALOG: &str = "
    CREATE FUNCTION hold_catalog(org bigint, version bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(org);
        RETURN EXISTS (SELECT 1 FROM orgs WHERE id = org AND catalog_version = version);
    END $$";

/// Index of the earned promotions of a customer in the order in which they are listed. The top of this file explains
/// its condition.
fn listing() -> IndexCreateStatement {
    use earned_promotion::Column;
    Index::create()
        .name("earned_promotions_listing")
        .table(earned_promotion::Entity)
        .col(Column::OrgId)
        .col(Column::CustomerId)
        .col(Column::EarnedStatus)
        .col((Column::ValidTillMs, IndexOrder::Desc))
        .col(Column::EarnId)
        .and_where(Expr::cust("earned_status <> ''"))
        .to_owned()
}

/// Index of earnings and ordinals. The event comes first because event ids mostly grow, so new rows go to the end of
/// the index and are not spread over it. The rows of one request are adjacent, so one search finds them and they are
/// written in one place.
fn earning_key() -> IndexCreateStatement {
    use earned_promotion::Column;
    Index::create()
        .name("earned_promotions_earning_key")
        .table(earned_promotion::Entity)
        .col(Column::OrgId)
        .col(Column::EventId)
        .col(Column::CustomerId)
        .col(Column::PromotionId)
        .col(Column::EarnedFromId)
        .col(Column::Ordinal)
        .to_owned()
}

/// Index of earn ids on PostgreSQL. The top of this file explains its condition.
fn earn_id() -> IndexCreateStatement {
    use earned_promotion::Column;
    Index::create()
        .name("earned_promotions_earn_id")
        .table(earned_promotion::Entity)
        .col(Column::OrgId)
        .col(Column::EarnId)
        .col(Column::CustomerId)
        .unique()
        .and_where(Expr::cust("earn_id >= ''"))
        .to_owned()
}
#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest, Sha256};

    use super::*;

    /// SHA-256 digests of the texts of this migration as 0.1.0 has it. They never change again.
    const RELEASED: [(DbBackend, &str); 2] = [
        (DbBackend::Sqlite, "dPEac9KuY4wHpXq0jjAKDwz2nAjfVr6d5DghdcnvFi4="),
        (DbBackend::Postgres, "3dMaVKiTRzwqCWcmPHHbr34X+AaiLrglNbkgEwiWjjE="),
    ];

    #[test]
    fn the_first_migration_is_released_and_never_changes() {
        for (backend, released) in RELEASED {
            let text = statements(backend).join(";\n");
            let digest = STANDARD.encode(Sha256::digest(&text));
            assert_eq!(
                digest, released,
                "the first migration differs from that of 0.1.0 on {backend:?}: databases that have it would not get \
                 the change. A change of the schema is a migration of its own (CONTRIBUTING.md, Add a migration). \
                 If an update of a library writes the same schema in other words, compare the texts, and write the new \
                 digest here:\n{text}"
            );
        }
    }
}
