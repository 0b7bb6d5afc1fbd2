use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::*;

/// A revision as the cache sees it.
struct Home {
    slot: CodeSlot<()>,
    busy: AtomicBool,
    let_go: AtomicUsize,
}

impl CodeHome for Home {
    fn may_let_go(&self) -> bool {
        !self.busy.load(Relaxed)
    }

    fn let_go(&self) {
        self.let_go.fetch_add(1, Relaxed);
        self.slot.clear();
    }
}

impl Home {
    fn new(cache: &Arc<CodeCache>) -> Arc<Self> {
        Arc::new(Self { slot: cache.slot(), busy: AtomicBool::new(false), let_go: AtomicUsize::new(0) })
    }

    async fn load(self: &Arc<Self>, size_bytes: u64) -> Arc<Loaded<()>> {
        let load = async { Ok::<_, ()>(Loaded { code: (), size_bytes, took: Duration::from_micros(100) }) };
        self.slot.get(self, load).await.expect("this load cannot fail")
    }

    fn is_loaded(&self) -> bool {
        !self.slot.is_empty()
    }
}

fn cache(bytes: u64, components: usize) -> Arc<CodeCache> {
    CodeCache::new(CodeLimits { bytes, components, mappings: u64::MAX })
}

#[tokio::test]
async fn what_is_called_less_goes_when_the_bytes_are_used_up() {
    let cache = cache(300, 100);
    let (popular, other, third) = (Home::new(&cache), Home::new(&cache), Home::new(&cache));
    popular.load(100).await;
    other.load(200).await;
    for _ in 0..5 {
        popular.slot.used();
    }
    assert_eq!(cache.usage(), CodeUse { bytes: 300, components: 2, loads: 2, evictions: 0 });
    third.load(100).await;
    assert_eq!([popular.is_loaded(), other.is_loaded(), third.is_loaded()], [true, false, true]);
    assert_eq!(cache.usage(), CodeUse { bytes: 200, components: 2, loads: 3, evictions: 1 });
    // The next call loads it again, and something else has to go.
    other.load(200).await;
    assert!(other.is_loaded() && cache.usage().bytes <= 300);
}

#[tokio::test]
async fn the_number_of_components_is_bounded_too() {
    let cache = cache(u64::MAX, 2);
    let homes: Vec<_> = (0..5).map(|_| Home::new(&cache)).collect();
    for home in &homes {
        home.load(1).await;
        assert!(home.is_loaded(), "what has just been loaded stays");
    }
    assert_eq!(cache.usage(), CodeUse { bytes: 2, components: 2, loads: 5, evictions: 3 });
}

#[tokio::test]
async fn many_instances_leave_mappings_for_few_components() {
    let mappings = 8 * MAPS_PER_COMPONENT + 100 * MAPS_PER_MEMORY;
    let cache = CodeCache::new(CodeLimits { bytes: u64::MAX, components: 100, mappings });
    let homes: Vec<_> = (0..20).map(|_| Home::new(&cache)).collect();
    for home in &homes {
        home.load(1).await;
    }
    assert_eq!(cache.usage().components, 20);
    cache.beside(100);
    assert_eq!(cache.usage().components, 8);
    cache.beside(0);
    for home in &homes {
        home.load(1).await;
    }
    assert_eq!(cache.usage().components, 20);
}

#[tokio::test]
async fn code_that_runs_stays_even_over_the_budget() {
    let cache = cache(100, 100);
    let (busy, other) = (Home::new(&cache), Home::new(&cache));
    busy.load(100).await;
    busy.busy.store(true, Relaxed);
    other.load(100).await;
    assert!(busy.is_loaded() && other.is_loaded());
    assert_eq!(cache.shrink(1), 100);
    assert!(busy.is_loaded() && !other.is_loaded());
    busy.busy.store(false, Relaxed);
    assert_eq!(cache.shrink(1), 100);
    assert_eq!((busy.is_loaded(), busy.let_go.load(Relaxed)), (false, 1));
}

#[tokio::test]
async fn code_that_was_let_go_while_it_was_being_used_is_put_back_and_counted() {
    let cache = cache(100, 100);
    let home = Home::new(&cache);
    let loaded = home.load(100).await;
    cache.shrink(100);
    assert!(!home.is_loaded());
    home.slot.keep(&home, &loaded);
    assert!(home.is_loaded());
    home.slot.keep(&home, &loaded);
    assert_eq!(cache.usage(), CodeUse { bytes: 100, components: 1, loads: 1, evictions: 1 });
}

#[tokio::test]
async fn a_home_that_is_gone_takes_its_code_with_it() {
    let cache = cache(100, 100);
    let home = Home::new(&cache);
    home.load(100).await;
    drop(home);
    assert_eq!((cache.usage().bytes, cache.usage().components), (0, 0));
}

#[tokio::test]
async fn callers_at_the_same_time_share_one_load_and_a_failed_one_is_tried_again() {
    let cache = cache(100, 100);
    let home = Home::new(&cache);
    let failing = home.slot.get(&home, async { Err::<Loaded<()>, _>("no such file") }).await;
    assert_eq!(failing.err(), Some("no such file"));
    let tries = AtomicUsize::new(0);
    let load = async || {
        tries.fetch_add(1, Relaxed);
        tokio::task::yield_now().await;
        Ok::<_, ()>(Loaded { code: (), size_bytes: 1, took: Duration::ZERO })
    };
    let (one, two) = tokio::join!(home.slot.get(&home, load()), home.slot.get(&home, load()));
    assert!(Arc::ptr_eq(&one.expect("loads"), &two.expect("loads")));
    assert_eq!((tries.load(Relaxed), cache.usage().loads), (1, 1));
}
