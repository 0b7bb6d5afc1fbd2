//! Secrets come in and never out.

use http::Method;
use samovar_control::ControlConfig;
use samovar_model::api::{Deployed, KeyState, SecretList, SecretSummary};
use serde_json::json;

use crate::harness::{Answer, Api, TOKEN, problem};

const VALUE: &str = "sk_live_51H8xQ";

async fn set(api: &Api, name: &str, value: &'static str) -> Answer {
    api.send(Api::request(Method::PUT, &format!("/v1/secrets/{name}"), value)).await
}

async fn list(api: &Api) -> Vec<SecretSummary> {
    api.get("/v1/secrets").await.json::<SecretList>().secrets
}

#[tokio::test]
async fn a_secret_is_set_listed_and_removed_and_its_value_is_in_no_answer() {
    let api = Api::start();
    assert_eq!(list(&api).await, []);
    let mut answers = vec![set(&api, "STRIPE_KEY", VALUE).await, set(&api, "STRIPE_KEY", VALUE).await];
    let summary: SecretSummary = answers[1].json();
    assert_eq!((summary.name.as_str(), summary.version, summary.key), ("STRIPE_KEY", 2, KeyState::Current));
    assert_eq!(list(&api).await, [summary]);
    for path in ["/v1/secrets", "/v1/secrets/STRIPE_KEY", "/metrics", "/v1/functions"] {
        answers.push(api.get(path).await);
    }
    assert_eq!(answers[3].problem().0, 405, "there is no reading it");
    answers.push(api.delete("/v1/secrets/STRIPE_KEY").await);
    assert_eq!(answers.last().unwrap().status, 204);
    answers.push(api.delete("/v1/secrets/STRIPE_KEY").await);
    let expected = problem(404, "no-such-secret", "no secret `STRIPE_KEY`");
    assert_eq!(answers.last().unwrap().problem(), expected);
    assert_eq!(list(&api).await, []);
    for answer in answers {
        assert!(!format!("{answer:?}").contains("sk_live"), "{answer:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_a_secret_is_refused_without_being_repeated() {
    let api = Api::start();
    let name = set(&api, "sk_live=51H8", "x").await;
    assert_eq!((name.problem().0, name.problem().1.as_str()), (400, "bad-secret-name"));
    assert!(!name.text().contains("sk_live"));
    let empty = "the value is empty; `samovar secret remove` removes a secret";
    assert_eq!(set(&api, "A", "").await.problem(), problem(400, "bad-secret", empty));
    let request = Api::request(Method::PUT, "/v1/secrets/A", b"sk_live\xff".to_vec());
    let not_text = api.send(request).await;
    assert_eq!(not_text.problem().1, "bad-secret");
    assert!(!not_text.text().contains("sk_live"));
    let request = Api::request(Method::PUT, "/v1/secrets/A", "x".repeat((64 << 10) + 1));
    let large = "the value has 65537 bytes or more, 65536 at most";
    assert_eq!(api.send(request).await.problem(), problem(413, "body-too-large", large));
    assert_eq!(list(&api).await, []);
}

#[tokio::test]
async fn without_a_key_setting_says_what_to_do() {
    let api = Api::with_keys(ControlConfig::new(TOKEN), Err("give it a key".to_owned()));
    assert_eq!(set(&api, "A", VALUE).await.problem(), problem(409, "no-secret-key", "give it a key"));
    let deployed: Deployed = api.try_deploy("a", "0.2", json!({ "secrets": ["A"] })).await.json();
    let not_set = "secret `A` is not set: samovar secret set A";
    assert_eq!(deployed.warnings, ["give it a key", not_set]);
}

#[tokio::test]
async fn a_deploy_warns_of_granted_secrets_that_are_not_set_and_the_list_says_who_is_granted_what() {
    let api = Api::start();
    set(&api, "A", VALUE).await;
    let deployed: Deployed = api.try_deploy("a", "0.2", json!({ "secrets": ["A", "B"] })).await.json();
    assert_eq!(deployed.warnings, ["secret `B` is not set: samovar secret set B"]);
    assert!(deployed.changed);
    let none: Deployed = api.try_deploy("b", "0.2", json!({ "secrets": ["A"] })).await.json();
    assert_eq!(none.warnings, [""; 0]);
    let list = list(&api).await;
    let granted: Vec<_> = list[0].granted_to.iter().map(ToString::to_string).collect();
    assert_eq!(granted, ["a", "b"]);
}
