//! Doctor, from options and facts to text.
