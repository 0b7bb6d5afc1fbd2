//! What is counted of each subscription.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use samovar_cluster::queues::Fate;
use samovar_model::SubscriptionKey;

/// The counts of all subscriptions that messages are taken for.
#[derive(Default)]
pub(crate) struct Counts(Mutex<BTreeMap<SubscriptionKey, Arc<Count>>>);

/// One subscription's.
#[derive(Default)]
pub(crate) struct Count {
    done: AtomicU64,
    again: AtomicU64,
    dead: AtomicU64,
    running: AtomicU64,
    /// Messages that nobody had been given when the last one came.
    pub(super) pending: AtomicU64,
}

/// Counts a message that is worked on, until dropped.
pub(super) struct Running(Arc<Count>);

impl Count {
    pub(super) fn begin(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Relaxed);
        Running(Arc::clone(self))
    }

    pub(super) fn add(&self, fate: &Fate) {
        let count = match fate {
            Fate::Done => &self.done,
            Fate::Again(_) => &self.again,
            Fate::Dead(_) => &self.dead,
        };
        count.fetch_add(1, Relaxed);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

impl Counts {
    fn all(&self) -> MutexGuard<'_, BTreeMap<SubscriptionKey, Arc<Count>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A subscription's; the same for as long as it is not forgotten.
    pub(super) fn of(&self, key: &SubscriptionKey) -> Arc<Count> {
        Arc::clone(self.all().entry(key.clone()).or_default())
    }

    pub(super) fn forget(&self, key: &SubscriptionKey) {
        self.all().remove(key);
    }

    /// Appends them in Prometheus' text form; nothing where there is no subscription.
    pub(crate) fn write(&self, out: &mut String) {
        let all = self.all();
        if all.is_empty() {
            return;
        }
        let mut write = |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("writing to a string cannot fail");
        write(format_args!(
            "# HELP samovar_messages Messages of queues by what became of an attempt.\n# TYPE samovar_messages counter\n"
        ));
        for (key, count) in &*all {
            let labels = labels(key);
            for (outcome, count) in [("done", &count.done), ("again", &count.again), ("dead", &count.dead)] {
                let count = count.load(Relaxed);
                write(format_args!("samovar_messages_total{{{labels},outcome=\"{outcome}\"}} {count}\n"));
            }
        }
        type Gauge = (&'static str, &'static str, fn(&Count) -> &AtomicU64);
        let gauges: [Gauge; 2] = [
            ("samovar_messages_running", "Messages that functions are working on.", |count| &count.running),
            ("samovar_messages_pending", "Messages that nobody had been given when the last one came.", |count| {
                &count.pending
            }),
        ];
        for (name, help, gauge) in gauges {
            write(format_args!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
            for (key, count) in &*all {
                write(format_args!("{name}{{{}}} {}\n", labels(key), gauge(count).load(Relaxed)));
            }
        }
    }
}

fn labels(key: &SubscriptionKey) -> String {
    let subject = key.subject.as_str().replace('\\', "\\\\").replace('"', "\\\"");
    format!("function=\"{}\",subject=\"{subject}\"", key.function)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_subscription_is_counted_by_outcome_and_forgotten_with_its_place() {
        let (counts, mut out) = (Counts::default(), String::new());
        counts.write(&mut out);
        assert_eq!(out, "", "there is no subscription");
        let key = SubscriptionKey { function: "mailer".parse().unwrap(), subject: "a.\"b\"".parse().unwrap() };
        let count = counts.of(&key);
        for fate in [Fate::Done, Fate::Again(Duration::ZERO), Fate::Done, Fate::Dead(String::new())] {
            counts.of(&key).add(&fate);
        }
        count.pending.store(7, Relaxed);
        let running = count.begin();
        counts.write(&mut out);
        let labels = r#"function="mailer",subject="a.\"b\"""#;
        for line in [
            format!("samovar_messages_total{{{labels},outcome=\"done\"}} 2"),
            format!("samovar_messages_total{{{labels},outcome=\"again\"}} 1"),
            format!("samovar_messages_total{{{labels},outcome=\"dead\"}} 1"),
            format!("samovar_messages_running{{{labels}}} 1"),
            format!("samovar_messages_pending{{{labels}}} 7"),
        ] {
            assert!(out.lines().any(|seen| seen == line), "{line}: {out}");
        }
        drop(running);
        assert_eq!(count.running.load(Relaxed), 0);
        counts.forget(&key);
        assert!(counts.all().is_empty());
    }
}
