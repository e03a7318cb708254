//! Room for the sockets of many namespaces.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files to what is allowed, and returns it; `None` is without limit.
///
/// The usual 1024 would end at some 400 namespaces with two ICMP sockets each. Descriptors above 1024
/// endanger only programs that use select(2), which this one does not.
pub fn raise_open_files() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.maximum,
        // it stays as it was: then opening tells, by namespace, where it ended
        Err(_errno) => before,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_highest_allowed() {
        let raised = raise_open_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!((raised, limit.current), (limit.maximum, limit.maximum));
    }
}
