//! Changing configuration and environment without a build.

use samovar_model::api::{Deployed, FunctionDetail};
use serde_json::json;

use crate::harness::{Api, problem};

const SETTINGS: &str = "/v1/functions/shop/settings";

async fn shop(api: &Api) -> FunctionDetail {
    api.get("/v1/functions/shop").await.json()
}

#[tokio::test]
async fn a_change_makes_a_revision_of_the_same_component() {
    let api = Api::start();
    let first = api.try_deploy("shop", "0.2 one", json!({ "config": { "vat": "19" }, "env": { "TZ": "UTC" } })).await;
    let first: Deployed = first.json();
    let change = json!({ "config": { "vat": "7", "till": "open" }, "env": { "TZ": null } });
    let answer = api.patch(SETTINGS, change.to_string()).await;
    assert_eq!(answer.status, 201);
    let changed: Deployed = answer.json();
    assert_eq!((changed.changed, changed.function.revision.0), (true, 2));
    assert_eq!(changed.function.artifact, first.function.artifact);
    let settings = shop(&api).await.settings;
    assert_eq!(settings.config, [("till", "open"), ("vat", "7")].map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    assert!(settings.env.is_empty());
    // It can be taken back like any other.
    assert!(api.post("/v1/functions/shop/rollback", "").await.status.is_success());
    assert_eq!(shop(&api).await.settings.config["vat"], "19");
}

#[tokio::test]
async fn a_change_that_changes_nothing_makes_no_revision() {
    let api = Api::start();
    api.try_deploy("shop", "0.2 one", json!({ "config": { "vat": "19" } })).await;
    let answer = api.patch(SETTINGS, json!({ "config": { "vat": "19", "none": null } }).to_string()).await;
    let answer: Deployed = answer.json();
    assert_eq!((answer.changed, answer.function.revision.0), (false, 1));
}

#[tokio::test]
async fn no_change_is_lost_among_many_at_the_same_time() {
    let api = Api::start();
    api.deploy("shop", "0.2 one").await;
    let change = async |number: usize| {
        let body = json!({ "config": { (format!("key-{number}")): "set" } }).to_string();
        api.patch(SETTINGS, body).await.status.as_u16()
    };
    let statuses = futures_util::future::join_all((0..8).map(change)).await;
    assert_eq!(statuses, [201; 8]);
    let function = shop(&api).await;
    assert_eq!((function.settings.config.len(), function.summary.revision.0), (8, 9));
}

#[tokio::test]
async fn a_change_that_cannot_be_made_is_refused_and_changes_nothing() {
    let api = Api::start();
    api.deploy("shop", "0.2 one").await;
    for (body, expected) in [
        (
            json!({ "env": { "A=B": "1" } }),
            problem(
                400,
                "bad-settings",
                "function.shop.env = \"A=B\": a variable's name must not be empty or contain `=`",
            ),
        ),
        (
            json!({ "env": { "CRASH": "no kettle" } }),
            problem(422, "component-refused", "the instance does not start: no kettle"),
        ),
    ] {
        assert_eq!(api.patch(SETTINGS, body.to_string()).await.problem(), expected);
    }
    let unknown = api.patch(SETTINGS, json!({ "confg": {} }).to_string()).await.problem();
    assert!(unknown.2.contains("unknown field `confg`"), "{unknown:?}");
    let missing = api.patch("/v1/functions/none/settings", "{}").await.problem();
    assert_eq!(missing, problem(404, "no-such-function", "no function `none`"));
    assert_eq!(shop(&api).await.summary.revision.0, 1);
}
