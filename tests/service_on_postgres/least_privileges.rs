//! The service and the commands of operators as the role of `docs/roles.sql`, which has rights on rows only.

use serde_json::{Value, json};

use crate::rpcs::{create, customer, list, promotions, redeem, revoke, upsert_customers};
use crate::server_process::{Process, run, verify};
use crate::support::*;
use crate::tokens::token_of;
use crate::wallet::transaction;

const ROLES: &str = include_str!("../../docs/roles.sql");
const OWNER: &str = "cart_promotions_owner";
const SERVICE: &str = "cart_promotions";
/// Held while roles change: they are of the whole server, and PostgreSQL refuses simultaneous changes of one.
static ROLES_CHANGE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Returns the URL of the database for this role, which gets a password of its own.
async fn url_as(database: &Database, role: &str) -> String {
    database.execute(&format!("ALTER ROLE {role} PASSWORD '{role}'")).await;
    let mut url = url::Url::parse(database.url()).unwrap();
    url.set_username(role).unwrap();
    url.set_password(Some(role)).unwrap();
    url.to_string()
}

/// Returns a database whose owner has migrated it, the URL of the service, and the URL of its owner.
async fn database() -> (Database, String, String) {
    let database = Database::new().await;
    let _alone = ROLES_CHANGE.lock().await;
    database.execute(ROLES).await;
    let (service, owner) = (url_as(&database, SERVICE).await, url_as(&database, OWNER).await);
    let migrated = run(&std::env::temp_dir(), &["migrate", "--database-url", &owner]);
    assert!(migrated.status.success(), "{migrated:?}");
    database.execute(ROLES).await;
    (database, service, owner)
}

/// Runs a command of the program as the service's role, and returns its output.
fn command(url: &str, arguments: &[&str]) -> String {
    let output = run(&std::env::temp_dir(), &[arguments, &["--database-url", url]].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn ok(answer: Answer) -> Value {
    assert_eq!(answer.code, 0, "{answer:?}");
    answer.body
}

// Waiting for the end of a command blocks a thread.
#[tokio::test(flavor = "multi_thread")]
async fn the_role_with_the_least_rights_serves_every_call() {
    let (database, url, _) = database().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("catalog.json");
    std::fs::write(&file, endless(catalog()).to_string()).unwrap();
    command(&url, &["import", file.to_str().unwrap()]);

    let process = Process::start(directory.path(), &["--listen", "127.0.0.1:0", "--database-url", &url]);
    let caller = &process.caller;
    let request = one_entry("earned", TEN_OFF, 2);
    for endpoint in ENDPOINTS {
        // The second endpoint repeats what the first one earned.
        let earned = earn_ids(&ok(caller.earn(endpoint, &request).await));
        assert_eq!(earned, earn_ids(&ok(caller.earn(endpoint, &request).await)), "{endpoint:?}");
    }
    let earned = earn_ids(&ok(caller.earn(Endpoint::Json, &request).await));
    let capped = caller.earn(Endpoint::Grpc, &one_entry("capped", CAPPED, 3)).await;
    assert_eq!(earn_ids(&ok(capped)).len(), 3);

    let details = json!([{"promotionId": TEN_OFF, "earnIds": [earned[0]]}]);
    ok(revoke(caller, Endpoint::Json, json!({"customerId": CUSTOMER, "earnRevokeDetails": details})).await);
    ok(redeem(caller, Endpoint::Grpc, transaction("paid", CUSTOMER, &[(TEN_OFF, &earned[1])])).await);
    let listed = ok(list(caller, Endpoint::Json, json!({"customerId": CUSTOMER})).await);
    assert_eq!(listed["data"].as_array().unwrap().len(), 3, "{listed}");

    let promotion = json!({"name": "New", "type": "EARNING", "startDate": 0, "endDate": 4_000_000_000_000_i64});
    ok(create(caller, Endpoint::Json, json!({"promotion": promotion})).await);
    ok(promotions(caller, Endpoint::Grpc, json!({})).await);
    ok(upsert_customers(caller, Endpoint::Json, json!({"customerIds": [8, 9]})).await);
    ok(customer(caller, Endpoint::Grpc, json!({"customerId": 9})).await);

    let secret = command(&url, &["clients", "add", "--org", &ORG.to_string(), "till"]);
    let token = token_of(caller, "till", secret.trim()).await;
    let request = one_entry("by token", TEN_OFF, 1);
    let answer = caller.earn_as(Endpoint::Json, Some(&format!("Bearer {token}")), &request).await;
    assert_eq!(earn_ids(&ok(answer)).len(), 1);
    command(&url, &["clients", "disable", "till"]);
    command(&url, &["wallet", "show", "--org", &ORG.to_string(), &CUSTOMER.to_string()]);

    process.signal("TERM");
    assert!(process.end().0);
    verify(&url);
    drop(database);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_with_the_least_rights_makes_nothing_and_rewrites_no_history() {
    let (database, url, _) = database().await;
    let as_service = Database::at(url);
    for table in database.rows("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'").await {
        let table = table["name"].as_str().unwrap();
        let rights = format!(
            "SELECT string_agg(privilege, ' ' ORDER BY privilege) AS rights \
             FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege \
             WHERE has_table_privilege('{SERVICE}', 'public.{table}', privilege)"
        );
        let expected = match table {
            "seaql_migrations" => "SELECT",
            "catalog_changes" | "token_keys" => "INSERT SELECT",
            _ => "DELETE INSERT SELECT UPDATE",
        };
        assert_eq!(as_service.rows(&rights).await[0]["rights"], expected, "{table}");
    }
    let others = format!(
        "SELECT has_schema_privilege('{SERVICE}', 'public', 'CREATE') OR has_database_privilege('{SERVICE}', current_database(), 'CREATE') \
         OR has_database_privilege('{SERVICE}', current_database(), 'TEMPORARY') AS more, \
         (SELECT count(*) FROM pg_sequences WHERE schemaname = 'public' \
          AND has_sequence_privilege('{SERVICE}', format('public.%I', sequencename), 'USAGE')) AS sequences"
    );
    assert_eq!(as_service.rows(&others).await, [json!({"more": false, "sequences": 0})]);
}
