//! Tests of the schema and of SQLite's query plans: every unique key contains the organization, and a batch reads and
//! removes rows by their whole key.

use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use tempfile::TempDir;

use super::batch::{catalogs, change_read, counts, read};
use super::dialect::Dialect;
use super::entity::{
    OrgOwned, api_client, audience, cap_usage, catalog_change, customer, earned_promotion, former_term, org, promotion,
};
use super::entity::{redemption, stored};
use super::org_owned::{Search, removal, table};
use super::rows::{Rows, WANTED};
use super::{Store, StoreOptions};

/// Creates an empty database with its schema; it is deleted with the directory.
pub(super) async fn store() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("x.db").display());
    let timeout = std::time::Duration::from_secs(5);
    let options = StoreOptions { writers: 1, changes: 1, reads: 1, timeout, statement_timeout: None, recounts: false };
    let store = Store::open(&url, options).await.unwrap();
    store.migrate().await.unwrap();
    (directory, store)
}

/// Returns SQLite's query plan of a statement, one line for each step.
pub(super) async fn plan(database: &DatabaseConnection, mut statement: Statement) -> Vec<String> {
    statement.sql = format!("EXPLAIN QUERY PLAN {}", statement.sql);
    let rows = database.query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect()
}

/// Returns a list of one row with the key columns of every table.
fn one_row() -> Rows<'static> {
    use crate::earning::{ObjectId, OrgId};
    use earned_promotion::Column;
    let id = ObjectId([1; 12]);
    Rows::of_orgs([OrgId(1)])
        .integers(Column::CustomerId, [1])
        .ids(Column::PromotionId, [id])
        .ids(Column::EarnId, [id])
        .texts(Column::EventId, ["e"])
        .texts(Column::EarnedFromId, ["f"])
        .texts(Column::TransactionIdentifier, ["t"])
        .texts(api_client::Column::Username, ["u"])
        .integers(org::Column::CatalogVersion, [1])
}

#[tokio::test]
async fn what_a_batch_reads_is_searched_by_its_whole_key_and_never_scanned() {
    let (_directory, store) = store().await;
    let engine: &dyn Dialect = store.engine;
    let earning_key = "INDEX earned_promotions_earning_key (org_id=? AND event_id=? AND customer_id=? AND promotion_id=? \
                       AND earned_from_id=?)";
    let clients = Search::<api_client::Entity> { of_any_org: true, ..Search::by(&[api_client::Column::Username]) };
    for (text, search) in [
        (read::customers().places(engine, WANTED), "PRIMARY KEY (org_id=? AND customer_id=?)"),
        (read::audiences().places(engine, WANTED), "PRIMARY KEY (org_id=? AND customer_id=? AND promotion_id=?)"),
        (counts::recorded().places(engine, WANTED), "PRIMARY KEY (org_id=? AND customer_id=? AND promotion_id=?)"),
        (counts::held().places(engine, WANTED), "INDEX earned_promotions_listing (org_id=? AND customer_id=?)"),
        (read::earnings().text::<read::RecordedRow>(engine, WANTED), earning_key),
        (change_read::by_earn_id().places(engine, WANTED), "PRIMARY KEY (org_id=? AND earn_id=? AND customer_id=?)"),
        (
            change_read::recorded_transactions().places(engine, WANTED),
            "PRIMARY KEY (org_id=? AND transaction_identifier=?)",
        ),
        (catalogs::current().places(engine, WANTED), "PRIMARY KEY (id=?)"),
        (clients.places(engine, WANTED), "PRIMARY KEY (username=?)"),
        (
            removal::<audience::Entity>(engine, &[audience::Column::CustomerId, audience::Column::PromotionId]),
            "PRIMARY KEY (org_id=? AND customer_id=? AND promotion_id=?)",
        ),
    ] {
        let plan = plan(&store.changes.database(), engine.statement(one_row(), &text)).await;
        let steps: Vec<_> = plan.iter().filter(|step| !step.contains("json_each")).collect();
        assert!(steps.iter().any(|step| step.starts_with("SEARCH") && step.contains(search)), "{text}\n{plan:#?}");
        let scans = steps.iter().filter(|step| step.starts_with("SCAN") && !step.contains(WANTED)).count();
        assert_eq!(scans, 0, "the list alone is scanned: {plan:#?}");
    }
}

#[tokio::test]
async fn every_table_is_of_an_entity_and_has_the_organization_in_each_unique_key() {
    fn named<E: OrgOwned>() -> (&'static str, &'static str) {
        use sea_orm::IdenStatic as _;
        (table::<E>(), E::ORG.as_str())
    }
    let (_directory, store) = store().await;
    let texts = async |sql: String| -> Vec<String> {
        let rows =
            store.reads.database().query_all_raw(Statement::from_string(store.engine.backend(), sql)).await.unwrap();
        rows.iter().map(|row| row.try_get("", "name").unwrap()).collect()
    };
    // Neither migrations nor keys for access tokens are of an organization.
    let made = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('seaql_migrations', 'token_keys')
                ORDER BY name";
    let mut tables = [
        named::<api_client::Entity>(),
        named::<audience::Entity>(),
        named::<cap_usage::Entity>(),
        named::<catalog_change::Entity>(),
        named::<customer::Entity>(),
        named::<earned_promotion::Entity>(),
        named::<former_term::Entity>(),
        named::<org::Entity>(),
        named::<promotion::Entity>(),
        named::<redemption::Entity>(),
    ];
    tables.sort_unstable();
    assert_eq!(texts(made.to_owned()).await, tables.map(|(table, _)| table));
    let mut keys = 0;
    for (table, org_column) in tables {
        for key in texts(format!("SELECT name FROM pragma_index_list('{table}') WHERE \"unique\"")).await {
            let columns = texts(format!("SELECT name FROM pragma_index_info('{key}')")).await;
            let by_name = table == "api_clients" && columns == ["username"];
            assert!(by_name || columns.iter().any(|column| column == org_column), "{key}: {columns:?}");
            keys += 1;
        }
    }
    assert_eq!(keys, 12, "a primary key each, the earning key, and the name of active promotions");
}

#[tokio::test]
async fn a_database_of_an_unknown_version_is_refused_whole() {
    let (_directory, store) = store().await;
    let other = "UPDATE seaql_migrations SET version = 'm0001_first_tables'";
    store.changes.database().execute_unprepared(other).await.unwrap();
    for refused in [store.migrate().await, store.require_current_schema().await] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("of another version of cart-promotions (migration m0001_first_tables)"), "{refused}");
    }
}

#[tokio::test]
async fn a_newer_schema_and_an_old_one_are_named_as_such() {
    let (_directory, store) = store().await;
    store.require_current_schema().await.unwrap();
    let later = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_later', 0)";
    store.changes.database().execute_unprepared(later).await.unwrap();
    for refused in [store.migrate().await, store.require_current_schema().await] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("newer than this version of cart-promotions (migration m9999_later)"), "{refused}");
    }
    store.changes.database().execute_unprepared("DROP TABLE seaql_migrations").await.unwrap();
    let refused = store.require_current_schema().await.unwrap_err().to_string();
    assert!(refused.contains("is missing; run cart-promotions migrate"), "{refused}");
}

#[test]
fn a_stored_id_is_24_hexadecimal_digits_and_nothing_else() {
    let id: stored::Id = "6912CED9d39e256f754a83F8".parse().unwrap();
    assert_eq!(id.to_string(), "6912ced9d39e256f754a83f8");
    let wrong = "6912ced9d39e256f754a83fz".parse::<stored::Id>().unwrap_err();
    assert!(wrong.to_string().contains("\"6912ced9d39e256f754a83fz\""), "{wrong}");
}
