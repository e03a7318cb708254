//! What is taken from BTF: the part of the facts that every number in the programs comes from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::btf::{BtfError, Field, Types, Unsound};
use super::fields::{FUNCTIONS, TRACEPOINTS, every_field};

/// Struct members, prototypes and enums of one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeFacts {
    /// Places of struct members, by `structure.path`; what this kernel lacks is not there.
    pub fields: BTreeMap<String, Field>,
    /// Parameter types of raw tracepoints; what this kernel lacks is not there.
    pub tracepoints: BTreeMap<String, Vec<String>>,
    /// Parameter types of functions, as far as BTF tells.
    pub functions: BTreeMap<String, Vec<String>>,
    /// `enum skb_drop_reason`, without `SKB_DROP_REASON_`; empty before Linux 5.17.
    #[serde(default)]
    pub drop_reasons: Vec<(u32, String)>,
    /// `enum sk_rst_reason`, without `SK_RST_REASON_`; empty before Linux 6.10.
    #[serde(default)]
    pub reset_reasons: Vec<(u32, String)>,
}

impl TypeFacts {
    /// Reads the running kernel's BTF.
    ///
    /// # Errors
    /// The kernel has no BTF, or what is there cannot be read.
    pub fn gather() -> Result<Self, BtfError> {
        Ok(Self::of(&Types::of_kernel()?))
    }

    /// Reads BTF as /sys/kernel/btf/vmlinux has it, without the modules of that kernel.
    ///
    /// # Errors
    /// It is not sound.
    pub fn from_btf(bytes: Vec<u8>) -> Result<Self, Unsound> {
        Ok(Self::of(&Types::from_bytes(bytes)?))
    }

    fn of(kernel: &Types) -> Self {
        let mut facts = Self {
            drop_reasons: kernel.enumeration("skb_drop_reason", "SKB_DROP_REASON_"),
            reset_reasons: kernel.enumeration("sk_rst_reason", "SK_RST_REASON_"),
            ..Self::default()
        };
        for wanted in every_field() {
            let (structure, path) = wanted.split();
            if let Some(found) = kernel.field(structure, &path) {
                facts.fields.insert(wanted.name.to_owned(), found);
            }
        }
        for name in TRACEPOINTS {
            if let Some(parameters) = kernel.tracepoint(name) {
                facts.tracepoints.insert((*name).to_owned(), parameters);
            }
        }
        for wanted in FUNCTIONS {
            // a module's BTF is there once it is loaded, if its kernel was built so
            let in_module = || kernel.of_module(wanted.module?).ok()?.function(wanted.name);
            if let Some(parameters) = kernel.function(wanted.name).or_else(in_module) {
                facts.functions.insert(wanted.name.to_owned(), parameters);
            }
        }
        facts
    }

    /// Number of a drop reason in this kernel.
    pub fn drop_reason(&self, name: &str) -> Option<u32> {
        self.drop_reasons.iter().find(|(_, known)| known == name).map(|(number, _)| *number)
    }

    /// Index of a function's first parameter that is a packet.
    pub fn packet_parameter(&self, function: &str) -> Option<u32> {
        let at = self.functions.get(function)?.iter().position(|parameter| parameter == "struct sk_buff *")?;
        u32::try_from(at).ok()
    }
}
