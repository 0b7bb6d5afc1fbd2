//! Callers who compare every answer with what is known of the deploys: after `--wait` has returned, nothing older.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::apart::apart;
use crate::call::{Call, Client};
use crate::trial::deploying::{Journal, Marks};

/// One caller for each gateway.
pub(super) struct Checking {
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Checked>>,
}

/// What the callers saw.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) number: usize,
    pub(super) violations: Vec<String>,
}

impl Checking {
    pub(super) fn start(gateways: &[SocketAddr], journals: Vec<Journal>) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let caller = |&gateway: &SocketAddr| {
            let (stop, journals) = (Arc::clone(&stop), journals.clone());
            apart("checking", async move || {
                let (client, mut checked) = (Client::new(), Checked::default());
                while !stop.load(Ordering::Relaxed) {
                    for journal in &journals {
                        check(&client, gateway, journal, &mut checked).await;
                    }
                }
                checked
            })
        };
        let callers = gateways.iter().map(caller).collect();
        Self { stop, callers }
    }

    pub(super) async fn stop(self) -> Checked {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Checked::default();
        for caller in self.callers {
            let joined = tokio::task::spawn_blocking(move || caller.join()).await.expect("joining does not panic");
            let checked = joined.expect("a caller does not panic");
            all.number += checked.number;
            all.violations.extend(checked.violations);
        }
        all
    }
}

/// Calls each function once.
async fn check(client: &Client, gateway: SocketAddr, journal: &Journal, checked: &mut Checked) {
    for function in journal.marks().into_keys() {
        let known_before = journal.marks()[&function];
        let call = Call::new(client.clone(), gateway, &format!("/{function}?V")).try_send();
        // Where there is no answer there is nothing to compare; that is counted by the load.
        if let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(10), call).await
            && answer.status == 200
        {
            let known_after = journal.marks()[&function];
            checked.number += 1;
            let problem = compare(answer.text(), known_before, known_after);
            checked.violations.extend(problem.map(|what| format!("{function} through {gateway}: {what}")));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What is wrong with this answer.
fn compare(answer: &str, before: Marks, after: Marks) -> Option<String> {
    match answer.parse::<u64>() {
        Err(_) => Some(format!("{answer:?} is no number")),
        Ok(number) if number < before.routed => {
            Some(format!("{number} answered, after --wait had returned for {}", before.routed))
        }
        Ok(number) if number > after.begun => Some(format!("{number} answered, of which {} is the last", after.begun)),
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_older_than_what_was_waited_for_is_wrong() {
        let known = |begun, acknowledged, routed| Marks { begun, acknowledged, routed };
        let before = known(12, 12, 7);
        let after = known(17, 12, 12);
        let wrong = |answer: &str| compare(answer, before, after).is_some();
        assert_eq!(["2", "7", "12", "17", "22", "x"].map(wrong), [true, false, false, false, true, true]);
    }
}
