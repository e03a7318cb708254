//! systemd unit and container from /proc/PID/cgroup.

/// What a process's cgroup tells about who runs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Membership {
    /// systemd unit.
    pub(super) unit: Option<String>,
    /// Container id, in full.
    pub(super) container: Option<String>,
}

/// Reads `hierarchy:controllers:path` lines, of cgroup v1, v2 and both.
///
/// Where a line names a container, only such lines count: beside them a hybrid host keeps the
/// container in the cgroup of the engine's own service. A unit above the container is the engine's
/// too; one below it runs inside.
pub(super) fn parse(text: &str) -> Membership {
    let mut lines: Vec<(u8, Membership)> = text.lines().filter_map(line).collect();
    lines.sort_by_key(|(rank, _membership)| *rank);
    let best = |wanted: fn(&Membership) -> bool| lines.iter().map(|(_rank, membership)| membership).find(|m| wanted(m));
    best(|membership| membership.container.is_some() && membership.unit.is_some())
        .filter(|both| best(|membership| membership.container.is_some()).is_some_and(|c| c.container == both.container))
        .or_else(|| best(|membership| membership.container.is_some()))
        .or_else(|| best(|membership| membership.unit.is_some()))
        .cloned()
        .unwrap_or_default()
}

/// One line, and how far to trust it: systemd's own hierarchies first.
fn line(text: &str) -> Option<(u8, Membership)> {
    let mut fields = text.splitn(3, ':');
    let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let rank = match (hierarchy, controllers) {
        ("0", "") => 0,
        (_, "name=systemd") => 1,
        _ => 2,
    };
    Some((rank, membership(path)))
}

fn membership(path: &str) -> Membership {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let mut found = Membership::default();
    let mut parent = "";
    for component in path.split('/').filter(|component| !component.is_empty()) {
        if let Some(id) = container_id(parent, component) {
            found = Membership { unit: None, container: Some(id.to_owned()) };
        } else if is_unit(component) {
            found.unit = Some(component.to_owned());
        }
        parent = component;
    }
    found
}

/// A service or scope of systemd; slices only group them.
fn is_unit(component: &str) -> bool {
    [".service", ".scope"].iter().any(|suffix| component.strip_suffix(suffix).is_some_and(|name| !name.is_empty()))
}

/// The container id in a path component, by the ways of the engines:
/// `ID` (docker, kubepods, ECS), `ENGINE-ID.scope` (docker, cri-containerd, crio, libpod),
/// `SLICE:ENGINE:ID` (containerd with a path that systemd does not manage), `lxc.payload.NAME`,
/// and ECS's own task id with a number.
fn container_id<'a>(parent: &str, component: &'a str) -> Option<&'a str> {
    if let Some(name) = component.strip_prefix("lxc.payload.") {
        return Some(name).filter(|name| !name.is_empty());
    }
    if let Some(scope) = component.strip_suffix(".scope") {
        let (engine, id) = scope.rsplit_once('-')?;
        // conmon watches over a container from outside
        return Some(id).filter(|id| is_id(id) && !engine.ends_with("conmon"));
    }
    let id = component.rsplit_once(':').map_or(component, |(_engine, id)| id);
    if is_id(id) {
        return Some(id);
    }
    let (task, number) = component.split_once('-')?;
    let of_ecs = task.len() == 32 && is_hex(task) && number.bytes().all(|byte| byte.is_ascii_digit());
    Some(component).filter(|_id| of_ecs && !number.is_empty() && parent == task)
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
