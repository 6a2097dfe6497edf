//! Writes that name a part of a record: every endpoint and the import keep the rest; and the import holds to the rules
//! of calls.

use cart_promotions::app::import::ImportOptions;
use cart_promotions::proto::DESCRIPTOR_SET;
use prost_reflect::DescriptorPool;
use serde_json::{Map, Value, json};

use crate::catalog::{created, promotion};
use crate::rpcs::{create, deactivate, earn, promotions, replace};
use crate::support::*;
use crate::terms::{self, CAP, CAP_COLUMN, EXPIRY, EXPIRY_COLUMN, LIMITED, LIMITED_COLUMN, UNLIMITED};
use crate::wallet::one_to_earn;

/// A way to write a promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Call(Endpoint),
    Import,
}

const WAYS: [Way; 3] = [Way::Call(Endpoint::Json), Way::Call(Endpoint::Grpc), Way::Import];

/// Writes the promotion of this id. Returns the messages of a refusal, each without the path of the promotion.
async fn write(service: &Service, way: Way, id: &str, mut record: Value) -> Result<(), Vec<String>> {
    match way {
        Way::Call(endpoint) => {
            let answer = replace(service, endpoint, json!({"promotionId": id, "promotion": record})).await;
            if answer.code == 0 { Ok(()) } else { Err(stripped(&answer.messages.join("\n"), "promotion.")) }
        }
        Way::Import => {
            record["id"] = id.into();
            record["orgId"] = ORG.into();
            let imported = import(service.database(), &json!({"promotions": [record]})).await;
            imported.map(drop).map_err(|refusal| stripped(&refusal.replace("; ", "\n"), "promotions[0]."))
        }
    }
}

fn stripped(violations: &str, path: &str) -> Vec<String> {
    violations.lines().map(|violation| violation.strip_prefix(path).unwrap_or(violation).to_owned()).collect()
}

/// Returns the recorded promotion, and its audience.
async fn read(service: &Service, id: &str) -> (Value, Vec<i64>) {
    let sql = format!("SELECT * FROM promotions WHERE org_id = {ORG} AND id = '{id}'");
    let rows = service.database().rows(&sql).await;
    let sql = format!(
        "SELECT customer_id FROM audiences WHERE org_id = {ORG} AND promotion_id = '{id}' ORDER BY customer_id"
    );
    let audience = service.database().rows(&sql).await;
    let answer = promotions(service, Endpoint::Json, json!({"promotionIds": [id]})).await;
    assert_eq!((rows.len(), answer.body["data"].as_array().unwrap().len()), (1, 1), "{answer:?}");
    let mut presented = rows[0].clone();
    // The other columns are bookkeeping that follows from these.
    let kept = ["name", "kind", "active", "start_ms", "end_ms", CAP_COLUMN, EXPIRY_COLUMN, LIMITED_COLUMN];
    presented.as_object_mut().unwrap().retain(|name, _| kept.contains(&name.as_str()));
    (presented, audience.iter().map(|row| row["customer_id"].as_i64().unwrap()).collect())
}

/// Returns the JSON names of the fields of a message that a record may leave out.
fn optional_fields(message: &str, required: &[&str]) -> Vec<String> {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    let message = pool.get_message_by_name(&format!("cartpromotions.v1.{message}")).unwrap();
    let names = message.fields().map(|field| field.json_name().to_owned());
    names.filter(|name| !required.contains(&name.as_str())).collect()
}

/// Returns a value other than the default for each optional field of a promotion.
fn values() -> Map<String, Value> {
    let mut values = json!({
        "active": false,
        "audience": [7, 8],
        // This field may be left out in an import only.
        "name": "Another name",
        "startDate": 1_735_689_600_001_i64,
        "endDate": 1_924_991_999_998_i64,
    });
    for term in [terms::cap(3), terms::days(30), terms::limited(true)] {
        terms::set(&mut values, &term);
    }
    values.as_object().unwrap().clone()
}

#[tokio::test]
async fn what_a_write_of_a_promotion_leaves_out_stays_as_it_is_recorded() {
    let service = Service::start().await;
    // These fields identify the record, or have another name in it.
    let fixed = ["id", "orgId", "type", "startDateISO", "endDateISO", UNLIMITED];
    let by_call = ["name", "startDate", "endDate"];
    for way in WAYS {
        let message = if way == Way::Import { "FilePromotion" } else { "Promotion" };
        for field in optional_fields(message, &fixed) {
            if way != Way::Import && by_call.contains(&field.as_str()) {
                continue;
            }
            let id = created(&service, promotion(&format!("{field} {way:?}"))).await;
            let value = values().get(&field).unwrap_or_else(|| panic!("no value of {field}")).clone();
            // A call must name at least these fields; a record of a file need not.
            let least = || {
                if way == Way::Import { json!({}) } else { promotion(&format!("{field} {way:?}")) }
            };
            let untouched = read(&service, &id).await;
            let mut with = least();
            with[&field] = value;
            write(&service, way, &id, with).await.unwrap();
            let named = read(&service, &id).await;
            assert_ne!(named, untouched, "{field} {way:?}: it was not written");
            for given in [None, Some(Value::Null)] {
                let mut without = least();
                if let Some(given) = given {
                    without[&field] = given;
                }
                write(&service, way, &id, without).await.unwrap();
                assert_eq!(read(&service, &id).await, named, "{field} {way:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_cap_is_removed_where_that_is_said_and_an_audience_by_an_empty_list() {
    let service = Service::start().await;
    for way in WAYS {
        let mut capped = terms::with(promotion(&format!("{way:?}")), &terms::cap(1));
        let id = created(&service, capped.clone()).await;
        terms::set(&mut capped, &terms::unlimited());
        let both = write(&service, way, &id, capped.clone()).await.unwrap_err();
        assert_eq!(both, [format!("{UNLIMITED}: must not be true together with {CAP}")]);
        capped.as_object_mut().unwrap().remove(CAP);
        write(&service, way, &id, capped).await.unwrap();
        assert_eq!(read(&service, &id).await.0[CAP_COLUMN], Value::Null, "{way:?}");
    }
    let id = created(&service, promotion("Audience")).await;
    for (audience, expected) in [(json!([7, 8]), vec![7, 8]), (json!([9]), vec![9]), (json!([]), vec![])] {
        write(&service, Way::Import, &id, json!({"audience": audience})).await.unwrap();
        assert_eq!(read(&service, &id).await.1, expected, "{audience}");
    }
}

#[tokio::test]
async fn every_rule_that_a_call_holds_the_import_holds() {
    let service = Service::start().await;
    let id = created(&service, promotion("Earned")).await;
    let mut earning = one_to_earn();
    earning["promotionId"] = id.clone().into();
    assert_eq!(earn(&service, Endpoint::Json, earning).await.code, 0);
    let before = read(&service, &id).await;
    let days = |days: i64| terms::days(days)[EXPIRY].clone();
    for (field, value, violation) in [
        ("type", json!("REWARD"), "type: cannot change: it is EARNING"),
        ("type", json!("POS"), "type: cannot change: it is EARNING"),
        (EXPIRY, days(30), "{field}: cannot change once the promotion was earned: it is WITH_PROMOTION"),
        (EXPIRY, days(0), "{field}.days: must be from 1 to 36500"),
        (EXPIRY, json!({}), "{field}.type: is required: one of WITH_PROMOTION, DAYS_FROM_EARNING"),
        ("name", json!(""), "name: is required"),
        ("name", json!(" "), "name: must not begin or end with white space, as \" \" does"),
        ("name", json!("Sum "), "name: must not begin or end with white space, as \"Sum \" does"),
        ("name", json!("\u{2003}Sum"), "name: must not begin or end with white space, as \"\\u{2003}Sum\" does"),
        ("name", json!("x".repeat(51)), "name: must be at most 50 characters, not 51"),
        ("name", json!("a\0b"), "name: must not contain U+0000"),
        (CAP, json!(0), "{field}: must be 1 or more, not 0"),
        ("endDate", json!(1_735_689_599_999_i64), "endDate: must not be before startDate"),
        ("startDateISO", json!("2025-01-01T00:00:00"), "startDateISO: must be ISO 8601"),
        ("endDate", json!(i64::MAX), "endDate: must be a time in the years 1 to 9999"),
        ("name", json!("Ten off"), "is the name of active promotion 6912ced9d39e256f754a83f8"),
    ] {
        for way in WAYS {
            let mut record = if way == Way::Import { json!({}) } else { promotion("Earned") };
            if field == "endDate" {
                record.as_object_mut().unwrap().remove("endDateISO");
            }
            if field == "startDateISO" {
                record.as_object_mut().unwrap().remove("startDate");
            }
            record[field] = value.clone();
            let violations = write(&service, way, &id, record).await.unwrap_err();
            let violation = violation.replace("{field}", field);
            assert!(
                violations.len() == 1 && violations[0].contains(&violation),
                "{way:?} {field}={value}: {violations:?}"
            );
            assert_eq!(read(&service, &id).await, before, "{way:?} {field}={value}");
        }
    }
    // The present value may be repeated.
    for way in WAYS {
        let same = terms::with(promotion("Earned"), &terms::to_its_end());
        write(&service, way, &id, same).await.unwrap();
        assert_eq!(read(&service, &id).await, before, "{way:?}");
    }
}

#[tokio::test]
async fn a_create_may_be_repeated_and_other_content_is_told() {
    let service = Service::start().await;
    for (index, endpoint) in ENDPOINTS.into_iter().enumerate() {
        let mut new = promotion(&format!("Repeated {index}"));
        new["id"] = format!("0000000000000000000000f{index}").into();
        let first = create(&service, endpoint, json!({"promotion": new})).await;
        assert_eq!(first.code, 0, "{first:?}");
        // The content is the same in other words: defaults, the other form of a time, upper-case digits of the id.
        new["active"] = true.into();
        terms::set(&mut new, &terms::to_its_end());
        new["startDateISO"] = "2025-01-01T05:30:00+05:30".into();
        new.as_object_mut().unwrap().remove("startDate");
        new["id"] = format!("0000000000000000000000F{index}").into();
        for other_endpoint in ENDPOINTS {
            let again = create(&service, other_endpoint, json!({"promotion": new})).await;
            assert_eq!(again.body["data"], first.body["data"], "{again:?}");
        }
        for (field, value, differs) in [
            ("name", json!("Other"), "name"),
            ("type", json!("REWARD"), "type"),
            ("active", json!(false), "active"),
            ("endDateISO", json!("2031-01-01T00:00:00Z"), "endDate"),
            (CAP, json!(1), CAP),
            (EXPIRY, terms::days(1)[EXPIRY].clone(), EXPIRY),
            (LIMITED, json!(true), LIMITED),
        ] {
            let mut other = new.clone();
            other[field] = value;
            let refused = create(&service, endpoint, json!({"promotion": other})).await;
            assert_eq!(refused.code, 409, "{field}: {refused:?}");
            assert_eq!(refused.status, if endpoint == Endpoint::Json { 409 } else { 6 }, "{refused:?}");
            assert!(refused.messages[0].ends_with(&format!("recorded with other content ({differs})")), "{refused:?}");
            if endpoint == Endpoint::Grpc {
                assert_eq!(
                    (refused.reason.as_str(), refused.metadata["differing"].as_str()),
                    ("PROMOTION_EXISTS", differs)
                );
            }
        }
        // The request differs from the present record.
        let id = first.body["data"]["id"].clone();
        deactivate(&service, endpoint, json!({"promotionId": id})).await;
        let refused = create(&service, endpoint, json!({"promotion": new})).await;
        assert!(refused.messages[0].ends_with("(active)"), "{refused:?}");
    }
}

#[tokio::test]
async fn of_many_creates_at_once_all_return_the_one_that_is_recorded() {
    let service = Service::start().await;
    let mut new = promotion("At once");
    new["id"] = "0000000000000000000000fa".into();
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..16 {
        let (caller, request) = (service.caller(), json!({"promotion": new}));
        tasks.spawn(async move { create(&caller, ENDPOINTS[index % 2], request).await });
    }
    for answer in tasks.join_all().await {
        assert_eq!(answer.body["data"]["id"], "0000000000000000000000fa", "{answer:?}");
    }
}

/// Returns the recorded organization.
async fn org(database: &Database) -> Value {
    let sql =
        format!("SELECT name, time_zone, max_active_promotions, accept_unknown_customers FROM orgs WHERE id = {ORG}");
    database.rows(&sql).await.remove(0)
}

#[tokio::test]
async fn what_an_import_leaves_out_of_an_organization_or_a_client_stays_as_it_is_recorded() {
    let database = Database::new().await;
    import(&database, &catalog()).await.unwrap();
    let values = json!({"name": "Other", "timeZone": "Europe/Berlin", "maxActivePromotions": 70,
        "acceptUnknownCustomers": true});
    let fields = optional_fields("Org", &["id"]);
    assert_eq!(fields.len(), 4);
    for field in fields {
        let before = org(&database).await;
        import(&database, &json!({"orgs": [{"id": ORG, &field: values[&field]}]})).await.unwrap();
        let named = org(&database).await;
        assert_ne!(named, before, "{field}");
        for record in [json!({"id": ORG}), json!({"id": ORG, &field: null})] {
            import(&database, &json!({"orgs": [record]})).await.unwrap();
            assert_eq!(org(&database).await, named, "{field}");
        }
    }
    let client = async || database.rows("SELECT * FROM api_clients WHERE username = 'demo'").await.remove(0);
    let values = json!({"access": ["earn:write"], "requestsPerMinute": 60});
    let replaced = ImportOptions { replace_secrets: true, ..ImportOptions::default() };
    for field in optional_fields("ApiClient", &["username", "orgId"]) {
        let before = client().await;
        let value = if field == "password" { json!("other") } else { values[&field].clone() };
        let file = json!({"apiClients": [{"username": "demo", &field: value}]});
        import_with(&database, &file, replaced).await.unwrap();
        let named = client().await;
        assert_ne!(named, before, "{field}");
        import_with(&database, &json!({"apiClients": [{"username": "demo"}]}), replaced).await.unwrap();
        assert_eq!(client().await, named, "{field}");
    }
    // Every limit is removed by an explicit value, not by leaving something out.
    let refused = import(&database, &json!({"apiClients": [{"username": "demo", "access": []}]})).await.unwrap_err();
    assert_eq!(refused, "apiClients[0].access: must have at least 1 group, or \"*\" for everything");
    import(&database, &json!({"apiClients": [{"username": "demo", "access": ["*"]}]})).await.unwrap();
    assert_eq!(client().await["access"], "*");
}

#[tokio::test]
async fn a_recorded_secret_changes_only_where_that_is_said() {
    let database = Database::new().await;
    import(&database, &catalog()).await.unwrap();
    let hash = async || database.rows("SELECT secret_hash FROM api_clients ORDER BY username").await;
    let before = hash().await;
    let mut other = catalog();
    other["apiClients"][0]["password"] = "other".into();
    let warnings = import(&database, &other).await.unwrap();
    let said = "apiClients[0]: the password of \"demo\" is not the recorded one, which stays; \
                --replace-secrets replaces it";
    assert!(warnings.contains(&said.to_owned()), "{warnings:?}");
    assert_eq!(hash().await, before);
    let replaced = ImportOptions { replace_secrets: true, ..ImportOptions::default() };
    let warnings = import_with(&database, &other, replaced).await.unwrap().warnings;
    assert!(!warnings.iter().any(|warning| warning.contains("password")), "{warnings:?}");
    let after = hash().await;
    assert_ne!(after[1], before[1]);
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]), "the others match, and stay");
    // The same secret replaces nothing.
    import_with(&database, &other, replaced).await.unwrap();
    assert_eq!(hash().await, after);
}

#[tokio::test]
async fn what_is_new_needs_what_has_no_default() {
    let database = Database::new().await;
    import(&database, &catalog()).await.unwrap();
    let new = "0000000000000000000000d1";
    for (file, refusal) in [
        (json!({"orgs": [{"id": 9}]}), "orgs[0].name: is required for a new organization"),
        (
            json!({"promotions": [{"id": TEN_OFF, "orgId": ORG}, {"id": new, "orgId": ORG, "active": false}]}),
            "promotions[1].name: is required for a new promotion; promotions[1].type: is required for a new promotion; \
             promotions[1].startDate: is required for a new promotion; promotions[1].endDate: is required for a new \
             promotion",
        ),
        (
            json!({"apiClients": [{"username": "demo"}, {"username": "new"}]}),
            "apiClients[1].orgId: is required for a new client; apiClients[1].password: is required for a new client",
        ),
        (json!({"customers": [{}]}), "customers[0].orgId: is required; customers[0].customerId: is required"),
        (
            json!({"promotions": [{"id": TEN_OFF, "orgId": ORG, "endDate": 0}]}),
            "promotions[0].endDate: must not be before startDate",
        ),
    ] {
        assert_eq!(import(&database, &file).await.unwrap_err(), refusal);
    }
}

#[tokio::test]
async fn a_dry_run_names_each_record_that_would_change_and_changes_nothing() {
    let database = Database::new().await;
    import(&database, &catalog()).await.unwrap();
    let everything = async || {
        let mut rows = Vec::new();
        for table in ["orgs", "promotions", "audiences", "customers", "api_clients"] {
            rows.extend(database.rows(&format!("SELECT * FROM {table} ORDER BY 1, 2")).await);
        }
        rows
    };
    let before = everything().await;
    let dry = ImportOptions { dry_run: true, ..ImportOptions::default() };
    assert_eq!(import_with(&database, &catalog(), dry).await.unwrap().changes, [""; 0]);
    let file = json!({
        "orgs": [{"id": ORG, "maxActivePromotions": 70}, {"id": 2}, {"id": 9, "name": "New"}],
        "promotions": [
            {"id": "0000000000000000000000a4", "orgId": ORG, "active": true},
            {"id": "0000000000000000000000a8", "orgId": ORG, "audience": [8, 9]},
            {"id": TEN_OFF, "orgId": ORG, "name": "Ten off", CAP: 4, "endDate": 1_924_991_999_999_i64},
            {"id": "0000000000000000000000d1", "orgId": 9, "name": "New", "type": "EARNING", "startDate": 0, "endDate": 9},
            {"id": FREE_DELIVERY, "orgId": ORG},
        ],
        "customers": [{"orgId": ORG, "customerId": 7}, {"orgId": 9, "customerId": 8}],
        "apiClients": [
            {"username": "demo", "password": "other", "access": ["earn:write"]},
            {"username": "other", "requestsPerMinute": 5},
            {"username": "new", "password": "new", "orgId": 9},
        ]
    });
    let secrets = ImportOptions { replace_secrets: true, ..dry };
    for (options, demo) in [(dry, ""), (secrets, ", secret replaced")] {
        let imported = import_with(&database, &file, options).await.unwrap();
        assert_eq!(
            imported.changes,
            [
                "orgs[0] 100737: maxActivePromotions 250 -> 70",
                "orgs[2] 9: new",
                "promotions[0] 0000000000000000000000a4: active false -> true",
                "promotions[1] 0000000000000000000000a8: audience 2 added, audience 1 removed",
                &format!(
                    "promotions[2] 6912ced9d39e256f754a83f8: \
                     endDate 2025-12-31T18:29:59.999Z -> 2030-12-31T23:59:59.999Z, {CAP} none -> 4"
                ),
                "promotions[3] 0000000000000000000000d1: new",
                "customers[1] 8: new",
                &format!("apiClients[0] \"demo\": access * -> earn:write{demo}"),
                "apiClients[1] \"other\": requestsPerMinute default -> 5",
                "apiClients[2] \"new\": new",
            ]
        );
        assert_eq!(everything().await, before);
    }
    // A dry run holds to the rules of an import.
    let refused = json!({"promotions": [{"id": TEN_OFF, "orgId": ORG, "type": "POS"}]});
    let refused = import_with(&database, &refused, dry).await.unwrap_err();
    assert_eq!(refused, "promotions[0].type: cannot change: it is EARNING");
    import_with(&database, &file, ImportOptions { replace_secrets: true, dry_run: false }).await.unwrap();
    assert_eq!(import_with(&database, &file, secrets).await.unwrap().changes, [""; 0], "it is done");
}
