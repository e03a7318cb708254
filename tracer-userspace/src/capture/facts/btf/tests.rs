use std::collections::BTreeMap;

use proptest::prelude::*;

use super::written::Written;
use super::*;

const POINTER: u32 = 2;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const FORWARD: u32 = 7;
const TYPEDEF: u32 = 8;
const CONST: u32 = 10;
const FUNCTION: u32 = 12;
const TYPE_TAG: u32 = 18;

/// A small kernel: nested, anonymous, qualified, with bit fields.
fn kernel() -> Written {
    let mut btf = Written::kernel();
    btf.passed_over();
    let int = btf.int("int", 4);
    let byte = btf.int("unsigned char", 1);
    let address = btf.reference(TYPEDEF, "__be32", int);
    let flags = btf.body(STRUCT, "", 4, &[("reuse", byte, 0, 4), ("ipv6only", byte, 5, 1), ("wide", int, 8, 12)]);
    let either = btf.body(UNION, "", 4, &[("", flags, 0, 0), ("whole", int, 0, 0)]);
    let bytes = btf.array(byte, 16);
    let bytes = btf.reference(CONST, "", bytes);
    let common =
        btf.body(STRUCT, "sock_common", 28, &[("daddr", address, 0, 0), ("", either, 64, 0), ("v6", bytes, 96, 0)]);
    // declared in one unit, defined in another
    btf.reference(FORWARD, "sock", 0);
    let sock = btf.body(STRUCT, "sock", 40, &[("first", int, 0, 0), ("__sk_common", common, 64, 0)]);
    let buffer = btf.reference(FORWARD, "sk_buff", 0);
    let buffer = btf.reference(CONST, "", buffer);
    let buffer = btf.reference(TYPE_TAG, "rcu", buffer);
    let buffer = btf.reference(POINTER, "", buffer);
    let sock = btf.reference(POINTER, "", sock);
    let nothing = btf.reference(POINTER, "", 0);
    let reason = btf.enumeration("reason", &[("REASON_B", 7), ("REASON_A", 2), ("REASON_MAX", 8), ("OTHER", 1)]);
    let prototype = btf.prototype(&[nothing, sock, buffer, reason, address]);
    let traced = btf.reference(POINTER, "", prototype);
    btf.reference(TYPEDEF, "btf_trace_reset", traced);
    btf.reference(FUNCTION, "reset", prototype);
    btf
}

fn types(btf: &Written) -> Types {
    Types::from_bytes(btf.bytes()).unwrap()
}

#[test]
fn members_are_found_through_what_is_anonymous() {
    let types = types(&kernel());
    let at = |offset, size| Some(Field { offset, size, mask: 0 });
    assert_eq!(types.field("sock", &["first"]), at(0, 4));
    assert_eq!(types.field("sock", &["__sk_common", "daddr"]), at(8, 4));
    assert_eq!(types.field("sock", &["__sk_common", "whole"]), at(16, 4));
    assert_eq!(types.field("sock", &["__sk_common", "v6"]), at(20, 16));
    assert_eq!(types.field("sock", &["__sk_common"]), at(8, 28));
    for nowhere in [&["absent"][..], &["__sk_common", "first"], &["first", "x"], &[]] {
        assert_eq!(types.field("sock", nowhere), None, "{nowhere:?}");
    }
    assert_eq!(types.field("absent", &["first"]), None);
    assert_eq!(types.field("", &["reuse"]), Some(Field { offset: 0, size: 0, mask: 0x0f }));
}

#[test]
fn bit_fields_have_masks() {
    let types = types(&kernel());
    let field = |name| types.field("sock", &["__sk_common", name]);
    assert_eq!(field("reuse"), Some(Field { offset: 16, size: 0, mask: 0x0f }));
    assert_eq!(field("ipv6only"), Some(Field { offset: 16, size: 0, mask: 0x20 }));
    // over eight bits it is read as what it is declared as
    assert_eq!(field("wide"), Some(Field { offset: 17, size: 4, mask: 0 }));
}

#[test]
fn prototypes_are_spelled_as_in_c() {
    let types = types(&kernel());
    let rest = ["struct sock *", "struct sk_buff *", "enum reason", "int"].map(str::to_owned);
    assert_eq!(types.tracepoint("reset").unwrap(), rest);
    assert_eq!(types.function("reset").unwrap()[0], "void *");
    assert_eq!(types.function("reset").unwrap()[1..], rest);
    assert_eq!((types.function("sock"), types.tracepoint("absent")), (None, None));
}

#[test]
fn enums_are_sorted_and_without_bounds() {
    let types = types(&kernel());
    assert_eq!(types.enumeration("reason", "REASON_"), [(2, "A".to_owned()), (7, "B".to_owned())]);
    assert_eq!(types.enumeration("absent", "REASON_"), []);
}

#[test]
fn a_module_builds_on_its_kernel() {
    let kernel = kernel();
    let base = types(&kernel);
    let sock = base.btf.named("sock")[1];
    let mut module = kernel.module();
    let pointer = module.reference(POINTER, "", sock);
    let prototype = module.prototype(&[pointer]);
    module.reference(FUNCTION, "nf_send_reset", prototype);
    let btf = Btf::new(module.bytes(), Some(Rc::clone(&base.btf))).unwrap();
    let types = Types { btf: Rc::new(btf) };
    assert_eq!(types.function("nf_send_reset").unwrap(), ["struct sock *"]);
    assert_eq!(types.function("reset").unwrap().len(), 5);
    assert_eq!(types.field("sock", &["first"]), base.field("sock", &["first"]));
    assert_eq!(base.function("nf_send_reset"), None);
}

#[test]
fn types_that_go_round_come_to_an_end() {
    let mut btf = Written::kernel();
    let own = 1;
    btf.reference(CONST, "", own);
    let next = 3;
    btf.body(STRUCT, "round", 4, &[("a", own, 0, 0), ("", next, 0, 0), ("", next, 0, 0)]);
    btf.body(STRUCT, "", 4, &[("", next, 0, 0), ("", next, 0, 0)]);
    btf.array(4, u32::MAX);
    btf.body(STRUCT, "far", 4, &[("a", 4, 0, 0), ("b", 77, u32::MAX >> 8, 1)]);
    let types = types(&btf);
    for path in [&["a"][..], &["b"], &["a", "b"]] {
        assert_eq!(types.field("round", path), None);
    }
    assert_eq!(types.field("far", &["a"]), None);
}

#[test]
fn what_is_no_btf_is_named() {
    let good = kernel().bytes();
    let check = |at: usize, byte: u8, expected: Unsound| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        assert_eq!(Types::from_bytes(bytes).err(), Some(expected), "{at}");
    };
    check(0, 0xeb, Unsound::Header);
    check(2, 2, Unsound::Header);
    check(4, 23, Unsound::Header);
    check(15, 0x7f, Unsound::Cut);
    check(23, 0x7f, Unsound::Cut);
    check(24 + 7, 20, Unsound::Kind(20));
    check(24 + 7, 0, Unsound::Kind(0));
    check(12, 1, Unsound::Cut);
    assert_eq!(Types::from_bytes(Vec::new()).err(), Some(Unsound::Header));
    assert_eq!(Types::from_bytes(good[..good.len() - 1].to_vec()).err(), Some(Unsound::Cut));
}

#[test]
fn this_kernel_s_own_is_read() {
    let Ok(types) = Types::of_kernel() else { return };
    let common = types.field("sock", &["__sk_common"]).unwrap();
    assert_eq!((common.offset, types.field("sock_common", &["skc_daddr"]).map(|found| found.size)), (0, Some(4)));
    assert_eq!(types.tracepoint("kfree_skb").unwrap()[0], "struct sk_buff *");
}

/// Everything that is asked of BTF.
fn ask(bytes: Vec<u8>) {
    if let Ok(types) = Types::from_bytes(bytes) {
        for name in ["sock", "sock_common", "reason", ""] {
            for path in [&["first"][..], &["__sk_common", "v6"], &["__sk_common", "ipv6only"]] {
                types.field(name, path);
            }
            types.enumeration(name, "");
        }
        types.tracepoint("reset");
        types.function("reset");
    }
}

proptest! {
    #[test]
    fn damage_is_no_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
        let mut bytes = kernel().bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        ask(bytes.clone());
        bytes.truncate(cut.index(bytes.len()));
        ask(bytes);
    }

    #[test]
    fn noise_is_no_panic(types in prop::collection::vec(any::<u32>(), 0..200), strings in prop::collection::vec(any::<u8>(), 0..50)) {
        let mut bytes = Written::kernel().bytes();
        bytes.truncate(12);
        let length = |length: usize| u32::try_from(length).unwrap().to_le_bytes();
        bytes.extend([length(types.len() * 4), length(types.len() * 4), length(strings.len())].concat());
        // few bits set: sound more often
        bytes.extend(types.iter().flat_map(|word| (word & word.rotate_left(7) & word.rotate_left(13)).to_le_bytes()));
        bytes.extend(strings);
        ask(bytes);
    }

    #[test]
    fn what_was_written_is_read(sizes in prop::collection::btree_map("[a-z]{1,12}", (1_u32..5, 0_u32..1000), 1..40)) {
        let mut btf = Written::kernel();
        let ints: BTreeMap<u32, u32> = (1..5).map(|size| (size, btf.int("int", size))).collect();
        let members: Vec<_> = sizes.iter().map(|(name, (size, at))| (name.as_str(), ints[size], at * 8, 0)).collect();
        btf.body(STRUCT, "made", 4000, &members);
        let types = types(&btf);
        for (name, (size, offset)) in &sizes {
            prop_assert_eq!(types.field("made", &[name]), Some(Field { offset: *offset, size: *size, mask: 0 }));
        }
    }
}
