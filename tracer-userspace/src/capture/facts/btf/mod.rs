//! What the kernel's BTF says: where struct members are, what functions take, how enums count.

mod reader;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) mod written;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::{fs, io};

use serde::{Deserialize, Serialize};

pub use reader::Unsound;
use reader::{Btf, Id, Member, Type, parameters};

/// Where the kernel shows its own BTF, and that of each module beside it.
pub(super) const BTF_DIR: &str = "/sys/kernel/btf";

/// Nested anonymous structs and unions that a search goes down; real ones stay under ten.
const MAX_DEPTH: u32 = 32;

/// Members that one search looks at; the largest real struct, with all that is nested in it, has hundreds.
const MAX_MEMBERS: u32 = 1 << 16;

/// BTF could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The kernel or module shows none.
    #[error("there is no {0}")]
    None(PathBuf),
    /// It is there, but not readable.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Its file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// It is readable, but not sound.
    #[error("cannot read {path}: {source}")]
    Unsound {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: Unsound,
    },
}

/// Where a struct member is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Bytes from the start of the struct; of a bit field: the byte that holds its first bit.
    pub offset: u32,
    /// Bytes; 0 for a bit field.
    pub size: u32,
    /// Mask of a bit field within its byte; 0 for all others.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mask: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// A kernel's or module's type information.
pub(super) struct Types {
    btf: Rc<Btf>,
}

impl Types {
    /// Reads the running kernel's own types.
    pub(super) fn of_kernel() -> Result<Self, BtfError> {
        Self::read(&Path::new(BTF_DIR).join("vmlinux"), None)
    }

    /// Takes a kernel's BTF.
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Result<Self, Unsound> {
        Ok(Self { btf: Rc::new(Btf::new(bytes, None)?) })
    }

    /// Reads the types of a loaded module, which build on the kernel's.
    pub(super) fn of_module(&self, module: &str) -> Result<Self, BtfError> {
        Self::read(&Path::new(BTF_DIR).join(module), Some(Rc::clone(&self.btf)))
    }

    fn read(path: &Path, base: Option<Rc<Btf>>) -> Result<Self, BtfError> {
        let path = || path.to_owned();
        let bytes = fs::read(path()).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => BtfError::None(path()),
            _ => BtfError::Unreadable { path: path(), source },
        })?;
        let btf = Btf::new(bytes, base).map_err(|source| BtfError::Unsound { path: path(), source })?;
        Ok(Self { btf: Rc::new(btf) })
    }

    /// Finds a member by struct and path, as in `sock`, `["__sk_common", "skc_net", "net"]`. Members
    /// of anonymous structs and unions are found by their name alone, as in C.
    pub(super) fn field(&self, structure: &str, path: &[&str]) -> Option<Field> {
        self.btf.named(structure).into_iter().find_map(|candidate| self.walk(self.btf.get(candidate)?, path))
    }

    fn walk(&self, structure: Type<'_>, path: &[&str]) -> Option<Field> {
        let (last, outer) = path.split_last()?;
        let mut holder = structure;
        let mut bits: u32 = 0;
        for name in outer {
            let (at, member) = self.member(holder, name)?;
            bits = bits.checked_add(at)?;
            holder = self.plain(member.of)?;
        }
        let (at, member) = self.member(holder, last)?;
        bits = bits.checked_add(at)?;
        if matches!(member.width, 1..=8) {
            // bits of a byte count up from its lowest on little-endian machines, all we run on
            let mask = ((1_u32 << member.width) - 1) << (bits % 8);
            return (mask <= 0xff).then_some(Field { offset: bits / 8, size: 0, mask });
        }
        let size = self.size(self.plain(member.of)?)?;
        Some(Field { offset: bits / 8, size, mask: 0 })
    }

    /// A member of this struct or union and its bits from the start of it.
    fn member<'a>(&'a self, holder: Type<'a>, name: &str) -> Option<(u32, Member<'a>)> {
        let mut budget = MAX_MEMBERS;
        self.member_within(holder, name, 0, &mut budget)
    }

    fn member_within<'a>(
        &'a self,
        holder: Type<'a>,
        name: &str,
        depth: u32,
        budget: &mut u32,
    ) -> Option<(u32, Member<'a>)> {
        let (Type::Struct(body) | Type::Union(body)) = holder else { return None };
        if depth > MAX_DEPTH {
            return None;
        }
        self.btf.members(body).find_map(|member| {
            *budget = budget.checked_sub(1)?;
            if member.name == name {
                return Some((member.bits, member));
            }
            if !member.name.is_empty() {
                return None;
            }
            let (inner, found) = self.member_within(self.plain(member.of)?, name, depth + 1, budget)?;
            Some((member.bits.checked_add(inner)?, found))
        })
    }

    /// What this is without typedefs and qualifiers: its number.
    fn plain_id(&self, id: Id) -> Option<Id> {
        let mut id = id;
        for _ in 0..MAX_DEPTH {
            match self.btf.get(id)? {
                Type::Typedef(inner) | Type::Qualified(inner) => id = inner,
                _ => return Some(id),
            }
        }
        None
    }

    /// What this is without typedefs and qualifiers.
    fn plain(&self, id: Id) -> Option<Type<'_>> {
        self.btf.get(self.plain_id(id)?)
    }

    fn size(&self, of: Type<'_>) -> Option<u32> {
        let mut of = of;
        let mut count: u32 = 1;
        for _ in 0..MAX_DEPTH {
            let bytes = match of {
                Type::Int { size } | Type::Float { size } | Type::Enum { size, .. } | Type::Enum64 { size } => size,
                // both architectures that the programs are built for have 64-bit pointers
                Type::Pointer(_) => 8,
                Type::Struct(body) | Type::Union(body) => body.size,
                Type::Array { element, count: elements } => {
                    count = count.checked_mul(elements)?;
                    of = self.plain(element)?;
                    continue;
                }
                _ => return None,
            };
            return bytes.checked_mul(count);
        }
        None
    }

    /// Parameters of raw tracepoint `name`, without the leading private pointer.
    pub(super) fn tracepoint(&self, name: &str) -> Option<Vec<String>> {
        self.btf.named(&format!("btf_trace_{name}")).into_iter().find_map(|found| {
            let Type::Typedef(inner) = self.btf.get(found)? else { return None };
            let Type::Pointer(prototype) = self.plain(inner)? else { return None };
            let mut parameters = self.parameters(prototype)?;
            if parameters.is_empty() {
                return None;
            }
            parameters.remove(0);
            Some(parameters)
        })
    }

    /// Parameters of function `name`.
    pub(super) fn function(&self, name: &str) -> Option<Vec<String>> {
        self.btf.named(name).into_iter().find_map(|found| {
            let Type::Function { prototype } = self.btf.get(found)? else { return None };
            self.parameters(prototype)
        })
    }

    fn parameters(&self, prototype: Id) -> Option<Vec<String>> {
        let Type::Prototype(found) = self.plain(prototype)? else { return None };
        Some(parameters(found).map(|parameter| self.spelled(parameter)).collect())
    }

    /// A parameter's type as C writes it, without qualifiers and with typedefs resolved:
    /// `struct sk_buff *`, `enum skb_drop_reason`, `int`.
    fn spelled(&self, id: Id) -> String {
        let mut stars = 0_usize;
        let mut found = self.plain_id(id);
        while let Some(Type::Pointer(inner)) = found.and_then(|id| self.btf.get(id)) {
            stars += 1;
            if stars > 4 {
                break;
            }
            found = self.plain_id(inner);
        }
        let base = found.map_or_else(|| "?".to_owned(), |base| self.base_name(base));
        if stars == 0 { base } else { format!("{base} {}", "*".repeat(stars)) }
    }

    fn base_name(&self, id: Id) -> String {
        let keyword = match self.btf.get(id) {
            Some(Type::Void) => return "void".to_owned(),
            Some(Type::Union(_) | Type::Forward { union: true }) => "union ",
            Some(Type::Struct(_) | Type::Forward { union: false }) => "struct ",
            Some(Type::Enum { .. } | Type::Enum64 { .. }) => "enum ",
            Some(Type::Prototype(_)) => return "function".to_owned(),
            _ => "",
        };
        format!("{keyword}{}", self.btf.name(id))
    }

    /// Members of enum `name` whose names begin with `prefix`, which is cut off, by number.
    pub(super) fn enumeration(&self, name: &str, prefix: &str) -> Vec<(u32, String)> {
        let found = self.btf.named(name).into_iter().find_map(|id| match self.btf.get(id)? {
            Type::Enum { members, .. } => Some(members),
            _ => None,
        });
        let mut members: Vec<_> = self
            .btf
            .enumerators(found.unwrap_or_default())
            .filter_map(|(name, value)| {
                let short = name.strip_prefix(prefix)?;
                // bounds and masks are no reasons
                let counts = !matches!(short, "MAX" | "SUBSYS_MASK");
                counts.then(|| (value, short.to_owned()))
            })
            .collect();
        members.sort();
        members
    }
}
