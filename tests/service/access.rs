//! Access of callers to methods, as `proto/` states it: every method through both endpoints, with no access, wrong access, and not
//! enough of it.

use cart_promotions::access::groups::AccessGroup;
use serde_json::{Value, json};
use strum::VariantNames as _;

use crate::rpcs::{METHODS, Rpc, call};
use crate::support::*;

/// Returns a client for each access group, which has all others; and one for each, which has no other.
fn clients() -> Value {
    let mut catalog = catalog();
    let clients = catalog["apiClients"].as_array_mut().unwrap();
    for group in AccessGroup::VARIANTS {
        let name = group.replace(':', "-");
        let others: Vec<_> = AccessGroup::VARIANTS.iter().filter(|other| *other != group).collect();
        clients.push(json!({"username": format!("not-{name}"), "password": "x", "orgId": ORG, "access": others}));
        clients.push(json!({"username": format!("only-{name}"), "password": "x", "orgId": ORG, "access": [group]}));
    }
    catalog
}

#[tokio::test]
async fn every_method_needs_credentials_and_its_own_access_group() {
    let service = Service::start_with(&clients(), &[]).await;
    for endpoint in ENDPOINTS {
        let refused = |answer: &Answer, expected: i64| {
            assert_eq!(answer.code, expected, "{endpoint:?}: {answer:?}");
            assert_eq!(
                answer.status,
                match (endpoint, expected) {
                    (Endpoint::Json, status) => status,
                    (Endpoint::Grpc, 401) => 16,
                    (Endpoint::Grpc, _) => 7,
                }
            );
        };
        for (grpc, group) in METHODS.iter().map(|method| (method.grpc, method.access)) {
            for wrong in ["", "demo:wrong", "Bearer x.y.z", "Token x"] {
                refused(&call(&service, endpoint, Rpc { grpc, credentials: wrong }, json!({})).await, 401);
            }
            let name = group.replace(':', "-");
            let answer = call(&service, endpoint, Rpc { grpc, credentials: &format!("not-{name}:x") }, json!({})).await;
            refused(&answer, 403);
            assert!(answer.messages[0].contains(group), "{grpc}: {answer:?}");
            if endpoint == Endpoint::Grpc {
                assert_eq!((&*answer.reason, &*answer.metadata["accessGroup"]), ("ACCESS_DENIED", group));
            }
            let answer =
                call(&service, endpoint, Rpc { grpc, credentials: &format!("only-{name}:x") }, json!({})).await;
            assert!(![401, 403].contains(&answer.code), "{grpc}: {answer:?}");
        }
    }
    assert_eq!(service.granted().await, 0);
}

#[tokio::test]
async fn an_unknown_access_group_is_refused_where_it_is_given() {
    let database = Database::new().await;
    let mut file = catalog();
    file["apiClients"][0]["access"] = json!(["earn:write", "earn:burn"]);
    let refused = import(&database, &file).await.unwrap_err();
    assert!(refused.starts_with("apiClients[0].access[1]: must be one of earn:read, earn:write"), "{refused}");
}

#[tokio::test]
async fn nobody_needs_credentials_where_that_is_asked_for_and_only_on_loopback() {
    let mut own = catalog();
    for list in own.as_object_mut().unwrap().values_mut() {
        list.as_array_mut().unwrap().retain(|each| [&each["id"], &each["orgId"]].contains(&&json!(100_737)));
    }
    let service = Service::start_with(&own, &["--without-authentication", "100737"]).await;
    for endpoint in ENDPOINTS {
        for credentials in ["", "demo:wrong", "Bearer x"] {
            assert_eq!(service.earn_as(endpoint, Some(credentials), &documented_request()).await.code, 0);
        }
        assert_eq!(service.earn_as(endpoint, None, &json!({"orgId": 2})).await.code, 403);
    }
    for (address, exposed) in [("0.0.0.0:0", true), ("[::]:0", true), ("192.0.2.1:80", true), ("[::1]:0", false)] {
        let mut options = options("sqlite://x.db", &["--without-authentication", "1"]);
        options.listen = address.parse().unwrap();
        assert_eq!(options.settings().is_err(), exposed, "{address}");
    }
}
