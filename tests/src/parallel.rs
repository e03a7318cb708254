//! The same work for many things, a few at a time.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Does something with each item, a few at a time; results in the items' order.
pub fn each<T: Send, R: Send>(
    jobs: NonZero<usize>,
    items: impl Iterator<Item = T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let items: Vec<Mutex<Option<T>>> = items.map(|item| Mutex::new(Some(item))).collect();
    let results: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.get() {
            scope.spawn(|| {
                while let Some((item, result)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    items.get(at).zip(results.get(at))
                } {
                    let item = item.lock().unwrap_or_else(PoisonError::into_inner).take();
                    *result.lock().unwrap_or_else(PoisonError::into_inner) = item.map(&work);
                }
            });
        }
    });
    results.into_iter().filter_map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_items_order() {
        let jobs = NonZero::new(3).unwrap();
        assert_eq!(each(jobs, 0..100, |n| n * 2), (0..100).map(|n| n * 2).collect::<Vec<_>>());
        assert!(each(jobs, 0..0, |n: i32| n).is_empty());
    }
}
