//! The binary form of BTF (`Documentation/bpf/btf.rst`, `include/uapi/linux/btf.h`): types by number,
//! checked as they are read. Little-endian, as are all machines that the programs are built for.
//!
//! Types are numbered from 1 in the order they stand in; 0 is `void`. A module's BTF goes on where the
//! kernel's ends, and so do its offsets of strings.

use std::rc::Rc;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

const MAGIC: u16 = 0xeb9f;
const VERSION: u8 = 1;

/// The number of a type.
pub(super) type Id = u32;

/// BTF that is not sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// The file does not begin as BTF does.
    #[error("it is not little-endian BTF of version 1")]
    Header,
    /// A part is said to be where the file has ended.
    #[error("it is cut off")]
    Cut,
    /// A kind of type that came after this program, so where the next begins is not known.
    #[error("it has types of kind {0}, which this version does not know")]
    Kind(u8),
}

/// `struct btf_header`
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: U16,
    version: u8,
    flags: u8,
    length: U32,
    types_at: U32,
    types_length: U32,
    strings_at: U32,
    strings_length: U32,
}

/// `struct btf_type`
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Head {
    name: U32,
    info: U32,
    /// Bytes, or a type's number.
    size_or_type: U32,
}

impl Head {
    fn kind(&self) -> u8 {
        (self.info.get() >> 24 & 0x1f) as u8
    }

    fn length(&self) -> usize {
        usize::from((self.info.get() & 0xffff) as u16)
    }

    fn flag(&self) -> bool {
        self.info.get() >> 31 == 1
    }

    /// Bytes that follow.
    fn tail(&self) -> Result<usize, Unsound> {
        let each = match self.kind() {
            kind::ARRAY => return Ok(12),
            kind::INT | kind::VARIABLE | kind::DECLARATION_TAG => return Ok(4),
            kind::STRUCT | kind::UNION | kind::DATA_SECTION | kind::ENUM_64 => 12,
            kind::ENUM | kind::PROTOTYPE => 8,
            1..=kind::LAST => 0,
            unknown => return Err(Unsound::Kind(unknown)),
        };
        Ok(self.length() * each)
    }
}

/// `BTF_KIND_*`
mod kind {
    pub(super) const INT: u8 = 1;
    pub(super) const POINTER: u8 = 2;
    pub(super) const ARRAY: u8 = 3;
    pub(super) const STRUCT: u8 = 4;
    pub(super) const UNION: u8 = 5;
    pub(super) const ENUM: u8 = 6;
    pub(super) const FORWARD: u8 = 7;
    pub(super) const TYPEDEF: u8 = 8;
    pub(super) const VOLATILE: u8 = 9;
    pub(super) const CONST: u8 = 10;
    pub(super) const RESTRICT: u8 = 11;
    pub(super) const FUNCTION: u8 = 12;
    pub(super) const PROTOTYPE: u8 = 13;
    pub(super) const VARIABLE: u8 = 14;
    pub(super) const DATA_SECTION: u8 = 15;
    pub(super) const FLOAT: u8 = 16;
    pub(super) const DECLARATION_TAG: u8 = 17;
    pub(super) const TYPE_TAG: u8 = 18;
    pub(super) const ENUM_64: u8 = 19;
    pub(super) const LAST: u8 = ENUM_64;
}

/// `struct btf_member`
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawMember {
    name: U32,
    of: U32,
    offset: U32,
}

/// `struct btf_array`
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawArray {
    element: U32,
    index: U32,
    count: U32,
}

/// `struct btf_param`
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawParameter {
    name: U32,
    of: U32,
}

/// `struct btf_enum`
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawEnumerator {
    name: U32,
    value: U32,
}

/// A type.
#[derive(Clone, Copy)]
pub(super) enum Type<'a> {
    Void,
    Int {
        size: u32,
    },
    Float {
        size: u32,
    },
    Pointer(Id),
    Array {
        element: Id,
        count: u32,
    },
    Struct(Body<'a>),
    Union(Body<'a>),
    /// Declared, not defined.
    Forward {
        union: bool,
    },
    Enum {
        size: u32,
        members: &'a [RawEnumerator],
    },
    /// With values of 64 bits; they are not read.
    Enum64 {
        size: u32,
    },
    Typedef(Id),
    /// `const`, `volatile`, `restrict`, or a tag.
    Qualified(Id),
    Function {
        prototype: Id,
    },
    Prototype(&'a [RawParameter]),
    /// A variable, a section or a tag of a declaration: nothing is made of these.
    Declaration,
}

/// What a struct or union consists of.
#[derive(Clone, Copy)]
pub(super) struct Body<'a> {
    pub(super) size: u32,
    members: &'a [RawMember],
    /// Offsets hold the widths of bit fields too.
    bit_fields: bool,
}

/// A member of a struct or union.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    /// Empty for an anonymous struct or union.
    pub(super) name: &'a str,
    pub(super) of: Id,
    /// Bits from the start of what it is a member of.
    pub(super) bits: u32,
    /// Bits of a bit field; 0 for all others.
    pub(super) width: u32,
}

/// A kernel's or module's BTF.
pub(super) struct Btf {
    data: Vec<u8>,
    strings: std::ops::Range<usize>,
    /// Where each type begins in `data`; the first is that of `first_id`.
    starts: Vec<u32>,
    /// A hash of each type's name, for [`Self::named`].
    hashes: Vec<u32>,
    first_id: Id,
    first_string: usize,
    base: Option<Rc<Self>>,
}

impl Btf {
    /// Takes a file's bytes; `base` is the kernel's BTF if these are a module's.
    ///
    /// # Errors
    /// [`Unsound`] if types or strings are not where they must be.
    pub(super) fn new(data: Vec<u8>, base: Option<Rc<Self>>) -> Result<Self, Unsound> {
        let (header, _) = Header::ref_from_prefix(&data).map_err(|_short| Unsound::Header)?;
        if header.magic.get() != MAGIC || header.version != VERSION || to_usize(header.length) < size_of::<Header>() {
            return Err(Unsound::Header);
        }
        let part = |at: U32, length: U32| {
            let begin = to_usize(header.length).checked_add(to_usize(at))?;
            let end = begin.checked_add(to_usize(length))?;
            data.get(begin..end).map(|_| begin..end)
        };
        let types = part(header.types_at, header.types_length).ok_or(Unsound::Cut)?;
        let strings = part(header.strings_at, header.strings_length).ok_or(Unsound::Cut)?;
        let first_id = base.as_ref().map_or(1, |base| base.end_id());
        let first_string = base.as_ref().map_or(0, |base| base.end_string());
        let starts = starts(&data, types)?;
        let mut btf = Self { data, strings, starts, hashes: Vec::new(), first_id, first_string, base };
        btf.hashes = btf.starts.iter().map(|start| hash(btf.name_at(*start))).collect();
        Ok(btf)
    }

    fn end_id(&self) -> Id {
        // each type takes 12 bytes at least, and the file is shorter than 4 GiB
        self.first_id.saturating_add(u32::try_from(self.starts.len()).unwrap_or(u32::MAX))
    }

    fn end_string(&self) -> usize {
        self.first_string + self.strings.len()
    }

    /// The string at this offset; empty if there is none.
    fn string(&self, offset: U32) -> &str {
        let offset = to_usize(offset);
        match (offset.checked_sub(self.first_string), &self.base) {
            (None, Some(base)) => base.string(U32::new(u32::try_from(offset).unwrap_or(u32::MAX))),
            (None, None) => "",
            (Some(offset), _) => {
                let strings = self.data.get(self.strings.clone()).unwrap_or_default();
                let rest = strings.get(offset..).unwrap_or_default();
                let text = rest.get(..memchr::memchr(0, rest).unwrap_or(rest.len())).unwrap_or_default();
                std::str::from_utf8(text).unwrap_or_default()
            }
        }
    }

    fn head(&self, start: u32) -> Option<(&Head, &[u8])> {
        Head::ref_from_prefix(self.data.get(usize::try_from(start).ok()?..)?).ok()
    }

    fn name_at(&self, start: u32) -> &str {
        self.head(start).map_or("", |(head, _)| self.string(head.name))
    }

    /// Types of this name, those of the base first.
    pub(super) fn named(&self, name: &str) -> Vec<Id> {
        let mut found = self.base.as_ref().map(|base| base.named(name)).unwrap_or_default();
        let wanted = hash(name);
        let alike = self.hashes.iter().zip(&self.starts).zip(self.first_id..);
        let same = alike.filter(|((hash, start), _)| **hash == wanted && self.name_at(**start) == name);
        found.extend(same.map(|(_, id)| id));
        found
    }

    /// Name of a type; empty if it has none.
    pub(super) fn name(&self, id: Id) -> &str {
        match (id.checked_sub(self.first_id), &self.base) {
            (None, Some(base)) => base.name(id),
            (None, None) => "",
            (Some(index), _) => self.start(index).map_or("", |start| self.name_at(start)),
        }
    }

    fn start(&self, index: u32) -> Option<u32> {
        self.starts.get(usize::try_from(index).ok()?).copied()
    }

    /// The type of this number; `None` if there is none.
    pub(super) fn get(&self, id: Id) -> Option<Type<'_>> {
        if id == 0 {
            return Some(Type::Void);
        }
        match (id.checked_sub(self.first_id), &self.base) {
            (None, Some(base)) => base.get(id),
            (None, None) => None,
            (Some(index), _) => self.read(self.start(index)?),
        }
    }

    fn read(&self, start: u32) -> Option<Type<'_>> {
        let (head, tail) = self.head(start)?;
        let value = head.size_or_type.get();
        Some(match head.kind() {
            kind::INT => Type::Int { size: value },
            kind::FLOAT => Type::Float { size: value },
            kind::POINTER => Type::Pointer(value),
            kind::ARRAY => {
                let (array, _) = RawArray::ref_from_prefix(tail).ok()?;
                Type::Array { element: array.element.get(), count: array.count.get() }
            }
            kind::STRUCT => Type::Struct(body(head, tail)?),
            kind::UNION => Type::Union(body(head, tail)?),
            kind::FORWARD => Type::Forward { union: head.flag() },
            kind::ENUM => Type::Enum { size: value, members: items(head, tail)? },
            kind::ENUM_64 => Type::Enum64 { size: value },
            kind::TYPEDEF => Type::Typedef(value),
            kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => Type::Qualified(value),
            kind::FUNCTION => Type::Function { prototype: value },
            kind::PROTOTYPE => Type::Prototype(items(head, tail)?),
            _ => Type::Declaration,
        })
    }

    /// Members of a struct or union.
    pub(super) fn members<'a>(&'a self, body: Body<'a>) -> impl Iterator<Item = Member<'a>> {
        body.members.iter().map(move |member| {
            let offset = member.offset.get();
            let (bits, width) = if body.bit_fields { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            Member { name: self.string(member.name), of: member.of.get(), bits, width }
        })
    }

    /// Names and values of an enum's members.
    pub(super) fn enumerators<'a>(&'a self, members: &'a [RawEnumerator]) -> impl Iterator<Item = (&'a str, u32)> {
        members.iter().map(|member| (self.string(member.name), member.value.get()))
    }
}

/// What a prototype's parameters are.
pub(super) fn parameters(parameters: &[RawParameter]) -> impl Iterator<Item = Id> {
    parameters.iter().map(|parameter| parameter.of.get())
}

fn to_usize(value: U32) -> usize {
    // no machine that this runs on has smaller pointers
    usize::try_from(value.get()).unwrap_or(usize::MAX)
}

/// Where each type begins.
fn starts(data: &[u8], types: std::ops::Range<usize>) -> Result<Vec<u32>, Unsound> {
    let mut starts = Vec::new();
    let mut rest = data.get(..types.end).and_then(|data| data.get(types.start..)).ok_or(Unsound::Cut)?;
    while !rest.is_empty() {
        starts.push(u32::try_from(types.end - rest.len()).map_err(|_long| Unsound::Cut)?);
        let (head, tail) = Head::ref_from_prefix(rest).map_err(|_short| Unsound::Cut)?;
        rest = tail.get(head.tail()?..).ok_or(Unsound::Cut)?;
    }
    Ok(starts)
}

fn items<'a, T: FromBytes + Immutable + KnownLayout + Unaligned>(head: &Head, tail: &'a [u8]) -> Option<&'a [T]> {
    <[T]>::ref_from_prefix_with_elems(tail, head.length()).ok().map(|(items, _)| items)
}

fn body<'a>(head: &Head, tail: &'a [u8]) -> Option<Body<'a>> {
    Some(Body { size: head.size_or_type.get(), members: items(head, tail)?, bit_fields: head.flag() })
}

/// FNV-1a: a look-up must not compare a hundred thousand strings.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
