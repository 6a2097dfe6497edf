//! Several trusted issuers at once: none waits for another, and no caller is taken for another.

use super::*;

#[tokio::test]
async fn an_issuer_that_does_not_answer_delays_no_other_and_its_own_tokens_are_to_be_tried_again() {
    let (folder, key) = (TempDir::new().unwrap(), key("a", ED25519));
    let mut entries = vec![issuer_entry(&json!({}))];
    for name in ["https://slow.example/1", "https://slow.example/2", "https://slow.example/3"] {
        entries.insert(0, issuer_entry(&json!({"issuer": name, "jwks": silent().await})));
    }
    let file = write_issuers(folder.path(), &[&key], &entries);
    let service = Service::start_with(&catalog(), &["--trusted-issuers", &file]).await;
    // Three silent issuers would take three times 5 s one after the other.
    let good = key.sign(&claims()).unwrap();
    becomes(&service, &good, true).await;
    let theirs = key.sign(&changed(&claims(), "iss", "https://slow.example/1".into())).unwrap();
    for endpoint in ENDPOINTS {
        let answer = service.earn_as(endpoint, Some(&format!("Bearer {theirs}")), &documented_request()).await;
        assert_eq!(answer.status, if endpoint == Endpoint::Json { 503 } else { 14 }, "{answer:?}");
        assert!(answer.messages[0].contains("were not read yet"), "{answer:?}");
        if endpoint == Endpoint::Json {
            assert_eq!(answer.headers["retry-after"], "1");
        } else {
            assert_eq!(answer.reason, "KEYS_NOT_READ");
        }
    }
    // A file is still read every second.
    publish(folder.path(), &[]);
    becomes(&service, &good, false).await;
}

#[tokio::test]
async fn issuers_and_subjects_whose_names_run_together_are_two_callers() {
    let (folder, key) = (TempDir::new().unwrap(), key("a", ED25519));
    let entries = ["https://a", "https://a:b", "https://ab"].map(|name| issuer_entry(&json!({"issuer": name})));
    let file = write_issuers(folder.path(), &[&key], &entries);
    let options = ["--trusted-issuers", &file, "--requests-per-minute", "1000"];
    let service = Service::start_with(&catalog(), &options).await;
    let token = |iss: &str, sub: &str| {
        let claims = changed(&changed(&claims(), "iss", iss.into()), "sub", sub.into());
        format!("Bearer {}", key.sign(&claims).unwrap())
    };
    becomes(&service, token("https://a", "x").trim_start_matches("Bearer "), true).await;
    let left = async |presented: &str| {
        let answer = service.earn_as(Endpoint::Json, Some(presented), &documented_request()).await;
        answer.headers["ratelimit"].to_str().unwrap().to_owned()
    };
    // The names run together with a colon between them, and with nothing.
    for ((issuer, subject), (other_issuer, other_subject)) in
        [(("https://a", "b:c"), ("https://a:b", "c")), (("https://a", "bc"), ("https://ab", "c"))]
    {
        left(&token(issuer, subject)).await;
        let other = left(&token(other_issuer, other_subject)).await;
        assert!(
            other.starts_with("\"requests\";r=999;"),
            "{other_issuer} {other_subject}: a limit of its own: {other}"
        );
    }
}

#[tokio::test]
async fn a_file_of_keys_that_is_missing_or_no_key_set_is_refused_at_the_start_by_name() {
    let (folder, key) = (TempDir::new().unwrap(), key("a", ED25519));
    let file = issuer(folder.path(), &[&key], &json!({}));
    let jwks = folder.path().join("jwks.json");
    let start = async || {
        let database = format!("sqlite://{}", folder.path().join("keys.db").display());
        let options = options(&database, &["--trusted-issuers", &file]);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (started, stop) = (|| {}, std::future::ready(()));
        let course = cart_promotions::server::Course { started, stop, hurry: std::future::pending() };
        let ended = cart_promotions::server::run(given(listener), &options, course).await;
        ended.map_err(|error| error.to_string())
    };
    assert_eq!(start().await, Ok(()), "the key set can be used");
    let too_long = " ".repeat(256 * 1024 + 1);
    for content in [Some("{"), Some("[]"), Some("{\"keys\": 7}"), Some(&*too_long), None] {
        match content {
            Some(content) => std::fs::write(&jwks, content).unwrap(),
            None => std::fs::remove_file(&jwks).unwrap(),
        }
        let refused = start().await.unwrap_err();
        let named = refused.contains("--trusted-issuers") && refused.contains("jwks.json");
        assert!(named && refused.contains("https://login.example.com"), "{refused}");
    }
}
