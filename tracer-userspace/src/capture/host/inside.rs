//! Work done inside another network namespace.
//!
//! A namespace belongs to a thread, so the work gets a thread of its own, which enters and ends there:
//! no thread of a pool is ever left in the wrong one. A socket opened inside stays bound to that
//! namespace and is used from any thread afterwards.

use std::io;
use std::os::fd::AsFd;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::namespaces::{NamespaceError, NetNamespace};

/// Runs `work` inside `namespace` and waits for it.
///
/// # Errors
/// [`NamespaceError::Gone`] or [`NamespaceError::Enter`]; `work` has not run then.
pub fn inside<T: Send>(namespace: &NetNamespace, work: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
    if namespace.own {
        return Ok(work());
    }
    let file = namespace.open()?;
    let refused = |source| NamespaceError::Enter { name: namespace.name.clone(), source };
    let outcome = thread::scope(|scope| {
        let body = || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        };
        let thread = thread::Builder::new().name("in-netns".to_owned()).spawn_scoped(scope, body)?;
        thread.join().unwrap_or_else(|_panic| Err(io::Error::other("the thread inside it panicked")))
    });
    outcome.map_err(refused)
}
