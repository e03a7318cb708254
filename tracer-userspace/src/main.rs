//! The program `wherefore`.
use wherefore::capture::{facts::Facts, plan::*, load::load, kernel_maps::KernelMaps};
fn main() {
    let facts = Facts::gather();
    let layout = layout_of(facts.types.as_ref().unwrap()).unwrap();
    let mut hooks = vec![];
    for t in ["inet_sock_set_state","inet_sk_error_report","tcp_send_reset","tcp_receive_reset","tcp_retransmit_skb","kfree_skb","net_dev_queue"] {
        hooks.push(HookPlan { kind: HookKind::RawTracepoint, target: t.into(), program: t.into(), required: false, note: String::new() });
    }
    for t in ["tcp_v4_err","tcp_v6_err","nf_send_reset","nf_send_reset6"] {
        hooks.push(HookPlan { kind: HookKind::Kprobe, target: t.into(), program: t.into(), required: false, note: String::new() });
    }
    hooks.push(HookPlan { kind: HookKind::CgroupSkbIngress, target: "ingress".into(), program: "cgroup_ingress".into(), required: false, note: String::new() });
    hooks.push(HookPlan { kind: HookKind::CgroupSkbEgress, target: "egress".into(), program: "cgroup_egress".into(), required: false, note: String::new() });
    for t in ["connect4","connect6"] {
    hooks.push(HookPlan { kind: HookKind::CgroupConnect, target: t.into(), program: t.into(), required: false, note: String::new() });
    }
    println!("{layout:?} {:?}", facts.cgroup);
    let cg = std::env::args().nth(1).unwrap_or("/sys/fs/cgroup/unified".into());
    let mut l = load(&layout, &hooks, cg.as_ref()).unwrap();
    for h in &l.hooks { println!("{} {} {}", h.name, h.attached, h.note); }
    let (mut maps, mut ring) = KernelMaps::take(&mut l.ebpf, &[8080], &[]).unwrap();
    for _ in 0..100 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        while let Some(item) = ring.next() { println!("{:?}", wherefore::record::Record::decode(&item)); }
        for c in maps.port_counts() { println!("{c:?}"); }
        for c in maps.losses() { println!("{c:?}"); }
    }
}
