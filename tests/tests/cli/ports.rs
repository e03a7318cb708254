//! Which ports and namespaces are watched.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use wherefore_tests::client::{self, Ended};
use wherefore_tests::lab::{Family, Lab, Place};
use wherefore_tests::process::Running;
use wherefore_tests::scratch;
use wherefore_tests::tools::Tools;
use wherefore_tests::wait::PATIENCE;

use crate::Test;

pub(crate) const TESTS: &[Test] = &[("every-namespace-and-several-ports", everywhere)];

/// Ports that no other test uses; all but the last are watched.
const PORTS: [u16; 5] = [18_450, 18_452, 18_453, 18_454, 18_456];

/// Without `--netns`, one verdict for each watched port, about a namespace made after the start.
fn everywhere(tools: &Tools) -> Result<()> {
    let directory = scratch::directory()?;
    let mut command = Command::new(&tools.wherefore);
    command.args(["record", "--json", "--port", "18450,18452-18454", "--duration", "300s", "--out"]);
    let mut running = Running::start(command.arg(directory.path()))?;
    running.await_ready()?;
    let lab = Lab::new(Family::V4)?;
    let mut addresses: Vec<SocketAddr> = PORTS.iter().map(|port| (lab.server_address(), *port).into()).collect();
    for address in &addresses {
        let (_, ended) = lab.at(Place::Client).within(|| client::connect(*address, None, PATIENCE))?;
        ensure!(ended == Ended::Refused, "{address} is not closed: {ended:?}");
    }
    let status = running.stop(Signal::INT)?;
    ensure!(status.code() == Some(0), "{status}: {:?}", running.stderr.so_far());
    let values =
        running.stdout.so_far().iter().map(|line| serde_json::from_str(line)).collect::<Result<Vec<Value>, _>>();
    let verdicts = values?.into_iter().filter(|value| value.get("type") == Some(&"verdict".into())).collect::<Vec<_>>();
    addresses.pop();
    ensure!(verdicts.len() == addresses.len(), "not one verdict for each watched port: {verdicts:?}");
    for address in addresses {
        let local = Value::from(address.to_string());
        let about = verdicts.iter().find(|verdict| verdict.get("local") == Some(&local));
        let about = about.with_context(|| format!("no verdict about {address}"))?;
        for (key, value) in [
            ("verdict", Value::from("process-down")),
            ("role", "inbound".into()),
            ("confidence", "certain".into()),
            ("netns", lab.at(Place::Server).inode().into()),
        ] {
            ensure!(about.get(key) == Some(&value), "{key} is not {value}: {about}");
        }
    }
    Ok(())
}
