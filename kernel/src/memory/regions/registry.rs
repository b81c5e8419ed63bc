//! The providers that there are at this moment, by name.

use super::Provider;
use crate::lock::Mutex;
use alloc::sync::Arc;
use alloc::vec::Vec;

static PROVIDERS: Mutex<Vec<Arc<Provider>>> = Mutex::new(Vec::new());

/// Lets everybody find a provider.
pub fn add(provider: Arc<Provider>) {
    PROVIDERS.lock().push(provider);
}

/// Lets nobody find it any more. It exists for as long as somebody holds it, or memory of it.
pub fn remove(provider: &Arc<Provider>) {
    let gone = {
        let mut providers = PROVIDERS.lock();
        let at = providers
            .iter()
            .position(|other| Arc::ptr_eq(other, provider));
        at.map(|at| providers.remove(at))
    };
    drop(gone);
}

/// The providers, in the order of their addresses.
pub fn providers() -> Vec<Arc<Provider>> {
    let mut providers = PROVIDERS.lock().clone();
    providers.sort_by_key(|provider| provider.phyr().addr());
    providers
}

/// The provider of this name.
pub fn find(name: &str) -> Option<Arc<Provider>> {
    let providers = PROVIDERS.lock();
    providers
        .iter()
        .find(|provider| provider.name() == name)
        .cloned()
}
