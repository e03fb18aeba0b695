//! The source out of a package, and the program that keeps some of it. The package is made here, and
//! scripts stand in for apt.

mod archive;
mod debian;
mod program;
