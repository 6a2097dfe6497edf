//! How PostgreSQL goes about a batch: by the earning key, also when it believes that the wallet is empty.

use std::time::Duration;

use crate::support::*;

#[tokio::test]
async fn an_earning_is_found_by_its_whole_key_though_the_wallet_was_known_to_be_empty() {
    let service = Service::start().await;
    service.database().execute("VACUUM ANALYZE").await;
    for index in 0..20 {
        // Plans are made with the first, and kept.
        let answer = service.earn(DOORS[index % 2], &one_entry(&format!("event {index}"), TEN_OFF, 10)).await;
        assert_eq!(earn_ids(&answer.body).len(), 10, "{answer:?}");
    }
    let database = service.database();
    let scans = async |index: &str| {
        let sql = format!("SELECT idx_scan::bigint FROM pg_stat_user_indexes WHERE indexrelname = '{index}'");
        database.count(&sql).await
    };
    // Statistics come late.
    let counted = async {
        while scans("earned_promotions_earning_key").await < 20 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), counted).await.expect("searches by earning key");
    assert_eq!(scans("earned_promotions_earn_id").await, 0);
    // Every search was for something new: had it been by less than the whole key, it would have read what is there.
    let read =
        "SELECT idx_tup_read::bigint FROM pg_stat_user_indexes WHERE indexrelname = 'earned_promotions_earning_key'";
    let probes = database.count(read).await;
    assert!(probes < 60, "{probes} entries of the index read: no more than the probes of health read");
}
