//! Many guests, a few at a time; one that broke is run again.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, anyhow};

use super::vm::{Boot, Machine, Task, boot};
use super::watch::Ending;
use crate::console::note;

/// A guest that broke is booted this many times in all.
const BOOTS: usize = 3;

/// One guest and its task.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// The kernel's name.
    pub(super) label: String,
    pub(super) machine: Machine,
    pub(super) task: Task,
    /// For what comes back; one folder for each boot is made in it.
    pub(super) folder: PathBuf,
}

/// The last boot of a job, and why earlier ones broke.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) label: String,
    pub(super) boot: Boot,
    pub(super) broke: Vec<String>,
    pub(super) folder: PathBuf,
}

impl Outcome {
    pub(super) fn passed(&self) -> bool {
        self.boot.ending == Ending::Exited(0)
    }
}

/// Runs the jobs, `parallel` at once, and gives their outcomes in the jobs' order. Without
/// `keep_going` none is started after one has failed; those are absent. `line` gets what each prints, and `ended` each
/// outcome as soon as it is there.
pub(super) fn run_all(
    jobs: &[Job],
    parallel: usize,
    keep_going: bool,
    line: &(dyn Fn(&str, &str) + Sync),
    ended: &(dyn Fn(&Job, &Outcome) -> Result<()> + Sync),
) -> Result<Vec<Outcome>> {
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..jobs.len()).collect());
    let stop = AtomicBool::new(false);
    let next = || queue.lock().ok()?.pop_front();
    let worker = || {
        let mut done = Vec::new();
        while !stop.load(Ordering::Relaxed)
            && let Some((at, job)) = next().and_then(|at| Some((at, jobs.get(at)?)))
        {
            let outcome = run_one(job, line).with_context(|| format!("cannot run the VM of {}", job.label));
            let outcome = outcome.and_then(|outcome| ended(job, &outcome).map(|()| outcome));
            if !keep_going && !outcome.as_ref().is_ok_and(Outcome::passed) {
                stop.store(true, Ordering::Relaxed);
            }
            done.push((at, outcome));
        }
        done
    };
    let mut all = std::thread::scope(|scope| -> Result<Vec<_>> {
        let workers: Vec<_> = (0..parallel.clamp(1, jobs.len().max(1))).map(|_| scope.spawn(worker)).collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_panic| anyhow!("a worker thread panicked"))?);
        }
        Ok(all)
    })?;
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, outcome)| outcome).collect()
}

fn run_one(job: &Job, line: &(dyn Fn(&str, &str) + Sync)) -> Result<Outcome> {
    let mut broke = Vec::new();
    loop {
        let folder = job.folder.join(format!("boot-{}", broke.len() + 1));
        let boot = boot(&job.machine, &job.task, &folder, |text| line(&job.label, text))?;
        if let Ending::Broke(why) = &boot.ending {
            let why = format!("{why} (see {})", folder.display());
            note(format_args!("kernels: the VM of {} broke: {why}", job.label));
            broke.push(why);
            if broke.len() < BOOTS {
                continue;
            }
        }
        return Ok(Outcome { label: job.label.clone(), boot, broke, folder });
    }
}
