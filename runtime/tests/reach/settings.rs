//! `wasi:config`, `wasi:logging` and the guest's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use samovar_model::{LogLevel, LogStream};

use crate::rig::Rig;

const CONFIGURED: &str = "[function.shop.config]\ngreeting = \"hello\"\nvat = \"19\"";

#[tokio::test]
async fn configuration_is_read_under_every_name_of_the_interface() {
    let rig = Rig::start();
    let shop = rig.function("config", CONFIGURED).await;
    assert_eq!(shop.call("key=greeting").await, "Some(\"hello\")");
    assert_eq!(shop.call("key=nothing").await, "None");
    let all = "[(\"greeting\", \"hello\"), (\"vat\", \"19\")]";
    assert_eq!(shop.call("").await, all);
    let older = rig.function("config-runtime", &CONFIGURED.replace("shop", "older")).await;
    assert_eq!(older.call("").await, all);
}

#[tokio::test]
async fn messages_are_logged_with_level_context_fields_and_request() {
    let rig = Rig::start();
    let shop = rig.function("log", "[function.shop]").await;
    shop.call("context=cart&message={%22message%22:%22low%22,%22left%22:2}").await;
    let log = shop.log().await;
    let levels: Vec<_> = log.iter().filter_map(|line| line.level).collect();
    assert_eq!(levels, LogLevel::ALL);
    for line in &log {
        assert_eq!((line.stream, line.text.as_str(), line.context.as_deref()), (LogStream::Log, "low", Some("cart")));
        assert_eq!(line.fields.as_ref().expect("fields")["left"], 2);
        assert!(line.request_id.is_some());
    }
    let older = rig.function("log-unversioned", "[function.older]").await;
    older.call("").await;
    let line = older.log().await.pop().expect("a line");
    assert_eq!((line.text.as_str(), line.level), ("no version", Some(LogLevel::Error)));
}

#[tokio::test]
async fn a_flood_of_messages_is_cut_off_and_the_log_says_how_many_are_missing() {
    let rig = Rig::start();
    let shop = rig.function("log", "[function.shop]").await;
    let times = 20_000;
    shop.call(&format!("flood={times}&message=again")).await;
    let log = shop.log().await;
    let dropped =
        log.iter().find_map(|line| line.text.strip_suffix(" lines dropped: written faster than the log takes them"));
    let dropped: usize = dropped.expect("a notice").parse().expect("a number");
    let logged = log.iter().filter(|line| line.text == "again").count();
    assert!(dropped > 0 && logged > 0 && logged + dropped <= 6 * times, "{logged} logged, {dropped} dropped");
}

#[tokio::test]
async fn the_wall_clock_tells_whole_milliseconds() {
    let rig = Rig::start();
    for guest in ["ticks", "ticks3"] {
        let clock = rig.function(guest, &format!("[function.{guest}]")).await;
        let before = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let answer = clock.call("").await;
        let numbers: Vec<u128> = answer.split(' ').map(|number| number.parse().expect("a number")).collect();
        let [resolution, seconds, nanos] = numbers[..] else { panic!("{answer}") };
        assert_eq!((resolution, nanos % 1_000_000), (1_000_000, 0), "{guest}: {answer}");
        assert!(seconds * 1_000 + nanos / 1_000_000 >= before, "{guest}: {answer}, {before}");
    }
}
