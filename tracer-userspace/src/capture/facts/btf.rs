//! What the kernel's BTF says: where struct members are, what functions take, how enums count.

use std::io;
use std::path::{Path, PathBuf};

use btf_rs::{Btf, BtfType, Member, Type};
use serde::{Deserialize, Serialize};

/// Where the kernel shows its own BTF, and that of each module beside it.
pub(super) const BTF_DIR: &str = "/sys/kernel/btf";

/// Nested anonymous structs and unions that a search goes down; real ones stay under ten.
const MAX_DEPTH: u32 = 32;

/// BTF could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The kernel or module shows none.
    #[error("there is no {0}")]
    None(PathBuf),
    /// It is there, but not readable or not sound.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: btf_rs::Error,
    },
}

impl BtfError {
    fn at(path: &Path, source: btf_rs::Error) -> Self {
        match source {
            btf_rs::Error::IO(error) if error.kind() == io::ErrorKind::NotFound => Self::None(path.to_owned()),
            source => Self::Unreadable { path: path.to_owned(), source },
        }
    }
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
    btf: Btf,
}

impl Types {
    /// Reads the running kernel's own types.
    pub(super) fn of_kernel() -> Result<Self, BtfError> {
        Self::read(&Path::new(BTF_DIR).join("vmlinux"))
    }

    fn read(path: &Path) -> Result<Self, BtfError> {
        let btf = Btf::from_file(path).map_err(|source| BtfError::at(path, source))?;
        Ok(Self { btf })
    }

    /// Reads the types of a loaded module, which build on the kernel's.
    pub(super) fn of_module(&self, module: &str) -> Result<Self, BtfError> {
        let path = Path::new(BTF_DIR).join(module);
        let btf = Btf::from_split_file(&path, &self.btf).map_err(|source| BtfError::at(&path, source))?;
        Ok(Self { btf })
    }

    /// Finds a member by struct and path, as in `sock`, `["__sk_common", "skc_net", "net"]`. Members
    /// of anonymous structs and unions are found by their name alone, as in C.
    pub(super) fn field(&self, structure: &str, path: &[&str]) -> Option<Field> {
        let candidates = self.btf.resolve_types_by_name(structure).ok()?;
        candidates.iter().find_map(|candidate| self.walk(candidate, path))
    }

    fn walk(&self, structure: &Type, path: &[&str]) -> Option<Field> {
        let (last, outer) = path.split_last()?;
        let mut holder = structure.clone();
        let mut bits = 0;
        for name in outer {
            let (at, member) = self.member(&holder, name, 0)?;
            bits += at;
            holder = self.plain(&member)?;
        }
        let (at, member) = self.member(&holder, last, 0)?;
        bits += at;
        if let Some(width @ 1..=8) = member.bitfield_size() {
            // bits of a byte count up from its lowest on little-endian machines, all we run on
            let mask = ((1_u32 << width) - 1) << (bits % 8);
            return (mask <= 0xff).then_some(Field { offset: bits / 8, size: 0, mask });
        }
        let size = self.size(&self.plain(&member)?)?;
        Some(Field { offset: bits / 8, size, mask: 0 })
    }

    /// A member of this struct or union and its bits from the start of it.
    fn member(&self, holder: &Type, name: &str, depth: u32) -> Option<(u32, Member)> {
        let (Type::Struct(body) | Type::Union(body)) = holder else { return None };
        if depth > MAX_DEPTH {
            return None;
        }
        body.members.iter().find_map(|member| {
            let own = self.btf.resolve_name(member).unwrap_or_default();
            if own == name {
                return Some((member.bit_offset(), member.clone()));
            }
            if !own.is_empty() {
                return None;
            }
            let (inner, found) = self.member(&self.plain(member)?, name, depth + 1)?;
            Some((member.bit_offset() + inner, found))
        })
    }

    /// What a member or parameter is, without typedefs and qualifiers.
    fn plain(&self, reference: &dyn BtfType) -> Option<Type> {
        let mut found = self.btf.resolve_chained_type(reference).ok()?;
        for _ in 0..MAX_DEPTH {
            found = match &found {
                Type::Typedef(inner) => self.btf.resolve_chained_type(inner).ok()?,
                Type::Volatile(inner) | Type::Const(inner) | Type::Restrict(inner) => {
                    self.btf.resolve_chained_type(inner).ok()?
                }
                Type::TypeTag(inner) => self.btf.resolve_chained_type(inner).ok()?,
                _ => return Some(found),
            };
        }
        None
    }

    fn size(&self, of: &Type) -> Option<u32> {
        let bytes = match of {
            Type::Int(int) => int.size(),
            // both architectures that the programs are built for have 64-bit pointers
            Type::Ptr(_) => 8,
            Type::Struct(body) | Type::Union(body) => body.size(),
            Type::Enum(body) => body.size(),
            Type::Enum64(body) => body.size(),
            Type::Array(array) => {
                let element = self.plain(array)?;
                return self.size(&element)?.checked_mul(u32::try_from(array.len()).ok()?);
            }
            _ => return None,
        };
        u32::try_from(bytes).ok()
    }

    /// Parameters of raw tracepoint `name`, without the leading private pointer.
    pub(super) fn tracepoint(&self, name: &str) -> Option<Vec<String>> {
        let types = self.btf.resolve_types_by_name(&format!("btf_trace_{name}")).ok()?;
        types.iter().find_map(|found| {
            let Type::Typedef(typedef) = found else { return None };
            let Type::Ptr(pointer) = self.plain(typedef)? else { return None };
            let mut parameters = self.parameters(self.plain(&pointer)?)?;
            if parameters.is_empty() {
                return None;
            }
            parameters.remove(0);
            Some(parameters)
        })
    }

    /// Parameters of function `name`.
    pub(super) fn function(&self, name: &str) -> Option<Vec<String>> {
        let types = self.btf.resolve_types_by_name(name).ok()?;
        types.iter().find_map(|found| {
            let Type::Func(function) = found else { return None };
            self.parameters(self.btf.resolve_chained_type(function).ok()?)
        })
    }

    fn parameters(&self, prototype: Type) -> Option<Vec<String>> {
        let Type::FuncProto(prototype) = prototype else { return None };
        Some(prototype.parameters.iter().map(|parameter| self.spelled(parameter)).collect())
    }

    /// A parameter's type as C writes it, without qualifiers and with typedefs resolved:
    /// `struct sk_buff *`, `enum skb_drop_reason`, `int`.
    fn spelled(&self, reference: &dyn BtfType) -> String {
        let mut stars = 0_usize;
        let mut found = self.plain(reference);
        while let Some(Type::Ptr(pointer)) = &found {
            stars += 1;
            if stars > 4 {
                break;
            }
            found = self.plain(pointer);
        }
        let base = found.map_or_else(|| "?".to_owned(), |base| self.base_name(&base));
        if stars == 0 { base } else { format!("{base} {}", "*".repeat(stars)) }
    }

    fn base_name(&self, base: &Type) -> String {
        let keyword = match base {
            Type::Void => return "void".to_owned(),
            Type::Union(_) => "union ",
            Type::Fwd(forward) if forward.is_union() => "union ",
            Type::Struct(_) | Type::Fwd(_) => "struct ",
            Type::Enum(_) | Type::Enum64(_) => "enum ",
            Type::FuncProto(_) => return "function".to_owned(),
            _ => "",
        };
        let name = base.as_btf_type().and_then(|named| self.btf.resolve_name(named).ok()).unwrap_or_default();
        format!("{keyword}{name}")
    }

    /// Members of enum `name` whose names begin with `prefix`, which is cut off, by number.
    pub(super) fn enumeration(&self, name: &str, prefix: &str) -> Vec<(u32, String)> {
        let types = self.btf.resolve_types_by_name(name).unwrap_or_default();
        let Some(Type::Enum(found)) = types.into_iter().find(|found| matches!(found, Type::Enum(_))) else {
            return Vec::new();
        };
        let mut members: Vec<_> = found
            .members
            .iter()
            .filter_map(|member| {
                let name = self.btf.resolve_name(member).ok()?;
                let short = name.strip_prefix(prefix)?;
                // bounds and masks are no reasons
                let counts = !matches!(short, "MAX" | "SUBSYS_MASK");
                counts.then(|| (member.val(), short.to_owned()))
            })
            .collect();
        members.sort();
        members
    }
}
