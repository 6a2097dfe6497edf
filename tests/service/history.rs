//! The recorded changes of a catalog: each change is recorded once, whoever makes it, and shown by calls and commands.

use serde_json::{Value, json};

use crate::ENGINE;
use crate::catalog::{created, inactive, promotion};
use crate::database::DatabaseKind;
use crate::rpcs::{activate, audience, changes, deactivate, earn, replace};
use crate::server_process::run;
use crate::support::*;
use crate::terms::{self, CAP};
use crate::wallet::one_to_earn;

/// Returns all changes, the latest first, read in pages of this length over this API.
async fn history(caller: &TestCaller, endpoint: Endpoint, mut request: Value) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let answer = changes(caller, endpoint, request.clone()).await;
        assert_eq!(answer.code, 0, "{answer:?}");
        all.extend(answer.body["data"].as_array().unwrap().clone());
        match answer.body.get("nextPageToken") {
            Some(token) => request["pageToken"] = token.clone(),
            None => return all,
        }
    }
}

fn actions(changes: &[Value]) -> Vec<&str> {
    changes.iter().map(|change| change["action"].as_str().unwrap()).collect()
}

/// Runs a command on the database, which must succeed. Returns its output.
fn command(service: &Service, arguments: &[&str]) -> String {
    let url = ["--database-url", service.database().url()];
    let output = run(&std::env::temp_dir(), &[arguments, &url].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn every_change_is_recorded_with_its_time_its_actor_and_both_values() {
    let service = Service::start().await;
    let org = ORG.to_string();
    let id = created(&service, promotion("Recorded")).await;
    replace(
        &service,
        Endpoint::Grpc,
        json!({"promotionId": id, "promotion": terms::with(promotion("Recorded"), &terms::cap(3))}),
    )
    .await;
    let mut earning = one_to_earn();
    earning["promotionId"] = id.as_str().into();
    assert_eq!(earn(&service, Endpoint::Json, earning).await.code, 0);
    audience(&service, Endpoint::Json, json!({"promotionId": id, "add": [7, 9], "remove": [8]})).await;
    audience(&service, Endpoint::Grpc, json!({"promotionId": id, "add": [8], "remove": [7, 9]})).await;
    command(&service, &["promotions", "deactivate", "--org", &org, &id]);
    let put = service.http().put(service.url(&format!("/api_gateway/v1/promotions/{id}/activate")));
    let put = put.header("authorization", basic("demo:demo")).header("x-request-id", "asked-by-support");
    assert_eq!(put.send().await.unwrap().status(), 200);
    for endpoint in ENDPOINTS {
        let of_promotion = history(&service, endpoint, json!({"promotionId": id, "limit": 2})).await;
        let expected = [
            "PROMOTION_ACTIVATED",
            "PROMOTION_DEACTIVATED",
            "AUDIENCE_CHANGED",
            "AUDIENCE_CHANGED",
            "PROMOTION_EARNED",
            "PROMOTION_CHANGED",
            "PROMOTION_CREATED",
        ];
        assert_eq!(actions(&of_promotion), expected, "{endpoint:?}");
        let actors: Vec<_> = of_promotion.iter().map(|change| change["actor"].as_str().unwrap()).collect();
        assert!(actors[1].starts_with("operator ") && actors[1].contains('@'), "{actors:?}");
        assert_eq!((actors[0], actors[4], actors[6]), ("client demo", "service", "client demo"));
        assert_eq!(of_promotion[0]["requestId"], "asked-by-support");
        assert!(of_promotion[1].get("requestId").is_none() && of_promotion[6]["requestId"].is_string());
        let [activated, deactivated, emptied, filled, earned, changed, new] = &of_promotion[..] else { panic!() };
        assert_eq!((&deactivated["after"]["active"], &activated["after"]["active"]), (&json!(false), &json!(true)));
        assert_eq!((&emptied["added"], &emptied["removed"]), (&json!([8]), &json!([7, 9])));
        assert_eq!((&filled["added"], &filled["removed"]), (&json!([7, 9]), &json!([])));
        assert_eq!((&earned["before"]["earned"], &earned["after"]["earned"]), (&json!(false), &json!(true)));
        assert_eq!((changed["before"].get(CAP), changed["after"].get(CAP)), (None, Some(&json!(3))));
        assert!(new.get("before").is_none());
        assert_eq!((&new["after"]["name"], &new["time"]), (&json!("Recorded"), &json!(NOW_MS)), "{new}");
        assert_eq!(new["timeISO"], "2025-11-11T06:00:00Z");
    }
}

#[tokio::test]
async fn settings_and_clients_are_recorded_without_any_secret() {
    let service = Service::start().await;
    let org = ORG.to_string();
    let secret = command(&service, &["clients", "add", "--org", &org, "till", "--access", "earn:write"]);
    let other = command(&service, &["clients", "add", "--org", &org, "till", "--new-secret"]);
    command(&service, &["clients", "disable", "till"]);
    service.import(&json!({"orgs": [{"id": ORG, "timeZone": "Europe/Berlin"}]})).await;
    let latest = history(&service, Endpoint::Json, json!({})).await;
    assert_eq!(
        actions(&latest)[..4],
        ["ORGANIZATION_CHANGED", "CLIENT_CHANGED", "CLIENT_CHANGED", "CLIENT_CREATED"],
        "{latest:?}"
    );
    assert_eq!(latest[0]["after"]["timeZone"], "Europe/Berlin");
    assert_eq!((&latest[1]["before"]["disabled"], &latest[1]["after"]["disabled"]), (&json!(false), &json!(true)));
    assert_eq!((latest[1]["after"].get("newSecret"), &latest[2]["after"]["newSecret"]), (None, &json!(true)));
    assert_eq!(latest[3]["after"], json!({"username": "till", "access": "earn:write", "disabled": false}));
    let rows = service.database().rows("SELECT * FROM catalog_changes").await;
    let text = rows.iter().map(Value::to_string).collect::<String>();
    assert!(!text.contains(secret.trim()) && !text.contains(other.trim()) && !text.contains("argon2"), "{text}");
}

#[tokio::test]
async fn what_changes_nothing_is_not_recorded() {
    let service = Service::start().await;
    let id = created(&service, inactive("Idle")).await;
    audience(&service, Endpoint::Json, json!({"promotionId": id, "add": [7]})).await;
    let before = history(&service, Endpoint::Json, json!({})).await.len();
    for endpoint in ENDPOINTS {
        deactivate(&service, endpoint, json!({"promotionId": id})).await;
        replace(&service, endpoint, json!({"promotionId": id, "promotion": inactive("Idle")})).await;
        audience(&service, endpoint, json!({"promotionId": id, "add": [7], "remove": [8]})).await;
        assert_eq!(activate(&service, endpoint, json!({"promotionId": OTHERS})).await.code, 404);
    }
    command(&service, &["clients", "enable", "demo"]);
    service.import(&catalog()).await;
    assert_eq!(history(&service, Endpoint::Json, json!({})).await.len(), before);
}

#[tokio::test]
async fn a_large_audience_is_recorded_in_parts_and_other_organizations_see_none_of_it() {
    let service = Service::start().await;
    let mut file = catalog();
    let customers: Vec<_> = (1..=2_500).collect();
    file["promotions"][0]["audience"] = json!(customers);
    service.import(&file).await;
    let parts = history(&service, Endpoint::Json, json!({"promotionId": TEN_OFF, "limit": 1})).await;
    let added: Vec<_> = parts.iter().map(|part| part["added"].as_array().unwrap().len()).collect();
    assert_eq!(added[..4], [500, 1_000, 1_000, 0], "the promotion itself was recorded first");
    let output = run(&std::env::temp_dir(), &["verify", "--database-url", service.database().url()]);
    assert!(output.status.success(), "{output:?}");
    let theirs = crate::rpcs::Rpc { grpc: "CatalogService/ListCatalogChanges", credentials: "other:other" };
    for endpoint in ENDPOINTS {
        let answer = crate::rpcs::call(&service, endpoint, theirs, json!({"promotionId": TEN_OFF})).await;
        assert_eq!(answer.body, json!({"data": [], "errors": []}), "{answer:?}");
    }
}

#[tokio::test]
async fn a_recorded_change_cannot_be_changed_or_removed() {
    let service = Service::start().await;
    for sql in ["UPDATE catalog_changes SET actor = 'nobody'", "DELETE FROM catalog_changes WHERE part = 1"] {
        let refused = service.database().try_execute(sql).await.unwrap_err();
        assert!(refused.contains("a recorded change of a catalog is never changed or removed"), "{refused}");
    }
    if ENGINE == DatabaseKind::Postgres {
        assert!(service.database().try_execute("TRUNCATE catalog_changes").await.is_err());
    }
}

#[tokio::test]
async fn the_commands_tell_who_changed_what_from_which_value_to_which() {
    let service = Service::start().await;
    let org = ORG.to_string();
    let id = created(&service, promotion("Told")).await;
    for cap in [3, 5] {
        let promotion = terms::with(promotion("Told"), &terms::cap(cap));
        replace(&service, Endpoint::Json, json!({"promotionId": id, "promotion": promotion})).await;
    }
    let members: Vec<_> = (1..=7).collect();
    audience(&service, Endpoint::Json, json!({"promotionId": id, "add": members})).await;
    let history = command(&service, &["promotions", "history", "--org", &org, &id, "--time-zone", "Asia/Kolkata"]);
    let lines: Vec<_> = history.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let at = "2025-11-11T11:30:00+05:30 client demo";
    assert_eq!(lines[0], "TIME ACTOR ACTION PROMOTION CHANGE");
    assert_eq!(lines[1], format!("{at} AUDIENCE_CHANGED {id} added 1, 2, 3, 4, 5 and 2 more"));
    assert_eq!(lines[2], format!("{at} PROMOTION_CHANGED {id} {CAP} 3 -> 5"));
    assert_eq!(lines[3], format!("{at} PROMOTION_CHANGED {id} {CAP} none -> 3"));
    assert!(lines[4].contains("name \"Told\"") && lines[4].contains("endDate 2031-01-01T05:29:59+05:30"), "{history}");
    assert_eq!(lines.len(), 5, "{history}");
    let of_org = command(&service, &["orgs", "history", &org, "--limit", "3", "--json"]);
    let of_org: Vec<Value> = of_org.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(actions(&of_org), ["AUDIENCE_CHANGED", "PROMOTION_CHANGED", "PROMOTION_CHANGED"]);
    let url = service.database().url();
    for (arguments, refusal) in [
        (&["orgs", "history", "9"][..], "404: there is no organization 9"),
        (
            &["promotions", "history", "--org", &org, "x"],
            "725: a promotion id must be 24 hexadecimal digits, not \"x\"",
        ),
        (&["promotions", "history", "--org", &org, OTHERS], "404: promotion 0000000000000000000000b1 not found"),
    ] {
        let output = run(&std::env::temp_dir(), &[arguments, &["--database-url", url]].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && error.contains(refusal), "{arguments:?}: {error}");
    }
}
