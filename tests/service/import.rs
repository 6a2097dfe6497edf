//! Imports: an upsert of everything or nothing, which may be repeated and which a running server sees.

use std::time::Duration;

use cart_promotions::app::import::ImportOptions;
use serde_json::json;

use crate::support::*;
use crate::terms;

async fn dump(database: &Database) -> Vec<String> {
    let mut rows = Vec::new();
    // All columns but the version, which changes by design.
    for sql in [
        "SELECT id, name, time_zone, max_active_promotions, accept_unknown_customers FROM orgs ORDER BY id",
        "SELECT * FROM promotions ORDER BY org_id, id",
        "SELECT * FROM audiences ORDER BY org_id, customer_id",
        "SELECT * FROM customers ORDER BY org_id, customer_id",
        "SELECT * FROM api_clients ORDER BY username",
    ] {
        rows.extend(database.rows(sql).await.iter().map(|row| format!("{sql}: {row}")));
    }
    rows
}

#[tokio::test]
async fn a_repeated_import_changes_nothing() {
    let database = Database::new().await;
    let warnings = import(&database, &catalog()).await.unwrap();
    // More active promotions than the maximum are accepted, with a warning.
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("organization 2 has 2 active promotions, more than its maximum of 1"), "{warnings:?}");
    let first = dump(&database).await;
    assert_eq!(first.len(), 3 + 15 + 1 + 2 + 3);
    import(&database, &catalog()).await.unwrap();
    assert_eq!(dump(&database).await, first);
    assert!(first.iter().all(|row| !row.contains(r#""secret_hash":"demo""#)), "a secret as it is");
    assert!(first.iter().any(|row| row.contains("$argon2id$")), "{first:?}");
}

#[tokio::test]
async fn a_refused_import_changes_nothing_and_names_the_record() {
    let database = Database::new().await;
    import(&database, &catalog()).await.unwrap();
    let first = dump(&database).await;
    let promotion = |id: &str, name: &str| json!({"id": id, "orgId": ORG, "name": name, "type": "EARNING", "startDate": 0, "endDate": 1});
    let new = "0000000000000000000000c1";
    for (file, problem) in [
        (
            json!({"orgs": [{"id": 9, "name": "New"}], "customers": [{"orgId": 9, "customerId": 1}, {"orgId": 10, "customerId": 1}]}),
            "customers[1].orgId: there is no organization 10",
        ),
        (
            json!({"promotions": [promotion(new, "Ten off")]}),
            "promotions[0].name: \"Ten off\" is the name of active promotion 6912ced9d39e256f754a83f8 (716)",
        ),
        (
            json!({"promotions": [promotion(new, "A"), promotion("0000000000000000000000c2", "A")]}),
            "promotions[1].name: \"A\" is the name of active promotion 0000000000000000000000c1 (716)",
        ),
        (json!({"promotions": [promotion(new, "A"), promotion(new, "B")]}), "promotions[1]: repeats an earlier record"),
        (
            json!({"promotions": [{"id": new, "orgId": ORG, "name": "A", "type": "EARNING", "startDate": 2, "endDateISO": "1970-01-01T00:00:00Z"}]}),
            "promotions[0].endDate: must not be before startDate",
        ),
        (json!({"orgz": []}), "orgz: is unknown"),
        (
            json!({"apiClients": [{"username": "demo", "password": "demo", "orgId": 2}]}),
            "apiClients[0].orgId: \"demo\" is a client of organization 100737",
        ),
    ] {
        assert_eq!(import(&database, &file).await.unwrap_err(), problem);
        assert_eq!(dump(&database).await, first, "{problem}");
    }
}

#[tokio::test]
async fn names_may_change_places_and_audiences_are_replaced() {
    let database = Database::new().await;
    import(&database, &catalog()).await.unwrap();
    let mut swapped = catalog();
    swapped["promotions"][0]["name"] = "Free delivery".into();
    swapped["promotions"][1]["name"] = "Ten off".into();
    swapped["promotions"][9]["audience"] = json!([1, 2]);
    import(&database, &swapped).await.unwrap();
    let rows = dump(&database).await;
    assert!(rows.iter().any(|row| row.contains(TEN_OFF) && row.contains("Free delivery")), "{rows:#?}");
    assert_eq!(rows.iter().filter(|row| row.contains("audiences")).count(), 2, "{rows:#?}");
}

#[tokio::test]
async fn a_running_server_obeys_an_import_at_once() {
    let service = Service::start().await;
    let request = one_entry("event", CAPPED, 5);
    assert_eq!(earn_ids(&service.earn(Endpoint::Json, &request).await.body).len(), 3);
    let mut raised = catalog();
    terms::set(&mut raised["promotions"][10], &terms::cap(4));
    raised["customers"].as_array_mut().unwrap().push(json!({"orgId": ORG, "customerId": 8}));
    raised["apiClients"].as_array_mut().unwrap().push(json!({"username": "new", "password": "new", "orgId": ORG}));
    service.import(&raised).await;
    assert_eq!(earn_ids(&service.earn(Endpoint::Json, &request).await.body).len(), 4);
    let mut newcomer = one_entry("event", CAPPED, 1);
    newcomer["customerId"] = 8.into();
    assert_eq!(service.earn_as(Endpoint::Grpc, Some("new:new"), &newcomer).await.code, 0);
}

#[tokio::test]
async fn a_changed_secret_and_a_removed_client_are_refused_within_two_seconds() {
    let service = Service::start().await;
    assert_eq!(service.earn(Endpoint::Json, &documented_request()).await.status, 200);
    let mut changed = catalog();
    changed["apiClients"][0]["password"] = "other".into();
    let replaced = ImportOptions { replace_secrets: true, ..ImportOptions::default() };
    import_with(service.database(), &changed, replaced).await.unwrap();
    let refused = async |credentials| {
        for _ in 0..40 {
            if service.earn_as(Endpoint::Grpc, Some(credentials), &documented_request()).await.code == 401 {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    };
    assert!(refused("demo:demo").await);
    assert_eq!(service.earn_as(Endpoint::Json, Some("demo:other"), &documented_request()).await.status, 200);
    service.database().execute("DELETE FROM api_clients WHERE username = 'demo'").await;
    assert!(refused("demo:other").await);
}
