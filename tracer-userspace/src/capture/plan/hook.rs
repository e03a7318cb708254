//! temporary
use std::fmt;
/// kind
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookKind {
    /// a
    RawTracepoint,
    /// b
    Kprobe,
    /// c
    CgroupSkbIngress,
    /// d
    CgroupSkbEgress,
    /// e
    CgroupConnect,
}
/// plan
#[derive(Clone, Debug)]
pub struct HookPlan {
    /// kind
    pub kind: HookKind,
    /// target
    pub target: String,
    /// program
    pub program: String,
    /// required
    pub required: bool,
    /// note
    pub note: String,
}
impl fmt::Display for HookPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.kind, self.target)
    }
}
