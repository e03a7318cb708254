//! What the lab can run: scenarios, and checks that are none.

use anyhow::Result;

use crate::lab::Family;
use crate::privileges::{self, Check};
use crate::scenario::Scenario;
use crate::tools::Tools;
use crate::{run, scenarios, without_http};

/// One thing that can be run and has a title.
#[derive(Clone, Debug)]
pub enum Item {
    /// A scenario of the table.
    Scenario(Box<Scenario>),
    /// A check with a code of its own.
    Check(Check),
}

impl Item {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let scenarios = scenarios::all().into_iter().map(|scenario| Self::Scenario(Box::new(scenario)));
        scenarios.chain([privileges::CHECKS, without_http::CHECKS].concat().into_iter().map(Self::Check)).collect()
    }

    /// What `run` takes and reports.
    pub fn title(&self) -> String {
        match self {
            Self::Scenario(scenario) => scenario.title(),
            Self::Check((name, _check)) => (*name).to_owned(),
        }
    }

    /// Whether it is of this protocol; a check is of both.
    pub fn is_of(&self, family: Family) -> bool {
        match self {
            Self::Scenario(scenario) => scenario.family == family,
            Self::Check(_) => true,
        }
    }

    /// Whether other kernels run it on every change.
    pub fn is_of_ci(&self) -> bool {
        match self {
            Self::Scenario(scenario) => scenario.ci,
            Self::Check(_) => true,
        }
    }

    /// What is missing here to run it.
    pub fn missing(&self) -> Option<String> {
        match self {
            Self::Scenario(scenario) => run::missing(scenario),
            Self::Check(_) => None,
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// When it fails.
    pub fn run(&self, tools: &Tools) -> Result<()> {
        match self {
            Self::Scenario(scenario) => run::run(tools, scenario, None),
            Self::Check((_name, check)) => check(tools),
        }
    }
}
