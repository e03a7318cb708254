//! Plan tables: what is planned on each recorded kernel.
