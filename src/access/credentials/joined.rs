//! Runs work once for all callers that ask for it at the same time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

use tokio::sync::watch;

/// Work under way, by key.
pub(super) struct Joined<K, V>(Mutex<HashMap<K, watch::Receiver<Option<V>>>>);

impl<K, V> Default for Joined<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash + Send + 'static, V: Clone + Send + Sync + 'static> Joined<K, V> {
    /// Joins the work for `key` that is under way, or begins it. The work continues when the callers hang up. Returns
    /// `None` when the work failed without a result.
    pub async fn join<W: Future<Output = V> + Send + 'static>(
        self: &Arc<Self>,
        key: K,
        work: impl FnOnce() -> W,
    ) -> Option<V> {
        let mut done = self.begin(key, work);
        done.wait_for(Option::is_some).await.ok()?.clone()
    }

    fn begin<W: Future<Output = V> + Send + 'static>(
        self: &Arc<Self>,
        key: K,
        work: impl FnOnce() -> W,
    ) -> watch::Receiver<Option<V>> {
        let mut under_way = self.0.lock();
        if let Some(done) = under_way.get(&key) {
            return done.clone();
        }
        let (tell, done) = watch::channel(None);
        under_way.insert(key.clone(), done.clone());
        let (work, entry) = (work(), JoinedEntry { joined: Arc::clone(self), key });
        tokio::spawn(async move {
            let result = work.await;
            drop(entry);
            tell.send_replace(Some(result));
        });
        done
    }
}

/// The entry of work under way. When it is dropped, by a panic too, the next caller begins the work again.
struct JoinedEntry<K: Eq + Hash, V> {
    joined: Arc<Joined<K, V>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for JoinedEntry<K, V> {
    fn drop(&mut self) {
        self.joined.0.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn all_who_ask_at_once_share_one_run_and_one_that_panics_is_begun_anew() {
        let (joined, runs) = (Arc::new(Joined::default()), Arc::new(AtomicU32::new(0)));
        let ask = |fails: bool| {
            let runs = Arc::clone(&runs);
            joined.join("key", move || async move {
                assert!(!fails);
                tokio::task::yield_now().await;
                runs.fetch_add(1, Ordering::Relaxed)
            })
        };
        assert_eq!(ask(true).await, None);
        assert_eq!(tokio::join!(ask(false), ask(false), ask(false)), (Some(0), Some(0), Some(0)));
        assert_eq!(ask(false).await, Some(1));
    }
}
