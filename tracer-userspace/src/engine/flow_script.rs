//! The tests' language, its words about established connections, exchanges and processes.

use super::evidence::address_bytes;
use super::script::{CLIENT, NETFILTER_DROP, OTHER, PORT, SERVER, Script, comm};
use crate::record::{
    BODY_CHUNKED, BODY_UNKNOWN, Exchange, FlowRecord, HostBody, ProcessRecord, Record, flow_event, flow_flag, kind,
    packet_flag, process_flag, stage, tcp_flag, tcp_state,
};

/// The app.
pub(super) const APP: u32 = 812;

impl Script {
    /// What follows is told by the accepting end of connection `n`, which is established now.
    pub(super) fn inbound(self, n: u16) -> Self {
        let mut script = self.attempt(n).in_ns(SERVER);
        script.flow = FlowRecord {
            tuple: script.back(),
            id: u64::from(n),
            established_ns: script.now_us * 1000,
            idle_since_ns: script.now_us * 1000,
            isn: script.isn,
            flags: flow_flag::INBOUND | flow_flag::HTTP,
            pid: APP,
            comm: comm("gunicorn"),
            tcp_state: tcp_state::ESTABLISHED,
            ..FlowRecord::default()
        };
        script.heads = None;
        script
    }

    /// The same by the connecting end.
    pub(super) fn outbound(self, n: u16) -> Self {
        let mut script = self.inbound(n).in_ns(CLIENT);
        script.flow.id += 100_000;
        script.flow.tuple = script.there();
        script.flow.flags = flow_flag::HTTP;
        script.flow.pid = script.pid;
        script.flow.comm = comm("curl");
        script
    }

    /// The connection of the process that owns it to a port that nobody watches.
    pub(super) fn chained(self, n: u16, pid: u32, port: u16) -> Self {
        let mut script = self.outbound(n).in_ns(SERVER);
        script.flow.tuple.src = address_bytes("127.0.0.1".parse().unwrap());
        script.flow.tuple.dst = script.flow.tuple.src;
        script.flow.tuple.dst_port = port;
        script.flow.flags |= flow_flag::CHAINED;
        script.owned_by(pid, "nginx")
    }

    pub(super) fn owned_by(mut self, pid: u32, name: &str) -> Self {
        self.flow.pid = pid;
        self.flow.comm = comm(name);
        self
    }

    /// What follows is an attempt of this process to connect to another port of its host.
    pub(super) fn connects(self, n: u16, pid: u32, port: u16) -> Self {
        let mut script = self.attempt(n).in_ns(SERVER).to(&format!("127.0.0.1:{port}"));
        script.client.set_ip("127.0.0.1".parse().unwrap());
        script.pid = pid;
        script.chained = port != PORT;
        script
    }

    /// Back to what the script began with.
    pub(super) fn usual_ends(mut self) -> Self {
        self.client = "10.9.1.2:40000".parse().unwrap();
        self.chained = false;
        self.to("10.9.2.2:8080")
    }

    /// The records to come differ from the usual.
    pub(super) fn with_flow(mut self, set: impl FnOnce(&mut FlowRecord)) -> Self {
        set(&mut self.flow);
        self
    }

    pub(super) fn flags(mut self, flags: u32) -> Self {
        self.flow.flags |= flags;
        self
    }

    pub(super) fn without(mut self, flags: u32) -> Self {
        self.flow.flags &= !flags;
        self
    }

    /// A request begins, and is whole, now.
    pub(super) fn get(mut self, path: &str) -> Self {
        let now = self.now_us * 1000;
        let last = [self.flow.response_end_ns, self.flow.established_ns].into_iter().find(|ns| *ns != 0);
        self.flow.idle_since_ns = last.unwrap_or(0);
        self.flow.exchange += 1;
        self.flow.outstanding = 1;
        self.flow.request_start_ns = now;
        self.flow.request_end_ns = now;
        self.flow.response_start_ns = 0;
        self.flow.response_end_ns = 0;
        self.flow.status = 0;
        self.flow.received += 100;
        self.flow.flags |= flow_flag::REQUEST_COMPLETE;
        self.flow.flags &= !flow_flag::RESPONSE_COMPLETE;
        self.flow.stage = stage::PROCESSING;
        self.heads =
            Some(Exchange { method: Some("GET".to_owned()), path: Some(path.to_owned()), ..Exchange::default() });
        self
    }

    /// More of the request passes.
    pub(super) fn goes_on(mut self) -> Self {
        self.flow.request_end_ns = self.now_us * 1000;
        self
    }

    pub(super) fn trace_id(mut self, id: &str) -> Self {
        self.heads.get_or_insert_default().trace_id = Some(id.to_owned());
        self
    }

    /// The head of a response passes, and all of its body but `missing` bytes.
    pub(super) fn responds(mut self, status: u16, missing: u64) -> Self {
        let now = self.now_us * 1000;
        self.flow.response_start_ns = now;
        self.flow.response_end_ns = now;
        self.flow.status = status;
        self.flow.body_expected = 1000;
        self.flow.body_seen = 1000 - missing;
        self.flow.sent += 1100 - missing;
        if missing == 0 {
            self.flow.flags |= flow_flag::RESPONSE_COMPLETE;
            self.flow.outstanding = 0;
        }
        self
    }

    /// The response has no length.
    pub(super) fn chunked(mut self) -> Self {
        self.flow.body_expected = BODY_CHUNKED;
        self
    }

    /// The response ends with the connection.
    pub(super) fn until_close(mut self) -> Self {
        self.flow.body_expected = BODY_UNKNOWN;
        self
    }

    /// A record of this event, with what was read of the heads before it.
    pub(super) fn tells(mut self, event: u8) -> Self {
        let netns = self.netns;
        let (id, number) = (self.flow.id, self.flow.exchange);
        if let Some(heads) = self.heads.clone() {
            self.host(netns, HostBody::Exchange(Box::new(Exchange { id, number, ..heads })));
        }
        self.records.push(Record::Flow(FlowRecord { header: self.header(kind::FLOW), event, ..self.flow }));
        match event {
            flow_event::FIN_SENT => self.flow.flags |= flow_flag::FIN_SENT,
            flow_event::FIN_RECEIVED => self.flow.flags |= flow_flag::FIN_RECEIVED,
            _ => {}
        }
        self
    }

    /// A whole response with this status, told at once.
    pub(super) fn answers(self, status: u16) -> Self {
        self.responds(status, 0).tells(flow_event::RESPONSE)
    }

    fn process_record(mut self, kind: u16, pid: u32, exit_code: u32, flags: u32) -> Self {
        let header = self.header(kind);
        let comm = comm("gunicorn");
        self.records.push(Record::Process(ProcessRecord { header, pid, parent: 1, exit_code, flags, comm }));
        self
    }

    pub(super) fn killed(self, pid: u32, signal: u32) -> Self {
        self.process_record(kind::PROCESS_EXIT, pid, signal, 0)
    }

    pub(super) fn core_dumped(self, pid: u32, signal: u32) -> Self {
        self.process_record(kind::PROCESS_EXIT, pid, signal, process_flag::CORE_DUMPED)
    }

    pub(super) fn exited(self, pid: u32, code: u32) -> Self {
        self.process_record(kind::PROCESS_EXIT, pid, code << 8, 0)
    }

    pub(super) fn oom_victim(self, pid: u32) -> Self {
        self.process_record(kind::OOM_VICTIM, pid, 0, 0)
    }

    /// Netfilter drops payload of the connection: the client's, or the server's.
    pub(super) fn payload_dropped(self, from_client: bool) -> Self {
        self.payload_drop_of(NETFILTER_DROP, "nf_hook_slow", from_client)
    }

    pub(super) fn payload_lost(self, from_client: bool) -> Self {
        self.payload_drop_of(OTHER, "ip_rcv_finish_core", from_client)
    }

    fn payload_drop_of(self, reason: u32, symbol: &str, from_client: bool) -> Self {
        let (there, back) = (self.there(), self.back());
        self.drop_of(reason, symbol, packet_flag::HAS_SOCKET, false).but(|packet| {
            packet.tuple = if from_client { there } else { back };
            packet.tcp_flags = tcp_flag::ACK;
            packet.socket_state = tcp_state::ESTABLISHED;
            packet.payload_len = 500;
        })
    }
}
