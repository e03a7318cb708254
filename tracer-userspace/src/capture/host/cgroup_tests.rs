use super::*;

const ID: &str = "3f4e8d2a9b1c7e6f5a0d4c3b2e1f0a9d8c7b6a5f4e3d2c1b0a9f8e7d6c5b4a39";
const OTHER: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

#[track_caller]
fn check(text: &str, unit: Option<&str>, container: Option<&str>) {
    let text = text.replace("ID", ID).replace("OTHER", OTHER);
    let found = parse(&text);
    assert_eq!((found.unit.as_deref(), found.container.as_deref()), (unit, container), "{text}");
}

#[test]
fn units() {
    check("0::/system.slice/app.service\n", Some("app.service"), None);
    check("0::/system.slice/app.service/workers\n", Some("app.service"), None);
    check("0::/system.slice/system-getty.slice/getty@tty1.service", Some("getty@tty1.service"), None);
    check("0::/user.slice/user-1000.slice/session-3.scope\n", Some("session-3.scope"), None);
    check("0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service\n", Some("web.service"), None);
    check("0::/init.scope\n", Some("init.scope"), None);
    check("0::/system.slice/a\\x2db:c.service\n", Some("a\\x2db:c.service"), None);
    check("0::/machine.slice/machine-debian.scope\n", Some("machine-debian.scope"), None);
    check("0::/system.slice/app.service (deleted)\n", Some("app.service"), None);
}

#[test]
fn neither() {
    for text in ["", "\n", "0::/\n", "0::/user.slice\n", "0::/.service\n", "0::/../..\n", "nonsense", "0:", "::", "0::"]
    {
        check(text, None, None);
    }
}

#[test]
fn containers_v2() {
    check("0::/system.slice/docker-ID.scope\n", None, Some(ID));
    check("0::/docker/ID\n", None, Some(ID));
    check(
        "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1b2c.slice/cri-containerd-ID.scope\n",
        None,
        Some(ID),
    );
    check("0::/kubepods/burstable/pod0a1b2c3d-4e5f-6789-abcd-ef0123456789/ID\n", None, Some(ID));
    check("0::/kubepods.slice/kubepods-pod1.slice/crio-ID.scope/container\n", None, Some(ID));
    check("0::/machine.slice/libpod-ID.scope/container\n", None, Some(ID));
    check("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container\n", None, Some(ID));
    check("0::/system.slice/containerd.service/kubepods-burstable-pod1.slice:cri-containerd:ID\n", None, Some(ID));
    check("0::/lxc.payload.web1/system.slice/nginx.service\n", Some("nginx.service"), Some("web1"));
    check("0::/ecs/0123456789abcdef0123456789abcdef/ID\n", None, Some(ID));
    check(
        "0::/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-2849293\n",
        None,
        Some("0123456789abcdef0123456789abcdef-2849293"),
    );
    // systemd in a container; a container in a container
    check("0::/system.slice/docker-ID.scope/system.slice/nginx.service\n", Some("nginx.service"), Some(ID));
    check("0::/docker/ID/docker/OTHER\n", None, Some(OTHER));
}

#[test]
fn near_misses_are_no_containers() {
    check("0::/machine.slice/libpod-conmon-ID.scope\n", Some(&format!("libpod-conmon-{ID}.scope")), None);
    check("0::/system.slice/docker-3f4e8d2a9b1c.scope\n", Some("docker-3f4e8d2a9b1c.scope"), None);
    check(&format!("0::/docker/{}\n", ID.to_uppercase()), None, None);
    check(&format!("0::/docker/{ID}0\n"), None, None);
    check("0::/ecs/other/0123456789abcdef0123456789abcdef-2849293\n", None, None);
    check("0::/lxc.payload.\n", None, None);
}

#[test]
fn v1_and_hybrid() {
    let v1 = "12:pids:/system.slice/app.service\n5:memory:/system.slice/app.service\n1:name=systemd:/system.slice/app.service\n";
    check(v1, Some("app.service"), None);
    check("11:cpu,cpuacct:/docker/ID\n1:name=systemd:/docker/ID\n", None, Some(ID));
    // only one controller is delegated
    check("4:memory:/process_api/e44b\n1:name=systemd:/\n0::/\n", None, None);
    // the engine's service beside the container
    check("3:memory:/docker/ID\n1:name=systemd:/docker/ID\n0::/system.slice/containerd.service\n", None, Some(ID));
    check("1:name=systemd:/system.slice/web.service\n0::/\n", Some("web.service"), None);
    // systemd inside the container knows its unit in its own hierarchy only
    check(
        "3:memory:/docker/ID\n1:name=systemd:/docker/ID/system.slice/nginx.service\n",
        Some("nginx.service"),
        Some(ID),
    );
}
