//! Plans of PostgreSQL for a batch, also when it assumes that the wallet is empty: an earning is found by its key, a
//! customer's holdings by the index of the listing.

use std::time::Duration;

use serde_json::json;

use crate::rpcs::list;
use crate::support::*;
use crate::terms;
use crate::wallet::{granted, granted_to};

#[tokio::test]
async fn an_earning_is_found_by_its_whole_key_though_the_wallet_was_known_to_be_empty() {
    let service = Service::start().await;
    service.database().execute("VACUUM ANALYZE").await;
    for index in 0..20 {
        // Plans are made with the first batch, and kept. A repeat is looked up.
        for _ in 0..2 {
            let answer = service.earn(ENDPOINTS[index % 2], &one_entry(&format!("event {index}"), TEN_OFF, 10)).await;
            assert_eq!(earn_ids(&answer.body).len(), 10, "{answer:?}");
        }
    }
    let database = service.database();
    let scans = async |index: &str| {
        let sql = format!("SELECT idx_scan::bigint FROM pg_stat_user_indexes WHERE indexrelname = '{index}'");
        database.count(&sql).await
    };
    // Statistics are updated with a delay.
    let counted = async {
        while scans("earned_promotions_earning_key").await < 20 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), counted).await.expect("searches by earning key");
    assert_eq!(scans("earned_promotions_earn_id").await, 0);
    // A search by less than the event would have read all rows.
    let read =
        "SELECT idx_tup_read::bigint FROM pg_stat_user_indexes WHERE indexrelname = 'earned_promotions_earning_key'";
    let probes = database.count(read).await;
    assert!(probes <= 20 * 10 + 60, "{probes} entries of the index read: ten for each repeat, and some at the start");
}

#[tokio::test]
async fn a_page_of_a_wallet_reads_no_more_than_it_shows_though_the_wallet_was_known_to_be_empty() {
    let service = Service::start().await;
    service.database().execute("VACUUM ANALYZE").await;
    for round in 0..5 {
        // Plans are made with the first page, and kept.
        let empty = list(&service, Endpoint::Json, json!({"customerId": 7})).await;
        assert_eq!(empty.body["data"], json!([]), "{round}");
    }
    for event in 0..5 {
        granted(&service, &format!("{event}"), TEN_OFF, 1_000).await;
    }
    let database = service.database();
    let counted = async |column: &str, index: &str| {
        let sql = format!("SELECT {column}::bigint FROM pg_stat_user_indexes WHERE indexrelname = '{index}'");
        database.count(&sql).await
    };
    let all = async || {
        let (listing, earning_key) = ("earned_promotions_listing", "earned_promotions_earning_key");
        let scans = counted("idx_scan", listing).await;
        (scans, counted("idx_tup_read", listing).await, counted("idx_tup_read", earning_key).await)
    };
    let before = all().await;
    let (mut request, mut presented) = (json!({"customerId": CUSTOMER, "limit": 10}), 0);
    for _ in 0..20 {
        let page = list(&service, Endpoint::Grpc, request.clone()).await;
        presented += page.body["data"].as_array().unwrap().len();
        request["pageToken"] = page.body["nextPageToken"].clone();
    }
    assert_eq!(presented, 200);
    // Statistics are updated with a delay. Each page but the first begins in two places.
    let told = async {
        while all().await.0 < before.0 + 39 {
            // A session sends its statistics with its next statement.
            list(&service, Endpoint::Grpc, json!({"customerId": 7})).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), told).await.expect("searches by the listing");
    let after = all().await;
    let listed = after.1 - before.1;
    assert!((150..=20 * 12).contains(&listed), "{listed} entries of the index read for 20 pages of 10");
    // The entries are the first instance of the earning, for each page, and the probes of health.
    assert!(after.2 - before.2 <= 400, "{} entries of the earning key read", after.2 - before.2);
}

#[tokio::test]
async fn what_a_customer_holds_is_counted_by_the_listing_though_the_wallet_was_known_to_be_empty() {
    let mut catalog = catalog();
    let customers = (1_000..1_100).map(|customer| json!({"orgId": ORG, "customerId": customer}));
    catalog["customers"] = customers.chain(catalog["customers"].as_array().unwrap().clone()).collect();
    let service = Service::start_with(&catalog, &[]).await;
    // The cap is set after something was earned, so the next grant counts what a customer holds.
    granted(&service, "uncapped", TEN_OFF, 1).await;
    terms::set(&mut catalog["promotions"][0], &terms::cap(1_000));
    service.import(&catalog).await;
    let database = service.database();
    database.execute("VACUUM ANALYZE").await;
    let earn = async |customer: i64| {
        assert_eq!(granted_to(&service, customer, one_entry(&format!("event {customer}"), TEN_OFF, 1)).await.len(), 1);
    };
    for customer in 1_000..1_020 {
        // Plans are made with the first earning, and kept.
        earn(customer).await;
    }
    for event in 0..5 {
        granted(&service, &format!("{event}"), FREE_DELIVERY, 1_000).await;
    }
    let counted = async |column: &str, index: &str| {
        let sql = format!("SELECT {column}::bigint FROM pg_stat_user_indexes WHERE indexrelname = '{index}'");
        database.count(&sql).await
    };
    let scans = async || counted("idx_scan", "earned_promotions_listing").await;
    let read = async || counted("idx_tup_read", "earned_promotions_earning_key").await;
    let before = (scans().await, read().await);
    for customer in 1_020..1_060 {
        earn(customer).await;
    }
    // Statistics are updated with a delay.
    let mut next = 1_060;
    let told = async {
        while scans().await < before.0 + 20 {
            earn(next).await;
            next += 1;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), told).await.expect("searches by the listing");
    let read = read().await - before.1;
    assert!(read <= 400, "{read} entries of the earning key read");
}
