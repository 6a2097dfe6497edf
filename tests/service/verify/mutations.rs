//! Each invariant, broken alone: the check for it names the row, and all other checks are still made.

use super::{CHECKS, checks_of, filled, loose, text, verify};
use crate::ENGINE;
use crate::database::DatabaseKind;
use crate::terms::{CAP_COLUMN, EXPIRY_COLUMN};

/// Statements that break an invariant, the check that finds the breach, and its text.
type InvariantMutation = (&'static str, &'static str, &'static str);

/// Mutations that break one invariant each.
const MUTATIONS: &[InvariantMutation] = &[
    // Values.
    (
        "UPDATE earned_promotions SET earn_id = 'zzzzzzzzzzzzzzzzzzzzzzzz' WHERE event_id = 'two'",
        "values",
        "holds what its columns do not take: earn_id = zzzzzzzzzzzzzzzzzzzzzzzz;",
    ),
    (
        "UPDATE earned_promotions SET earned_status = 'LOST', changed_at_ms = 1 WHERE event_id = 'two'",
        "values",
        "earned_status = LOST;",
    ),
    ("UPDATE earned_promotions SET earned_from_type = 'GIFT' WHERE event_id = 'two'", "values", "earned_from_type = GIFT;"),
    (
        "UPDATE promotions SET type = 'GIFT' WHERE id = '0000000000000000000000a5'",
        "values",
        "promotions (org_id 100737, id 0000000000000000000000a5) holds what its columns do not take: type = GIFT;",
    ),
    (
        "UPDATE promotions SET start_ms = end_ms + 1 WHERE id = '0000000000000000000000a4'",
        "values",
        "promotions (org_id 100737, id 0000000000000000000000a4) ends before it starts",
    ),
    ("UPDATE customers SET customer_id = -7 WHERE customer_id = 7", "values", "customer_id = -7;"),
    ("UPDATE orgs SET catalog_version = 0 WHERE id = 3", "values", "orgs (id 3) holds what its columns do not take: catalog_version = 0;"),
    ("UPDATE api_clients SET requests_per_minute = -1 WHERE username = 'other'", "values", "requests_per_minute = -1;"),
    // Owners.
    (
        "UPDATE earned_promotions SET promotion_id = '00000000000000000000000f' WHERE event_id = 'two'",
        "owners",
        "is of promotion 00000000000000000000000f, which organization 100737 has not",
    ),
    ("UPDATE earned_promotions SET org_id = 9 WHERE event_id = 'two'", "owners", "which organization 9 has not"),
    (
        "INSERT INTO cap_usage (org_id, customer_id, promotion_id, used, cap, cap_period, last_change)
         VALUES (100737, 7, '00000000000000000000000f', 1, 1, 0, 1)",
        "owners",
        "cap_usage (org_id 100737, customer_id 7, promotion_id 00000000000000000000000f) is of promotion",
    ),
    (
        "INSERT INTO former_terms (org_id, promotion_id, end_ms, time_zone) VALUES (100737, '00000000000000000000000f', 1, 'UTC')",
        "owners",
        "former_terms (org_id 100737, promotion_id 00000000000000000000000f, end_ms 1, time_zone UTC) is of promotion",
    ),
    ("UPDATE audiences SET org_id = 9", "owners", "audiences (org_id 9, customer_id 7"),
    (
        "UPDATE customers SET org_id = 9 WHERE customer_id = 7",
        "owners",
        "customers (org_id 9, customer_id 7) is of organization 9, which does not exist",
    ),
    ("UPDATE api_clients SET org_id = 9 WHERE username = 'other'", "owners", "api_clients (username other) is of"),
    (
        "UPDATE promotions SET org_id = 9 WHERE id = '0000000000000000000000a4'",
        "owners",
        "promotions (org_id 9, id 0000000000000000000000a4) is of organization 9",
    ),
    (
        "UPDATE redemptions SET org_id = 9 WHERE transaction_identifier = 'txn';
         UPDATE earned_promotions SET org_id = 9 WHERE event_id = 'six'",
        "owners",
        "redemptions (org_id 9, transaction_identifier txn) is of organization 9",
    ),
    // Catalogs.
    (
        "UPDATE promotions SET name = 'Ten off' WHERE id = '0000000000000000000000a5'",
        "active names",
        "2 active promotions of organization 100737 have the name Ten off",
    ),
    (
        "UPDATE promotions SET name = 'Later ' WHERE id = '0000000000000000000000a5'",
        "catalogs",
        "\"Later \" of promotion 0000000000000000000000a5 of organization 100737",
    ),
    ("UPDATE orgs SET name = ' Demo' WHERE id = 100737", "catalogs", "\" Demo\" of organization 100737"),
    (
        "UPDATE orgs SET time_zone = 'Mars/Olympus' WHERE id = 100737",
        "catalogs",
        "the time zone \"Mars/Olympus\" of organization 100737 is not an IANA time zone",
    ),
    (
        "INSERT INTO former_terms (org_id, promotion_id, end_ms, time_zone)
         VALUES (100737, '6912cfff6629ee07040e15ef', 1, 'Mars/Olympus')",
        "catalogs",
        "the time zone \"Mars/Olympus\" of former terms of promotion 6912cfff6629ee07040e15ef",
    ),
    ("UPDATE api_clients SET secret_hash = 'secret' WHERE username = 'other'", "API clients", "of API client \"other\""),
    ("UPDATE api_clients SET access = 'earn:write everything' WHERE username = 'other'", "API clients", "\"earn:write everything\""),
    ("UPDATE token_keys SET pem = 'key'", "token keys", "of the name \"database\" is not a private key in PEM"),
    ("UPDATE token_keys SET kid = 'other'", "token keys", "of the name \"other\" is not the one that servers share"),
    // Earnings. `{copy}` is the row of an event, under another earn id.
    (
        "{copy two: customer_id = 7, earn_id = earn_id}",
        "earn ids",
        "is given 2 times",
    ),
    ("{copy two: ordinal = 5}", "earnings", "event two, earned from earning has 2 instances, 2 of them different, numbered 1 to 5"),
    ("{copy two: ordinal = 1}", "earnings", "2 instances, 1 of them different, numbered 1 to 1"),
    ("UPDATE earned_promotions SET ordinal = 2 WHERE event_id = 'two'", "earnings", "numbered 2 to 2"),
    (
        "UPDATE earned_promotions SET earned_from_type = 'REWARD' WHERE event_id = 'one' AND ordinal = 2",
        "earnings",
        "types BULK_ISSUE to REWARD",
    ),
    (
        "UPDATE earned_promotions SET event_time_ms = 1 WHERE event_id = 'one' AND ordinal = 2",
        "earnings",
        "event times (milliseconds) 1 to",
    ),
    (
        "UPDATE earned_promotions SET event_type = 'Sale' WHERE event_id = 'one' AND ordinal = 2",
        "earnings",
        "is instance 2 of its earning, and has details",
    ),
    ("UPDATE earned_promotions SET event_payload = '[1]' WHERE event_payload <> ''", "details", "the payload of earned promotion"),
    (
        "UPDATE earned_promotions SET supplementary_criteria = '874 GOLD 25319' WHERE event_payload <> ''",
        "details",
        "the supplementary criteria of earned promotion",
    ),
    (
        "UPDATE earned_promotions SET supplementary_criteria = '874 TIER 0' WHERE event_payload <> ''",
        "details",
        "the supplementary criteria of earned promotion",
    ),
    // Marks.
    (
        "UPDATE promotions SET earned = false WHERE id = '6912cfff6629ee07040e15ef' AND org_id = 100737",
        "marks",
        "promotion 6912cfff6629ee07040e15ef of organization 100737 is of type REWARD and not marked as earned, and 1 earned",
    ),
    (
        "UPDATE promotions SET type = 'POS' WHERE id = '6912cfff6629ee07040e15ef' AND org_id = 100737",
        "marks",
        "is of type POS, and 1 earned promotions are of it",
    ),
    (
        "UPDATE promotions SET cap_period = 1 WHERE id = '0000000000000000000000a5'",
        "marks",
        "promotion 0000000000000000000000a5 of organization 100737 is not marked as earned, and its cap is of period 1",
    ),
    (
        "INSERT INTO former_terms (org_id, promotion_id, end_ms, time_zone) VALUES (100737, '0000000000000000000000a5', 1, 'UTC')",
        "marks",
        "promotion 0000000000000000000000a5 of organization 100737 is not marked as earned, and has former terms",
    ),
    // Statuses.
    ("UPDATE earned_promotions SET changed_at_ms = 1 WHERE event_id = 'two'", "statuses", "is UNLOCKED, changed, by transaction none"),
    (
        "UPDATE earned_promotions SET transaction_identifier = 'txn' WHERE event_id = 'two'",
        "statuses",
        "is UNLOCKED, never changed, by transaction txn",
    ),
    ("UPDATE earned_promotions SET changed_at_ms = NULL WHERE event_id = 'five'", "statuses", "is REVOKED, never changed"),
    // Validity.
    (
        "UPDATE earned_promotions SET valid_till_ms = valid_till_ms + 1 WHERE event_id = 'two'",
        "validity",
        "is valid until 2025-12-31T18:30:00Z, by its terms 2025-12-31T18:29:59.999Z",
    ),
    (
        "UPDATE earned_promotions SET valid_till_ms = valid_till_ms + 1 WHERE event_id = 'four' AND ordinal = 2",
        "validity",
        "of promotion 0000000000000000000000a7 of organization 100737 is valid until",
    ),
    ("UPDATE promotions SET {expiry} = 8 WHERE id = '0000000000000000000000a7'", "validity", "by its terms 2025-11-19T"),
    ("UPDATE promotions SET end_ms = end_ms + 1 WHERE id = '6912cfff6629ee07040e15ef' AND org_id = 100737", "validity", "by its terms"),
    (
        "UPDATE earned_promotions SET granted_at_ms = valid_till_ms + 1 WHERE event_id = 'two'",
        "validity",
        "is granted at 2025-12-31T18:30:00Z, and was valid until 2025-12-31T18:29:59.999Z",
    ),
    (
        "UPDATE earned_promotions SET event_time_ms = valid_till_ms + 1 WHERE event_id = 'two'",
        "validity",
        "is earned by an event of 2025-12-31T18:30:00Z",
    ),
    // Counts.
    ("UPDATE cap_usage SET used = 1", "counts", "0000000000000000000000a9: 2 are held, and 1 are counted under the cap"),
    ("DELETE FROM cap_usage", "counts", "2 are held, and 0 are counted under the cap"),
    ("UPDATE cap_usage SET cap = 1", "counts", "2 are counted under a cap of 1"),
    ("UPDATE cap_usage SET cap_period = 1", "counts", "the count is of period 1, and the cap of period 0"),
    ("{copy three: ordinal = 3}", "counts", "3 are held, and 2 are counted under the cap"),
    (
        "UPDATE earned_promotions SET earned_status = 'UNLOCKED', changed_at_ms = NULL WHERE event_id = 'five'",
        "counts",
        "3 are held, and 2 are counted under the cap",
    ),
    ("DELETE FROM earned_promotions WHERE event_id = 'three'", "counts", "none is held, and 2 are counted under the cap"),
    (
        "UPDATE promotions SET {cap} = 9 WHERE id = '0000000000000000000000a7'",
        "counts",
        "promotion 0000000000000000000000a7: 2 are held, and 0 are counted under the cap",
    ),
    // Redemptions.
    (
        "UPDATE redemptions SET customer_id = 7 WHERE transaction_identifier = 'txn'",
        "redemptions",
        "2 earned promotions of customer 566881933 of organization 100737 are redeemed by transaction txn, which is not",
    ),
    ("DELETE FROM redemptions WHERE transaction_identifier = 'txn'", "redemptions", "are redeemed by transaction txn, which is not"),
    (
        "UPDATE redemptions SET instances = 3 WHERE transaction_identifier = 'txn'",
        "redemptions",
        "transaction txn of organization 100737 redeemed 3 earned promotions, and the wallet has 2 of it",
    ),
    (
        "UPDATE earned_promotions SET earned_status = 'REVOKED', transaction_identifier = NULL
         WHERE event_id = 'six' AND ordinal = 1",
        "redemptions",
        "redeemed 2 earned promotions, and the wallet has 1 of it",
    ),
    // The transaction names one earned promotion, and the wallet has another one that it redeemed.
    (
        "UPDATE earned_promotions SET earned_status = 'REDEEMED', changed_at_ms = (SELECT redeemed_at_ms FROM redemptions
             WHERE transaction_identifier = 'txn'), transaction_identifier = 'txn' WHERE event_id = 'one' AND ordinal = 1;
         UPDATE earned_promotions SET earned_status = 'UNLOCKED', changed_at_ms = NULL, transaction_identifier = NULL
             WHERE event_id = 'six' AND ordinal = 1",
        "redemptions",
        "which it did not redeem",
    ),
    (
        "UPDATE earned_promotions SET transaction_identifier = CASE event_id WHEN 'seven' THEN 'txn' ELSE 'other' END
         WHERE event_id = 'seven' OR event_id = 'six' AND ordinal = 1",
        "redemptions",
        "which it did not redeem",
    ),
    (
        "UPDATE redemptions SET digest = '1:00' WHERE transaction_identifier = 'txn'",
        "redemptions",
        "transaction txn of organization 100737 has the digest \"1:00\", which is not that of its content",
    ),
    ("UPDATE redemptions SET digest = 'other' WHERE transaction_identifier = 'txn'", "redemptions", "the digest \"other\""),
    ("UPDATE redemptions SET content = '{' WHERE transaction_identifier = 'txn'", "redemptions", "txn of organization 100737 cannot be read"),
    (
        "UPDATE redemptions SET content = replace(content, '6912ced9d39e256f754a83f8', '6912cfff6629ee07040e15ef')
         WHERE transaction_identifier = 'txn'",
        "redemptions",
        "of promotion 6912cfff6629ee07040e15ef, which its customer does not hold",
    ),
    // Times of redemptions.
    (
        "UPDATE redemptions SET redeemed_at_ms = redeemed_at_ms + 1 WHERE transaction_identifier = 'txn'",
        "redemption times",
        "transaction txn of organization 100737 redeemed earned promotion",
    ),
    (
        "UPDATE redemptions SET redeemed_at_ms = 1798741799999 + 1 WHERE transaction_identifier = 'txn';
         UPDATE earned_promotions SET changed_at_ms = 1798741799999 + 1 WHERE event_id = 'six'",
        "redemption times",
        "valid until 2025-12-31T18:29:59.999Z, and was recorded more than 365 days later, at 2026-12-31T18:30:00Z",
    ),
    (
        "UPDATE promotions SET end_ms = 1762837907999 WHERE id = '6912ced9d39e256f754a83f8' AND org_id = 100737;
         UPDATE earned_promotions SET valid_till_ms = 1762837907999, event_time_ms = 1762837907999, granted_at_ms = 1762837907999
         WHERE promotion_id = '6912ced9d39e256f754a83f8'",
        "redemption times",
        "valid until 2025-11-11T05:11:47.999Z, at 2025-11-11T05:11:48Z",
    ),
    (
        "UPDATE earned_promotions SET event_time_ms = 1762837908000 + 86400000 + 1 WHERE event_id = 'six'",
        "redemption times",
        "earned by an event of 2025-11-12T05:11:48.001Z, long before it, at 2025-11-11T05:11:48Z",
    ),
    // Changes.
    (
        "UPDATE catalog_changes SET after = replace(after, 'Ten off', 'Nine off')
         WHERE promotion_id = '6912ced9d39e256f754a83f8' AND action = 'PROMOTION_CREATED'",
        "changes",
        "does not begin with what the changes before it left",
    ),
    (
        "UPDATE catalog_changes SET after = replace(after, 'Later', 'Sooner') WHERE promotion_id = '0000000000000000000000a5'",
        "changes",
        "promotion 0000000000000000000000a5 of organization 100737 is not what its changes give",
    ),
    (
        "DELETE FROM catalog_changes WHERE action = 'PROMOTION_EARNED' AND promotion_id = '0000000000000000000000a9'",
        "changes",
        "does not follow change 1 of version",
    ),
    (
        "DELETE FROM catalog_changes WHERE org_id = 100737 AND version = (SELECT catalog_version FROM orgs WHERE id = 100737)",
        "changes",
        "organization 100737 has version",
    ),
    (
        "DELETE FROM catalog_changes WHERE action = 'AUDIENCE_CHANGED'",
        "changes",
        "the audience of promotion",
    ),
    (
        "DELETE FROM catalog_changes WHERE action = 'CLIENT_CREATED' AND org_id = 3",
        "changes",
        "API client",
    ),
    (
        "INSERT INTO catalog_changes SELECT org_id, version, part + 100, changed_at_ms, actor, request_id, action, promotion_id,
             before, after FROM catalog_changes WHERE action = 'AUDIENCE_CHANGED'",
        "changes",
        "the audience of promotion",
    ),
    (
        "UPDATE catalog_changes SET action = 'PROMOTION_CHANGED' WHERE action = 'PROMOTION_EARNED'
         AND promotion_id = '0000000000000000000000a9'",
        "changes",
        "is not of the action PROMOTION_CHANGED",
    ),
    (
        "UPDATE catalog_changes SET before = '{' WHERE action = 'PROMOTION_EARNED' AND promotion_id = '0000000000000000000000a9'",
        "changes",
        "cannot be read",
    ),
    (
        "UPDATE catalog_changes SET org_id = 9 WHERE org_id = 3",
        "owners",
        "catalog_changes (org_id 9",
    ),
];

/// Duplicate keys: SQLite has no table without its primary key.
const REPEATED_KEYS: &[InvariantMutation] = &[
    (
        "INSERT INTO customers SELECT * FROM customers WHERE customer_id = 7",
        "keys",
        "customers (org_id 100737, customer_id 7) is there 2 times",
    ),
    (
        "INSERT INTO redemptions SELECT * FROM redemptions WHERE transaction_identifier = 'txn'",
        "keys",
        "redemptions (org_id 100737, transaction_identifier txn) is there 2 times",
    ),
    ("INSERT INTO audiences SELECT * FROM audiences", "keys", "is there 2 times"),
    (
        "INSERT INTO api_clients SELECT * FROM api_clients WHERE username = 'other'",
        "keys",
        "api_clients (username other) is there",
    ),
];

/// Statements that change what changes of a catalog record, so that replaying the changes shows it, too.
const CATALOG: [&str; 9] = [
    "UPDATE orgs ",
    "UPDATE promotions ",
    "UPDATE audiences ",
    "INTO audiences ",
    "UPDATE api_clients SET org_id",
    "UPDATE api_clients SET access",
    "UPDATE api_clients SET requests_per_minute",
    "INTO api_clients ",
    "UPDATE catalog_changes SET org_id",
];

/// Values that only SQLite accepts: each is a breach of every check that would read it.
const WRONG_TYPES: &[(&str, &[&str], &str)] = &[
    (
        "UPDATE earned_promotions SET valid_till_ms = 'soon' WHERE event_id = 'two'",
        &["values", "validity"],
        "valid_till_ms = soon;",
    ),
    ("UPDATE earned_promotions SET customer_id = 'x' WHERE event_id = 'two'", &["values"], "customer_id = x;"),
    (
        "UPDATE redemptions SET digest = x'ff' WHERE transaction_identifier = 'txn'",
        &["values", "redemptions"],
        "digest = a value that is not shown;",
    ),
    ("UPDATE orgs SET accept_unknown_customers = 7 WHERE id = 100737", &["values"], "accept_unknown_customers = 7;"),
];

/// Returns the statements with each copy of a row written out.
fn written_out(sql: &str) -> String {
    let Some(copy) = sql.strip_prefix("{copy ").and_then(|rest| rest.strip_suffix('}')) else {
        return sql.replace("{cap}", CAP_COLUMN).replace("{expiry}", EXPIRY_COLUMN);
    };
    let (event, changes) = copy.split_once(": ").unwrap();
    let columns = "org_id, customer_id, earn_id, promotion_id, event_id, earned_from_id, ordinal, earned_from_type, \
                   event_time_ms, valid_till_ms, granted_at_ms, event_payload";
    let new_id = "earn_id = '00000000000000000000ffff'".to_owned();
    let changes = [new_id].into_iter().chain(changes.split(", ").map(str::to_owned));
    let values = changes.fold(columns.to_owned(), |values, change| {
        let (column, value) = change.split_once(" = ").unwrap();
        let values = values.split(", ").zip(columns.split(", "));
        values.map(|(old, name)| if name == column { value } else { old }).collect::<Vec<_>>().join(", ")
    });
    format!(
        "INSERT INTO earned_promotions ({columns}) SELECT {values} FROM earned_promotions WHERE event_id = '{event}' AND ordinal = 1"
    )
}

#[tokio::test]
async fn each_invariant_broken_alone_is_found_by_its_check_and_every_other_check_is_made() {
    let service = filled().await;
    let database = service.database();
    loose::loosen(database).await;
    let keys = if ENGINE == DatabaseKind::Postgres { REPEATED_KEYS } else { &[] };
    let wrong_types = if ENGINE == DatabaseKind::Sqlite { WRONG_TYPES } else { &[] };
    let alone = MUTATIONS.iter().chain(keys).map(|(sql, check, breach)| (*sql, vec![*check], *breach));
    let wrong_types = wrong_types.iter().map(|(sql, checks, breach)| (*sql, checks.to_vec(), *breach));
    for (sql, mut checks, breach) in alone.chain(wrong_types) {
        if CATALOG.iter().any(|table| sql.contains(table)) && !checks.contains(&"changes") {
            checks.push("changes");
        }
        let sql = written_out(sql);
        database.execute(&loose::statement(&sql)).await;
        let output = verify(&service);
        let text = text(&output);
        assert_eq!(output.status.code(), Some(1), "{sql}: {output:?}");
        let found: Vec<_> = checks_of(&text, "BREACH").map(|check| check.split(": ").next().unwrap()).collect();
        assert_eq!(found, checks, "{sql}\n{text}");
        assert_eq!(checks_of(&text, "ok    ").count(), CHECKS - found.len(), "{sql}\n{text}");
        assert!(text.lines().any(|line| line.starts_with("       ") && line.contains(breach)), "{sql}\n{text}");
        loose::restore(database).await;
    }
    assert!(verify(&service).status.success(), "everything was put right again");
}
