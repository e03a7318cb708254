//! BTF written by hand, for tests.

/// A file of BTF in the making: types are numbered from 1 in the order they are added.
#[derive(Clone, Default)]
pub(in crate::capture::facts) struct Written {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
    /// Types and bytes of strings of what this builds on.
    base: (u32, u32),
}

impl Written {
    pub(in crate::capture::facts) fn kernel() -> Self {
        Self { strings: vec![0], ..Self::default() }
    }

    /// What builds on this.
    pub(in crate::capture::facts) fn module(&self) -> Self {
        let base = (self.base.0 + self.count, self.base.1 + u32::try_from(self.strings.len()).unwrap());
        Self { base, ..Self::default() }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.base.1 + u32::try_from(self.strings.len()).unwrap();
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn words(&mut self, words: &[u32]) {
        self.types.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    fn head(&mut self, name: &str, kind: u32, length: usize, flag: bool, value: u32) -> u32 {
        let name = self.string(name);
        self.words(&[name, u32::from(flag) << 31 | kind << 24 | u32::try_from(length).unwrap(), value]);
        self.count += 1;
        self.base.0 + self.count
    }

    pub(in crate::capture::facts) fn int(&mut self, name: &str, bytes: u32) -> u32 {
        let id = self.head(name, 1, 0, false, bytes);
        self.words(&[bytes * 8]);
        id
    }

    /// A kind with nothing behind it that refers to a type: pointer 2, typedef 8, volatile 9, const 10,
    /// restrict 11, function 12, type tag 18; or a forward declaration, 7.
    pub(in crate::capture::facts) fn reference(&mut self, kind: u32, name: &str, to: u32) -> u32 {
        self.head(name, kind, 0, false, to)
    }

    pub(in crate::capture::facts) fn array(&mut self, element: u32, count: u32) -> u32 {
        let id = self.head("", 3, 0, false, 0);
        self.words(&[element, 0, count]);
        id
    }

    /// A struct (kind 4) or union (5); members are name, type, first bit, and bits if it is a bit field.
    pub(in crate::capture::facts) fn body(
        &mut self,
        kind: u32,
        name: &str,
        bytes: u32,
        members: &[(&str, u32, u32, u32)],
    ) -> u32 {
        let bit_fields = members.iter().any(|(.., width)| *width != 0);
        let named: Vec<u32> = members.iter().map(|(name, ..)| self.string(name)).collect();
        let id = self.head(name, kind, members.len(), bit_fields, bytes);
        for (name, (_, of, bit, width)) in named.into_iter().zip(members) {
            self.words(&[name, *of, width << 24 | bit]);
        }
        id
    }

    pub(in crate::capture::facts) fn enumeration(&mut self, name: &str, members: &[(&str, u32)]) -> u32 {
        let named: Vec<u32> = members.iter().map(|(name, _)| self.string(name)).collect();
        let id = self.head(name, 6, members.len(), false, 4);
        for (name, (_, value)) in named.into_iter().zip(members) {
            self.words(&[name, *value]);
        }
        id
    }

    pub(in crate::capture::facts) fn prototype(&mut self, parameters: &[u32]) -> u32 {
        let id = self.head("", 13, parameters.len(), false, 0);
        for parameter in parameters {
            self.words(&[0, *parameter]);
        }
        id
    }

    /// Kinds that are passed over: variable 14, section 15, float 16, tag of a declaration 17, 64-bit
    /// enum 19.
    pub(in crate::capture::facts) fn passed_over(&mut self) {
        for (kind, words) in [(14, 1), (15, 6), (16, 0), (17, 1), (19, 6)] {
            self.head("passed_over", kind, if words == 6 { 2 } else { 0 }, false, 8);
            self.words(&vec![0; words]);
        }
    }

    pub(in crate::capture::facts) fn bytes(&self) -> Vec<u8> {
        let length = |bytes: &Vec<u8>| u32::try_from(bytes.len()).unwrap();
        let mut file = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, length(&self.types), length(&self.types), length(&self.strings)] {
            file.extend(u32::to_le_bytes(word));
        }
        file.extend(&self.types);
        file.extend(&self.strings);
        file
    }
}
